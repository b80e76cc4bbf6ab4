/* copy: memory orders, joining and taking apart. See csrc/kernels/copy.c. */
#include "binding.h"

/* A 4-d shape in the order of memory, outermost first, and the way back. */
static const int in_memory[2][4] = {{0, 1, 2, 3}, {0, 2, 3, 1}};
static const int in_shape[2][4] = {{0, 1, 2, 3}, {0, 3, 1, 2}};

static enum memory_order order_of(PyArrayObject *x) { return is_channels_last(x) ? CHANNELS_LAST : ROWS; }

/* `object` in this memory order: itself where it lies so already, else a copy. New reference. */
static PyArrayObject *in_order(PyObject *object, const char *function, const char *name, enum memory_order order)
{
    PyArrayObject *x = array_arg_dense(object, function, name, ANY_REAL, ANY_NDIM);
    if (x == NULL || PyArray_NDIM(x) != 4 || order_of(x) == order) {
        return x;
    }
    PyArrayObject *y = array_reordered(x, order);
    Py_DECREF(x);
    return y;
}

PyObject *py_copy_order(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    if (check_nargs("copy_order", nargs, 2) < 0) {
        return NULL;
    }
    int channels_last = PyObject_IsTrue(args[1]);
    return channels_last < 0 ? NULL : (PyObject *)in_order(args[0], "copy_order", "input", channels_last);
}

/* The sizes of a copy along one dimension: `outer` rows, in each of which index i of the dimension takes `inner`
 * values. `axis` counts as in the shape. */
static void row_sizes(PyArrayObject *x, int axis, enum memory_order order, npy_intp *outer, npy_intp *inner)
{
    int ndim = PyArray_NDIM(x);
    int place = ndim == 4 ? in_shape[order][axis] : axis;
    *outer = *inner = 1;
    for (int i = 0; i < ndim; i++) {
        npy_intp size = PyArray_DIM(x, ndim == 4 ? in_memory[order][i] : i);
        *(i < place ? outer : inner) *= i == place ? 1 : size;
    }
}

static int parse_axis(PyObject *object, const char *function, int ndim, int *axis)
{
    ptrdiff_t value;
    if (ndim == 0) {
        PyErr_Format(ShapeError, "%s: zero-dimensional arrays cannot be joined or split", function);
        return -1;
    }
    if (parse_size(object, function, "dim", -ndim, ndim - 1, &value) < 0) {
        return -1;
    }
    *axis = (int)(value < 0 ? value + ndim : value);
    return 0;
}

/* The shape of the joined array; -1 with an exception if one of them does not fit. */
static int joined_shape(PyObject *const *arrays, Py_ssize_t count, int axis, npy_intp *dims)
{
    PyArrayObject *first = (PyArrayObject *)arrays[0];
    int ndim = PyArray_NDIM(first);
    memcpy(dims, PyArray_DIMS(first), (size_t)ndim * sizeof *dims);
    for (Py_ssize_t k = 1; k < count; k++) {
        PyArrayObject *x = (PyArrayObject *)arrays[k];
        int same = PyArray_NDIM(x) == ndim;
        for (int i = 0; same && i < ndim; i++) {
            same = i == axis || PyArray_DIM(x, i) == dims[i];
        }
        if (!same) {
            char expected[256], got[256];
            PyErr_Format(ShapeError,
                         "cat: sizes must match except in dimension %d: expected %s, got %s in position %zd", axis,
                         shape_text(first, expected, sizeof expected), shape_text(x, got, sizeof got), k);
            return -1;
        }
        if (__builtin_add_overflow(dims[axis], PyArray_DIM(x, axis), &dims[axis])) {
            PyErr_SetString(ShapeError, "cat: the joined size is too large");
            return -1;
        }
    }
    return 0;
}

/* y[:, from : from + x's size] = x, in `outer` rows. */
static int join_one(PyArrayObject *x, PyArrayObject *y, int axis, enum memory_order order, npy_intp from)
{
    npy_intp outer, inner, length = PyArray_DIM(x, axis);
    row_sizes(y, axis, order, &outer, &inner);
    char *target = PyArray_BYTES(y) + from * inner * PyArray_ITEMSIZE(y);
    PyThreadState *state = kernel_enter((double)PyArray_SIZE(x));
    kernels_of(x)->copy_rows(PyArray_DATA(x), length * inner, target, PyArray_DIM(y, axis) * inner, outer,
                             length * inner);
    return kernel_leave(state);
}

/* Arrays of one real type, joined in the memory order of the first: turning the others is part of the copy. */
static PyArrayObject *join(PyObject *const *arrays, Py_ssize_t count, int axis)
{
    npy_intp dims[NPY_MAXDIMS], from = 0;
    PyArrayObject *first = (PyArrayObject *)arrays[0];
    if (joined_shape(arrays, count, axis, dims) < 0) {
        return NULL;
    }
    enum memory_order order = order_of(first);
    PyArrayObject *y = array_new(PyArray_NDIM(first), dims, PyArray_TYPE(first), order);
    for (Py_ssize_t k = 0; k < count && y != NULL; k++) {
        PyArrayObject *x = in_order(arrays[k], "cat", "array", order);
        if (x == NULL || join_one(x, y, axis, order, from) < 0) {
            Py_CLEAR(y);
        } else {
            from += PyArray_DIM(x, axis);
        }
        Py_XDECREF(x);
    }
    return y;
}

/* 1 if all are arrays of one real type, 0 if NumPy must find a common type, -1 with an exception. */
static int all_one_real_type(PyObject *const *arrays, Py_ssize_t count)
{
    int same = 1;
    for (Py_ssize_t k = 0; k < count; k++) {
        if (!PyArray_Check(arrays[k])) {
            PyErr_Format(PyExc_TypeError, "cat: expected arrays, got %s in position %zd", Py_TYPE(arrays[k])->tp_name,
                         k);
            return -1;
        }
        int type = PyArray_TYPE((PyArrayObject *)arrays[k]);
        same &= (type == NPY_FLOAT || type == NPY_DOUBLE) && type == PyArray_TYPE((PyArrayObject *)arrays[0]);
    }
    return same;
}

PyObject *py_cat(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *list = NULL, *y = NULL;
    if (check_nargs("cat", nargs, 2) < 0 || !(list = items_arg(args[0], "cat", "arrays"))) {
        return NULL;
    }
    Py_ssize_t count = PyTuple_GET_SIZE(list);
    PyObject *const *arrays = PySequence_Fast_ITEMS(list);
    int axis, real = all_one_real_type(arrays, count);
    if (real < 0) {
        goto done;
    }
    if (count == 0) {
        PyErr_SetString(PyExc_ValueError, "cat: expected a non-empty list of arrays");
        goto done;
    }
    if (parse_axis(args[1], "cat", PyArray_NDIM((PyArrayObject *)arrays[0]), &axis) < 0) {
        goto done;
    }
    y = real ? (PyObject *)join(arrays, count, axis) : PyArray_Concatenate(list, axis);
done:
    Py_DECREF(list);
    return y;
}

/* x[:, from : from + length] as a new array of x's memory order. */
static PyArrayObject *split_one(PyArrayObject *x, int axis, npy_intp from, npy_intp length)
{
    enum memory_order order = order_of(x);
    npy_intp dims[NPY_MAXDIMS], outer, inner;
    memcpy(dims, PyArray_DIMS(x), (size_t)PyArray_NDIM(x) * sizeof *dims);
    dims[axis] = length;
    PyArrayObject *y = array_new(PyArray_NDIM(x), dims, PyArray_TYPE(x), order);
    if (y == NULL) {
        return NULL;
    }
    row_sizes(x, axis, order, &outer, &inner);
    const char *source = PyArray_BYTES(x) + from * inner * PyArray_ITEMSIZE(x);
    PyThreadState *state = kernel_enter((double)PyArray_SIZE(y));
    kernels_of(x)->copy_rows(source, PyArray_DIM(x, axis) * inner, PyArray_DATA(y), length * inner, outer,
                             length * inner);
    if (kernel_leave(state) < 0) {
        Py_CLEAR(y);
    }
    return y;
}

PyObject *py_split(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    PyArrayObject *x = NULL;
    PyObject *sizes = NULL, *pieces = NULL;
    if (check_nargs("split", nargs, 3) < 0 || !(x = array_arg_dense(args[0], "split", "input", ANY_REAL, ANY_NDIM)) ||
        !(sizes = items_arg(args[1], "split", "sizes"))) {
        goto fail;
    }
    int axis;
    if (parse_axis(args[2], "split", PyArray_NDIM(x), &axis) < 0) {
        goto fail;
    }
    Py_ssize_t count = PyTuple_GET_SIZE(sizes);
    npy_intp from = 0, whole = PyArray_DIM(x, axis);
    if (!(pieces = PyList_New(count))) {
        goto fail;
    }
    for (Py_ssize_t k = 0; k < count; k++) {
        ptrdiff_t length;
        if (parse_size(PyTuple_GET_ITEM(sizes, k), "split", "size", 0, whole - from, &length) < 0) {
            goto fail;
        }
        PyArrayObject *piece = split_one(x, axis, from, length);
        if (piece == NULL) {
            goto fail;
        }
        PyList_SET_ITEM(pieces, k, (PyObject *)piece);
        from += length;
    }
    if (from != whole) {
        PyErr_Format(ShapeError, "split: the sizes must add up to %zd, got %zd", (Py_ssize_t)whole, (Py_ssize_t)from);
        goto fail;
    }
    Py_DECREF(sizes);
    Py_DECREF(x);
    return pieces;
fail:
    Py_XDECREF(pieces);
    Py_XDECREF(sizes);
    Py_XDECREF(x);
    return NULL;
}
