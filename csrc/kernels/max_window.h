/* max_window.h: how max_pool2d and adaptive_max_pool2d keep the largest value of a window and its position. */
#ifndef CNN_MAX_WINDOW_H
#define CNN_MAX_WINDOW_H

#include "real.h"

/* Offer one value each to n windows: best[k] against x[k], which sits at index + k*step of its plane. Counted without a
 * sign, because behind the last window (where -inf never wins) that may be more than an int32_t holds. */
static inline void offer(const real *restrict x, int32_t index, int32_t step, real *restrict best,
                         int32_t *restrict argmax, ptrdiff_t n)
{
    for (ptrdiff_t k = 0; k < n; k++) {
        int wins = (x[k] > best[k]) | (x[k] != x[k]); /* larger, or NaN */
        best[k] = wins ? x[k] : best[k];
        argmax[k] = wins ? (int32_t)((uint32_t)index + (uint32_t)k * (uint32_t)step) : argmax[k];
    }
}

#endif
