/* random: the type cnn._cnn.Generator, a stream of random numbers that fills arrays. cnn/random.py gives it torch's
 * names; csrc/random.h says what each draw is. */
#include "../random.h"

#include <time.h>

#include "runtime.h"

typedef struct {
    PyObject base; /* what PyObject_HEAD stands for */
    struct generator stream;
    /* A long fill gives up the GIL: this keeps other threads off the stream meanwhile. */
    char busy;
    unsigned long holder;
    unsigned forks; /* threads_forks() when it was taken: a child inherits it taken by a thread it does not have */
} Generator;

/* The stream, for this thread alone until release(); NULL with RuntimeError where it already holds it, which only a
 * signal handler in the middle of a fill can bring about. */
static struct generator *hold(Generator *self)
{
    while (__atomic_test_and_set(&self->busy, __ATOMIC_ACQUIRE)) {
        if (self->forks != threads_forks()) {
            break;
        }
        if (self->holder == PyThread_get_thread_ident()) {
            PyErr_SetString(PyExc_RuntimeError, "this Generator is at work in the code that the signal interrupted");
            return NULL;
        }
        PyThreadState *state = PyEval_SaveThread();
        struct timespec moment = {0, 50000};
        nanosleep(&moment, NULL);
        PyEval_RestoreThread(state);
    }
    self->holder = PyThread_get_thread_ident();
    self->forks = threads_forks();
    return &self->stream;
}

static void release(Generator *self) { __atomic_clear(&self->busy, __ATOMIC_RELEASE); }

/* Drawing happens between begin and finish, and without the GIL where it takes long. */
struct draw {
    Generator *self;
    struct generator *stream;
    PyThreadState *state;
};

static int begin(struct draw *draw, PyObject *self, double work)
{
    draw->self = (Generator *)self;
    draw->stream = hold(draw->self);
    if (draw->stream == NULL) {
        return -1;
    }
    draw->state = kernel_enter(work);
    return 0;
}

static int finish(struct draw *draw)
{
    int status = kernel_leave(draw->state);
    release(draw->self);
    return status;
}

static PyObject *none_or_error(int status)
{
    if (status < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ---- Arguments ---- */

struct target {
    void *data;
    enum random_type type;
    ptrdiff_t size;
};

enum { REAL_TYPES, ALL_TYPES };

/* An array to be filled in place: writable, in C order, of a type that a draw can make. */
static int parse_target(PyObject *object, const char *function, int types, struct target *out)
{
    if (!PyArray_Check(object)) {
        PyErr_Format(PyExc_TypeError, "%s: expected an array, got %s", function, Py_TYPE(object)->tp_name);
        return -1;
    }
    PyArrayObject *array = (PyArrayObject *)object;
    PyArray_Descr *descr = PyArray_DESCR(array);
    int size = (int)PyDataType_ELSIZE(descr), known = 1;
    switch (descr->kind) {
    case 'b': out->type = RANDOM_BOOL; break;
    case 'u':
        out->type = RANDOM_U8;
        known = size == 1;
        break;
    case 'i': out->type = size == 1 ? RANDOM_I8 : size == 2 ? RANDOM_I16 : size == 4 ? RANDOM_I32 : RANDOM_I64; break;
    case 'f':
        out->type = size == 4 ? RANDOM_F32 : RANDOM_F64;
        known = size == 4 || size == 8;
        break;
    default: known = 0;
    }
    if (!known || (types == REAL_TYPES && descr->kind != 'f')) {
        PyErr_Format(DTypeError, "%s: expected %s array, got %S", function,
                     types == REAL_TYPES ? "a float32 or float64" : "a bool, uint8, int8-64, float32 or float64",
                     descr);
        return -1;
    }
    if (!PyArray_ISCARRAY(array)) {
        PyErr_Format(PyExc_ValueError, "%s: expected a writable array in C order", function);
        return -1;
    }
    out->data = PyArray_DATA(array);
    out->size = PyArray_SIZE(array);
    return 0;
}

static PyObject *uniform(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    struct target x;
    double low, high;
    if (check_nargs("uniform", nargs, 3) < 0 || parse_target(args[0], "uniform", REAL_TYPES, &x) < 0 ||
        parse_double(args[1], "uniform", "low", &low) < 0 || parse_double(args[2], "uniform", "high", &high) < 0) {
        return NULL;
    }
    struct draw draw;
    if (begin(&draw, self, 4 * (double)x.size) < 0) {
        return NULL;
    }
    random_uniform(draw.stream, x.data, x.type, x.size, low, high);
    return none_or_error(finish(&draw));
}

static PyObject *normal(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    struct target x;
    double mean, std;
    if (check_nargs("normal", nargs, 4) < 0 || parse_target(args[0], "normal", REAL_TYPES, &x) < 0 ||
        parse_double(args[1], "normal", "mean", &mean) < 0 || parse_double(args[2], "normal", "std", &std) < 0) {
        return NULL;
    }
    int pairs = PyObject_IsTrue(args[3]);
    if (pairs < 0) {
        return NULL;
    }
    struct draw draw;
    if (begin(&draw, self, (pairs ? 60 : 10) * (double)x.size) < 0) {
        return NULL;
    }
    if (pairs || x.size < 16) {
        random_normal_pairs(draw.stream, x.data, x.type, x.size, mean, std);
    } else {
        const struct kernels *kernels = kernels_for(x.type == RANDOM_F64 ? REAL_F64 : REAL_F32);
        random_normal(draw.stream, x.data, x.type, x.size, mean, std, kernels->normal_transform);
    }
    return none_or_error(finish(&draw));
}

static PyObject *integers(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    struct target x;
    if (check_nargs("integers", nargs, 3) < 0 || parse_target(args[0], "integers", ALL_TYPES, &x) < 0) {
        return NULL;
    }
    long long low = PyLong_AsLongLong(args[1]);
    unsigned long long range = PyErr_Occurred() ? 0 : PyLong_AsUnsignedLongLong(args[2]);
    if (PyErr_Occurred()) {
        return NULL;
    }
    struct draw draw;
    if (begin(&draw, self, 8 * (double)x.size) < 0) {
        return NULL;
    }
    random_integers(draw.stream, x.data, x.type, x.size, low, range);
    return none_or_error(finish(&draw));
}

static PyObject *integers_of_type(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    struct target x;
    if (check_nargs("integers_of_type", nargs, 1) < 0 || parse_target(args[0], "integers_of_type", ALL_TYPES, &x) < 0) {
        return NULL;
    }
    struct draw draw;
    if (begin(&draw, self, 8 * (double)x.size) < 0) {
        return NULL;
    }
    random_integers_of_type(draw.stream, x.data, x.type, x.size);
    return none_or_error(finish(&draw));
}

static PyObject *raw_words(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    ptrdiff_t n;
    if (check_nargs("words", nargs, 1) < 0 || parse_size(args[0], "words", "n", 0, PTRDIFF_MAX / 8, &n) < 0) {
        return NULL;
    }
    npy_intp shape[1] = {n};
    PyArrayObject *array = pooled_array(1, shape, NPY_UINT32, 0);
    struct draw draw;
    if (array == NULL || begin(&draw, self, 2 * (double)n) < 0) {
        Py_XDECREF(array);
        return NULL;
    }
    random_words(draw.stream, PyArray_DATA(array), n);
    if (finish(&draw) < 0) {
        Py_CLEAR(array);
    }
    return (PyObject *)array;
}

static PyObject *permutation(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    ptrdiff_t n;
    if (check_nargs("permutation", nargs, 1) < 0 || parse_size(args[0], "randperm", "n", 0, PTRDIFF_MAX / 8, &n) < 0) {
        return NULL;
    }
    npy_intp shape[1] = {n};
    PyArrayObject *array = pooled_array(1, shape, NPY_INT64, 0);
    struct draw draw;
    if (array == NULL || begin(&draw, self, 10 * (double)n) < 0) {
        Py_XDECREF(array);
        return NULL;
    }
    random_permutation(draw.stream, PyArray_DATA(array), n);
    if (finish(&draw) < 0) {
        Py_CLEAR(array);
    }
    return (PyObject *)array;
}

static PyObject *bernoulli(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    struct target x;
    double p;
    if (check_nargs("bernoulli", nargs, 2) < 0 || parse_target(args[0], "bernoulli", ALL_TYPES, &x) < 0 ||
        parse_double(args[1], "bernoulli", "p", &p) < 0) {
        return NULL;
    }
    if (!(p >= 0 && p <= 1)) {
        PyErr_Format(PyExc_ValueError, "bernoulli: expected p in [0, 1], got %S", args[1]);
        return NULL;
    }
    struct draw draw;
    if (begin(&draw, self, 6 * (double)x.size) < 0) {
        return NULL;
    }
    random_bernoulli(draw.stream, x.data, x.type, x.size, p);
    return none_or_error(finish(&draw));
}

static PyObject *bernoulli_each(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    struct target x;
    if (check_nargs("bernoulli_each", nargs, 2) < 0 || parse_target(args[0], "bernoulli_each", ALL_TYPES, &x) < 0) {
        return NULL;
    }
    PyArrayObject *p = array_arg(args[1], "bernoulli", "p", ANY_REAL, ANY_NDIM);
    if (p == NULL) {
        return NULL;
    }
    struct draw draw;
    int status = -1;
    if (PyArray_SIZE(p) != x.size) {
        PyErr_Format(ShapeError, "bernoulli: expected %zd probabilities, got %zd", x.size, PyArray_SIZE(p));
    } else if (begin(&draw, self, 6 * (double)x.size) == 0) {
        enum random_type p_type = PyArray_TYPE(p) == NPY_DOUBLE ? RANDOM_F64 : RANDOM_F32;
        random_bernoulli_each(draw.stream, x.data, x.type, x.size, PyArray_DATA(p), p_type);
        status = finish(&draw);
    }
    Py_DECREF(p);
    return none_or_error(status);
}

/* The methods exponential, geometric, cauchy and log_normal. */
static PyObject *fill_law(PyObject *self, PyObject *const *args, Py_ssize_t nargs, const char *name,
                          enum random_law law, int types, int parameters)
{
    struct target x;
    double a, b = 0;
    if (check_nargs(name, nargs, 1 + parameters) < 0 || parse_target(args[0], name, types, &x) < 0 ||
        parse_double(args[1], name, "the parameter", &a) < 0 ||
        (parameters == 2 && parse_double(args[2], name, "the second parameter", &b) < 0)) {
        return NULL;
    }
    struct draw draw;
    if (begin(&draw, self, 40 * (double)x.size) < 0) {
        return NULL;
    }
    random_law(draw.stream, x.data, x.type, x.size, law, a, b);
    return none_or_error(finish(&draw));
}

static PyObject *exponential(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    return fill_law(self, args, nargs, "exponential", RANDOM_EXPONENTIAL, REAL_TYPES, 1);
}

static PyObject *geometric(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    return fill_law(self, args, nargs, "geometric", RANDOM_GEOMETRIC, ALL_TYPES, 1);
}

static PyObject *cauchy(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    return fill_law(self, args, nargs, "cauchy", RANDOM_CAUCHY, REAL_TYPES, 2);
}

static PyObject *log_normal(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    return fill_law(self, args, nargs, "log_normal", RANDOM_LOG_NORMAL, REAL_TYPES, 2);
}

static PyObject *choices(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    ptrdiff_t k;
    if (check_nargs("choices", nargs, 2) < 0 ||
        parse_size(args[1], "multinomial", "num_samples", 0, PTRDIFF_MAX / 8, &k) < 0) {
        return NULL;
    }
    PyArrayObject *weights = array_arg(args[0], "multinomial", "input", ANY_REAL, 2);
    if (weights == NULL) {
        return NULL;
    }
    npy_intp rows = PyArray_DIM(weights, 0), n = PyArray_DIM(weights, 1), shape[2] = {rows, k};
    PyArrayObject *shares = pooled_array(1, &n, PyArray_TYPE(weights), 0);
    PyArrayObject *indices = shares != NULL ? pooled_array(2, shape, NPY_INT64, 0) : NULL;
    struct draw draw;
    if (indices == NULL || begin(&draw, self, (double)rows * (2.0 * (double)n + 40.0 * (double)k)) < 0) {
        Py_CLEAR(indices);
        goto done;
    }
    enum random_type type = PyArray_TYPE(weights) == NPY_DOUBLE ? RANDOM_F64 : RANDOM_F32;
    for (npy_intp row = 0; row < rows && !kernel_stopped(); row++) {
        const char *w = (const char *)PyArray_DATA(weights) + row * n * PyArray_ITEMSIZE(weights);
        int64_t *chosen = (int64_t *)PyArray_DATA(indices) + row * k;
        random_choices(draw.stream, w, PyArray_DATA(shares), type, n, chosen, k);
    }
    if (finish(&draw) < 0) {
        Py_CLEAR(indices);
    }
done:
    Py_XDECREF(shares);
    Py_DECREF(weights);
    return (PyObject *)indices;
}

/* ---- Seed and state ---- */

/* torch takes -2^63 .. 2^64 - 1; a negative seed stands for the unsigned number with the same bits. */
static int parse_seed(PyObject *object, uint64_t *out)
{
    PyObject *number = PyNumber_Index(object);
    if (number == NULL) {
        PyErr_Format(PyExc_TypeError, "manual_seed: expected an integer, got %s", Py_TYPE(object)->tp_name);
        return -1;
    }
    *out = PyLong_AsUnsignedLongLong(number);
    if (PyErr_Occurred()) {
        PyErr_Clear();
        long long negative = PyLong_AsLongLong(number);
        if (PyErr_Occurred()) {
            PyErr_Clear();
            PyErr_Format(PyExc_ValueError, "manual_seed: expected a seed from -2**63 to 2**64 - 1, got %R", number);
            Py_DECREF(number);
            return -1;
        }
        *out = (uint64_t)negative;
    }
    Py_DECREF(number);
    return 0;
}

static PyObject *manual_seed(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    uint64_t seed;
    if (check_nargs("manual_seed", nargs, 1) < 0 || parse_seed(args[0], &seed) < 0) {
        return NULL;
    }
    struct generator *stream = hold((Generator *)self);
    if (stream == NULL) {
        return NULL;
    }
    random_seed(stream, seed);
    release((Generator *)self);
    return Py_NewRef(self);
}

static PyObject *initial_seed(PyObject *self, PyObject *Py_UNUSED(none))
{
    return PyLong_FromUnsignedLongLong(((Generator *)self)->stream.seed);
}

static PyObject *state_array(PyObject *self, PyObject *Py_UNUSED(none))
{
    npy_intp shape[1] = {RANDOM_STATE_BYTES};
    PyArrayObject *bytes = pooled_array(1, shape, NPY_UINT8, 0);
    struct generator *stream = bytes != NULL ? hold((Generator *)self) : NULL;
    if (stream == NULL) {
        Py_XDECREF(bytes);
        return NULL;
    }
    random_get_state(stream, PyArray_DATA(bytes));
    release((Generator *)self);
    return (PyObject *)bytes;
}

static PyObject *set_state_array(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    PyArrayObject *bytes =
        check_nargs("set_state", nargs, 1) < 0 ? NULL : array_arg(args[0], "set_state", "new_state", NPY_UINT8, 1);
    if (bytes == NULL) {
        return NULL;
    }
    struct generator *stream = NULL;
    int done = -1;
    if (PyArray_SIZE(bytes) != RANDOM_STATE_BYTES) {
        PyErr_Format(ShapeError, "set_state: expected a state of %d bytes, got %zd", RANDOM_STATE_BYTES,
                     PyArray_SIZE(bytes));
    } else if ((stream = hold((Generator *)self)) != NULL) {
        done = random_set_state(stream, PyArray_DATA(bytes));
        release((Generator *)self);
        if (done < 0) {
            PyErr_SetString(PyExc_ValueError, "set_state: the bytes are no valid state of a generator");
        }
    }
    Py_DECREF(bytes);
    return none_or_error(done);
}

static PyObject *generator_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    Generator *self = (Generator *)type->tp_alloc(type, 0);
    if (self != NULL) {
        random_seed(&self->stream, 67280421310721u); /* torch's default seed */
    }
    return (PyObject *)self;
}

static void generator_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

#define FAST(f) (PyCFunction)(void (*)(void))(f), METH_FASTCALL

static PyMethodDef generator_methods[] = {
    {"_uniform", FAST(uniform), "_uniform(x, low, high): fill x"},
    {"_normal", FAST(normal), "_normal(x, mean, std, pairs): fill x; pairs: value by value whatever the size"},
    {"_integers", FAST(integers), "_integers(x, low, range): fill x with low .. low + range - 1; range 0 is 2**64"},
    {"_integers_of_type", FAST(integers_of_type), "_integers_of_type(x): fill x with 0 .. the type's largest"},
    {"_words", FAST(raw_words), "_words(n) -> the next n words of the stream, uint32"},
    {"_permutation", FAST(permutation), "_permutation(n) -> 0 .. n - 1 in random order"},
    {"_bernoulli", FAST(bernoulli), "_bernoulli(x, p): fill x with ones with probability p"},
    {"_bernoulli_each", FAST(bernoulli_each), "_bernoulli_each(x, p): fill x with ones with probabilities p[i]"},
    {"_exponential", FAST(exponential), "_exponential(x, lambd): fill x"},
    {"_geometric", FAST(geometric), "_geometric(x, p): fill x"},
    {"_cauchy", FAST(cauchy), "_cauchy(x, median, sigma): fill x"},
    {"_log_normal", FAST(log_normal), "_log_normal(x, mean, std): fill x"},
    {"_choices", FAST(choices), "_choices(weights (rows, n), k) -> indices (rows, k), with replacement"},
    {"manual_seed", FAST(manual_seed), "manual_seed(seed) -> self. See torch.Generator.manual_seed."},
    {"initial_seed", initial_seed, METH_NOARGS, "initial_seed() -> the seed of the last manual_seed or seed()."},
    {"_get_state", state_array, METH_NOARGS, "_get_state() -> 5056 bytes"},
    {"_set_state", FAST(set_state_array), "_set_state(bytes)"},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot generator_slots[] = {
    {Py_tp_new, (void *)generator_new},
    {Py_tp_dealloc, (void *)generator_dealloc},
    {Py_tp_methods, generator_methods},
    {Py_tp_doc, "A stream of random numbers: MT19937, drawn from as torch does."},
    {0, NULL},
};

static PyType_Spec generator_spec = {
    .name = "cnn._cnn.Generator",
    .basicsize = sizeof(Generator),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = generator_slots,
};

int generator_add_type(PyObject *module)
{
    PyObject *type = PyType_FromSpec(&generator_spec);
    int status = type != NULL ? PyModule_AddObjectRef(module, "Generator", type) : -1;
    Py_XDECREF(type);
    return status;
}
