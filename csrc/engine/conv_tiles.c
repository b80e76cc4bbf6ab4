/* conv_tiles.c: see conv_tiles.h. ROWSn(X) writes line X for 0 .. n-1, which is how the accumulators get names. */
#include "conv_tiles.h"

#define ROWS2(X) X(0) X(1)
#define ROWS4(X) ROWS2(X) X(2) X(3)
#define ROWS5(X) ROWS4(X) X(4)
#define ROWS6(X) ROWS5(X) X(5)
#define ROWS8(X) ROWS6(X) X(6) X(7)
#define ROWS12(X) ROWS8(X) X(8) X(9) X(10) X(11)

/* One number in every lane, loaded once: unpinned, GCC reads it again for every product. */
static inline vec broadcast(const real *p)
{
    vec v = v_set1(*p);
    V_PIN(v);
    return v;
}

/* ---- channel_tile: a, b, c are the first, second and third vector of a pixel ------------------------------------ */

#define POINTERS(p) const real *x##p = t->x[p];
#define EACH_STEP(vectors)                                                        \
    const real *w = t->w;                                                         \
    for (const ptrdiff_t *run = t->run, *last = run + t->runs; run < last; run++) \
        for (ptrdiff_t i = *run, end = i + t->length; i != end; i++, w += vectors * VLEN)

/* What a sum begins with, and what becomes of it. */
#define BEGIN(vector) v_load(t->bias + vector * VLEN)
#define END(vector, sum) v_store(out + vector * VLEN, relu ? v_relu(sum) : sum);
#define EACH_OUT(ROWS)                      \
    const int relu = t->relu;               \
    real *out = t->out;                     \
    const ptrdiff_t out_step = t->out_step; \
    ROWS(STORE)

static void channel_tile_8x1(const channel_tile *t)
{
#define DECLARE(p) vec a##p = BEGIN(0);
#define STEP(p) a##p = v_fma(v_set1(x##p[i]), w0, a##p);
#define STORE(p) \
    END(0, a##p) \
    out += out_step;
    ROWS8(POINTERS)
    ROWS8(DECLARE)
    EACH_STEP(1)
    {
        vec w0 = v_load(w);
        ROWS8(STEP)
    }
    EACH_OUT(ROWS8)
#undef DECLARE
#undef STEP
#undef STORE
}

static void channel_tile_6x2(const channel_tile *t)
{
#define DECLARE(p) vec a##p = BEGIN(0), b##p = BEGIN(1);
#define STEP(p)                      \
    {                                \
        vec s = broadcast(x##p + i); \
        a##p = v_fma(s, w0, a##p);   \
        b##p = v_fma(s, w1, b##p);   \
    }
#define STORE(p) \
    END(0, a##p) \
    END(1, b##p) \
    out += out_step;
    ROWS6(POINTERS)
    ROWS6(DECLARE)
    EACH_STEP(2)
    {
        vec w0 = v_load(w), w1 = v_load(w + VLEN);
        ROWS6(STEP)
    }
    EACH_OUT(ROWS6)
#undef DECLARE
#undef STEP
#undef STORE
}

static void channel_tile_4x3(const channel_tile *t)
{
#define DECLARE(p) vec a##p = BEGIN(0), b##p = BEGIN(1), c##p = BEGIN(2);
#define STEP(p)                      \
    {                                \
        vec s = broadcast(x##p + i); \
        a##p = v_fma(s, w0, a##p);   \
        b##p = v_fma(s, w1, b##p);   \
        c##p = v_fma(s, w2, c##p);   \
    }
#define STORE(p) \
    END(0, a##p) \
    END(1, b##p) \
    END(2, c##p) \
    out += out_step;
    ROWS4(POINTERS)
    ROWS4(DECLARE)
    EACH_STEP(3)
    {
        vec w0 = v_load(w), w1 = v_load(w + VLEN), w2 = v_load(w + 2 * VLEN);
        ROWS4(STEP)
    }
    EACH_OUT(ROWS4)
#undef DECLARE
#undef STEP
#undef STORE
}

void FN(channel_tile_run)(const channel_tile *t, ptrdiff_t vectors)
{
    switch (vectors) {
    case 1: channel_tile_8x1(t); break;
    case 2: channel_tile_6x2(t); break;
    default: channel_tile_4x3(t);
    }
}

/* ---- tap_tile: a, b, c are the vectors of a tap; taps, vectors and with_total are constants where it is inlined -- */

ALWAYS_INLINE void tap_tile_of(const int taps, const int vectors, const int with_total, const tap_tile *t)
{
#define DECLARE(k)                                                           \
    vec a##k = v_zero(), b##k = v_zero(), c##k = v_zero();                   \
    if (taps > k) {                                                          \
        a##k = v_load(sums + k * vectors * VLEN);                            \
        b##k = vectors > 1 ? v_load(sums + (k * vectors + 1) * VLEN) : b##k; \
        c##k = vectors > 2 ? v_load(sums + (k * vectors + 2) * VLEN) : c##k; \
    }
#define STEP(k)                                         \
    if (taps > k) {                                     \
        vec s = v_set1(x[k]);                           \
        if (vectors > 1)                                \
            V_PIN(s);                                   \
        a##k = v_fma(s, d0, a##k);                      \
        b##k = vectors > 1 ? v_fma(s, d1, b##k) : b##k; \
        c##k = vectors > 2 ? v_fma(s, d2, c##k) : c##k; \
    }
#define STORE(k)                                            \
    if (taps > k) {                                         \
        v_store(sums + k * vectors * VLEN, a##k);           \
        if (vectors > 1)                                    \
            v_store(sums + (k * vectors + 1) * VLEN, b##k); \
        if (vectors > 2)                                    \
            v_store(sums + (k * vectors + 2) * VLEN, c##k); \
    }
    real *sums = t->sums;
    const real *dy = t->dy;
    const char *ahead = t->ahead;
    const ptrdiff_t x_step = t->x_step, dy_step = t->dy_step, length = t->length;
    vec total0 = v_zero(), total1 = total0, total2 = total0;
    ROWS12(DECLARE)
    for (const ptrdiff_t *run = t->run, *last = run + t->runs; run < last; run++) {
        const real *x = t->x + *run;
        for (ptrdiff_t n = length; n > 0; n--, x += x_step, dy += dy_step, ahead += 64) {
            vec d0 = v_load(dy), d1 = vectors > 1 ? v_load(dy + VLEN) : d0,
                d2 = vectors > 2 ? v_load(dy + 2 * VLEN) : d0;
            __builtin_prefetch(ahead, 0, 2);
            ROWS12(STEP)
            if (with_total) {
                total0 += d0;
                total1 = vectors > 1 ? total1 + d1 : total1;
                total2 = vectors > 2 ? total2 + d2 : total2;
            }
        }
    }
    ROWS12(STORE)
    if (with_total) {
        v_store(t->total, v_load(t->total) + total0);
        if (vectors > 1)
            v_store(t->total + VLEN, v_load(t->total + VLEN) + total1);
        if (vectors > 2)
            v_store(t->total + 2 * VLEN, v_load(t->total + 2 * VLEN) + total2);
    }
#undef DECLARE
#undef STEP
#undef STORE
}

typedef void tap_tile_function(const tap_tile *t);

#define TAP_TILE(taps, vectors)                                \
    static void tap_tile_##taps##x##vectors(const tap_tile *t) \
    {                                                          \
        if (t->total != NULL) {                                \
            tap_tile_of(taps, vectors, 1, t);                  \
        } else {                                               \
            tap_tile_of(taps, vectors, 0, t);                  \
        }                                                      \
    }
#define TAP_TILE_ENTRY(taps, vectors) tap_tile_##taps##x##vectors,
#define UP_TO_4(DO, vectors) DO(1, vectors) DO(2, vectors) DO(3, vectors) DO(4, vectors)
#define UP_TO_6(DO, vectors) UP_TO_4(DO, vectors) DO(5, vectors) DO(6, vectors)
#define UP_TO_8(DO, vectors) UP_TO_6(DO, vectors) DO(7, vectors) DO(8, vectors)
#define UP_TO_12(DO, vectors) UP_TO_8(DO, vectors) DO(9, vectors) DO(10, vectors) DO(11, vectors) DO(12, vectors)
#if MANY_REGISTERS
#define UP_TO_MOST_X2 UP_TO_12
#define UP_TO_MOST_X3 UP_TO_8
#else
#define UP_TO_MOST_X2 UP_TO_6
#define UP_TO_MOST_X3 UP_TO_4
#endif
UP_TO_12(TAP_TILE, 1)
UP_TO_MOST_X2(TAP_TILE, 2)
UP_TO_MOST_X3(TAP_TILE, 3)

void FN(tap_tile_run)(const tap_tile *t, ptrdiff_t taps, ptrdiff_t vectors)
{
    /* [vectors - 1][taps - 1] */
    static tap_tile_function *const tiles[3][12] = {
        {UP_TO_12(TAP_TILE_ENTRY, 1)}, {UP_TO_MOST_X2(TAP_TILE_ENTRY, 2)}, {UP_TO_MOST_X3(TAP_TILE_ENTRY, 3)}};
    tiles[vectors - 1][taps - 1](t);
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
