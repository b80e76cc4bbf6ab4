/* pointwise: (x, settings) -> y;  (dy, saved, settings) -> dx, for every row of POINTWISE in csrc/kernels/families.h.
 */
#include "binding.h"

enum { SETTINGS = 3 };

struct pointwise {
    const struct kernels *kernels;
    const void *in, *dy;
    void *out;
    ptrdiff_t n;
    int in_place;
    double settings[SETTINGS];
    PyArrayObject *input, *gradient, *result;
    PyThreadState *state;
};

static void release(struct pointwise *c)
{
    Py_CLEAR(c->input);
    Py_CLEAR(c->gradient);
    Py_CLEAR(c->result);
}

static int start(struct pointwise *c)
{
    c->kernels = kernels_of(c->input);
    c->n = PyArray_SIZE(c->input);
    c->in = PyArray_DATA(c->input);
    c->dy = c->gradient != NULL ? PyArray_DATA(c->gradient) : NULL;
    /* In place the input is the result, or its copy in dense memory. */
    c->out = PyArray_DATA(c->in_place ? c->input : c->result);
    c->state = kernel_enter((double)c->n);
    return 0;
}

/* Arguments (x, settings...): `out` is new, in the memory order of the input. */
static int begin_forward(struct pointwise *c, const char *function, PyObject *const *args, Py_ssize_t nargs,
                         int settings, const char *names)
{
    *c = (struct pointwise){0};
    if (check_nargs(function, nargs, 1 + settings) < 0 ||
        !(c->input = array_arg_dense(args[0], function, "input", ANY_REAL, ANY_NDIM)) ||
        parse_doubles(args + 1, function, names, settings, c->settings) < 0 ||
        !(c->result = array_new_like(c->input))) {
        release(c);
        return -1;
    }
    return start(c);
}

/* Arguments (x, settings...): the result is x itself, which may lie in memory in any way. */
static int begin_in_place(struct pointwise *c, const char *function, PyObject *const *args, Py_ssize_t nargs,
                          int settings, const char *names)
{
    *c = (struct pointwise){0};
    if (check_nargs(function, nargs, 1 + settings) < 0 ||
        parse_doubles(args + 1, function, names, settings, c->settings) < 0 ||
        !(c->input = array_arg_writable(args[0], function, "input", ANY_REAL, NULL))) {
        return -1;
    }
    c->result = (PyArrayObject *)Py_NewRef(args[0]);
    c->in_place = 1;
    return start(c);
}

/* Arguments (dy, saved, settings...): `in` is the saved array, `out` is new. */
static int begin_backward(struct pointwise *c, const char *function, PyObject *const *args, Py_ssize_t nargs,
                          int settings, const char *names)
{
    *c = (struct pointwise){0};
    if (check_nargs(function, nargs, 2 + settings) < 0 ||
        !(c->input = array_arg_dense(args[1], function, "saved", ANY_REAL, ANY_NDIM)) ||
        !(c->gradient = array_arg_like(args[0], function, "grad_output", c->input)) ||
        parse_doubles(args + 2, function, names, settings, c->settings) < 0 ||
        !(c->result = array_new_like(c->input))) {
        release(c);
        return -1;
    }
    return start(c);
}

/* The result as a new reference, or NULL with an exception; releases everything. */
static PyObject *end(struct pointwise *c)
{
    int failed = kernel_leave(c->state) < 0;
    if (c->in_place) {
        if (failed) {
            PyArray_DiscardWritebackIfCopy(c->input);
        } else {
            failed = PyArray_ResolveWritebackIfCopy(c->input) < 0;
        }
    }
    PyObject *result = failed ? NULL : Py_NewRef(c->result);
    release(c);
    return result;
}

#define PASS_0
#define PASS_1 , c.settings[0]
#define PASS_2 PASS_1, c.settings[1]
#define PASS_3 PASS_2, c.settings[2]

#define FUNCTION(name, beat, shown, kernel, arguments, settings, names)                       \
    PyObject *py_##name(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs) \
    {                                                                                         \
        struct pointwise c;                                                                   \
        if (begin_##beat(&c, shown, args, nargs, settings, names) < 0) {                      \
            return NULL;                                                                      \
        }                                                                                     \
        c.kernels->kernel arguments;                                                          \
        return end(&c);                                                                       \
    }
#define COPIES(...)
#define IN_PLACE(name, shown, settings, names) \
    FUNCTION(name##_forward_, in_place, shown "_", name##_forward, (c.in, c.out, c.n PASS_##settings), settings, names)
#define P(name, shown, saved, in_place, settings, names)                                                          \
    FUNCTION(name##_forward, forward, shown, name##_forward, (c.in, c.out, c.n PASS_##settings), settings, names) \
    in_place(name, shown, settings, names) B(name##_backward, shown "_backward", saved, settings, names)
#define B(name, shown, saved, settings, names) \
    FUNCTION(name, backward, shown, name, (c.dy, c.in, c.out, c.n PASS_##settings), settings, names)
POINTWISE(P, B)
