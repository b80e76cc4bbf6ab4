/* hardswish: (x) -> y;  (dy, x) -> dx. See csrc/kernels/hardswish.c. */
#include "pointwise.h"

PyObject *py_hardswish_forward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    struct pointwise c;
    if (pointwise_forward(&c, "hardswish", args, nargs, 0, NULL) < 0) {
        return NULL;
    }
    c.kernels->hardswish_forward(c.in, c.out, c.n);
    return pointwise_end(&c);
}

PyObject *py_hardswish_forward_(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    struct pointwise c;
    if (pointwise_inplace(&c, "hardswish_", args, nargs, 0, NULL) < 0) {
        return NULL;
    }
    c.kernels->hardswish_forward(c.in, c.out, c.n);
    return pointwise_end(&c);
}

PyObject *py_hardswish_backward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    struct pointwise c;
    if (pointwise_backward(&c, "hardswish_backward", args, nargs, 0, NULL) < 0) {
        return NULL;
    }
    c.kernels->hardswish_backward(c.dy, c.in, c.out, c.n);
    return pointwise_end(&c);
}
