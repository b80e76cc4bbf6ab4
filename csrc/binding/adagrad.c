/* adagrad: (parameters, gradients, s, steps, scalars...) -> None. See csrc/kernels/adagrad.c. */
#include "update.h"

PyObject *py_adagrad(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    static const char *const lists[] = {"parameters", "gradients", "sums of squares"};
    static const char *const names[] = {"lr", "lr_decay", "eps", "weight_decay", "maximize"};
    enum { LISTS = 3, NUMBERS = 1, SCALARS = 5 };
    struct update u;
    double s[SCALARS];
    PyObject *result = NULL;
    double *steps = NULL;
    if (check_nargs("adagrad", nargs, LISTS + NUMBERS + SCALARS) < 0 ||
        update_scalars(args + LISTS + NUMBERS, "adagrad", SCALARS, names, s) < 0) {
        return NULL;
    }
    Py_ssize_t count = PySequence_Size(args[0]);
    if (count < 0 || !(steps = update_numbers(args[LISTS + 0], "adagrad", "steps", count)) ||
        update_begin(&u, "adagrad", args, LISTS, LISTS, lists) < 0) {
        goto fail;
    }
    u.kernels->adagrad(u.pointers[0], u.gradients, u.pointers[2], steps, u.sizes, u.count, s[0], s[1], s[2], s[3],
                       s[4] != 0);
    result = update_end(&u);
fail:
    PyMem_Free(steps);
    return result;
}
