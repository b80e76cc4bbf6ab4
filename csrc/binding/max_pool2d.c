/* max_pool2d: (x, window, ceil_mode, keep) -> (y, argmax or None);  (dy, argmax, H, W, channels_last, window) -> dx,
 * where the window is KH, KW, SH, SW, PH, PW, DH, DW. See csrc/kernels/max_pool2d.c. */
#include "pool2d.h"

static const char *const NAME = "max_pool2d";

PyObject *py_max_pool2d_forward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    PyArrayObject *x = NULL, *y = NULL, *argmax = NULL;
    ptrdiff_t ceil_mode, keep;
    pool2d s;
    if (check_nargs(NAME, nargs, 11) < 0 || !(x = pool_input(args[0], NAME)) ||
        pool_window_sizes(&s, args + 1, 1, NAME) < 0 || parse_size(args[9], NAME, "ceil_mode", 0, 1, &ceil_mode) < 0 ||
        parse_size(args[10], NAME, "keep", 0, 1, &keep) < 0) {
        goto fail;
    }
    pool_input_sizes(&s, x);
    if (pool_output_sizes(&s, (int)ceil_mode, NAME) < 0 ||
        !(y = pool_new(x, s.OH, s.OW, PyArray_TYPE(x), order_of(x))) ||
        (keep && !(argmax = pool_new(x, s.OH, s.OW, NPY_INT32, order_of(x))))) {
        goto fail;
    }
    PyThreadState *state = kernel_enter(pool_work(&s));
    kernels_of(x)->max_pool2d_forward(PyArray_DATA(x), PyArray_DATA(y), keep ? PyArray_DATA(argmax) : NULL, &s);
    if (kernel_leave(state) < 0) {
        goto fail;
    }
    Py_DECREF(x);
    return keep ? Py_BuildValue("(NN)", y, argmax) : Py_BuildValue("(NO)", y, Py_None);
fail:
    Py_XDECREF(x);
    Py_XDECREF(y);
    Py_XDECREF(argmax);
    return NULL;
}

PyObject *py_max_pool2d_backward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    PyArrayObject *dy = NULL, *argmax = NULL, *dx = NULL;
    ptrdiff_t order;
    pool2d s;
    if (check_nargs(NAME, nargs, 13) < 0 || parse_size(args[4], NAME, "channels_last", 0, 1, &order) < 0 ||
        !(dy = array_arg_order(args[0], NAME, "grad_output", ANY_REAL, ANY_NDIM, order)) ||
        !(argmax = array_arg_order(args[1], NAME, "argmax", NPY_INT32, PyArray_NDIM(dy), order)) ||
        pool_window_sizes(&s, args + 5, 1, NAME) < 0 || pool_gradient_sizes(&s, dy, args + 2, order, NAME) < 0 ||
        pool_check_gradient(&s, NAME) < 0) {
        goto fail;
    }
    if (!PyArray_SAMESHAPE(dy, argmax)) {
        PyErr_Format(ShapeError, "%s: grad_output and output differ in shape", NAME);
        goto fail;
    }
    if (!(dx = pool_new(dy, s.H, s.W, PyArray_TYPE(dy), order))) {
        goto fail;
    }
    PyThreadState *state = kernel_enter((double)PyArray_SIZE(dx));
    kernels_of(dy)->max_pool2d_backward(PyArray_DATA(dy), PyArray_DATA(dx), PyArray_DATA(argmax), &s);
    if (kernel_leave(state) < 0) {
        goto fail;
    }
    Py_DECREF(dy);
    Py_DECREF(argmax);
    return (PyObject *)dx;
fail:
    Py_XDECREF(dy);
    Py_XDECREF(argmax);
    Py_XDECREF(dx);
    return NULL;
}
