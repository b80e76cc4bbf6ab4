/* leaky_relu: (x, slope) -> y;  (dy, s, slope) -> dx. See csrc/kernels/leaky_relu.c. */
#include "pointwise.h"

static const char *const names[] = {"negative_slope"};

PyObject *py_leaky_relu_forward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    struct pointwise c;
    if (pointwise_forward(&c, "leaky_relu", args, nargs, 1, names) < 0) {
        return NULL;
    }
    c.kernels->leaky_relu_forward(c.in, c.out, c.n, c.scalar[0]);
    return pointwise_end(&c);
}

PyObject *py_leaky_relu_forward_(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    struct pointwise c;
    if (pointwise_inplace(&c, "leaky_relu_", args, nargs, 1, names) < 0) {
        return NULL;
    }
    c.kernels->leaky_relu_forward(c.in, c.out, c.n, c.scalar[0]);
    return pointwise_end(&c);
}

PyObject *py_leaky_relu_backward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    struct pointwise c;
    if (pointwise_backward(&c, "leaky_relu_backward", args, nargs, 1, names) < 0) {
        return NULL;
    }
    c.kernels->leaky_relu_backward(c.dy, c.in, c.out, c.n, c.scalar[0]);
    return pointwise_end(&c);
}
