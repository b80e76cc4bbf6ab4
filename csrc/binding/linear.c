/* linear: (x, w, b or None) -> y;  (dy, x, w, need_dx, need_dw, need_db) -> (dx, dw, db), None where not needed; there
 * x, which dw needs, or w, which dx needs, may be None.
 * x is (*, C), w (OC, C), b (OC), y (*, OC). See csrc/kernels/linear.c. */
#include "binding.h"

/* The sizes of one call, checked. */
typedef struct {
    ptrdiff_t N, C, OC; /* N: the product of all leading dimensions */
} linear_sizes;

static int same_type(PyArrayObject *x, PyObject *other, const char *name)
{
    if (PyArray_Check(other) && PyArray_TYPE((PyArrayObject *)other) == PyArray_TYPE(x)) {
        return 0;
    }
    if (!PyArray_Check(other)) {
        return refuse_kind("linear", name, other);
    }
    PyErr_Format(DTypeError, "linear: input is %S, but %s is %S; convert one of them, for example with .float()",
                 PyArray_DESCR(x), name, PyArray_DESCR((PyArrayObject *)other));
    return -1;
}

/* x and w as arrays that fit each other, or -1. */
static int parse_x_and_w(PyObject *x_object, PyObject *w_object, PyArrayObject **x, PyArrayObject **w, linear_sizes *s)
{
    char text[256];
    if (!(*x = array_arg(x_object, "linear", "input", ANY_REAL, ANY_NDIM)) || same_type(*x, w_object, "weight") < 0 ||
        !(*w = array_arg(w_object, "linear", "weight", PyArray_TYPE(*x), 2))) {
        return -1;
    }
    int ndim = PyArray_NDIM(*x);
    if (ndim == 0) {
        PyErr_SetString(ShapeError, "linear: input must have at least one dimension, got a scalar");
        return -1;
    }
    s->C = PyArray_DIM(*x, ndim - 1);
    s->OC = PyArray_DIM(*w, 0);
    s->N = 1;
    for (int i = 0; i < ndim - 1; i++) {
        s->N *= PyArray_DIM(*x, i); /* cannot overflow where x has elements; where C is 0 the result is checked */
    }
    if (s->C != PyArray_DIM(*w, 1)) {
        ptrdiff_t expected = PyArray_DIM(*w, 1);
        const char *hint = "";
        if (ndim > 2 && PyArray_DIM(*x, 0) * expected == PyArray_SIZE(*x)) {
            hint = ": x.flatten(1) makes them of each sample's values";
        } else if (PyArray_SIZE(*x) == expected) {
            hint = ": it has that many values in all; was it one sample without a batch? x.unsqueeze(0) adds that";
        }
        PyErr_Format(ShapeError, "linear: input has %zd features in its last dimension, but weight %s expects %zd%s",
                     (Py_ssize_t)s->C, shape_text(*w, text, sizeof text), expected, hint);
        return -1;
    }
    return 0;
}

PyObject *py_linear_forward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    PyArrayObject *x = NULL, *w = NULL, *b = NULL, *y = NULL;
    linear_sizes s;
    char text[256];
    if (check_nargs("linear", nargs, 3) < 0 || parse_x_and_w(args[0], args[1], &x, &w, &s) < 0) {
        goto fail;
    }
    if (args[2] != Py_None) {
        if (same_type(x, args[2], "bias") < 0 || !(b = array_arg(args[2], "linear", "bias", PyArray_TYPE(x), 1))) {
            goto fail;
        }
        if (PyArray_DIM(b, 0) != s.OC) {
            PyErr_Format(ShapeError, "linear: bias has %zd values, but weight %s gives %zd outputs",
                         (Py_ssize_t)PyArray_DIM(b, 0), shape_text(w, text, sizeof text), (Py_ssize_t)s.OC);
            goto fail;
        }
    }
    npy_intp dims[NPY_MAXDIMS];
    memcpy(dims, PyArray_DIMS(x), PyArray_NDIM(x) * sizeof *dims);
    dims[PyArray_NDIM(x) - 1] = s.OC;
    if (!(y = array_new(PyArray_NDIM(x), dims, PyArray_TYPE(x), ROWS))) {
        goto fail;
    }
    const struct kernels *k = kernels_of(x);
    PyThreadState *state = kernel_enter((double)s.N * s.OC * s.C / 8);
    k->linear_forward(PyArray_DATA(x), PyArray_DATA(w), b != NULL ? PyArray_DATA(b) : NULL, PyArray_DATA(y), s.N, s.C,
                      s.OC);
    if (kernel_leave(state) < 0) {
        goto fail;
    }
    Py_DECREF(x);
    Py_DECREF(w);
    Py_XDECREF(b);
    return (PyObject *)y;
fail:
    Py_XDECREF(x);
    Py_XDECREF(w);
    Py_XDECREF(b);
    Py_XDECREF(y);
    return NULL;
}

/* The same for the way back, where one of the two may be missing: dy says what it would. */
static int parse_for_backward(PyObject *dy_object, PyObject *x_object, PyObject *w_object, PyArrayObject **x,
                              PyArrayObject **w, linear_sizes *s)
{
    if (x_object != Py_None && w_object != Py_None) {
        return parse_x_and_w(x_object, w_object, x, w, s);
    }
    if (!PyArray_Check(dy_object) || PyArray_NDIM((PyArrayObject *)dy_object) == 0) {
        PyErr_SetString(PyExc_TypeError, "linear: grad_output must be an array with a dimension of features");
        return -1;
    }
    PyArrayObject *dy = (PyArrayObject *)dy_object;
    int last = PyArray_NDIM(dy) - 1;
    s->OC = PyArray_DIM(dy, last);
    s->N = 1;
    for (int i = 0; i < last; i++) {
        s->N *= PyArray_DIM(dy, i);
    }
    if (x_object != Py_None) {
        if (!(*x = array_arg(x_object, "linear", "input", ANY_REAL, last + 1))) {
            return -1;
        }
        s->C = PyArray_DIM(*x, last);
    } else if (w_object != Py_None) {
        if (!(*w = array_arg(w_object, "linear", "weight", ANY_REAL, 2))) {
            return -1;
        }
        s->C = PyArray_DIM(*w, 1);
        if (PyArray_DIM(*w, 0) != s->OC) {
            PyErr_Format(ShapeError, "linear: grad_output has %zd features, but weight gives %zd", (Py_ssize_t)s->OC,
                         (Py_ssize_t)PyArray_DIM(*w, 0));
            return -1;
        }
    }
    return 0;
}

/* dy as an array of y's shape: that of x, with OC features in the last dimension. */
static PyArrayObject *parse_dy(PyObject *object, PyArrayObject *x, const linear_sizes *s)
{
    char got[256];
    int ndim = PyArray_NDIM(x);
    if (same_type(x, object, "grad_output") < 0) {
        return NULL;
    }
    PyArrayObject *dy = array_arg(object, "linear", "grad_output", PyArray_TYPE(x), ndim);
    if (dy != NULL &&
        (!PyArray_CompareLists(PyArray_DIMS(dy), PyArray_DIMS(x), ndim - 1) || PyArray_DIM(dy, ndim - 1) != s->OC)) {
        PyErr_Format(ShapeError,
                     "linear: grad_output must have the leading dimensions of input and %zd features, got %s",
                     (Py_ssize_t)s->OC, shape_text(dy, got, sizeof got));
        Py_CLEAR(dy);
    }
    return dy;
}

PyObject *py_linear_backward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    PyArrayObject *dy = NULL, *x = NULL, *w = NULL, *dx = NULL, *dw = NULL, *db = NULL;
    PyObject *result = NULL;
    linear_sizes s;
    int need[3];
    if (check_nargs("linear_backward", nargs, 6) < 0 || parse_for_backward(args[0], args[1], args[2], &x, &w, &s) < 0 ||
        !(dy =
              x != NULL ? parse_dy(args[0], x, &s) : array_arg(args[0], "linear", "grad_output", ANY_REAL, ANY_NDIM)) ||
        (x == NULL && w != NULL && same_type(w, (PyObject *)dy, "grad_output") < 0)) {
        goto done;
    }
    for (int i = 0; i < 3; i++) {
        if ((need[i] = PyObject_IsTrue(args[3 + i])) < 0) {
            goto done;
        }
    }
    if ((need[0] && w == NULL) || (need[1] && x == NULL)) {
        PyErr_SetString(PyExc_TypeError, "linear: the input's gradient needs weight, and the weight's needs input");
        goto done;
    }
    int type = PyArray_TYPE(dy), ndim = PyArray_NDIM(dy);
    npy_intp OC = s.OC, w_dims[2] = {s.OC, s.C}, x_dims[NPY_MAXDIMS];
    memcpy(x_dims, PyArray_DIMS(dy), (size_t)ndim * sizeof *x_dims);
    x_dims[ndim - 1] = s.C;
    if ((need[0] && !(dx = array_new(ndim, x_dims, type, ROWS))) ||
        (need[1] && !(dw = array_new(2, w_dims, type, ROWS))) || (need[2] && !(db = array_new(1, &OC, type, ROWS)))) {
        goto done;
    }
    const struct kernels *k = kernels_of(dy);
    PyThreadState *state = kernel_enter((double)s.N * s.OC * s.C / 8);
    if (dx != NULL) {
        k->linear_backward_input(PyArray_DATA(dy), PyArray_DATA(w), PyArray_DATA(dx), s.N, s.C, s.OC);
    }
    if (need[1] || need[2]) {
        k->linear_backward_weight(data_or_null(x), PyArray_DATA(dy), data_or_null(dw), data_or_null(db), s.N, s.C,
                                  s.OC);
    }
    if (kernel_leave(state) < 0) {
        goto done;
    }
    result = PyTuple_Pack(3, object_or_none(dx), object_or_none(dw), object_or_none(db));
done:
    Py_XDECREF(dy);
    Py_XDECREF(x);
    Py_XDECREF(w);
    Py_XDECREF(dx);
    Py_XDECREF(dw);
    Py_XDECREF(db);
    return result;
}
