/* prelu: leaky_relu whose slope is learnt, one for each channel or one for all (He et al. 2015).
 *
 *   forward    y[r,c,i]  = x > 0 ? x : w[c] x,                   x = x[r,c,i]
 *   backward   dx[r,c,i] = x > 0 ? dy : w[c] dy
 *              dw[c]     = sum over r, i of x > 0 ? 0 : x dy
 *
 *   x, y, dx, dy (rows, channels, size)    w, dw (channels)
 *
 * Images in planes are (N, C, H*W), channels-last ones (N*H*W, C, 1), and one slope for all is (1, 1, everything).
 * A chunk is a range of rows, or of positions where rows are few. Each chunk adds up its share of dw; the shares are
 * added in order.
 */
#include "../memory.h"
#include "../threads.h"
#include "kernels.h"
#include "partial_sums.h"

enum { GRAIN = 1 << 15 };

typedef struct {
    const real *x, *w, *dy;
    real *out;
    double *shares; /* (chunks, channels) */
    ptrdiff_t rows, channels, size, chunks;
} prelu;

static void bounds(const prelu *p, ptrdiff_t chunk, ptrdiff_t *r0, ptrdiff_t *r1, ptrdiff_t *i0, ptrdiff_t *i1)
{
    *r0 = *i0 = 0;
    *r1 = p->rows;
    *i1 = p->size;
    if (p->rows >= p->size) {
        chunk_bounds(p->rows, p->chunks, chunk, r0, r1);
    } else {
        chunk_bounds(p->size, p->chunks, chunk, i0, i1);
    }
}

static void forward_chunk(void *context, ptrdiff_t chunk)
{
    const prelu *p = context;
    ptrdiff_t r0, r1, i0, i1;
    bounds(p, chunk, &r0, &r1, &i0, &i1);
    for (ptrdiff_t r = r0; r < r1; r++) {
        for (ptrdiff_t c = 0; c < p->channels; c++) {
            const ptrdiff_t start = (r * p->channels + c) * p->size;
            const real w = p->w[c], *x = p->x + start;
            real *y = p->out + start;
            for (ptrdiff_t i = i0; i < i1; i++) {
                y[i] = x[i] > 0 ? x[i] : w * x[i];
            }
        }
    }
}

void FN(prelu_forward)(const real *x, const real *w, real *y, ptrdiff_t rows, ptrdiff_t channels, ptrdiff_t size)
{
    const ptrdiff_t chunks = chunks_of(rows * channels * size, GRAIN);
    prelu p = {.x = x, .w = w, .out = y, .rows = rows, .channels = channels, .size = size, .chunks = chunks};
    parallel_for(chunks, forward_chunk, &p);
}

static void backward_chunk(void *context, ptrdiff_t chunk)
{
    const prelu *p = context;
    double *dw = p->shares + chunk * p->channels;
    ptrdiff_t r0, r1, i0, i1;
    bounds(p, chunk, &r0, &r1, &i0, &i1);
    for (ptrdiff_t r = r0; r < r1; r++) {
        for (ptrdiff_t c = 0; c < p->channels; c++) {
            const ptrdiff_t start = (r * p->channels + c) * p->size;
            const real w = p->w[c], *x = p->x + start, *dy = p->dy + start;
            real *dx = p->out + start;
            for (ptrdiff_t i = i0; i < i1; i++) {
                dx[i] = x[i] > 0 ? dy[i] : w * dy[i];
                dw[c] += x[i] > 0 ? 0 : x[i] * dy[i];
            }
        }
    }
}

void FN(prelu_backward)(const real *dy, const real *x, const real *w, real *dx, real *dw, ptrdiff_t rows,
                        ptrdiff_t channels, ptrdiff_t size)
{
    const ptrdiff_t chunks = chunks_of(rows * channels * size, GRAIN);
    double *shares = memory_get_zeroed((size_t)(chunks * channels) * sizeof(double));
    if (shares == NULL) {
        kernel_abort(KERNEL_NO_MEMORY);
        return;
    }
    prelu p = {x, w, dy, dx, shares, rows, channels, size, chunks};
    parallel_for(chunks, backward_chunk, &p);
    for (ptrdiff_t c = 0; c < channels; c++) {
        dw[c] = (real)plus_parts(0, shares + c, chunks, channels);
    }
    memory_put(shares);
}
