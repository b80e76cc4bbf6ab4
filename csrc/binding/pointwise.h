/* pointwise.h: the beats that every element-by-element layer shares, so that its own file only names the kernel:
 *
 *     struct pointwise c;
 *     if (pointwise_forward(&c, "elu", args, nargs, 1, (const char *[]){"alpha"}) < 0) {
 *         return NULL;
 *     }
 *     c.kernels->elu_forward(c.in, c.out, c.n, c.scalar[0]);
 *     return pointwise_end(&c);
 *
 * The result has the memory order of the input. kernel_enter and kernel_leave are inside.
 */
#ifndef CNN_BINDING_POINTWISE_H
#define CNN_BINDING_POINTWISE_H

#include "binding.h"

enum { POINTWISE_SCALARS = 4 };

struct pointwise {
    const struct kernels *kernels;
    const void *in, *dy;
    void *out;
    ptrdiff_t n;
    int in_place;
    double scalar[POINTWISE_SCALARS];
    PyArrayObject *input, *gradient, *result;
    PyThreadState *state;
};

/* Arguments (x, scalars...): `out` is new. The scalars' names are for error messages. */
int pointwise_forward(struct pointwise *c, const char *function, PyObject *const *args, Py_ssize_t nargs, int scalars,
                      const char *const *names);

/* Arguments (x, scalars...): the result is x itself, which may lie in memory in any way. */
int pointwise_inplace(struct pointwise *c, const char *function, PyObject *const *args, Py_ssize_t nargs, int scalars,
                      const char *const *names);

/* Arguments (dy, saved, scalars...): `in` is the saved array, `out` is new. */
int pointwise_backward(struct pointwise *c, const char *function, PyObject *const *args, Py_ssize_t nargs, int scalars,
                       const char *const *names);

/* The result as a new reference, or NULL with an exception; releases everything. */
PyObject *pointwise_end(struct pointwise *c);

#endif
