/* tanh: (x) -> y;  (dy, y) -> dx. See csrc/kernels/tanh.c. */
#include "pointwise.h"

PyObject *py_tanh_forward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    struct pointwise c;
    if (pointwise_forward(&c, "tanh", args, nargs, 0, NULL) < 0) {
        return NULL;
    }
    c.kernels->tanh_forward(c.in, c.out, c.n);
    return pointwise_end(&c);
}

PyObject *py_tanh_forward_(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    struct pointwise c;
    if (pointwise_inplace(&c, "tanh_", args, nargs, 0, NULL) < 0) {
        return NULL;
    }
    c.kernels->tanh_forward(c.in, c.out, c.n);
    return pointwise_end(&c);
}

PyObject *py_tanh_backward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    struct pointwise c;
    if (pointwise_backward(&c, "tanh_backward", args, nargs, 0, NULL) < 0) {
        return NULL;
    }
    c.kernels->tanh_backward(c.dy, c.in, c.out, c.n);
    return pointwise_end(&c);
}
