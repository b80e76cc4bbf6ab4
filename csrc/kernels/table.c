/* table.c: gathers one variant's kernels in structs, for dispatch.c to choose from: with the engine, and without. */
#include "kernels.h"

extern const struct kernels FN(kernels), FN(plain_kernels);

#define K(name, arguments) .name = FN(name),
#define R(type, name, arguments) K(name, arguments)
#define PLAIN(name, arguments) .name = FN(plain_##name),
#define PLAIN_R(type, name, arguments) PLAIN(name, arguments)

const struct kernels FN(kernels) = {KERNELS(K, R)};

const struct kernels FN(plain_kernels) = {KERNELS_OF_ENGINE(PLAIN, PLAIN_R) KERNELS_ALONE(K, R)};
