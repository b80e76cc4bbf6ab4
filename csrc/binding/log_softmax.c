/* log_softmax: (x, dim) -> y;  (dy, y, dim) -> dx. See csrc/kernels/log_softmax.c. */
#include "softmax.h"

PyObject *py_log_softmax_forward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    softmax_forward_kernel *kernels[] = {kernels_for(REAL_F32)->log_softmax_forward,
                                         kernels_for(REAL_F64)->log_softmax_forward};
    return softmax_forward_binding("log_softmax", args, nargs, kernels);
}

PyObject *py_log_softmax_backward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    softmax_backward_kernel *kernels[] = {kernels_for(REAL_F32)->log_softmax_backward,
                                          kernels_for(REAL_F64)->log_softmax_backward};
    return softmax_backward_binding("log_softmax", args, nargs, kernels);
}
