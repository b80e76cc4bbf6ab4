/* direct_planes.c: direct convolution with pixels in the vector, for few channels (3, 6, 12, 24: what students write),
 * where vectors of channels would be half empty.
 *
 *   input     one image, or a strip of its rows, copied with its border of zeros to [channel][phase][row][column]
 *   weights   packed once a call to [block of 6 or 4 output channels][tap][channel of the block]
 *   output    a tile of 6 or 4 channels times two vectors of pixels stays in registers over all taps
 *
 * With stride S the columns and rows of a plane are sorted by their remainder modulo S ("phases") while they are
 * copied. Then the inputs of neighbouring outputs are neighbours too, and every stride runs as stride 1; a tap is just
 * an offset.
 *
 * Vectors cover the rows of the output one by one, the last vector of a row overlapping the one before. Where rows are
 * short and that would compute much twice or in vain, the plane is taken as one long row instead, gaps between its rows
 * included, and the gaps are dropped when the results are copied out ("flat").
 */
#include <string.h>

#include "../kernels/max_window.h"
#include "../memory.h"
#include "../threads.h"
#include "conv_tiles.h"
#include "direct.h"

/* ---- the planes of a strip ----------------------------------------------------------------------------------------
 */

typedef struct {
    ptrdiff_t pitch, plane, image; /* from row to row, plane to plane; all planes together */
    int flat;                      /* a plane is one long row */
} planes;

/* Planes for strips of `rows` output rows. */
static planes planes_of(const correlation *c, ptrdiff_t rows)
{
    ptrdiff_t cols = c->w.out;
    planes p = {.pitch = cols + (c->w.taps - 1) * c->w.spread / c->w.step};
    ptrdiff_t flat_vectors = ceil_div((rows - 1) * p.pitch + cols, VLEN), vectors = rows * ceil_div(cols, VLEN);
    p.flat = flat_vectors * 21 < vectors * 20; /* 5 % for the copy out of the long row */
    if (!p.flat) {
        p.pitch = at_least(p.pitch, ceil_div(cols, VLEN) * VLEN);
    }
    p.plane = (rows + (c->h.taps - 1) * c->h.spread / c->h.step) * p.pitch;
    p.plane = ceil_div(p.plane + PLANE_SLACK, VLEN) * VLEN;
    ptrdiff_t phases = c->h.step * c->w.step;
    while (phases * p.plane * (ptrdiff_t)sizeof(real) % 2048 == 0) {
        p.plane += VLEN; /* channels are written in turns where an image is turned: they must not evict each other */
    }
    p.image = c->IC * phases * p.plane;
    return p;
}

static void load_planes(const correlation *c, planes p, const real *in, ptrdiff_t group, ptrdiff_t image, ptrdiff_t row,
                        ptrdiff_t rows, real *room)
{
    piece from = {.image = in + image * c->in.n + group * c->IC * c->in.c,
                  .stride = c->in,
                  .channels = c->IC,
                  .h = c->h.in,
                  .w = c->w.in,
                  .row = axis_first(c->h, row),
                  .rows = axis_reach(c->h, rows),
                  .col = axis_first(c->w, 0),
                  .cols = axis_reach(c->w, c->w.out)};
    FN(pack_planes)(&from, c->h.step, c->w.step, p.pitch, p.plane, room);
}

/* Where tap (ic, th, tw) of output 0 lies, in the order of the weights' memory. */
static void fill_offsets(const correlation *c, planes p, ptrdiff_t *offset)
{
    for (ptrdiff_t ic = 0; ic < c->IC; ic++) {
        for (ptrdiff_t th = 0; th < c->h.taps; th++) {
            ptrdiff_t h = th * c->h.spread, plane_row = (ic * c->h.step + h % c->h.step) * c->w.step;
            for (ptrdiff_t tw = 0; tw < c->w.taps; tw++) {
                ptrdiff_t w = tw * c->w.spread, plane = plane_row + w % c->w.step;
                *offset++ = plane * p.plane + h / c->h.step * p.pitch + w / c->w.step;
            }
        }
    }
}

/* ---- forward, and backward to the input -------------------------------------------------------------------------- */

typedef struct {
    const correlation *c;
    const real *in, *w;
    real *out, *packed, *bias; /* bias: of every group's blocks, zeros where there is none */
    ptrdiff_t *offset;
    ptrdiff_t taps, channels; /* taps with input channels; channels: with those that fill up the blocks */
    channel_blocks blocks;
    planes planes;
    cut cut;
} context;

static void pack_weights(const context *x, ptrdiff_t group)
{
    const correlation *c = x->c;
    const real *w = x->w + group * c->w_group + c->h.kernel * c->w_kh + c->w.kernel * c->w_kw;
    real *to = x->packed + group * x->channels * x->taps;
    const real *scale = c->scale != NULL ? c->scale + group * c->OC : NULL;
    for (ptrdiff_t block = 0; block < x->blocks.count; block++) {
        ptrdiff_t first = channel_block_begin(x->blocks, block), size = channel_block_size(x->blocks, block);
        ptrdiff_t used = at_most(size, c->OC - first);
        for (ptrdiff_t ic = 0; ic < c->IC; ic++) {
            for (ptrdiff_t th = 0; th < c->h.taps; th++) {
                const real *from = w + first * c->w_oc + ic * c->w_ic + th * c->h.kernel_step * c->w_kh;
                for (ptrdiff_t tw = 0; tw < c->w.taps; tw++, from += c->w.kernel_step * c->w_kw, to += size) {
                    for (ptrdiff_t m = 0; m < size; m++) {
                        to[m] = m < used ? from[m * c->w_oc] * (scale != NULL ? scale[first + m] : 1) : 0;
                    }
                }
            }
        }
    }
}

/* The results of one block that were not written in place: [channel][row][column] in `from`. */
static void copy_out(const correlation *c, const real *from, ptrdiff_t from_channel, ptrdiff_t from_row,
                     ptrdiff_t channels, ptrdiff_t rows, real *out)
{
    if (c->out.c == 1 && channels >= 4) {
        for (ptrdiff_t r = 0; r < rows; r++) {
            FN(pack_turned)(from + r * from_row, from_channel, channels, c->w.out, out + r * c->out.h, c->out.w);
        }
        return;
    }
    for (ptrdiff_t m = 0; m < channels; m++) {
        for (ptrdiff_t r = 0; r < rows; r++) {
            const real *line = from + m * from_channel + r * from_row;
            real *to = out + m * c->out.c + r * c->out.h;
            for (ptrdiff_t q = 0; q < c->w.out; q++) {
                to[q * c->out.w] = line[q];
            }
        }
    }
}

/* The same through max-pooling, from row `row` of the image on; `at`: where it goes in out and argmax. */
static void pool_out(const correlation *c, const real *from, ptrdiff_t from_channel, ptrdiff_t from_row,
                     ptrdiff_t channels, ptrdiff_t row, ptrdiff_t rows, real *out, ptrdiff_t at)
{
    for (ptrdiff_t m = 0; m < channels; m++) {
        for (ptrdiff_t r = 0; r + 1 < rows; r += 2) {
            const real *top = from + m * from_channel + r * from_row;
            ptrdiff_t to = at + m * c->out.c + (row + r) / 2 * c->out.h;
            pairs_of_planes(top, top + from_row, (int32_t)((row + r) * c->w.out), (int32_t)c->w.out, out + to,
                            c->argmax != NULL ? c->argmax + to : NULL, c->w.out / 2);
        }
    }
}

typedef struct {
    ptrdiff_t in, out;
} place;

/* All vectors of a strip: where they read, and where they write: to rows `out_row` apart. Returns how many. */
static ptrdiff_t place_vectors(planes p, ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t out_row, int overlap, place *places)
{
    ptrdiff_t n = 0;
    for (ptrdiff_t r = 0; r < rows; r++) {
        for (ptrdiff_t q = 0; q < cols; q += VLEN) {
            ptrdiff_t begin = overlap ? at_most(q, cols - VLEN) : q;
            places[n++] = (place){r * p.pitch + begin, r * out_row + begin};
        }
    }
    places[n] = places[n - 1]; /* an odd number: the last tile does one vector twice */
    return n;
}

static void correlate_chunk(void *context_, ptrdiff_t chunk)
{
    const context *x = context_;
    const correlation *c = x->c;
    planes p = x->planes;
    ptrdiff_t group = chunk % c->G, strip = chunk / c->G % x->cut.strips;
    ptrdiff_t image = chunk / c->G / x->cut.strips * x->cut.images, last = at_most(image + x->cut.images, c->N);
    ptrdiff_t row = strip * x->cut.rows, rows = at_most(x->cut.rows, c->h.out - row);
    ptrdiff_t tile_rows = p.flat ? 1 : rows, tile_cols = p.flat ? (rows - 1) * p.pitch + c->w.out : c->w.out;
    ptrdiff_t row_vectors = ceil_div(tile_cols, VLEN), vectors = tile_rows * row_vectors;

    /* Results go straight to the output where whole vectors of whole blocks fit it, otherwise through `results`. */
    int in_place = !c->pool && !p.flat && c->out.w == 1 && c->w.out >= VLEN;
    ptrdiff_t result_row = row_vectors * VLEN, result_channel = tile_rows * result_row;
    real *room =
        scratch((size_t)(p.image + 6 * result_channel) * sizeof(real) + (size_t)(vectors + 1) * 2 * sizeof(place));
    if (room == NULL) {
        kernel_abort(KERNEL_NO_MEMORY);
        return;
    }
    real *results = room + p.image;
    place *through = (place *)(results + 6 * result_channel), *straight = through + vectors + 1;
    place_vectors(p, tile_rows, tile_cols, result_row, 0, through);
    if (in_place) {
        place_vectors(p, tile_rows, tile_cols, c->out.h, 1, straight);
    }

    for (; image < last; image++) {
        load_planes(c, p, x->in, group, image, row, rows, room);
        prefetch next = prefetch_of(x->in + (image + 1) * c->in.n, image + 1 < last ? c->in.n : 0,
                                    x->blocks.count * (vectors + 1) / 2);
        for (ptrdiff_t block = 0; block < x->blocks.count; block++) {
            ptrdiff_t first = channel_block_begin(x->blocks, block), size = channel_block_size(x->blocks, block);
            real *out = x->out + image * c->out.n + row * c->out.h + (group * c->OC + first) * c->out.c;
            int direct = in_place && first + size <= c->OC;
            const place *places = direct ? straight : through;
            real *to = direct ? out : results;
            plane_tile t = {.offset = x->offset,
                            .taps = x->taps,
                            .out_step = direct ? c->out.c : result_channel,
                            .w = x->packed + (group * x->channels + first) * x->taps,
                            .bias = x->bias + group * x->channels + first,
                            .relu = c->relu};
            for (ptrdiff_t v = 0; v < vectors; v += 2) {
                for (int i = 0; i < 2; i++) {
                    t.x[i] = room + places[v + i].in;
                    t.out[i] = to + places[v + i].out;
                }
                prefetch_some(&next);
                FN(plane_tile_run)(&t, size);
            }
            ptrdiff_t from_row = p.flat ? p.pitch : result_row, channels = at_most(size, c->OC - first);
            if (c->pool) {
                pool_out(c, results, result_channel, from_row, channels, row, rows, x->out,
                         image * c->out.n + (group * c->OC + first) * c->out.c);
            } else if (!direct) {
                copy_out(c, results, result_channel, from_row, channels, rows, out);
            }
            if (c->rectified != NULL) {
                rectify_rows(c->out, channels, rows, c->w.out, c->rectified + (out - x->out), out);
            }
        }
    }
}

static ptrdiff_t row_values(const correlation *c)
{
    return c->IC * c->h.step * c->w.step * (c->w.out + (c->w.taps - 1) * c->w.spread / c->w.step + VLEN / 2);
}

void FN(correlate_planes)(const correlation *c, const real *in, const real *w, const real *bias, real *out)
{
    context x = {.c = c, .in = in, .w = w, .out = out, .blocks = channel_blocks_of(c->OC)};
    x.taps = c->IC * c->h.taps * c->w.taps;
    x.channels = channel_block_begin(x.blocks, x.blocks.count);
    double row_bytes = (double)row_values(c) * sizeof(real);
    x.cut = FN(cut_batch)(c, row_bytes * c->h.taps * c->h.spread / c->h.step, row_bytes, 1);
    if (c->pool && x.cut.strips > 1) { /* both rows of a window in one strip */
        x.cut.rows += x.cut.rows % 2;
        x.cut.strips = ceil_div(c->h.out, x.cut.rows);
    }
    x.planes = planes_of(c, x.cut.rows);

    size_t weights = (size_t)ceil_div(c->G * x.channels * (x.taps + 1), VLEN) * VBYTES;
    char *memory = memory_get(weights + (size_t)x.taps * sizeof(ptrdiff_t));
    if (memory == NULL) {
        kernel_abort(KERNEL_NO_MEMORY);
        return;
    }
    x.packed = (real *)memory;
    x.bias = x.packed + c->G * x.channels * x.taps;
    x.offset = (ptrdiff_t *)(memory + weights);
    fill_offsets(c, x.planes, x.offset);
    for (ptrdiff_t group = 0; group < c->G; group++) {
        pack_weights(&x, group);
        for (ptrdiff_t m = 0; m < x.channels; m++) {
            x.bias[group * x.channels + m] = bias != NULL && m < c->OC ? bias[group * c->OC + m] : 0;
        }
    }
    parallel_for(x.cut.image_chunks * x.cut.strips * c->G, correlate_chunk, &x);
    memory_put(memory);
}

/* ---- backward to the weights ------------------------------------------------------------------------------------- */

/* dw[m][tap] = sum over pixels of dy[m][pixel] * x[pixel + offset of the tap]: tiles of a few channels times a few
 * taps run over all vectors of pixels. Their sums stay vectors over all images of a chunk and only then become
 * numbers: adding up the lanes for each image would cost as much as the products.
 *
 * Rows of dy that are whole vectors are read where they lie. Otherwise dy is copied, with zeros where its rows end, so
 * that what x has there does not count; if the planes are flat, with the pitch of x. */
typedef struct {
    const correlation *c;
    const real *in, *dout;
    real *sums; /* [slot][group][channel][tap], then [slot][group][channel] for db */
    real *dw, *db;
    ptrdiff_t *offset;
    ptrdiff_t taps, slots, rows, strips, batch; /* batch: strips that are summed over together */
    ptrdiff_t runs;                             /* of one strip: columns of vectors, or one long row */
    ptrdiff_t dy_pitch, dy_plane, strip_values; /* strip_values: what is copied of one strip, x and dy */
    int dy_in_place;
    planes planes;
} weight_context;

/* Vectors of sums of one block: all of its tiles. */
static ptrdiff_t dot_block_sums(ptrdiff_t size, ptrdiff_t taps)
{
    return ceil_div(taps, dot_tile_taps(size)) * dot_tile_taps(size) * size;
}

static void load_dy(const weight_context *x, ptrdiff_t group, ptrdiff_t image, ptrdiff_t row, ptrdiff_t rows,
                    real *room)
{
    const correlation *c = x->c;
    piece from = {.image = x->dout + image * c->out.n + group * c->OC * c->out.c,
                  .stride = c->out,
                  .channels = c->OC,
                  .h = c->h.out,
                  .w = c->w.out,
                  .row = row,
                  .rows = rows,
                  .col = 0,
                  .cols = c->w.out};
    FN(pack_planes)(&from, 1, 1, x->dy_pitch, x->dy_plane, room);
}

/* All tiles of all blocks over one batch of strips: plane m of dy begins at dy + m*dy_plane, x at its first tap. */
static void dot_tiles(const weight_context *x, dot_tile t, const real *in, const real *dy, ptrdiff_t dy_plane,
                      real *sums, prefetch *next_x, prefetch *next_dy)
{
    const correlation *c = x->c;
    channel_blocks blocks = dot_blocks_of(c->OC);
    for (ptrdiff_t block = 0; block < blocks.count; block++) {
        ptrdiff_t first = dot_block_begin(blocks, block), size = dot_block_size(blocks, block);
        ptrdiff_t tile = dot_tile_taps(size);
        for (ptrdiff_t m = 0; m < size; m++) {
            t.dy[m] = dy + at_most(first + m, c->OC - 1) * dy_plane;
        }
        for (ptrdiff_t k = 0; k < x->taps; k += tile, sums += size * tile * VLEN) {
            for (ptrdiff_t i = 0; i < tile; i++) {
                t.x[i] = in + x->offset[at_most(k + i, x->taps - 1)];
            }
            t.sums = sums;
            prefetch_some(next_x);
            prefetch_some(next_dy);
            FN(dot_tile_run)(&t, size);
        }
    }
}

/* Lanes added up, from the order of the tiles to the order of the weights. */
static void finish_sums(const weight_context *x, const real *sums, real *to)
{
    const correlation *c = x->c;
    channel_blocks blocks = dot_blocks_of(c->OC);
    for (ptrdiff_t block = 0; block < blocks.count; block++) {
        ptrdiff_t first = dot_block_begin(blocks, block), size = dot_block_size(blocks, block);
        ptrdiff_t tile = dot_tile_taps(size), channels = at_most(size, c->OC - first);
        for (ptrdiff_t k = 0; k < x->taps; k += tile, sums += size * tile * VLEN) {
            real numbers[DOT_TILE_CHANNELS * DOT_TILE_TAPS];
            lane_sums(sums, size * tile, numbers);
            for (ptrdiff_t m = 0; m < channels; m++) {
                for (ptrdiff_t i = 0; i < at_most(tile, x->taps - k); i++) {
                    to[(first + m) * x->taps + k + i] = numbers[m * tile + i];
                }
            }
        }
    }
}

static ptrdiff_t all_dot_sums(const weight_context *x)
{
    channel_blocks blocks = dot_blocks_of(x->c->OC);
    ptrdiff_t vectors = 0;
    for (ptrdiff_t block = 0; block < blocks.count; block++) {
        vectors += dot_block_sums(dot_block_size(blocks, block), x->taps);
    }
    return vectors * VLEN;
}

/* db += the planes of dy of one strip, `values` of each, in vectors: four sums that need not wait for each other. */
static void add_planes(const real *dy, ptrdiff_t planes, ptrdiff_t plane, ptrdiff_t values, real *sums)
{
    for (ptrdiff_t m = 0; m < planes; m++, dy += plane) {
        vec a = v_load(sums + m * VLEN), b = v_zero(), c = v_zero(), d = v_zero();
        ptrdiff_t i = 0;
        for (; i + 4 * VLEN <= values; i += 4 * VLEN) {
            a += v_load(dy + i);
            b += v_load(dy + i + VLEN);
            c += v_load(dy + i + 2 * VLEN);
            d += v_load(dy + i + 3 * VLEN);
        }
        for (; i < values; i += VLEN) {
            a += v_load(dy + i);
        }
        v_store(sums + m * VLEN, (a + b) + (c + d));
    }
}

static void weight_chunk(void *context_, ptrdiff_t chunk)
{
    const weight_context *x = context_;
    const correlation *c = x->c;
    planes p = x->planes;
    ptrdiff_t group = chunk % c->G, slot = chunk / c->G, begin, end;
    chunk_bounds(c->N * x->strips, x->slots, slot, &begin, &end);

    ptrdiff_t dots = all_dot_sums(x), values = x->batch * x->strip_values + dots + c->OC * VLEN;
    real *room = scratch((size_t)values * sizeof(real) + (size_t)(x->batch * x->runs) * sizeof(dot_run));
    if (room == NULL) {
        kernel_abort(KERNEL_NO_MEMORY);
        return;
    }
    real *sums = room + x->batch * x->strip_values, *bias = sums + dots;
    dot_run *run = (dot_run *)(room + values);
    memset(bias, 0, (size_t)(c->OC * VLEN) * sizeof *bias);

    const real *dy = x->dy_in_place ? x->dout + group * c->OC * c->out.c : room + p.image;
    ptrdiff_t dy_plane = x->dy_in_place ? c->out.c : x->dy_plane;
    dot_tile t = {.run = run, .x_step = p.flat ? VLEN : p.pitch, .dy_step = p.flat ? VLEN : x->dy_pitch};
    t.length = p.flat ? ceil_div((x->rows - 1) * p.pitch + c->w.out, VLEN) : x->rows;
    for (ptrdiff_t strip = begin; strip < end;) {
        /* A shorter last strip of an image has zeros of dy where its rows end. */
        ptrdiff_t batch = at_most(x->batch, end - strip);
        for (ptrdiff_t i = 0; i < batch; i++, strip++) {
            ptrdiff_t image = strip / x->strips, row = strip % x->strips * x->rows;
            ptrdiff_t rows = at_most(x->rows, c->h.out - row), strip_dy = i * x->strip_values;
            load_planes(c, p, x->in, group, image, row, rows, room + i * x->strip_values);
            if (x->dy_in_place) {
                strip_dy = image * c->out.n + row * c->out.h;
            } else {
                load_dy(x, group, image, row, rows, room + p.image + strip_dy);
            }
            for (ptrdiff_t r = 0; r < x->runs; r++) {
                run[i * x->runs + r] = (dot_run){.x = i * x->strip_values + r * VLEN, .dy = strip_dy + r * VLEN};
            }
            if (x->db != NULL) {
                add_planes(dy + strip_dy, c->OC, dy_plane, x->dy_in_place ? rows * c->w.out : x->dy_plane, bias);
            }
        }
        t.runs = batch * x->runs;
        t.accumulate = strip > begin + batch;
        ptrdiff_t image = strip / x->strips, tiles = (dots / VLEN) / (DOT_TILE_CHANNELS * 4);
        int more = x->strips == 1 && strip < end;
        prefetch next_x = prefetch_of(x->in + image * c->in.n, more ? batch * c->in.n : 0, tiles);
        prefetch next_dy = prefetch_of(x->dout + image * c->out.n, more ? batch * c->out.n : 0, tiles);
        dot_tiles(x, t, room, dy, dy_plane, sums, &next_x, &next_dy);
    }

    ptrdiff_t all = x->slots * c->G * c->OC * x->taps;
    finish_sums(x, sums, x->sums + chunk * c->OC * x->taps);
    for (ptrdiff_t m = 0; m < c->OC; m++) {
        x->sums[all + chunk * c->OC + m] = lane_sum(bias + m * VLEN);
    }
}

/* to[i] = sum over slots, in order. */
static void add_slots(const real *sums, ptrdiff_t slots, ptrdiff_t n, real *to)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        to[i] = plus_real_parts(sums[i], sums + n + i, slots - 1, n);
    }
}

/* The shares of one group: several for each thread, an even number, where they are long enough to be worth it. A share
 * has sums of its own, whose lanes are added up in the end: as much time as several hundred products for each. */
static ptrdiff_t count_slots(const correlation *c, ptrdiff_t sums)
{
    enum { WANTED = 8, MOST = 64 };
    double work = correlation_work(c) / (double)c->G, least = (double)at_least(1 << 20, 768 * sums);
    double share = work / WANTED < 16 << 20 ? work / WANTED : 16 << 20;
    double slots = work / (share < least ? least : share);
    ptrdiff_t most = at_least(MOST / c->G, 1);
    return slots <= 1 ? 1 : slots < (double)most ? at_most(2 * (ptrdiff_t)(slots / 2 + 0.999), most) : most;
}

void FN(correlate_planes_weight)(const correlation *c, const real *in, const real *dout, real *dw, real *db)
{
    /* The planes of dy that a tile reads should stay in the first cache while all taps pass over them. */
    enum { TILE_BYTES = 28 << 10, BATCH_BYTES = 192 << 10 };
    const ptrdiff_t tile_values = TILE_BYTES / (ptrdiff_t)sizeof(real) / dot_block_size(dot_blocks_of(c->OC), 0);
    weight_context x = {.c = c, .in = in, .dout = dout, .dw = dw, .db = db};
    x.taps = c->IC * c->h.taps * c->w.taps;
    ptrdiff_t rows_cached = BATCH_BYTES / (ptrdiff_t)sizeof(real) / (row_values(c) + c->OC * (c->w.out + VLEN));
    ptrdiff_t rows_tile = tile_values / (c->w.out + (c->w.taps - 1) * c->w.spread / c->w.step);
    x.strips = ceil_div(c->h.out, at_most(at_least(at_most(rows_cached, rows_tile), 1), c->h.out));
    x.rows = ceil_div(c->h.out, x.strips);
    x.strips = ceil_div(c->h.out, x.rows);
    x.planes = planes_of(c, x.rows);
    x.runs = x.planes.flat ? 1 : ceil_div(c->w.out, VLEN);
    x.dy_in_place = !x.planes.flat && c->out.w == 1 && c->w.out % VLEN == 0 && c->h.out % x.rows == 0;
    x.dy_pitch = x.planes.flat ? x.planes.pitch : x.runs * VLEN;
    x.dy_plane = ceil_div(x.rows * x.dy_pitch + PLANE_SLACK, VLEN) * VLEN;
    x.strip_values = x.planes.image + (x.dy_in_place ? 0 : c->OC * x.dy_plane);

    x.slots = count_slots(c, c->OC * x.taps);
    x.slots = at_most(x.slots, c->N * x.strips);
    x.batch = at_most(BATCH_BYTES / (ptrdiff_t)sizeof(real) / x.strip_values, tile_values / (x.rows * x.dy_pitch));
    x.batch = at_most(at_least(x.batch, 1), ceil_div(c->N * x.strips, x.slots));

    ptrdiff_t values = c->G * c->OC * x.taps;
    size_t sums = (size_t)ceil_div(x.slots * (values + c->G * c->OC), VLEN) * VBYTES;
    char *memory = memory_get(sums + (size_t)x.taps * sizeof(ptrdiff_t));
    if (memory == NULL) {
        kernel_abort(KERNEL_NO_MEMORY);
        return;
    }
    x.sums = (real *)memory;
    x.offset = (ptrdiff_t *)(memory + sums);
    fill_offsets(c, x.planes, x.offset);
    parallel_for(x.slots * c->G, weight_chunk, &x);
    add_slots(x.sums, x.slots, values, dw);
    if (db != NULL) {
        add_slots(x.sums + x.slots * values, x.slots, c->G * c->OC, db);
    }
    memory_put(memory);
}
