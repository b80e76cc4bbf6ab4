/* sigmoid: (x) -> y;  (dy, y) -> dx. See csrc/kernels/sigmoid.c. */
#include "pointwise.h"

PyObject *py_sigmoid_forward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    struct pointwise c;
    if (pointwise_forward(&c, "sigmoid", args, nargs, 0, NULL) < 0) {
        return NULL;
    }
    c.kernels->sigmoid_forward(c.in, c.out, c.n);
    return pointwise_end(&c);
}

PyObject *py_sigmoid_forward_(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    struct pointwise c;
    if (pointwise_inplace(&c, "sigmoid_", args, nargs, 0, NULL) < 0) {
        return NULL;
    }
    c.kernels->sigmoid_forward(c.in, c.out, c.n);
    return pointwise_end(&c);
}

PyObject *py_sigmoid_backward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    struct pointwise c;
    if (pointwise_backward(&c, "sigmoid_backward", args, nargs, 0, NULL) < 0) {
        return NULL;
    }
    c.kernels->sigmoid_backward(c.dy, c.in, c.out, c.n);
    return pointwise_end(&c);
}
