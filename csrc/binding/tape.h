/* tape.h: what a Tensor and a node of the graph are made of. cnn/tensor.py and cnn/autograd/function.py derive from
 * these types and hold everything that is not on the way of each call. docs/architecture.md, "The tape in C".
 */
#ifndef CNN_TAPE_H
#define CNN_TAPE_H

#include "binding.h"

/* cnn._cnn.Tensor. A PyObject field may be NULL, which Python sees as None. */
struct tensor {
    PyObject_HEAD PyObject *array; /* _a; NULL while it waits */
    PyObject *pending;             /* a function that gives the array (cnn/nn/fusion.py) */
    PyObject *gradient;            /* or a LeafGradient that does */
    PyObject *node;                /* what made it; NULL for a leaf */
    PyObject *box;                 /* [version], shared with views */
    PyObject *base;                /* of a view */
    PyObject *dtype;               /* cnn.bfloat16 where it holds such values (in float32), else NULL */
    PyObject *view;                /* ((operation, arguments, output), ...): how a view comes from its base */
    long long view_version;        /* of the memory, when the view's history was made */
    PyObject *grad, *grad_hooks, *accumulate_hooks;
    Py_ssize_t output; /* which of the node's outputs it is */
    char requires_grad;
    char made; /* of a view: one of the ways below */
};

/* How a view was made, where that forbids to record a change of it or of its base: torch's CreationMeta. */
enum { MADE_PLAINLY, MADE_WITHOUT_GRAD, MADE_WITH_OTHERS, MADE_BY_FUNCTION };

/* cnn._cnn.Node. */
struct node {
    PyObject_HEAD PyObject *edges; /* a tuple: (node, output), (leaf, 0) or None for each argument */
    PyObject *needs, *saved, *versions, *metadata, *hooks, *output_hooks;
    long long number;
    Py_ssize_t outputs;
    char freed;
};

extern PyTypeObject *TensorType, *NodeType; /* the types of this folder */
extern PyTypeObject *TensorClass;           /* cnn.Tensor */

static inline int is_tensor(PyObject *object)
{
    return Py_IS_TYPE(object, TensorClass) || PyObject_TypeCheck(object, TensorType);
}
static inline int is_node(PyObject *object) { return PyObject_TypeCheck(object, NodeType); }
static inline int is_set(PyObject *field) { return field != NULL && field != Py_None; }

/* Whether a gradient is wanted: a view needs one where its base does. */
static inline int wants_grad(struct tensor *t)
{
    return t->requires_grad || (is_set(t->base) && ((struct tensor *)t->base)->requires_grad);
}

/* A new cnn.Tensor around an array, whose reference it takes (also where it fails). */
PyObject *tensor_new(PyObject *array);

/* The door: `object`, whose reference it takes, as an array that a tensor may have: of a type that cnn.types knows, in
 * native byte order, no subclass. A new reference, or NULL with TypeError. */
PyObject *tensor_admit(PyObject *object);

/* The array of a tensor, computed now if it waits: a new reference, or NULL with an exception. */
PyObject *tensor_array(struct tensor *t);

/* The list with its version, made where there is none: borrowed, or NULL. */
PyObject *tensor_box(struct tensor *t);

/* The version in it; -1 with an exception. */
long long tensor_version(struct tensor *t);

/* `t` is a view of `source`, by a step as in the field `view`, perhaps one of several. -1 with an exception. */
int tensor_become_view(struct tensor *t, struct tensor *source, PyObject *step, int several);

/* The array at the bottom of the views, which owns the memory. */
PyArrayObject *owner_of(PyArrayObject *array);

/* Whether that one lies channels-last, so that it may be laid out anew (cnn/aliases.py). */
int lies_turned(PyArrayObject *array);

/* Whether nodes note where they were made, and backward looks for what went wrong: cnn/autograd/anomaly.py. */
extern int anomaly_mode;

/* Whether operations are recorded in this thread. */
int grad_enabled(void);

/* The edge that a gradient for `t` follows, or None: a new reference. */
PyObject *tensor_edge(struct tensor *t);

/* The method of a tensor. */
PyObject *tensor_backward(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names);

/* A new node of a class that derives from cnn._cnn.Node. */
struct node *node_new(PyObject *cls);

static inline int is_node_class(PyObject *object)
{
    return PyType_Check(object) && PyType_IsSubtype((PyTypeObject *)object, NodeType);
}

enum { MOST_ON_STACK = 16 }; /* arguments, without asking for memory */

/* Gives a node, whose needs are set, a number and the edges that they ask for. -1 with an exception. */
int node_link(struct node *node, PyObject *const *args, Py_ssize_t count);

/* Puts a node, whose needs are set, into the graph between what it was made from and its outputs, Tensors that have
 * their arrays. -1 with an exception. */
int node_record(struct node *node, PyObject *const *args, Py_ssize_t n_args, PyObject *const *outs, Py_ssize_t n_outs);

/* A node behind these arguments whose result is not there yet; None where nothing is recorded. */
PyObject *node_behind(PyObject *cls, PyObject *const *args, Py_ssize_t count);

/* Notes the versions of what forward saved, where it belongs to an argument or an output. */
int node_remember(struct node *node, PyObject *const *args, Py_ssize_t n_args, PyObject *const *outs,
                  Py_ssize_t n_outs);

/* Where an argument is of bfloat16, cnn/autograd/bfloat16.py gives the result that type, or leaves it as it is. */
int finish_bfloat16(PyObject *cls, PyObject *const *args, Py_ssize_t count, PyObject *out);

/* Adds the types to the module. */
int tensor_add_type(PyObject *module);
int node_add_type(PyObject *module);
int waiting_add_type(PyObject *module);

/* The type of public functions, cnn._cnn.Function (function.c), added to the module. */
int function_add_type(PyObject *module);

#endif
