/* softmax.h: softmax and log_softmax have the same bindings, up to the kernel that they run. */
#ifndef CNN_BINDING_SOFTMAX_H
#define CNN_BINDING_SOFTMAX_H

#include "binding.h"

typedef void softmax_forward_kernel(const void *x, void *y, ptrdiff_t outer, ptrdiff_t D, ptrdiff_t inner);
typedef void softmax_backward_kernel(const void *dy, const void *y, void *dx, ptrdiff_t outer, ptrdiff_t D,
                                     ptrdiff_t inner);

/* args: x, dim. `kernels` has one for float, one for double. */
PyObject *softmax_forward_binding(const char *function, PyObject *const *args, Py_ssize_t nargs,
                                  softmax_forward_kernel *const kernels[2]);

/* args: dy, y, dim. */
PyObject *softmax_backward_binding(const char *function, PyObject *const *args, Py_ssize_t nargs,
                                   softmax_backward_kernel *const kernels[2]);

#endif
