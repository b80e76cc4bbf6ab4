/* dropout: zero values at random, enlarge the others so that the expectation stays (Srivastava et al. 2014).
 *
 *   forward    y[i]  = x[i] m / (1 - p)          m = 1 keep, 0 drop: a byte for each value
 *   backward   dx[i] = dy[i] m / (1 - p)         the same kernel
 *
 * feature_dropout drops whole channels: a byte for each (image, channel).
 *
 *   dropout            x, y, mask: n values in one memory order
 *   feature_dropout    x, y (images, channels, size), or (images, size, channels) if channels_last; mask (images,
 * channels)
 *
 * y may be x.
 *
 * As a product, so that NaN and infinities act as in torch: 0 * NaN is NaN.
 */
#include "../threads.h"
#include "kernels.h"

enum { GRAIN = 1 << 15 };

typedef struct {
    const real *x;
    const uint8_t *mask;
    real *y;
    ptrdiff_t n, chunks, channels, size;
    real scale;
} dropout;

static void values_chunk(void *context, ptrdiff_t chunk)
{
    const dropout *c = context;
    ptrdiff_t begin, end;
    chunk_bounds(c->n, c->chunks, chunk, &begin, &end);
    const real scale = c->scale;
    for (ptrdiff_t i = begin; i < end; i++) {
        c->y[i] = c->x[i] * (c->mask[i] ? scale : 0);
    }
}

void FN(dropout)(const real *x, const uint8_t *mask, real *y, ptrdiff_t n, double p)
{
    dropout c = {.x = x, .mask = mask, .y = y, .n = n, .chunks = chunks_of(n, GRAIN), .scale = 1 / (real)(1 - p)};
    parallel_for(c.chunks, values_chunk, &c);
}

/* A chunk is a run of planes (channels in rows), or of pixels (channels last). */
static void planes_chunk(void *context, ptrdiff_t chunk)
{
    const dropout *c = context;
    ptrdiff_t begin, end;
    chunk_bounds(c->n, c->chunks, chunk, &begin, &end);
    for (ptrdiff_t plane = begin; plane < end; plane++) {
        const real factor = c->mask[plane] ? c->scale : 0;
        for (ptrdiff_t i = plane * c->size; i < (plane + 1) * c->size; i++) {
            c->y[i] = c->x[i] * factor;
        }
    }
}

static void pixels_chunk(void *context, ptrdiff_t chunk)
{
    const dropout *c = context;
    ptrdiff_t begin, end;
    chunk_bounds(c->n, c->chunks, chunk, &begin, &end);
    const real scale = c->scale;
    for (ptrdiff_t pixel = begin; pixel < end; pixel++) {
        const uint8_t *mask = c->mask + pixel / c->size * c->channels;
        const real *x = c->x + pixel * c->channels;
        real *y = c->y + pixel * c->channels;
        for (ptrdiff_t k = 0; k < c->channels; k++) {
            y[k] = x[k] * (mask[k] ? scale : 0);
        }
    }
}

void FN(feature_dropout)(const real *x, const uint8_t *mask, real *y, ptrdiff_t images, ptrdiff_t channels,
                         ptrdiff_t size, int channels_last, double p)
{
    const ptrdiff_t pieces = channels_last ? images * size : images * channels;
    const ptrdiff_t chunks = chunks_of(images * channels * size, GRAIN);
    dropout c = {
        .x = x,
        .mask = mask,
        .y = y,
        .n = pieces,
        .chunks = chunks,
        .channels = channels,
        .size = size,
        .scale = 1 / (real)(1 - p),
    };
    parallel_for(c.chunks, channels_last ? pixels_chunk : planes_chunk, &c);
}
