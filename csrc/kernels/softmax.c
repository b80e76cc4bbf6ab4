/* softmax: positive numbers that sum to one, along one dimension.
 *
 *   forward    y[d] = e^(x[d] - m) / s      m = max over d of x[d],  s = sum over d of e^(x[d] - m)
 *   backward   dx[d] = y[d] (dy[d] - sum over e of dy[e] y[e])
 *
 *   x, y, dx, dy  (outer, D, inner), d along D
 *
 * Subtracting the maximum changes nothing but keeps e^x from overflowing. A vector of -inf gives NaN, as in torch.
 */
#include "softmax.h"
#include "kernels.h"

typedef struct {
    softmax_shape shape;
    const real *x, *y, *dy;
    real *out;
    ptrdiff_t chunks;
} softmax_context;

static void forward_row(const real *x, real *y, ptrdiff_t D)
{
    real scale = 1 / exp_and_sum(x, max_of(x, D), y, D);
    for (ptrdiff_t d = 0; d < D; d++) {
        y[d] *= scale;
    }
}

static void forward_columns(const real *restrict x, real *restrict y, ptrdiff_t D, ptrdiff_t stride, ptrdiff_t n)
{
    real m[SOFTMAX_BLOCK], sum[SOFTMAX_BLOCK] = {0};
    max_of_columns(x, D, stride, m, n);
    for (ptrdiff_t d = 0; d < D; d++) {
        for (ptrdiff_t k = 0; k < n; k++) {
            real e = vexp(x[d * stride + k] - m[k]);
            y[d * stride + k] = e;
            sum[k] += e;
        }
    }
    for (ptrdiff_t d = 0; d < D; d++) {
        for (ptrdiff_t k = 0; k < n; k++) {
            y[d * stride + k] /= sum[k];
        }
    }
}

static void forward_chunk(void *context, ptrdiff_t chunk)
{
    const softmax_context *c = context;
    ptrdiff_t begin, end, n;
    chunk_bounds(c->shape.outer * c->shape.blocks, c->chunks, chunk, &begin, &end);
    for (ptrdiff_t u = begin; u < end; u++) {
        ptrdiff_t at = softmax_unit(&c->shape, u, &n);
        if (c->shape.inner == 1) {
            forward_row(c->x + at, c->out + at, c->shape.D);
        } else {
            forward_columns(c->x + at, c->out + at, c->shape.D, c->shape.inner, n);
        }
    }
}

void FN(softmax_forward)(const real *x, real *y, ptrdiff_t outer, ptrdiff_t D, ptrdiff_t inner)
{
    softmax_context c = {.shape = softmax_shape_of(outer, D, inner), .x = x, .out = y};
    c.chunks = softmax_chunks(&c.shape);
    parallel_for(c.chunks, forward_chunk, &c);
}

static void backward_row(const real *restrict dy, const real *restrict y, real *restrict dx, ptrdiff_t D)
{
    real dot = 0;
#pragma omp simd reduction(+ : dot)
    for (ptrdiff_t d = 0; d < D; d++) {
        dot += dy[d] * y[d];
    }
    for (ptrdiff_t d = 0; d < D; d++) {
        dx[d] = y[d] * (dy[d] - dot);
    }
}

static void backward_columns(const real *restrict dy, const real *restrict y, real *restrict dx, ptrdiff_t D,
                             ptrdiff_t stride, ptrdiff_t n)
{
    real dot[SOFTMAX_BLOCK] = {0};
    for (ptrdiff_t d = 0; d < D; d++) {
        for (ptrdiff_t k = 0; k < n; k++) {
            dot[k] += dy[d * stride + k] * y[d * stride + k];
        }
    }
    for (ptrdiff_t d = 0; d < D; d++) {
        for (ptrdiff_t k = 0; k < n; k++) {
            dx[d * stride + k] = y[d * stride + k] * (dy[d * stride + k] - dot[k]);
        }
    }
}

static void backward_chunk(void *context, ptrdiff_t chunk)
{
    const softmax_context *c = context;
    ptrdiff_t begin, end, n;
    chunk_bounds(c->shape.outer * c->shape.blocks, c->chunks, chunk, &begin, &end);
    for (ptrdiff_t u = begin; u < end; u++) {
        ptrdiff_t at = softmax_unit(&c->shape, u, &n);
        if (c->shape.inner == 1) {
            backward_row(c->dy + at, c->y + at, c->out + at, c->shape.D);
        } else {
            backward_columns(c->dy + at, c->y + at, c->out + at, c->shape.D, c->shape.inner, n);
        }
    }
}

void FN(softmax_backward)(const real *dy, const real *y, real *dx, ptrdiff_t outer, ptrdiff_t D, ptrdiff_t inner)
{
    softmax_context c = {.shape = softmax_shape_of(outer, D, inner), .y = y, .dy = dy, .out = dx};
    c.chunks = softmax_chunks(&c.shape);
    parallel_for(c.chunks, backward_chunk, &c);
}
