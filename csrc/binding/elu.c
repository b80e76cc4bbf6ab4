/* elu: (x, alpha, scale, k) -> y;  (dy, x, alpha, scale, k) -> dx. See csrc/kernels/elu.c. */
#include "pointwise.h"

static const char *const names[] = {"alpha", "scale", "input_scale"};

PyObject *py_elu_forward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    struct pointwise c;
    if (pointwise_forward(&c, "elu", args, nargs, 3, names) < 0) {
        return NULL;
    }
    c.kernels->elu_forward(c.in, c.out, c.n, c.scalar[0], c.scalar[1], c.scalar[2]);
    return pointwise_end(&c);
}

PyObject *py_elu_forward_(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    struct pointwise c;
    if (pointwise_inplace(&c, "elu_", args, nargs, 3, names) < 0) {
        return NULL;
    }
    c.kernels->elu_forward(c.in, c.out, c.n, c.scalar[0], c.scalar[1], c.scalar[2]);
    return pointwise_end(&c);
}

PyObject *py_elu_backward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    struct pointwise c;
    if (pointwise_backward(&c, "elu_backward", args, nargs, 3, names) < 0) {
        return NULL;
    }
    c.kernels->elu_backward(c.dy, c.in, c.out, c.n, c.scalar[0], c.scalar[1], c.scalar[2]);
    return pointwise_end(&c);
}

PyObject *py_elu_backward_from_y(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    struct pointwise c;
    if (pointwise_backward(&c, "elu_backward", args, nargs, 3, names) < 0) {
        return NULL;
    }
    c.kernels->elu_backward_from_y(c.dy, c.in, c.out, c.n, c.scalar[0], c.scalar[1], c.scalar[2]);
    return pointwise_end(&c);
}
