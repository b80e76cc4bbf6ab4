/* gemm: c = a b (+ bias) (+ c), packed and blocked so that tile() runs out of the caches.
 *
 *                  N: panels of 2 vectors
 *                  ┌──┬──┬──┬──┐
 *              K   │  │▒▒│  │  │ b      K is cut into blocks of K_BLOCK; the block of a panel of b (▒▒, 32 KB) stays
 *                  └──┴──┴──┴──┘        in the first-level cache, the block of a few hundred rows of a in the second.
 *        K
 *      ┌────┐      ┌──┬──┬──┬──┐
 *      │    │      │  │  │  │  │        Each tile of c is written once per block of K: c = tile + bias the first time,
 *   M  │▒▒▒▒│      │  │▒▒│  │  │ c      c += tile afterwards. Blocks come in order, so every element of c is the same
 *      │    │ a    │  │  │  │  │        sum in the same order, whoever computes it.
 *      └────┘      └──┴──┴──┴──┘
 *
 * A chunk of work is a rectangle of c (rows x panels), for all of K. A side of the product that several chunks read is
 * packed once, beforehand; a side that only one chunk reads is packed by that chunk, block by block, in its scratch.
 * If c is too small to keep the threads busy and K is long, K is cut as well (`splits`): each split sums into its own
 * copy of c, and the copies are added in order.
 *
 * Few rows (a batch of 1 to 16) leave nothing to amortise the packing of b: the time is that of reading b once. Then b
 * is read where it lies: by dot products if its columns are contiguous (y = x W'), by short blocks of K if its rows
 * are.
 */
#include "gemm.h"

#include "../kernels/partial_sums.h"
#include "../memory.h"
#include "../sizes.h"
#include "../threads.h"
#include "pack.h"
#include "tile.h"

enum {
    K_BLOCK = 256,         /* steps of k between two visits to c */
    K_DIRECT = 16,         /* the same where b is not packed: its rows are read as streams, this many at a time */
    ROWS_DIRECT = 24,      /* up to this many rows of c, packing b costs more than it brings */
    ROWS_DOT = 16,         /* the same for dot products */
    ROW_BLOCK = 144,       /* rows of a in one chunk: 144 * 256 floats are 144 KB */
    B_BLOCK = 1 << 17,     /* elements of b that one chunk walks through per block of K: 512 KB of floats */
    PANEL_GROUP = 8,       /* panels packed together: a row of b is read 1 KB at a time */
    GRAIN = 1 << 21,       /* multiply-adds per chunk, at least */
    MEMORY_COST = 8,       /* multiply-adds in the time that one element takes from memory */
    CHUNKS = 32,           /* do not cut finer than into this many, unless the caches ask for it */
    K_SPLIT = 2048,        /* shortest piece of K worth its own copy of c */
    SPLIT_SPACE = 1 << 21, /* elements in all the copies of c */
};

/* One factor, as slices along K: a as tiles of rows, b as panels of columns.
 * Element (i, k), i across the slice, is p[i * across + k * along]. */
typedef struct {
    const real *p;
    ptrdiff_t across, along;
    ptrdiff_t size; /* rows of a, or columns of b */
    ptrdiff_t slices;
    int panels;   /* columns of b: slices of TILE_COLS, filled up to whole vectors */
    real *packed; /* all of it, packed beforehand; or NULL */
} side;

typedef struct {
    ptrdiff_t M, N, K;
    side a, b;
    const real *bias;
    real *c;
    ptrdiff_t c_row;

    ptrdiff_t row_blocks, col_blocks, splits; /* how many chunks in each direction */
    ptrdiff_t k_block;                        /* K_BLOCK or K_DIRECT */
    real *partial;                            /* one c (M,N) for each split; NULL if there is only one */
} product;

static ptrdiff_t between(ptrdiff_t low, ptrdiff_t n, ptrdiff_t high) { return at_least(low, at_most(n, high)); }

/* ---- tiles by size ---------------------------------------------------------------------------------------------- */

typedef void tile_function(ptrdiff_t K, const real *a, const real *b, ptrdiff_t b_k, real *c, ptrdiff_t c_row,
                           ptrdiff_t width, const tile_store *how);

#define TILE_FUNCTION(rows, cols)                                                                       \
    static void tile_##rows##_##cols(ptrdiff_t K, const real *a, const real *b, ptrdiff_t b_k, real *c, \
                                     ptrdiff_t c_row, ptrdiff_t width, const tile_store *how)           \
    {                                                                                                   \
        tile(rows, cols, K, a, 1, rows, b, b_k, c, c_row, width, how);                                  \
    }
#define TILE_FUNCTIONS(rows) TILE_FUNCTION(rows, 1) TILE_FUNCTION(rows, 2)
#define TILE_ENTRY(rows) {tile_##rows##_1, tile_##rows##_2},
EACH_TILE_SIZE(TILE_FUNCTIONS)

/* tile_of[rows - 1][vectors - 1]: a packed tile of a, `rows` values per k. */
static tile_function *const tile_of[TILE_ROWS][2] = {EACH_TILE_SIZE(TILE_ENTRY)};

/* ---- slices ----------------------------------------------------------------------------------------------------- */

/* Where slice s begins, which is also its place in a packed row. Tiles of a are of equal size, give or take a row:
 * 13 rows are 7 + 6, not 12 + 1. */
static ptrdiff_t slice_begin(const side *f, ptrdiff_t s)
{
    if (f->panels) {
        return s * TILE_COLS;
    }
    ptrdiff_t size = f->size / f->slices, rest = f->size % f->slices;
    return s * size + at_most(s, rest);
}

/* Rows of a tile, or columns of a panel, that exist. */
static ptrdiff_t slice_size(const side *f, ptrdiff_t s)
{
    return at_most(slice_begin(f, s + 1), f->size) - slice_begin(f, s);
}

/* The same, packed. Panels have one vector or two. */
static ptrdiff_t packed_width(const side *f, ptrdiff_t s)
{
    ptrdiff_t size = slice_size(f, s);
    return !f->panels ? size : size > VLEN ? 2 * VLEN : VLEN;
}

static ptrdiff_t packed_size(const side *f) { return slice_begin(f, f->slices - 1) + packed_width(f, f->slices - 1); }

/* Steps k..k+k_size-1 of the slices begin..end-1, one slice after the other. */
static void pack_slices(const side *f, ptrdiff_t k, ptrdiff_t k_size, ptrdiff_t begin, ptrdiff_t end, real *to)
{
    ptrdiff_t first = slice_begin(f, begin);
    const real *from = f->p + k * f->along;
    if (f->across == 1) { /* a row of all the slices at a time: that is how it lies in memory */
        for (ptrdiff_t l = 0; l < k_size; l++, from += f->along) {
            for (ptrdiff_t s = begin; s < end; s++) {
                ptrdiff_t at = slice_begin(f, s), width = packed_width(f, s);
                FETCH(from + 4 * f->along + at);
                FETCH(from + 4 * f->along + at + LINE);
                copy_values(from + at, to + (at - first) * k_size + l * width, slice_size(f, s));
            }
        }
    } else {
        for (ptrdiff_t s = begin; s < end; s++) {
            ptrdiff_t at = slice_begin(f, s), size = slice_size(f, s), width = packed_width(f, s);
            real *slice = to + (at - first) * k_size;
            if (f->along == 1) {
                pack_transposed(size, k_size, from + at * f->across, f->across, slice, width,
                                f->panels ? 0 : TILE_ROWS * f->across); /* next comes the tile below */
            } else {
                pack_strided(size, k_size, from + at * f->across, f->across, f->along, slice, width);
            }
        }
    }
    ptrdiff_t size = slice_size(f, end - 1), width = packed_width(f, end - 1);
    real *last = to + (slice_begin(f, end - 1) - first) * k_size;
    for (ptrdiff_t l = 0; size < width && l < k_size; l++) {
        memset(last + l * width + size, 0, (width - size) * sizeof(real));
    }
}

/* Where a slice lies in the packed side: block of K by block of K, and in it slice by slice. */
static real *packed_slice(const side *f, ptrdiff_t k, ptrdiff_t k_size, ptrdiff_t s)
{
    return f->packed + k * packed_size(f) + slice_begin(f, s) * k_size;
}

static ptrdiff_t pack_groups(const side *f) { return ceil_div(f->slices, PANEL_GROUP); }

static void pack_chunk(const product *p, const side *f, ptrdiff_t chunk)
{
    ptrdiff_t begin, end;
    chunk_bounds(f->slices, pack_groups(f), chunk, &begin, &end);
    for (ptrdiff_t k = 0; k < p->K; k += p->k_block) {
        ptrdiff_t k_size = at_most(p->k_block, p->K - k);
        pack_slices(f, k, k_size, begin, end, packed_slice(f, k, k_size, begin));
    }
}

static void pack_a_chunk(void *context, ptrdiff_t chunk)
{
    const product *p = context;
    pack_chunk(p, &p->a, chunk);
}

static void pack_b_chunk(void *context, ptrdiff_t chunk)
{
    const product *p = context;
    pack_chunk(p, &p->b, chunk);
}

/* ---- one chunk of c --------------------------------------------------------------------------------------------- */

typedef struct {
    ptrdiff_t tile_begin, tile_end, panel_begin, panel_end, k_begin, k_end;
    real *c;
    ptrdiff_t c_row;
} rectangle;

static rectangle chunk_rectangle(const product *p, ptrdiff_t chunk)
{
    rectangle r;
    ptrdiff_t split = chunk / (p->row_blocks * p->col_blocks), block = chunk % (p->row_blocks * p->col_blocks);
    chunk_bounds(p->a.slices, p->row_blocks, block / p->col_blocks, &r.tile_begin, &r.tile_end);
    chunk_bounds(p->b.slices, p->col_blocks, block % p->col_blocks, &r.panel_begin, &r.panel_end);
    chunk_bounds(ceil_div(p->K, p->k_block), p->splits, split, &r.k_begin, &r.k_end);
    r.k_begin *= p->k_block;
    r.k_end = at_most(r.k_end * p->k_block, p->K);
    r.c = p->partial ? p->partial + split * p->M * p->N : p->c;
    r.c_row = p->partial ? p->N : p->c_row;
    return r;
}

static void multiply_tile(const product *p, const rectangle *r, ptrdiff_t t, ptrdiff_t panel, ptrdiff_t k,
                          ptrdiff_t k_size, const real *a, const real *b, ptrdiff_t b_k)
{
    ptrdiff_t column = panel * TILE_COLS, width = slice_size(&p->b, panel);
    tile_store how = {.bias = p->bias && !p->partial && k == 0 ? p->bias + column : NULL, .accumulate = k > r->k_begin};
    real *c = r->c + slice_begin(&p->a, t) * r->c_row + column;
    tile_of[slice_size(&p->a, t) - 1][width > VLEN](k_size, a, b, b_k, c, r->c_row, width, &how);
}

/* b is packed: row by row, as a and c lie in memory; each tile of a is packed when its turn comes. */
static void multiply_rows(const product *p, const rectangle *r, ptrdiff_t k, ptrdiff_t k_size, real *space)
{
    for (ptrdiff_t t = r->tile_begin; t < r->tile_end; t++) {
        const real *a = space;
        if (p->a.packed) {
            a = packed_slice(&p->a, k, k_size, t);
        } else {
            pack_slices(&p->a, k, k_size, t, t + 1, space);
        }
        for (ptrdiff_t panel = r->panel_begin; panel < r->panel_end; panel++) {
            const real *b = packed_slice(&p->b, k, k_size, panel);
            multiply_tile(p, r, t, panel, k, k_size, a, b, packed_width(&p->b, panel));
        }
    }
}

/* Asks for steps k..k_end-1 of some columns of b that will be packed next: those of a panel that are the given part of
 * `parts`. All of them at once would be waited for. */
static void fetch_columns(const side *b, ptrdiff_t panel, ptrdiff_t part, ptrdiff_t parts, ptrdiff_t k, ptrdiff_t k_end)
{
    ptrdiff_t begin, end;
    chunk_bounds(slice_size(b, panel), parts, part, &begin, &end);
    for (ptrdiff_t i = begin; i < end; i++) {
        const real *column = b->p + (slice_begin(b, panel) + i) * b->across;
        for (ptrdiff_t l = k; l < k_end; l += LINE) {
            FETCH(column + l);
        }
    }
}

/* b is not packed: a is packed for all rows, then a few panels of b at a time. */
static void multiply_panels(const product *p, const rectangle *r, ptrdiff_t k, ptrdiff_t k_size, real *a_space,
                            real *b_space)
{
    const real *a = a_space;
    if (p->a.packed) {
        a = packed_slice(&p->a, k, k_size, r->tile_begin);
    } else {
        pack_slices(&p->a, k, k_size, r->tile_begin, r->tile_end, a_space);
    }
    for (ptrdiff_t group = r->panel_begin; group < r->panel_end; group += PANEL_GROUP) {
        ptrdiff_t group_end = at_most(group + PANEL_GROUP, r->panel_end);
        int direct = p->k_block == K_DIRECT && group_end * TILE_COLS <= p->N;
        if (!direct) {
            pack_slices(&p->b, k, k_size, group, group_end, b_space);
        }
        for (ptrdiff_t panel = group; panel < group_end; panel++) {
            ptrdiff_t b_k = direct ? p->b.along : packed_width(&p->b, panel);
            const real *b =
                direct ? p->b.p + panel * TILE_COLS + k * b_k : b_space + (panel - group) * TILE_COLS * k_size;
            for (ptrdiff_t t = r->tile_begin; t < r->tile_end; t++) {
                ptrdiff_t row = slice_begin(&p->a, t) - slice_begin(&p->a, r->tile_begin);
                if (p->b.along == 1) {
                    fetch_columns(&p->b, panel, t - r->tile_begin, r->tile_end - r->tile_begin, k + k_size,
                                  at_most(k + 2 * k_size, r->k_end));
                }
                multiply_tile(p, r, t, panel, k, k_size, a + row * k_size, b, b_k);
            }
        }
    }
}

static void product_chunk(void *context, ptrdiff_t chunk)
{
    const product *p = context;
    rectangle r = chunk_rectangle(p, chunk);
    ptrdiff_t k_most = at_most(p->k_block, p->K), tiles = p->b.packed ? 1 : r.tile_end - r.tile_begin;
    ptrdiff_t a_space = p->a.packed ? 0 : ceil_div(tiles * TILE_ROWS * k_most, LINE) * LINE;
    ptrdiff_t b_space = p->b.packed ? 0 : at_most(PANEL_GROUP, r.panel_end - r.panel_begin) * TILE_COLS * k_most;
    real *space = scratch((a_space + b_space) * sizeof(real));
    if (space == NULL) {
        kernel_abort(KERNEL_NO_MEMORY);
        return;
    }
    for (ptrdiff_t k = r.k_begin; k < r.k_end; k += p->k_block) {
        ptrdiff_t k_size = at_most(p->k_block, r.k_end - k);
        if (p->b.packed) {
            multiply_rows(p, &r, k, k_size, space);
        } else {
            multiply_panels(p, &r, k, k_size, space, space + a_space);
        }
    }
}

/* c = the sum of the splits, in order. */
static void add_splits_chunk(void *context, ptrdiff_t chunk)
{
    const product *p = context;
    ptrdiff_t begin, end;
    chunk_bounds(p->M, chunks_of(p->M * p->N, 1 << 14), chunk, &begin, &end);
    for (ptrdiff_t i = begin; i < end; i++) {
        real *c = p->c + i * p->c_row;
        for (ptrdiff_t j = 0; j < p->N; j++) {
            real sum = p->bias ? p->bias[j] : 0;
            c[j] = plus_real_parts(sum, p->partial + i * p->N + j, p->splits, p->M * p->N);
        }
    }
}

/* ---- few rows: dot products ------------------------------------------------------------------------------------- */

/* The rows of b' as they lie: 4 of them against up to DOT_ROWS rows of a, a vector of k at a time. */
#define DOT_ROWS (TILE_ROWS >= 12 ? 4 : 2)

/* The sum of the lanes, halves first. */
static inline real v_sum(vec v)
{
    real lane[VBYTES / sizeof(real)];
    v_store(lane, v);
    for (ptrdiff_t half = VLEN / 2; half > 0; half /= 2) {
        for (ptrdiff_t i = 0; i < half; i++) {
            lane[i] += lane[i + half];
        }
    }
    return lane[0];
}

/* n < VLEN values, and zeros. */
ALWAYS_INLINE vec load_few(const real *p, ptrdiff_t n)
{
    real lane[VBYTES / sizeof(real)] = {0};
    for (ptrdiff_t i = 0; i < n; i++) {
        lane[i] = p[i];
    }
    return v_load(lane);
}

typedef __typeof__((vec){0} == (vec){0}) vec_mask;

/* True in the last n lanes. */
ALWAYS_INLINE vec_mask last_lanes(ptrdiff_t n)
{
    real lane[VBYTES / sizeof(real)];
    for (ptrdiff_t i = 0; i < VLEN; i++) {
        lane[i] = i;
    }
    return v_load(lane) >= v_set1(VLEN - n);
}

/* Values k.. of n: a whole vector, or, if `rest` of them are left, these and zeros (whose place in the vector does not
 * matter to a sum). */
ALWAYS_INLINE vec load_part(const real *p, ptrdiff_t k, ptrdiff_t n, ptrdiff_t rest, vec_mask last)
{
    if (rest == 0) {
        return v_load(p + k);
    }
    return n < VLEN ? load_few(p, n) : (vec)((vec_mask)v_load(p + n - VLEN) & last);
}

/* sums[i][j] = sum over k of a[i * a_row + k] * b[j][k] */
ALWAYS_INLINE void dots(const int rows, ptrdiff_t K, const real *a, ptrdiff_t a_row, const real *const b[4],
                        real sums[][4])
{
#define EACH_DOT_ROW(DO) DO(0) DO(1) DO(2) DO(3)
#define DECLARE_DOTS(i) vec p##i = v_zero(), q##i = v_zero(), r##i = v_zero(), s##i = v_zero();
#define ADD_DOTS(i)                                          \
    if (rows > i) {                                          \
        vec ai = load_part(a + i * a_row, k, K, rest, last); \
        p##i = v_fma(ai, b0, p##i);                          \
        q##i = v_fma(ai, b1, q##i);                          \
        r##i = v_fma(ai, b2, r##i);                          \
        s##i = v_fma(ai, b3, s##i);                          \
    }
#define SUM_DOTS(i)               \
    if (rows > i) {               \
        sums[i][0] = v_sum(p##i); \
        sums[i][1] = v_sum(q##i); \
        sums[i][2] = v_sum(r##i); \
        sums[i][3] = v_sum(s##i); \
    }
    EACH_DOT_ROW(DECLARE_DOTS)
    ptrdiff_t rest = 0, k = 0;
    vec_mask last = last_lanes(0);
    for (; k + VLEN <= K; k += VLEN) {
        vec b0 = v_load(b[0] + k), b1 = v_load(b[1] + k), b2 = v_load(b[2] + k), b3 = v_load(b[3] + k);
        EACH_DOT_ROW(ADD_DOTS)
    }
    if (k < K) {
        rest = K - k;
        last = last_lanes(rest);
        vec b0 = load_part(b[0], k, K, rest, last), b1 = load_part(b[1], k, K, rest, last),
            b2 = load_part(b[2], k, K, rest, last), b3 = load_part(b[3], k, K, rest, last);
        EACH_DOT_ROW(ADD_DOTS)
    }
    EACH_DOT_ROW(SUM_DOTS)
}

static void dots_1(ptrdiff_t K, const real *a, ptrdiff_t a_row, const real *const b[4], real sums[][4])
{
    dots(1, K, a, a_row, b, sums);
}
static void dots_2(ptrdiff_t K, const real *a, ptrdiff_t a_row, const real *const b[4], real sums[][4])
{
    dots(2, K, a, a_row, b, sums);
}
static void dots_4(ptrdiff_t K, const real *a, ptrdiff_t a_row, const real *const b[4], real sums[][4])
{
    dots(DOT_ROWS, K, a, a_row, b, sums);
}

/* Columns j..j+3 of c. */
static void dot_columns(const product *p, ptrdiff_t j)
{
    const real *b[4];
    ptrdiff_t columns = at_most(4, p->N - j);
    for (ptrdiff_t l = 0; l < 4; l++) { /* beyond the last column: the last one again, and no store */
        b[l] = p->b.p + at_most(j + l, p->N - 1) * p->b.across;
    }
    for (ptrdiff_t i = 0; i < p->M;) {
        const real *a = p->a.p + i * p->a.across;
        ptrdiff_t rows = p->M - i >= DOT_ROWS ? DOT_ROWS : p->M - i >= 2 ? 2 : 1;
        real sums[4][4];
        (rows == 1 ? dots_1 : rows == 2 ? dots_2 : dots_4)(p->K, a, p->a.across, b, sums);
        for (ptrdiff_t r = 0; r < rows; r++, i++) {
            real *c = p->c + i * p->c_row + j;
            for (ptrdiff_t l = 0; l < columns; l++) {
                c[l] = sums[r][l] + (p->bias ? p->bias[j + l] : 0);
            }
        }
    }
}

static ptrdiff_t dot_chunks(const product *p) { return chunks_of(p->N * p->K * at_least(p->M, MEMORY_COST), GRAIN); }

static void dot_chunk(void *context, ptrdiff_t chunk)
{
    const product *p = context;
    ptrdiff_t begin, end;
    chunk_bounds(ceil_div(p->N, 4), dot_chunks(p), chunk, &begin, &end);
    for (ptrdiff_t group = begin; group < end; group++) {
        dot_columns(p, group * 4);
    }
}

/* ---- how to cut ------------------------------------------------------------------------------------------------- */

static void plan(product *p)
{
    p->a.slices = ceil_div(p->M, TILE_ROWS);
    p->b.slices = ceil_div(p->N, TILE_COLS);
    p->k_block = p->b.across == 1 && p->M <= ROWS_DIRECT ? K_DIRECT : K_BLOCK;

    double elements = (double)p->M * p->K + (double)p->K * p->N + (double)p->M * p->N;
    double work = (double)p->M * p->N * p->K;
    work = work > MEMORY_COST * elements ? work : MEMORY_COST * elements;
    ptrdiff_t wanted = work / GRAIN < CHUNKS ? at_least(1, (ptrdiff_t)(work / GRAIN)) : CHUNKS;

    /* A long K first: no side is read twice. Then rows, if there are many, because then only b is packed beforehand;
     * then columns, of b's rows not less than 512 bytes; then what is left. */
    ptrdiff_t narrowest = p->b.across == 1 ? 4 : 1,
              widest = at_least(1, B_BLOCK / (at_most(p->k_block, p->K) * TILE_COLS));
    p->splits = between(1, at_most(p->K / K_SPLIT, SPLIT_SPACE / p->M / p->N), wanted);
    wanted = ceil_div(wanted, p->splits);
    p->row_blocks = ceil_div(p->M, ROW_BLOCK);
    p->row_blocks = p->row_blocks > 1 ? at_least(p->row_blocks, at_most(wanted, p->M / (ROW_BLOCK / 3))) : 1;
    p->col_blocks = p->row_blocks > 1 ? ceil_div(p->b.slices, widest) : 1;
    p->col_blocks = between(p->col_blocks, ceil_div(p->b.slices, narrowest), ceil_div(wanted, p->row_blocks));
    p->row_blocks = at_least(p->row_blocks, at_most(p->a.slices, ceil_div(wanted, p->col_blocks)));
}

void FN(gemm)(ptrdiff_t M, ptrdiff_t N, ptrdiff_t K, matrix a, matrix b, const real *bias, real *c, ptrdiff_t c_row)
{
    product p = {.M = M,
                 .N = N,
                 .K = K,
                 .a = {.p = a.p, .across = a.row, .along = a.col, .size = M},
                 .b = {.p = b.p, .across = b.col, .along = b.row, .size = N, .panels = 1},
                 .bias = bias,
                 .c = c,
                 .c_row = c_row};
    if (M == 0 || N == 0) {
        return;
    }
    if (K == 0) {
        p.partial = c; /* the sum of no splits */
        parallel_for(chunks_of(M * N, 1 << 14), add_splits_chunk, &p);
        return;
    }
    if (M <= ROWS_DOT && a.col == 1 && b.row == 1) {
        parallel_for(dot_chunks(&p), dot_chunk, &p);
        return;
    }
    plan(&p);
    int pack_a = p.col_blocks > 1, pack_b = p.row_blocks > 1 && p.k_block == K_BLOCK;
    if ((pack_a && !(p.a.packed = memory_get(K * packed_size(&p.a) * sizeof(real)))) ||
        (pack_b && !(p.b.packed = memory_get(K * packed_size(&p.b) * sizeof(real)))) ||
        (p.splits > 1 && !(p.partial = memory_get(p.splits * M * N * sizeof(real))))) {
        kernel_abort(KERNEL_NO_MEMORY);
    } else {
        if (pack_a) {
            parallel_for(pack_groups(&p.a), pack_a_chunk, &p);
        }
        if (pack_b) {
            parallel_for(pack_groups(&p.b), pack_b_chunk, &p);
        }
        parallel_for(p.row_blocks * p.col_blocks * p.splits, product_chunk, &p);
        if (p.splits > 1) {
            parallel_for(chunks_of(M * N, 1 << 14), add_splits_chunk, &p);
        }
    }
    memory_put(p.a.packed);
    memory_put(p.b.packed);
    memory_put(p.partial);
}
