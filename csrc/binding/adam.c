/* adam: (parameters, gradients, m, v, w or None, steps, scalars...) -> None. See csrc/kernels/adam.c. */
#include "update.h"

PyObject *py_adam(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    static const char *const lists[] = {"parameters", "gradients", "first moments", "second moments",
                                        "largest second moments"};
    static const char *const names[] = {"lr", "beta1", "beta2", "eps", "weight_decay", "decoupled", "maximize"};
    enum { LISTS = 5, REQUIRED = 4, NUMBERS = 1, SCALARS = 7 };
    struct update u;
    double s[SCALARS];
    PyObject *result = NULL;
    double *steps = NULL;
    if (check_nargs("adam", nargs, LISTS + NUMBERS + SCALARS) < 0 ||
        update_scalars(args + LISTS + NUMBERS, "adam", SCALARS, names, s) < 0) {
        return NULL;
    }
    Py_ssize_t count = PySequence_Size(args[0]);
    if (count < 0 || !(steps = update_numbers(args[LISTS + 0], "adam", "steps", count)) ||
        update_begin(&u, "adam", args, LISTS, REQUIRED, lists) < 0) {
        goto fail;
    }
    u.kernels->adam(u.pointers[0], u.gradients, u.pointers[2], u.pointers[3], u.pointers[4], steps, u.sizes, u.count,
                    s[0], s[1], s[2], s[3], s[4], s[5] != 0, s[6] != 0);
    result = update_end(&u);
fail:
    PyMem_Free(steps);
    return result;
}
