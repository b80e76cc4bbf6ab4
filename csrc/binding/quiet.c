/* quiet: NumPy's error state (np.seterr) is the user's. While a function of ours runs it is set aside: division by 0
 * and overflow give their values, as in torch, without a warning or an exception.
 *
 * NumPy 2 keeps the state in a context variable, which costs less to set than NumPy's own errstate by an order of
 * magnitude; without it (an older NumPy) errstate itself is entered and left.
 */
#include "binding.h"

static PyObject *variable, *ignored; /* the variable, or None; its value, or a function that enters an errstate */

int quiet_enter(PyObject **token)
{
    *token = NULL;
    if (ignored == NULL) { /* cnn is being imported */
        return 0;
    }
    if (variable == Py_None) {
        *token = PyObject_CallNoArgs(ignored);
        return *token != NULL ? 0 : -1;
    }
    PyObject *now = NULL;
    if (PyContextVar_Get(variable, NULL, &now) < 0) {
        return -1;
    }
    int is_quiet = now == ignored;
    Py_XDECREF(now);
    if (!is_quiet) {
        *token = PyContextVar_Set(variable, ignored);
        return *token != NULL ? 0 : -1;
    }
    return 0;
}

/* An exception that is set stays set. */
void quiet_leave(PyObject *token)
{
    if (token == NULL) {
        return;
    }
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (variable == Py_None) {
        PyObject *none = PyObject_CallMethod(token, "__exit__", "OOO", Py_None, Py_None, Py_None);
        Py_XDECREF(none);
    } else {
        PyContextVar_Reset(variable, token);
    }
    PyErr_Clear();
    PyErr_Restore(type, value, traceback);
    Py_DECREF(token);
}

/* (variable, value) or (None, enter) */
PyObject *py_set_quiet(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    if (check_nargs("set_quiet", nargs, 2) < 0) {
        return NULL;
    }
    if (args[0] != Py_None ? !PyContextVar_CheckExact(args[0]) : !PyCallable_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError,
                        "set_quiet: expected a context variable and its value, or None and a function");
        return NULL;
    }
    Py_XSETREF(variable, Py_NewRef(args[0]));
    Py_XSETREF(ignored, Py_NewRef(args[1]));
    Py_RETURN_NONE;
}
