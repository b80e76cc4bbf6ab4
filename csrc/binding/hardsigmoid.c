/* hardsigmoid: (x) -> y;  (dy, y) -> dx. See csrc/kernels/hardsigmoid.c. */
#include "pointwise.h"

PyObject *py_hardsigmoid_forward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    struct pointwise c;
    if (pointwise_forward(&c, "hardsigmoid", args, nargs, 0, NULL) < 0) {
        return NULL;
    }
    c.kernels->hardsigmoid_forward(c.in, c.out, c.n);
    return pointwise_end(&c);
}

PyObject *py_hardsigmoid_forward_(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    struct pointwise c;
    if (pointwise_inplace(&c, "hardsigmoid_", args, nargs, 0, NULL) < 0) {
        return NULL;
    }
    c.kernels->hardsigmoid_forward(c.in, c.out, c.n);
    return pointwise_end(&c);
}

PyObject *py_hardsigmoid_backward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    struct pointwise c;
    if (pointwise_backward(&c, "hardsigmoid_backward", args, nargs, 0, NULL) < 0) {
        return NULL;
    }
    c.kernels->hardsigmoid_backward(c.dy, c.in, c.out, c.n);
    return pointwise_end(&c);
}
