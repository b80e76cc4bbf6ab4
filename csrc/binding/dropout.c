/* dropout: (x, mask, p) -> y, for bytes that say what to keep; backward is the same function of dy. See
 * csrc/kernels/dropout.c. */
#include "binding.h"

/* The mask as bytes in the memory order of x: itself where it lies so already. */
static PyArrayObject *mask_like(PyObject *object, const char *function, PyArrayObject *x)
{
    PyArrayObject *mask = array_arg(object, function, "mask", NPY_UINT8, PyArray_NDIM(x));
    if (mask == NULL || !PyArray_SAMESHAPE(mask, x)) {
        char expected[256], got[256];
        if (mask != NULL) {
            PyErr_Format(ShapeError, "%s: mask must have shape %s, got %s", function,
                         shape_text(x, expected, sizeof expected), shape_text(mask, got, sizeof got));
        }
        Py_XDECREF(mask);
        return NULL;
    }
    if (!is_channels_last(x)) {
        return mask;
    }
    PyArrayObject *turned = array_new(4, PyArray_DIMS(x), NPY_UINT8, CHANNELS_LAST);
    if (turned != NULL && PyArray_CopyInto(turned, mask) < 0) {
        Py_CLEAR(turned);
    }
    Py_DECREF(mask);
    return turned;
}

PyObject *py_dropout(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    PyArrayObject *x = NULL, *mask = NULL, *y = NULL;
    double p;
    if (check_nargs("dropout", nargs, 3) < 0 ||
        !(x = array_arg_dense(args[0], "dropout", "input", ANY_REAL, ANY_NDIM)) ||
        !(mask = mask_like(args[1], "dropout", x)) || parse_double(args[2], "dropout", "p", &p) < 0 ||
        !(y = array_new_like(x))) {
        goto fail;
    }
    PyThreadState *state = kernel_enter((double)PyArray_SIZE(x));
    kernels_of(x)->dropout(PyArray_DATA(x), PyArray_DATA(mask), PyArray_DATA(y), PyArray_SIZE(x), p);
    if (kernel_leave(state) < 0) {
        goto fail;
    }
    Py_DECREF(x);
    Py_DECREF(mask);
    return (PyObject *)y;
fail:
    Py_XDECREF(x);
    Py_XDECREF(mask);
    Py_XDECREF(y);
    return NULL;
}

PyObject *py_feature_dropout(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    PyArrayObject *x = NULL, *mask = NULL, *y = NULL;
    double p;
    if (check_nargs("feature_dropout", nargs, 3) < 0 ||
        !(x = array_arg_dense(args[0], "feature_dropout", "input", ANY_REAL, ANY_NDIM)) ||
        !(mask = array_arg(args[1], "feature_dropout", "mask", NPY_UINT8, 2)) ||
        parse_double(args[2], "feature_dropout", "p", &p) < 0) {
        goto fail;
    }
    const npy_intp *dims = PyArray_DIMS(x), *drawn = PyArray_DIMS(mask);
    if (PyArray_NDIM(x) < 2 || dims[0] != drawn[0] || dims[1] != drawn[1]) {
        char shape[256], text[256];
        PyErr_Format(ShapeError, "feature_dropout: mask must have the first two sizes of the input %s, got %s",
                     shape_text(x, shape, sizeof shape), shape_text(mask, text, sizeof text));
        goto fail;
    }
    if (!(y = array_new_like(x))) {
        goto fail;
    }
    npy_intp size = PyArray_MultiplyList(dims + 2, PyArray_NDIM(x) - 2);
    PyThreadState *state = kernel_enter((double)PyArray_SIZE(x));
    kernels_of(x)->feature_dropout(PyArray_DATA(x), PyArray_DATA(mask), PyArray_DATA(y), dims[0], dims[1], size,
                                   is_channels_last(x), p);
    if (kernel_leave(state) < 0) {
        goto fail;
    }
    Py_DECREF(x);
    Py_DECREF(mask);
    return (PyObject *)y;
fail:
    Py_XDECREF(x);
    Py_XDECREF(mask);
    Py_XDECREF(y);
    return NULL;
}
