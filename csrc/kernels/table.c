/* table.c: gathers one variant's kernels in one struct, for dispatch.c to choose from. */
#include "kernels.h"

extern const struct kernels FN(kernels);

const struct kernels FN(kernels) = {
#define K(name, arguments) .name = FN(name),
    KERNELS(K)
#undef K
};
