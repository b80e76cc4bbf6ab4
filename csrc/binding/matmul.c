/* matmul: (a, b) -> c.  (M,K) (K,N) -> (M,N), or (S,M,K) (S,K,N) -> (S,M,N). See csrc/kernels/matmul.c. */
#include "binding.h"

/* `object` as a 2-d or 3-d array whose strides count whole elements; no copy where that is already so. */
static PyArrayObject *parse_matrix(PyObject *object, const char *name, int type, int ndim)
{
    if (PyArray_Check(object)) {
        PyArrayObject *array = (PyArrayObject *)object;
        int got = PyArray_NDIM(array);
        int strided = PyArray_ISALIGNED(array) && PyArray_ISNOTSWAPPED(array) && (got == 2 || got == 3);
        for (int i = 0; strided && i < got; i++) {
            strided = PyArray_STRIDE(array, i) % PyArray_ITEMSIZE(array) == 0;
        }
        int type_fits = type == ANY_REAL ? PyArray_TYPE(array) == NPY_FLOAT || PyArray_TYPE(array) == NPY_DOUBLE
                                         : PyArray_TYPE(array) == type;
        if (strided && type_fits && (ndim == ANY_NDIM || ndim == got)) {
            Py_INCREF(array);
            return array;
        }
    }
    return array_arg(object, "matmul", name, type, ndim);
}

/* The last two strides and the first of three, in elements. */
static void element_strides(PyArrayObject *array, ptrdiff_t strides[3])
{
    int ndim = PyArray_NDIM(array);
    strides[0] = 0;
    for (int i = 0; i < ndim; i++) {
        strides[3 - ndim + i] = PyArray_STRIDE(array, i) / PyArray_ITEMSIZE(array);
    }
}

PyObject *py_matmul(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    PyArrayObject *a = NULL, *b = NULL, *c = NULL;
    char text_a[256], text_b[256];
    if (check_nargs("matmul", nargs, 2) < 0 || !(a = parse_matrix(args[0], "first argument", ANY_REAL, ANY_NDIM))) {
        goto fail;
    }
    int ndim = PyArray_NDIM(a);
    if (ndim != 2 && ndim != 3) {
        PyErr_Format(ShapeError, "matmul: first argument must have 2 or 3 dimensions, got shape %s",
                     shape_text(a, text_a, sizeof text_a));
        goto fail;
    }
    if (PyArray_Check(args[1]) && PyArray_TYPE((PyArrayObject *)args[1]) != PyArray_TYPE(a)) {
        PyErr_Format(DTypeError,
                     "matmul: first argument is %S, but second argument is %S; convert one of them, for example with "
                     ".float()",
                     PyArray_DESCR(a), PyArray_DESCR((PyArrayObject *)args[1]));
        goto fail;
    }
    if (!(b = parse_matrix(args[1], "second argument", PyArray_TYPE(a), ndim))) {
        goto fail;
    }
    ptrdiff_t S = ndim == 3 ? PyArray_DIM(a, 0) : 1;
    ptrdiff_t M = PyArray_DIM(a, ndim - 2), K = PyArray_DIM(a, ndim - 1), N = PyArray_DIM(b, ndim - 1);
    if (PyArray_DIM(b, ndim - 2) != K || (ndim == 3 && PyArray_DIM(b, 0) != S)) {
        PyErr_Format(ShapeError, "matmul: shapes %s and %s do not fit: expected (..., M, K) and (..., K, N)",
                     shape_text(a, text_a, sizeof text_a), shape_text(b, text_b, sizeof text_b));
        goto fail;
    }
    ptrdiff_t a_stride[3], b_stride[3], size;
    /* A broadcast view may be larger than memory; the kernel packs, so it must be able to count the elements. */
    if (__builtin_mul_overflow(M, K, &size) || __builtin_mul_overflow(K, N, &size) ||
        __builtin_mul_overflow(M, N, &size)) {
        PyErr_Format(ShapeError, "matmul: shapes %s and %s are too large", shape_text(a, text_a, sizeof text_a),
                     shape_text(b, text_b, sizeof text_b));
        goto fail;
    }
    element_strides(a, a_stride);
    element_strides(b, b_stride);
    npy_intp dims[3] = {S, M, N};
    if (!(c = array_new(ndim, dims + 3 - ndim, PyArray_TYPE(a), ROWS))) {
        goto fail;
    }
    const struct kernels *k = kernels_of(a);
    PyThreadState *state = kernel_enter((double)S * M * N * K / 8);
    k->matmul(PyArray_DATA(a), PyArray_DATA(b), PyArray_DATA(c), a_stride, b_stride, S, M, N, K);
    if (kernel_leave(state) < 0) {
        goto fail;
    }
    Py_DECREF(a);
    Py_DECREF(b);
    return (PyObject *)c;
fail:
    Py_XDECREF(a);
    Py_XDECREF(b);
    Py_XDECREF(c);
    return NULL;
}
