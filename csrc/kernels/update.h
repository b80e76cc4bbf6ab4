/* update.h: what the optimisers share: one step over every array of a parameter group in one go.
 *
 * The arrays are seen as one long row of numbers, cut into chunks of equal length: ten small biases then cost one call
 * of the threads and not ten, and one large matrix still feeds them all. An optimiser states its loop once, for the
 * values begin..end of array t:
 *
 *     static void piece(const void *optimiser, ptrdiff_t t, ptrdiff_t begin, ptrdiff_t end);
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

typedef void update_piece(const void *optimiser, ptrdiff_t t, ptrdiff_t begin, ptrdiff_t end);

typedef struct {
    update_piece *piece;
    const void *optimiser;
    const ptrdiff_t *sizes;
    ptrdiff_t count, total, chunks;
} update;

static inline void update_chunk(void *context, ptrdiff_t chunk)
{
    const update *u = context;
    ptrdiff_t begin, end, start = 0; /* array t holds the values start .. start + sizes[t] of the long row */
    chunk_bounds(u->total, u->chunks, chunk, &begin, &end);
    for (ptrdiff_t t = 0; t < u->count && start < end; start += u->sizes[t], t++) {
        const ptrdiff_t from = begin > start ? begin - start : 0;
        const ptrdiff_t to = end - start < u->sizes[t] ? end - start : u->sizes[t];
        if (from < to) {
            u->piece(u->optimiser, t, from, to);
        }
    }
}

static inline void update_all(update_piece *piece, const void *optimiser, ptrdiff_t count, const ptrdiff_t *sizes)
{
    update u = {piece, optimiser, sizes, count, 0, 0};
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
