/* logsigmoid: (x) -> y;  (dy, x) -> dx. See csrc/kernels/logsigmoid.c. */
#include "pointwise.h"

PyObject *py_logsigmoid_forward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    struct pointwise c;
    if (pointwise_forward(&c, "logsigmoid", args, nargs, 0, NULL) < 0) {
        return NULL;
    }
    c.kernels->logsigmoid_forward(c.in, c.out, c.n);
    return pointwise_end(&c);
}

PyObject *py_logsigmoid_backward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    struct pointwise c;
    if (pointwise_backward(&c, "logsigmoid_backward", args, nargs, 0, NULL) < 0) {
        return NULL;
    }
    c.kernels->logsigmoid_backward(c.dy, c.in, c.out, c.n);
    return pointwise_end(&c);
}
