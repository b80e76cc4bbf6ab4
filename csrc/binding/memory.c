/* memory: NumPy arrays that live in the caching allocator, and its figures for Python. */
#include "../memory.h"
#include "runtime.h"

/* ---- NumPy's view of the allocator (NEP 49): an array remembers its handler, and is freed and resized by it ---- */

static void *handler_malloc(void *Py_UNUSED(context), size_t bytes) { return memory_get(bytes); }

static void *handler_calloc(void *Py_UNUSED(context), size_t count, size_t size)
{
    size_t bytes;
    return __builtin_mul_overflow(count, size, &bytes) ? NULL : memory_get_zeroed(bytes);
}

static void *handler_realloc(void *Py_UNUSED(context), void *block, size_t bytes)
{
    return memory_resize(block, bytes);
}

static void handler_free(void *Py_UNUSED(context), void *block, size_t Py_UNUSED(bytes)) { memory_put(block); }

static PyDataMem_Handler handler = {
    .name = "cnn",
    .version = 1,
    .allocator = {NULL, handler_malloc, handler_calloc, handler_realloc, handler_free},
};

/* A borrowed reference, kept as long as the process: arrays may outlive the module. */
static PyObject *handler_capsule(void)
{
    static PyObject *capsule;
    if (capsule == NULL) {
        capsule = PyCapsule_New(&handler, "mem_handler", NULL);
    }
    return capsule;
}

PyArrayObject *pooled_array(int ndim, const npy_intp *dims, int type, int zeroed)
{
    PyObject *capsule = handler_capsule();
    PyArray_Descr *descr = capsule != NULL ? PyArray_DescrFromType(type) : NULL;
    if (descr == NULL) {
        return NULL;
    }
    npy_intp count = PyArray_OverflowMultiplyList(dims, ndim), bytes;
    if (count < 0 || __builtin_mul_overflow(count, PyDataType_ELSIZE(descr), &bytes)) {
        Py_DECREF(descr);
        PyObject *shape = PyArray_IntTupleFromIntp(ndim, dims);
        if (shape != NULL) {
            PyErr_Format(ShapeError, "an array of shape %S is too big for the address space", shape);
            Py_DECREF(shape);
        }
        return NULL;
    }
    void *data = zeroed ? memory_get_zeroed((size_t)bytes) : memory_get((size_t)bytes);
    if (data == NULL) {
        Py_DECREF(descr);
        PyErr_Format(PyExc_MemoryError, "cannot get %zd bytes for an array", (Py_ssize_t)bytes);
        return NULL;
    }
    PyObject *array =
        PyArray_NewFromDescr(&PyArray_Type, descr, ndim, dims, NULL, data, NPY_ARRAY_CARRAY, NULL); /* takes descr */
    if (array == NULL) {
        memory_put(data);
        return NULL;
    }
    /* As if NumPy had got the memory through the handler. Setting the handler around PyArray_Empty would do the same,
     * at the price of two changes of a context variable for each array. */
    PyArray_ENABLEFLAGS((PyArrayObject *)array, NPY_ARRAY_OWNDATA);
    ((PyArrayObject_fields *)array)->mem_handler = Py_NewRef(capsule);
    return (PyArrayObject *)array;
}

/* ---- Functions of cnn._cnn ---- */

PyObject *py_empty(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    if (check_nargs("empty", nargs, 2) < 0) {
        return NULL;
    }
    PyArray_Dims shape = {NULL, 0};
    PyArray_Descr *descr = NULL;
    PyArrayObject *array = NULL;
    if (!PyArray_IntpConverter(args[0], &shape) || !PyArray_DescrConverter(args[1], &descr)) {
        goto done;
    }
    if (!PyDataType_ISNUMBER(descr) && !PyDataType_ISBOOL(descr)) {
        PyErr_Format(DTypeError, "empty: dtype must be a type of numbers, got %S", descr);
        goto done;
    }
    array = pooled_array(shape.len, shape.ptr, descr->type_num, 0);
done:
    Py_XDECREF(descr);
    PyDimMem_FREE(shape.ptr);
    return (PyObject *)array;
}

PyObject *py_empty_cache(PyObject *Py_UNUSED(module), PyObject *const *Py_UNUSED(args), Py_ssize_t nargs)
{
    if (check_nargs("empty_cache", nargs, 0) < 0) {
        return NULL;
    }
    PyThreadState *state = PyEval_SaveThread();
    memory_trim();
    PyEval_RestoreThread(state);
    Py_RETURN_NONE;
}

PyObject *py_memory_stats(PyObject *Py_UNUSED(module), PyObject *const *Py_UNUSED(args), Py_ssize_t nargs)
{
    if (check_nargs("memory_stats", nargs, 0) < 0) {
        return NULL;
    }
    struct memory_stats stats = memory_stats();
    return Py_BuildValue("{s:n,s:n,s:n}", "in_use", (Py_ssize_t)stats.in_use, "cached", (Py_ssize_t)stats.cached,
                         "peak", (Py_ssize_t)stats.peak);
}

PyObject *py_reset_peak_memory(PyObject *Py_UNUSED(module), PyObject *const *Py_UNUSED(args), Py_ssize_t nargs)
{
    if (check_nargs("reset_peak_memory", nargs, 0) < 0) {
        return NULL;
    }
    memory_reset_peak();
    Py_RETURN_NONE;
}

/* For tests of what happens when memory runs out. */
PyObject *py_fail_allocation_after(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    ptrdiff_t requests;
    if (check_nargs("fail_allocation_after", nargs, 1) < 0 ||
        parse_size(args[0], "fail_allocation_after", "requests", -1, LONG_MAX, &requests) < 0) {
        return NULL;
    }
    memory_fail_after((long)requests);
    Py_RETURN_NONE;
}
