/* winograd: 3x3 convolution by Winograd's minimal filtering, all three passes. The algebra of one tile stands in
 * winograd_transforms.h; the story with pictures in docs/engine.md.
 *
 * With V = B' d B for the (m+2) x (m+2) patch d of each input channel, U = G g G' for each filter g, and Z = A dy A'
 * for each m x m tile of output gradients,
 *
 *     forward      y  = A' [ sum over ic of U * V ] A           for each tile and output channel
 *     to the input     the same, of dy, with the filters flipped and ic and oc swapped
 *     to weights   dg = G' [ sum over tiles of V * Z ] G        for each input and output channel
 *
 * where * is element by element: the (m+2)^2 positions never meet. So at each position the sum is a product of
 * matrices, (tiles x IC) (IC x OC), or for the weights (IC x tiles) (tiles x OC). There the time goes, and tile() does
 * it at the speed of the machine.
 *
 * The unit of work is a strip: one row of tiles of one image. Its pixels become V in two steps,
 *
 *     x, m+2 rows of pixels          first down each column           then along each row, tile by tile
 *     ┌─────────────────────┐        ┌─────────────────────┐          position 0   [tile][channel]
 *     │ 0 x x x x x x ... 0 │   ->   │                     │    ->    position 1   [tile][channel]
 *     └─────────────────────┘        └─────────────────────┘             ...
 *
 * Where channels are few, a chunk takes some strips through all steps, and what it needs stays in the second-level
 * cache: "fused". Where channels are so many that a dozen tiles would not fit, a batch of tiles takes one step after
 * the other, and the products are cut by position: "staged". Where tiles are so few that the filters are the work, a
 * chunk takes a panel of output channels from the weights to the pixels, and U is never stored as a whole: "narrow".
 */
#include "winograd.h"

#include <string.h>

#include "../memory.h"
#include "../threads.h"
#include "not_finite.h"
#include "winograd_pass.h"

enum {
    FUSED_BYTES = 512 << 10,     /* of V and sums in a fused chunk: half of a second-level cache */
    STAGED_BYTES = 8 << 20,      /* of V and sums in a staged batch: a share of the third-level cache */
    FUSED_LEAST = 2 * TILE_ROWS, /* tiles in a fused chunk; with fewer, tile() runs half empty */
    GRADIENT_BYTES = 768 << 10,  /* of sums for the weights that a chunk may keep for itself */
    SLOTS = 16,                  /* chunks that keep such sums, at most, */
    SLOTS_BYTES = 5 << 20,       /* and all that they keep */
    PANEL_K = 32,                /* input channels of U at a time, where tiles are few: */
    NARROW_TILES = 32,           /* so many at most, */
    NARROW_CHANNELS = 1 << 10,   /* and so many products of input and output channels for each, or more */
    GRAIN = 1 << 20,             /* multiply-adds in a chunk, at least */
};

static ptrdiff_t round_up(ptrdiff_t n, ptrdiff_t multiple) { return ceil_div(n, multiple) * multiple; }

/* ---- products at one position ------------------------------------------------------------------------------------ */

typedef void tile_function(ptrdiff_t K, const real *a, ptrdiff_t a_step, const real *b, ptrdiff_t b_k, real *c,
                           ptrdiff_t c_row, const tile_store *how);

/* Forward, a row of the tile is a tile of the image and k runs along its channels; for the weights the other way. */
#define TILE_FUNCTION(rows, cols)                                                                                    \
    static void forward_##rows##_##cols(ptrdiff_t K, const real *a, ptrdiff_t a_step, const real *b, ptrdiff_t b_k,  \
                                        real *c, ptrdiff_t c_row, const tile_store *how)                             \
    {                                                                                                                \
        tile(rows, cols, K, a, a_step, 1, b, b_k, c, c_row, cols * VLEN, how);                                       \
    }                                                                                                                \
    static void gradient_##rows##_##cols(ptrdiff_t K, const real *a, ptrdiff_t a_step, const real *b, ptrdiff_t b_k, \
                                         real *c, ptrdiff_t c_row, const tile_store *how)                            \
    {                                                                                                                \
        tile(rows, cols, K, a, 1, a_step, b, b_k, c, c_row, cols * VLEN, how);                                       \
    }
#define TILE_FUNCTIONS(rows) TILE_FUNCTION(rows, 1) TILE_FUNCTION(rows, 2)
#define FORWARD_ENTRY(rows) {forward_##rows##_1, forward_##rows##_2},
#define GRADIENT_ENTRY(rows) {gradient_##rows##_1, gradient_##rows##_2},
EACH_TILE_SIZE(TILE_FUNCTIONS)
static tile_function *const forward_tiles[TILE_ROWS][2] = {EACH_TILE_SIZE(FORWARD_ENTRY)};
static tile_function *const gradient_tiles[TILE_ROWS][2] = {EACH_TILE_SIZE(GRADIENT_ENTRY)};

/* sums = or += V U: (tiles x K) (K x lanes), for a panel of output channels */
static void panel_product(ptrdiff_t K, const real *v, ptrdiff_t v_tile, const real *u, ptrdiff_t lanes, real *sums,
                          ptrdiff_t sums_tile, ptrdiff_t tiles, int accumulate)
{
    const tile_store how = {NULL, accumulate};
    ptrdiff_t row_tiles = ceil_div(tiles, TILE_ROWS);
    for (ptrdiff_t t = 0; t < row_tiles; t++) {
        ptrdiff_t begin, end;
        chunk_bounds(tiles, row_tiles, t, &begin, &end);
        forward_tiles[end - begin - 1][lanes > VLEN](K, v + begin * v_tile, v_tile, u, lanes, sums + begin * sums_tile,
                                                     sums_tile, &how);
    }
}

/* sums = V U: (tiles x C) (C x oc) */
static void forward_product(const pass *p, ptrdiff_t position, grid v, grid sums, ptrdiff_t tiles)
{
    ptrdiff_t C = p->in.C, oc = p->out.c;
    for (ptrdiff_t n = 0; n < oc; n += TILE_COLS) {
        panel_product(C, v.p + position * v.position, v.tile, p->u + position * p->u_position + n * C,
                      panel_lanes(oc, n), sums.p + position * sums.position + n / TILE_COLS * sums.panel, sums.tile,
                      tiles, 0);
    }
}

/* gradient = or += V' Z: (C x tiles) (tiles x oc) */
static void gradient_product(const pass *p, ptrdiff_t position, grid v, grid z, ptrdiff_t tiles, real *gradient,
                             int accumulate)
{
    const tile_store how = {NULL, accumulate};
    ptrdiff_t C = p->in.C, oc = p->out.c;
    for (ptrdiff_t n = 0; n < oc; n += TILE_COLS) {
        const real *b = z.p + position * z.position + n / TILE_COLS * z.panel;
        for (ptrdiff_t k = 0; k < C; k += TILE_COLS) { /* a tile of rows does not leave its panel of V */
            ptrdiff_t rows = at_most(TILE_COLS, C - k), row_tiles = ceil_div(rows, TILE_ROWS);
            const real *a = v.p + position * v.position + k / TILE_COLS * v.panel;
            for (ptrdiff_t t = 0; t < row_tiles; t++) {
                ptrdiff_t begin, end;
                chunk_bounds(rows, row_tiles, t, &begin, &end);
                real *c = gradient + position * p->gradient_position + (k + begin) * oc + n;
                gradient_tiles[end - begin - 1][panel_lanes(oc, n) > VLEN](tiles, a + begin, v.tile, b, z.tile, c, oc,
                                                                           &how);
            }
        }
    }
}

/* ---- fused chunks ------------------------------------------------------------------------------------------------ */

/* A grid for `tiles` tiles. A line between the positions keeps them out of each other's way in the cache. Rows, k along
 * the channels, lie channel after channel; columns, k along the tiles, in panels. */
static grid grid_of_rows(ptrdiff_t tiles, ptrdiff_t c)
{
    ptrdiff_t tile = c % 256 == 0 ? c + LINE : c; /* tiles a power of two apart would meet in the cache, too */
    return (grid){.tile = tile, .panel = TILE_COLS, .position = tiles * tile + LINE};
}

static grid grid_of_columns(ptrdiff_t tiles, ptrdiff_t c)
{
    ptrdiff_t panel = tiles * TILE_COLS;
    return (grid){.tile = TILE_COLS, .panel = panel, .position = ceil_div(c, TILE_COLS) * panel + LINE};
}

static ptrdiff_t grid_size(const pass *p, grid g) { return p->positions * g.position; }

/* This thread's scratch, n values, or NULL and the kernel call is over. */
static real *take_scratch(ptrdiff_t n)
{
    real *space = scratch((size_t)n * sizeof(real));
    if (space == NULL) {
        kernel_abort(KERNEL_NO_MEMORY);
    }
    return space;
}

static void fused_chunk(void *context, ptrdiff_t chunk)
{
    const pass *p = context;
    ptrdiff_t begin = chunk * p->strips_per_chunk, end = at_most(begin + p->strips_per_chunk, p->strips);
    grid v = p->v, sums = p->sums;
    v.p = take_scratch(grid_size(p, v) + grid_size(p, sums) +
                       at_least(FN(winograd_input_space)(p), FN(winograd_output_space)(p)));
    if (v.p == NULL) {
        return;
    }
    sums.p = v.p + grid_size(p, v);
    real *space = sums.p + grid_size(p, sums);
    FN(winograd_input_strips)(p, begin, end, v, 0, space);
    for (ptrdiff_t position = 0; position < p->positions; position++) {
        forward_product(p, position, v, sums, (end - begin) * p->tile_cols);
    }
    FN(winograd_output_strips)(p, begin, end, sums, 0, space);
}

/* The strips of one slot, a few at a time. */
static void fused_gradient_chunk(void *context, ptrdiff_t slot)
{
    const pass *p = context;
    ptrdiff_t begin, end;
    chunk_bounds(p->strips, p->slots, slot, &begin, &end);
    grid v = p->v, z = p->sums;
    v.p = take_scratch(grid_size(p, v) + grid_size(p, z) +
                       at_least(FN(winograd_input_space)(p), FN(winograd_gradient_space)(p)));
    if (v.p == NULL) {
        return;
    }
    z.p = v.p + grid_size(p, v);
    real *space = z.p + grid_size(p, z);
    real *gradient = p->gradient + slot * gradient_size(p);
    for (ptrdiff_t some = begin; some < end; some += p->strips_per_chunk) {
        ptrdiff_t some_end = at_most(some + p->strips_per_chunk, end);
        FN(winograd_input_strips)(p, some, some_end, v, 0, space);
        FN(winograd_gradient_strips)(p, some, some_end, z, 0, p->db != NULL ? p->db + slot * p->out.c : NULL, space);
        for (ptrdiff_t position = 0; position < p->positions; position++) {
            gradient_product(p, position, v, z, (some_end - some) * p->tile_cols, gradient, some > begin);
        }
    }
}

/* ---- staged chunks ----------------------------------------------------------------------------------------------- */

static void staged_bounds(const pass *p, ptrdiff_t chunk, ptrdiff_t *begin, ptrdiff_t *end, ptrdiff_t *tile)
{
    *begin = p->first + chunk * p->strips_per_chunk;
    *end = at_most(*begin + p->strips_per_chunk, p->last);
    *tile = (*begin - p->first) * p->tile_cols;
}

static void staged_input_chunk(void *context, ptrdiff_t chunk)
{
    const pass *p = context;
    ptrdiff_t begin, end, tile;
    staged_bounds(p, chunk, &begin, &end, &tile);
    real *space = take_scratch(FN(winograd_input_space)(p));
    if (space != NULL) {
        FN(winograd_input_strips)(p, begin, end, p->v, tile, space);
    }
}

static void staged_product_chunk(void *context, ptrdiff_t position)
{
    const pass *p = context;
    forward_product(p, position, p->v, p->sums, (p->last - p->first) * p->tile_cols);
}

static void staged_output_chunk(void *context, ptrdiff_t chunk)
{
    const pass *p = context;
    ptrdiff_t begin, end, tile;
    staged_bounds(p, chunk, &begin, &end, &tile);
    real *space = take_scratch(FN(winograd_output_space)(p));
    if (space != NULL) {
        FN(winograd_output_strips)(p, begin, end, p->sums, tile, space);
    }
}

static void staged_gradient_input_chunk(void *context, ptrdiff_t chunk)
{
    const pass *p = context;
    ptrdiff_t begin, end, tile;
    staged_bounds(p, chunk, &begin, &end, &tile);
    real *space = take_scratch(at_least(FN(winograd_input_space)(p), FN(winograd_gradient_space)(p)));
    if (space != NULL) {
        FN(winograd_input_strips)(p, begin, end, p->v, tile, space);
        FN(winograd_gradient_strips)(p, begin, end, p->sums, tile, p->db != NULL ? p->db + chunk * p->out.c : NULL,
                                     space);
    }
}

static void staged_gradient_product_chunk(void *context, ptrdiff_t position)
{
    const pass *p = context;
    gradient_product(p, position, p->v, p->sums, (p->last - p->first) * p->tile_cols, p->gradient, p->first > 0);
}

/* ---- narrow chunks ----------------------------------------------------------------------------------------------- */

/* A panel of output channels from the filters to the pixels. A block of filters becomes U, which is used at once and
 * never leaves the second-level cache: for one small image, writing all of U and reading it back would take longer than
 * everything else. While a block is multiplied, the filters of the next one are asked for, some lines at a time. */
static void panel_chunk(void *context, ptrdiff_t chunk)
{
    const pass *p = context;
    const ptrdiff_t n = chunk * TILE_COLS, lanes = panel_lanes(p->out.c, n), C = p->in.C,
                    tiles = p->strips * p->tile_cols;
    const ptrdiff_t u_position = PANEL_K * lanes + LINE;
    grid sums = grid_of_rows(tiles, lanes);
    real *u = take_scratch(p->positions * u_position + grid_size(p, sums) + FN(winograd_output_space)(p));
    if (u == NULL) {
        return;
    }
    sums.p = u + p->positions * u_position;
    for (ptrdiff_t k = 0; k < C; k += PANEL_K) {
        ptrdiff_t K = at_most(PANEL_K, C - k);
        FN(winograd_some_filters)(p, n, k, k + K, u, u_position);
        for (ptrdiff_t position = 0; position < p->positions; position++) {
            if (p->w_k == 9 && position < lanes) {
                prefetch next =
                    prefetch_of(p->w + at_most(n + position, p->out.C - 1) * p->w_n + 9 * (k + K), 9 * K, 1);
                prefetch_some(&next);
            }
            panel_product(K, p->v.p + position * p->v.position + k, p->v.tile, u + position * u_position, lanes,
                          sums.p + position * sums.position, sums.tile, tiles, k > 0);
        }
    }
    pass panel = *p;
    panel.out.C = at_most(lanes, p->out.C - n);
    panel.out.c = lanes;
    panel.w += n * p->w_n;
    panel.y += n * p->out.stride.c;
    panel.scale += n;
    panel.bias += n;
    FN(winograd_output_strips)(&panel, 0, p->strips, sums, 0, sums.p + grid_size(p, sums));
}

/* ---- passes ------------------------------------------------------------------------------------------------------ */

static image image_of(ptrdiff_t C, ptrdiff_t H, ptrdiff_t W, strides4 stride)
{
    return (image){C, H, W, round_up(C, VLEN), stride, stride.c == 1 && C % VLEN == 0};
}

static pass pass_of(ptrdiff_t N, image in, image out, ptrdiff_t PH, ptrdiff_t PW, int precise)
{
    pass p = {.m = precise ? 2 : 4, .N = N, .in = in, .out = out, .PH = PH, .PW = PW};
    p.positions = (p.m + 2) * (p.m + 2);
    p.tile_rows = ceil_div(out.H, p.m);
    p.tile_cols = ceil_div(out.W, p.m);
    p.strips = N * p.tile_rows;
    return p;
}

/* Tiles whose V and sums take so many bytes. */
static ptrdiff_t tiles_in(const pass *p, ptrdiff_t bytes)
{
    return bytes / (ptrdiff_t)(p->positions * (p->in.c + p->out.c) * sizeof(real));
}

/* The tiles of a fused chunk; 0 if staged is better. */
static ptrdiff_t fused_tiles(const pass *p)
{
    ptrdiff_t most = tiles_in(p, FUSED_BYTES), all = p->strips * p->tile_cols;
    ptrdiff_t least = GRAIN / (p->positions * p->in.c * p->out.c) + 1; /* tiles that are worth a chunk */
    if (most < FUSED_LEAST || (all < 2 * least && all * p->positions * p->in.c * p->out.c > 2 * GRAIN)) {
        return 0;
    }
    return at_most(most, at_least(at_least(least, FUSED_LEAST), all / WINOGRAD_CHUNKS));
}

static ptrdiff_t staged_batch(pass *p, ptrdiff_t bytes)
{
    ptrdiff_t strips = at_most(p->strips, at_least(1, tiles_in(p, bytes) / p->tile_cols));
    p->strips_per_chunk = at_least(1, strips / WINOGRAD_CHUNKS);
    return strips;
}

static void run_fused(pass *p, ptrdiff_t tiles)
{
    p->strips_per_chunk = at_least(1, tiles / p->tile_cols);
    tiles = p->strips_per_chunk * p->tile_cols;
    p->v = grid_of_rows(tiles, p->in.c);
    p->sums = grid_of_rows(tiles, p->out.c);
    parallel_for(ceil_div(p->strips, p->strips_per_chunk), fused_chunk, p);
}

static void run_staged(pass *p)
{
    ptrdiff_t batch = staged_batch(p, STAGED_BYTES), chunks = ceil_div(batch, p->strips_per_chunk);
    p->v = grid_of_rows(batch * p->tile_cols, p->in.c);
    p->sums = grid_of_rows(batch * p->tile_cols, p->out.c);
    real *space = memory_get((size_t)(grid_size(p, p->v) + grid_size(p, p->sums)) * sizeof(real));
    if (space == NULL) {
        kernel_abort(KERNEL_NO_MEMORY);
        return;
    }
    p->v.p = space;
    p->sums.p = space + grid_size(p, p->v);
    for (p->first = 0; p->first < p->strips; p->first = p->last) {
        p->last = at_most(p->first + batch, p->strips);
        chunks = ceil_div(p->last - p->first, p->strips_per_chunk);
        parallel_for(chunks, staged_input_chunk, p);
        parallel_for(p->positions, staged_product_chunk, p);
        parallel_for(chunks, staged_output_chunk, p);
    }
    memory_put(space);
}

/* Few tiles and many channels: writing U takes longer than reading V once for each panel. */
static int is_narrow(const pass *p)
{
    ptrdiff_t tiles = p->strips * p->tile_cols;
    return tiles <= NARROW_TILES && NARROW_CHANNELS * tiles <= p->in.C * p->out.C && !p->pool && p->rectified == NULL;
}

static void run_narrow(pass *p)
{
    ptrdiff_t tiles = p->strips * p->tile_cols;
    p->first = 0;
    p->last = p->strips;
    p->strips_per_chunk = 1;
    p->v = grid_of_rows(tiles, p->in.c);
    p->v.p = memory_get((size_t)grid_size(p, p->v) * sizeof(real));
    if (p->v.p == NULL) {
        kernel_abort(KERNEL_NO_MEMORY);
        return;
    }
    parallel_for(p->strips, staged_input_chunk, p);
    parallel_for(ceil_div(p->out.c, TILE_COLS), panel_chunk, p);
    memory_put(p->v.p);
}

static void correlate(pass *p, const real *scale, const real *bias)
{
    ptrdiff_t oc = p->out.c, narrow = is_narrow(p);
    p->u_position = p->in.C * oc + LINE;
    ptrdiff_t u_size = narrow ? 0 : p->positions * p->u_position;
    if (p->strips == 0) {
        return;
    }
    p->scale = memory_get((size_t)(2 * oc + u_size) * sizeof(real));
    if (p->scale == NULL) {
        kernel_abort(KERNEL_NO_MEMORY);
        return;
    }
    p->bias = p->scale + oc;
    p->u = p->bias + oc;
    for (ptrdiff_t n = 0; n < oc; n++) {
        p->scale[n] = scale != NULL && n < p->out.C ? scale[n] : 1;
        p->bias[n] = bias != NULL && n < p->out.C ? bias[n] : 0;
    }
    if (narrow) {
        run_narrow(p);
    } else {
        parallel_for(ceil_div(oc, TILE_COLS), FN(winograd_filters_chunk), p);
        ptrdiff_t tiles = fused_tiles(p);
        if (tiles > 0) {
            run_fused(p, tiles);
        } else {
            run_staged(p);
        }
    }
    memory_put(p->scale);
}

void FN(winograd_forward)(const conv2d_shape *s, const real *x, const real *w, const real *b, real *y, int precise)
{
    pass p =
        pass_of(s->N, image_of(s->C, s->H, s->W, s->x), image_of(s->OC, s->OH, s->OW, s->y), s->PH, s->PW, precise);
    p.x = x;
    p.y = y;
    p.w = w;
    p.w_n = s->C * 9;
    p.w_k = 9;
    p.relu = s->relu;
    p.pool = s->pool;
    p.argmax = s->argmax;
    correlate(&p, s->scale, b);
}

/* dx[i] = sum over k of w[k] dy[i + P - k]: with k read backwards, a correlation with 2-P zeros before dy. */
void FN(winograd_backward_input)(const conv2d_shape *s, const real *dy, const real *w, const real *rectified, real *dx,
                                 int precise)
{
    pass p = pass_of(s->N, image_of(s->OC, s->OH, s->OW, s->y), image_of(s->C, s->H, s->W, s->x), 2 - s->PH, 2 - s->PW,
                     precise);
    p.x = dy;
    p.y = dx;
    p.rectified = rectified;
    p.w = w;
    p.w_n = 9;
    p.w_k = s->C * 9;
    p.flip = 1;
    correlate(&p, NULL, NULL);
}

/* Sums for the weights that fit a chunk's own cache: each slot runs through its share of the strips. */
static void gradient_fused(pass *p, ptrdiff_t tiles)
{
    p->strips_per_chunk = at_least(1, tiles / p->tile_cols);
    tiles = p->strips_per_chunk * p->tile_cols;
    p->v = grid_of_columns(tiles, p->in.c);
    p->sums = grid_of_columns(tiles, p->out.c);
    parallel_for(p->slots, fused_gradient_chunk, p);
}

static void gradient_staged(pass *p, ptrdiff_t batch)
{
    p->v = grid_of_columns(batch * p->tile_cols, p->in.c);
    p->sums = grid_of_columns(batch * p->tile_cols, p->out.c);
    real *space = memory_get((size_t)(grid_size(p, p->v) + grid_size(p, p->sums)) * sizeof(real));
    if (space == NULL) {
        kernel_abort(KERNEL_NO_MEMORY);
        return;
    }
    p->v.p = space;
    p->sums.p = space + grid_size(p, p->v);
    for (p->first = 0; p->first < p->strips; p->first = p->last) {
        p->last = at_most(p->first + batch, p->strips);
        parallel_for(ceil_div(p->last - p->first, p->strips_per_chunk), staged_gradient_input_chunk, p);
        parallel_for(p->positions, staged_gradient_product_chunk, p);
    }
    memory_put(space);
}

void FN(winograd_backward_weight)(const conv2d_shape *s, const real *x, const real *dy, real *dw, real *db, int precise)
{
    pass p =
        pass_of(s->N, image_of(s->C, s->H, s->W, s->x), image_of(s->OC, s->OH, s->OW, s->y), s->PH, s->PW, precise);
    p.x = x;
    p.dy = dy;
    p.dw = dw;
    if (p.strips == 0) {
        memset(dw, 0, s->OC * s->C * 9 * sizeof(real));
        memset(db, 0, db != NULL ? s->OC * sizeof(real) : 0);
        return;
    }
    p.gradient_position = p.in.C * p.out.c + LINE;
    ptrdiff_t bytes = gradient_size(&p) * sizeof(real), tiles = fused_tiles(&p), batch = 0;
    if (tiles > 0 && bytes <= GRADIENT_BYTES) {
        p.slots = at_most(at_most(SLOTS, SLOTS_BYTES / bytes), ceil_div(p.strips * p.tile_cols, 2 * tiles));
        p.db_slots = p.slots;
    } else {
        tiles = 0;
        batch = staged_batch(&p, at_least(STAGED_BYTES, bytes / 2)); /* each batch passes over all sums */
        p.slots = 1;
        p.db_slots = ceil_div(batch, p.strips_per_chunk);
    }
    p.gradient = memory_get((size_t)(p.slots * bytes));
    p.db = db != NULL ? memory_get_zeroed((size_t)(p.db_slots * p.out.c) * sizeof(real)) : NULL;
    if (p.gradient == NULL || (db != NULL && p.db == NULL)) {
        kernel_abort(KERNEL_NO_MEMORY);
    } else {
        if (tiles > 0) {
            gradient_fused(&p, tiles);
        } else {
            gradient_staged(&p, batch);
        }
        if (p.slots > 1) {
            parallel_for(chunks_of(gradient_size(&p), WINOGRAD_SLOTS_GRAIN), FN(winograd_slots_chunk), &p);
        }
        char spoiled[WINOGRAD_CHUNKS] = {0};
        p.spoiled = spoiled;
        parallel_for(at_most(p.in.C, WINOGRAD_CHUNKS), FN(winograd_gradient_chunk), &p);
        if (memchr(spoiled, 1, WINOGRAD_CHUNKS) != NULL) {
            FN(mend_all_weights)(s, x, dy, dw);
        }
        for (ptrdiff_t oc = 0; db != NULL && oc < s->OC; oc++) {
            db[oc] = plus_real_parts(0, p.db + oc, p.db_slots, p.out.c);
        }
    }
    memory_put(p.gradient);
    memory_put(p.db);
}

/* ---- the chooser's questions ------------------------------------------------------------------------------------- */

int FN(winograd_can)(const conv2d_shape *s)
{
    ptrdiff_t below = s->OH + 2 - s->H - s->PH, right = s->OW + 2 - s->W - s->PW;
    return s->KH == 3 && s->KW == 3 && s->SH == 1 && s->SW == 1 && s->DH == 1 && s->DW == 1 && s->G == 1 &&
           s->PH <= 2 && s->PW <= 2 && below >= 0 && below <= 2 && right >= 0 && right <= 2 && s->H >= 1 && s->W >= 1;
}

int FN(winograd_suits)(const conv2d_shape *s, enum conv2d_pass pass, int precise)
{
    (void)pass;
    int m = precise ? 2 : 4;
    ptrdiff_t tiles = s->N * ceil_div(s->OH, m) * ceil_div(s->OW, m);
    /* With fewer tiles the filters' transformation is most of the work. It still pays where channels are many, unless
     * half of what the tiles compute hangs over. */
    int few = tiles >= 4 && s->C * s->OC >= 1 << 14 && 2 * s->N * s->OH * s->OW >= tiles * m * m;
    return FN(winograd_can)(s) && s->C >= 16 && s->OC >= 16 && s->OH >= 4 && s->OW >= 4 && (tiles >= 8 || few);
}
