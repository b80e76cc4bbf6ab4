/* binary_cross_entropy: (x, target, each or None, p, reduction) -> loss;  (dy, x, target, each or None, p, reduction)
 * -> dx (or dt). See csrc/kernels/binary_cross_entropy.c. */
#include "pair_loss.h"

PyObject *py_binary_cross_entropy_forward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pair_loss_kernel *kernels[] = {kernels_for(REAL_F32)->binary_cross_entropy_forward,
                                   kernels_for(REAL_F64)->binary_cross_entropy_forward};
    return pair_loss_binding("binary_cross_entropy", args, nargs, kernels);
}

PyObject *py_binary_cross_entropy_backward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pair_slope_kernel *kernels[] = {kernels_for(REAL_F32)->binary_cross_entropy_backward,
                                    kernels_for(REAL_F64)->binary_cross_entropy_backward};
    return pair_slope_binding("binary_cross_entropy", args, nargs, kernels);
}

PyObject *py_binary_cross_entropy_backward_target(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pair_slope_kernel *kernels[] = {kernels_for(REAL_F32)->binary_cross_entropy_backward_target,
                                    kernels_for(REAL_F64)->binary_cross_entropy_backward_target};
    return pair_slope_binding("binary_cross_entropy", args, nargs, kernels);
}

PyObject *py_outside_unit(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    PyArrayObject *x;
    ptrdiff_t outside = 0;
    if (check_nargs("binary_cross_entropy", nargs, 1) < 0 ||
        !(x = array_arg_dense(args[0], "binary_cross_entropy", "input", ANY_REAL, ANY_NDIM))) {
        return NULL;
    }
    PyThreadState *state = kernel_enter((double)PyArray_SIZE(x));
    kernels_of(x)->outside_unit(PyArray_DATA(x), &outside, PyArray_SIZE(x));
    int status = kernel_leave(state);
    Py_DECREF(x);
    return status < 0 ? NULL : PyLong_FromSsize_t(outside);
}
