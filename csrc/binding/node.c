/* node: the base type of a node of the graph, and its place there. See tape.h and cnn/autograd/function.py. */
#include "tape.h"

#include <structmember.h>

PyTypeObject *NodeType;

int anomaly_mode;

static long long numbers; /* of the nodes, as they are made */

/* The next number; -1 with an exception. */
static int take_number(struct node *node)
{
    node->number = ++numbers;
    if (!anomaly_mode) {
        return 0;
    }
    PyObject *none = PyObject_CallMethod((PyObject *)node, "_note_forward", NULL);
    Py_XDECREF(none);
    return none != NULL ? 0 : -1;
}

/* ---- A node ----------------------------------------------------------------------------------------------------- */

/* (), which every field for a tuple starts as: a borrowed reference. */
static PyObject *nothing(void)
{
    static PyObject *empty;
    if (empty == NULL) {
        empty = PyTuple_New(0);
    }
    return empty;
}

struct node *node_new(PyObject *cls)
{
    PyTypeObject *type = (PyTypeObject *)cls;
    struct node *node = nothing() != NULL ? (struct node *)type->tp_alloc(type, 0) : NULL;
    if (node != NULL) {
        node->outputs = 1;
        node->edges = Py_NewRef(nothing());
        node->needs = Py_NewRef(nothing());
        node->saved = Py_NewRef(nothing());
        node->versions = Py_NewRef(nothing());
    }
    return node;
}

static PyObject *node_type_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    return (PyObject *)node_new((PyObject *)type);
}

static int node_traverse(PyObject *self, visitproc visit, void *arg)
{
    struct node *node = (struct node *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(node->edges);
    Py_VISIT(node->needs);
    Py_VISIT(node->saved);
    Py_VISIT(node->versions);
    Py_VISIT(node->metadata);
    Py_VISIT(node->hooks);
    Py_VISIT(node->output_hooks);
    return 0;
}

static int node_clear(PyObject *self)
{
    struct node *node = (struct node *)self;
    Py_CLEAR(node->edges);
    Py_CLEAR(node->needs);
    Py_CLEAR(node->saved);
    Py_CLEAR(node->versions);
    Py_CLEAR(node->metadata);
    Py_CLEAR(node->hooks);
    Py_CLEAR(node->output_hooks);
    return 0;
}

static void node_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    node_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- Into the graph --------------------------------------------------------------------------------------------- */

PyObject *tensor_edge(struct tensor *t)
{
    if (is_set(t->base) && tensor_version(t) != t->view_version) { /* its history may have to be made anew */
        PyObject *none = PyObject_CallMethod((PyObject *)t, "_refresh_view", NULL);
        if (none == NULL) {
            return NULL;
        }
        Py_DECREF(none);
    }
    int is_leaf = !is_set(t->node);
    if (is_leaf && !t->requires_grad) { /* a view, made before its base asked for a gradient */
        Py_RETURN_NONE;
    }
    PyObject *output = PyLong_FromSsize_t(is_leaf ? 0 : t->output);
    PyObject *edge = output != NULL ? PyTuple_Pack(2, is_leaf ? (PyObject *)t : t->node, output) : NULL;
    Py_XDECREF(output);
    return edge;
}

int node_link(struct node *node, PyObject *const *args, Py_ssize_t count)
{
    if (!PyTuple_Check(node->needs) || PyTuple_GET_SIZE(node->needs) != count) {
        PyErr_SetString(PyExc_ValueError, "a node needs one flag for each of its arguments");
        return -1;
    }
    PyObject *edges = PyTuple_New(count);
    if (edges == NULL) {
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        int wants = PyTuple_GET_ITEM(node->needs, i) == Py_True && is_tensor(args[i]);
        PyObject *edge = wants ? tensor_edge((struct tensor *)args[i]) : Py_NewRef(Py_None);
        if (edge == NULL) {
            Py_DECREF(edges);
            return -1;
        }
        PyTuple_SET_ITEM(edges, i, edge);
    }
    Py_XSETREF(node->edges, edges);
    return take_number(node); /* last: looking for an edge may make a node, the history of a view */
}

static struct tensor *tensor_with(PyObject *array, PyObject *const *tensors, Py_ssize_t count)
{
    for (Py_ssize_t i = 0; i < count; i++) {
        if (is_tensor(tensors[i]) && ((struct tensor *)tensors[i])->array == array) {
            return (struct tensor *)tensors[i];
        }
    }
    return NULL;
}

/* The tensor whose memory a saved array is a view of, or NULL. */
static struct tensor *tensor_below(PyObject *array, PyObject *const *tensors, Py_ssize_t count)
{
    PyArrayObject *owner = owner_of((PyArrayObject *)array);
    for (Py_ssize_t i = 0; i < count; i++) {
        struct tensor *t = (struct tensor *)tensors[i];
        if (is_tensor(tensors[i]) && t->array != NULL && owner_of((PyArrayObject *)t->array) == owner) {
            return t;
        }
    }
    return NULL;
}

int node_remember(struct node *node, PyObject *const *args, Py_ssize_t n_args, PyObject *const *outs, Py_ssize_t n_outs)
{
    PyObject *saved = PySequence_Fast(node->saved, "saved must be a tuple of arrays");
    if (saved == NULL) {
        return -1;
    }
    Py_ssize_t n = PySequence_Fast_GET_SIZE(saved);
    PyObject *versions = PyList_New(0);
    for (Py_ssize_t i = 0; i < n && versions != NULL; i++) {
        PyObject *array = PySequence_Fast_GET_ITEM(saved, i);
        struct tensor *t = NULL;
        if (PyArray_Check(array) && !(t = tensor_with(array, args, n_args)) &&
            !(t = tensor_with(array, outs, n_outs)) && !(t = tensor_below(array, args, n_args))) {
            t = tensor_below(array, outs, n_outs);
        }
        PyObject *box = t != NULL ? tensor_box(t) : NULL;
        PyObject *pair = box != NULL ? PyTuple_Pack(2, box, PyList_GET_ITEM(box, 0)) : NULL;
        if (t != NULL && (pair == NULL || PyList_Append(versions, pair) < 0)) {
            Py_CLEAR(versions);
        }
        Py_XDECREF(pair);
    }
    Py_DECREF(saved);
    if (versions == NULL) {
        return -1;
    }
    Py_XSETREF(node->versions, versions);
    return 0;
}

/* [(shape, dtype), ...] of several outputs. */
static PyObject *shapes_and_types(PyObject *const *outs, Py_ssize_t count)
{
    PyObject *all = PyList_New(count);
    for (Py_ssize_t i = 0; i < count && all != NULL; i++) {
        PyArrayObject *array = (PyArrayObject *)((struct tensor *)outs[i])->array;
        PyObject *shape = PyArray_IntTupleFromIntp(PyArray_NDIM(array), PyArray_DIMS(array));
        PyObject *pair = shape != NULL ? PyTuple_Pack(2, shape, PyArray_DESCR(array)) : NULL;
        Py_XDECREF(shape);
        if (pair == NULL) {
            Py_CLEAR(all);
        } else {
            PyList_SET_ITEM(all, i, pair);
        }
    }
    return all;
}

int node_record(struct node *node, PyObject *const *args, Py_ssize_t n_args, PyObject *const *outs, Py_ssize_t n_outs)
{
    if (node_link(node, args, n_args) < 0) {
        return -1;
    }
    if (n_outs > 1) {
        PyObject *metadata = shapes_and_types(outs, n_outs);
        if (metadata == NULL) {
            return -1;
        }
        Py_XSETREF(node->metadata, metadata);
    }
    for (Py_ssize_t i = 0; i < n_outs; i++) {
        struct tensor *t = (struct tensor *)outs[i];
        if (PyArray_ISFLOAT((PyArrayObject *)t->array)) {
            t->requires_grad = 1;
            Py_XSETREF(t->node, Py_NewRef(node));
            t->output = i;
        }
    }
    int has_saved = node->saved == nothing() ? 0 : PyObject_IsTrue(node->saved);
    return has_saved > 0 ? node_remember(node, args, n_args, outs, n_outs) : has_saved;
}

/* Two tuples: of the arguments, whatever they are, and of tensors that have their arrays. */
static int check_args_and_outs(PyObject *const *args, Py_ssize_t nargs)
{
    int right = nargs == 2 && PyTuple_Check(args[0]) && PyTuple_Check(args[1]);
    for (Py_ssize_t i = 0; right && i < PyTuple_GET_SIZE(args[1]); i++) {
        PyObject *out = PyTuple_GET_ITEM(args[1], i);
        right = is_tensor(out) && ((struct tensor *)out)->array != NULL;
    }
    if (!right) {
        PyErr_SetString(PyExc_TypeError, "expected a tuple of arguments and a tuple of computed Tensors");
    }
    return right ? 0 : -1;
}

static PyObject *py_record(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (check_args_and_outs(args, nargs) < 0 ||
        node_record((struct node *)self, &PyTuple_GET_ITEM(args[0], 0), PyTuple_GET_SIZE(args[0]),
                    &PyTuple_GET_ITEM(args[1], 0), PyTuple_GET_SIZE(args[1])) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *py_remember_versions(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (check_args_and_outs(args, nargs) < 0 ||
        node_remember((struct node *)self, &PyTuple_GET_ITEM(args[0], 0), PyTuple_GET_SIZE(args[0]),
                      &PyTuple_GET_ITEM(args[1], 0), PyTuple_GET_SIZE(args[1])) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *py_take_number(PyObject *self, PyObject *Py_UNUSED(none))
{
    return take_number((struct node *)self) == 0 ? Py_NewRef(Py_None) : NULL;
}

PyObject *py_set_anomaly(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    int mode = check_nargs("set_anomaly", nargs, 1) == 0 ? PyObject_IsTrue(args[0]) : -1;
    if (mode < 0) {
        return NULL;
    }
    anomaly_mode = mode;
    Py_RETURN_NONE;
}

/* ---- Backward --------------------------------------------------------------------------------------------------- */

/* 1 if all that was saved is still there and unchanged. */
static int is_intact(struct node *node)
{
    if (node->freed || !(PyList_Check(node->versions) || PyTuple_Check(node->versions))) {
        return 0;
    }
    Py_ssize_t n = PySequence_Fast_GET_SIZE(node->versions);
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *pair = PySequence_Fast_GET_ITEM(node->versions, i);
        if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2 || !PyList_Check(PyTuple_GET_ITEM(pair, 0)) ||
            PyList_GET_SIZE(PyTuple_GET_ITEM(pair, 0)) != 1) {
            return 0;
        }
        PyObject *now = PyList_GET_ITEM(PyTuple_GET_ITEM(pair, 0), 0), *then = PyTuple_GET_ITEM(pair, 1);
        int equal = now == then ? 1 : PyObject_RichCompareBool(now, then, Py_EQ);
        if (equal <= 0) {
            return equal;
        }
    }
    return 1;
}

static PyObject *py_check_saved(PyObject *self, PyObject *Py_UNUSED(none))
{
    int intact = is_intact((struct node *)self);
    if (intact == 0) {
        return PyObject_CallMethod(self, "_refuse", NULL); /* says what is wrong */
    }
    return intact > 0 ? Py_NewRef(Py_None) : NULL;
}

/* Whether forward left anything but None. */
static int has_saved(struct node *node)
{
    PyObject *saved = node->saved;
    if (saved == NULL || !(PyTuple_Check(saved) || PyList_Check(saved))) {
        return saved != NULL && saved != Py_None;
    }
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(saved); i++) {
        if (PySequence_Fast_GET_ITEM(saved, i) != Py_None) {
            return 1;
        }
    }
    return 0;
}

static PyObject *py_free(PyObject *self, PyObject *Py_UNUSED(none))
{
    struct node *node = (struct node *)self;
    if (!has_saved(node)) {
        Py_RETURN_NONE; /* it may run again */
    }
    node->freed = 1;
    Py_XSETREF(node->versions, Py_NewRef(nothing()));
    Py_XSETREF(node->saved, Py_NewRef(nothing()));
    Py_RETURN_NONE;
}

/* backward(node, *gradients) as a tuple. */
static PyObject *py_run_backward(PyObject *self, PyObject *gradients)
{
    static PyObject *name;
    PyObject *small[MOST_ON_STACK], **stack = small, *backward = NULL, *result = NULL;
    PyObject *items = PySequence_Tuple(gradients);
    if (items == NULL || (name == NULL && !(name = PyUnicode_InternFromString("backward")))) {
        goto done;
    }
    Py_ssize_t n = PyTuple_GET_SIZE(items);
    if (n + 1 > MOST_ON_STACK && !(stack = PyMem_New(PyObject *, n + 1))) {
        PyErr_NoMemory();
        goto done;
    }
    stack[0] = self;
    for (Py_ssize_t i = 0; i < n; i++) {
        stack[i + 1] = PyTuple_GET_ITEM(items, i);
    }
    if ((backward = PyObject_GetAttr((PyObject *)Py_TYPE(self), name))) {
        result = PyObject_Vectorcall(backward, stack, (size_t)n + 1, NULL);
    }
    if (result != NULL && !PyTuple_CheckExact(result)) {
        Py_SETREF(result, PyTuple_Pack(1, result));
    }
done:
    if (stack != small) {
        PyMem_Free(stack);
    }
    Py_XDECREF(backward);
    Py_XDECREF(items);
    return result;
}

/* ---- The type --------------------------------------------------------------------------------------------------- */

#define FAST(f) (PyCFunction)(void (*)(void))(f), METH_FASTCALL

static PyMethodDef node_methods[] = {
    {"record", FAST(py_record),
     "record(args, outs): put this node into the graph between the tensors it was made from and its outputs."},
    {"remember_versions", FAST(py_remember_versions),
     "remember_versions(args, outs): note the versions of those whose arrays were saved."},
    {"take_number", py_take_number, METH_NOARGS, "take_number(): become the last node made."},
    {"check_saved", py_check_saved, METH_NOARGS, "Raises RuntimeError where saved values were freed or changed."},
    {"free", py_free, METH_NOARGS,
     "Forget what forward saved, without which backward cannot run again. The node itself lives as long as its "
     "tensor."},
    {"run_backward", py_run_backward, METH_O, "run_backward(gradients of the outputs) -> a tuple: one for each edge."},
    {NULL, NULL, 0, NULL},
};

#define FIELD(name, field) {name, T_OBJECT, offsetof(struct node, field), 0, NULL}

static PyMemberDef node_members[] = {
    FIELD("edges", edges),
    FIELD("needs", needs),
    FIELD("saved", saved),
    FIELD("_versions", versions),
    FIELD("_metadata", metadata),
    FIELD("_hooks", hooks),
    FIELD("_output_hooks", output_hooks),
    {"_number", T_LONGLONG, offsetof(struct node, number), READONLY, NULL},
    {"_outputs", T_PYSSIZET, offsetof(struct node, outputs), 0, NULL},
    {"_freed", T_BOOL, offsetof(struct node, freed), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot node_slots[] = {
    {Py_tp_new, (void *)node_type_new},
    {Py_tp_dealloc, (void *)node_dealloc},
    {Py_tp_traverse, (void *)node_traverse},
    {Py_tp_clear, (void *)node_clear},
    {Py_tp_methods, node_methods},
    {Py_tp_members, node_members},
    {Py_tp_doc, "What a node of the graph is made of."},
    {0, NULL},
};

static PyType_Spec node_spec = {
    .name = "cnn._cnn.Node",
    .basicsize = sizeof(struct node),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = node_slots,
};

int node_add_type(PyObject *module)
{
    NodeType = (PyTypeObject *)PyType_FromSpec(&node_spec);
    return NodeType != NULL ? PyModule_AddObjectRef(module, "Node", (PyObject *)NodeType) : -1;
}
