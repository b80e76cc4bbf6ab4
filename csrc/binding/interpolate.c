/* interpolate: (x, row sources, row weights, column sources, column weights) -> y, and with (dy, ..., H, W) -> dx.
 * Sources are int64 (OH, TAPS), weights float64 of the same shape. See csrc/kernels/interpolate.c. */
#include "../kernels/interpolate.h"

#include "binding.h"

enum { TABLES = 4 };

typedef struct {
    PyArrayObject *arrays[TABLES];
    interpolate_axis rows, columns;
    ptrdiff_t taps;
} tables;

/* Every source must lie inside the image: the kernel does not look. */
static int check_sources(PyArrayObject *sources, ptrdiff_t n)
{
    const npy_int64 *data = PyArray_DATA(sources);
    for (npy_intp i = 0; i < PyArray_SIZE(sources); i++) {
        if (data[i] < 0 || data[i] >= n) {
            PyErr_Format(PyExc_IndexError, "interpolate: a source must lie in 0..%zd, got %lld", n - 1,
                         (long long)data[i]);
            return -1;
        }
    }
    return 0;
}

static int parse_tables(PyObject *const *args, ptrdiff_t H, ptrdiff_t W, tables *t)
{
    static const char *const names[TABLES] = {"row sources", "row weights", "column sources", "column weights"};
    for (int i = 0; i < TABLES; i++) {
        if (!(t->arrays[i] = array_arg(args[i], "interpolate", names[i], i % 2 ? NPY_DOUBLE : NPY_INT64, 2))) {
            return -1;
        }
    }
    t->taps = PyArray_DIM(t->arrays[0], 1);
    for (int i = 1; i < TABLES; i++) {
        PyArrayObject *partner = t->arrays[i - i % 2];
        if (PyArray_DIM(t->arrays[i], 1) != t->taps || PyArray_DIM(t->arrays[i], 0) != PyArray_DIM(partner, 0)) {
            PyErr_Format(ShapeError, "interpolate: the tables of sources and weights must have the same shape");
            return -1;
        }
    }
    t->rows =
        (interpolate_axis){H, PyArray_DIM(t->arrays[0], 0), PyArray_DATA(t->arrays[0]), PyArray_DATA(t->arrays[1])};
    t->columns =
        (interpolate_axis){W, PyArray_DIM(t->arrays[2], 0), PyArray_DATA(t->arrays[2]), PyArray_DATA(t->arrays[3])};
    return check_sources(t->arrays[0], H) < 0 || check_sources(t->arrays[2], W) < 0 ? -1 : 0;
}

static void release_tables(tables *t)
{
    for (int i = 0; i < TABLES; i++) {
        Py_XDECREF(t->arrays[i]);
    }
}

PyObject *py_interpolate_forward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    PyArrayObject *x = NULL, *y = NULL;
    tables t = {0};
    if (check_nargs("interpolate", nargs, 1 + TABLES) < 0 ||
        !(x = array_arg(args[0], "interpolate", "input", ANY_REAL, 4)) ||
        parse_tables(args + 1, PyArray_DIM(x, 2), PyArray_DIM(x, 3), &t) < 0) {
        goto fail;
    }
    npy_intp dims[4] = {PyArray_DIM(x, 0), PyArray_DIM(x, 1), t.rows.out, t.columns.out};
    if (!(y = array_new(4, dims, PyArray_TYPE(x), ROWS))) {
        goto fail;
    }
    PyThreadState *state = kernel_enter((double)PyArray_SIZE(y) * t.taps * t.taps);
    kernels_of(x)->interpolate_forward(PyArray_DATA(x), PyArray_DATA(y), &t.rows, &t.columns, dims[0] * dims[1],
                                       t.taps);
    if (kernel_leave(state) < 0) {
        goto fail;
    }
    Py_DECREF(x);
    release_tables(&t);
    return (PyObject *)y;
fail:
    Py_XDECREF(x);
    Py_XDECREF(y);
    release_tables(&t);
    return NULL;
}

PyObject *py_interpolate_backward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    PyArrayObject *dy = NULL, *dx = NULL;
    tables t = {0};
    ptrdiff_t H, W;
    if (check_nargs("interpolate_backward", nargs, 3 + TABLES) < 0 ||
        parse_size(args[1 + TABLES], "interpolate_backward", "height", 1, PTRDIFF_MAX, &H) < 0 ||
        parse_size(args[2 + TABLES], "interpolate_backward", "width", 1, PTRDIFF_MAX, &W) < 0 ||
        !(dy = array_arg(args[0], "interpolate_backward", "grad_output", ANY_REAL, 4)) ||
        parse_tables(args + 1, H, W, &t) < 0) {
        goto fail;
    }
    if (PyArray_DIM(dy, 2) != t.rows.out || PyArray_DIM(dy, 3) != t.columns.out) {
        PyErr_Format(ShapeError, "interpolate_backward: expected grad_output of size (%zd, %zd), got (%zd, %zd)",
                     t.rows.out, t.columns.out, PyArray_DIM(dy, 2), PyArray_DIM(dy, 3));
        goto fail;
    }
    npy_intp dims[4] = {PyArray_DIM(dy, 0), PyArray_DIM(dy, 1), H, W};
    if (!(dx = array_new(4, dims, PyArray_TYPE(dy), ROWS))) {
        goto fail;
    }
    PyThreadState *state = kernel_enter((double)PyArray_SIZE(dy) * t.taps * t.taps);
    kernels_of(dy)->interpolate_backward(PyArray_DATA(dy), PyArray_DATA(dx), &t.rows, &t.columns, dims[0] * dims[1],
                                         t.taps);
    if (kernel_leave(state) < 0) {
        goto fail;
    }
    Py_DECREF(dy);
    release_tables(&t);
    return (PyObject *)dx;
fail:
    Py_XDECREF(dy);
    Py_XDECREF(dx);
    release_tables(&t);
    return NULL;
}
