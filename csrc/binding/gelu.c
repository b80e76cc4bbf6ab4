/* gelu: (x) -> y;  (dy, x) -> dx. See csrc/kernels/gelu.c. */
#include "pointwise.h"

PyObject *py_gelu_forward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    struct pointwise c;
    if (pointwise_forward(&c, "gelu", args, nargs, 0, NULL) < 0) {
        return NULL;
    }
    c.kernels->gelu_forward(c.in, c.out, c.n);
    return pointwise_end(&c);
}

PyObject *py_gelu_backward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    struct pointwise c;
    if (pointwise_backward(&c, "gelu_backward", args, nargs, 0, NULL) < 0) {
        return NULL;
    }
    c.kernels->gelu_backward(c.dy, c.in, c.out, c.n);
    return pointwise_end(&c);
}

PyObject *py_gelu_tanh_forward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    struct pointwise c;
    if (pointwise_forward(&c, "gelu", args, nargs, 0, NULL) < 0) {
        return NULL;
    }
    c.kernels->gelu_tanh_forward(c.in, c.out, c.n);
    return pointwise_end(&c);
}

PyObject *py_gelu_tanh_backward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    struct pointwise c;
    if (pointwise_backward(&c, "gelu_backward", args, nargs, 0, NULL) < 0) {
        return NULL;
    }
    c.kernels->gelu_tanh_backward(c.dy, c.in, c.out, c.n);
    return pointwise_end(&c);
}
