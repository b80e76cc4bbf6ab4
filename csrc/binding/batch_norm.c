/* batch_norm: (x, weight or None, bias or None, running_mean or None, running_var or None, training, momentum, eps,
 * relu) -> (y, mean, invstd), and in training the running statistics are changed in place;
 * (x, weight or None, bias or None, running_mean or None, running_var or None, momentum, eps) -> (mean, variance,
 * invstd) of a batch, with all checks of a forward in training, and the running statistics changed;
 * (dy, x, weight or None, mean, invstd, training, want_dx, want_parameters, relu, bias or None) -> (dx, dweight,
 * dbias), None where not wanted. bias matters only with relu;
 * (w, b or None, weight or None, bias or None, running_mean, running_var, eps) -> (scale, shift) for a convolution that
 * computes the layer behind it as well, or None where it should not. See csrc/kernels/batch_norm.c. */
#include "binding.h"

static const char *const NAME = "batch_norm";

typedef struct {
    ptrdiff_t outer, C, inner;
} sizes;

static sizes sizes_of(PyArrayObject *x)
{
    sizes s = {PyArray_DIM(x, 0), PyArray_DIM(x, 1), 1};
    for (int i = 2; i < PyArray_NDIM(x); i++) {
        *(is_channels_last(x) ? &s.outer : &s.inner) *= PyArray_DIM(x, i);
    }
    return s;
}

/* An argument of one value for each channel, or NULL for None; *failed is set with an exception. */
static PyArrayObject *per_channel(PyObject *object, const char *name, int type, ptrdiff_t C, int in_place, int *failed)
{
    if (object == Py_None || *failed) {
        return NULL;
    }
    PyArrayObject *array = array_arg(object, NAME, name, type, 1);
    if (array != NULL && PyArray_DIM(array, 0) != C) {
        PyErr_Format(ShapeError, "%s: %s should contain %zd elements not %zd: input has %zd channels", NAME, name, C,
                     (ptrdiff_t)PyArray_DIM(array, 0), C);
        Py_CLEAR(array);
    }
    if (array != NULL && in_place) {
        Py_SETREF(array, array_arg_inplace(object, NAME, name, type));
    }
    *failed = array == NULL;
    return array;
}

static PyArrayObject *input_arg(PyObject *object)
{
    PyArrayObject *x = array_arg_dense(object, NAME, "input", ANY_REAL, ANY_NDIM);
    if (x != NULL && PyArray_NDIM(x) < 2) {
        char text[256];
        PyErr_Format(ShapeError, "%s: input must have at least 2 dimensions, (N, C, ...), got shape %s", NAME,
                     shape_text(x, text, sizeof text));
        Py_CLEAR(x);
    }
    return x;
}

/* In training: a variance of one value says nothing. */
static int refuse_lone_values(PyArrayObject *x)
{
    if (PyArray_SIZE(x) == 0 || PyArray_SIZE(x) != PyArray_DIM(x, 1)) {
        return 0;
    }
    PyObject *shape = PyArray_IntTupleFromIntp(PyArray_NDIM(x), PyArray_DIMS(x));
    PyObject *list = shape != NULL ? PySequence_List(shape) : NULL;
    if (list != NULL) {
        PyErr_Format(ShapeError,
                     "%s: Expected more than 1 value per channel when training, got input size torch.Size(%S): use a "
                     "larger batch (drop_last=True for the last one), or eval() to use the running statistics",
                     NAME, list);
    }
    Py_XDECREF(shape);
    Py_XDECREF(list);
    return -1;
}

/* What a batch norm has for each channel; NULL where the argument was None. */
typedef struct {
    PyArrayObject *weight, *bias, *running_mean, *running_var;
} parameters;

static void release(parameters *p)
{
    Py_XDECREF(p->weight);
    Py_XDECREF(p->bias);
    Py_XDECREF(p->running_mean);
    Py_XDECREF(p->running_var);
}

/* The four arguments weight, bias, running_mean, running_var; training changes the running statistics in place. The
 * caller releases them, after a failure too. */
static int parse_parameters(PyObject *const *args, int type, ptrdiff_t C, int training, parameters *p)
{
    int failed = 0;
    p->running_mean = per_channel(args[2], "running_mean", type, C, training, &failed);
    p->running_var = per_channel(args[3], "running_var", type, C, training, &failed);
    p->weight = per_channel(args[0], "weight", type, C, 0, &failed);
    p->bias = per_channel(args[1], "bias", type, C, 0, &failed);
    if (failed) {
        return -1;
    }
    if ((p->running_mean == NULL) == (p->running_var == NULL) && (training || p->running_mean != NULL)) {
        return 0;
    }
    PyErr_Format(PyExc_ValueError,
                 training ? "%s: running_mean and running_var must either both be None or neither be None"
                          : "%s: running_mean and running_var must be defined in evaluation mode",
                 NAME);
    return -1;
}

/* Moves the running statistics, if there are any, towards those of the batch. */
static void track(PyArrayObject *x, sizes s, PyArrayObject *mean, PyArrayObject *variance, double momentum,
                  const parameters *p)
{
    if (p->running_mean != NULL) {
        kernels_of(x)->batch_norm_track(PyArray_DATA(mean), PyArray_DATA(variance), PyArray_DATA(p->running_mean),
                                        PyArray_DATA(p->running_var), s.C, s.outer * s.inner, momentum);
    }
}

PyObject *py_batch_norm_forward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    PyArrayObject *x = NULL, *y = NULL, *mean = NULL, *variance = NULL, *invstd = NULL;
    parameters p = {0};
    PyObject *result = NULL;
    ptrdiff_t training, relu;
    double momentum, eps;
    if (check_nargs(NAME, nargs, 9) < 0 || parse_size(args[5], NAME, "training", 0, 1, &training) < 0 ||
        parse_double(args[6], NAME, "momentum", &momentum) < 0 || parse_double(args[7], NAME, "eps", &eps) < 0 ||
        parse_size(args[8], NAME, "relu", 0, 1, &relu) < 0 || !(x = input_arg(args[0])) ||
        (training && refuse_lone_values(x) < 0) ||
        parse_parameters(args + 1, PyArray_TYPE(x), PyArray_DIM(x, 1), (int)training, &p) < 0) {
        goto done;
    }
    int type = PyArray_TYPE(x);
    sizes s = sizes_of(x);
    if (!(y = array_new_like(x)) || !(invstd = array_zeros(1, &s.C, type, ROWS))) {
        goto done;
    }
    if (training) {
        mean = array_zeros(1, &s.C, type, ROWS);
        variance = array_zeros(1, &s.C, type, ROWS);
    } else { /* a copy: backward may come after the running statistics have moved on */
        mean = (PyArrayObject *)PyArray_NewCopy(p.running_mean, NPY_CORDER);
        variance = (PyArrayObject *)Py_NewRef(p.running_var);
    }
    if (mean == NULL || variance == NULL) {
        goto done;
    }
    if (PyArray_SIZE(x) > 0) { /* an empty batch has no statistics, and leaves the running ones alone */
        PyThreadState *state = kernel_enter(2.0 * (double)PyArray_SIZE(x));
        kernels_of(x)->batch_norm_forward(PyArray_DATA(x), data_or_null(p.weight), data_or_null(p.bias),
                                          PyArray_DATA(y), PyArray_DATA(mean), PyArray_DATA(variance),
                                          PyArray_DATA(invstd), s.outer, s.C, s.inner, (int)training, eps, (int)relu);
        if (kernel_leave(state) < 0) {
            goto done;
        }
        if (training) {
            track(x, s, mean, variance, momentum, &p);
        }
    }
    result = PyTuple_Pack(3, y, mean, invstd);
done:
    release(&p);
    Py_XDECREF(x);
    Py_XDECREF(y);
    Py_XDECREF(mean);
    Py_XDECREF(variance);
    Py_XDECREF(invstd);
    return result;
}

PyObject *py_batch_norm_statistics(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    PyArrayObject *x = NULL, *mean = NULL, *variance = NULL, *invstd = NULL;
    parameters p = {0};
    PyObject *result = NULL;
    double momentum, eps;
    if (check_nargs(NAME, nargs, 7) < 0 || parse_double(args[5], NAME, "momentum", &momentum) < 0 ||
        parse_double(args[6], NAME, "eps", &eps) < 0 || !(x = input_arg(args[0])) || refuse_lone_values(x) < 0 ||
        parse_parameters(args + 1, PyArray_TYPE(x), PyArray_DIM(x, 1), 1, &p) < 0) {
        goto done;
    }
    int type = PyArray_TYPE(x);
    sizes s = sizes_of(x);
    if (!(mean = array_zeros(1, &s.C, type, ROWS)) || !(variance = array_zeros(1, &s.C, type, ROWS)) ||
        !(invstd = array_zeros(1, &s.C, type, ROWS))) {
        goto done;
    }
    if (PyArray_SIZE(x) > 0) {
        PyThreadState *state = kernel_enter((double)PyArray_SIZE(x));
        kernels_of(x)->batch_norm_statistics(PyArray_DATA(x), PyArray_DATA(mean), PyArray_DATA(variance),
                                             PyArray_DATA(invstd), s.outer, s.C, s.inner, eps);
        if (kernel_leave(state) < 0) {
            goto done;
        }
        track(x, s, mean, variance, momentum, &p);
    }
    result = PyTuple_Pack(3, mean, variance, invstd);
done:
    release(&p);
    Py_XDECREF(x);
    Py_XDECREF(mean);
    Py_XDECREF(variance);
    Py_XDECREF(invstd);
    return result;
}

PyObject *py_batch_norm_fold(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    PyArrayObject *w = NULL, *b = NULL, *scale = NULL, *shift = NULL;
    parameters p = {0};
    PyObject *result = NULL;
    double eps;
    int failed = 0;
    if (check_nargs(NAME, nargs, 7) < 0 || parse_double(args[6], NAME, "eps", &eps) < 0 ||
        !(w = array_arg(args[0], NAME, "conv_weight", ANY_REAL, 4)) ||
        parse_parameters(args + 2, PyArray_TYPE(w), PyArray_DIM(w, 0), 0, &p) < 0) {
        goto done;
    }
    int type = PyArray_TYPE(w);
    npy_intp C = PyArray_DIM(w, 0);
    b = per_channel(args[1], "conv_bias", type, C, 0, &failed);
    if (failed || !(scale = array_new(1, &C, type, ROWS)) || !(shift = array_new(1, &C, type, ROWS))) {
        goto done;
    }
    int safe = kernels_of(w)->batch_norm_fold(data_or_null(b), data_or_null(p.weight), data_or_null(p.bias),
                                              PyArray_DATA(p.running_mean), PyArray_DATA(p.running_var),
                                              PyArray_DATA(scale), PyArray_DATA(shift), C, eps);
    result = safe ? PyTuple_Pack(2, scale, shift) : Py_NewRef(Py_None);
done:
    release(&p);
    Py_XDECREF(w);
    Py_XDECREF(b);
    Py_XDECREF(scale);
    Py_XDECREF(shift);
    return result;
}

PyObject *py_batch_norm_backward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    PyArrayObject *dy = NULL, *x = NULL, *weight = NULL, *bias = NULL, *mean = NULL, *invstd = NULL;
    PyArrayObject *dx = NULL, *dweight = NULL, *dbias = NULL;
    PyObject *result = NULL;
    ptrdiff_t training, want_dx, want_parameters, relu;
    int failed = 0;
    if (check_nargs(NAME, nargs, 10) < 0 || parse_size(args[5], NAME, "training", 0, 1, &training) < 0 ||
        parse_size(args[6], NAME, "want_dx", 0, 1, &want_dx) < 0 ||
        parse_size(args[7], NAME, "want_parameters", 0, 1, &want_parameters) < 0 ||
        parse_size(args[8], NAME, "relu", 0, 1, &relu) < 0 || !(x = input_arg(args[1])) ||
        !(dy = array_arg_like(args[0], NAME, "grad_output", x))) {
        goto done;
    }
    int type = PyArray_TYPE(x);
    ptrdiff_t C = PyArray_DIM(x, 1);
    weight = per_channel(args[2], "weight", type, C, 0, &failed);
    bias = per_channel(args[9], "bias", type, C, 0, &failed);
    mean = per_channel(args[3], "mean", type, C, 0, &failed);
    invstd = per_channel(args[4], "invstd", type, C, 0, &failed);
    if (!failed && (mean == NULL || invstd == NULL)) {
        PyErr_Format(PyExc_TypeError, "%s: mean and invstd must be arrays, got None", NAME);
        goto done;
    }
    sizes s = sizes_of(x);
    if (failed || (want_dx && !(dx = array_new_like(x))) ||
        (want_parameters && (!(dweight = array_zeros(1, &s.C, PyArray_TYPE(x), ROWS)) ||
                             !(dbias = array_zeros(1, &s.C, PyArray_TYPE(x), ROWS))))) {
        goto done;
    }
    if (PyArray_SIZE(x) > 0) {
        PyThreadState *state = kernel_enter(2.0 * (double)PyArray_SIZE(x));
        kernels_of(x)->batch_norm_backward(PyArray_DATA(dy), PyArray_DATA(x), data_or_null(weight), data_or_null(bias),
                                           PyArray_DATA(mean), PyArray_DATA(invstd), data_or_null(dx),
                                           data_or_null(dweight), data_or_null(dbias), s.outer, s.C, s.inner,
                                           (int)training, (int)relu);
        if (kernel_leave(state) < 0) {
            goto done;
        }
    }
    result = PyTuple_Pack(3, object_or_none(dx), object_or_none(dweight), object_or_none(dbias));
done:
    Py_XDECREF(dy);
    Py_XDECREF(x);
    Py_XDECREF(weight);
    Py_XDECREF(bias);
    Py_XDECREF(mean);
    Py_XDECREF(invstd);
    Py_XDECREF(dx);
    Py_XDECREF(dweight);
    Py_XDECREF(dbias);
    return result;
}
