/* interpolate: another resolution, each value a weighted sum of its neighbours in the old one.
 *
 *   forward    y[m,i,j]  = sum over p,q of  wr[i,p] wc[j,q] x[m, r[i,p], c[j,q]]
 *   backward   dx[m, r[i,p], c[j,q]] += wr[i,p] wc[j,q] dy[m,i,j]
 *
 *   x, dx (M,H,W)    y, dy (M,OH,OW)    M = N*C planes; r, wr (OH,TAPS) and c, wc (OW,TAPS), see interpolate.h
 *
 * Nearest (1 tap), bilinear (2) and bicubic (4) differ in the tables only. Taps of weight 0 are skipped, so that a NaN
 * beside the point is not drawn in. Planes are independent: both directions are cut by plane.
 */
#include "interpolate.h"

#include "../threads.h"
#include "kernels.h"

enum { GRAIN = 1 << 15 };

typedef struct {
    const real *in;
    real *out;
    const interpolate_axis *rows, *columns;
    ptrdiff_t planes, taps, chunks;
} interpolate_context;

static void forward_plane(const interpolate_context *c, const real *x, real *y)
{
    const interpolate_axis *rows = c->rows, *columns = c->columns;
    for (ptrdiff_t i = 0; i < rows->out; i++) {
        for (ptrdiff_t j = 0; j < columns->out; j++) {
            real sum = 0;
            for (ptrdiff_t p = i * c->taps; p < (i + 1) * c->taps; p++) {
                const real *row = x + rows->source[p] * columns->in;
                for (ptrdiff_t q = j * c->taps; q < (j + 1) * c->taps; q++) {
                    double weight = rows->weight[p] * columns->weight[q];
                    if (weight != 0) {
                        sum += (real)weight * row[columns->source[q]];
                    }
                }
            }
            y[i * columns->out + j] = sum;
        }
    }
}

static void forward_chunk(void *context, ptrdiff_t chunk)
{
    const interpolate_context *c = context;
    ptrdiff_t begin, end;
    chunk_bounds(c->planes, c->chunks, chunk, &begin, &end);
    for (ptrdiff_t m = begin; m < end; m++) {
        forward_plane(c, c->in + m * c->rows->in * c->columns->in, c->out + m * c->rows->out * c->columns->out);
    }
}

void FN(interpolate_forward)(const real *x, real *y, const interpolate_axis *rows, const interpolate_axis *columns,
                             ptrdiff_t planes, ptrdiff_t taps)
{
    interpolate_context c = {.in = x, .out = y, .rows = rows, .columns = columns, .planes = planes, .taps = taps};
    c.chunks = chunks_of(planes * rows->out * columns->out * taps * taps, GRAIN);
    parallel_for(c.chunks, forward_chunk, &c);
}

static void backward_plane(const interpolate_context *c, const real *dy, real *dx)
{
    const interpolate_axis *rows = c->rows, *columns = c->columns;
    for (ptrdiff_t i = 0; i < rows->in * columns->in; i++) {
        dx[i] = 0;
    }
    for (ptrdiff_t i = 0; i < rows->out; i++) {
        for (ptrdiff_t j = 0; j < columns->out; j++) {
            for (ptrdiff_t p = i * c->taps; p < (i + 1) * c->taps; p++) {
                real *row = dx + rows->source[p] * columns->in;
                for (ptrdiff_t q = j * c->taps; q < (j + 1) * c->taps; q++) {
                    double weight = rows->weight[p] * columns->weight[q];
                    if (weight != 0) {
                        row[columns->source[q]] += (real)weight * dy[i * columns->out + j];
                    }
                }
            }
        }
    }
}

static void backward_chunk(void *context, ptrdiff_t chunk)
{
    const interpolate_context *c = context;
    ptrdiff_t begin, end;
    chunk_bounds(c->planes, c->chunks, chunk, &begin, &end);
    for (ptrdiff_t m = begin; m < end; m++) {
        backward_plane(c, c->in + m * c->rows->out * c->columns->out, c->out + m * c->rows->in * c->columns->in);
    }
}

void FN(interpolate_backward)(const real *dy, real *dx, const interpolate_axis *rows, const interpolate_axis *columns,
                              ptrdiff_t planes, ptrdiff_t taps)
{
    interpolate_context c = {.in = dy, .out = dx, .rows = rows, .columns = columns, .planes = planes, .taps = taps};
    c.chunks = chunks_of(planes * rows->out * columns->out * taps * taps, GRAIN);
    parallel_for(c.chunks, backward_chunk, &c);
}
