/* hardtanh: (x, low, high) -> y;  (dy, y, low, high) -> dx. See csrc/kernels/hardtanh.c. */
#include "pointwise.h"

static const char *const names[] = {"min_val", "max_val"};

PyObject *py_hardtanh_forward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    struct pointwise c;
    if (pointwise_forward(&c, "hardtanh", args, nargs, 2, names) < 0) {
        return NULL;
    }
    c.kernels->hardtanh_forward(c.in, c.out, c.n, c.scalar[0], c.scalar[1]);
    return pointwise_end(&c);
}

PyObject *py_hardtanh_forward_(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    struct pointwise c;
    if (pointwise_inplace(&c, "hardtanh_", args, nargs, 2, names) < 0) {
        return NULL;
    }
    c.kernels->hardtanh_forward(c.in, c.out, c.n, c.scalar[0], c.scalar[1]);
    return pointwise_end(&c);
}

PyObject *py_hardtanh_backward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    struct pointwise c;
    if (pointwise_backward(&c, "hardtanh_backward", args, nargs, 2, names) < 0) {
        return NULL;
    }
    c.kernels->hardtanh_backward(c.dy, c.in, c.out, c.n, c.scalar[0], c.scalar[1]);
    return pointwise_end(&c);
}
