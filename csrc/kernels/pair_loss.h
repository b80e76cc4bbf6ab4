/* pair_loss.h: what the losses share that compare an input x and a target t of the same shape, element by element.
 *
 * A loss states two formulas, loss(x, t, p) and slope(x, t, p) = dloss/dx, and passes them as constants to the loops
 * below, where the compiler inlines them. p is the loss's parameter (beta, delta), the same for all elements or, where
 * `each` is not NULL, one for each.
 */
#ifndef CNN_PAIR_LOSS_H
#define CNN_PAIR_LOSS_H

#include "../threads.h"
#include "kernels.h"
#include "partial_sums.h"

enum { PAIR_GRAIN = 1 << 15, PAIR_BLOCK = 512 };

typedef real (*pair_formula)(real x, real t, real p);

typedef struct {
    const real *x, *t, *each, *dy;
    real p, scale;
    ptrdiff_t dy_step;
    real *out;
    double *totals; /* one per chunk */
    ptrdiff_t n, chunks;
} pair_context;

/* out[i] = loss(x[i], t[i], p), where out is wanted, and the sum of the losses into totals[chunk]. The sum runs in
 * double over short blocks summed in `real`: as exact as the data, and a vector loop. */
static inline __attribute__((always_inline)) void pair_loss_chunk(void *context, ptrdiff_t chunk, pair_formula loss)
{
    const pair_context *c = context;
    ptrdiff_t begin, end;
    double total = 0;
    chunk_bounds(c->n, c->chunks, chunk, &begin, &end);
    for (ptrdiff_t block = begin; block < end; block += PAIR_BLOCK) {
        ptrdiff_t last = block + PAIR_BLOCK < end ? block + PAIR_BLOCK : end;
        real values[PAIR_BLOCK], sum = 0;
        real *restrict out = c->out != NULL ? c->out + block : values;
        const real *restrict x = c->x + block, *restrict t = c->t + block;
        if (c->each != NULL) {
            const real *restrict each = c->each + block;
            for (ptrdiff_t i = 0; i < last - block; i++) {
                out[i] = loss(x[i], t[i], each[i]);
            }
        } else {
            for (ptrdiff_t i = 0; i < last - block; i++) {
                out[i] = loss(x[i], t[i], c->p);
            }
        }
#pragma omp simd reduction(+ : sum)
        for (ptrdiff_t i = 0; i < last - block; i++) {
            sum += out[i];
        }
        total += sum;
    }
    c->totals[chunk] = total;
}

/* out[i] = slope(x[i], t[i], p) * dy[i * dy_step] * scale */
static inline __attribute__((always_inline)) void pair_slope_chunk(void *context, ptrdiff_t chunk, pair_formula slope)
{
    const pair_context *c = context;
    ptrdiff_t begin, end;
    chunk_bounds(c->n, c->chunks, chunk, &begin, &end);
    const real *restrict x = c->x, *restrict t = c->t, *restrict dy = c->dy;
    real *restrict out = c->out;
    if (c->each != NULL) {
        for (ptrdiff_t i = begin; i < end; i++) {
            out[i] = slope(x[i], t[i], c->each[i]) * (dy[i * c->dy_step] * c->scale);
        }
    } else if (c->dy_step == 0) {
        real g = dy[0] * c->scale;
        for (ptrdiff_t i = begin; i < end; i++) {
            out[i] = slope(x[i], t[i], c->p) * g;
        }
    } else {
        for (ptrdiff_t i = begin; i < end; i++) {
            out[i] = slope(x[i], t[i], c->p) * (dy[i] * c->scale);
        }
    }
}

/* The kernels: chunk() calls pair_loss_chunk or pair_slope_chunk with the loss's formula. Sums are added up in order.
 */
static inline double pair_loss_run(void (*chunk)(void *, ptrdiff_t), const real *x, const real *t, const real *each,
                                   double p, real *losses, ptrdiff_t n)
{
    double totals[256] = {0};
    pair_context c = {.x = x, .t = t, .each = each, .p = (real)p, .out = losses, .totals = totals, .n = n};
    c.chunks = chunks_of(n, PAIR_GRAIN);
    parallel_for(c.chunks, chunk, &c);
    return plus_parts(0, totals, c.chunks, 1);
}

static inline void pair_slope_run(void (*chunk)(void *, ptrdiff_t), const real *dy, ptrdiff_t dy_step, const real *x,
                                  const real *t, const real *each, double p, real *dx, ptrdiff_t n, double scale)
{
    pair_context c = {.x = x, .t = t, .each = each, .dy = dy, .p = (real)p, .scale = (real)scale, .dy_step = dy_step};
    c.out = dx;
    c.n = n;
    c.chunks = chunks_of(n, PAIR_GRAIN);
    parallel_for(c.chunks, chunk, &c);
}

#endif
