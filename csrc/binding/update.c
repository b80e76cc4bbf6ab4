/* update: parse and release the optimisers' lists. See update.h. */
#include "update.h"

static void release(struct update *u)
{
    for (int list = 0; list < UPDATE_LISTS && u->block != NULL; list++) {
        for (Py_ssize_t t = 0; u->arrays[list] != NULL && t < u->count; t++) {
            if (u->arrays[list][t] != NULL) {
                PyArray_DiscardWritebackIfCopy(u->arrays[list][t]);
                Py_DECREF(u->arrays[list][t]);
            }
        }
    }
    for (Py_ssize_t t = 0; u->inputs != NULL && t < u->count; t++) {
        Py_XDECREF(u->inputs[t]);
    }
    PyMem_Free(u->block);
    u->block = NULL;
    u->inputs = NULL;
}

/* One block for all arrays of pointers, zeroed. */
static int reserve(struct update *u, PyObject *const *args, int lists)
{
    size_t row = (size_t)u->count * sizeof(void *);
    size_t of_one = sizeof *u->gradients + sizeof(PyArrayObject *) + sizeof(ptrdiff_t);
    char *block = PyMem_Calloc((size_t)(2 * lists) * row + (size_t)u->count * of_one + 1, 1);
    if (block == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    u->block = block;
    for (int list = 0; list < lists; list++) {
        if (args[list] != Py_None) {
            u->pointers[list] = (void **)(block + (size_t)(2 * list) * row);
            u->arrays[list] = (PyArrayObject **)(block + (size_t)(2 * list + 1) * row);
        }
    }
    u->gradients = (gradient *)(block + (size_t)(2 * lists) * row);
    u->inputs = (PyArrayObject **)(u->gradients + u->count);
    u->sizes = (ptrdiff_t *)(u->inputs + u->count);
    return 0;
}

/* The items of a sequence that should have `count`, as a tuple. */
static PyObject *items_of(PyObject *object, const char *function, const char *name, Py_ssize_t count)
{
    PyObject *items = items_arg(object, function, name);
    if (items != NULL && PyTuple_GET_SIZE(items) != count) {
        PyErr_Format(PyExc_ValueError, "%s: expected %zd %s, got %zd", function, count, name, PyTuple_GET_SIZE(items));
        Py_CLEAR(items);
    }
    return items;
}

/* A gradient in the form of (dy, x): dy (N,OC) and x (N,C), for a parameter (OC,C). */
static int convert_factors(struct update *u, const char *function, Py_ssize_t t, PyObject *factors)
{
    PyArrayObject *parameter = u->arrays[UPDATE_PARAMETERS][t], *dy, *x;
    int type = PyArray_TYPE(parameter);
    if (PyTuple_GET_SIZE(factors) != 2 || PyArray_NDIM(parameter) != 2) {
        PyErr_Format(PyExc_ValueError, "%s: a gradient in factors is (dy, x), and its parameter a matrix", function);
        return -1;
    }
    if (!(dy = array_arg(PyTuple_GET_ITEM(factors, 0), function, "dy", type, 2))) {
        return -1;
    }
    u->arrays[UPDATE_GRADIENTS][t] = dy;
    if (!(x = array_arg(PyTuple_GET_ITEM(factors, 1), function, "x", type, 2))) {
        return -1;
    }
    u->inputs[t] = x;
    if (PyArray_DIM(dy, 0) == 0 || PyArray_DIM(dy, 0) != PyArray_DIM(x, 0) ||
        PyArray_DIM(dy, 1) != PyArray_DIM(parameter, 0) || PyArray_DIM(x, 1) != PyArray_DIM(parameter, 1)) {
        char dy_text[256], x_text[256], parameter_text[256];
        PyErr_Format(ShapeError, "%s: dy %s and x %s do not make a gradient of shape %s", function,
                     shape_text(dy, dy_text, sizeof dy_text), shape_text(x, x_text, sizeof x_text),
                     shape_text(parameter, parameter_text, sizeof parameter_text));
        return -1;
    }
    u->gradients[t] = (gradient){.dy = PyArray_DATA(dy),
                                 .x = PyArray_DATA(x),
                                 .N = PyArray_DIM(dy, 0),
                                 .OC = PyArray_DIM(dy, 1),
                                 .C = PyArray_DIM(x, 1)};
    return 0;
}

/* Fills one list's pointers. */
static int convert_list(struct update *u, const char *function, const char *name, int list, PyObject *object)
{
    PyObject *items = items_of(object, function, name, u->count);
    if (items == NULL) {
        return -1;
    }
    for (Py_ssize_t t = 0; t < u->count; t++) {
        PyObject *item = PyTuple_GET_ITEM(items, t);
        PyArrayObject **parameters = u->arrays[UPDATE_PARAMETERS], *array;
        if (list == UPDATE_GRADIENTS && PyTuple_Check(item)) {
            if (convert_factors(u, function, t, item) < 0) {
                Py_DECREF(items);
                return -1;
            }
            continue;
        }
        if (list == UPDATE_GRADIENTS) {
            array = array_arg_like(item, function, name, parameters[t]);
        } else {
            int type = parameters[0] == NULL ? ANY_REAL : PyArray_TYPE(parameters[0]);
            array = array_arg_writable(item, function, name, type, parameters[t]);
        }
        if (array == NULL) {
            Py_DECREF(items);
            return -1;
        }
        u->arrays[list][t] = array;
        u->pointers[list][t] = PyArray_DATA(array);
        if (list == UPDATE_GRADIENTS) {
            u->gradients[t].values = PyArray_DATA(array);
        }
    }
    Py_DECREF(items);
    return 0;
}

int update_begin(struct update *u, const char *function, PyObject *const *args, int lists, int required,
                 const char *const *names)
{
    *u = (struct update){0};
    u->count = PySequence_Size(args[0]);
    if (u->count < 0 || reserve(u, args, lists) < 0) {
        return -1;
    }
    for (int list = 0; list < lists; list++) {
        int wanted = list < required || args[list] != Py_None;
        if (wanted && convert_list(u, function, names[list], list, args[list]) < 0) {
            release(u);
            return -1;
        }
    }
    double work = 0;
    for (Py_ssize_t t = 0; t < u->count; t++) {
        u->sizes[t] = PyArray_SIZE(u->arrays[UPDATE_PARAMETERS][t]);
        work += 4.0 * (double)u->sizes[t];
    }
    int is_double = u->count > 0 && PyArray_TYPE(u->arrays[UPDATE_PARAMETERS][0]) == NPY_DOUBLE;
    u->kernels = kernels_for(is_double ? REAL_F64 : REAL_F32);
    u->state = kernel_enter(work);
    return 0;
}

PyObject *update_end(struct update *u)
{
    int failed = kernel_leave(u->state) < 0;
    for (int list = 0; list < UPDATE_LISTS; list++) {
        for (Py_ssize_t t = 0; u->arrays[list] != NULL && t < u->count && !failed; t++) {
            failed = PyArray_ResolveWritebackIfCopy(u->arrays[list][t]) < 0;
        }
    }
    release(u);
    return failed ? NULL : Py_NewRef(Py_None);
}

double *update_numbers(PyObject *object, const char *function, const char *name, Py_ssize_t count)
{
    PyObject *items = items_of(object, function, name, count);
    if (items == NULL) {
        return NULL;
    }
    double *numbers = PyMem_Malloc((size_t)(count > 0 ? count : 1) * sizeof *numbers);
    if (numbers == NULL) {
        PyErr_NoMemory();
    }
    for (Py_ssize_t t = 0; t < count && !PyErr_Occurred(); t++) {
        parse_double(PyTuple_GET_ITEM(items, t), function, name, &numbers[t]);
    }
    Py_DECREF(items);
    if (PyErr_Occurred()) {
        PyMem_Free(numbers);
        return NULL;
    }
    return numbers;
}

int update_scalars(PyObject *const *args, const char *function, int count, const char *const *names, double *out)
{
    for (int i = 0; i < count; i++) {
        if (parse_double(args[i], function, names[i], &out[i]) < 0) {
            return -1;
        }
    }
    return 0;
}
