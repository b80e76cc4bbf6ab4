/* adaptive_avg_pool2d: (x, OH, OW) -> y;  (dy, H, W, channels_last) -> dx. See csrc/kernels/adaptive_avg_pool2d.c. */
#include "pool2d.h"

static const char *const NAME = "adaptive_avg_pool2d";

PyObject *py_adaptive_avg_pool2d_forward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    PyArrayObject *x = NULL, *y = NULL;
    pool2d s = {0};
    if (check_nargs(NAME, nargs, 3) < 0 || !(x = pool_input(args[0], NAME)) ||
        parse_size(args[1], NAME, "output_size", 0, PTRDIFF_MAX, &s.OH) < 0 ||
        parse_size(args[2], NAME, "output_size", 0, PTRDIFF_MAX, &s.OW) < 0 ||
        !(y = pool_new(x, s.OH, s.OW, PyArray_TYPE(x), order_of(x)))) {
        goto fail;
    }
    pool_input_sizes(&s, x);
    if (PyArray_SIZE(y) > 0) {
        PyThreadState *state = kernel_enter((double)PyArray_SIZE(x) + (double)PyArray_SIZE(y));
        kernels_of(x)->adaptive_avg_pool2d_forward(PyArray_DATA(x), PyArray_DATA(y), &s);
        if (kernel_leave(state) < 0) {
            goto fail;
        }
    }
    Py_DECREF(x);
    return (PyObject *)y;
fail:
    Py_XDECREF(x);
    Py_XDECREF(y);
    return NULL;
}

PyObject *py_adaptive_avg_pool2d_backward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    PyArrayObject *dy = NULL, *dx = NULL;
    ptrdiff_t order;
    pool2d s = {0};
    if (check_nargs(NAME, nargs, 4) < 0 || parse_size(args[3], NAME, "channels_last", 0, 1, &order) < 0 ||
        !(dy = array_arg_order(args[0], NAME, "grad_output", ANY_REAL, ANY_NDIM, order)) ||
        pool_gradient_sizes(&s, dy, args + 1, order, NAME) < 0) {
        goto fail;
    }
    int empty = PyArray_SIZE(dy) == 0; /* no window at all: every gradient is 0 */
    dx = pool_new(dy, s.H, s.W, PyArray_TYPE(dy), order);
    if (dx == NULL) {
        goto fail;
    }
    if (empty) {
        memset(PyArray_DATA(dx), 0, (size_t)PyArray_NBYTES(dx));
    } else {
        PyThreadState *state = kernel_enter((double)PyArray_SIZE(dx) + (double)PyArray_SIZE(dy));
        kernels_of(dy)->adaptive_avg_pool2d_backward(PyArray_DATA(dy), PyArray_DATA(dx), &s);
        if (kernel_leave(state) < 0) {
            goto fail;
        }
    }
    Py_DECREF(dy);
    return (PyObject *)dx;
fail:
    Py_XDECREF(dy);
    Py_XDECREF(dx);
    return NULL;
}
