/* update: (parameters, gradients, states, numbers, settings) -> None, for every row of OPTIMISERS in
 * csrc/kernels/families.h.
 *
 * The Python side hands over lists: of parameters, of gradients, and one for each kind of state, all of one length and
 * one real type; the kernel gets arrays of pointers.
 */
#include "binding.h"

enum { LISTS = 5, NUMBERS = 2, SETTINGS = 8, PARAMETERS = 0, GRADIENTS = 1 };

/* A row: how many arguments of each kind, in their order, and their names. */
struct optimiser {
    const char *name;
    int lists, required, numbers, settings; /* lists after the first `required` may be None */
    const char *list_names, *number_names, *setting_names;
};

struct update {
    const struct kernels *kernels;
    Py_ssize_t count;
    ptrdiff_t *sizes;
    void **pointers[LISTS]; /* NULL for a list given as None */
    gradient *gradients;
    double *numbers[NUMBERS];
    double settings[SETTINGS];
    PyArrayObject **arrays[LISTS];
    PyArrayObject **inputs; /* x, where a gradient came as (dy, x) */
    PyThreadState *state;
    void *block;
};

static void release(struct update *u)
{
    for (int list = 0; list < LISTS && u->block != NULL; list++) {
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
    for (int i = 0; i < NUMBERS; i++) {
        PyMem_Free(u->numbers[i]);
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
    PyArrayObject *parameter = u->arrays[PARAMETERS][t], *dy, *x;
    int type = PyArray_TYPE(parameter);
    if (PyTuple_GET_SIZE(factors) != 2 || PyArray_NDIM(parameter) != 2) {
        PyErr_Format(PyExc_ValueError, "%s: a gradient in factors is (dy, x), and its parameter a matrix", function);
        return -1;
    }
    if (!(dy = array_arg(PyTuple_GET_ITEM(factors, 0), function, "dy", type, 2))) {
        return -1;
    }
    u->arrays[GRADIENTS][t] = dy;
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
        PyArrayObject **parameters = u->arrays[PARAMETERS], *array;
        if (list == GRADIENTS && PyTuple_Check(item)) {
            if (convert_factors(u, function, t, item) < 0) {
                Py_DECREF(items);
                return -1;
            }
            continue;
        }
        if (list == GRADIENTS) {
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
        if (list == GRADIENTS) {
            u->gradients[t].values = PyArray_DATA(array);
        }
    }
    Py_DECREF(items);
    return 0;
}

/* A sequence of `count` numbers as a new block of doubles (PyMem_Free), or NULL with an exception. */
static double *numbers_of(PyObject *object, const char *function, const char *name, Py_ssize_t count)
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

/* All but the gradients are changed in place. The gradient of a matrix may also come as a tuple (dy, x), see
 * kernels/gradient.h. A parameter may lie in memory in any way; what is not dense, or not in the order of its
 * parameter, goes through a copy that is written back. */
static int begin(struct update *u, const struct optimiser *o, PyObject *const *args, Py_ssize_t nargs)
{
    char name[NAME_SIZE];
    *u = (struct update){0};
    if (check_nargs(o->name, nargs, o->lists + o->numbers + o->settings) < 0 ||
        parse_doubles(args + o->lists + o->numbers, o->name, o->setting_names, o->settings, u->settings) < 0 ||
        (u->count = PySequence_Size(args[0])) < 0) {
        return -1;
    }
    for (int i = 0; i < o->numbers; i++) {
        u->numbers[i] = numbers_of(args[o->lists + i], o->name, nth_name(o->number_names, i, name), u->count);
        if (u->numbers[i] == NULL) {
            goto fail;
        }
    }
    if (reserve(u, args, o->lists) < 0) {
        goto fail;
    }
    for (int list = 0; list < o->lists; list++) {
        int wanted = list < o->required || args[list] != Py_None;
        if (wanted && convert_list(u, o->name, nth_name(o->list_names, list, name), list, args[list]) < 0) {
            goto fail;
        }
    }
    double work = 0;
    for (Py_ssize_t t = 0; t < u->count; t++) {
        u->sizes[t] = PyArray_SIZE(u->arrays[PARAMETERS][t]);
        work += 4.0 * (double)u->sizes[t];
    }
    int is_double = u->count > 0 && PyArray_TYPE(u->arrays[PARAMETERS][0]) == NPY_DOUBLE;
    u->kernels = kernels_for(is_double ? REAL_F64 : REAL_F32);
    u->state = kernel_enter(work);
    return 0;
fail:
    release(u);
    return -1;
}

/* None, or NULL with an exception; writes back and releases everything. */
static PyObject *end(struct update *u)
{
    int failed = kernel_leave(u->state) < 0;
    for (int list = 0; list < LISTS; list++) {
        for (Py_ssize_t t = 0; u->arrays[list] != NULL && t < u->count && !failed; t++) {
            failed = PyArray_ResolveWritebackIfCopy(u->arrays[list][t]) < 0;
        }
    }
    release(u);
    return failed ? NULL : Py_NewRef(Py_None);
}

#define PASS_STATES_1 , u.pointers[2]
#define PASS_STATES_2 PASS_STATES_1, u.pointers[3]
#define PASS_STATES_3 PASS_STATES_2, u.pointers[4]
#define PASS_NUMBERS_0
#define PASS_NUMBERS_1 , u.numbers[0]
#define PASS_NUMBERS_2 PASS_NUMBERS_1, u.numbers[1]
#define PASS_DOUBLES_1 , u.settings[0]
#define PASS_DOUBLES_2 PASS_DOUBLES_1, u.settings[1]
#define PASS_DOUBLES_3 PASS_DOUBLES_2, u.settings[2]
#define PASS_DOUBLES_4 PASS_DOUBLES_3, u.settings[3]
#define PASS_DOUBLES_5 PASS_DOUBLES_4, u.settings[4]
#define PASS_DOUBLES_6 PASS_DOUBLES_5, u.settings[5]
#define PASS_FLAGS_1(first) , u.settings[first] != 0
#define PASS_FLAGS_2(first) PASS_FLAGS_1(first), u.settings[first + 1] != 0
#define PASS_FLAGS_3(first) PASS_FLAGS_2(first), u.settings[first + 2] != 0

#define O(kernel, states, optional, of_numbers, doubles, flags, state_names, number_names, setting_names)              \
    PyObject *py_##kernel(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)                        \
    {                                                                                                                  \
        static const struct optimiser row = {#kernel,      2 + states,      2 + states - optional,                     \
                                             of_numbers,   doubles + flags, "parameters, gradients, " state_names,     \
                                             number_names, setting_names};                                             \
        _Static_assert(2 + states <= LISTS && doubles + flags <= SETTINGS, "update.c: room for " #kernel);             \
        struct update u;                                                                                               \
        if (begin(&u, &row, args, nargs) < 0) {                                                                        \
            return NULL;                                                                                               \
        }                                                                                                              \
        u.kernels->kernel(u.pointers[PARAMETERS], u.gradients PASS_STATES_##states PASS_NUMBERS_##of_numbers, u.sizes, \
                          u.count PASS_DOUBLES_##doubles PASS_FLAGS_##flags(doubles));                                 \
        return end(&u);                                                                                                \
    }
OPTIMISERS(O)
