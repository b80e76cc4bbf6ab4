/* rmsprop: (parameters, gradients, s, c or None, v or None, scalars...) -> None. See csrc/kernels/rmsprop.c. */
#include "update.h"

PyObject *py_rmsprop(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    static const char *const lists[] = {"parameters", "gradients", "square averages", "gradient averages",
                                        "momentum buffers"};
    static const char *const names[] = {"lr", "alpha", "eps", "weight_decay", "momentum", "maximize"};
    enum { LISTS = 5, REQUIRED = 3, SCALARS = 6 };
    struct update u;
    double s[SCALARS];
    if (check_nargs("rmsprop", nargs, LISTS + SCALARS) < 0 ||
        update_scalars(args + LISTS, "rmsprop", SCALARS, names, s) < 0 ||
        update_begin(&u, "rmsprop", args, LISTS, REQUIRED, lists) < 0) {
        return NULL;
    }
    u.kernels->rmsprop(u.pointers[0], u.gradients, u.pointers[2], u.pointers[3], u.pointers[4], u.sizes, u.count, s[0],
                       s[1], s[2], s[3], s[4], s[5] != 0);
    return update_end(&u);
}
