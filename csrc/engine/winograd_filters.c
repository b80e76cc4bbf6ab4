/* winograd_filters.c: filters to U, and the sums of V * Z to the gradient of the filters. See winograd.c. */
#include <string.h>

#include "../threads.h"
#include "winograd_pass.h"
#include "winograd_transforms.h"

enum { TURNED = 8 }; /* filters turned at a time */

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

void FN(winograd_some_filters)(const pass *p, ptrdiff_t n, ptrdiff_t begin, ptrdiff_t end, real *u,
                               ptrdiff_t u_position)
{
    if (p->m == 4) {
        filters_to_u(4, p, n, begin, end, u, u_position);
    } else {
        filters_to_u(2, p, n, begin, end, u, u_position);
    }
}

void FN(winograd_filters_chunk)(void *context, ptrdiff_t chunk)
{
    const pass *p = context;
    ptrdiff_t n = chunk * TILE_COLS;
    FN(winograd_some_filters)(p, n, 0, p->in.C, p->u + n * p->in.C, p->u_position);
}

/* ---- sums to the gradient of the filters --------------------------------------------------------------------------
 */

/* The first slot becomes the sum of all, in order. */
void FN(winograd_slots_chunk)(void *context, ptrdiff_t chunk)
{
    const pass *p = context;
    ptrdiff_t begin, end, size = gradient_size(p);
    chunk_bounds(size / VLEN, chunks_of(size, WINOGRAD_SLOTS_GRAIN), chunk, &begin, &end);
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

void FN(winograd_gradient_chunk)(void *context, ptrdiff_t chunk)
{
    const pass *p = context;
    ptrdiff_t begin, end;
    chunk_bounds(p->in.C, at_most(p->in.C, WINOGRAD_CHUNKS), chunk, &begin, &end);
    vec spoiled = v_zero();
    for (ptrdiff_t k = begin; k < end; k++) {
        for (ptrdiff_t n = 0; n < p->out.C; n += VLEN) {
            spoiled = p->m == 4 ? gradient_to_filters(4, p, k, n, spoiled) : gradient_to_filters(2, p, k, n, spoiled);
        }
    }
    p->spoiled[chunk] = (char)v_has_nan(spoiled);
}
