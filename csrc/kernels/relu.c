/* relu: y = max(x, 0), element by element.
 *
 *   forward    y[i]  = x[i] > 0 ? x[i] : 0
 *   backward   dx[i] = y[i] > 0 ? dy[i] : 0
 *
 *   x, y, dx, dy: n values, in any memory order as long as it is the same for all. y may be x, dx may be dy.
 *
 * Backward needs only y, so that the layer can work in place. NaN stays NaN, and its gradient passes, as in torch.
 */
#include "../threads.h"
#include "kernels.h"

enum { GRAIN = 1 << 15 };

typedef struct {
    const real *dy, *in;
    real *out;
    ptrdiff_t n, chunks;
} relu_context;

static void forward_chunk(void *context, ptrdiff_t chunk)
{
    const relu_context *c = context;
    ptrdiff_t begin, end;
    chunk_bounds(c->n, c->chunks, chunk, &begin, &end);
    for (ptrdiff_t i = begin; i < end; i++) {
        c->out[i] = c->in[i] <= 0 ? 0 : c->in[i];
    }
}

void FN(relu_forward)(const real *x, real *y, ptrdiff_t n)
{
    relu_context c = {.in = x, .out = y, .n = n, .chunks = chunks_of(n, GRAIN)};
    parallel_for(c.chunks, forward_chunk, &c);
}

static void backward_chunk(void *context, ptrdiff_t chunk)
{
    const relu_context *c = context;
    ptrdiff_t begin, end;
    chunk_bounds(c->n, c->chunks, chunk, &begin, &end);
    for (ptrdiff_t i = begin; i < end; i++) {
        real dy = c->dy[i]; /* read in any case: with a branch around it the loop would not be vectorised */
        c->out[i] = c->in[i] <= 0 ? 0 : dy;
    }
}

void FN(relu_backward)(const real *dy, const real *y, real *dx, ptrdiff_t n)
{
    relu_context c = {.dy = dy, .in = y, .out = dx, .n = n, .chunks = chunks_of(n, GRAIN)};
    parallel_for(c.chunks, backward_chunk, &c);
}
