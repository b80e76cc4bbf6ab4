/* backward: from the last node made to the first, adding up gradients on the way. See cnn/autograd/engine.py, which
 * does what is rare: hooks, sums, gradients that wait, leaves that have a gradient already.
 */
#include "tape.h"

struct step {
    long long number;
    PyObject *node; /* borrowed: `waiting` holds it */
};

struct run {
    PyObject *waiting; /* node -> a list: the sum of the gradients for each output, or None */
    PyObject *leaves;  /* address of a leaf -> [sum, leaf], in the order in which they were reached */
    /* Functions of engine.py, borrowed: deliver(target, gradient) -> what may be sent there, in place of a gradient
     * that is no array; add(slots, output, gradient); before(node, slots); after(node, results, slots) -> results;
     * finish([sum, leaf]). */
    PyObject *deliver, *add, *before, *after, *finish;
    PyObject *only; /* NULL, or {node or leaf: whether to go on from there}: the way to what gradients are asked for */
    int keep_graph, store;
    /* What waits, the largest number first: an edge always leads to a smaller number, so what is popped is complete. */
    struct step *heap;
    Py_ssize_t size, room;
};

static PyObject *helpers[5]; /* the five for gradients that become .grad, of engine.py */

static int push(struct run *r, long long number, PyObject *node)
{
    if (r->size == r->room) {
        Py_ssize_t room = r->room > 0 ? 2 * r->room : 64;
        struct step *heap = PyMem_Resize(r->heap, struct step, room);
        if (heap == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        r->heap = heap, r->room = room;
    }
    Py_ssize_t i = r->size++;
    for (; i > 0 && r->heap[(i - 1) / 2].number < number; i = (i - 1) / 2) {
        r->heap[i] = r->heap[(i - 1) / 2];
    }
    r->heap[i] = (struct step){number, node};
    return 0;
}

static PyObject *pop(struct run *r)
{
    PyObject *first = r->heap[0].node;
    struct step last = r->heap[--r->size];
    Py_ssize_t i = 0, child;
    while ((child = 2 * i + 1) < r->size) {
        child += child + 1 < r->size && r->heap[child + 1].number > r->heap[child].number;
        if (r->heap[child].number <= last.number) {
            break;
        }
        r->heap[i] = r->heap[child];
        i = child;
    }
    r->heap[i] = last;
    return first;
}

/* The list for the gradients of a node's outputs: borrowed, or NULL. */
static PyObject *slots_of_node(struct run *r, PyObject *target)
{
    PyObject *slots = PyDict_GetItemWithError(r->waiting, target);
    if (slots != NULL || PyErr_Occurred()) {
        return slots;
    }
    struct node *node = (struct node *)target;
    if (!(slots = PyList_New(node->outputs))) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < node->outputs; i++) {
        PyList_SET_ITEM(slots, i, Py_NewRef(Py_None));
    }
    int status = PyDict_SetItem(r->waiting, target, slots);
    Py_DECREF(slots);
    return status == 0 && push(r, node->number, target) == 0 ? slots : NULL;
}

/* [sum, leaf]: borrowed, or NULL. */
static PyObject *slots_of_leaf(struct run *r, PyObject *leaf)
{
    PyObject *key = PyLong_FromVoidPtr(leaf);
    PyObject *slots = key != NULL ? PyDict_GetItemWithError(r->leaves, key) : NULL;
    if (slots == NULL && !PyErr_Occurred() && (slots = PyList_New(2))) {
        PyList_SET_ITEM(slots, 0, Py_NewRef(Py_None));
        PyList_SET_ITEM(slots, 1, Py_NewRef(leaf));
        int status = PyDict_SetItem(r->leaves, key, slots);
        Py_DECREF(slots);
        slots = status == 0 ? slots : NULL;
    }
    Py_XDECREF(key);
    return slots;
}

/* Whether a gradient that is no array may go to a node as it is: its class says so, and nobody looks at what comes. */
static int takes_it(PyObject *target, PyObject *gradient)
{
    static PyObject *name;
    struct node *node = (struct node *)target;
    if ((is_set(node->hooks) && PyObject_IsTrue(node->hooks)) ||
        (is_set(node->output_hooks) && PyObject_IsTrue(node->output_hooks))) {
        return 0;
    }
    PyObject *kind =
        name != NULL || (name = PyUnicode_InternFromString("takes")) ? PyObject_GetAttr(target, name) : NULL;
    int takes = kind != NULL ? PyObject_IsInstance(gradient, kind) : -1;
    Py_XDECREF(kind);
    return takes;
}

/* What is sent to the target in place of `gradient`: a new reference. */
static PyObject *delivered(struct run *r, PyObject *target, PyObject *gradient)
{
    if (PyArray_Check(gradient)) {
        return Py_NewRef(gradient);
    }
    int as_it_is = r->store && is_node(target) ? takes_it(target, gradient) : 0;
    return as_it_is < 0 ? NULL
           : as_it_is   ? Py_NewRef(gradient)
                        : PyObject_CallFunctionObjArgs(r->deliver, target, gradient, NULL);
}

static int send(struct run *r, PyObject *edge, PyObject *gradient)
{
    if (!PyTuple_Check(edge) || PyTuple_GET_SIZE(edge) != 2) {
        PyErr_Format(PyExc_TypeError, "backward: an edge must be a pair, got %R", edge);
        return -1;
    }
    PyObject *target = PyTuple_GET_ITEM(edge, 0);
    if (r->only != NULL) {
        int leads_there = PyDict_Contains(r->only, target);
        if (leads_there <= 0) {
            return leads_there;
        }
    }
    Py_ssize_t output = PyLong_AsSsize_t(PyTuple_GET_ITEM(edge, 1));
    if (output == -1 && PyErr_Occurred()) {
        return -1;
    }
    PyObject *slots = is_node(target) ? slots_of_node(r, target) : slots_of_leaf(r, target);
    if (slots == NULL) {
        return -1;
    }
    if (output < 0 || output >= PyList_GET_SIZE(slots)) {
        PyErr_Format(PyExc_IndexError, "backward: %R has no output %zd", target, output);
        return -1;
    }
    Py_INCREF(slots);
    int status = -1;
    gradient = delivered(r, target, gradient);
    if (gradient != NULL && PyList_GET_ITEM(slots, output) == Py_None) {
        status = PyList_SetItem(slots, output, Py_NewRef(gradient));
    } else if (gradient != NULL) {
        PyObject *none = PyObject_CallFunction(r->add, "OnO", slots, output, gradient);
        status = none != NULL ? 0 : -1;
        Py_XDECREF(none);
    }
    Py_XDECREF(gradient);
    Py_DECREF(slots);
    return status;
}

static PyObject *call_method(PyObject *object, PyObject *name, PyObject *argument)
{
    PyObject *arguments[2] = {object, argument};
    return PyObject_VectorcallMethod(name, arguments, argument != NULL ? 2 : 1, NULL);
}

/* Names of methods, made once. */
static PyObject *check_saved, *run_backward, *free_saved;

static int make_names(void)
{
    if (free_saved == NULL) {
        check_saved = PyUnicode_InternFromString("check_saved");
        run_backward = PyUnicode_InternFromString("run_backward");
        free_saved = PyUnicode_InternFromString("free");
    }
    return check_saved != NULL && run_backward != NULL && free_saved != NULL ? 0 : -1;
}

/* -1 if a call failed; its result is thrown away. */
static int succeeded(PyObject *result)
{
    Py_XDECREF(result);
    return result != NULL ? 0 : -1;
}

/* What a node computed, or NULL: looked at, and with a warning that shows where the node was made if it failed. */
static PyObject *look_for_anomaly(PyObject *node, PyObject *results)
{
    if (results != NULL) {
        PyObject *checked = PyObject_CallMethod(node, "_check_results", "(O)", results);
        Py_DECREF(results);
        return checked;
    }
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *none = PyObject_CallMethod(node, "_explain_error", NULL);
    if (none == NULL) { /* a warning that is an error */
        PyErr_Clear();
    }
    Py_XDECREF(none);
    PyErr_Restore(type, value, traceback);
    return NULL;
}

/* One node: the gradients of its outputs in, those of its arguments out. */
static int run_node(struct run *r, PyObject *self, PyObject **slots)
{
    struct node *node = (struct node *)self;
    if ((!r->store || is_set(node->output_hooks)) &&
        succeeded(PyObject_CallFunctionObjArgs(r->before, self, *slots, NULL)) < 0) {
        return -1;
    }
    if (r->only != NULL && PyDict_GetItemWithError(r->only, self) != Py_True) {
        return PyErr_Occurred() ? -1 : 0; /* asked for, and nothing beyond it is */
    }
    if (succeeded(call_method(self, check_saved, NULL)) < 0) {
        return -1;
    }
    PyObject *results = call_method(self, run_backward, *slots);
    if (anomaly_mode) {
        results = look_for_anomaly(self, results);
    }
    if (results == NULL || (!r->keep_graph && succeeded(call_method(self, free_saved, NULL)) < 0)) {
        Py_XDECREF(results);
        return -1;
    }
    if (is_set(node->hooks)) {
        Py_SETREF(results, PyObject_CallFunctionObjArgs(r->after, self, results, *slots, NULL));
    }
    Py_CLEAR(*slots);
    if (results != NULL && !PyTuple_Check(results)) {
        PyErr_Format(PyExc_TypeError, "backward: %R must give a tuple, got %s", self, Py_TYPE(results)->tp_name);
        Py_CLEAR(results);
    }
    int status = results != NULL ? 0 : -1;
    PyObject *edges = Py_NewRef(node->edges);
    for (Py_ssize_t i = 0; status == 0 && i < PyTuple_GET_SIZE(edges) && i < PyTuple_GET_SIZE(results); i++) {
        PyObject *edge = PyTuple_GET_ITEM(edges, i), *gradient = PyTuple_GET_ITEM(results, i);
        status = edge != Py_None && gradient != Py_None ? send(r, edge, gradient) : 0;
    }
    Py_DECREF(edges);
    Py_XDECREF(results);
    return status;
}

/* The last node made of those that wait. */
static int run_next(struct run *r)
{
    PyObject *node = Py_NewRef(pop(r)), *slots = Py_XNewRef(PyDict_GetItemWithError(r->waiting, node));
    int status = slots != NULL && PyDict_DelItem(r->waiting, node) == 0 ? run_node(r, node, &slots) : -1;
    Py_XDECREF(slots);
    Py_DECREF(node);
    return status;
}

/* The sum at a leaf becomes its .grad as it is: where there is none yet, no hook, and nobody else holds the array. 1 if
 * that was done. */
static int becomes_grad(PyObject *slots)
{
    PyObject *object = PyList_GET_ITEM(slots, 0), *leaf = PyList_GET_ITEM(slots, 1);
    struct tensor *t = (struct tensor *)leaf;
    if (!is_tensor(leaf) || !t->requires_grad || !PyArray_Check(object) || t->array == NULL || is_set(t->grad) ||
        is_set(t->dtype) || is_set(t->grad_hooks) || is_set(t->accumulate_hooks)) {
        return 0;
    }
    PyArrayObject *gradient = (PyArrayObject *)object, *array = (PyArrayObject *)t->array;
    if (Py_REFCNT(object) != 1 || PyArray_BASE(gradient) != NULL || !PyArray_ISWRITEABLE(gradient) ||
        PyArray_DESCR(gradient) != PyArray_DESCR(array) || !PyArray_SAMESHAPE(gradient, array)) {
        return 0;
    }
    PyObject *grad = tensor_new(Py_NewRef(object));
    if (grad == NULL) {
        return -1;
    }
    Py_XSETREF(t->grad, grad);
    return 1;
}

static int finish_leaves(struct run *r)
{
    PyObject *all = PyDict_Values(r->leaves);
    int status = all != NULL ? 0 : -1;
    for (Py_ssize_t i = 0; status == 0 && i < PyList_GET_SIZE(all); i++) {
        PyObject *slots = PyList_GET_ITEM(all, i);
        int done = r->store ? becomes_grad(slots) : 0;
        status = done < 0 ? -1 : done ? 0 : succeeded(PyObject_CallOneArg(r->finish, slots));
    }
    Py_XDECREF(all);
    return status;
}

/* Everything, from the edges (pairs) and the gradients that they are sent. -1 with an exception. */
static int walk(struct run *r, PyObject *const *edges, PyObject *const *gradients, Py_ssize_t count)
{
    PyObject *quiet;
    if (make_names() < 0 || quiet_enter(&quiet) < 0) {
        return -1;
    }
    int status = (r->waiting = PyDict_New()) && (r->leaves = PyDict_New()) ? 0 : -1;
    for (Py_ssize_t i = 0; i < count && status == 0; i++) {
        status = send(r, edges[i], gradients[i]);
    }
    while (r->size > 0 && status == 0) {
        status = run_next(r);
    }
    if (status == 0) {
        status = finish_leaves(r);
    }
    quiet_leave(quiet);
    PyMem_Free(r->heap);
    Py_XDECREF(r->waiting);
    Py_XDECREF(r->leaves);
    return status;
}

/* Two lists: their items as tuples, so that no hook changes them on the way. -1 with an exception. */
static int take_roots(PyObject *const *args, PyObject **edges, PyObject **gradients)
{
    *edges = *gradients = NULL;
    if (!PyList_Check(args[0]) || !PyList_Check(args[1]) || PyList_GET_SIZE(args[0]) != PyList_GET_SIZE(args[1])) {
        PyErr_SetString(PyExc_TypeError, "backward: expected a list of edges and one of as many gradients");
        return -1;
    }
    return (*edges = PyList_AsTuple(args[0])) && (*gradients = PyList_AsTuple(args[1])) ? 0 : -1;
}

/* (edges, gradients, keep_graph, only) or, for gradients that become no .grad, these and the five functions of a run:
 * lists of edges and of the arrays that they are sent; only: None, or {node or leaf: whether to go on from there}. */
PyObject *py_backward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 4 && nargs != 9) {
        PyErr_Format(PyExc_TypeError, "backward: expected 4 or 9 arguments, got %zd", nargs);
        return NULL;
    }
    if (args[3] != Py_None && !PyDict_Check(args[3])) {
        PyErr_SetString(PyExc_TypeError, "backward: expected a dict or None for what to walk");
        return NULL;
    }
    PyObject *const *f = nargs == 9 ? args + 4 : helpers;
    struct run r = {.deliver = f[0], .add = f[1], .before = f[2], .after = f[3], .finish = f[4], .store = nargs == 4};
    r.only = args[3] == Py_None ? NULL : args[3];
    PyObject *edges, *gradients;
    int status = (r.keep_graph = PyObject_IsTrue(args[2])) < 0 ? -1 : take_roots(args, &edges, &gradients);
    if (r.keep_graph < 0) {
        return NULL;
    }
    if (status == 0) {
        status = walk(&r, &PyTuple_GET_ITEM(edges, 0), &PyTuple_GET_ITEM(gradients, 0), PyTuple_GET_SIZE(edges));
    }
    Py_XDECREF(edges);
    Py_XDECREF(gradients);
    return status == 0 ? Py_NewRef(Py_None) : NULL;
}

/* loss.backward(), as most programs call it: the way back from one number, of which the gradient is 1. What is not as
 * plain goes to Tensor._backward. */
PyObject *tensor_backward(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    struct tensor *t = (struct tensor *)self;
    PyArrayObject *array = (PyArrayObject *)t->array;
    if (nargs > 0 || names != NULL || array == NULL || PyArray_SIZE(array) != 1 || !PyArray_ISFLOAT(array) ||
        !wants_grad(t) || helpers[0] == NULL) {
        PyObject *general = PyObject_GetAttrString(self, "_backward");
        PyObject *none = general != NULL ? PyObject_Vectorcall(general, args, (size_t)nargs, names) : NULL;
        Py_XDECREF(general);
        return none;
    }
    struct run r = {.deliver = helpers[0],
                    .add = helpers[1],
                    .before = helpers[2],
                    .after = helpers[3],
                    .finish = helpers[4],
                    .store = 1};
    PyObject *edge = tensor_edge(t), *gradient = NULL, *one = NULL;
    int status = -1;
    if (edge == Py_None) {
        PyErr_SetString(PyExc_RuntimeError, "element 0 of tensors does not require grad and does not have a grad_fn");
    } else if (edge != NULL && (gradient = (PyObject *)array_new_like(array)) && (one = PyLong_FromLong(1)) &&
               PyArray_FillWithScalar((PyArrayObject *)gradient, one) == 0) {
        status = walk(&r, &edge, &gradient, 1);
    }
    Py_XDECREF(edge);
    Py_XDECREF(gradient);
    Py_XDECREF(one);
    return status == 0 ? Py_NewRef(Py_None) : NULL;
}

/* (deliver, add, before, after, finish) */
PyObject *py_set_backward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    if (check_nargs("set_backward", nargs, 5) < 0) {
        return NULL;
    }
    for (int i = 0; i < 5; i++) {
        Py_XSETREF(helpers[i], Py_NewRef(args[i]));
    }
    Py_RETURN_NONE;
}
