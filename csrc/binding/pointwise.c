/* pointwise: parse, allocate and release for the element-by-element layers. See pointwise.h. */
#include "pointwise.h"

static void release(struct pointwise *c)
{
    Py_CLEAR(c->input);
    Py_CLEAR(c->gradient);
    Py_CLEAR(c->result);
}

static int parse_scalars(struct pointwise *c, const char *function, PyObject *const *args, int scalars,
                         const char *const *names)
{
    for (int i = 0; i < scalars; i++) {
        if (parse_double(args[i], function, names[i], &c->scalar[i]) < 0) {
            return -1;
        }
    }
    return 0;
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

int pointwise_forward(struct pointwise *c, const char *function, PyObject *const *args, Py_ssize_t nargs, int scalars,
                      const char *const *names)
{
    *c = (struct pointwise){0};
    if (check_nargs(function, nargs, 1 + scalars) < 0 ||
        !(c->input = array_arg_dense(args[0], function, "input", ANY_REAL, ANY_NDIM)) ||
        parse_scalars(c, function, args + 1, scalars, names) < 0 || !(c->result = array_new_like(c->input))) {
        release(c);
        return -1;
    }
    return start(c);
}

int pointwise_inplace(struct pointwise *c, const char *function, PyObject *const *args, Py_ssize_t nargs, int scalars,
                      const char *const *names)
{
    *c = (struct pointwise){0};
    if (check_nargs(function, nargs, 1 + scalars) < 0 || parse_scalars(c, function, args + 1, scalars, names) < 0 ||
        !(c->input = array_arg_writable(args[0], function, "input", ANY_REAL, NULL))) {
        return -1;
    }
    c->result = (PyArrayObject *)Py_NewRef(args[0]);
    c->in_place = 1;
    return start(c);
}

int pointwise_backward(struct pointwise *c, const char *function, PyObject *const *args, Py_ssize_t nargs, int scalars,
                       const char *const *names)
{
    *c = (struct pointwise){0};
    if (check_nargs(function, nargs, 2 + scalars) < 0 ||
        !(c->input = array_arg_dense(args[1], function, "saved", ANY_REAL, ANY_NDIM)) ||
        !(c->gradient = array_arg_like(args[0], function, "grad_output", c->input)) ||
        parse_scalars(c, function, args + 2, scalars, names) < 0 || !(c->result = array_new_like(c->input))) {
        release(c);
        return -1;
    }
    return start(c);
}

PyObject *pointwise_end(struct pointwise *c)
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
