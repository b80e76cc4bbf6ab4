/* image_batch: (images, indices, moves, table, height, width) -> y. See csrc/kernels/image_batch.c. */
#include "binding.h"

/* The bytes as they lie: a data set is never copied for a batch. */
static PyArrayObject *bytes_arg(PyObject *object)
{
    if (PyArray_Check(object)) {
        PyArrayObject *array = (PyArrayObject *)object;
        if (PyArray_TYPE(array) == NPY_UINT8 && PyArray_NDIM(array) == 4) {
            return (PyArrayObject *)Py_NewRef(object);
        }
    }
    return array_arg(object, "image_batch", "images", NPY_UINT8, 4);
}

static int check_shapes(PyArrayObject *x, PyArrayObject *indices, PyArrayObject *moves, PyArrayObject *table)
{
    const npy_intp n = PyArray_DIM(indices, 0), channels = PyArray_DIM(x, 1);
    char text[256];
    if (PyArray_DIM(moves, 0) != n || PyArray_DIM(moves, 1) != 2 || PyArray_DIM(moves, 2) != 4) {
        PyErr_Format(ShapeError, "image_batch: moves must have shape (%zd, 2, 4), got %s", (Py_ssize_t)n,
                     shape_text(moves, text, sizeof text));
        return -1;
    }
    if (PyArray_DIM(table, 0) != channels || PyArray_DIM(table, 1) != 256) {
        PyErr_Format(ShapeError, "image_batch: table must have shape (%zd, 256), got %s", (Py_ssize_t)channels,
                     shape_text(table, text, sizeof text));
        return -1;
    }
    return 0;
}

/* first + step * i must lie within the image for begin <= i < end, and these within the result. */
static int is_within(const int64_t *move, npy_intp size, ptrdiff_t out_size)
{
    const int64_t first = move[0], step = move[1], begin = move[2], end = move[3], far = (int64_t)1 << 40;
    if (begin < 0 || begin > end || end > out_size) {
        return 0;
    }
    if (begin == end) {
        return 1;
    }
    if ((step != 1 && step != -1) || first < -far || first > far) {
        return 0;
    }
    const int64_t a = first + step * begin, b = first + step * (end - 1);
    return a >= 0 && a < size && b >= 0 && b < size;
}

static int check_values(PyArrayObject *x, PyArrayObject *indices, PyArrayObject *moves, const ptrdiff_t out_size[2])
{
    const npy_intp *dims = PyArray_DIMS(x);
    const int64_t *index = PyArray_DATA(indices), *move = PyArray_DATA(moves);
    for (npy_intp n = 0; n < PyArray_DIM(indices, 0); n++) {
        if (index[n] < 0 || index[n] >= dims[0]) {
            PyErr_Format(PyExc_IndexError, "image_batch: index %lld is out of range for %zd images",
                         (long long)index[n], (Py_ssize_t)dims[0]);
            return -1;
        }
        for (int axis = 0; axis < 2; axis++, move += 4) {
            if (!is_within(move, dims[2 + axis], out_size[axis])) {
                PyErr_Format(PyExc_ValueError, "image_batch: moves of image %zd leave the image", (Py_ssize_t)n);
                return -1;
            }
        }
    }
    return 0;
}

PyObject *py_image_batch(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    PyArrayObject *x = NULL, *indices = NULL, *moves = NULL, *table = NULL, *y = NULL;
    const ptrdiff_t largest = (ptrdiff_t)1 << 31;
    ptrdiff_t out_size[2];
    if (check_nargs("image_batch", nargs, 6) < 0 || !(x = bytes_arg(args[0])) ||
        !(indices = array_arg(args[1], "image_batch", "indices", NPY_INT64, 1)) ||
        !(moves = array_arg(args[2], "image_batch", "moves", NPY_INT64, 3)) ||
        !(table = array_arg(args[3], "image_batch", "table", ANY_REAL, 2)) ||
        parse_size(args[4], "image_batch", "height", 0, largest, &out_size[0]) < 0 ||
        parse_size(args[5], "image_batch", "width", 0, largest, &out_size[1]) < 0 ||
        check_shapes(x, indices, moves, table) < 0 || check_values(x, indices, moves, out_size) < 0) {
        goto done;
    }
    const npy_intp dims[4] = {PyArray_DIM(indices, 0), PyArray_DIM(x, 1), out_size[0], out_size[1]};
    ptrdiff_t strides[4];
    for (int axis = 0; axis < 4; axis++) {
        strides[axis] = PyArray_STRIDE(x, axis);
    }
    if (!(y = array_new(4, dims, PyArray_TYPE(table), ROWS))) {
        goto done;
    }
    PyThreadState *state = kernel_enter(2 * (double)PyArray_SIZE(y));
    kernels_of(table)->image_batch(PyArray_DATA(x), strides, PyArray_DATA(indices), PyArray_DATA(moves),
                                   PyArray_DATA(table), PyArray_DATA(y), dims[0], dims[1], dims[2], dims[3]);
    if (kernel_leave(state) < 0) {
        Py_CLEAR(y);
    }
done:
    Py_XDECREF(x);
    Py_XDECREF(indices);
    Py_XDECREF(moves);
    Py_XDECREF(table);
    return (PyObject *)y;
}
