/* attributes: (class). Makes self.weight of a Module quick.
 *
 * A Module's parameters, buffers and children are in three dictionaries, which Module.__getattr__ looks through. Python
 * calls that only after the ordinary look-up has failed and has made an AttributeError, which takes ten times as long
 * as the look-up itself. A class whose __getattr__ is Module's gets a slot that does both, with the same outcome.
 */
#include "binding.h"

#if PY_VERSION_HEX < 0x030D0000 /* from 3.13 on Python makes no error there */

static PyObject *kinds[3]; /* the names of the dictionaries */

static PyObject *module_getattro(PyObject *self, PyObject *name)
{
    PyObject *value = _PyObject_GenericGetAttrWithDict(self, name, NULL, 1); /* NULL where there is none, no error */
    if (value != NULL || PyErr_Occurred()) {
        return value;
    }
    PyObject *members = PyObject_GenericGetDict(self, NULL);
    for (int i = 0; i < 3 && members != NULL && value == NULL; i++) {
        PyObject *kind = PyDict_GetItemWithError(members, kinds[i]);
        value = kind != NULL && PyDict_Check(kind) ? PyDict_GetItemWithError(kind, name) : NULL;
        if (PyErr_Occurred()) {
            Py_DECREF(members);
            return NULL;
        }
    }
    Py_XINCREF(value);
    Py_XDECREF(members);
    if (value == NULL && !PyErr_Occurred()) {
        PyErr_Format(PyExc_AttributeError, "'%s' object has no attribute '%U'", Py_TYPE(self)->tp_name, name);
    }
    return value;
}

static int prepare(PyTypeObject *type)
{
    static const char *const names[3] = {"_parameters", "_buffers", "_modules"};
    for (int i = 0; i < 3; i++) {
        if (kinds[i] == NULL && !(kinds[i] = PyUnicode_InternFromString(names[i]))) {
            return -1;
        }
    }
    type->tp_getattro = module_getattro; /* until somebody gives the class a __getattr__: then Python sets its own */
    PyType_Modified(type);
    return 0;
}

#else

static int prepare(PyTypeObject *Py_UNUSED(type)) { return 0; }

#endif

PyObject *py_quick_attributes(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    if (check_nargs("quick_attributes", nargs, 1) < 0) {
        return NULL;
    }
    if (!PyType_Check(args[0]) || !PyType_HasFeature((PyTypeObject *)args[0], Py_TPFLAGS_HEAPTYPE)) {
        PyErr_SetString(PyExc_TypeError, "quick_attributes: expected a class");
        return NULL;
    }
    if (prepare((PyTypeObject *)args[0]) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}
