/* adaptive_max_pool2d: (x, OH, OW) -> (y, argmax);  (dy, argmax, H, W, channels_last) -> dx.
 * See csrc/kernels/adaptive_max_pool2d.c. */
#include "pool2d.h"

static const char *const NAME = "adaptive_max_pool2d";

PyObject *py_adaptive_max_pool2d_forward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    PyArrayObject *x = NULL, *y = NULL, *argmax = NULL;
    pool2d s = {0};
    if (check_nargs(NAME, nargs, 3) < 0 || !(x = pool_input(args[0], NAME)) ||
        parse_size(args[1], NAME, "output_size", 0, PTRDIFF_MAX, &s.OH) < 0 ||
        parse_size(args[2], NAME, "output_size", 0, PTRDIFF_MAX, &s.OW) < 0) {
        goto fail;
    }
    pool_input_sizes(&s, x);
    if (s.H > INT32_MAX / s.W) {
        PyErr_Format(ShapeError, "%s: planes of more than 2^31 pixels are not supported, got %zd x %zd", NAME, s.H,
                     s.W);
        goto fail;
    }
    if (!(y = pool_new(x, s.OH, s.OW, PyArray_TYPE(x), order_of(x))) ||
        !(argmax = pool_new(x, s.OH, s.OW, NPY_INT32, order_of(x)))) {
        goto fail;
    }
    if (PyArray_SIZE(y) > 0) {
        PyThreadState *state = kernel_enter((double)PyArray_SIZE(x) + (double)PyArray_SIZE(y));
        kernels_of(x)->adaptive_max_pool2d_forward(PyArray_DATA(x), PyArray_DATA(y), PyArray_DATA(argmax), &s);
        if (kernel_leave(state) < 0) {
            goto fail;
        }
    }
    Py_DECREF(x);
    return Py_BuildValue("(NN)", y, argmax);
fail:
    Py_XDECREF(x);
    Py_XDECREF(y);
    Py_XDECREF(argmax);
    return NULL;
}

PyObject *py_adaptive_max_pool2d_backward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    PyArrayObject *dy = NULL, *argmax = NULL, *dx = NULL;
    ptrdiff_t order;
    pool2d s = {0};
    if (check_nargs(NAME, nargs, 5) < 0 || parse_size(args[4], NAME, "channels_last", 0, 1, &order) < 0 ||
        !(dy = array_arg_order(args[0], NAME, "grad_output", ANY_REAL, ANY_NDIM, order)) ||
        !(argmax = array_arg_order(args[1], NAME, "argmax", NPY_INT32, PyArray_NDIM(dy), order)) ||
        pool_gradient_sizes(&s, dy, args + 2, order, NAME) < 0) {
        goto fail;
    }
    if (s.H > INT32_MAX / s.W) {
        PyErr_Format(ShapeError, "%s: planes of more than 2^31 pixels are not supported, got %zd x %zd", NAME, s.H,
                     s.W);
        goto fail;
    }
    if (!PyArray_SAMESHAPE(dy, argmax)) {
        PyErr_Format(ShapeError, "%s: grad_output and output differ in shape", NAME);
        goto fail;
    }
    if (!(dx = pool_new(dy, s.H, s.W, PyArray_TYPE(dy), order))) {
        goto fail;
    }
    PyThreadState *state = kernel_enter((double)PyArray_SIZE(dx) + (double)PyArray_SIZE(dy));
    kernels_of(dy)->adaptive_max_pool2d_backward(PyArray_DATA(dy), PyArray_DATA(dx), PyArray_DATA(argmax), &s);
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
