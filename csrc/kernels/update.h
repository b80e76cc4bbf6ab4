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

#include "../threads.h"
#include "kernels.h"

/* An update reads and writes up to seven arrays: 8192 floats of each are 220 KB, 20 to 40 us of memory traffic. */
enum { UPDATE_GRAIN = 1 << 13 };

/* Values of a gradient that are formed at a time: they fit in the first-level cache with room for what they update. */
enum { FORMED_AT_ONCE = 1 << 11 };

typedef void update_piece(const void *optimiser, ptrdiff_t t, ptrdiff_t begin, ptrdiff_t end, const real *restrict dp);

typedef struct {
    update_piece *piece;
    const void *optimiser;
    const gradient *gradients;
    const ptrdiff_t *sizes;
    ptrdiff_t count, total, chunks;
} update;

/* dw[j] = the gradient of weight (o, i + j), summed over n in the order of linear's own kernels: the same bits. */
static inline void form_gradient(const gradient *g, ptrdiff_t o, ptrdiff_t i, real *restrict dw, ptrdiff_t length)
{
    const real first = g->dy[o];
    for (ptrdiff_t j = 0; j < length; j++) {
        dw[j] = 0 + first * g->x[i + j]; /* never -0 */
    }
    for (ptrdiff_t n = 1; n < g->N; n++) {
        const real dy = g->dy[n * g->OC + o];
        const real *restrict x = g->x + n * g->C + i;
        for (ptrdiff_t j = 0; j < length; j++) {
            dw[j] += dy * x[j];
        }
    }
}

static inline void update_values(const update *u, ptrdiff_t t, ptrdiff_t begin, ptrdiff_t end)
{
    const gradient *g = &u->gradients[t];
    if (g->values) {
        u->piece(u->optimiser, t, begin, end, g->values + begin);
        return;
    }
    _Alignas(64) real dw[FORMED_AT_ONCE];
    while (begin < end) {
        ptrdiff_t o = begin / g->C, i = begin % g->C, length = g->C - i;
        length = length > end - begin ? end - begin : length;
        length = length > FORMED_AT_ONCE ? FORMED_AT_ONCE : length;
        form_gradient(g, o, i, dw, length);
        u->piece(u->optimiser, t, begin, begin + length, dw);
        begin += length;
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
    update u = {piece, optimiser, gradients, sizes, count, 0, 0};
    for (ptrdiff_t t = 0; t < count; t++) {
        u.total += sizes[t];
    }
    u.chunks = chunks_of(u.total, UPDATE_GRAIN);
    parallel_for(u.chunks, update_chunk, &u);
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
