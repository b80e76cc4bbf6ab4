/* adaptive_max_pool2d: the largest value of each of OH x OW windows that together cover the input, and where it was.
 *
 *   R(i) = floor(i H / OH) .. ceil((i+1) H / OH) - 1, and likewise for the columns
 *   forward    y[n,c,i,j] = max of x[n,c,h,w] over h in R(i), w in R(j)
 *   backward   dx[n,c, argmax[n,c,i,j]] += dy[n,c,i,j]
 *
 *   x, dx (N,C,H,W)    y, dy, argmax (N,C,OH,OW)    in one of the two memory orders of pool2d.h
 *
 * argmax is h*W + w. Ties, NaN and windows of -inf as in max_pool2d. What lies outside of the plane has no gradient.
 */
#include <math.h>
#include <string.h>

#include "../threads.h"
#include "kernels.h"
#include "max_window.h"
#include "window.h"

typedef struct {
    const pool2d *sizes;
    const real *in; /* x, or dy */
    real *out;      /* y, or dx */
    int32_t *argmax;
    ptrdiff_t chunks;
} adaptive_context;

/* Planes: one window of the plane x, whose answer stays in registers. */
static void window_of_plane(const real *x, ptrdiff_t W, ptrdiff_t top, ptrdiff_t bottom, ptrdiff_t left,
                            ptrdiff_t right, real *y, int32_t *argmax)
{
    real best = -INFINITY;
    ptrdiff_t position = top * W + left;
    for (ptrdiff_t h = top; h < bottom; h++) {
        for (ptrdiff_t w = left; w < right; w++) {
            real value = x[h * W + w];
            /* The first test is true for a larger value and wherever a NaN takes part: one comparison for most. */
            if (!(value <= best) && (value > best || value != value)) {
                best = value;
                position = h * W + w;
            }
        }
    }
    *y = best;
    *argmax = (int32_t)position;
}

/* Channels last: one window, all channels of a pixel at once. */
static void window_of_channels(const real *x, ptrdiff_t W, ptrdiff_t C, ptrdiff_t top, ptrdiff_t bottom, ptrdiff_t left,
                               ptrdiff_t right, real *y, int32_t *argmax)
{
    for (ptrdiff_t c = 0; c < C; c++) {
        y[c] = -INFINITY;
        argmax[c] = (int32_t)(top * W + left);
    }
    for (ptrdiff_t h = top; h < bottom; h++) {
        for (ptrdiff_t w = left; w < right; w++) {
            ptrdiff_t position = h * W + w;
            offer(x + position * C, (int32_t)position, 0, y, argmax, C);
        }
    }
}

/* The rows y[i,:] and argmax[i,:] of the output. */
static void forward_row(const pool2d *s, const real *x, ptrdiff_t i, real *y, int32_t *argmax)
{
    ptrdiff_t top, bottom, left, right, C = s->inner;
    adaptive_range(i, s->H, s->OH, &top, &bottom);
    for (ptrdiff_t j = 0; j < s->OW; j++, y += C, argmax += C) {
        adaptive_range(j, s->W, s->OW, &left, &right);
        if (C == 1) {
            window_of_plane(x, s->W, top, bottom, left, right, y, argmax);
        } else {
            window_of_channels(x, s->W, C, top, bottom, left, right, y, argmax);
        }
    }
}

static void forward_chunk(void *context, ptrdiff_t chunk)
{
    const adaptive_context *c = context;
    const pool2d *s = c->sizes;
    ptrdiff_t begin, end, row = s->OW * s->inner;
    chunk_bounds(s->outer * s->OH, c->chunks, chunk, &begin, &end);
    for (ptrdiff_t r = begin; r < end; r++) {
        const real *image = c->in + r / s->OH * (s->H * s->W * s->inner);
        forward_row(s, image, r % s->OH, c->out + r * row, c->argmax + r * row);
    }
}

void FN(adaptive_max_pool2d_forward)(const real *x, real *y, int32_t *argmax, const pool2d *s)
{
    adaptive_context c = {.sizes = s, .in = x, .out = y, .argmax = argmax};
    c.chunks = chunks_of(s->outer * s->OH, pool_rows_a_chunk(s->W, s->inner, s->H / s->OH + 1));
    parallel_for(c.chunks, forward_chunk, &c);
}

static void backward_chunk(void *context, ptrdiff_t chunk)
{
    const adaptive_context *c = context;
    const pool2d *s = c->sizes;
    ptrdiff_t begin, end, inputs = s->H * s->W * s->inner, outputs = s->OH * s->OW * s->inner;
    size_t plane = (size_t)(s->H * s->W);
    chunk_bounds(s->outer, c->chunks, chunk, &begin, &end);
    memset(c->out + begin * inputs, 0, (size_t)((end - begin) * inputs) * sizeof *c->out);
    for (ptrdiff_t n = begin; n < end; n++) {
        const real *dy = c->in + n * outputs;
        const int32_t *argmax = c->argmax + n * outputs;
        real *dx = c->out + n * inputs;
        for (ptrdiff_t o = 0; o < outputs; o += s->inner) {
            for (ptrdiff_t k = 0; k < s->inner; k++) {
                if ((uint32_t)argmax[o + k] < plane) {
                    dx[argmax[o + k] * s->inner + k] += dy[o + k];
                }
            }
        }
    }
}

void FN(adaptive_max_pool2d_backward)(const real *dy, real *dx, const int32_t *argmax, const pool2d *s)
{
    adaptive_context c = {.sizes = s, .in = dy, .out = dx, .argmax = (int32_t *)argmax};
    c.chunks = chunks_of(s->outer, pool_rows_a_chunk(s->H * s->W, s->inner, 1));
    parallel_for(c.chunks, backward_chunk, &c);
}
