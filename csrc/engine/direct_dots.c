/* direct_dots.c: forward for so few pixels that the weights are the work: one image, small at the end of a deep
 * network.
 *
 *     y[pixel][oc] = sum over k of  w[oc][k] * column[pixel][k]      k = (ic, kh, kw), as the weights lie in memory
 *
 * The other ways read the weights to pack them and then again to use them. Here they are read once, as they lie;
 * instead the inputs under each of the few windows are copied to a column of the same order.
 */
#include "../memory.h"
#include "../threads.h"
#include "conv_tiles.h"
#include "direct.h"

int FN(dots_suit)(const conv2d_shape *s)
{
    ptrdiff_t pixels = s->N * s->OH * s->OW, K = s->C * s->KH * s->KW;
    return s->G == 1 && pixels <= 32 && K >= 256 && K >= 32 * pixels;
}

typedef struct {
    const correlation *c;
    const real *in, *w, *bias;
    real *out, *columns;
    ptrdiff_t K, pitch; /* pitch: from column to column */
    channel_blocks blocks;
    ptrdiff_t chunks;
} context;

static void fill_column(void *context_, ptrdiff_t pixel)
{
    const context *x = context_;
    const correlation *c = x->c;
    ptrdiff_t q = pixel % c->w.out, r = pixel / c->w.out % c->h.out, n = pixel / c->w.out / c->h.out;
    real *to = x->columns + pixel * x->pitch;
    for (ptrdiff_t ic = 0; ic < c->IC; ic++) {
        const real *plane = x->in + n * c->in.n + ic * c->in.c;
        for (ptrdiff_t th = 0; th < c->h.taps; th++) {
            ptrdiff_t ih = axis_first(c->h, r) + th * c->h.spread;
            for (ptrdiff_t tw = 0; tw < c->w.taps; tw++) {
                ptrdiff_t iw = axis_first(c->w, q) + tw * c->w.spread;
                int is_inside = ih >= 0 && ih < c->h.in && iw >= 0 && iw < c->w.in;
                *to++ = is_inside ? plane[ih * c->in.h + iw * c->in.w] : 0;
            }
        }
    }
}

static void multiply_chunk(void *context_, ptrdiff_t chunk)
{
    const context *x = context_;
    const correlation *c = x->c;
    const ptrdiff_t pixels = c->N * c->h.out * c->w.out, vectors = x->K / VLEN;
    const dot_run start = {0};
    _Alignas(VBYTES) real sums[DOT_TILE_CHANNELS * DOT_TILE_TAPS * VLEN];
    ptrdiff_t begin, end;
    chunk_bounds(x->blocks.count, x->chunks, chunk, &begin, &end);
    for (ptrdiff_t block = begin; block < end; block++) {
        ptrdiff_t first = dot_block_begin(x->blocks, block), size = dot_block_size(x->blocks, block);
        ptrdiff_t tile = dot_tile_taps(size);
        dot_tile t = {.run = &start, .runs = 1, .length = vectors, .x_step = VLEN, .dy_step = VLEN, .sums = sums};
        for (ptrdiff_t m = 0; m < size; m++) {
            t.dy[m] = x->w + at_most(first + m, c->OC - 1) * x->K;
        }
        for (ptrdiff_t p = 0; p < pixels; p += tile) {
            for (ptrdiff_t i = 0; i < tile; i++) {
                t.x[i] = x->columns + at_most(p + i, pixels - 1) * x->pitch;
            }
            FN(dot_tile_run)(&t, size);
            for (ptrdiff_t m = 0; m < size && first + m < c->OC; m++) {
                for (ptrdiff_t i = 0; i < tile && p + i < pixels; i++) {
                    real s = lane_sum(sums + (m * tile + i) * VLEN);
                    for (ptrdiff_t k = vectors * VLEN; k < x->K; k++) {
                        s += t.dy[m][k] * t.x[i][k];
                    }
                    s = s * (c->scale != NULL ? c->scale[first + m] : 1) + (x->bias != NULL ? x->bias[first + m] : 0);
                    ptrdiff_t q = (p + i) % c->w.out, r = (p + i) / c->w.out % c->h.out,
                              n = (p + i) / c->w.out / c->h.out;
                    x->out[n * c->out.n + (first + m) * c->out.c + r * c->out.h + q * c->out.w] =
                        c->relu && s <= 0 ? 0 : s;
                }
            }
        }
    }
}

void FN(correlate_dots)(const correlation *c, const real *in, const real *w, const real *bias, real *out)
{
    enum { CHUNK_WORK = 1 << 20 };
    context x = {.c = c, .in = in, .w = w, .bias = bias, .out = out, .blocks = dot_blocks_of(c->OC)};
    ptrdiff_t pixels = c->N * c->h.out * c->w.out;
    x.K = c->IC * c->h.taps * c->w.taps;
    x.pitch =
        ceil_div(x.K, VLEN) * VLEN + VLEN; /* not a power of two: the columns would share a few sets of the cache */
    x.columns = memory_get((size_t)(pixels * x.pitch) * sizeof(real));
    if (x.columns == NULL) {
        kernel_abort(KERNEL_NO_MEMORY);
        return;
    }
    parallel_for(pixels, fill_column, &x);
    x.chunks = at_most(chunks_of((ptrdiff_t)correlation_work(c), CHUNK_WORK), x.blocks.count);
    parallel_for(x.chunks, multiply_chunk, &x);
    memory_put(x.columns);
}
