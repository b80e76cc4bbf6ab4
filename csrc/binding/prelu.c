/* prelu: (x, w) -> y;  (dy, x, w) -> (dx, dw). See csrc/kernels/prelu.c. */
#include "binding.h"

/* x as the kernel sees it: rows, channels, size. */
static int parse(PyObject *const *args, const char *function, PyArrayObject **x, PyArrayObject **w, npy_intp sizes[3])
{
    if (!(*x = array_arg_dense(args[0], function, "input", ANY_REAL, ANY_NDIM)) ||
        !(*w = array_arg(args[1], function, "weight", PyArray_TYPE(*x), 1))) {
        return -1;
    }
    int ndim = PyArray_NDIM(*x);
    const npy_intp *dims = PyArray_DIMS(*x), channels = ndim >= 2 ? dims[1] : 1, slopes = PyArray_DIM(*w, 0);
    if (slopes == 1) {
        sizes[0] = sizes[1] = 1;
        sizes[2] = PyArray_SIZE(*x);
        return 0;
    }
    if (slopes != channels) {
        PyErr_Format(ShapeError, "%s: expected a weight of 1 or %zd (the channels of the input), got %zd", function,
                     (Py_ssize_t)channels, (Py_ssize_t)slopes);
        return -1;
    }
    npy_intp pixels = PyArray_MultiplyList(dims + 2, ndim - 2);
    int last = is_channels_last(*x);
    sizes[0] = last ? dims[0] * pixels : dims[0];
    sizes[1] = channels;
    sizes[2] = last ? 1 : pixels;
    return 0;
}

PyObject *py_prelu_forward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    PyArrayObject *x = NULL, *w = NULL, *y = NULL;
    npy_intp sizes[3];
    if (check_nargs("prelu", nargs, 2) < 0 || parse(args, "prelu", &x, &w, sizes) < 0 || !(y = array_new_like(x))) {
        goto done;
    }
    PyThreadState *state = kernel_enter((double)PyArray_SIZE(x));
    kernels_of(x)->prelu_forward(PyArray_DATA(x), PyArray_DATA(w), PyArray_DATA(y), sizes[0], sizes[1], sizes[2]);
    if (kernel_leave(state) < 0) {
        Py_CLEAR(y);
    }
done:
    Py_XDECREF(x);
    Py_XDECREF(w);
    return (PyObject *)y;
}

PyObject *py_prelu_backward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    PyArrayObject *x = NULL, *w = NULL, *dy = NULL, *dx = NULL, *dw = NULL;
    PyObject *result = NULL;
    npy_intp sizes[3];
    if (check_nargs("prelu_backward", nargs, 3) < 0 || parse(args + 1, "prelu_backward", &x, &w, sizes) < 0 ||
        !(dy = array_arg_like(args[0], "prelu_backward", "grad_output", x)) || !(dx = array_new_like(x)) ||
        !(dw = array_new_like(w))) {
        goto done;
    }
    PyThreadState *state = kernel_enter((double)PyArray_SIZE(x));
    kernels_of(x)->prelu_backward(PyArray_DATA(dy), PyArray_DATA(x), PyArray_DATA(w), PyArray_DATA(dx),
                                  PyArray_DATA(dw), sizes[0], sizes[1], sizes[2]);
    if (kernel_leave(state) == 0) {
        result = PyTuple_Pack(2, dx, dw);
    }
done:
    Py_XDECREF(x);
    Py_XDECREF(w);
    Py_XDECREF(dy);
    Py_XDECREF(dx);
    Py_XDECREF(dw);
    return result;
}
