/* softmax: (x, dim) -> y;  (dy, y, dim) -> dx. See csrc/kernels/softmax.c. */
#include "softmax.h"

typedef struct {
    ptrdiff_t outer, D, inner;
} split;

/* The array's memory as (outer, D, inner), D being its dimension `dim`. */
static split split_at(PyArrayObject *array, ptrdiff_t dim)
{
    static const int channels_last[4] = {0, 2, 3, 1};
    split s = {1, 1, 1};
    int seen = 0;
    for (int i = 0; i < PyArray_NDIM(array); i++) {
        int axis = is_channels_last(array) ? channels_last[i] : i;
        if (axis == dim) {
            s.D = PyArray_DIM(array, axis);
            seen = 1;
        } else if (seen) {
            s.inner *= PyArray_DIM(array, axis);
        } else {
            s.outer *= PyArray_DIM(array, axis);
        }
    }
    return s;
}

static int parse_dim(PyObject *object, const char *function, PyArrayObject *array, ptrdiff_t *dim)
{
    int ndim = PyArray_NDIM(array);
    return parse_size(object, function, "dim", 0, ndim > 0 ? ndim - 1 : 0, dim);
}

PyObject *softmax_forward_binding(const char *function, PyObject *const *args, Py_ssize_t nargs,
                                  softmax_forward_kernel *const kernels[2])
{
    PyArrayObject *x = NULL, *y = NULL;
    ptrdiff_t dim;
    if (check_nargs(function, nargs, 2) < 0 || !(x = array_arg_dense(args[0], function, "input", ANY_REAL, ANY_NDIM)) ||
        parse_dim(args[1], function, x, &dim) < 0 || !(y = array_new_like(x))) {
        goto fail;
    }
    if (PyArray_SIZE(x) > 0) {
        split s = split_at(x, dim);
        PyThreadState *state = kernel_enter(4.0 * (double)PyArray_SIZE(x));
        kernels[PyArray_TYPE(x) == NPY_DOUBLE](PyArray_DATA(x), PyArray_DATA(y), s.outer, s.D, s.inner);
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

PyObject *softmax_backward_binding(const char *function, PyObject *const *args, Py_ssize_t nargs,
                                   softmax_backward_kernel *const kernels[2])
{
    PyArrayObject *dy = NULL, *y = NULL, *dx = NULL;
    ptrdiff_t dim;
    if (check_nargs(function, nargs, 3) < 0 ||
        !(y = array_arg_dense(args[1], function, "output", ANY_REAL, ANY_NDIM)) ||
        !(dy = array_arg_like(args[0], function, "grad_output", y)) || parse_dim(args[2], function, y, &dim) < 0 ||
        !(dx = array_new_like(y))) {
        goto fail;
    }
    if (PyArray_SIZE(y) > 0) {
        split s = split_at(y, dim);
        PyThreadState *state = kernel_enter(4.0 * (double)PyArray_SIZE(y));
        kernels[PyArray_TYPE(y) == NPY_DOUBLE](PyArray_DATA(dy), PyArray_DATA(y), PyArray_DATA(dx), s.outer, s.D,
                                               s.inner);
        if (kernel_leave(state) < 0) {
            goto fail;
        }
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

PyObject *py_softmax_forward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    softmax_forward_kernel *kernels[] = {kernels_for(REAL_F32)->softmax_forward,
                                         kernels_for(REAL_F64)->softmax_forward};
    return softmax_forward_binding("softmax", args, nargs, kernels);
}

PyObject *py_softmax_backward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    softmax_backward_kernel *kernels[] = {kernels_for(REAL_F32)->softmax_backward,
                                          kernels_for(REAL_F64)->softmax_backward};
    return softmax_backward_binding("softmax", args, nargs, kernels);
}
