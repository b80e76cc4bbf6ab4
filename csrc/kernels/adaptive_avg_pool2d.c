/* adaptive_avg_pool2d: the mean of each of OH x OW windows that together cover the input.
 *
 *   R(i) = floor(i H / OH) .. ceil((i+1) H / OH) - 1, and likewise for the columns
 *   forward    y[n,c,i,j] = mean of x[n,c,h,w] over h in R(i), w in R(j)
 *   backward   dx[n,c,h,w] = sum over the windows (i,j) that cover (h,w) of dy[n,c,i,j] / |R(i)| |R(j)|
 *
 *   x, dx (N,C,H,W)    y, dy (N,C,OH,OW)    in one of the two memory orders of pool2d.h
 */
#include <string.h>

#include "../memory.h"
#include "../threads.h"
#include "kernels.h"
#include "window.h"

typedef struct {
    const pool2d *sizes;
    const real *in; /* x, or dy */
    real *out;      /* y, or dx */
    ptrdiff_t chunks;
} adaptive_context;

static real sum_of(const real *x, ptrdiff_t n)
{
    real sum = 0;
#pragma omp simd reduction(+ : sum)
    for (ptrdiff_t k = 0; k < n; k++) {
        sum += x[k];
    }
    return sum;
}

/* sums[c] += the sum over n pixels of C channels. Four pixels at a time, so that an addition need not wait for the one
 * before to reach memory. */
static void add_pixels(const real *restrict x, ptrdiff_t n, ptrdiff_t C, real *restrict sums)
{
    for (; n >= 4; n -= 4, x += 4 * C) {
        for (ptrdiff_t c = 0; c < C; c++) {
            sums[c] += (x[c] + x[C + c]) + (x[2 * C + c] + x[3 * C + c]);
        }
    }
    for (; n > 0; n--, x += C) {
        for (ptrdiff_t c = 0; c < C; c++) {
            sums[c] += x[c];
        }
    }
}

/* The row y[i,:] of the output. */
static void forward_row(const pool2d *s, const real *x, ptrdiff_t i, real *y)
{
    ptrdiff_t top, bottom, left, right, C = s->inner;
    adaptive_range(i, s->H, s->OH, &top, &bottom);
    for (ptrdiff_t j = 0; j < s->OW; j++) {
        real *restrict out = y + j * C;
        adaptive_range(j, s->W, s->OW, &left, &right);
        memset(out, 0, (size_t)C * sizeof *out);
        /* whole rows lie one after the other in memory */
        ptrdiff_t rows = right - left == s->W ? bottom - top : 1, length = rows * (right - left);
        for (ptrdiff_t h = top; h < bottom; h += rows) {
            const real *in = x + (h * s->W + left) * C;
            if (C == 1) {
                out[0] += sum_of(in, length);
            } else {
                add_pixels(in, length, C, out);
            }
        }
        real count = (real)((bottom - top) * (right - left));
        for (ptrdiff_t c = 0; c < C; c++) {
            out[c] /= count;
        }
    }
}

static void forward_chunk(void *context, ptrdiff_t chunk)
{
    const adaptive_context *c = context;
    const pool2d *s = c->sizes;
    ptrdiff_t begin, end;
    chunk_bounds(s->outer * s->OH, c->chunks, chunk, &begin, &end);
    for (ptrdiff_t r = begin; r < end; r++) {
        const real *image = c->in + r / s->OH * (s->H * s->W * s->inner);
        forward_row(s, image, r % s->OH, c->out + r * s->OW * s->inner);
    }
}

void FN(adaptive_avg_pool2d_forward)(const real *x, real *y, const pool2d *s)
{
    adaptive_context c = {.sizes = s, .in = x, .out = y};
    c.chunks = chunks_of(s->outer * s->OH, pool_rows_a_chunk(s->W, s->inner, s->H / s->OH + 1));
    parallel_for(c.chunks, forward_chunk, &c);
}

/* Planes: each window gives its share to its inputs. */
static void backward_plane(const pool2d *s, const real *dy, real *dx)
{
    ptrdiff_t top, bottom, left, right;
    memset(dx, 0, (size_t)(s->H * s->W) * sizeof *dx);
    for (ptrdiff_t i = 0; i < s->OH; i++) {
        adaptive_range(i, s->H, s->OH, &top, &bottom);
        for (ptrdiff_t j = 0; j < s->OW; j++) {
            adaptive_range(j, s->W, s->OW, &left, &right);
            real share = dy[i * s->OW + j] / (real)((bottom - top) * (right - left));
            for (ptrdiff_t h = top; h < bottom; h++) {
                for (ptrdiff_t w = left; w < right; w++) {
                    dx[h * s->W + w] += share;
                }
            }
        }
    }
}

/* Channels last: the row dx[h,:] of the gradient, from all windows over it. `share` has room for C values. */
static void backward_row(const pool2d *s, const real *dy, ptrdiff_t h, real *restrict share, real *dx)
{
    ptrdiff_t first, last, top, bottom, left, right, C = s->inner;
    memset(dx, 0, (size_t)(s->W * C) * sizeof *dx);
    adaptive_range(h, s->OH, s->H, &first, &last);
    for (ptrdiff_t i = first; i < last; i++) {
        adaptive_range(i, s->H, s->OH, &top, &bottom);
        for (ptrdiff_t j = 0; j < s->OW; j++) {
            adaptive_range(j, s->W, s->OW, &left, &right);
            real count = (real)((bottom - top) * (right - left));
            for (ptrdiff_t c = 0; c < C; c++) {
                share[c] = dy[(i * s->OW + j) * C + c] / count;
            }
            for (ptrdiff_t w = left; w < right; w++) {
                real *restrict pixel = dx + w * C;
                for (ptrdiff_t c = 0; c < C; c++) {
                    pixel[c] += share[c];
                }
            }
        }
    }
}

static void backward_chunk(void *context, ptrdiff_t chunk)
{
    const adaptive_context *c = context;
    const pool2d *s = c->sizes;
    ptrdiff_t begin, end, inputs = s->H * s->W, outputs = s->OH * s->OW;
    if (s->inner == 1) {
        chunk_bounds(s->outer, c->chunks, chunk, &begin, &end);
        for (ptrdiff_t o = begin; o < end; o++) {
            backward_plane(s, c->in + o * outputs, c->out + o * inputs);
        }
        return;
    }
    real *share = scratch((size_t)s->inner * sizeof *share);
    if (share == NULL) {
        kernel_abort(KERNEL_NO_MEMORY);
        return;
    }
    chunk_bounds(s->outer * s->H, c->chunks, chunk, &begin, &end);
    for (ptrdiff_t r = begin; r < end; r++) {
        const real *dy = c->in + r / s->H * (outputs * s->inner);
        backward_row(s, dy, r % s->H, share, c->out + r * s->W * s->inner);
    }
}

void FN(adaptive_avg_pool2d_backward)(const real *dy, real *dx, const pool2d *s)
{
    adaptive_context c = {.sizes = s, .in = dy, .out = dx};
    ptrdiff_t grain = pool_rows_a_chunk(s->W, s->inner, s->OH / s->H + 1);
    c.chunks = s->inner == 1 ? chunks_of(s->outer, grain / s->H) : chunks_of(s->outer * s->H, grain);
    parallel_for(c.chunks, backward_chunk, &c);
}
