/* sizes: what users give as sizes and dimensions, and views of an array in another shape. */
#include "binding.h"

/* `value`, an int or a list or tuple of one or two, as two ints. */
static int read_pair(PyObject *value, PyObject *layer, PyObject *name, PyObject **two)
{
    int several = PyTuple_Check(value) || PyList_Check(value);
    Py_ssize_t n = several ? PySequence_Fast_GET_SIZE(value) : 1;
    if (several && n != 1 && n != 2) {
        PyErr_Format(PyExc_RuntimeError, "%U: %U must either be a single int, or a tuple of two ints, got %.80R", layer,
                     name, value);
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *given = several ? PySequence_Fast_GET_ITEM(value, i) : value;
        if (!(two[i] = PyNumber_Index(given))) {
            if (PyErr_ExceptionMatches(PyExc_TypeError)) {
                PyErr_Format(PyExc_TypeError, "%U: %U must be an int or a tuple of two ints, got %.80R", layer, name,
                             value);
            }
            if (i == 1) {
                Py_CLEAR(two[0]);
            }
            return -1;
        }
    }
    if (n == 1) {
        two[1] = Py_NewRef(two[0]);
    }
    return 0;
}

PyObject *py_pairs(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs < 2 || !PyUnicode_Check(args[0]) || !PyTuple_Check(args[1]) || PyTuple_GET_SIZE(args[1]) != nargs - 2) {
        PyErr_SetString(PyExc_TypeError, "pairs: expected the name of a layer, a tuple of names, and as many values");
        return NULL;
    }
    PyObject *all = PyTuple_New(2 * (nargs - 2));
    for (Py_ssize_t i = 0; i < nargs - 2 && all != NULL; i++) {
        PyObject *two[2];
        if (read_pair(args[2 + i], args[0], PyTuple_GET_ITEM(args[1], i), two) < 0) {
            Py_CLEAR(all);
        } else {
            PyTuple_SET_ITEM(all, 2 * i, two[0]);
            PyTuple_SET_ITEM(all, 2 * i + 1, two[1]);
        }
    }
    return all;
}

PyObject *py_wrap_dim(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    if (check_nargs("wrap_dim", nargs, 2) < 0) {
        return NULL;
    }
    Py_ssize_t ndim = PyLong_AsSsize_t(args[1]);
    if (ndim == -1 && PyErr_Occurred()) {
        return NULL;
    }
    PyObject *index = PyNumber_Index(args[0]);
    if (index == NULL) {
        if (PyErr_ExceptionMatches(PyExc_TypeError)) {
            PyErr_Format(PyExc_TypeError, "dim must be an int, got %.80R", args[0]);
        }
        return NULL;
    }
    Py_ssize_t limit = ndim > 1 ? ndim : 1, dim = PyNumber_AsSsize_t(index, NULL); /* clipped */
    if (dim < -limit || dim >= limit) {
        PyErr_Format(PyExc_IndexError, "Dimension out of range (expected to be in range of [%zd, %zd], but got %S)",
                     -limit, limit - 1, index);
        Py_DECREF(index);
        return NULL;
    }
    Py_DECREF(index);
    return PyLong_FromSsize_t(dim < 0 ? dim + limit : dim);
}

static PyObject *shape_name(void)
{
    static PyObject *name;
    return name != NULL ? name : (name = PyUnicode_InternFromString("shape"));
}

/* forward and backward of View, an Operation: see cnn/ops/shape.py. */
PyObject *py_view_forward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    if (check_nargs("view_forward", nargs, 3) < 0 || shape_name() == NULL) {
        return NULL;
    }
    if (!PyArray_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError, "view_forward: expected an array");
        return NULL;
    }
    PyArrayObject *x = (PyArrayObject *)args[1];
    PyObject *shape = PyArray_IntTupleFromIntp(PyArray_NDIM(x), PyArray_DIMS(x));
    int status = shape != NULL ? PyObject_SetAttr(args[0], shape_name(), shape) : -1;
    Py_XDECREF(shape);
    return status == 0 ? PyArray_Reshape(x, args[2]) : NULL;
}

PyObject *py_view_backward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    if (check_nargs("view_backward", nargs, 2) < 0 || shape_name() == NULL) {
        return NULL;
    }
    if (!PyArray_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError, "view_backward: expected an array");
        return NULL;
    }
    PyObject *shape = PyObject_GetAttr(args[0], shape_name());
    PyObject *dx = shape != NULL ? PyArray_Reshape((PyArrayObject *)args[1], shape) : NULL;
    PyObject *both = dx != NULL ? PyTuple_Pack(2, dx, Py_None) : NULL;
    Py_XDECREF(shape);
    Py_XDECREF(dx);
    return both;
}
