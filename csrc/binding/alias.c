/* alias: memory that more than one array sees. See cnn/aliases.py. */
#include "tape.h"

/* What the base of an array holds on to: an array, borrowed, or NULL. as_strided puts an object in between. */
static PyArrayObject *array_below(PyObject *object)
{
    if (object == NULL || PyArray_Check(object)) {
        return (PyArrayObject *)object;
    }
    PyObject *base = PyObject_GetAttrString(object, "base");
    PyErr_Clear();
    Py_XDECREF(base); /* `object` holds it */
    return base != NULL && PyArray_Check(base) ? (PyArrayObject *)base : NULL;
}

PyArrayObject *owner_of(PyArrayObject *array)
{
    PyArrayObject *below;
    while ((below = array_below(PyArray_BASE(array))) != NULL) {
        array = below;
    }
    return array;
}

int lies_turned(PyArrayObject *array)
{
    PyArrayObject *owner = owner_of(array);
    return PyArray_BASE(owner) == NULL && is_channels_last(owner);
}

/* (array) -> 0: it lies in row order; 1: it owns memory that lies channels-last, so that it may be laid out anew;
 * 2: neither, or it is a view of such memory. */
PyObject *py_lies(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    if (check_nargs("lies", nargs, 1) < 0) {
        return NULL;
    }
    if (!PyArray_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "lies: expected an array");
        return NULL;
    }
    PyArrayObject *array = (PyArrayObject *)args[0];
    int turned = lies_turned(array);
    return PyLong_FromLong(turned && PyArray_BASE(array) == NULL       ? 1
                           : turned || !PyArray_IS_C_CONTIGUOUS(array) ? 2
                                                                       : 0);
}

/* (array) -> whether it is a batch of images that lies (N,H,W,C) in memory, and not in row order as well. */
PyObject *py_lies_channels_last(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    if (check_nargs("lies_channels_last", nargs, 1) < 0) {
        return NULL;
    }
    if (!PyArray_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "lies_channels_last: expected an array");
        return NULL;
    }
    return PyBool_FromLong(is_channels_last((PyArrayObject *)args[0]));
}

/* (array) -> the array at the bottom of the views, which owns the memory. */
PyObject *py_owner_of(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    if (check_nargs("owner_of", nargs, 1) < 0) {
        return NULL;
    }
    if (!PyArray_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "owner_of: expected an array");
        return NULL;
    }
    return Py_NewRef(owner_of((PyArrayObject *)args[0]));
}

/* (dict, *arrays or None): bit i stands for the i-th array: whether the address of its memory's owner is a key. */
PyObject *py_owners_in(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs < 1 || nargs > 32 || !PyDict_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "owners_in: expected a dict and at most 31 arrays");
        return NULL;
    }
    long found = 0;
    for (Py_ssize_t i = 1; i < nargs && PyDict_GET_SIZE(args[0]) > 0; i++) {
        if (!PyArray_Check(args[i])) {
            continue;
        }
        PyObject *key = PyLong_FromVoidPtr(owner_of((PyArrayObject *)args[i]));
        int known = key != NULL ? PyDict_Contains(args[0], key) : -1;
        Py_XDECREF(key);
        if (known < 0) {
            return NULL;
        }
        found |= (long)known << (i - 1);
    }
    return PyLong_FromLong(found);
}

/* (array, loan): a view of the array that holds on to `loan` in its place; so do the views of the view. */
PyObject *py_lend(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    if (check_nargs("lend", nargs, 2) < 0) {
        return NULL;
    }
    if (!PyArray_Check(args[0]) || PyArray_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError, "lend: expected an array, and an object that holds on to it");
        return NULL;
    }
    PyArrayObject *array = (PyArrayObject *)args[0];
    PyArray_Descr *descr = (PyArray_Descr *)Py_NewRef(PyArray_DESCR(array));
    PyObject *view = PyArray_NewFromDescr(&PyArray_Type, descr, PyArray_NDIM(array), PyArray_DIMS(array),
                                          PyArray_STRIDES(array), PyArray_DATA(array), PyArray_FLAGS(array), NULL);
    if (view != NULL && PyArray_SetBaseObject((PyArrayObject *)view, Py_NewRef(args[1])) < 0) {
        Py_CLEAR(view);
    }
    return view;
}

/* (a, b): two arrays of one shape and type exchange their memory. Whoever holds one sees what the other was. */
PyObject *py_trade(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    if (check_nargs("trade", nargs, 2) < 0) {
        return NULL;
    }
    if (!PyArray_CheckExact(args[0]) || !PyArray_CheckExact(args[1]) ||
        !PyArray_SAMESHAPE((PyArrayObject *)args[0], (PyArrayObject *)args[1]) ||
        PyArray_TYPE((PyArrayObject *)args[0]) != PyArray_TYPE((PyArrayObject *)args[1])) {
        PyErr_SetString(PyExc_TypeError, "trade: expected two arrays of one shape and type");
        return NULL;
    }
    PyArrayObject_fields *a = (PyArrayObject_fields *)args[0], *b = (PyArrayObject_fields *)args[1], old = *a;
    a->data = b->data, b->data = old.data;
    a->base = b->base, b->base = old.base;
    a->flags = b->flags, b->flags = old.flags;
    a->mem_handler = b->mem_handler, b->mem_handler = old.mem_handler;
    for (int i = 0; i < a->nd; i++) {
        npy_intp stride = a->strides[i];
        a->strides[i] = b->strides[i], b->strides[i] = stride;
    }
    Py_RETURN_NONE;
}
