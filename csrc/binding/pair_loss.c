/* pair_loss: (x, target, each or None, p, reduction) -> loss;  (dy, x, target, each or None, p, reduction) -> dx or dt,
 * for every row of PAIR_LOSSES in csrc/kernels/families.h. See csrc/kernels/pair_loss.h. */
#include "class_target.h"

typedef double loss_kernel PAIR_LOSS;
typedef void slope_kernel PAIR_SLOPE;

typedef struct {
    PyArrayObject *x, *target, *each; /* in one memory order; each may be NULL */
    double p;
    ptrdiff_t reduction;
} pair;

/* args: x, target, each or None, p, reduction. pair_release must follow, also after -1. */
static int pair_parse(pair *c, PyObject *const *args, const char *function)
{
    *c = (pair){0};
    if (!(c->x = array_arg_dense(args[0], function, "input", ANY_REAL, ANY_NDIM)) ||
        !(c->target = array_arg_like(args[1], function, "target", c->x)) ||
        (args[2] != Py_None && !(c->each = array_arg_like(args[2], function, "pos_weight", c->x))) ||
        parse_double(args[3], function, "parameter", &c->p) < 0 ||
        parse_size(args[4], function, "reduction", REDUCTION_NONE, REDUCTION_SUM, &c->reduction) < 0) {
        return -1;
    }
    return 0;
}

static void pair_release(pair *c)
{
    Py_XDECREF(c->x);
    Py_XDECREF(c->target);
    Py_XDECREF(c->each);
}

/* What a mean multiplies the sum with. */
static double scale_of(const pair *c) { return c->reduction == REDUCTION_MEAN ? 1 / (double)PyArray_SIZE(c->x) : 1; }

/* `kernels` has one for float, one for double. */
static PyObject *loss_function(const char *function, PyObject *const *args, Py_ssize_t nargs,
                               loss_kernel *const kernels[2])
{
    pair c = {0};
    PyArrayObject *loss = NULL;
    if (check_nargs(function, nargs, 5) < 0 || pair_parse(&c, args, function) < 0) {
        goto fail;
    }
    int unreduced = c.reduction == REDUCTION_NONE, type = PyArray_TYPE(c.x);
    if (!(loss = unreduced ? array_new_like(c.x) : array_new(0, NULL, type, ROWS))) {
        goto fail;
    }
    PyThreadState *state = kernel_enter((double)PyArray_SIZE(c.x));
    double total = kernels[type == NPY_DOUBLE](PyArray_DATA(c.x), PyArray_DATA(c.target), data_or_null(c.each), c.p,
                                               unreduced ? PyArray_DATA(loss) : NULL, PyArray_SIZE(c.x));
    if (kernel_leave(state) < 0) {
        goto fail;
    }
    if (!unreduced) {
        set_scalar(loss, total * scale_of(&c));
    }
    pair_release(&c);
    return (PyObject *)loss;
fail:
    pair_release(&c);
    Py_XDECREF(loss);
    return NULL;
}

static PyObject *slope_function(const char *function, PyObject *const *args, Py_ssize_t nargs,
                                slope_kernel *const kernels[2])
{
    pair c = {0};
    PyArrayObject *dy = NULL, *dx = NULL;
    if (check_nargs(function, nargs, 6) < 0 || pair_parse(&c, args + 1, function) < 0) {
        goto fail;
    }
    int unreduced = c.reduction == REDUCTION_NONE, type = PyArray_TYPE(c.x);
    dy = unreduced ? array_arg_like(args[0], function, "grad_output", c.x)
                   : array_arg(args[0], function, "grad_output", type, 0);
    if (dy == NULL || !(dx = array_new_like(c.x))) {
        goto fail;
    }
    PyThreadState *state = kernel_enter((double)PyArray_SIZE(c.x));
    kernels[type == NPY_DOUBLE](PyArray_DATA(dy), unreduced, PyArray_DATA(c.x), PyArray_DATA(c.target),
                                data_or_null(c.each), c.p, PyArray_DATA(dx), PyArray_SIZE(c.x), scale_of(&c));
    if (kernel_leave(state) < 0) {
        goto fail;
    }
    pair_release(&c);
    Py_DECREF(dy);
    return (PyObject *)dx;
fail:
    pair_release(&c);
    Py_XDECREF(dy);
    Py_XDECREF(dx);
    return NULL;
}

#define FUNCTION(beat, name, shown)                                                                                 \
    PyObject *py_##name(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)                       \
    {                                                                                                               \
        return beat##_function(shown, args, nargs,                                                                  \
                               (beat##_kernel *const[]){kernels_for(REAL_F32)->name, kernels_for(REAL_F64)->name}); \
    }
#define L(name) FUNCTION(loss, name##_forward, #name) FUNCTION(slope, name##_backward, #name)
#define T(name) L(name) FUNCTION(slope, name##_backward_target, #name)
PAIR_LOSSES(L, T)
