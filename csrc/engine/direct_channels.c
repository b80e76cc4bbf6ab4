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
#include "direct.h"

enum { MOST_VECTORS = 3, MANY_TAPS = 64 };

/* Output channels are cut into blocks of two vectors, of which the last may have one or three. */
typedef struct {
    ptrdiff_t vectors, count;
} vector_blocks;

static vector_blocks vector_blocks_of(ptrdiff_t channels)
{
    ptrdiff_t vectors = ceil_div(channels, VLEN);
    return (vector_blocks){.vectors = vectors, .count = at_least(vectors / 2, 1)};
}

static ptrdiff_t block_vectors(vector_blocks b, ptrdiff_t block)
{
    return block + 1 < b.count ? 2 : b.vectors - 2 * block;
}

static ptrdiff_t block_channel(ptrdiff_t block) { return 2 * VLEN * block; }

/* ---- the input of a strip ---------------------------------------------------------------------------------------- */

/* Where the pixels of the input are: the first tap of output (r, q) starts at (r*step_h)*row + (q*step_w)*pixel. */
typedef struct {
    ptrdiff_t pixel, row, image;
    int in_place;
} layout;

static layout layout_of(const correlation *c, ptrdiff_t rows)
{
    if (c->before == NULL && c->in.c == 1 && axis_inside(c->h) && axis_inside(c->w)) {
        return (layout){.pixel = c->in.w, .row = c->in.h, .image = c->in.n, .in_place = 1};
    }
    layout l = {.pixel = c->IC, .row = c->IC * axis_reach(c->w, c->w.out)};
    l.image = l.row * axis_reach(c->h, rows);
    return l;
}

/* The taps, with their channels, as runs of neighbours in memory. */
typedef struct {
    ptrdiff_t count, length;
    ptrdiff_t *begin;
} runs;

static runs runs_of(const correlation *c, layout l)
{
    int row_is_run = c->w.taps == 1 || (c->w.spread == 1 && l.pixel == c->IC);
    return row_is_run ? (runs){.count = c->h.taps, .length = c->w.taps * c->IC}
                      : (runs){.count = c->h.taps * c->w.taps, .length = c->IC};
}

static void fill_runs(const correlation *c, layout l, runs *r)
{
    ptrdiff_t per_row = r->count / c->h.taps;
    for (ptrdiff_t i = 0; i < r->count; i++) {
        r->begin[i] = i / per_row * c->h.spread * l.row + i % per_row * c->w.spread * l.pixel;
    }
}

/* The input of output rows row .. row+rows-1 of images first .. first+images-1 of one group: a pointer to where the
 * first tap of the first output reads. `room` takes the copy, where one is needed. */
static const real *strip_input(const correlation *c, layout l, const real *in, ptrdiff_t group, ptrdiff_t first,
                               ptrdiff_t images, ptrdiff_t row, ptrdiff_t rows, real *room)
{
    for (ptrdiff_t i = 0; c->before != NULL && i < images; i++) {
        FN(depthwise_rows)(c->before, first + i, row, rows, room + images * l.image, room + i * l.image);
    }
    if (c->before != NULL) {
        return room;
    }
    const real *image = in + first * c->in.n + group * c->IC * c->in.c;
    if (l.in_place) {
        return image + axis_first(c->h, row) * c->in.h + axis_first(c->w, 0) * c->in.w;
    }
    piece p = {.stride = c->in,
               .channels = c->IC,
               .h = c->h.in,
               .w = c->w.in,
               .row = axis_first(c->h, row),
               .rows = axis_reach(c->h, rows),
               .col = axis_first(c->w, 0),
               .cols = axis_reach(c->w, c->w.out)};
    for (ptrdiff_t i = 0; i < images; i++) {
        p.image = image + i * c->in.n;
        FN(pack_channels)(&p, c->IC, room + i * l.image);
    }
    return room;
}

/* Output rows of some images. */
typedef struct {
    ptrdiff_t image, images, row, rows;
} strip;

/* The same counted in rows of the input, with those above the image left out. */
static strip input_rows(const correlation *c, strip s)
{
    s.rows = axis_reach(c->h, s.rows);
    s.row = at_least(axis_first(c->h, s.row), 0);
    return s;
}

/* What the next strip reads, where it lies side by side in memory. */
static prefetch strip_ahead(const real *from, strides4 stride, ptrdiff_t channels, strip s, ptrdiff_t times)
{
    int dense = stride.c == 1 && stride.w == channels;
    ptrdiff_t values = s.images > 1 ? s.images * stride.n : s.rows * stride.h;
    return prefetch_of(from + s.image * stride.n + s.row * stride.h, dense ? values : 0, times);
}

/* ---- forward, and backward to the input -------------------------------------------------------------------------- */

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

/* ---- backward to the weights ------------------------------------------------------------------------------------- */

/* dw[k][lane] = sum over pixels of x[pixel + k] * dy[pixel][lane]: in a tile are neighbouring taps of a run, and its
 * steps are pixels. The batch is cut into strips: some rows of an image, or several small images. The dy of a strip and
 * of one block of channels stays in the first cache, its x and the sums of several blocks (a "part") in the second. The
 * strips are dealt out to `slots` shares of fixed size, each with sums of its own, which are added up in order at the
 * end. */
typedef struct {
    const correlation *c;
    const real *in, *dout;
    real *dw, *db, *sums;                        /* sums: [slot][group][k][lane], then [slot][group][lane] for db */
    ptrdiff_t taps, slots, images, rows, strips; /* a strip: `images` images or `rows` rows; strips in the batch */
    vector_blocks blocks;
    ptrdiff_t parts;
    layout layout;
    runs runs;
} weight_context;

static real *slot_sums(const weight_context *x, ptrdiff_t slot, ptrdiff_t group, ptrdiff_t block)
{
    ptrdiff_t lanes = x->blocks.vectors * VLEN;
    return x->sums + ((slot * x->c->G + group) * lanes + block_channel(block)) * x->taps;
}

static real *slot_bias(const weight_context *x, ptrdiff_t slot, ptrdiff_t group, ptrdiff_t block)
{
    ptrdiff_t lanes = x->blocks.vectors * VLEN, c = x->c->G;
    return x->sums + x->slots * c * lanes * x->taps + (slot * c + group) * lanes + block_channel(block);
}

static strip strip_at(const weight_context *x, ptrdiff_t number)
{
    ptrdiff_t of_image = ceil_div(x->c->h.out, x->rows);
    strip s = {.image = number / of_image * x->images, .row = number % of_image * x->rows};
    s.images = at_most(x->images, x->c->N - s.image);
    s.rows = at_most(x->rows, x->c->h.out - s.row);
    return s;
}

/* dy of a strip for one block of channels, [pixel][lane]; *step: from pixel to pixel. */
static const real *strip_dy(const weight_context *x, ptrdiff_t group, ptrdiff_t block, strip s, real *room,
                            ptrdiff_t *step)
{
    const correlation *c = x->c;
    ptrdiff_t lanes = block_vectors(x->blocks, block) * VLEN, first = block_channel(block);
    ptrdiff_t channels = at_most(lanes, c->OC - first);
    const real *dy = x->dout + s.image * c->out.n + (group * c->OC + first) * c->out.c;
    /* Pixels that are a multiple of 256 bytes apart meet in a few sets of the first cache. */
    int crowded = c->out.w * (ptrdiff_t)sizeof(real) % 256 == 0 && x->taps >= MANY_TAPS;
    if (c->out.c == 1 && channels == lanes && !crowded) {
        *step = c->out.w;
        return dy + s.row * c->out.h;
    }
    piece p = {.stride = c->out,
               .channels = channels,
               .h = c->h.out,
               .w = c->w.out,
               .row = s.row,
               .rows = s.rows,
               .col = 0,
               .cols = c->w.out};
    for (ptrdiff_t i = 0; i < s.images; i++) {
        p.image = dy + i * c->out.n;
        FN(pack_channels)(&p, lanes, room + i * s.rows * c->w.out * lanes);
    }
    *step = lanes;
    return room;
}

/* Into how many tiles the taps of a run are cut, of equal size give or take a tap. */
static ptrdiff_t run_tiles(const weight_context *x, ptrdiff_t vectors, int total)
{
    return ceil_div(x->runs.length, tap_tile_taps(vectors, total));
}

/* What one strip adds to the sums of one block. `ahead`: what is read after it, in parts for each tile. */
static void weight_strip(const weight_context *x, ptrdiff_t slot, ptrdiff_t group, ptrdiff_t block, strip s,
                         const real *in, const ptrdiff_t *run, real *dy_room, prefetch ahead[2])
{
    const correlation *c = x->c;
    ptrdiff_t vectors = block_vectors(x->blocks, block), lanes = vectors * VLEN;
    real *sums = slot_sums(x, slot, group, block);
    tap_tile t = {.run = run, .runs = s.images * s.rows, .length = c->w.out, .x_step = c->w.step * x->layout.pixel};
    t.dy = strip_dy(x, group, block, s, dy_room, &t.dy_step);
    t.total = x->db != NULL ? slot_bias(x, slot, group, block) : NULL;
    for (ptrdiff_t r = 0; r < x->runs.count; r++) {
        ptrdiff_t tiles = run_tiles(x, vectors, t.total != NULL);
        for (ptrdiff_t i = 0; i < tiles; i++) {
            ptrdiff_t begin, end;
            chunk_bounds(x->runs.length, tiles, i, &begin, &end);
            t.x = in + x->runs.begin[r] + begin;
            t.sums = sums + (r * x->runs.length + begin) * lanes;
            prefetch *next = &ahead[ahead[0].at == ahead[0].end];
            t.ahead = next->at < next->end ? next->at : (const char *)t.dy;
            next->at += at_most(next->step, next->end - next->at);
            FN(tap_tile_run)(&t, end - begin, vectors);
            t.total = NULL; /* once is enough */
        }
    }
}

static void weight_chunk(void *context_, ptrdiff_t chunk)
{
    const weight_context *x = context_;
    const correlation *c = x->c;
    ptrdiff_t part = chunk % x->parts, group = chunk / x->parts % c->G, slot = chunk / x->parts / c->G;
    ptrdiff_t begin, end, first_block, end_block;
    chunk_bounds(x->strips, x->slots, slot, &begin, &end);
    chunk_bounds(x->blocks.count, x->parts, part, &first_block, &end_block);

    size_t runs = (size_t)(x->images * x->rows);
    size_t x_values = x->layout.in_place ? 0 : (size_t)ceil_div(x->images * x->layout.image + PACK_SLACK, VLEN) * VLEN;
    size_t dy_values = runs * (size_t)(c->w.out * MOST_VECTORS * VLEN) + PACK_SLACK;
    char *room = scratch((x_values + dy_values) * sizeof(real) + runs * sizeof(ptrdiff_t));
    if (room == NULL) {
        kernel_abort(KERNEL_NO_MEMORY);
        return;
    }
    real *x_room = (real *)room, *dy_room = x_room + x_values;
    ptrdiff_t *run = (ptrdiff_t *)(dy_room + dy_values);
    for (size_t r = 0; r < runs; r++) {
        run[r] = (ptrdiff_t)r / x->rows * x->layout.image + (ptrdiff_t)r % x->rows * c->h.step * x->layout.row;
    }
    for (ptrdiff_t block = first_block; block < end_block; block++) {
        ptrdiff_t lanes = block_vectors(x->blocks, block) * VLEN;
        memset(slot_sums(x, slot, group, block), 0, (size_t)(x->taps * lanes) * sizeof(real));
        memset(slot_bias(x, slot, group, block), 0, (size_t)lanes * sizeof(real));
    }
    ptrdiff_t tiles = (end_block - first_block) * x->runs.count * run_tiles(x, 2, x->db != NULL);
    for (ptrdiff_t number = begin; number < end; number++) {
        strip s = strip_at(x, number);
        const real *in = strip_input(c, x->layout, x->in, group, s.image, s.images, s.row, s.rows, x_room);
        prefetch ahead[2] = {0};
        if (number + 1 < end) {
            strip next = strip_at(x, number + 1);
            ahead[0] = strip_ahead(x->in, c->in, c->G * c->IC, input_rows(c, next), tiles);
            ahead[1] = strip_ahead(x->dout, c->out, c->G * c->OC, next, tiles);
            ahead[0].step = ahead[1].step += ahead[0].step; /* first one, then the other */
        }
        for (ptrdiff_t block = first_block; block < end_block; block++) {
            weight_strip(x, slot, group, block, s, in, run, dy_room, ahead);
        }
    }
}

/* Adds up the slots of one block, in order, and puts the sums where the weights are: some of them at a time are turned
 * from [weight][lane] to rows of weights. */
static void add_slots(void *context_, ptrdiff_t chunk)
{
    enum { SOME = 16 };
    const weight_context *x = context_;
    const correlation *c = x->c;
    ptrdiff_t group = chunk / x->blocks.count, block = chunk % x->blocks.count, first = block_channel(block);
    ptrdiff_t lanes = block_vectors(x->blocks, block) * VLEN, used = at_most(lanes, c->OC - first);
    ptrdiff_t slot_step = c->G * x->blocks.vectors * VLEN;
    const real *sums = slot_sums(x, 0, group, block), *bias = slot_bias(x, 0, group, block);
    real *dw = x->dw + group * c->w_group + first * c->w_oc, lines[SOME * MOST_VECTORS * VLEN];
    for (ptrdiff_t k = 0; k < x->taps; k += SOME) {
        ptrdiff_t some = at_most(SOME, x->taps - k);
        for (ptrdiff_t i = 0; i < some; i++) {
            const real *from = sums + ((k + i) % c->w_ic_taps * c->IC + (k + i) / c->w_ic_taps) * lanes;
            for (ptrdiff_t v = 0; v < lanes; v += VLEN) {
                vec s = v_load(from + v);
                for (ptrdiff_t slot = 1; slot < x->slots; slot++) {
                    s += v_load(from + v + slot * slot_step * x->taps);
                }
                v_store(lines + i * lanes + v, s);
            }
        }
        if (some >= 4) {
            FN(pack_turned)(lines, lanes, some, used, dw + k, c->w_oc);
            continue;
        }
        for (ptrdiff_t i = 0; i < some * used; i++) {
            dw[i / some * c->w_oc + k + i % some] = lines[i % some * lanes + i / some];
        }
    }
    for (ptrdiff_t lane = 0; x->db != NULL && lane < used; lane++) {
        real s = bias[lane];
        for (ptrdiff_t slot = 1; slot < x->slots; slot++) {
            s += bias[lane + slot * slot_step];
        }
        x->db[group * c->OC + first + lane] = s;
    }
}

void FN(correlate_channels_weight)(const correlation *c, const real *in, const real *dout, real *dw, real *db)
{
    /* A tile reads and writes its sums once a strip, so strips should have pixels enough to be worth it. */
    enum {
        STRIP_PIXELS = 192,
        SLOT_STRIPS = 4, /* or more: the sums of a slot cost a pass over memory */
        STRIP_BYTES = 256 << 10,
        PART_BYTES = 256 << 10,
        CHUNK_WORK = 8 << 20,
        SHORT_WORK = 1 << 20,
        CHUNKS = 16,
        MOST_CHUNKS = 32,
        SUMS_BYTES = 8 << 20
    };
    weight_context x = {.c = c, .in = in, .dout = dout, .dw = dw, .db = db, .blocks = vector_blocks_of(c->OC)};
    x.taps = c->h.taps * c->w.taps * c->IC;
    ptrdiff_t row_bytes = c->h.step * axis_reach(c->w, c->w.out) * c->IC * (ptrdiff_t)sizeof(real);
    ptrdiff_t rows = at_least(at_most(ceil_div(STRIP_PIXELS, c->w.out), STRIP_BYTES / row_bytes), 4);
    ptrdiff_t of_image = ceil_div(c->h.out, at_most(rows, c->h.out));
    x.rows = ceil_div(c->h.out, of_image);
    of_image = ceil_div(c->h.out, x.rows);
    x.images = of_image > 1 ? 1 : at_most(at_least(STRIP_PIXELS / (c->h.out * c->w.out), 1), c->N);
    x.strips = of_image * ceil_div(c->N, x.images);
    x.layout = layout_of(c, x.rows);
    x.runs = runs_of(c, x.layout);

    double block_bytes = 2.0 * VBYTES * (double)x.taps, work = correlation_work(c) / (double)c->G;
    x.parts =
        block_bytes < PART_BYTES ? ceil_div(x.blocks.count, (ptrdiff_t)(PART_BYTES / block_bytes)) : x.blocks.count;
    double shares = work / (double)x.parts / CHUNK_WORK;
    double sums_bytes = (double)(c->G * x.blocks.vectors * VBYTES) * (double)x.taps;
    x.slots = at_least(at_most(MOST_CHUNKS / (c->G * x.parts), (ptrdiff_t)(SUMS_BYTES / sums_bytes)), 1);
    x.slots = shares < (double)x.slots ? (ptrdiff_t)shares + 1 : x.slots;
    x.slots = at_most(x.slots, ceil_div(x.strips, SLOT_STRIPS));
    double more = work / SHORT_WORK < CHUNKS ? work / SHORT_WORK : CHUNKS; /* parts, if there are few slots */
    x.parts = at_most(at_least(x.parts, (ptrdiff_t)more / (c->G * x.slots)), x.blocks.count);
    size_t lanes = (size_t)(x.slots * c->G * x.blocks.vectors * VLEN);
    x.sums = memory_get(lanes * (size_t)(x.taps + 1) * sizeof(real) + (size_t)x.runs.count * sizeof(ptrdiff_t));
    if (x.sums == NULL) {
        kernel_abort(KERNEL_NO_MEMORY);
        return;
    }
    x.runs.begin = (ptrdiff_t *)(x.sums + lanes * (size_t)(x.taps + 1));
    fill_runs(c, x.layout, &x.runs);
    parallel_for(x.slots * c->G * x.parts, weight_chunk, &x);
    parallel_for(c->G * x.blocks.count, add_slots, &x);
    memory_put(x.sums);
}
