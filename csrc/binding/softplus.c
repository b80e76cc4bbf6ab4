/* softplus: (x, beta, threshold) -> y;  (dy, x, beta, threshold) -> dx. See csrc/kernels/softplus.c. */
#include "pointwise.h"

static const char *const names[] = {"beta", "threshold"};

PyObject *py_softplus_forward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    struct pointwise c;
    if (pointwise_forward(&c, "softplus", args, nargs, 2, names) < 0) {
        return NULL;
    }
    c.kernels->softplus_forward(c.in, c.out, c.n, c.scalar[0], c.scalar[1]);
    return pointwise_end(&c);
}

PyObject *py_softplus_backward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    struct pointwise c;
    if (pointwise_backward(&c, "softplus_backward", args, nargs, 2, names) < 0) {
        return NULL;
    }
    c.kernels->softplus_backward(c.dy, c.in, c.out, c.n, c.scalar[0], c.scalar[1]);
    return pointwise_end(&c);
}
