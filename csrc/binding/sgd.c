/* sgd: (parameters, gradients, velocities or None, scalars...) -> None. See csrc/kernels/sgd.c. */
#include "update.h"

PyObject *py_sgd(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    static const char *const lists[] = {"parameters", "gradients", "velocities"};
    static const char *const names[] = {"lr", "momentum", "dampening", "weight_decay", "nesterov", "maximize", "first"};
    enum { LISTS = 3, REQUIRED = 2, SCALARS = 7 };
    struct update u;
    double s[SCALARS];
    if (check_nargs("sgd", nargs, LISTS + SCALARS) < 0 || update_scalars(args + LISTS, "sgd", SCALARS, names, s) < 0 ||
        update_begin(&u, "sgd", args, LISTS, REQUIRED, lists) < 0) {
        return NULL;
    }
    u.kernels->sgd(u.pointers[0], u.gradients, u.pointers[2], u.sizes, u.count, s[0], s[1], s[2], s[3], s[4] != 0,
                   s[5] != 0, s[6] != 0);
    return update_end(&u);
}
