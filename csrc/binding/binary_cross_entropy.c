/* binary_cross_entropy: (x) -> how many values are not in [0, 1]; the loss itself is in pair_loss.c.
 * See csrc/kernels/binary_cross_entropy.c. */
#include "binding.h"

PyObject *py_outside_unit(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    PyArrayObject *x;
    if (check_nargs("binary_cross_entropy", nargs, 1) < 0 ||
        !(x = array_arg_dense(args[0], "binary_cross_entropy", "input", ANY_REAL, ANY_NDIM))) {
        return NULL;
    }
    PyThreadState *state = kernel_enter((double)PyArray_SIZE(x));
    ptrdiff_t outside = kernels_of(x)->outside_unit(PyArray_DATA(x), PyArray_SIZE(x));
    int status = kernel_leave(state);
    Py_DECREF(x);
    return status < 0 ? NULL : PyLong_FromSsize_t(outside);
}
