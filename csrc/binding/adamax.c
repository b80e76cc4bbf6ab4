/* adamax: (parameters, gradients, m, u, steps, scalars...) -> None. See csrc/kernels/adamax.c. */
#include "update.h"

PyObject *py_adamax(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    static const char *const lists[] = {"parameters", "gradients", "first moments", "infinity norms"};
    static const char *const names[] = {"lr", "beta1", "beta2", "eps", "weight_decay", "maximize"};
    enum { LISTS = 4, NUMBERS = 1, SCALARS = 6 };
    struct update u;
    double s[SCALARS];
    PyObject *result = NULL;
    double *steps = NULL;
    if (check_nargs("adamax", nargs, LISTS + NUMBERS + SCALARS) < 0 ||
        update_scalars(args + LISTS + NUMBERS, "adamax", SCALARS, names, s) < 0) {
        return NULL;
    }
    Py_ssize_t count = PySequence_Size(args[0]);
    if (count < 0 || !(steps = update_numbers(args[LISTS + 0], "adamax", "steps", count)) ||
        update_begin(&u, "adamax", args, LISTS, LISTS, lists) < 0) {
        goto fail;
    }
    u.kernels->adamax(u.pointers[0], u.gradients, u.pointers[2], u.pointers[3], steps, u.sizes, u.count, s[0], s[1],
                      s[2], s[3], s[4], s[5] != 0);
    result = update_end(&u);
fail:
    PyMem_Free(steps);
    return result;
}
