/* log_softmax: the logarithm of softmax, without ever forming the softmax.
 *
 *   forward    y[d] = x[d] - m - log s      m = max over d of x[d],  s = sum over d of e^(x[d] - m)
 *   backward   dx[d] = dy[d] - e^y[d] sum over e of dy[e]
 *
 *   x, y, dx, dy  (outer, D, inner), d along D
 *
 * log(softmax(x)) would be log 0 where one x is some 100 smaller than the largest; here huge logits stay finite.
 */
#include "kernels.h"
#include "softmax.h"

typedef struct {
    softmax_shape shape;
    const real *x, *y, *dy;
    real *out;
    ptrdiff_t chunks;
} log_softmax_context;

static void forward_row(const real *restrict x, real *restrict y, ptrdiff_t D)
{
    real m = max_of(x, D), log_sum = vlog(sum_exp(x, m, D));
    for (ptrdiff_t d = 0; d < D; d++) {
        y[d] = x[d] - m - log_sum;
    }
}

static void forward_columns(const real *restrict x, real *restrict y, ptrdiff_t D, ptrdiff_t stride, ptrdiff_t n)
{
    real m[SOFTMAX_BLOCK], sum[SOFTMAX_BLOCK] = {0};
    max_of_columns(x, D, stride, m, n);
    for (ptrdiff_t d = 0; d < D; d++) {
        for (ptrdiff_t k = 0; k < n; k++) {
            sum[k] += vexp(x[d * stride + k] - m[k]);
        }
    }
    for (ptrdiff_t k = 0; k < n; k++) {
        sum[k] = vlog(sum[k]);
    }
    for (ptrdiff_t d = 0; d < D; d++) {
        for (ptrdiff_t k = 0; k < n; k++) {
            y[d * stride + k] = x[d * stride + k] - m[k] - sum[k];
        }
    }
}

static void forward_chunk(void *context, ptrdiff_t chunk)
{
    const log_softmax_context *c = context;
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

void FN(log_softmax_forward)(const real *x, real *y, ptrdiff_t outer, ptrdiff_t D, ptrdiff_t inner)
{
    log_softmax_context c = {.shape = softmax_shape_of(outer, D, inner), .x = x, .out = y};
    c.chunks = softmax_chunks(&c.shape);
    parallel_for(c.chunks, forward_chunk, &c);
}

static void backward_row(const real *restrict dy, const real *restrict y, real *restrict dx, ptrdiff_t D)
{
    real sum = 0;
#pragma omp simd reduction(+ : sum)
    for (ptrdiff_t d = 0; d < D; d++) {
        sum += dy[d];
    }
    for (ptrdiff_t d = 0; d < D; d++) {
        dx[d] = dy[d] - vexp(y[d]) * sum;
    }
}

static void backward_columns(const real *restrict dy, const real *restrict y, real *restrict dx, ptrdiff_t D,
                             ptrdiff_t stride, ptrdiff_t n)
{
    real sum[SOFTMAX_BLOCK] = {0};
    for (ptrdiff_t d = 0; d < D; d++) {
        for (ptrdiff_t k = 0; k < n; k++) {
            sum[k] += dy[d * stride + k];
        }
    }
    for (ptrdiff_t d = 0; d < D; d++) {
        for (ptrdiff_t k = 0; k < n; k++) {
            dx[d * stride + k] = dy[d * stride + k] - vexp(y[d * stride + k]) * sum[k];
        }
    }
}

static void backward_chunk(void *context, ptrdiff_t chunk)
{
    const log_softmax_context *c = context;
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

void FN(log_softmax_backward)(const real *dy, const real *y, real *dx, ptrdiff_t outer, ptrdiff_t D, ptrdiff_t inner)
{
    log_softmax_context c = {.shape = softmax_shape_of(outer, D, inner), .y = y, .dy = dy, .out = dx};
    c.chunks = softmax_chunks(&c.shape);
    parallel_for(c.chunks, backward_chunk, &c);
}
