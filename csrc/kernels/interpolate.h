/* interpolate.h: how an output value is made from its neighbours along one axis. */
#ifndef CNN_INTERPOLATE_H
#define CNN_INTERPOLATE_H

#include <stddef.h>
#include <stdint.h>

/* Output position i takes source[i*taps + k] with weight[i*taps + k], k < taps: one neighbour for nearest, two for
 * linear, four for cubic. `in` values along the axis become `out`; every source lies in 0..in-1. */
typedef struct {
    ptrdiff_t in, out;
    const int64_t *source;
    const double *weight;
} interpolate_axis;

#endif
