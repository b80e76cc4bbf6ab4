/* adadelta: (parameters, gradients, s, u, scalars...) -> None. See csrc/kernels/adadelta.c. */
#include "update.h"

PyObject *py_adadelta(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    static const char *const lists[] = {"parameters", "gradients", "square averages", "accumulated deltas"};
    static const char *const names[] = {"lr", "rho", "eps", "weight_decay", "maximize"};
    enum { LISTS = 4, SCALARS = 5 };
    struct update u;
    double s[SCALARS];
    if (check_nargs("adadelta", nargs, LISTS + SCALARS) < 0 ||
        update_scalars(args + LISTS, "adadelta", SCALARS, names, s) < 0 ||
        update_begin(&u, "adadelta", args, LISTS, LISTS, lists) < 0) {
        return NULL;
    }
    u.kernels->adadelta(u.pointers[0], u.gradients, u.pointers[2], u.pointers[3], u.sizes, u.count, s[0], s[1], s[2],
                        s[3], s[4] != 0);
    return update_end(&u);
}
