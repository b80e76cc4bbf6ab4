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

/* A tile is so many channels times four pixels: that many sums, a vector of each channel's weights and one of a pixel
 * fill the registers. */
enum {
    DOTS_PIXELS = 64,  /* at most */
    WEIGHTS = 4 << 10, /* for each pixel, at least: they, not the pixels, are the work */
    DOTS_ROWS = MANY_REGISTERS ? 6 : 3,
    DOTS_COLS = 4,
    STRETCH = 2 << 10, /* bytes of each filter at a time */
};

int FN(dots_suit)(const conv2d_shape *s)
{
    ptrdiff_t pixels = s->N * s->OH * s->OW, K = s->C * s->KH * s->KW;
    return s->G == 1 && pixels <= DOTS_PIXELS && K >= 256 && s->OC * K >= WEIGHTS * pixels;
}

typedef struct {
    const correlation *c;
    const real *in, *w, *bias;
    real *out, *columns;
    ptrdiff_t K, pixels, pitch; /* pitch: from column to column */
    ptrdiff_t blocks, chunks;
} context;

typedef struct {
    ptrdiff_t n, row, col;
} place;

static place place_of(const correlation *c, ptrdiff_t pixel)
{
    ptrdiff_t row = pixel / c->w.out;
    return (place){row / c->h.out, row % c->h.out, pixel % c->w.out};
}

static void fill_column(void *context_, ptrdiff_t pixel)
{
    const context *x = context_;
    const correlation *c = x->c;
    place at = place_of(c, pixel);
    ptrdiff_t taps = c->h.taps * c->w.taps;
    real *to = x->columns + pixel * x->pitch;
    for (ptrdiff_t th = 0; th < c->h.taps; th++) {
        ptrdiff_t ih = axis_first(c->h, at.row) + th * c->h.spread;
        for (ptrdiff_t tw = 0; tw < c->w.taps; tw++, to++) {
            ptrdiff_t iw = axis_first(c->w, at.col) + tw * c->w.spread;
            int is_inside = ih >= 0 && ih < c->h.in && iw >= 0 && iw < c->w.in;
            const real *from = x->in + at.n * c->in.n + ih * c->in.h + iw * c->in.w;
            for (ptrdiff_t ic = 0; ic < c->IC; ic++) {
                to[ic * taps] = is_inside ? from[ic * c->in.c] : 0;
            }
        }
    }
}

#define EACH_ROW(DO, p) DO(0, p) DO(1, p) DO(2, p) DO(3, p) DO(4, p) DO(5, p)
#define EACH_SUM(DO) EACH_ROW(DO, 0) EACH_ROW(DO, 1) EACH_ROW(DO, 2) EACH_ROW(DO, 3)
#define BEGIN(m, p) vec s##m##p = m < DOTS_ROWS && accumulate ? v_load(sums + (m * DOTS_COLS + p) * VLEN) : v_zero();
#define LOAD(m, p) vec w##m = m < DOTS_ROWS ? v_load(w[m] + i) : v_zero();
#define MULTIPLY_ADD(m, p) \
    if (m < DOTS_ROWS)     \
        s##m##p = v_fma(w##m, xp, s##m##p);
#define PIXEL(p)                   \
    {                              \
        vec xp = v_load(x##p + i); \
        EACH_ROW(MULTIPLY_ADD, p)  \
    }
#define END(m, p)      \
    if (m < DOTS_ROWS) \
        v_store(sums + (m * DOTS_COLS + p) * VLEN, s##m##p);

/* sums[row][pixel] (+)= w[row] * column[pixel], vectors of partial sums, over `length` values. On the way, two rows of
 * the next weights are asked for, a line of each with every vector: more at a time would keep other loads waiting. */
static void dots_tile(const real *const w[], const real *const column[], ptrdiff_t length, int accumulate, real *sums,
                      const real *next, ptrdiff_t next_row)
{
    const real *x0 = column[0], *x1 = column[1], *x2 = column[2], *x3 = column[3];
    EACH_SUM(BEGIN)
    for (ptrdiff_t i = 0; i < length; i += VLEN) {
        __builtin_prefetch(next + i);
        __builtin_prefetch(next + next_row + i);
        EACH_ROW(LOAD, )
        PIXEL(0)
        PIXEL(1)
        PIXEL(2)
        PIXEL(3)
    }
    EACH_SUM(END)
}

/* The outputs of the channels from `first` on, from the partial sums: sums[tile of pixels][row][pixel]. */
static void store_block(const context *x, ptrdiff_t first, const real *sums)
{
    enum { SUMS = DOTS_ROWS * DOTS_COLS, SPACE = SUMS + VBYTES / sizeof(real) };
    const correlation *c = x->c;
    const ptrdiff_t size = at_most(DOTS_ROWS, c->OC - first);
    real scale[SPACE] = {0}, bias[SPACE] = {0}, y[SPACE] = {0};
    for (ptrdiff_t i = 0; i < size * DOTS_COLS; i++) {
        scale[i] = c->scale != NULL ? c->scale[first + i / DOTS_COLS] : 1;
        bias[i] = x->bias != NULL ? x->bias[first + i / DOTS_COLS] : 0;
    }
    for (ptrdiff_t p = 0; p < x->pixels; p += DOTS_COLS, sums += SUMS * VLEN) {
        const ptrdiff_t cols = at_most(DOTS_COLS, x->pixels - p);
        lane_sums(sums, size * DOTS_COLS, y);
        for (ptrdiff_t k = x->K / VLEN * VLEN; k < x->K; k++) {
            for (ptrdiff_t i = 0; i < size * DOTS_COLS; i++) {
                y[i] += x->w[(first + i / DOTS_COLS) * x->K + k] *
                        x->columns[at_most(p + i % DOTS_COLS, x->pixels - 1) * x->pitch + k];
            }
        }
        for (ptrdiff_t i = 0; i < SUMS; i += VLEN) {
            vec sum = v_fma(v_load(y + i), v_load(scale + i), v_load(bias + i));
            v_store(y + i, c->relu ? v_relu(sum) : sum);
        }
        for (ptrdiff_t i = 0; i < cols; i++) {
            place at = place_of(c, p + i);
            real *out = x->out + at.n * c->out.n + first * c->out.c + at.row * c->out.h + at.col * c->out.w;
            for (ptrdiff_t m = 0; m < size; m++) {
                out[m * c->out.c] = y[m * DOTS_COLS + i];
            }
        }
    }
}

/* A stretch of a few filters stays in the first-level cache while all pixels pass over it, and the next one is asked
 * for: the processor's own prefetching is bad at rows that lie far apart. */
static void multiply_chunk(void *context_, ptrdiff_t chunk)
{
    const context *x = context_;
    const ptrdiff_t whole = x->K / VLEN * VLEN, stretch = STRETCH / sizeof(real), last = x->c->OC - 1;
    _Alignas(VBYTES) real sums[DOTS_ROWS * DOTS_PIXELS * VBYTES / sizeof(real)];
    ptrdiff_t begin, end;
    chunk_bounds(x->blocks, x->chunks, chunk, &begin, &end);
    for (ptrdiff_t first = begin * DOTS_ROWS; first < end * DOTS_ROWS; first += DOTS_ROWS) {
        for (ptrdiff_t k = 0; k < whole; k += stretch) {
            const int is_last = k + stretch >= whole;
            const real *next = x->w + (is_last ? 0 : k + stretch), *w[DOTS_ROWS], *column[DOTS_COLS];
            for (ptrdiff_t m = 0; m < DOTS_ROWS; m++) {
                w[m] = x->w + at_most(first + m, last) * x->K + k;
            }
            for (ptrdiff_t p = 0; p < x->pixels; p += DOTS_COLS) {
                for (ptrdiff_t i = 0; i < DOTS_COLS; i++) {
                    column[i] = x->columns + at_most(p + i, x->pixels - 1) * x->pitch + k;
                }
                ptrdiff_t row = (is_last ? first + DOTS_ROWS : first) + at_most(p / DOTS_COLS * 2, DOTS_ROWS - 2);
                dots_tile(w, column, at_most(stretch, whole - k), k > 0, sums + p * DOTS_ROWS * VLEN,
                          next + at_most(row, last) * x->K, x->K);
            }
        }
        store_block(x, first, sums);
    }
}

void FN(correlate_dots)(const correlation *c, const real *in, const real *w, const real *bias, real *out)
{
    enum { CHUNK_WORK = 1 << 20 };
    context x = {.c = c, .in = in, .w = w, .bias = bias, .out = out, .blocks = ceil_div(c->OC, DOTS_ROWS)};
    x.pixels = c->N * c->h.out * c->w.out;
    x.K = c->IC * c->h.taps * c->w.taps;
    x.pitch =
        ceil_div(x.K, VLEN) * VLEN + VLEN; /* not a power of two: the columns would share a few sets of the cache */
    x.columns = memory_get((size_t)(x.pixels * x.pitch) * sizeof(real));
    if (x.columns == NULL) {
        kernel_abort(KERNEL_NO_MEMORY);
        return;
    }
    parallel_for(x.pixels, fill_column, &x);
    x.chunks = at_most(chunks_of((ptrdiff_t)correlation_work(c), CHUNK_WORK), x.blocks);
    parallel_for(x.chunks, multiply_chunk, &x);
    memory_put(x.columns);
}
