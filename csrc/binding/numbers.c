/* numbers: (data, default) -> array. Nested lists of Python numbers, as cnn.tensor takes them, in the type that torch
 * gives them: the default one if there is a float among them, else int64, or bool if all are. None for anything else:
 * other types, integers of more than 64 bits, lists that form no rectangle, empty ones.
 */
#include "binding.h"

enum kind { NO_NUMBER = -1, BOOLS, INTEGERS, FLOATS };

static int is_list(PyObject *object) { return PyList_CheckExact(object) || PyTuple_CheckExact(object); }

static int is_integer(PyObject *object)
{
    int overflow = 0;
    return PyLong_CheckExact(object) && (PyLong_AsLongLongAndOverflow(object, &overflow), overflow == 0);
}

/* The kind of all numbers below `data`, if it has the shape dims[0..ndim-1]. */
static enum kind kind_of(PyObject *data, const npy_intp *dims, int ndim)
{
    if (ndim == 0) {
        return PyFloat_CheckExact(data) ? FLOATS : PyBool_Check(data) ? BOOLS : is_integer(data) ? INTEGERS : NO_NUMBER;
    }
    if (!is_list(data) || PySequence_Fast_GET_SIZE(data) != dims[0]) {
        return NO_NUMBER;
    }
    enum kind kind = BOOLS;
    for (npy_intp i = 0; i < dims[0]; i++) {
        enum kind next = kind_of(PySequence_Fast_GET_ITEM(data, i), dims + 1, ndim - 1);
        if (next == NO_NUMBER) {
            return NO_NUMBER;
        }
        kind = next > kind ? next : kind;
    }
    return kind;
}

/* The numbers in order to `to`; returns where the next one goes. */
static char *fill(PyObject *data, int ndim, int type, char *to)
{
    if (ndim > 0) {
        for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(data); i++) {
            to = fill(PySequence_Fast_GET_ITEM(data, i), ndim - 1, type, to);
        }
        return to;
    }
    int is_float = PyFloat_CheckExact(data);
    long long integer = is_float ? 0 : PyLong_AsLongLong(data); /* a bool is one too */
    double number = is_float ? PyFloat_AS_DOUBLE(data) : (double)integer;
    switch (type) {
    case NPY_BOOL: *(npy_bool *)to = (npy_bool)integer; return to + sizeof(npy_bool);
    case NPY_INT64: *(npy_int64 *)to = integer; return to + sizeof(npy_int64);
    case NPY_FLOAT: *(float *)to = (float)number; return to + sizeof(float);
    default: *(double *)to = number; return to + sizeof(double);
    }
}

PyObject *py_numbers(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    if (check_nargs("numbers", nargs, 2) < 0) {
        return NULL;
    }
    if (!PyArray_DescrCheck(args[1])) {
        PyErr_SetString(PyExc_TypeError, "numbers: default must be a NumPy dtype");
        return NULL;
    }
    int real = ((PyArray_Descr *)args[1])->type_num, ndim = 0;
    npy_intp dims[NPY_MAXDIMS];
    PyObject *data = args[0];
    for (; is_list(data) && PySequence_Fast_GET_SIZE(data) > 0 && ndim < NPY_MAXDIMS; ndim++) {
        dims[ndim] = PySequence_Fast_GET_SIZE(data);
        data = PySequence_Fast_GET_ITEM(data, 0);
    }
    enum kind kind = kind_of(args[0], dims, ndim);
    if (kind == NO_NUMBER || (kind == FLOATS && real != NPY_FLOAT && real != NPY_DOUBLE)) {
        Py_RETURN_NONE;
    }
    int type = kind == FLOATS ? real : kind == INTEGERS ? NPY_INT64 : NPY_BOOL;
    PyArrayObject *array = array_new(ndim, dims, type, ROWS);
    if (array != NULL) {
        fill(args[0], ndim, type, PyArray_DATA(array));
    }
    return (PyObject *)array;
}
