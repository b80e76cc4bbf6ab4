/* avg_pool2d: (x, window, ceil_mode, count_include_pad, divisor_override) -> y;  (dy, H, W, channels_last, window,
 * count_include_pad, divisor_override) -> dx, where the window is KH, KW, SH, SW, PH, PW and a divisor_override of 0
 * means none. See csrc/kernels/avg_pool2d.c. */
#include "pool2d.h"

static const char *const NAME = "avg_pool2d";

static int parse_divisor(PyObject *const *args, ptrdiff_t *count_include_pad, ptrdiff_t *divisor_override)
{
    return parse_size(args[0], NAME, "count_include_pad", 0, 1, count_include_pad) < 0 ||
                   parse_size(args[1], NAME, "divisor_override", PTRDIFF_MIN, PTRDIFF_MAX, divisor_override) < 0
               ? -1
               : 0;
}

PyObject *py_avg_pool2d_forward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    PyArrayObject *x = NULL, *y = NULL;
    ptrdiff_t ceil_mode, count_include_pad, divisor_override;
    pool2d s;
    if (check_nargs(NAME, nargs, 10) < 0 || !(x = pool_input(args[0], NAME)) ||
        pool_window_sizes(&s, args + 1, 0, NAME) < 0 || parse_size(args[7], NAME, "ceil_mode", 0, 1, &ceil_mode) < 0 ||
        parse_divisor(args + 8, &count_include_pad, &divisor_override) < 0) {
        goto fail;
    }
    pool_input_sizes(&s, x);
    if (pool_output_sizes(&s, (int)ceil_mode, NAME) < 0 ||
        !(y = pool_new(x, s.OH, s.OW, PyArray_TYPE(x), order_of(x)))) {
        goto fail;
    }
    PyThreadState *state = kernel_enter(pool_work(&s));
    kernels_of(x)->avg_pool2d_forward(PyArray_DATA(x), PyArray_DATA(y), &s, (int)count_include_pad, divisor_override);
    if (kernel_leave(state) < 0) {
        goto fail;
    }
    Py_DECREF(x);
    return (PyObject *)y;
fail:
    Py_XDECREF(x);
    Py_XDECREF(y);
    return NULL;
}

PyObject *py_avg_pool2d_backward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    PyArrayObject *dy = NULL, *dx = NULL;
    ptrdiff_t order, count_include_pad, divisor_override;
    pool2d s;
    if (check_nargs(NAME, nargs, 12) < 0 || parse_size(args[3], NAME, "channels_last", 0, 1, &order) < 0 ||
        !(dy = array_arg_order(args[0], NAME, "grad_output", ANY_REAL, ANY_NDIM, order)) ||
        pool_window_sizes(&s, args + 4, 0, NAME) < 0 || pool_gradient_sizes(&s, dy, args + 1, order, NAME) < 0 ||
        pool_check_gradient(&s, NAME) < 0 || parse_divisor(args + 10, &count_include_pad, &divisor_override) < 0 ||
        !(dx = pool_new(dy, s.H, s.W, PyArray_TYPE(dy), order))) {
        goto fail;
    }
    PyThreadState *state = kernel_enter(pool_work(&s));
    kernels_of(dy)->avg_pool2d_backward(PyArray_DATA(dy), PyArray_DATA(dx), &s, (int)count_include_pad,
                                        divisor_override);
    if (kernel_leave(state) < 0) {
        goto fail;
    }
    Py_DECREF(dy);
    return (PyObject *)dx;
fail:
    Py_XDECREF(dy);
    Py_XDECREF(dx);
    return NULL;
}
