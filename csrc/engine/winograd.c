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

#include "../kernels/max_window.h"
#include "../memory.h"
#include "../threads.h"
#include "direct.h"
#include "not_finite.h"
#include "pack.h"
#include "tile.h"
#include "winograd_transforms.h"

enum {
    FUSED_BYTES = 512 << 10,     /* of V and sums in a fused chunk: half of a second-level cache */
    STAGED_BYTES = 8 << 20,      /* of V and sums in a staged batch: a share of the third-level cache */
    FUSED_LEAST = 2 * TILE_ROWS, /* tiles in a fused chunk; with fewer, tile() runs half empty */
    GRADIENT_BYTES = 768 << 10,  /* of sums for the weights that a chunk may keep for itself */
    SLOTS = 16,                  /* chunks that keep such sums, at most, */
    SLOTS_BYTES = 5 << 20,       /* and all that they keep */
    SLOTS_GRAIN = 1 << 13,       /* values in a chunk that adds them up */
    CHUNKS = 32,
    TURNED = 8,                /* filters turned at a time */
    PANEL_K = 32,              /* input channels of U at a time, where tiles are few: */
    NARROW_TILES = 32,         /* so many at most, */
    NARROW_CHANNELS = 1 << 10, /* and so many products of input and output channels for each, or more */
    GRAIN = 1 << 20,           /* multiply-adds in a chunk, at least */
};

/* Positions x tiles x channels. The channels lie in panels of two vectors: value (position, tile, channel) is
 * p[position * .position + tile * .tile + channel / TILE_COLS * .panel + channel % TILE_COLS]. */
typedef struct {
    real *p;
    ptrdiff_t position, tile, panel;
} grid;

/* An activation, and how it is cut into strips. */
typedef struct {
    ptrdiff_t C, H, W, c; /* c: C up to whole vectors */
    strides4 stride;
    int direct; /* channels lie side by side, whole vectors of them */
} image;

typedef struct {
    int m, positions; /* outputs of a tile along each axis; (m+2)^2 */
    image in, out;    /* for the weights `out` is read as well: it is dy */
    const real *x;
    real *y;
    const real *dy, *rectified; /* rectified: dx is 0 where this, which lies like it, is not above 0; or NULL */
    ptrdiff_t N, PH, PW;        /* PH, PW: zeros above and to the left of `in` */
    int relu, pool;             /* pool: y is the largest value of each 2x2 outputs, argmax its position or NULL */
    int32_t *argmax;
    ptrdiff_t tile_rows, tile_cols; /* of one image */
    ptrdiff_t strips;               /* of the batch */

    const real *w; /* tap (i,j) from channel k to channel n is w[n * w_n + k * w_k + 3 * i + j] */
    ptrdiff_t w_n, w_k;
    int flip;
    real *u; /* [position][panel][k][lanes of the panel] */
    ptrdiff_t u_position;
    real *scale, *bias; /* of the outputs; whole vectors */

    ptrdiff_t first, last, strips_per_chunk; /* strips at work */
    grid v, sums;                            /* staged: of all of them; fused: the shape only */

    real *gradient; /* [slot][position][C][oc]: sums of V * Z over tiles */
    ptrdiff_t gradient_position;
    real *db; /* [slot][oc] */
    ptrdiff_t slots, db_slots;
    real *dw;
    char *spoiled; /* of each chunk of filters: some value is not finite */
} pass;

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

/* Lanes of the panel that begins at channel n of c (whole vectors). */
static ptrdiff_t panel_lanes(ptrdiff_t c, ptrdiff_t n) { return at_most(TILE_COLS, c - n); }

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

/* ---- filters to U ------------------------------------------------------------------------------------------------ */

/* Taps of `count` input channels from k on: to[channel][tap][lane], the output channels from n on side by side. */
static void turn_filters(const pass *p, ptrdiff_t n, ptrdiff_t size, ptrdiff_t k, ptrdiff_t count, ptrdiff_t lanes,
                         real *to)
{
    const real *w = p->w + n * p->w_n + k * p->w_k;
    if (p->w_k == 9) {
        pack_transposed(size, 9 * count, w, p->w_n, to, lanes, 9 * count);
        return;
    }
    for (ptrdiff_t i = 0; i < count; i++) {
        pack_transposed(size, 9, w + i * p->w_k, p->w_n, to + 9 * i * lanes, lanes, 9 * p->w_k);
    }
}

/* U of input channels begin .. end-1 for the panel of output channels from n on: u[position][k][lane]. Filters are
 * turned a few at a time: the loads that follow would wait for the narrower stores, were they to come at once. */
ALWAYS_INLINE void filters_to_u(const int m, const pass *p, ptrdiff_t n, ptrdiff_t begin, ptrdiff_t end, real *u,
                                ptrdiff_t u_position)
{
    ptrdiff_t lanes = panel_lanes(p->out.c, n), size = at_most(lanes, p->out.C - n);
    real turned[TURNED * 9 * 2 * VBYTES / sizeof(real)];
    memset(turned, 0, sizeof turned); /* lanes beyond the last channel */
    for (ptrdiff_t k = begin; k < end; k++, u += lanes) {
        real *taps = turned + (k - begin) % TURNED * 9 * lanes;
        if ((k - begin) % TURNED == 0) {
            turn_filters(p, n, size, k, at_most(TURNED, end - k), lanes, taps);
        }
        for (ptrdiff_t lane = 0; lane < lanes; lane += VLEN) {
            vec columns[3][6], g[3], row[6];
            for (int j = 0; j < 3; j++) {
                for (int i = 0; i < 3; i++) {
                    ptrdiff_t tap = p->flip ? 8 - 3 * i - j : 3 * i + j;
                    g[i] = v_load(taps + tap * lanes + lane);
                }
                transform_taps(m, g, columns[j]);
            }
            for (int i = 0; i < m + 2; i++) {
                for (int j = 0; j < 3; j++) {
                    g[j] = columns[j][i];
                }
                transform_taps(m, g, row);
                for (int j = 0; j < m + 2; j++) {
                    v_store(u + (i * (m + 2) + j) * u_position + lane, row[j]);
                }
            }
        }
    }
}

static void some_filters_to_u(const pass *p, ptrdiff_t n, ptrdiff_t begin, ptrdiff_t end, real *u, ptrdiff_t u_position)
{
    if (p->m == 4) {
        filters_to_u(4, p, n, begin, end, u, u_position);
    } else {
        filters_to_u(2, p, n, begin, end, u, u_position);
    }
}

static void filters_chunk(void *context, ptrdiff_t chunk)
{
    const pass *p = context;
    ptrdiff_t n = chunk * TILE_COLS;
    some_filters_to_u(p, n, 0, p->in.C, p->u + n * p->in.C, p->u_position);
}

/* ---- pixels to V and Z ------------------------------------------------------------------------------------------- */

/* Rows of pixels of an image, from `top` and `left` on; what lies outside of it is zero. */
typedef struct {
    const real *row[6];
    ptrdiff_t before, width; /* zeros to the left that are not in memory, pixels that are */
} window;

/* Scratch that one strip needs: a window copied, or a row of zeros; the window after the first step. */
static ptrdiff_t window_space(const image *f, ptrdiff_t rows, ptrdiff_t columns)
{
    return f->direct ? f->W * f->c : rows * columns * f->c;
}

/* Without a copy where the image can be read as it lies. */
static window window_at(const image *f, const real *pixels, ptrdiff_t top, ptrdiff_t left, ptrdiff_t rows,
                        ptrdiff_t columns, real *space)
{
    window s = {.before = 0, .width = columns};
    if (f->direct) {
        s.before = -left;
        s.width = at_most(f->W, columns + left);
        memset(space, 0, f->W * f->c * sizeof(real));
    } else {
        piece all = {pixels, f->stride, f->C, f->H, f->W, top, rows, left, columns};
        FN(pack_channels)(&all, f->c, space);
    }
    for (ptrdiff_t r = 0; r < rows; r++) {
        int inside = top + r >= 0 && top + r < f->H;
        s.row[r] = !f->direct ? space + r * columns * f->c : inside ? pixels + (top + r) * f->stride.h : space;
    }
    return s;
}

/* One strip to V, or, if `outputs`, of dy to Z; its first tile is number `tile` of the grid. db += all pixels, if it is
 * not NULL. A line of channels at a time, so that `half`, the strip after the first step, stays in the first-level
 * cache; the memory that the next strip reads is asked for on the way. */
ALWAYS_INLINE void strip_to_grid(const int m, const int outputs, const image *f, const window *s, ptrdiff_t columns,
                                 ptrdiff_t tile_cols, real *half, grid to, ptrdiff_t tile, real *db)
{
    const int n = m + 2, reads = outputs ? m : n;
    ptrdiff_t after = columns - s->before - s->width;
    vec d[6], t[6];
    for (int i = 0; i < n; i++) {
        memset(half + i * columns * LINE, 0, s->before * LINE * sizeof(real));
        memset(half + ((i + 1) * columns - after) * LINE, 0, after * LINE * sizeof(real));
    }
    const ptrdiff_t step = at_most(LINE, TILE_COLS);
    for (ptrdiff_t channel = 0; channel < f->c; channel += step) {
        ptrdiff_t lanes = at_most(step, f->c - channel);
        for (ptrdiff_t w = 0; w < s->width; w++) {
            ptrdiff_t from = w * f->c + channel;
            for (int i = reads - m; f->direct && i < reads; i++) {
                FETCH(s->row[i] + from + m * f->stride.h);
            }
            for (ptrdiff_t lane = 0; lane < lanes; lane += VLEN) {
                for (int i = 0; i < reads; i++) {
                    d[i] = v_load(s->row[i] + from + lane);
                }
                if (outputs) {
                    transform_outputs(m, d, t);
                } else {
                    transform_patch(m, d, t);
                }
                for (int i = 0; i < n; i++) {
                    v_store(half + (i * columns + s->before + w) * LINE + lane, t[i]);
                }
                if (outputs && db != NULL) {
                    vec sum = m == 2 ? d[0] + d[1] : (d[0] + d[1]) + (d[2] + d[3]);
                    v_store(db + channel + lane, v_load(db + channel + lane) + sum);
                }
            }
        }
        real *at = to.p + tile * to.tile + channel / TILE_COLS * to.panel + channel % TILE_COLS;
        for (ptrdiff_t col = 0; col < tile_cols; col++, at += to.tile) {
            for (ptrdiff_t lane = 0; lane < lanes; lane += VLEN) {
                for (int i = 0; i < n; i++) {
                    for (int j = 0; j < reads; j++) {
                        d[j] = v_load(half + (i * columns + col * m + j) * LINE + lane);
                    }
                    if (outputs) {
                        transform_outputs(m, d, t);
                    } else {
                        transform_patch(m, d, t);
                    }
                    for (int j = 0; j < n; j++) {
                        v_store(at + (i * n + j) * to.position + lane, t[j]);
                    }
                }
            }
        }
    }
}

/* Columns of pixels that the tiles of a strip read. */
static ptrdiff_t input_columns(const pass *p) { return p->tile_cols * p->m + 2; }
static ptrdiff_t output_columns(const pass *p) { return p->tile_cols * p->m; }

static ptrdiff_t input_space(const pass *p)
{
    ptrdiff_t columns = input_columns(p);
    return window_space(&p->in, p->m + 2, columns) + (p->m + 2) * columns * LINE;
}

static ptrdiff_t gradient_space(const pass *p)
{
    ptrdiff_t columns = output_columns(p);
    return window_space(&p->out, p->m, columns) + (p->m + 2) * columns * LINE;
}

/* Strips of x to V. */
static void input_strips(const pass *p, ptrdiff_t begin, ptrdiff_t end, grid v, ptrdiff_t tile, real *space)
{
    ptrdiff_t columns = input_columns(p);
    real *half = space + window_space(&p->in, p->m + 2, columns);
    for (ptrdiff_t strip = begin; strip < end; strip++, tile += p->tile_cols) {
        ptrdiff_t n = strip / p->tile_rows, top = strip % p->tile_rows * p->m - p->PH;
        window s = window_at(&p->in, p->x + n * p->in.stride.n, top, -p->PW, p->m + 2, columns, space);
        if (p->m == 4) {
            strip_to_grid(4, 0, &p->in, &s, columns, p->tile_cols, half, v, tile, NULL);
        } else {
            strip_to_grid(2, 0, &p->in, &s, columns, p->tile_cols, half, v, tile, NULL);
        }
    }
}

/* Strips of dy to Z; db, if not NULL, gets the sum of their pixels. */
static void gradient_strips(const pass *p, ptrdiff_t begin, ptrdiff_t end, grid z, ptrdiff_t tile, real *db,
                            real *space)
{
    ptrdiff_t columns = output_columns(p);
    real *half = space + window_space(&p->out, p->m, columns);
    for (ptrdiff_t strip = begin; strip < end; strip++, tile += p->tile_cols) {
        ptrdiff_t n = strip / p->tile_rows, top = strip % p->tile_rows * p->m;
        window s = window_at(&p->out, p->dy + n * p->out.stride.n, top, 0, p->m, columns, space);
        if (p->m == 4) {
            strip_to_grid(4, 1, &p->out, &s, columns, p->tile_cols, half, z, tile, db);
        } else {
            strip_to_grid(2, 1, &p->out, &s, columns, p->tile_cols, half, z, tile, db);
        }
    }
}

/* ---- sums to pixels ---------------------------------------------------------------------------------------------- */

/* One tile, one vector of channels: y = scale * A' sums A + bias, to m x m pixels. Returns `spoiled`, with NaN in the
 * lanes where a sum is not finite. */
ALWAYS_INLINE vec sums_to_pixels(const int m, const real *sums, ptrdiff_t position, vec scale, vec bias, int relu,
                                 real *y, ptrdiff_t row, ptrdiff_t pixel, vec spoiled)
{
    const int n = m + 2;
    vec t[6], half[6][4], column[4];
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) {
            t[j] = v_load(sums + (i * n + j) * position);
        }
        transform_sums(m, t, half[i]);
    }
    for (int j = 0; j < m; j++) {
        for (int i = 0; i < n; i++) {
            t[i] = half[i][j];
        }
        transform_sums(m, t, column);
        for (int i = 0; i < m; i++) {
            vec sum = v_fma(column[i], scale, bias);
            v_store(y + i * row + j * pixel, relu ? v_relu(sum) : sum);
            __builtin_prefetch(y + (i + m) * row + j * pixel, 1, 2);
            spoiled = v_fma(column[i], v_zero(), spoiled);
        }
    }
    return spoiled;
}

ALWAYS_INLINE vec tiles_to_pixels(const int m, const pass *p, grid sums, ptrdiff_t tile, ptrdiff_t tiles, real *y,
                                  ptrdiff_t row, ptrdiff_t pixel)
{
    vec spoiled = v_zero();
    for (ptrdiff_t t = 0; t < tiles; t++) {
        for (ptrdiff_t lane = 0; lane < p->out.c; lane += VLEN) {
            const real *at = sums.p + (tile + t) * sums.tile + lane / TILE_COLS * sums.panel + lane % TILE_COLS;
            spoiled = sums_to_pixels(m, at, sums.position, v_load(p->scale + lane), v_load(p->bias + lane), p->relu,
                                     y + t * m * pixel + lane, row, pixel, spoiled);
        }
    }
    return spoiled;
}

/* The same layer without Winograd. */
static correlation direct_of(const pass *p)
{
    const axis rows = {.in = p->in.H,
                       .out = p->out.H,
                       .step = 1,
                       .taps = 3,
                       .offset = -p->PH,
                       .spread = 1,
                       .kernel = p->flip ? 2 : 0,
                       .kernel_step = p->flip ? -1 : 1};
    correlation c = {.N = p->N, .IC = p->in.C, .OC = p->out.C, .G = 1, .h = rows, .w = rows, .in = p->in.stride};
    c.w.in = p->in.W;
    c.w.out = p->out.W;
    c.w.offset = -p->PW;
    c.out.c = 1;
    c.w_oc = p->w_n;
    c.w_ic = p->w_k;
    c.w_kh = 3;
    c.w_kw = 1;
    c.scale = p->scale;
    c.relu = p->relu;
    return c;
}

/* A value that is not finite spoils whatever shares a tile with it, and so does a transform of large values that
 * overflows. Channels of these tiles, the first at (top, left) of image n, are summed directly. */
static void mend_tiles(const pass *p, grid sums, ptrdiff_t tile, ptrdiff_t tiles, real *y, ptrdiff_t row,
                       ptrdiff_t pixel, ptrdiff_t n, ptrdiff_t top, ptrdiff_t left)
{
    correlation c = direct_of(p);
    char *room = memory_get(FN(direct_sums_room)(&c) + (size_t)p->out.c), *which = room + FN(direct_sums_room)(&c);
    if (room == NULL) {
        kernel_abort(KERNEL_NO_MEMORY);
        return;
    }
    for (ptrdiff_t t = 0; t < tiles; t++, y += p->m * pixel, left += p->m) {
        int any = 0;
        pass one = *p;
        one.out.c = VLEN;
        for (ptrdiff_t lane = 0; lane < p->out.c; lane += VLEN, one.scale += VLEN, one.bias += VLEN) {
            grid at = sums;
            at.p += lane / TILE_COLS * sums.panel + lane % TILE_COLS;
            vec spoiled = p->m == 4 ? tiles_to_pixels(4, &one, at, tile + t, 1, y + lane, row, pixel)
                                    : tiles_to_pixels(2, &one, at, tile + t, 1, y + lane, row, pixel);
            for (ptrdiff_t i = 0; i < VLEN; i++) {
                which[lane + i] = spoiled[i] != spoiled[i];
                any |= which[lane + i];
            }
        }
        for (ptrdiff_t i = 0; any && i < p->m * p->m; i++) {
            ptrdiff_t oh = top + i / p->m, ow = left + i % p->m;
            if (oh < p->out.H && ow < p->out.W) {
                FN(direct_sums)(&c, p->x + n * p->in.stride.n, p->w, p->bias, oh, ow, which, room,
                                y + i / p->m * row + i % p->m * pixel);
            }
        }
    }
    memory_put(room);
}

static void some_tiles_to_pixels(const pass *p, grid sums, ptrdiff_t tile, ptrdiff_t tiles, real *y, ptrdiff_t row,
                                 ptrdiff_t pixel, ptrdiff_t n, ptrdiff_t top, ptrdiff_t left)
{
    vec spoiled = p->m == 4 ? tiles_to_pixels(4, p, sums, tile, tiles, y, row, pixel)
                            : tiles_to_pixels(2, p, sums, tile, tiles, y, row, pixel);
    if (v_has_nan(spoiled)) {
        mend_tiles(p, sums, tile, tiles, y, row, pixel, n, top, left);
    }
}

/* `rows` x `cols` pixels of c channels to the image, in its own memory order. */
static void copy_out(const image *f, const real *from, ptrdiff_t from_row, ptrdiff_t rows, ptrdiff_t cols, real *to)
{
    for (ptrdiff_t r = 0; r < rows; r++, from += from_row, to += f->stride.h) {
        if (f->stride.c != 1) {
            pack_transposed(cols, f->C, from, f->c, to, f->stride.c, 0);
            continue;
        }
        for (ptrdiff_t i = 0; i < cols; i++) {
            memcpy(to + i * f->stride.w, from + i * f->c, f->C * sizeof(real));
        }
    }
}

static ptrdiff_t output_space(const pass *p) { return p->m * output_columns(p) * p->out.c; }

/* The rows of a strip, in scratch, to the pooled rows of their image. */
static void pool_strip(const pass *p, const real *rows, ptrdiff_t row, ptrdiff_t n, ptrdiff_t top)
{
    const image *f = &p->out;
    for (ptrdiff_t r = 0; r + 1 < at_most(p->m, f->H - top); r += 2) {
        ptrdiff_t to = n * f->stride.n + (top + r) / 2 * f->stride.h;
        pairs_of_channels(rows + r * row, rows + (r + 1) * row, f->c, (int32_t)((top + r) * f->W), (int32_t)f->W,
                          p->y + to, p->argmax != NULL ? p->argmax + to : NULL, f->W / 2, f->C);
    }
}

static void output_strips(const pass *p, ptrdiff_t begin, ptrdiff_t end, grid sums, ptrdiff_t tile, real *space)
{
    const image *f = &p->out;
    ptrdiff_t m = p->m, row = output_columns(p) * f->c;
    for (ptrdiff_t strip = begin; strip < end; strip++, tile += p->tile_cols) {
        ptrdiff_t n = strip / p->tile_rows, top = strip % p->tile_rows * m, rows = at_most(m, f->H - top);
        if (p->pool) {
            some_tiles_to_pixels(p, sums, tile, p->tile_cols, space, row, f->c, n, top, 0);
            pool_strip(p, space, row, n, top);
            continue;
        }
        real *y = p->y + n * f->stride.n + top * f->stride.h;
        /* Whole tiles go straight to their place, the others by way of scratch. */
        ptrdiff_t whole = f->direct && rows == m ? f->W / m : 0, rest = p->tile_cols - whole;
        some_tiles_to_pixels(p, sums, tile, whole, y, f->stride.h, f->stride.w, n, top, 0);
        if (rest > 0) {
            some_tiles_to_pixels(p, sums, tile + whole, rest, space, row, f->c, n, top, whole * m);
            copy_out(f, space, row, rows, f->W - whole * m, y + whole * m * f->stride.w);
        }
        if (p->rectified != NULL) {
            rectify_rows(f->stride, f->C, rows, f->W, p->rectified + (y - p->y), y);
        }
    }
}

/* ---- sums to the gradient of the filters --------------------------------------------------------------------------
 */

static ptrdiff_t gradient_size(const pass *p) { return p->positions * p->gradient_position; }

/* The first slot becomes the sum of all, in order. */
static void slots_chunk(void *context, ptrdiff_t chunk)
{
    const pass *p = context;
    ptrdiff_t begin, end, size = gradient_size(p);
    chunk_bounds(size / VLEN, chunks_of(size, SLOTS_GRAIN), chunk, &begin, &end);
    for (real *at = p->gradient + begin * VLEN; at < p->gradient + end * VLEN; at += VLEN) {
        vec sum = v_load(at);
        for (ptrdiff_t s = 1; s < p->slots; s++) {
            sum += v_load(at + s * size);
        }
        v_store(at, sum);
    }
}

/* dw of input channel k, for a vector of output channels. Returns `spoiled`, with NaN where it is not finite. */
ALWAYS_INLINE vec gradient_to_filters(const int m, const pass *p, ptrdiff_t k, ptrdiff_t n, vec spoiled)
{
    ptrdiff_t C = p->in.C;
    vec u[6], half[6][3], g[3];
    real taps[9 * VBYTES / sizeof(real)];
    for (int i = 0; i < m + 2; i++) {
        for (int j = 0; j < m + 2; j++) {
            u[j] = v_load(p->gradient + (i * (m + 2) + j) * p->gradient_position + k * p->out.c + n);
        }
        transform_gradient(m, u, half[i]);
    }
    for (int j = 0; j < 3; j++) {
        for (int i = 0; i < m + 2; i++) {
            u[i] = half[i][j];
        }
        transform_gradient(m, u, g);
        for (int i = 0; i < 3; i++) {
            v_store(taps + (3 * i + j) * VLEN, g[i]);
            spoiled = v_fma(g[i], v_zero(), spoiled);
        }
    }
    pack_transposed(9, at_most(VLEN, p->out.C - n), taps, VLEN, p->dw + (n * C + k) * 9, C * 9, 0);
    return spoiled;
}

static void gradient_chunk(void *context, ptrdiff_t chunk)
{
    const pass *p = context;
    ptrdiff_t begin, end;
    chunk_bounds(p->in.C, at_most(p->in.C, CHUNKS), chunk, &begin, &end);
    vec spoiled = v_zero();
    for (ptrdiff_t k = begin; k < end; k++) {
        for (ptrdiff_t n = 0; n < p->out.C; n += VLEN) {
            spoiled = p->m == 4 ? gradient_to_filters(4, p, k, n, spoiled) : gradient_to_filters(2, p, k, n, spoiled);
        }
    }
    p->spoiled[chunk] = (char)v_has_nan(spoiled);
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
    v.p = take_scratch(grid_size(p, v) + grid_size(p, sums) + at_least(input_space(p), output_space(p)));
    if (v.p == NULL) {
        return;
    }
    sums.p = v.p + grid_size(p, v);
    real *space = sums.p + grid_size(p, sums);
    input_strips(p, begin, end, v, 0, space);
    for (ptrdiff_t position = 0; position < p->positions; position++) {
        forward_product(p, position, v, sums, (end - begin) * p->tile_cols);
    }
    output_strips(p, begin, end, sums, 0, space);
}

/* The strips of one slot, a few at a time. */
static void fused_gradient_chunk(void *context, ptrdiff_t slot)
{
    const pass *p = context;
    ptrdiff_t begin, end;
    chunk_bounds(p->strips, p->slots, slot, &begin, &end);
    grid v = p->v, z = p->sums;
    v.p = take_scratch(grid_size(p, v) + grid_size(p, z) + at_least(input_space(p), gradient_space(p)));
    if (v.p == NULL) {
        return;
    }
    z.p = v.p + grid_size(p, v);
    real *space = z.p + grid_size(p, z);
    real *gradient = p->gradient + slot * gradient_size(p);
    for (ptrdiff_t some = begin; some < end; some += p->strips_per_chunk) {
        ptrdiff_t some_end = at_most(some + p->strips_per_chunk, end);
        input_strips(p, some, some_end, v, 0, space);
        gradient_strips(p, some, some_end, z, 0, p->db != NULL ? p->db + slot * p->out.c : NULL, space);
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
    real *space = take_scratch(input_space(p));
    if (space != NULL) {
        input_strips(p, begin, end, p->v, tile, space);
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
    real *space = take_scratch(output_space(p));
    if (space != NULL) {
        output_strips(p, begin, end, p->sums, tile, space);
    }
}

static void staged_gradient_input_chunk(void *context, ptrdiff_t chunk)
{
    const pass *p = context;
    ptrdiff_t begin, end, tile;
    staged_bounds(p, chunk, &begin, &end, &tile);
    real *space = take_scratch(at_least(input_space(p), gradient_space(p)));
    if (space != NULL) {
        input_strips(p, begin, end, p->v, tile, space);
        gradient_strips(p, begin, end, p->sums, tile, p->db != NULL ? p->db + chunk * p->out.c : NULL, space);
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
    real *u = take_scratch(p->positions * u_position + grid_size(p, sums) + output_space(p));
    if (u == NULL) {
        return;
    }
    sums.p = u + p->positions * u_position;
    for (ptrdiff_t k = 0; k < C; k += PANEL_K) {
        ptrdiff_t K = at_most(PANEL_K, C - k);
        some_filters_to_u(p, n, k, k + K, u, u_position);
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
    output_strips(&panel, 0, p->strips, sums, 0, sums.p + grid_size(p, sums));
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
    return at_most(most, at_least(at_least(least, FUSED_LEAST), all / CHUNKS));
}

static ptrdiff_t staged_batch(pass *p, ptrdiff_t bytes)
{
    ptrdiff_t strips = at_most(p->strips, at_least(1, tiles_in(p, bytes) / p->tile_cols));
    p->strips_per_chunk = at_least(1, strips / CHUNKS);
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
        parallel_for(ceil_div(oc, TILE_COLS), filters_chunk, p);
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
            parallel_for(chunks_of(gradient_size(&p), SLOTS_GRAIN), slots_chunk, &p);
        }
        char spoiled[CHUNKS] = {0};
        p.spoiled = spoiled;
        parallel_for(at_most(p.in.C, CHUNKS), gradient_chunk, &p);
        if (memchr(spoiled, 1, CHUNKS) != NULL) {
            FN(mend_all_weights)(s, x, dy, dw);
        }
        for (ptrdiff_t oc = 0; db != NULL && oc < s->OC; oc++) {
            db[oc] = 0;
            for (ptrdiff_t slot = 0; slot < p.db_slots; slot++) {
                db[oc] += p.db[slot * p.out.c + oc];
            }
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
