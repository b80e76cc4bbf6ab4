/* direct_channels_weight.c: the gradient of the weights, with channels of dy in the vector.
 *
 * dw[k][lane] = sum over pixels of x[pixel + k] * dy[pixel][lane]: in a tile are neighbouring taps of a run, and its
 * steps are pixels. The batch is cut into strips: some rows of an image, or several small images. The dy of a strip and
 * of one block of channels stays in the first cache, its x and the sums of several blocks (a "part") in the second. The
 * strips are dealt out to `slots` shares of fixed size, each with sums of its own, which are added up in order at the
 * end.
 */
#include <string.h>

#include "../memory.h"
#include "../threads.h"
#include "conv_tiles.h"
#include "direct_channels.h"

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
        x->db[group * c->OC + first + lane] =
            plus_real_parts(bias[lane], bias + lane + slot_step, x->slots - 1, slot_step);
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
