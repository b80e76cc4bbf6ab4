/* update.h: what the optimisers share: one step over every array of a parameter group in one go.
 *
 * The arrays are seen as one long row of numbers, cut into chunks of equal length: ten small biases then cost one call
 * of the threads and not ten, and one large matrix still feeds them all. An optimiser states its loop once, for the
 * values begin..end of array t, of which value i has the gradient dp[i - begin]:
 *
 *     static void piece(const void *optimiser, ptrdiff_t t, ptrdiff_t begin, ptrdiff_t end, const real *restrict dp);
 *
 * Each value is computed from its own history alone, so where the cuts fall changes nothing.
 */
#ifndef CNN_UPDATE_H
#define CNN_UPDATE_H

#include <math.h>

#include "../memory.h"
#include "../simd/simd.h"
#include "../sizes.h"
#include "../threads.h"
#include "kernels.h"

/* An update reads and writes up to seven arrays: 8192 floats of each are 220 KB, 20 to 40 us of memory traffic. */
enum { UPDATE_GRAIN = 1 << 13 };

/* A gradient of two factors is formed for a band of rows and some panels of columns at a time. FORMED columns: shorter
 * pieces of the optimiser's arrays would begin anew too often for the processor's own prefetching. */
#define PANEL (2 * VLEN)
enum { BAND = 4, FORMED = 2048 };

typedef void update_piece(const void *optimiser, ptrdiff_t t, ptrdiff_t begin, ptrdiff_t end, const real *restrict dp);

/* Two factors in the order in which they are read, with zeros where bands and panels are not full. */
typedef struct {
    real *dy; /* [band of OC][n][BAND] */
    real *x;  /* [panel of C][n][PANEL] */
} factors;

typedef struct {
    update_piece *piece;
    const void *optimiser;
    const gradient *gradients;
    const ptrdiff_t *sizes;
    factors *factors;
    ptrdiff_t count, total, chunks;
} update;

/* to[part][n][size] of from (N,C); returns what lies behind it. */
static inline real *pack_factor(const real *from, ptrdiff_t N, ptrdiff_t C, ptrdiff_t size, real *to)
{
    for (ptrdiff_t c = 0; c < C; c += size) {
        for (ptrdiff_t n = 0; n < N; n++) {
            for (ptrdiff_t i = 0; i < size; i++) {
                *to++ = c + i < C ? from[n * C + c + i] : 0;
            }
        }
    }
    return to;
}

/* dw[k*FORMED + j] = the gradient of weight (o + k, i + j) for the rows of a band and `panels` panels of columns.
 * Summed over n in the order of linear's own kernels: the same bits. */
static inline void form_gradient(const gradient *g, factors f, ptrdiff_t band, ptrdiff_t panel, ptrdiff_t panels,
                                 real *dw)
{
#define EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3)
#define DECLARE(k) vec a##k = v_zero(), b##k = v_zero();
#define STEP(k)                    \
    {                              \
        vec s = v_set1(dy[k]);     \
        V_PIN(s);                  \
        a##k = v_fma(s, x0, a##k); \
        b##k = v_fma(s, x1, b##k); \
    }
#define STORE(k)                    \
    v_store(dw + k * FORMED, a##k); \
    v_store(dw + k * FORMED + VLEN, b##k);
    const real *x = f.x + panel * g->N * PANEL;
    for (ptrdiff_t p = 0; p < panels; p++, dw += PANEL) {
        const real *dy = f.dy + band * g->N * BAND;
        EACH_ROW(DECLARE)
        for (ptrdiff_t n = 0; n < g->N; n++, dy += BAND, x += PANEL) {
            vec x0 = v_load(x), x1 = v_load(x + VLEN);
            EACH_ROW(STEP)
        }
        EACH_ROW(STORE)
    }
#undef EACH_ROW
#undef DECLARE
#undef STEP
#undef STORE
}

/* The rows of one band of array t, panels begin..end-1 of their columns. */
static inline void update_band(const update *u, ptrdiff_t t, ptrdiff_t band, ptrdiff_t rows, ptrdiff_t begin,
                               ptrdiff_t end)
{
    const gradient *g = &u->gradients[t];
    _Alignas(64) real dw[BAND * FORMED];
    for (ptrdiff_t p = begin; p < end; p += FORMED / PANEL) {
        const ptrdiff_t panels = end - p < FORMED / PANEL ? end - p : FORMED / PANEL, i = p * PANEL;
        const ptrdiff_t columns = g->C - i < panels * PANEL ? g->C - i : panels * PANEL;
        form_gradient(g, u->factors[t], band, p, panels, dw);
        for (ptrdiff_t k = 0; k < rows; k++) {
            const ptrdiff_t at = (band * BAND + k) * g->C + i;
            u->piece(u->optimiser, t, at, at + columns, dw + k * FORMED);
        }
    }
}

/* Values begin..end of array t. Where the gradient is two factors, they are counted band by band, and in a band panel
 * by panel; a panel belongs to where its first value is. */
static inline void update_values(const update *u, ptrdiff_t t, ptrdiff_t begin, ptrdiff_t end)
{
    const gradient *g = &u->gradients[t];
    if (g->values) {
        u->piece(u->optimiser, t, begin, end, g->values + begin);
        return;
    }
    for (ptrdiff_t band = begin / (BAND * g->C); band * BAND * g->C < end; band++) {
        const ptrdiff_t o = band * BAND, rows = g->OC - o < BAND ? g->OC - o : BAND;
        const ptrdiff_t from = begin > o * g->C ? begin - o * g->C : 0;
        const ptrdiff_t to = end - o * g->C < rows * g->C ? end - o * g->C : rows * g->C;
        update_band(u, t, band, rows, ceil_div(from, rows * PANEL), ceil_div(to, rows * PANEL));
    }
}

static inline void update_chunk(void *context, ptrdiff_t chunk)
{
    const update *u = context;
    ptrdiff_t begin, end, start = 0; /* array t holds the values start .. start + sizes[t] of the long row */
    chunk_bounds(u->total, u->chunks, chunk, &begin, &end);
    for (ptrdiff_t t = 0; t < u->count && start < end; start += u->sizes[t], t++) {
        const ptrdiff_t from = begin > start ? begin - start : 0;
        const ptrdiff_t to = end - start < u->sizes[t] ? end - start : u->sizes[t];
        if (from < to) {
            update_values(u, t, from, to);
        }
    }
}

static inline void update_all(update_piece *piece, const void *optimiser, const gradient *gradients, ptrdiff_t count,
                              const ptrdiff_t *sizes)
{
    update u = {piece, optimiser, gradients, sizes, NULL, count, 0, 0};
    size_t packed = 0;
    for (ptrdiff_t t = 0; t < count; t++) {
        const gradient *g = &gradients[t];
        u.total += sizes[t];
        packed += g->values ? 0 : (size_t)(g->N * (ceil_div(g->OC, BAND) * BAND + ceil_div(g->C, PANEL) * PANEL));
    }
    if (packed > 0) {
        u.factors = memory_get((size_t)count * sizeof(factors) + packed * sizeof(real));
        if (u.factors == NULL) {
            kernel_abort(KERNEL_NO_MEMORY);
            return;
        }
        real *room = (real *)(u.factors + count);
        for (ptrdiff_t t = 0; t < count; t++) {
            const gradient *g = &gradients[t];
            if (g->values == NULL) {
                u.factors[t].dy = room;
                u.factors[t].x = pack_factor(g->dy, g->N, g->OC, BAND, room);
                room = pack_factor(g->x, g->N, g->C, PANEL, u.factors[t].x);
            }
        }
    }
    u.chunks = chunks_of(u.total, UPDATE_GRAIN);
    parallel_for(u.chunks, update_chunk, &u);
    memory_put(u.factors);
}

/* The gradient to go by: turned around to climb instead of descend, and with `decay` times the parameter added (the
 * derivative of an L2 penalty). decay = 0 must leave the parameter out altogether: 0 * Inf is NaN. */
static inline real update_gradient(real gradient, real parameter, real sign, real decay)
{
    const real g = sign * gradient, with_decay = g + decay * parameter;
    return decay != 0 ? with_decay : g;
}

#ifdef CNN_REAL_IS_DOUBLE
static inline real root(real x) { return sqrt(x); }
#else
static inline real root(real x) { return sqrtf(x); }
#endif

/* The larger of two; NaN if one is. */
static inline real larger(real a, real b) { return a > b || a != a ? a : b; }

#endif
