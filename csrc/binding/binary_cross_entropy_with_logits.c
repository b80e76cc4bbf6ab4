/* binary_cross_entropy_with_logits: (x, target, each or None, p, reduction) -> loss;  (dy, x, target, each or None, p,
 * reduction) -> dx (or dt). See csrc/kernels/binary_cross_entropy_with_logits.c. */
#include "pair_loss.h"

PyObject *py_binary_cross_entropy_with_logits_forward(PyObject *Py_UNUSED(module), PyObject *const *args,
                                                      Py_ssize_t nargs)
{
    pair_loss_kernel *kernels[] = {kernels_for(REAL_F32)->binary_cross_entropy_with_logits_forward,
                                   kernels_for(REAL_F64)->binary_cross_entropy_with_logits_forward};
    return pair_loss_binding("binary_cross_entropy_with_logits", args, nargs, kernels);
}

PyObject *py_binary_cross_entropy_with_logits_backward(PyObject *Py_UNUSED(module), PyObject *const *args,
                                                       Py_ssize_t nargs)
{
    pair_slope_kernel *kernels[] = {kernels_for(REAL_F32)->binary_cross_entropy_with_logits_backward,
                                    kernels_for(REAL_F64)->binary_cross_entropy_with_logits_backward};
    return pair_slope_binding("binary_cross_entropy_with_logits", args, nargs, kernels);
}

PyObject *py_binary_cross_entropy_with_logits_backward_target(PyObject *Py_UNUSED(module), PyObject *const *args,
                                                              Py_ssize_t nargs)
{
    pair_slope_kernel *kernels[] = {kernels_for(REAL_F32)->binary_cross_entropy_with_logits_backward_target,
                                    kernels_for(REAL_F64)->binary_cross_entropy_with_logits_backward_target};
    return pair_slope_binding("binary_cross_entropy_with_logits", args, nargs, kernels);
}
