/* pool2d.h: the sizes that the pooling layers share.
 *
 * The input lies in memory as (outer, H, W, inner), the output as (outer, OH, OW, inner):
 *
 *     planes          (N,C,H,W)    outer = N*C    inner = 1
 *     channels last   (N,H,W,C)    outer = N      inner = C
 */
#ifndef CNN_POOL2D_H
#define CNN_POOL2D_H

#include <stddef.h>

typedef struct pool2d {
    ptrdiff_t outer, H, W, inner, OH, OW;
    ptrdiff_t KH, KW, SH, SW, PH, PW, DH, DW; /* kernel, stride, padding, dilation */
} pool2d;

/* A chunk looks at about this many values. */
enum { POOL_GRAIN = 1 << 16 };

/* How many rows of `columns` pixels to give to one chunk, when each pixel has `window` values to look at. */
static inline ptrdiff_t pool_rows_a_chunk(ptrdiff_t columns, ptrdiff_t inner, ptrdiff_t window)
{
    return POOL_GRAIN / (columns * inner * window + 1) + 1;
}

/* The values inside one window, at most. */
static inline ptrdiff_t pool_window(const pool2d *s)
{
    return (s->KH < s->H ? s->KH : s->H) * (s->KW < s->W ? s->KW : s->W);
}

#endif
