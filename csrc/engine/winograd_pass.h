/* winograd_pass.h: what the files of Winograd's convolution share. winograd.c tells the whole; winograd_filters.c has
 * what belongs to the filters, winograd_strips.c what belongs to the images. */
#ifndef CNN_WINOGRAD_PASS_H
#define CNN_WINOGRAD_PASS_H

#include "direct.h"
#include "pack.h"
#include "tile.h"
#include "winograd.h"

enum {
    WINOGRAD_CHUNKS = 32,
    WINOGRAD_SLOTS_GRAIN = 1 << 13, /* values in a chunk that adds up the slots */
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

/* Lanes of the panel that begins at channel n of c (whole vectors). */
static inline ptrdiff_t panel_lanes(ptrdiff_t c, ptrdiff_t n) { return at_most(TILE_COLS, c - n); }

/* Columns of pixels that the tiles of a strip read. */
static inline ptrdiff_t input_columns(const pass *p) { return p->tile_cols * p->m + 2; }
static inline ptrdiff_t output_columns(const pass *p) { return p->tile_cols * p->m; }

/* Values of one slot of sums for the weights. */
static inline ptrdiff_t gradient_size(const pass *p) { return p->positions * p->gradient_position; }

/* ---- winograd_filters.c ----
 *
 * U of input channels begin .. end-1 for the panel of output channels from n on: u[position][k][lane]. And a chunk of
 * all of them, into p->u: one a panel. */
void FN(winograd_some_filters)(const pass *p, ptrdiff_t n, ptrdiff_t begin, ptrdiff_t end, real *u,
                               ptrdiff_t u_position);
void FN(winograd_filters_chunk)(void *pass, ptrdiff_t chunk);

/* Chunks that add up the slots into the first one, WINOGRAD_SLOTS_GRAIN values each, and that make dw of it, of which
 * there are WINOGRAD_CHUNKS or one an input channel. */
void FN(winograd_slots_chunk)(void *pass, ptrdiff_t chunk);
void FN(winograd_gradient_chunk)(void *pass, ptrdiff_t chunk);

/* ---- winograd_strips.c ----
 *
 * Strips begin .. end-1 of x to V, of dy to Z (db, if not NULL, gets the sum of its pixels), and from sums to y. The
 * first tile is number `tile` of the grid. `space` takes so many values. */
void FN(winograd_input_strips)(const pass *p, ptrdiff_t begin, ptrdiff_t end, grid v, ptrdiff_t tile, real *space);
void FN(winograd_gradient_strips)(const pass *p, ptrdiff_t begin, ptrdiff_t end, grid z, ptrdiff_t tile, real *db,
                                  real *space);
void FN(winograd_output_strips)(const pass *p, ptrdiff_t begin, ptrdiff_t end, grid sums, ptrdiff_t tile, real *space);
ptrdiff_t FN(winograd_input_space)(const pass *p);
ptrdiff_t FN(winograd_gradient_space)(const pass *p);
ptrdiff_t FN(winograd_output_space)(const pass *p);

#endif
