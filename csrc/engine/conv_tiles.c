/* conv_tiles.c: see conv_tiles.h. ROWSn(X) writes line X for 0 .. n-1, which is how the accumulators get names. */
#include "conv_tiles.h"

#define ROWS2(X) X(0) X(1)
#define ROWS4(X) ROWS2(X) X(2) X(3)
#define ROWS5(X) ROWS4(X) X(4)
#define ROWS6(X) ROWS5(X) X(5)
#define ROWS8(X) ROWS6(X) X(6) X(7)
#define ROWS9(X) ROWS8(X) X(8)

/* One number in every lane, loaded once: unpinned, GCC reads it again for every product. */
static inline vec broadcast(const real *p)
{
    vec v = v_set1(*p);
    V_PIN(v);
    return v;
}

/* ---- channel_tile: a, b, c are the first, second and third vector of a row -------------------------------------- */

#define POINTERS(p) const real *x##p = t->x[p];
#define OUT(p) real *out##p = t->out[p];
/* The head is read anew for each run: kept, it would not fit beside the pointers, and GCC then puts some of it into
 * vector registers, where the end of a run is waited for behind all multiply-adds. */
#define EACH_STEP                                           \
    const channel_tile *volatile head = t;                  \
    const ptrdiff_t x_step = t->x_step, w_step = t->w_step; \
    for (ptrdiff_t r = 0; r < head->runs; r++)              \
        for (ptrdiff_t i = head->run[r], end = i + head->length * x_step; i != end; i += x_step, w += w_step)

/* What a sum begins with, and what becomes of it. */
#define BEGIN(p, vector) v_load((t->bias != NULL ? t->bias : t->out[p]) + vector * VLEN)
#define END(p, vector, sum) v_store(out##p + vector * VLEN, relu ? v_relu(sum) : sum);

static void channel_tile_8x1(const channel_tile *t)
{
#define DECLARE(p) vec a##p = BEGIN(p, 0);
#define STEP(p) a##p = v_fma(v_set1(x##p[i]), w0, a##p);
#define STORE(p) END(p, 0, a##p)
    const real *w = t->w;
    ROWS8(POINTERS)
    ROWS8(DECLARE)
    EACH_STEP
    {
        vec w0 = v_load(w);
        ROWS8(STEP)
    }
    const int relu = t->relu;
    ROWS8(OUT)
    ROWS8(STORE)
#undef DECLARE
#undef STEP
#undef STORE
}

#define DECLARE(p) vec a##p = BEGIN(p, 0), b##p = BEGIN(p, 1);
#define STEP(p)                      \
    {                                \
        vec s = broadcast(x##p + i); \
        a##p = v_fma(s, w0, a##p);   \
        b##p = v_fma(s, w1, b##p);   \
    }
#define STORE(p)    \
    END(p, 0, a##p) \
    END(p, 1, b##p)
#define TILE_X2(ROWS, AHEAD)                       \
    const real *w = t->w;                          \
    ROWS(POINTERS)                                 \
    ROWS(DECLARE)                                  \
    EACH_STEP                                      \
    {                                              \
        vec w0 = v_load(w), w1 = v_load(w + VLEN); \
        AHEAD;                                     \
        ROWS(STEP)                                 \
    }                                              \
    const int relu = t->relu;                      \
    ROWS(OUT)                                      \
    ROWS(STORE)

static void channel_tile_6x2(const channel_tile *t) { TILE_X2(ROWS6, ); }

#if MANY_REGISTERS
/* For the weights' gradient: w is dy, which comes from memory. What lies a page ahead of it is asked for, because the
 * processor's own prefetching stops at the end of a page. */
static inline void fetch_page_ahead(const real *w)
{
    __builtin_prefetch((const char *)w + 4096, 0, 2);
    __builtin_prefetch((const char *)(w + VLEN) + 4096, 0, 2);
}

static void channel_tile_9x2(const channel_tile *t) { TILE_X2(ROWS9, fetch_page_ahead(w)); }
#endif

#undef DECLARE
#undef STEP
#undef STORE
#undef TILE_X2

static void channel_tile_4x3(const channel_tile *t)
{
#define DECLARE(p) vec a##p = BEGIN(p, 0), b##p = BEGIN(p, 1), c##p = BEGIN(p, 2);
#define STEP(p)                      \
    {                                \
        vec s = broadcast(x##p + i); \
        a##p = v_fma(s, w0, a##p);   \
        b##p = v_fma(s, w1, b##p);   \
        c##p = v_fma(s, w2, c##p);   \
    }
#define STORE(p)    \
    END(p, 0, a##p) \
    END(p, 1, b##p) \
    END(p, 2, c##p)
    const real *w = t->w;
    ROWS4(POINTERS)
    ROWS4(DECLARE)
    EACH_STEP
    {
        vec w0 = v_load(w), w1 = v_load(w + VLEN), w2 = v_load(w + 2 * VLEN);
        ROWS4(STEP)
    }
    const int relu = t->relu;
    ROWS4(OUT)
    ROWS4(STORE)
#undef DECLARE
#undef STEP
#undef STORE
}

void FN(channel_tile_run)(const channel_tile *t, ptrdiff_t rows, ptrdiff_t vectors)
{
#if MANY_REGISTERS
    if (rows == 9) {
        channel_tile_9x2(t);
        return;
    }
#endif
    (void)rows;
    switch (vectors) {
    case 1: channel_tile_8x1(t); break;
    case 2: channel_tile_6x2(t); break;
    default: channel_tile_4x3(t);
    }
}

/* ---- plane_tile: a, b are the two vectors of a channel ---------------------------------------------------------- */

#define DECLARE(m) vec a##m = v_set1(t->bias[m]), b##m = a##m;
#define STEP(m)                    \
    {                              \
        vec s = broadcast(w + m);  \
        a##m = v_fma(s, x0, a##m); \
        b##m = v_fma(s, x1, b##m); \
    }
#define STORE(m)                                                         \
    v_store(t->out[0] + m * t->out_step, t->relu ? v_relu(a##m) : a##m); \
    v_store(t->out[1] + m * t->out_step, t->relu ? v_relu(b##m) : b##m);

static void plane_tile_6x2(const plane_tile *t)
{
    const real *w = t->w;
    ROWS6(DECLARE)
    for (ptrdiff_t k = 0; k < t->taps; k++, w += 6) {
        vec x0 = v_load(t->x[0] + t->offset[k]), x1 = v_load(t->x[1] + t->offset[k]);
        ROWS6(STEP)
    }
    ROWS6(STORE)
}

static void plane_tile_4x2(const plane_tile *t)
{
    const real *w = t->w;
    ROWS4(DECLARE)
    for (ptrdiff_t k = 0; k < t->taps; k++, w += 4) {
        vec x0 = v_load(t->x[0] + t->offset[k]), x1 = v_load(t->x[1] + t->offset[k]);
        ROWS4(STEP)
    }
    ROWS4(STORE)
}
#undef DECLARE
#undef STEP
#undef STORE

void FN(plane_tile_run)(const plane_tile *t, ptrdiff_t channels)
{
    if (channels == 6) {
        plane_tile_6x2(t);
    } else {
        plane_tile_4x2(t);
    }
}

/* ---- dot_tile: s_mk is the sum of channel m and tap k ------------------------------------------------------------ */

#define CHANNEL(m) const real *dy##m = t->dy[m];
#define LOAD(m) vec d##m = v_load(dy##m + j);
#define EACH_VECTOR                         \
    for (ptrdiff_t r = 0; r < t->runs; r++) \
        for (ptrdiff_t i = t->run[r].x, j = t->run[r].dy, n = t->length; n > 0; n--, i += t->x_step, j += t->dy_step)
#define ZERO(m, k) vec s##m##_##k = v_zero();
#define STEP(m, k) s##m##_##k = v_fma(d##m, x, s##m##_##k);
#define ADD(m, k, taps)                           \
    {                                             \
        real *sum = sums + (m * taps + k) * VLEN; \
        if (accumulate)                           \
            s##m##_##k += v_load(sum);            \
        v_store(sum, s##m##_##k);                 \
    }

#if MANY_REGISTERS

static void dot_tile_6x4(const dot_tile *t)
{
#define COLUMN(X, k) X(0, k) X(1, k) X(2, k) X(3, k) X(4, k) X(5, k)
#define DECLARE(k)              \
    const real *x##k = t->x[k]; \
    COLUMN(ZERO, k)
#define STEPS(k)                  \
    {                             \
        vec x = v_load(x##k + i); \
        COLUMN(STEP, k)           \
    }
#define STORE_ONE(m, k) ADD(m, k, 4)
#define STORE(k) COLUMN(STORE_ONE, k)
    real *sums = t->sums;
    const int accumulate = t->accumulate;
    ROWS6(CHANNEL)
    ROWS4(DECLARE)
    EACH_VECTOR{ROWS6(LOAD) ROWS4(STEPS)} ROWS4(STORE)
#undef COLUMN
#undef STORE_ONE
}

static void dot_tile_4x5(const dot_tile *t)
{
#define COLUMN(X, k) X(0, k) X(1, k) X(2, k) X(3, k)
#define STORE_ONE(m, k) ADD(m, k, 5)
    real *sums = t->sums;
    const int accumulate = t->accumulate;
    ROWS4(CHANNEL)
    ROWS5(DECLARE)
    EACH_VECTOR{ROWS4(LOAD) ROWS5(STEPS)} ROWS5(STORE)
#undef COLUMN
#undef STORE_ONE
}

void FN(dot_tile_run)(const dot_tile *t, ptrdiff_t channels)
{
    if (channels == 6) {
        dot_tile_6x4(t);
    } else {
        dot_tile_4x5(t);
    }
}

#else

static void dot_tile_2x6(const dot_tile *t)
{
#define COLUMN(X, k) X(0, k) X(1, k)
#define DECLARE(k)              \
    const real *x##k = t->x[k]; \
    COLUMN(ZERO, k)
#define STEPS(k)                  \
    {                             \
        vec x = v_load(x##k + i); \
        COLUMN(STEP, k)           \
    }
#define STORE_ONE(m, k) ADD(m, k, 6)
#define STORE(k) COLUMN(STORE_ONE, k)
    real *sums = t->sums;
    const int accumulate = t->accumulate;
    ROWS2(CHANNEL)
    ROWS6(DECLARE)
    EACH_VECTOR{ROWS2(LOAD) ROWS6(STEPS)} ROWS6(STORE)
}

void FN(dot_tile_run)(const dot_tile *t, ptrdiff_t channels)
{
    (void)channels; /* always 2 */
    dot_tile_2x6(t);
}

#endif
