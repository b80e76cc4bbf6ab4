/* kl_div: (x, target, each or None, p, reduction) -> loss;  (dy, x, target, each or None, p, reduction) -> dx (or dt).
 * See csrc/kernels/kl_div.c. */
#include "pair_loss.h"

PyObject *py_kl_div_forward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pair_loss_kernel *kernels[] = {kernels_for(REAL_F32)->kl_div_forward, kernels_for(REAL_F64)->kl_div_forward};
    return pair_loss_binding("kl_div", args, nargs, kernels);
}

PyObject *py_kl_div_backward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pair_slope_kernel *kernels[] = {kernels_for(REAL_F32)->kl_div_backward, kernels_for(REAL_F64)->kl_div_backward};
    return pair_slope_binding("kl_div", args, nargs, kernels);
}

PyObject *py_kl_div_backward_target(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pair_slope_kernel *kernels[] = {kernels_for(REAL_F32)->kl_div_backward_target,
                                    kernels_for(REAL_F64)->kl_div_backward_target};
    return pair_slope_binding("kl_div", args, nargs, kernels);
}
