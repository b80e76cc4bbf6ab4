/* group_norm: (x, groups, weight or None, bias or None, eps) -> (y, mean, invstd);
 * (dy, x, groups, weight or None, mean, invstd, want_dx, want_parameters) -> (dx, dweight, dbias), None where not
 * wanted. See csrc/kernels/group_norm.c. */
#include "binding.h"

static const char *const NAME = "group_norm";

typedef struct {
    ptrdiff_t N, G, K, S;
} sizes;

/* x as a C-contiguous array (N, C, ...), and its sizes as the kernel sees them. */
static PyArrayObject *input_arg(PyObject *object, PyObject *groups, sizes *s)
{
    PyArrayObject *x = array_arg(object, NAME, "input", ANY_REAL, ANY_NDIM);
    char text[256];
    if (x == NULL || parse_size(groups, NAME, "num_groups", 1, PTRDIFF_MAX, &s->G) < 0) {
        Py_XDECREF(x);
        return NULL;
    }
    if (PyArray_NDIM(x) < 2 || PyArray_DIM(x, 1) % s->G != 0) {
        PyErr_Format(
            ShapeError,
            "%s: Expected number of channels in input to be divisible by num_groups, but got input of shape %s "
            "and num_groups=%zd",
            NAME, shape_text(x, text, sizeof text), s->G);
        Py_DECREF(x);
        return NULL;
    }
    s->N = PyArray_DIM(x, 0);
    s->K = PyArray_DIM(x, 1) / s->G;
    s->S = 1;
    for (int i = 2; i < PyArray_NDIM(x); i++) {
        s->S *= PyArray_DIM(x, i);
    }
    return x;
}

/* An argument of n values, or NULL for None; *failed is set with an exception. */
static PyArrayObject *vector_arg(PyObject *object, const char *name, ptrdiff_t n, int type, int *failed)
{
    if (object == Py_None || *failed) {
        return NULL;
    }
    PyArrayObject *array = array_arg(object, NAME, name, type, 1);
    if (array != NULL && PyArray_DIM(array, 0) != n) {
        PyErr_Format(ShapeError, "%s: %s should contain %zd elements not %zd", NAME, name, n,
                     (ptrdiff_t)PyArray_DIM(array, 0));
        Py_CLEAR(array);
    }
    *failed = array == NULL;
    return array;
}

PyObject *py_group_norm_forward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    PyArrayObject *x = NULL, *weight = NULL, *bias = NULL, *y = NULL, *mean = NULL, *invstd = NULL;
    PyObject *result = NULL;
    double eps;
    int failed = 0;
    sizes s;
    if (check_nargs(NAME, nargs, 5) < 0 || parse_double(args[4], NAME, "eps", &eps) < 0 ||
        !(x = input_arg(args[0], args[1], &s))) {
        goto done;
    }
    ptrdiff_t rows = s.N * s.G;
    weight = vector_arg(args[2], "weight", s.G * s.K, PyArray_TYPE(x), &failed);
    bias = vector_arg(args[3], "bias", s.G * s.K, PyArray_TYPE(x), &failed);
    if (failed || !(y = array_new_like(x)) || !(mean = array_new(1, &rows, PyArray_TYPE(x), ROWS)) ||
        !(invstd = array_new(1, &rows, PyArray_TYPE(x), ROWS))) {
        goto done;
    }
    if (PyArray_SIZE(x) > 0) {
        PyThreadState *state = kernel_enter(2.0 * (double)PyArray_SIZE(x));
        kernels_of(x)->group_norm_forward(PyArray_DATA(x), data_or_null(weight), data_or_null(bias), PyArray_DATA(y),
                                          PyArray_DATA(mean), PyArray_DATA(invstd), s.N, s.G, s.K, s.S, eps);
        if (kernel_leave(state) < 0) {
            goto done;
        }
    }
    result = PyTuple_Pack(3, y, mean, invstd);
done:
    Py_XDECREF(x);
    Py_XDECREF(weight);
    Py_XDECREF(bias);
    Py_XDECREF(y);
    Py_XDECREF(mean);
    Py_XDECREF(invstd);
    return result;
}

PyObject *py_group_norm_backward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    PyArrayObject *dy = NULL, *x = NULL, *weight = NULL, *mean = NULL, *invstd = NULL;
    PyArrayObject *dx = NULL, *dweight = NULL, *dbias = NULL;
    PyObject *result = NULL;
    ptrdiff_t want_dx, want_parameters;
    int failed = 0;
    sizes s;
    if (check_nargs(NAME, nargs, 8) < 0 || parse_size(args[6], NAME, "want_dx", 0, 1, &want_dx) < 0 ||
        parse_size(args[7], NAME, "want_parameters", 0, 1, &want_parameters) < 0 ||
        !(x = input_arg(args[1], args[2], &s)) || !(dy = array_arg_like(args[0], NAME, "grad_output", x))) {
        goto done;
    }
    ptrdiff_t C = s.G * s.K;
    int type = PyArray_TYPE(x);
    weight = vector_arg(args[3], "weight", C, type, &failed);
    mean = vector_arg(args[4], "mean", s.N * s.G, type, &failed);
    invstd = vector_arg(args[5], "invstd", s.N * s.G, type, &failed);
    if (!failed && (mean == NULL || invstd == NULL)) {
        PyErr_Format(PyExc_TypeError, "%s: mean and invstd must be arrays, got None", NAME);
        goto done;
    }
    if (failed || (want_dx && !(dx = array_new_like(x))) ||
        (want_parameters &&
         (!(dweight = array_zeros(1, &C, type, ROWS)) || !(dbias = array_zeros(1, &C, type, ROWS))))) {
        goto done;
    }
    if (PyArray_SIZE(x) > 0) {
        PyThreadState *state = kernel_enter(2.0 * (double)PyArray_SIZE(x));
        kernels_of(x)->group_norm_backward(PyArray_DATA(dy), PyArray_DATA(x), data_or_null(weight), PyArray_DATA(mean),
                                           PyArray_DATA(invstd), data_or_null(dx), data_or_null(dweight),
                                           data_or_null(dbias), s.N, s.G, s.K, s.S);
        if (kernel_leave(state) < 0) {
            goto done;
        }
    }
    result = PyTuple_Pack(3, object_or_none(dx), object_or_none(dweight), object_or_none(dbias));
done:
    Py_XDECREF(dy);
    Py_XDECREF(x);
    Py_XDECREF(weight);
    Py_XDECREF(mean);
    Py_XDECREF(invstd);
    Py_XDECREF(dx);
    Py_XDECREF(dweight);
    Py_XDECREF(dbias);
    return result;
}
