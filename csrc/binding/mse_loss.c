/* mse_loss: (x, target, each or None, p, reduction) -> loss;  (dy, x, target, each or None, p, reduction) -> dx.
 * See csrc/kernels/mse_loss.c. */
#include "pair_loss.h"

PyObject *py_mse_loss_forward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pair_loss_kernel *kernels[] = {kernels_for(REAL_F32)->mse_loss_forward, kernels_for(REAL_F64)->mse_loss_forward};
    return pair_loss_binding("mse_loss", args, nargs, kernels);
}

PyObject *py_mse_loss_backward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pair_slope_kernel *kernels[] = {kernels_for(REAL_F32)->mse_loss_backward, kernels_for(REAL_F64)->mse_loss_backward};
    return pair_slope_binding("mse_loss", args, nargs, kernels);
}
