/* function: cnn._cnn.Function, a public function or method around the Python function that computes.
 *
 * A call whose keywords the Python function knows goes straight to it, at the cost of a few nanoseconds. A call with
 * another keyword goes to `translate`, and an error that comes out goes to `explain` (cnn/ops/_register.py), so that
 * NumPy's names, out= and torch's words in errors cost nothing where they are not needed.
 */
#include "tape.h"

#include <structmember.h>

struct function {
    PyObject_HEAD PyObject *f;
    PyObject *names; /* a frozenset: the keywords that f takes; None: any */
    PyObject *dict, *weakrefs;
    vectorcallfunc call;
    int quiet; /* whether NumPy's error state is set aside for the call: f may come to NumPy's arithmetic */
};

static PyObject *translate, *explain; /* set once, when cnn is imported */

/* 1 if f takes every keyword of the call, 0 if not, -1 with an exception. */
static int knows(struct function *self, PyObject *keywords)
{
    Py_ssize_t n = self->names != Py_None ? PyTuple_GET_SIZE(keywords) : 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        int known = PySet_Contains(self->names, PyTuple_GET_ITEM(keywords, i));
        if (known <= 0) {
            return known;
        }
    }
    return 1;
}

/* The arguments as a tuple and a dictionary: (self, given, args, kwargs) as new references, or NULL. */
static PyObject *gathered(struct function *self, PyObject *given, PyObject *const *args, Py_ssize_t n,
                          PyObject *keywords)
{
    PyObject *positional = PyTuple_New(n);
    PyObject *named = PyDict_New();
    for (Py_ssize_t i = 0; positional != NULL && i < n; i++) {
        PyTuple_SET_ITEM(positional, i, Py_NewRef(args[i]));
    }
    for (Py_ssize_t i = 0; named != NULL && keywords != NULL && i < PyTuple_GET_SIZE(keywords); i++) {
        if (PyDict_SetItem(named, PyTuple_GET_ITEM(keywords, i), args[n + i]) < 0) {
            Py_CLEAR(named);
        }
    }
    PyObject *all = NULL;
    if (positional != NULL && named != NULL) {
        all = PyTuple_Pack(4, (PyObject *)self, given, positional, named);
    }
    Py_XDECREF(positional);
    Py_XDECREF(named);
    return all;
}

/* The exception that is set may become another one, which says more. */
static void improve_error(struct function *self, PyObject *const *args, Py_ssize_t n, PyObject *keywords)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    PyObject *all = gathered(self, value, args, n, keywords);
    PyObject *better = all != NULL ? PyObject_Call(explain, all, NULL) : NULL;
    Py_XDECREF(all);
    if (better != NULL && better != Py_None) {
        PyErr_SetObject((PyObject *)Py_TYPE(better), better);
        Py_XDECREF(type);
        Py_XDECREF(value);
        Py_XDECREF(traceback);
    } else {
        PyErr_Clear();
        PyErr_Restore(type, value, traceback);
    }
    Py_XDECREF(better);
}

static PyObject *function_vectorcall(PyObject *object, PyObject *const *args, size_t nargsf, PyObject *keywords)
{
    struct function *self = (struct function *)object;
    if (keywords != NULL && translate != NULL) {
        int known = knows(self, keywords);
        if (known <= 0) {
            PyObject *all = known == 0 ? gathered(self, Py_None, args, PyVectorcall_NARGS(nargsf), keywords) : NULL;
            PyObject *result = all != NULL ? PyObject_Call(translate, all, NULL) : NULL;
            Py_XDECREF(all);
            return result;
        }
    }
    PyObject *quiet = NULL;
    if (self->quiet && quiet_enter(&quiet) < 0) {
        return NULL;
    }
    PyObject *result = PyObject_Vectorcall(self->f, args, nargsf, keywords);
    quiet_leave(quiet);
    if (result == NULL && explain != NULL &&
        (PyErr_ExceptionMatches(PyExc_AttributeError) || PyErr_ExceptionMatches(PyExc_TypeError) ||
         PyErr_ExceptionMatches(PyExc_ValueError))) {
        improve_error(self, args, PyVectorcall_NARGS(nargsf), keywords);
    }
    return result;
}

/* ---- The type --------------------------------------------------------------------------------------------------- */

static PyObject *function_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *words[] = {"f", "names", "quiet", NULL};
    PyObject *f, *names;
    int quiet = 1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO|p", words, &f, &names, &quiet)) {
        return NULL;
    }
    if (names != Py_None && !PyFrozenSet_CheckExact(names)) {
        PyErr_SetString(PyExc_TypeError, "Function: names must be a frozenset or None");
        return NULL;
    }
    struct function *self = (struct function *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->f = Py_NewRef(f);
        self->names = Py_NewRef(names);
        self->call = function_vectorcall;
        self->quiet = quiet;
    }
    return (PyObject *)self;
}

static int function_traverse(PyObject *object, visitproc visit, void *arg)
{
    struct function *self = (struct function *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->f);
    Py_VISIT(self->names);
    Py_VISIT(self->dict);
    return 0;
}

static int function_clear(PyObject *object)
{
    struct function *self = (struct function *)object;
    Py_CLEAR(self->f);
    Py_CLEAR(self->names);
    Py_CLEAR(self->dict);
    return 0;
}

static void function_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    if (((struct function *)object)->weakrefs != NULL) {
        PyObject_ClearWeakRefs(object);
    }
    function_clear(object);
    type->tp_free(object);
    Py_DECREF(type);
}

/* As an attribute of a class it is a method. */
static PyObject *function_bind(PyObject *function, PyObject *object, PyObject *Py_UNUSED(type))
{
    return object == NULL || object == Py_None ? Py_NewRef(function) : PyMethod_New(function, object);
}

static PyObject *function_repr(PyObject *object)
{
    PyObject *name = PyObject_GetAttrString(object, "__qualname__");
    PyObject *text = name != NULL ? PyUnicode_FromFormat("<function %U>", name) : NULL;
    Py_XDECREF(name);
    return text;
}

/* Pickled by its name, as functions are. */
static PyObject *function_reduce(PyObject *object, PyObject *Py_UNUSED(none))
{
    return PyObject_GetAttrString(object, "__qualname__");
}

static PyMemberDef members[] = {
    {"names", T_OBJECT, offsetof(struct function, names), READONLY, "the keywords that go straight through"},
    {"__dictoffset__", T_PYSSIZET, offsetof(struct function, dict), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(struct function, weakrefs), READONLY, NULL},
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(struct function, call), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef getset[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef methods[] = {
    {"__reduce__", function_reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot function_slots[] = {
    {Py_tp_new, (void *)function_new},
    {Py_tp_dealloc, (void *)function_dealloc},
    {Py_tp_traverse, (void *)function_traverse},
    {Py_tp_clear, (void *)function_clear},
    {Py_tp_call, (void *)PyVectorcall_Call},
    {Py_tp_descr_get, (void *)function_bind},
    {Py_tp_repr, (void *)function_repr},
    {Py_tp_members, members},
    {Py_tp_getset, getset},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyType_Spec function_spec = {
    .name = "cnn._cnn.Function",
    .basicsize = sizeof(struct function),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = function_slots,
};

int function_add_type(PyObject *module)
{
    PyObject *type = PyType_FromSpec(&function_spec);
    int status = type != NULL ? PyModule_AddObjectRef(module, "Function", type) : -1;
    Py_XDECREF(type);
    return status;
}

/* (translate, explain) */
PyObject *py_set_function_hooks(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    if (check_nargs("set_function_hooks", nargs, 2) < 0) {
        return NULL;
    }
    Py_XSETREF(translate, Py_NewRef(args[0]));
    Py_XSETREF(explain, Py_NewRef(args[1]));
    Py_RETURN_NONE;
}
