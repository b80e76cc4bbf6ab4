/* kernels.h: every kernel, once. The list below gives the declarations and the table of functions.
 *
 * Arguments: inputs, outputs, saved values, sizes. A gradient is `d` and the name it belongs to.
 * Memory is valid and contiguous unless the kernel says otherwise; a kernel cannot fail.
 */
#ifndef CNN_KERNELS_H
#define CNN_KERNELS_H

#include "real.h"

#define KERNELS(K)                                                                                                     \
    K(relu_forward, (const real *x, real *y, ptrdiff_t n))                                                             \
    K(relu_backward, (const real *dy, const real *y, real *dx, ptrdiff_t n))

struct kernels {
#define K(name, arguments) void(*name) arguments;
    KERNELS(K)
#undef K
};

#ifdef CNN_VARIANT
#define K(name, arguments) void FN(name) arguments;
KERNELS(K)
#undef K
#endif

#endif
