/* nadam: (parameters, gradients, m, v, steps, mu products, scalars...) -> None. See csrc/kernels/nadam.c. */
#include "update.h"

PyObject *py_nadam(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    static const char *const lists[] = {"parameters", "gradients", "first moments", "second moments"};
    static const char *const names[] = {"lr",           "beta1",          "beta2",     "eps",
                                        "weight_decay", "momentum_decay", "decoupled", "maximize"};
    enum { LISTS = 4, NUMBERS = 2, SCALARS = 8 };
    struct update u;
    double s[SCALARS];
    PyObject *result = NULL;
    double *steps = NULL;
    double *mu_products = NULL;
    if (check_nargs("nadam", nargs, LISTS + NUMBERS + SCALARS) < 0 ||
        update_scalars(args + LISTS + NUMBERS, "nadam", SCALARS, names, s) < 0) {
        return NULL;
    }
    Py_ssize_t count = PySequence_Size(args[0]);
    if (count < 0 || !(steps = update_numbers(args[LISTS + 0], "nadam", "steps", count)) ||
        !(mu_products = update_numbers(args[LISTS + 1], "nadam", "mu products", count)) ||
        update_begin(&u, "nadam", args, LISTS, LISTS, lists) < 0) {
        goto fail;
    }
    u.kernels->nadam(u.pointers[0], u.gradients, u.pointers[2], u.pointers[3], steps, mu_products, u.sizes, u.count,
                     s[0], s[1], s[2], s[3], s[4], s[5], s[6] != 0, s[7] != 0);
    result = update_end(&u);
fail:
    PyMem_Free(steps);
    PyMem_Free(mu_products);
    return result;
}
