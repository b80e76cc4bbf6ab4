/* direct_channels.c: direct convolution with channels in the vector.
 *
 *   weights   packed once a call, and scaled, to [block of output channels][tap row][tap column][input channel]
 *             [vectors]
 *   input     one image, or a strip of its rows, copied with its border of zeros to [row][column][channel];
 *             read in place where it lies so already and needs no border
 *   output    a tile of a few pixels times one block of channels stays in registers over all taps
 *
 * A tile takes any pixels, wherever they lie: strides, odd widths and small images need no special case. Where the
 * taps of a row and their channels are neighbours in memory, they form one long run.
 */
#include <string.h>

#include "../memory.h"
#include "../threads.h"
#include "conv_tiles.h"
#include "direct_channels.h"

typedef struct {
    const correlation *c;
    const real *in, *w, *bias;
    real *out, *packed;
    ptrdiff_t taps; /* with channels: steps of the tile's loop */
    vector_blocks blocks;
    layout layout;
    runs runs;
    cut cut;
    ptrdiff_t block_chunks;
    ptrdiff_t *in_offset, *out_offset, *packed_tap;
} context;

/* packed_tap[kh*KW + kw] is the number of this weight among the taps, or -1 where the correlation does not use it. */
static void number_taps(const context *x)
{
    const correlation *c = x->c;
    for (ptrdiff_t k = 0; k < c->w_ic_taps; k++) {
        x->packed_tap[k] = -1;
    }
    for (ptrdiff_t t = 0; t < c->h.taps * c->w.taps; t++) {
        ptrdiff_t kh = c->h.kernel + t / c->w.taps * c->h.kernel_step,
                  kw = c->w.kernel + t % c->w.taps * c->w.kernel_step;
        x->packed_tap[kh * c->w_kh + kw] = t;
    }
}

/* Of a 1x1 convolution: the weights are a matrix, and need at most to be turned. */
static void pack_matrix_block(const context *x, const real *w, ptrdiff_t used, ptrdiff_t lanes, const real *scale,
                              real *packed)
{
    const correlation *c = x->c;
    if (c->w_oc != 1) {
        FN(pack_turned)(w, c->w_oc, used, c->IC, packed, lanes);
    }
    for (ptrdiff_t ic = 0; ic < c->IC; ic++) {
        real *to = packed + ic * lanes;
        if (c->w_oc == 1) {
            memcpy(to, w + ic * c->w_ic, (size_t)used * sizeof(real));
        }
        for (ptrdiff_t lane = used; lane < lanes; lane++) {
            to[lane] = 0;
        }
        for (ptrdiff_t lane = 0; c->scale != NULL && lane < lanes; lane += VLEN) {
            v_store(to + lane, v_load(to + lane) * v_load(scale + lane));
        }
    }
}

/* One block of weights: packed[k][lane]. Lanes past the last channel are zero. In memory the weights of one input and
 * one output channel are neighbours; forward, those of all input channels are. Some of them at a time are turned. */
static void pack_block(void *context_, ptrdiff_t chunk)
{
    enum { SOME = 16 };
    const context *x = context_;
    const correlation *c = x->c;
    ptrdiff_t group = chunk / x->blocks.count, block = chunk % x->blocks.count, first = block_channel(block);
    ptrdiff_t lanes = block_vectors(x->blocks, block) * VLEN, used = at_most(lanes, c->OC - first);
    ptrdiff_t taps = c->w_ic_taps, together = c->w_ic == taps ? c->IC : 1;
    real *packed = x->packed + (group * x->blocks.vectors * VLEN + first) * x->taps;
    real turned[SOME * MOST_VECTORS * VLEN + PACK_SLACK] = {0}, scale[MOST_VECTORS * VLEN];
    for (ptrdiff_t lane = 0; lane < lanes; lane++) {
        scale[lane] = c->scale != NULL && lane < used ? c->scale[group * c->OC + first + lane] : 1;
    }
    if (taps == 1 && used >= 4) {
        pack_matrix_block(x, x->w + group * c->w_group + first * c->w_oc, used, lanes, scale, packed);
        return;
    }
    for (ptrdiff_t ic = 0; ic < c->IC; ic += together) {
        const real *w = x->w + group * c->w_group + first * c->w_oc + ic * c->w_ic;
        for (ptrdiff_t k = 0; k < together * taps; k += SOME) {
            ptrdiff_t some = at_most(SOME, together * taps - k);
            FN(pack_turned)(w + k, c->w_oc, used, some, turned, lanes);
            for (ptrdiff_t i = 0; i < some; i++) {
                ptrdiff_t tap = x->packed_tap[(k + i) % taps];
                real *to = packed + (tap * c->IC + ic + (k + i) / taps) * lanes;
                for (ptrdiff_t lane = 0; tap >= 0 && lane < lanes; lane += VLEN) {
                    v_store(to + lane, v_load(turned + i * lanes + lane) * v_load(scale + lane));
                }
            }
        }
    }
}

/* Offsets of the inputs and outputs of all pixels of a strip, row by row: a shorter strip has the first of them. */
static void locate_pixels(const context *x)
{
    const correlation *c = x->c;
    ptrdiff_t p = 0;
    for (ptrdiff_t i = 0; i < x->cut.images; i++) {
        for (ptrdiff_t r = 0; r < x->cut.rows; r++) {
            for (ptrdiff_t q = 0; q < c->w.out; q++, p++) {
                x->in_offset[p] = i * x->layout.image + r * c->h.step * x->layout.row + q * c->w.step * x->layout.pixel;
                x->out_offset[p] = i * c->out.n + r * c->out.h + q * c->out.w;
            }
        }
    }
}

/* What does not fit the output as it is goes through `tile`, from where the real pixels and channels are copied: some
 * channels of a vector, or pixels that do not lie one behind the other. */
static void scatter(const correlation *c, const real *tile, ptrdiff_t lanes, ptrdiff_t pixels, ptrdiff_t channels,
                    real *out, const ptrdiff_t *offset)
{
    for (ptrdiff_t p = 0; p < pixels; p++) {
        if (c->out.c == 1 && channels == lanes) {
            memcpy(out + offset[p], tile + p * lanes, (size_t)lanes * sizeof(real));
            continue;
        }
        for (ptrdiff_t k = 0; k < channels; k++) {
            out[offset[p] + k * c->out.c] = tile[p * lanes + k];
        }
    }
}

/* The processor's own prefetching stops at the end of a page, here after some tens of pixels: so the line a page ahead
 * is asked for with each vector. Any address will do. */
static const ptrdiff_t page = 4096 / sizeof(real);

static inline void fetch_for_writing(const real *p) { __builtin_prefetch(p, 1, 2); }

/* True if the pixels of a tile lie `step` apart. The first and the last do not tell: what a row is too long, an image
 * may be too short, where the outputs are one phase of a gradient. */
static inline int evenly_apart(const ptrdiff_t *offset, ptrdiff_t pixels, ptrdiff_t step)
{
    for (ptrdiff_t i = 1; i < pixels; i++) {
        if (offset[i] - offset[i - 1] != step) {
            return 0;
        }
    }
    return 1;
}

static void block_of_strip(const context *x, ptrdiff_t group, ptrdiff_t block, const real *in, real *out,
                           ptrdiff_t pixels, prefetch *ahead)
{
    const correlation *c = x->c;
    ptrdiff_t vectors = block_vectors(x->blocks, block), lanes = vectors * VLEN, first = block_channel(block);
    ptrdiff_t channels = at_most(lanes, c->OC - first), rows = channel_tile_pixels(vectors);
    int fits = c->out.c == 1 && channels == lanes;
    _Alignas(VBYTES) real bias[MOST_VECTORS * VLEN] = {0}, tile[CHANNEL_TILE_PIXELS * MOST_VECTORS * VLEN];
    if (x->bias != NULL) {
        memcpy(bias, x->bias + group * c->OC + first, (size_t)channels * sizeof *bias);
    }
    channel_tile t = {.run = x->runs.begin,
                      .runs = x->runs.count,
                      .length = x->runs.length,
                      .w = x->packed + (group * x->blocks.vectors * VLEN + first) * x->taps,
                      .bias = bias,
                      .relu = c->relu};
    out += first * c->out.c;
    for (ptrdiff_t p = 0; p < pixels; p += rows) {
        const ptrdiff_t *offset = x->out_offset + p;
        int direct = fits && p + rows <= pixels && evenly_apart(offset, rows, c->out.w);
        t.out = direct ? out + offset[0] : tile;
        t.out_step = direct ? c->out.w : lanes;
        for (ptrdiff_t i = 0; i < rows; i++) {
            ptrdiff_t pixel = at_most(p + i, pixels - 1); /* the last tile may do the last pixel several times */
            t.x[i] = in + x->in_offset[pixel];
            fetch_for_writing(t.out + i * t.out_step + page);
            fetch_for_writing(t.out + i * t.out_step + page + VLEN);
        }
        prefetch_some(ahead);
        FN(channel_tile_run)(&t, vectors);
        if (!direct) {
            scatter(c, tile, lanes, at_most(rows, pixels - p), channels, out, x->out_offset + p);
        }
    }
}

/* Behind the last strip come ones without images. */
static strip cut_strip(const context *x, ptrdiff_t number)
{
    strip s = {.image = number / x->cut.strips * x->cut.images, .row = number % x->cut.strips * x->cut.rows};
    s.images = at_most(x->cut.images, x->c->N - s.image);
    s.rows = at_most(x->cut.rows, x->c->h.out - s.row);
    return s;
}

static void correlate_chunk(void *context_, ptrdiff_t chunk)
{
    const context *x = context_;
    const correlation *c = x->c;
    ptrdiff_t part = chunk % x->block_chunks, group = chunk / x->block_chunks % c->G;
    ptrdiff_t number = chunk / x->block_chunks / c->G;
    strip s = cut_strip(x, number), next = cut_strip(x, number + 1);
    real *room = NULL;
    if (!x->layout.in_place) {
        ptrdiff_t slack = c->before != NULL ? FN(depthwise_room)(c->before, s.rows) : PACK_SLACK;
        room = scratch((size_t)(s.images * x->layout.image + slack) * sizeof(real));
        if (room == NULL) {
            kernel_abort(KERNEL_NO_MEMORY);
            return;
        }
    }
    const real *in = strip_input(c, x->layout, x->in, group, s.image, s.images, s.row, s.rows, room);
    real *out = x->out + s.image * c->out.n + s.row * c->out.h + group * c->OC * c->out.c;
    ptrdiff_t begin, end;
    chunk_bounds(x->blocks.count, x->block_chunks, part, &begin, &end);
    ptrdiff_t pixels = s.images * s.rows * c->w.out, tiles = (end - begin) * ceil_div(pixels, channel_tile_pixels(2));
    prefetch ahead = {0};
    if (next.images > 0 && c->before == NULL) {
        ahead = strip_ahead(x->in, c->in, c->G * c->IC, input_rows(c, next), tiles);
    }
    for (ptrdiff_t block = begin; block < end; block++) {
        block_of_strip(x, group, block, in, out, pixels, &ahead);
    }
}

/* Into how many parts the blocks are cut, so that the weights of one part stay in the cache over a strip. */
static ptrdiff_t cut_blocks(const context *x)
{
    const double cache = 256 << 10;
    double block_bytes = 2.0 * VBYTES * (double)x->taps;
    ptrdiff_t blocks = block_bytes < cache ? (ptrdiff_t)(cache / block_bytes) : 1;
    return ceil_div(x->blocks.count, blocks);
}

void FN(correlate_channels)(const correlation *c, const real *in, const real *w, const real *bias, real *out)
{
    context x = {.c = c, .in = in, .w = w, .bias = bias, .out = out, .blocks = vector_blocks_of(c->OC)};
    x.taps = c->h.taps * c->w.taps * c->IC;
    double row_bytes = (double)c->h.step * axis_reach(c->w, c->w.out) * c->IC * sizeof(real);
    x.block_chunks = c->before != NULL ? 1 : cut_blocks(&x); /* or it would be computed anew for each */
    x.cut = FN(cut_batch)(c, row_bytes * c->h.taps * c->h.spread / c->h.step, row_bytes, x.block_chunks);
    x.layout = layout_of(c, x.cut.rows);
    x.runs = runs_of(c, x.layout);

    size_t weights = (size_t)(c->G * x.blocks.vectors * VLEN * x.taps) * sizeof(real);
    ptrdiff_t pixels = x.cut.images * x.cut.rows * c->w.out;
    char *memory = memory_get(weights + (size_t)(x.runs.count + 2 * pixels + c->w_ic_taps) * sizeof(ptrdiff_t));
    if (memory == NULL) {
        kernel_abort(KERNEL_NO_MEMORY);
        return;
    }
    x.packed = (real *)memory;
    x.runs.begin = (ptrdiff_t *)(memory + weights);
    x.in_offset = x.runs.begin + x.runs.count;
    x.out_offset = x.in_offset + pixels;
    x.packed_tap = x.out_offset + pixels;
    number_taps(&x);
    fill_runs(c, x.layout, &x.runs);
    locate_pixels(&x);
    parallel_for(c->G * x.blocks.count, pack_block, &x);

    ptrdiff_t chunks = x.cut.image_chunks * x.cut.strips * c->G;
    if (chunks * x.block_chunks < 16 && c->before == NULL) {
        x.block_chunks = at_most(x.blocks.count, ceil_div(16, chunks));
    }
    parallel_for(chunks * x.block_chunks, correlate_chunk, &x);
    memory_put(memory);
}
