/* convert.c: any object to a checked array, and new arrays for results. */
#include "binding.h"
#include "runtime.h"

int check_nargs(const char *function, Py_ssize_t got, Py_ssize_t expected)
{
    if (got == expected) {
        return 0;
    }
    PyErr_Format(PyExc_TypeError, "%s: expected %zd arguments, got %zd", function, expected, got);
    return -1;
}

static const char *type_name(int type)
{
    switch (type) {
    case ANY_REAL: return "float32 or float64";
    case NPY_FLOAT: return "float32";
    case NPY_DOUBLE: return "float64";
    case NPY_INT32: return "int32";
    case NPY_INT64: return "int64";
    case NPY_UINT8: return "uint8";
    case NPY_BOOL: return "bool";
    default: return "another type";
    }
}

const char *shape_text(PyArrayObject *array, char *buffer, size_t size)
{
    int ndim = PyArray_NDIM(array);
    size_t used = (size_t)snprintf(buffer, size, "(");
    for (int i = 0; i < ndim && used < size; i++) {
        const char *separator = i + 1 < ndim ? ", " : ndim == 1 ? "," : "";
        used += (size_t)snprintf(buffer + used, size - used, "%lld%s", (long long)PyArray_DIM(array, i), separator);
    }
    if (used < size) {
        snprintf(buffer + used, size - used, ")");
    }
    return buffer;
}

static int type_matches(PyArrayObject *array, int type)
{
    int got = PyArray_TYPE(array);
    if (type == ANY_REAL) {
        return got == NPY_FLOAT || got == NPY_DOUBLE;
    }
    return PyArray_EquivTypenums(got, type);
}

/* What to do about a wrong type, for the end of the message. */
static const char *type_hint(PyArrayObject *array, int type)
{
    if (type == ANY_REAL) {
        return ": convert it with .float()";
    }
    if ((type == NPY_FLOAT || type == NPY_DOUBLE) && PyArray_ISFLOAT(array)) {
        return ": convert the input or the layer, with .float() or .double()";
    }
    return "";
}

int refuse_kind(const char *function, const char *name, PyObject *object)
{
    PyObject *module =
        PyImport_ImportModule("cnn.errors"); /* names PyTorch's tensors, whose type is called Tensor too */
    PyObject *kind = module != NULL ? PyObject_CallMethod(module, "kind_name", "O", object) : NULL;
    if (kind != NULL) {
        PyErr_Format(PyExc_TypeError, "%s: %s must be an array, got %U", function, name, kind);
    }
    Py_XDECREF(kind);
    Py_XDECREF(module);
    return -1;
}

/* Type and ndim are right, or an exception is set. */
static int check_array(PyObject *object, const char *function, const char *name, int type, int ndim)
{
    if (!PyArray_Check(object)) {
        return refuse_kind(function, name, object);
    }
    PyArrayObject *array = (PyArrayObject *)object;
    if (!type_matches(array, type)) {
        PyErr_Format(DTypeError, "%s: %s must be %s, got %S%s", function, name, type_name(type), PyArray_DESCR(array),
                     type_hint(array, type));
        return -1;
    }
    if (ndim != ANY_NDIM && PyArray_NDIM(array) != ndim) {
        char text[256];
        PyErr_Format(ShapeError, "%s: %s must have %d dimensions, got shape %s", function, name, ndim,
                     shape_text(array, text, sizeof text));
        return -1;
    }
    return 0;
}

/* Aligned and native: what a kernel can read once the memory order is right too. */
static int is_behaved(PyArrayObject *array) { return PyArray_ISALIGNED(array) && PyArray_ISNOTSWAPPED(array); }

/* In (N,H,W,C) order in memory; with one channel or one pixel also in C order. */
static int fits_channels_last(PyArrayObject *array)
{
    static const int memory_order[4] = {1, 3, 2, 0}; /* C, W, H, N: from the innermost outwards */
    npy_intp stride = PyArray_ITEMSIZE(array);
    for (int i = 0; i < 4; i++) {
        npy_intp size = PyArray_DIM(array, memory_order[i]);
        if (size != 1 && PyArray_STRIDE(array, memory_order[i]) != stride) {
            return 0;
        }
        stride *= size;
    }
    return 1;
}

int is_channels_last(PyArrayObject *array)
{
    return PyArray_NDIM(array) == 4 && !PyArray_IS_C_CONTIGUOUS(array) && fits_channels_last(array);
}

PyArrayObject *array_reordered(PyArrayObject *x, enum memory_order order)
{
    const npy_intp *dims = PyArray_DIMS(x), pixels = dims[2] * dims[3];
    npy_intp rows = order == CHANNELS_LAST ? dims[1] : pixels, columns = order == CHANNELS_LAST ? pixels : dims[1];
    PyArrayObject *y = array_new(4, dims, PyArray_TYPE(x), order);
    if (y != NULL) {
        PyThreadState *state = kernel_enter((double)PyArray_SIZE(x));
        kernels_of(x)->transpose(PyArray_DATA(x), PyArray_DATA(y), dims[0], rows, columns);
        if (kernel_leave(state) < 0) {
            Py_CLEAR(y);
        }
    }
    return y;
}

/* An image batch that array_reordered can take, once it is known to be dense. NumPy would copy it with one thread. */
static int is_reorderable(PyArrayObject *array)
{
    return PyArray_NDIM(array) == 4 && type_matches(array, ANY_REAL) && is_behaved(array);
}

static PyArrayObject *behaved_c_order(PyArrayObject *array)
{
    if (is_behaved(array) && PyArray_IS_C_CONTIGUOUS(array)) {
        Py_INCREF(array);
        return array;
    }
    if (is_reorderable(array) && is_channels_last(array)) {
        return array_reordered(array, ROWS);
    }
    PyArray_Descr *native = PyArray_DescrFromType(PyArray_TYPE(array));
    int flags = NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED | NPY_ARRAY_NOTSWAPPED;
    return (PyArrayObject *)PyArray_FromArray(array, native, flags);
}

PyArrayObject *array_arg(PyObject *object, const char *function, const char *name, int type, int ndim)
{
    return check_array(object, function, name, type, ndim) < 0 ? NULL : behaved_c_order((PyArrayObject *)object);
}

PyArrayObject *array_arg_dense(PyObject *object, const char *function, const char *name, int type, int ndim)
{
    if (check_array(object, function, name, type, ndim) < 0) {
        return NULL;
    }
    PyArrayObject *array = (PyArrayObject *)object;
    if (is_behaved(array) && is_channels_last(array)) {
        Py_INCREF(array);
        return array;
    }
    return behaved_c_order(array);
}

PyArrayObject *array_arg_like(PyObject *object, const char *function, const char *name, PyArrayObject *like)
{
    if (check_array(object, function, name, PyArray_TYPE(like), ANY_NDIM) < 0) {
        return NULL;
    }
    PyArrayObject *array = (PyArrayObject *)object;
    if (!PyArray_SAMESHAPE(array, like)) {
        char got[256], expected[256];
        PyErr_Format(ShapeError, "%s: %s must have shape %s, got %s", function, name,
                     shape_text(like, expected, sizeof expected), shape_text(array, got, sizeof got));
        return NULL;
    }
    if (!is_channels_last(like)) {
        return behaved_c_order(array);
    }
    if (is_behaved(array) && is_channels_last(array)) {
        Py_INCREF(array);
        return array;
    }
    if (is_reorderable(array) && PyArray_IS_C_CONTIGUOUS(array)) {
        return array_reordered(array, CHANNELS_LAST);
    }
    PyArrayObject *copy = array_new_like(like);
    if (copy != NULL && PyArray_CopyInto(copy, array) < 0) {
        Py_CLEAR(copy);
    }
    return copy;
}

PyArrayObject *array_arg_order(PyObject *object, const char *function, const char *name, int type, int ndim,
                               enum memory_order order)
{
    if (order == ROWS) {
        return array_arg(object, function, name, type, ndim);
    }
    if (check_array(object, function, name, type, 4) < 0) {
        return NULL;
    }
    PyArrayObject *array = (PyArrayObject *)object;
    if (is_behaved(array) && fits_channels_last(array)) {
        Py_INCREF(array);
        return array;
    }
    PyArrayObject *copy = array_new(4, PyArray_DIMS(array), PyArray_TYPE(array), CHANNELS_LAST);
    if (copy != NULL && PyArray_CopyInto(copy, array) < 0) {
        Py_CLEAR(copy);
    }
    return copy;
}

PyArrayObject *array_arg_inplace(PyObject *object, const char *function, const char *name, int type)
{
    if (check_array(object, function, name, type, ANY_NDIM) < 0) {
        return NULL;
    }
    PyArrayObject *array = (PyArrayObject *)object;
    int dense = PyArray_IS_C_CONTIGUOUS(array) || is_channels_last(array);
    if (!PyArray_ISWRITEABLE(array) || !is_behaved(array) || !dense) {
        PyErr_Format(PyExc_ValueError, "%s: %s must be writable and dense to be changed in place", function, name);
        return NULL;
    }
    Py_INCREF(array);
    return array;
}

PyArrayObject *array_arg_writable(PyObject *object, const char *function, const char *name, int type,
                                  PyArrayObject *like)
{
    if (check_array(object, function, name, type, ANY_NDIM) < 0) {
        return NULL;
    }
    PyArrayObject *array = (PyArrayObject *)object;
    if (like == NULL) {
        like = array;
    } else if (!PyArray_SAMESHAPE(array, like)) {
        char got[256], expected[256];
        PyErr_Format(ShapeError, "%s: %s must have shape %s, got %s", function, name,
                     shape_text(like, expected, sizeof expected), shape_text(array, got, sizeof got));
        return NULL;
    }
    if (!PyArray_ISWRITEABLE(array)) {
        PyErr_Format(PyExc_ValueError, "%s: %s must be writable, got a read-only array", function, name);
        return NULL;
    }
    enum memory_order order = is_channels_last(like) ? CHANNELS_LAST : ROWS;
    int fits = order == CHANNELS_LAST ? is_channels_last(array) : PyArray_IS_C_CONTIGUOUS(array);
    Py_INCREF(array);
    if (fits && is_behaved(array)) {
        return array;
    }
    PyArrayObject *copy = array_new(PyArray_NDIM(array), PyArray_DIMS(array), PyArray_TYPE(array), order);
    if (copy == NULL || PyArray_CopyInto(copy, array) < 0) {
        Py_XDECREF(copy);
        Py_DECREF(array);
        return NULL;
    }
    if (PyArray_SetWritebackIfCopyBase(copy, array) < 0) { /* takes the reference in any case */
        Py_DECREF(copy);
        return NULL;
    }
    return copy;
}

int parse_size(PyObject *object, const char *function, const char *name, ptrdiff_t low, ptrdiff_t high, ptrdiff_t *out)
{
    PyObject *index = PyNumber_Index(object);
    if (index == NULL) {
        PyErr_Format(PyExc_TypeError, "%s: %s must be an integer, got %s", function, name, Py_TYPE(object)->tp_name);
        return -1;
    }
    int overflow;
    long long value = PyLong_AsLongLongAndOverflow(index, &overflow);
    if (overflow != 0) { /* the number itself may have too many digits to print */
        PyErr_Format(PyExc_ValueError, "%s: %s must be between %zd and %zd, got a number of more than 64 bits",
                     function, name, (Py_ssize_t)low, (Py_ssize_t)high);
        Py_DECREF(index);
        return -1;
    }
    if (value < low || value > high) {
        PyErr_Format(PyExc_ValueError, "%s: %s must be between %zd and %zd, got %lld", function, name, (Py_ssize_t)low,
                     (Py_ssize_t)high, value);
        Py_DECREF(index);
        return -1;
    }
    Py_DECREF(index);
    *out = (ptrdiff_t)value;
    return 0;
}

int parse_double(PyObject *object, const char *function, const char *name, double *out)
{
    *out = PyFloat_AsDouble(object);
    if (*out == -1.0 && PyErr_Occurred()) {
        if (PyErr_ExceptionMatches(PyExc_OverflowError)) {
            PyErr_Format(PyExc_OverflowError, "%s: %s is too large for a float64", function, name);
        } else {
            PyErr_Format(PyExc_TypeError, "%s: %s must be a number, got %s", function, name, Py_TYPE(object)->tp_name);
        }
        return -1;
    }
    return 0;
}

const char *nth_name(const char *names, int i, char name[NAME_SIZE])
{
    while (i-- > 0) {
        names = strchr(names, ',') + strlen(", ");
    }
    size_t length = 0; /* every call of an optimiser comes by: no snprintf */
    while (length < NAME_SIZE - 1 && names[length] != ',' && names[length] != '\0') {
        name[length] = names[length];
        length++;
    }
    name[length] = '\0';
    return name;
}

int parse_doubles(PyObject *const *args, const char *function, const char *names, int count, double *out)
{
    for (int i = 0; i < count; i++) {
        char name[NAME_SIZE];
        if (PyFloat_CheckExact(args[i])) {
            out[i] = PyFloat_AS_DOUBLE(args[i]);
        } else if (parse_double(args[i], function, nth_name(names, i, name), &out[i]) < 0) {
            return -1;
        }
    }
    return 0;
}

PyObject *items_arg(PyObject *object, const char *function, const char *name)
{
    PyObject *items = PySequence_Tuple(object);
    if (items == NULL && PyErr_ExceptionMatches(PyExc_TypeError)) {
        PyErr_Format(PyExc_TypeError, "%s: expected a list of %s, got %s", function, name, Py_TYPE(object)->tp_name);
    }
    return items;
}

static PyArrayObject *new_array(int ndim, const npy_intp *dims, int type, enum memory_order order, int zeroed)
{
    if (order == ROWS || ndim != 4) {
        return pooled_array(ndim, dims, type, zeroed);
    }
    /* Allocated as (N,H,W,C), then told that it is (N,C,H,W): same size, and the array owns its memory. */
    npy_intp in_memory[4] = {dims[0], dims[2], dims[3], dims[1]};
    PyArrayObject *array = pooled_array(4, in_memory, type, zeroed);
    if (array == NULL) {
        return NULL;
    }
    npy_intp *shape = PyArray_DIMS(array), *strides = PyArray_STRIDES(array);
    npy_intp sn = strides[0], sh = strides[1], sw = strides[2], sc = strides[3];
    memcpy(shape, dims, 4 * sizeof *dims);
    strides[0] = sn, strides[1] = sc, strides[2] = sh, strides[3] = sw;
    PyArray_UpdateFlags(array, NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_F_CONTIGUOUS);
    return array;
}

PyArrayObject *array_new(int ndim, const npy_intp *dims, int type, enum memory_order order)
{
    return new_array(ndim, dims, type, order, 0);
}

PyArrayObject *array_new_like(PyArrayObject *like)
{
    enum memory_order order = is_channels_last(like) ? CHANNELS_LAST : ROWS;
    return array_new(PyArray_NDIM(like), PyArray_DIMS(like), PyArray_TYPE(like), order);
}

PyArrayObject *array_zeros(int ndim, const npy_intp *dims, int type, enum memory_order order)
{
    return new_array(ndim, dims, type, order, 1);
}

PyThreadState *kernel_enter(double work)
{
    kernel_status(); /* a status that a binding forgot to ask for must not stop this kernel */
    return work > 3e4 ? PyEval_SaveThread() : NULL;
}

int kernel_leave(PyThreadState *state)
{
    if (state != NULL) {
        PyEval_RestoreThread(state);
    }
    switch (kernel_status()) {
    case 0: return 0;
    case KERNEL_NO_MEMORY: PyErr_SetString(PyExc_MemoryError, "a kernel cannot get its working memory"); return -1;
    default: /* interrupted: the signal handler's exception is set */
        if (!PyErr_Occurred()) {
            PyErr_SetNone(PyExc_KeyboardInterrupt);
        }
        return -1;
    }
}
