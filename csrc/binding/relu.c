/* relu: (x) -> y;  (dy, y) -> dx. See csrc/kernels/relu.c. */
#include "binding.h"

PyObject *py_relu_forward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    PyArrayObject *x = NULL, *y = NULL;
    if (check_nargs("relu", nargs, 1) < 0 || !(x = array_arg_dense(args[0], "relu", "input", ANY_REAL, ANY_NDIM))) {
        goto fail;
    }
    if (!(y = array_new_like(x))) {
        goto fail;
    }
    PyThreadState *state = kernel_enter((double)PyArray_SIZE(x));
    kernels_of(x)->relu_forward(PyArray_DATA(x), PyArray_DATA(y), PyArray_SIZE(x));
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

PyObject *py_relu_forward_(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    PyArrayObject *x = NULL;
    if (check_nargs("relu_", nargs, 1) < 0 || !(x = array_arg_inplace(args[0], "relu_", "input", ANY_REAL))) {
        return NULL;
    }
    PyThreadState *state = kernel_enter((double)PyArray_SIZE(x));
    kernels_of(x)->relu_forward(PyArray_DATA(x), PyArray_DATA(x), PyArray_SIZE(x));
    if (kernel_leave(state) < 0) {
        Py_CLEAR(x);
    }
    return (PyObject *)x;
}

PyObject *py_relu_backward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    PyArrayObject *dy = NULL, *y = NULL, *dx = NULL;
    if (check_nargs("relu_backward", nargs, 2) < 0 ||
        !(y = array_arg_dense(args[1], "relu_backward", "output", ANY_REAL, ANY_NDIM)) ||
        !(dy = array_arg_like(args[0], "relu_backward", "grad_output", y)) || !(dx = array_new_like(y))) {
        goto fail;
    }
    PyThreadState *state = kernel_enter((double)PyArray_SIZE(y));
    kernels_of(y)->relu_backward(PyArray_DATA(dy), PyArray_DATA(y), PyArray_DATA(dx), PyArray_SIZE(y));
    if (kernel_leave(state) < 0) {
        goto fail;
    }
    Py_DECREF(dy);
    Py_DECREF(y);
    return (PyObject *)dx;
fail:
    Py_XDECREF(dy);
    Py_XDECREF(y);
    Py_XDECREF(dx);
    return NULL;
}
