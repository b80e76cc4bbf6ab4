/* pair_loss.h: the losses that compare two arrays element by element have the same bindings, up to the kernel they run.
 */
#ifndef CNN_BINDING_PAIR_LOSS_H
#define CNN_BINDING_PAIR_LOSS_H

#include "class_target.h"

typedef void pair_loss_kernel PAIR_LOSS;
typedef void pair_slope_kernel PAIR_SLOPE;

/* args: x, target, each or None, p, reduction. `kernels` has one for float, one for double. */
PyObject *pair_loss_binding(const char *function, PyObject *const *args, Py_ssize_t nargs,
                            pair_loss_kernel *const kernels[2]);

/* args: dy, x, target, each or None, p, reduction. */
PyObject *pair_slope_binding(const char *function, PyObject *const *args, Py_ssize_t nargs,
                             pair_slope_kernel *const kernels[2]);

#endif
