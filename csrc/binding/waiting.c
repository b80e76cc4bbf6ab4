/* waiting: results that wait for whoever looks at them first, and the calls of Modules in which they may.
 *
 * While a Module with children runs, `wait` makes tensors whose arrays are computed when somebody asks for them
 * (cnn/nn/fusion.py says which, and why). What still waits when the outermost Module returns is computed then; `settle`
 * does it sooner, before a tensor changes in place or memory is handed out. Outside of such a Module nothing waits.
 */
#include "tape.h"

static _Thread_local int depth;         /* calls of Modules with children that are under way in this thread */
static _Thread_local PyObject *waiting; /* weak references to the tensors that may still wait; NULL where depth is 0 */

/* Compute what still waits and can still be looked at. */
static int settle(void)
{
    PyObject *references = waiting;
    if (references == NULL || PyList_GET_SIZE(references) == 0) {
        return 0;
    }
    if (!(waiting = PyList_New(0))) {
        waiting = references;
        return -1;
    }
    int status = 0;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(references) && status == 0; i++) {
        PyObject *tensor = PyObject_CallNoArgs(PyList_GET_ITEM(references, i));
        PyObject *array = tensor != NULL && tensor != Py_None ? tensor_array((struct tensor *)tensor) : NULL;
        status = array != NULL || tensor == Py_None ? 0 : -1;
        Py_XDECREF(array);
        Py_XDECREF(tensor);
    }
    Py_DECREF(references);
    return status;
}

/* A Module with children is called. */
static int enter(void)
{
    if (depth == 0 && !(waiting = PyList_New(0))) {
        return -1;
    }
    depth++;
    return 0;
}

/* It returns, perhaps with an exception, which stays unless what waits raises another one. On the way out of an
 * interrupt, or where memory is short, nothing is computed: it waits on, for whoever looks at it. */
static int leave(void)
{
    if (--depth > 0) {
        return 0;
    }
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    int status = PyErr_GivenExceptionMatches(type, PyExc_KeyboardInterrupt) ||
                         PyErr_GivenExceptionMatches(type, PyExc_MemoryError)
                     ? 0
                     : settle();
    Py_CLEAR(waiting);
    if (status < 0) {
        Py_XDECREF(type);
        Py_XDECREF(value);
        Py_XDECREF(traceback);
    } else if (type != NULL) {
        PyErr_Restore(type, value, traceback);
    }
    return status;
}

PyObject *py_settle(PyObject *Py_UNUSED(module), PyObject *const *Py_UNUSED(args), Py_ssize_t nargs)
{
    return check_nargs("settle", nargs, 0) == 0 && settle() == 0 ? Py_NewRef(Py_None) : NULL;
}

PyObject *py_may_wait(PyObject *Py_UNUSED(module), PyObject *const *Py_UNUSED(args), Py_ssize_t nargs)
{
    return check_nargs("may_wait", nargs, 0) == 0 ? PyBool_FromLong(depth > 0) : NULL;
}

/* A tensor whose array `pending` gives. */
static PyObject *new_waiting(PyObject *pending)
{
    PyObject *tensor = TensorClass->tp_alloc(TensorClass, 0);
    PyObject *reference = tensor != NULL ? PyWeakref_NewRef(tensor, NULL) : NULL;
    if (reference == NULL || (waiting != NULL && PyList_Append(waiting, reference) < 0)) {
        Py_CLEAR(tensor);
    } else {
        ((struct tensor *)tensor)->pending = Py_NewRef(pending);
    }
    Py_XDECREF(reference);
    return tensor;
}

/* What forward would have left in its node. */
static int set_attributes(PyObject *node, PyObject *attributes)
{
    PyObject *name, *value;
    Py_ssize_t at = 0;
    while (PyDict_Next(attributes, &at, &name, &value)) {
        if (PyObject_SetAttr(node, name, value) < 0) {
            return -1;
        }
    }
    return 0;
}

/* (pending) or (pending, class, args, attributes): see module.c. */
PyObject *py_wait(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    if (!(nargs == 1 || (nargs == 4 && is_node_class(args[1]) && PyTuple_Check(args[2]) && PyDict_Check(args[3]))) ||
        !PyCallable_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "wait: expected a function, or a function, a class of operations, the tuple "
                                         "of its arguments and a dict of attributes");
        return NULL;
    }
    PyObject *y = new_waiting(args[0]);
    if (y == NULL || nargs == 1) {
        return y;
    }
    PyObject *const *arguments = &PyTuple_GET_ITEM(args[2], 0);
    Py_ssize_t count = PyTuple_GET_SIZE(args[2]);
    PyObject *node = node_behind(args[1], arguments, count);
    if (node == NULL) {
        goto fail;
    }
    if (node != Py_None) {
        if (set_attributes(node, args[3]) < 0 || node_remember((struct node *)node, arguments, count, NULL, 0) < 0) {
            goto fail;
        }
        ((struct tensor *)y)->node = Py_NewRef(node);
        ((struct tensor *)y)->requires_grad = 1;
    }
    if (finish_bfloat16(args[1], arguments, count, y) < 0) {
        goto fail;
    }
    Py_DECREF(node);
    return y;
fail:
    Py_XDECREF(node);
    Py_DECREF(y);
    return NULL;
}

/* ---- The call of a Module --------------------------------------------------------------------------------------- */

/* cnn._cnn.Module: what Module inherits its call from. */

static PyObject *forward_name, *children_name, *hooks_names[4], *with_hooks;

static int prepare_names(void)
{
    static const char *const hooks[4] = {"_forward_hooks", "_forward_pre_hooks", "_backward_hooks",
                                         "_backward_pre_hooks"};
    for (int i = 0; i < 4; i++) {
        if (!(hooks_names[i] = PyUnicode_InternFromString(hooks[i]))) {
            return -1;
        }
    }
    return (forward_name = PyUnicode_InternFromString("forward")) &&
                   (children_name = PyUnicode_InternFromString("_modules"))
               ? 0
               : -1;
}

/* Whether the attribute, a dictionary, holds anything; -1 with an exception. */
static int is_filled(PyObject *module, PyObject *members, PyObject *name)
{
    PyObject *value = Py_XNewRef(PyDict_GetItemWithError(members, name));
    if (value == NULL && (PyErr_Occurred() || !(value = PyObject_GetAttr(module, name)))) {
        return -1;
    }
    int filled = PyDict_Check(value) ? PyDict_GET_SIZE(value) > 0 : PyObject_IsTrue(value);
    Py_DECREF(value);
    return filled;
}

/* forward(*args, **kwargs), or call_with_hooks(module, args, kwargs) where there are hooks. */
static PyObject *run(PyObject *module, PyObject *members, PyObject *args, PyObject *kwargs)
{
    int hooked = 0;
    for (int i = 0; i < 4 && hooked == 0; i++) {
        hooked = is_filled(module, members, hooks_names[i]);
    }
    if (hooked < 0) {
        return NULL;
    }
    if (hooked) {
        PyObject *named = kwargs != NULL ? Py_NewRef(kwargs) : PyDict_New();
        PyObject *result = named != NULL ? PyObject_CallFunctionObjArgs(with_hooks, module, args, named, NULL) : NULL;
        Py_XDECREF(named);
        return result;
    }
    PyObject *forward = PyObject_GetAttr(module, forward_name);
    PyObject *result = forward != NULL ? PyObject_Call(forward, args, kwargs) : NULL;
    Py_XDECREF(forward);
    return result;
}

/* Module._explain_failed_call(error, args) may add the path of the layer to the exception that is set, or raise a
 * better one. */
static void explain(PyObject *module, PyObject *args)
{
    if (!PyErr_ExceptionMatches(PyExc_Exception)) {
        return;
    }
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(value, traceback);
    }
    PyObject *none = PyObject_CallMethod(module, "_explain_failed_call", "OO", value, args);
    if (none != NULL) {
        Py_DECREF(none);
        PyErr_Restore(type, value, traceback);
    } else {
        Py_XDECREF(type);
        Py_XDECREF(value);
        Py_XDECREF(traceback);
    }
}

static PyObject *module_call(PyObject *module, PyObject *args, PyObject *kwargs)
{
    PyObject *members = PyObject_GenericGetDict(module, NULL), *result = NULL;
    int has_children = members != NULL ? is_filled(module, members, children_name) : -1;
    if (has_children < 0 || (has_children && enter() < 0)) {
        Py_XDECREF(members);
        return NULL;
    }
    if (!(result = run(module, members, args, kwargs))) {
        explain(module, args);
    }
    if (has_children && leave() < 0) {
        Py_CLEAR(result);
    }
    Py_DECREF(members);
    return result;
}

static PyType_Slot module_slots[] = {
    {Py_tp_call, (void *)module_call},
    {Py_tp_doc, "What calls forward: see cnn.nn.Module."},
    {0, NULL},
};

static PyType_Spec module_spec = {
    .name = "cnn._cnn.Module",
    .basicsize = sizeof(PyObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = module_slots,
};

int waiting_add_type(PyObject *module)
{
    PyObject *type = prepare_names() == 0 ? PyType_FromSpec(&module_spec) : NULL;
    int status = type != NULL ? PyModule_AddObjectRef(module, "Module", type) : -1;
    Py_XDECREF(type);
    return status;
}

/* (call_with_hooks) */
PyObject *py_set_module_hooks(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    if (check_nargs("set_module_hooks", nargs, 1) < 0) {
        return NULL;
    }
    Py_XSETREF(with_hooks, Py_NewRef(args[0]));
    Py_RETURN_NONE;
}
