/* apply: an operation on tensors. Its forward gets the arrays of the arguments, tensors are put around its results,
 * and, where an argument wants a gradient, the operation becomes a node of the graph. See cnn/autograd/function.py.
 */
#include "tape.h"

/* A tuple of flags, all False: shared ones, as most calls record nothing. A new reference. */
static PyObject *no_needs(Py_ssize_t count)
{
    static PyObject *shared[MOST_ON_STACK];
    if (count < MOST_ON_STACK && shared[count] != NULL) {
        return Py_NewRef(shared[count]);
    }
    PyObject *needs = PyTuple_New(count);
    for (Py_ssize_t i = 0; i < count && needs != NULL; i++) {
        PyTuple_SET_ITEM(needs, i, Py_NewRef(Py_False));
    }
    if (count < MOST_ON_STACK) {
        shared[count] = Py_XNewRef(needs);
    }
    return needs;
}

/* Which arguments want a gradient; *track if any does. A new reference. */
static PyObject *needs_of(PyObject *const *args, Py_ssize_t count, int *track)
{
    *track = 0;
    for (Py_ssize_t i = 0; i < count && grad_enabled(); i++) {
        *track |= is_tensor(args[i]) && wants_grad((struct tensor *)args[i]);
    }
    if (!*track) {
        return no_needs(count);
    }
    PyObject *needs = PyTuple_New(count);
    for (Py_ssize_t i = 0; i < count && needs != NULL; i++) {
        int wants = is_tensor(args[i]) && wants_grad((struct tensor *)args[i]);
        PyTuple_SET_ITEM(needs, i, Py_NewRef(wants ? Py_True : Py_False));
    }
    return needs;
}

/* cls.forward(node, *arrays): what it returns. */
static PyObject *run_forward(PyObject *cls, struct node *node, PyObject *const *args, Py_ssize_t count)
{
    static PyObject *name;
    PyObject *small[MOST_ON_STACK], **stack = small, *forward = NULL, *result = NULL;
    Py_ssize_t filled = 0;
    if (name == NULL && !(name = PyUnicode_InternFromString("forward"))) {
        return NULL;
    }
    if (count + 1 > MOST_ON_STACK && !(stack = PyMem_New(PyObject *, count + 1))) {
        return PyErr_NoMemory();
    }
    stack[filled++] = Py_NewRef(node);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *x = is_tensor(args[i]) ? tensor_array((struct tensor *)args[i]) : Py_NewRef(args[i]);
        if (x == NULL) {
            goto done;
        }
        stack[filled++] = x;
    }
    if ((forward = PyObject_GetAttr(cls, name))) {
        result = PyObject_Vectorcall(forward, stack, (size_t)count + 1, NULL);
    }
done:
    while (filled > 0) {
        Py_DECREF(stack[--filled]);
    }
    if (stack != small) {
        PyMem_Free(stack);
    }
    Py_XDECREF(forward);
    return result;
}

/* A tensor around what forward returned, whose reference is taken. */
static PyObject *tensor_around(PyObject *value)
{
    value = value != NULL ? tensor_admit(value) : NULL;
    return value != NULL ? tensor_new(value) : NULL;
}

/* The same for a tuple. */
static PyObject *tensors_around(PyObject *values)
{
    Py_ssize_t n = PyTuple_GET_SIZE(values);
    PyObject *tensors = PyTuple_New(n);
    for (Py_ssize_t i = 0; i < n && tensors != NULL; i++) {
        PyObject *t = tensor_around(Py_NewRef(PyTuple_GET_ITEM(values, i)));
        if (t == NULL) {
            Py_CLEAR(tensors);
        } else {
            PyTuple_SET_ITEM(tensors, i, t);
        }
    }
    Py_DECREF(values);
    return tensors;
}

/* Tell the outputs that they share memory with the first argument. */
static int become_views(PyObject *cls, PyObject *const *args, Py_ssize_t count, PyObject *const *outs,
                        Py_ssize_t n_outs, int several)
{
    PyObject *arguments = PyTuple_New(count > 0 ? count - 1 : 0);
    for (Py_ssize_t i = 1; i < count && arguments != NULL; i++) {
        PyTuple_SET_ITEM(arguments, i - 1, Py_NewRef(args[i]));
    }
    int status = arguments != NULL && is_tensor(args[0]) ? 0 : -1;
    for (Py_ssize_t i = 0; i < n_outs && status == 0; i++) {
        PyObject *number = several ? PyLong_FromSsize_t(i) : Py_NewRef(Py_None);
        PyObject *step = number != NULL ? PyTuple_Pack(3, cls, arguments, number) : NULL;
        status =
            step != NULL ? tensor_become_view((struct tensor *)outs[i], (struct tensor *)args[0], step, several) : -1;
        Py_XDECREF(number);
        Py_XDECREF(step);
    }
    if (status < 0 && !PyErr_Occurred()) {
        PyErr_SetString(PyExc_TypeError, "apply: a view needs a Tensor as its first argument");
    }
    Py_XDECREF(arguments);
    return status;
}

static int is_view(PyObject *cls)
{
    static PyObject *name;
    if (name == NULL && !(name = PyUnicode_InternFromString("is_view"))) {
        return -1;
    }
    PyObject *value = PyObject_GetAttr(cls, name);
    int yes = value != NULL ? PyObject_IsTrue(value) : -1;
    Py_XDECREF(value);
    return yes;
}

int finish_bfloat16(PyObject *cls, PyObject *const *args, Py_ssize_t count, PyObject *out)
{
    Py_ssize_t i = 0;
    while (i < count && !(is_tensor(args[i]) && is_set(((struct tensor *)args[i])->dtype))) {
        i++;
    }
    if (i == count) {
        return 0;
    }
    PyObject *arguments = PyTuple_New(count);
    for (i = 0; arguments != NULL && i < count; i++) {
        PyTuple_SET_ITEM(arguments, i, Py_NewRef(args[i]));
    }
    PyObject *none = arguments != NULL ? PyObject_CallMethod(cls, "finish_bfloat16", "OO", arguments, out) : NULL;
    Py_XDECREF(arguments);
    Py_XDECREF(none);
    return none != NULL ? 0 : -1;
}

/* (cls, *args) -> a Tensor, or a tuple of them. */
PyObject *py_apply(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs < 1 || !is_node_class(args[0])) {
        PyErr_SetString(PyExc_TypeError, "apply: expected a class of operations and its arguments");
        return NULL;
    }
    PyObject *cls = *args++;
    Py_ssize_t count = nargs - 1;
    PyObject *out = NULL, *const * outs;
    int track, view;
    struct node *node = node_new(cls);
    if (node == NULL) {
        return NULL;
    }
    PyObject *needs = needs_of(args, count, &track);
    if (needs == NULL) {
        goto fail;
    }
    Py_SETREF(node->needs, needs);
    if (!(out = run_forward(cls, node, args, count))) {
        goto fail;
    }
    int several = PyTuple_CheckExact(out);
    if (!(out = several ? tensors_around(out) : tensor_around(out))) {
        goto fail;
    }
    outs = several ? &PyTuple_GET_ITEM(out, 0) : &out;
    Py_ssize_t n_outs = several ? PyTuple_GET_SIZE(out) : 1;
    node->outputs = n_outs;
    if ((view = is_view(cls)) < 0 || (view && become_views(cls, args, count, outs, n_outs, several) < 0) ||
        (track && node_record(node, args, count, outs, n_outs) < 0) || finish_bfloat16(cls, args, count, out) < 0) {
        goto fail;
    }
    Py_DECREF(node);
    return out;
fail:
    Py_XDECREF(out);
    Py_DECREF(node);
    return NULL;
}

PyObject *node_behind(PyObject *cls, PyObject *const *args, Py_ssize_t count)
{
    int track;
    PyObject *needs = needs_of(args, count, &track);
    if (needs == NULL || !track) {
        Py_XDECREF(needs);
        return needs != NULL ? Py_NewRef(Py_None) : NULL;
    }
    struct node *node = node_new(cls);
    if (node == NULL) {
        Py_DECREF(needs);
        return NULL;
    }
    Py_XSETREF(node->needs, needs);
    if (node_link(node, args, count) < 0) {
        Py_CLEAR(node);
    }
    return (PyObject *)node;
}
