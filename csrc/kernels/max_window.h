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

/* The largest of a window of 2x2, and its position; a, b above c, d, a at position `first`. */
static inline real largest_of_2x2(real a, real b, real c, real d, int32_t first, int32_t W, int32_t *argmax)
{
    int32_t where = first;
    int wins = (b > a) | (b != b);
    a = wins ? b : a;
    where = wins ? first + 1 : where;
    wins = (c > a) | (c != c);
    a = wins ? c : a;
    where = wins ? first + W : where;
    wins = (d > a) | (d != d);
    *argmax = wins ? first + W + 1 : where;
    return wins ? d : a;
}

/* n windows of 2x2 side by side, in two rows of a plane. The first is at `position` of a plane W wide. argmax may be
 * NULL. */
static inline void pairs_of_planes(const real *restrict top, const real *restrict below, int32_t position, int32_t W,
                                   real *restrict y, int32_t *restrict argmax, ptrdiff_t n)
{
    int32_t where;
    if (argmax == NULL) {
        for (ptrdiff_t j = 0; j < n; j++) {
            y[j] = largest_of_2x2(top[2 * j], top[2 * j + 1], below[2 * j], below[2 * j + 1], 0, W, &where);
        }
        return;
    }
    for (ptrdiff_t j = 0; j < n; j++) {
        y[j] = largest_of_2x2(top[2 * j], top[2 * j + 1], below[2 * j], below[2 * j + 1], position + 2 * (int32_t)j, W,
                              &where);
        argmax[j] = where;
    }
}

/* The same where C channels lie side by side, pixels `pixel` apart. */
static inline void pairs_of_channels(const real *top, const real *below, ptrdiff_t pixel, int32_t position, int32_t W,
                                     real *y, int32_t *argmax, ptrdiff_t n, ptrdiff_t C)
{
    for (ptrdiff_t j = 0; j < n; j++, top += 2 * pixel, below += 2 * pixel, y += C) {
        const real *restrict a = top, *restrict b = top + pixel, *restrict c = below, *restrict d = below + pixel;
        real *restrict largest = y;
        int32_t where;
        if (argmax == NULL) {
            for (ptrdiff_t k = 0; k < C; k++) {
                largest[k] = largest_of_2x2(a[k], b[k], c[k], d[k], 0, W, &where);
            }
            continue;
        }
        int32_t *restrict at = argmax + j * C;
        for (ptrdiff_t k = 0; k < C; k++) {
            largest[k] = largest_of_2x2(a[k], b[k], c[k], d[k], position + 2 * (int32_t)j, W, &where);
            at[k] = where;
        }
    }
}

#endif
