/* tensor: the base type of cnn.Tensor, its fields and what of it every call needs. See tape.h and cnn/tensor.py. */
#include "operators.h"
#include "tape.h"

#include <structmember.h>

PyTypeObject *TensorType, *TensorClass;

static _Thread_local int recording = 1;

int grad_enabled(void) { return recording; }

/* ---- A tensor --------------------------------------------------------------------------------------------------- */

static PyObject *tensor_type_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    return type->tp_alloc(type, 0);
}

static int tensor_traverse(PyObject *self, visitproc visit, void *arg)
{
    struct tensor *t = (struct tensor *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(t->array);
    Py_VISIT(t->pending);
    Py_VISIT(t->gradient);
    Py_VISIT(t->node);
    Py_VISIT(t->box);
    Py_VISIT(t->base);
    Py_VISIT(t->view);
    Py_VISIT(t->dtype);
    Py_VISIT(t->grad);
    Py_VISIT(t->grad_hooks);
    Py_VISIT(t->accumulate_hooks);
    return 0;
}

static int tensor_clear(PyObject *self)
{
    struct tensor *t = (struct tensor *)self;
    Py_CLEAR(t->array);
    Py_CLEAR(t->pending);
    Py_CLEAR(t->gradient);
    Py_CLEAR(t->node);
    Py_CLEAR(t->box);
    Py_CLEAR(t->base);
    Py_CLEAR(t->view);
    Py_CLEAR(t->dtype);
    Py_CLEAR(t->grad);
    Py_CLEAR(t->grad_hooks);
    Py_CLEAR(t->accumulate_hooks);
    return 0;
}

static void tensor_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    tensor_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

/* An object of `type`, with the array whose reference it takes. */
static PyObject *wrap(PyTypeObject *type, PyObject *array)
{
    struct tensor *t = (struct tensor *)type->tp_alloc(type, 0);
    if (t == NULL) {
        Py_DECREF(array);
        return NULL;
    }
    t->array = array;
    return (PyObject *)t;
}

PyObject *tensor_new(PyObject *array) { return wrap(TensorClass, array); }

/* The types that cnn.types has names for. */
static int is_known_type(int type)
{
    const unsigned long long known = 1ull << NPY_BOOL | 1ull << NPY_BYTE | 1ull << NPY_UBYTE | 1ull << NPY_SHORT |
                                     1ull << NPY_USHORT | 1ull << NPY_INT | 1ull << NPY_UINT | 1ull << NPY_LONG |
                                     1ull << NPY_ULONG | 1ull << NPY_LONGLONG | 1ull << NPY_ULONGLONG |
                                     1ull << NPY_HALF | 1ull << NPY_FLOAT | 1ull << NPY_DOUBLE;
    return type >= 0 && type < 64 && (known >> type & 1);
}

/* An array that is not admitted as it is: other bytes, a subclass, no array at all. Takes the reference. */
static PyObject *admit_rare(PyObject *object)
{
    if (!PyArray_Check(object)) {
        Py_SETREF(object, PyArray_FromAny(object, NULL, 0, 0, 0, NULL));
    }
    if (object == NULL) {
        return NULL;
    }
    if (!is_known_type(PyArray_TYPE((PyArrayObject *)object))) {
        PyObject *module = PyImport_ImportModule("cnn.types"); /* of_numpy says what there is instead */
        PyObject *none = module != NULL
                             ? PyObject_CallMethod(module, "of_numpy", "O", PyArray_DESCR((PyArrayObject *)object))
                             : NULL;
        if (none != NULL) {
            PyErr_SetString(PyExc_TypeError, "the type of an array has a name, but no tensor may have it");
        }
        Py_XDECREF(none);
        Py_XDECREF(module);
        Py_DECREF(object);
        return NULL;
    }
    if (!PyArray_ISNOTSWAPPED((PyArrayObject *)object)) {
        PyArray_Descr *native = PyArray_DescrNewByteorder(PyArray_DESCR((PyArrayObject *)object), NPY_NATIVE);
        Py_SETREF(object, native != NULL ? PyArray_FromArray((PyArrayObject *)object, native, 0) : NULL);
    }
    if (object != NULL && !PyArray_CheckExact(object)) {
        Py_SETREF(object, PyArray_View((PyArrayObject *)object, NULL, &PyArray_Type));
    }
    return object;
}

PyObject *tensor_admit(PyObject *object)
{
    if (PyArray_CheckExact(object) && PyArray_ISNOTSWAPPED((PyArrayObject *)object) &&
        is_known_type(PyArray_TYPE((PyArrayObject *)object))) {
        return object;
    }
    return admit_rare(object);
}

static PyObject *py_wrap(PyObject *type, PyObject *object)
{
    PyObject *array = tensor_admit(Py_NewRef(object));
    return array != NULL ? wrap((PyTypeObject *)type, array) : NULL;
}

PyObject *tensor_array(struct tensor *t)
{
    if (t->array != NULL) {
        return Py_NewRef(t->array);
    }
    PyObject *array = NULL;
    if (is_set(t->pending)) {
        PyObject *pending = Py_NewRef(t->pending);
        array = PyObject_CallNoArgs(pending); /* it waits on if this is interrupted */
        Py_DECREF(pending);
    } else if (is_set(t->gradient)) {
        PyObject *gradient = Py_NewRef(t->gradient);
        array = PyObject_CallMethod(gradient, "array", NULL);
        Py_DECREF(gradient);
    } else {
        PyErr_Format(PyExc_AttributeError, "'%s' object has no attribute '_a'", Py_TYPE(t)->tp_name);
    }
    if (array != NULL && !PyArray_Check(array)) {
        PyErr_Format(PyExc_TypeError, "what waits must give an array, not %s", Py_TYPE(array)->tp_name);
        Py_CLEAR(array);
    }
    if (array != NULL) {
        Py_XSETREF(t->array, Py_NewRef(array));
        Py_CLEAR(t->pending);
        Py_CLEAR(t->gradient);
    }
    return array;
}

static PyObject *get_array(PyObject *self, void *Py_UNUSED(closure)) { return tensor_array((struct tensor *)self); }

static int set_array(PyObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    struct tensor *t = (struct tensor *)self;
    PyObject *array = value != NULL ? tensor_admit(Py_NewRef(value)) : NULL;
    if (array == NULL && value != NULL) {
        return -1;
    }
    Py_XSETREF(t->array, array);
    Py_CLEAR(t->pending);
    Py_CLEAR(t->gradient);
    return 0;
}

PyObject *tensor_box(struct tensor *t)
{
    if (!is_set(t->box)) {
        PyObject *box = PyList_New(1);
        if (box == NULL) {
            return NULL;
        }
        PyList_SET_ITEM(box, 0, PyLong_FromLong(0)); /* a small number: cannot fail */
        Py_XSETREF(t->box, box);
    }
    return t->box;
}

static PyObject *py_version_box(PyObject *self, PyObject *Py_UNUSED(none))
{
    return Py_XNewRef(tensor_box((struct tensor *)self));
}

long long tensor_version(struct tensor *t)
{
    PyObject *box = tensor_box(t);
    return box != NULL ? PyLong_AsLongLong(PyList_GET_ITEM(box, 0)) : -1;
}

static PyObject *py_bump(PyObject *self, PyObject *Py_UNUSED(none))
{
    struct tensor *t = (struct tensor *)self;
    long long version = tensor_version(t);
    PyObject *next = version >= 0 ? PyLong_FromLongLong(version + 1) : NULL;
    if (next == NULL || PyList_SetItem(t->box, 0, next) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

int tensor_become_view(struct tensor *t, struct tensor *source, PyObject *step, int several)
{
    long long version = tensor_version(source);
    PyObject *steps = version >= 0 ? PyTuple_Pack(1, step) : NULL;
    if (steps != NULL && is_set(source->view)) {
        Py_SETREF(steps, PySequence_Concat(source->view, steps));
    }
    if (steps == NULL) {
        return -1;
    }
    Py_XSETREF(t->box, Py_NewRef(source->box));
    Py_XSETREF(t->base, Py_NewRef(is_set(source->base) ? source->base : (PyObject *)source));
    Py_XSETREF(t->view, steps);
    t->view_version = version;
    t->made = !recording ? MADE_WITHOUT_GRAD : several ? MADE_WITH_OTHERS : source->made;
    if (!lies_turned((PyArrayObject *)t->array)) {
        return 0;
    }
    PyObject *none = PyObject_CallMethod((PyObject *)t, "_remember_view", NULL);
    Py_XDECREF(none);
    return none != NULL ? 0 : -1;
}

/* What waits (cnn/nn/fusion.py) knows how many dimensions it will have. */
static PyObject *get_ndim(PyObject *self, void *Py_UNUSED(closure))
{
    struct tensor *t = (struct tensor *)self;
    if (t->array == NULL && is_set(t->pending)) {
        PyObject *ndim = PyObject_GetAttrString(t->pending, "ndim");
        if (ndim != NULL || !PyErr_ExceptionMatches(PyExc_AttributeError)) {
            return ndim;
        }
        PyErr_Clear();
    }
    PyObject *array = tensor_array(t);
    PyObject *ndim = array != NULL ? PyLong_FromLong(PyArray_NDIM((PyArrayObject *)array)) : NULL;
    Py_XDECREF(array);
    return ndim;
}

static PyObject *get_requires_grad(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(wants_grad((struct tensor *)self));
}

static int set_requires_grad(PyObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    int wants = value != NULL ? PyObject_IsTrue(value) : 0;
    ((struct tensor *)self)->requires_grad = wants > 0;
    return wants < 0 ? -1 : 0;
}

/* (tensor): tensor.add_(1), at less than its price where that is a counter: one int64 that nothing else looks at. */
PyObject *py_increment(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    if (check_nargs("increment", nargs, 1) < 0) {
        return NULL;
    }
    struct tensor *t = is_tensor(args[0]) ? (struct tensor *)args[0] : NULL;
    PyArrayObject *array = t != NULL && !is_set(t->base) ? (PyArrayObject *)t->array : NULL;
    if (array == NULL || PyArray_NDIM(array) != 0 || PyArray_TYPE(array) != NPY_INT64 || !PyArray_ISBEHAVED(array)) {
        return PyObject_CallMethod(args[0], "add_", "i", 1);
    }
    npy_int64 *counter = PyArray_DATA(array);
    *counter = (npy_int64)((npy_uint64)*counter + 1);
    return py_bump(args[0], NULL);
}

static PyMethodDef tensor_methods[] = {
    {"_wrap", py_wrap, METH_O | METH_CLASS, "A new tensor around a NumPy array (or a number), sharing its memory."},
    {"backward", (PyCFunction)(void (*)(void))tensor_backward, METH_FASTCALL | METH_KEYWORDS,
     "backward($self, gradient=None, retain_graph=None, create_graph=False, inputs=None)\n--\n\n"
     "Add the gradient of this tensor to `.grad` of every leaf it was made from. See torch.Tensor.backward."},
    {"_bump", py_bump, METH_NOARGS, "Note that the memory was changed."},
    {"_version_box", py_version_box, METH_NOARGS, "The list with the version, shared with views."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef tensor_properties[] = {
    {"_a", get_array, set_array, "The array; computed now if it waits.", NULL},
    {"ndim", get_ndim, NULL, "The number of dimensions.", NULL},
    {"_requires_grad", get_requires_grad, set_requires_grad, "Whether it, or the base of a view, wants one.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

#define FIELD(name, field) {name, T_OBJECT, offsetof(struct tensor, field), 0, NULL}

static PyMemberDef tensor_members[] = {
    FIELD("_pending", pending),
    FIELD("_gradient", gradient),
    FIELD("_node", node),
    FIELD("_box", box),
    FIELD("_base", base),
    FIELD("_view", view),
    FIELD("_dtype", dtype),
    FIELD("_grad", grad),
    FIELD("_grad_hooks", grad_hooks),
    FIELD("_accumulate_hooks", accumulate_hooks),
    {"_view_version", T_LONGLONG, offsetof(struct tensor, view_version), 0, NULL},
    {"_output", T_PYSSIZET, offsetof(struct tensor, output), 0, NULL},
    {"_asks_for_grad", T_BOOL, offsetof(struct tensor, requires_grad), 0, NULL},
    {"_made", T_BYTE, offsetof(struct tensor, made), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot tensor_slots[] = {
    {Py_tp_new, (void *)tensor_type_new},
    {Py_tp_dealloc, (void *)tensor_dealloc},
    {Py_tp_traverse, (void *)tensor_traverse},
    {Py_tp_clear, (void *)tensor_clear},
    {Py_tp_methods, tensor_methods},
    {Py_tp_getset, tensor_properties},
    {Py_tp_members, tensor_members},
    {Py_nb_add, (void *)operator_add},
    {Py_nb_subtract, (void *)operator_subtract},
    {Py_nb_multiply, (void *)operator_multiply},
    {Py_tp_doc, "What cnn.Tensor is made of."},
    {0, NULL},
};

static PyType_Spec tensor_spec = {
    .name = "cnn._cnn.Tensor",
    .basicsize = sizeof(struct tensor),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = tensor_slots,
};

PyObject *py_set_tensor_class(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    if (check_nargs("set_tensor_class", nargs, 1) < 0) {
        return NULL;
    }
    if (!PyType_Check(args[0]) || !PyType_IsSubtype((PyTypeObject *)args[0], TensorType)) {
        PyErr_SetString(PyExc_TypeError, "set_tensor_class: expected a class that derives from cnn._cnn.Tensor");
        return NULL;
    }
    Py_XSETREF(TensorClass, (PyTypeObject *)Py_NewRef(args[0]));
    Py_RETURN_NONE;
}

/* ---- Whether operations are recorded ---------------------------------------------------------------------------- */

static PyObject *get_enabled(PyObject *Py_UNUSED(self), void *Py_UNUSED(closure)) { return PyBool_FromLong(recording); }

static int set_enabled(PyObject *Py_UNUSED(self), PyObject *value, void *Py_UNUSED(closure))
{
    int enabled = value != NULL ? PyObject_IsTrue(value) : 1;
    if (enabled < 0) {
        return -1;
    }
    recording = enabled;
    return 0;
}

static PyGetSetDef mode_properties[] = {
    {"enabled", get_enabled, set_enabled, "Whether operations are recorded in this thread.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot mode_slots[] = {
    {Py_tp_getset, mode_properties},
    {Py_tp_doc, "Whether operations are recorded: a flag for each thread, at first True."},
    {0, NULL},
};

static PyType_Spec mode_spec = {
    .name = "cnn._cnn.GradMode",
    .basicsize = sizeof(PyObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = mode_slots,
};

int tensor_add_type(PyObject *module)
{
    PyObject *mode = PyType_FromSpec(&mode_spec);
    TensorType = (PyTypeObject *)PyType_FromSpec(&tensor_spec);
    int status = -1;
    if (mode != NULL && TensorType != NULL && PyModule_AddObjectRef(module, "GradMode", mode) == 0) {
        status = PyModule_AddObjectRef(module, "Tensor", (PyObject *)TensorType);
    }
    Py_XDECREF(mode);
    return status;
}
