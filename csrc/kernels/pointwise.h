/* pointwise.h: what all element-by-element kernels share: cut n values into chunks and hand them to the threads.
 *
 * A kernel file states its loop once, for a range of the values:
 *
 *     static void forward(const pointwise *c, ptrdiff_t begin, ptrdiff_t end)
 *     {
 *         for (ptrdiff_t i = begin; i < end; i++) {
 *             c->out[i] = f(c->a[i]);
 *         }
 *     }
 *
 * and runs it with pointwise_run(&(pointwise){.range = forward, .a = x, .out = y, .n = n}). Memory order does not
 * matter as long as it is the same for all arrays. `out` may be `a` or `b`.
 */
#ifndef CNN_POINTWISE_H
#define CNN_POINTWISE_H

#include "../threads.h"
#include "kernels.h"

/* 32768 floats in, 32768 out: what one core moves in some 20 us, well above the cost of handing out a chunk. */
enum { POINTWISE_GRAIN = 1 << 15 };

typedef struct pointwise {
    void (*range)(const struct pointwise *c, ptrdiff_t begin, ptrdiff_t end);
    const real *a, *b;
    real *out;
    double scalar[3];
    ptrdiff_t n, chunks;
} pointwise;

static inline void pointwise_chunk(void *context, ptrdiff_t chunk)
{
    const pointwise *c = context;
    ptrdiff_t begin, end;
    chunk_bounds(c->n, c->chunks, chunk, &begin, &end);
    c->range(c, begin, end);
}

static inline void pointwise_run(pointwise *c)
{
    c->chunks = chunks_of(c->n, POINTWISE_GRAIN);
    parallel_for(c->chunks, pointwise_chunk, c);
}

#endif
