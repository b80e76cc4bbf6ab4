/* fma_peak: (rounds) -> operations. For benchmarks: see csrc/engine/fma_peak.c. */
#include "binding.h"

PyObject *py_fma_peak(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    ptrdiff_t rounds;
    float out[THREADS_MAX];
    if (check_nargs("fma_peak", nargs, 1) < 0 || parse_size(args[0], "fma_peak", "rounds", 1, 1L << 40, &rounds) < 0) {
        return NULL;
    }
    PyThreadState *state = kernel_enter(1e9);
    double operations = kernels_for(REAL_F32)->fma_peak(rounds, out, threads_get());
    if (kernel_leave(state) < 0) {
        return NULL;
    }
    return PyFloat_FromDouble(operations);
}
