/* update.h: the beats of the optimisers. Their Python side hands over lists: of parameters, of gradients, and one list
 * for each kind of state, all of one length and one real type; the kernel gets arrays of pointers.
 */
#ifndef CNN_BINDING_UPDATE_H
#define CNN_BINDING_UPDATE_H

#include "binding.h"

enum { UPDATE_LISTS = 5, UPDATE_PARAMETERS = 0, UPDATE_GRADIENTS = 1 };

struct update {
    const struct kernels *kernels;
    Py_ssize_t count;
    ptrdiff_t *sizes;
    void **pointers[UPDATE_LISTS]; /* NULL for a list given as None */
    gradient *gradients;
    PyArrayObject **arrays[UPDATE_LISTS];
    PyArrayObject **inputs; /* x, where a gradient came as (dy, x) */
    PyThreadState *state;
    void *block;
};

/* Arguments args[0..lists-1] are the lists; those after the first `required` may be None. All but the gradients are
 * changed in place. The gradient of a matrix may also come as a tuple (dy, x), see kernels/gradient.h. A parameter may
 * lie in memory in any way; what is not dense, or not in the order of its parameter, goes through a copy that is
 * written back. */
int update_begin(struct update *u, const char *function, PyObject *const *args, int lists, int required,
                 const char *const *names);

/* None, or NULL with an exception; writes back and releases everything. */
PyObject *update_end(struct update *u);

/* A sequence of `count` numbers as a new block of doubles (PyMem_Free), or NULL with an exception. */
double *update_numbers(PyObject *object, const char *function, const char *name, Py_ssize_t count);

/* Numbers args[0..count-1], named for error messages. */
int update_scalars(PyObject *const *args, const char *function, int count, const char *const *names, double *out);

#endif
