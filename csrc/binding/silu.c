/* silu: (x) -> y;  (dy, x) -> dx. See csrc/kernels/silu.c. */
#include "pointwise.h"

PyObject *py_silu_forward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    struct pointwise c;
    if (pointwise_forward(&c, "silu", args, nargs, 0, NULL) < 0) {
        return NULL;
    }
    c.kernels->silu_forward(c.in, c.out, c.n);
    return pointwise_end(&c);
}

PyObject *py_silu_forward_(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    struct pointwise c;
    if (pointwise_inplace(&c, "silu_", args, nargs, 0, NULL) < 0) {
        return NULL;
    }
    c.kernels->silu_forward(c.in, c.out, c.n);
    return pointwise_end(&c);
}

PyObject *py_silu_backward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    struct pointwise c;
    if (pointwise_backward(&c, "silu_backward", args, nargs, 0, NULL) < 0) {
        return NULL;
    }
    c.kernels->silu_backward(c.dy, c.in, c.out, c.n);
    return pointwise_end(&c);
}
