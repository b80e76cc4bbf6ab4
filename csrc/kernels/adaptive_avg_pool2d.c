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

/* The row y[i,:] of the output. */
static void forward_row(const pool2d *s, const real *x, ptrdiff_t i, real *y)
{
    ptrdiff_t top, bottom, left, right, C = s->inner;
    adaptive_range(i, s->H, s->OH, &top, &bottom);
    for (ptrdiff_t j = 0; j < s->OW; j++) {
        real *restrict out = y + j * C;
        adaptive_range(j, s->W, s->OW, &left, &right);
        memset(out, 0, (size_t)C * sizeof *out);
        for (ptrdiff_t h = top; h < bottom; h++) {
            const real *restrict in = x + (h * s->W + left) * C;
            if (C == 1) {
                out[0] += sum_of(in, right - left);
                continue;
            }
            for (ptrdiff_t w = left; w < right; w++, in += C) {
                for (ptrdiff_t c = 0; c < C; c++) {
                    out[c] += in[c];
                }
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

/* The row dx[h,:] of the gradient: each window of each row of windows over it gives its share. */
static void backward_row(const pool2d *s, const real *dy, ptrdiff_t h, real *share, real *dx)
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
    ptrdiff_t begin, end;
    real *share = scratch((size_t)s->inner * sizeof *share);
    if (share == NULL) {
        kernel_abort(KERNEL_NO_MEMORY);
        return;
    }
    chunk_bounds(s->outer * s->H, c->chunks, chunk, &begin, &end);
    for (ptrdiff_t r = begin; r < end; r++) {
        const real *dy = c->in + r / s->H * (s->OH * s->OW * s->inner);
        backward_row(s, dy, r % s->H, share, c->out + r * s->W * s->inner);
    }
}

void FN(adaptive_avg_pool2d_backward)(const real *dy, real *dx, const pool2d *s)
{
    adaptive_context c = {.sizes = s, .in = dy, .out = dx};
    c.chunks = chunks_of(s->outer * s->H, pool_rows_a_chunk(s->W, s->inner, s->OH / s->H + 1));
    parallel_for(c.chunks, backward_chunk, &c);
}
