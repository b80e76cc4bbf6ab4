/* conv_tiles.h: the innermost loops of the direct convolution.
 *
 * A tile is a small block of results that stays in registers while the loop runs over everything that is summed. Each
 * step loads a few values and uses each of them several times; the sizes keep both multipliers of a core busy:
 *
 *   channel_tile   pixels x vectors  pixel p gets  x[p][i] * w[v]    one number times vectors of channels
 *   tap_tile       taps x vectors    tap k gets  x[i + k] * dy[v]    the same for the gradient of the weights
 *   plane_tile     channels x 2      channel m gets  w[m] * x[v]     one number times two vectors of pixels
 *   dot_tile       channels x taps   pair (m,t) gets  dy[m] * x[t]   vectors of pixels times vectors of pixels
 *
 * The accumulators are named variables, written out by the macros in conv_tiles.c: GCC keeps an array of vectors in
 * memory, which costs more than half of the speed.
 */
#ifndef CNN_CONV_TILES_H
#define CNN_CONV_TILES_H

#include "../simd/quad.h"
#include "../simd/simd.h"

/* 32 vector registers (AVX-512, NEON) hold larger tiles than 16 (SSE, AVX2). */
#if VBYTES == 64 || defined(__aarch64__)
#define MANY_REGISTERS 1
#else
#define MANY_REGISTERS 0
#endif

/* ---- channels in the vector ------------------------------------------------------------------------------------- */

/* For each pixel p and each of `runs` runs, over i = run[r], run[r] + 1, ... (`length` values):
 *
 *     out[p*out_step + 0 .. vectors*VLEN)  =  bias[...] + sum of x[p][i] * w[...]
 *
 * w is read from front to back, through all runs. relu: negative results become 0. */
enum { CHANNEL_TILE_PIXELS = 8 };

typedef struct {
    const real *x[CHANNEL_TILE_PIXELS];
    real *out;
    ptrdiff_t out_step;
    const ptrdiff_t *run;
    ptrdiff_t runs, length;
    const real *w, *bias;
    int relu;
} channel_tile;

/* The pixels of a tile that is 1, 2 or 3 vectors wide. */
static inline ptrdiff_t channel_tile_pixels(ptrdiff_t vectors) { return vectors == 1 ? 8 : vectors == 2 ? 6 : 4; }

void FN(channel_tile_run)(const channel_tile *t, ptrdiff_t vectors);

/* For `taps` taps k, which are neighbours in memory, and each of `runs` runs of `length` pixels:
 *
 *     sums[k*lanes + 0 .. lanes)  +=  sum of x[i + k] * dy[j ..]        lanes = vectors*VLEN
 *     total[0 .. lanes)           +=  sum of dy[j ..]                   unless total is NULL
 *
 * i = run[r], run[r] + x_step, ..., and j = 0, dy_step, ... through all runs. With each step one cache line is asked
 * for from `ahead` on, where what comes next lies. */
typedef struct {
    const real *x, *dy;
    real *sums, *total;
    const ptrdiff_t *run;
    ptrdiff_t runs, length, x_step, dy_step;
    const char *ahead;
} tap_tile;

/* The most taps of a tile. Where registers are few, the total takes the place of one. */
static inline ptrdiff_t tap_tile_taps(ptrdiff_t vectors, int total)
{
    ptrdiff_t most = MANY_REGISTERS ? (vectors == 3 ? 8 : 12) : vectors == 1 ? 12 : vectors == 2 ? 6 : 4;
    return most - (total && !MANY_REGISTERS);
}

void FN(tap_tile_run)(const tap_tile *t, ptrdiff_t taps, ptrdiff_t vectors);

/* ---- pixels in the vector --------------------------------------------------------------------------------------- */

/* Over k = 0 .. taps-1, for both vectors s and channels m = 0 .. channels-1 (4 or 6):
 *
 *     out[s][m*out_step ..]  =  bias[m] + sum of  w[k*channels + m] * x[s][offset[k] ..] */
typedef struct {
    const real *x[2];
    real *out[2];
    const ptrdiff_t *offset;
    ptrdiff_t taps, out_step;
    const real *w, *bias;
    int relu;
} plane_tile;

void FN(plane_tile_run)(const plane_tile *t, ptrdiff_t channels);

/* Channels are cut into blocks of 6 and then 4, so that the fewest are wasted: 12 = 6+6, 16 = 6+6+4, 8 = 4+4. */
typedef struct {
    ptrdiff_t count, sixes;
} channel_blocks;

static inline channel_blocks channel_blocks_of(ptrdiff_t channels)
{
    ptrdiff_t even = channels <= 4 ? 4 : (channels + 1) / 2 * 2;
    ptrdiff_t fours = even % 6 == 0 ? 0 : even % 6 == 2 ? 2 : 1;
    ptrdiff_t sixes = (even - 4 * fours) / 6;
    return (channel_blocks){.count = sixes + fours, .sixes = sixes};
}

/* The first channel of block i (of block `count`: all of them, with those wasted), and its channels. */
static inline ptrdiff_t channel_block_begin(channel_blocks b, ptrdiff_t i)
{
    return i <= b.sixes ? 6 * i : 6 * b.sixes + 4 * (i - b.sixes);
}

static inline ptrdiff_t channel_block_size(channel_blocks b, ptrdiff_t i) { return i < b.sixes ? 6 : 4; }

/* ---- vectors of both ----------------------------------------------------------------------------------------------
 */

/* Over `runs` runs of `length` vectors each, for channel m and tap k:
 *
 *     sums[(m*taps + k)*VLEN ..] (+)= sum of  dy[m][j ..] * x[k][i ..]      vectors: their lanes are added up later
 *
 * i = run[r].x, run[r].x + x_step, ... and j = run[r].dy, run[r].dy + dy_step, ... */
enum { DOT_TILE_CHANNELS = 6, DOT_TILE_TAPS = 6 };

typedef struct {
    ptrdiff_t x, dy;
} dot_run;

typedef struct {
    const real *dy[DOT_TILE_CHANNELS], *x[DOT_TILE_TAPS];
    const dot_run *run;
    ptrdiff_t runs, length, x_step, dy_step;
    real *sums;
    int accumulate; /* add to what sums holds */
} dot_tile;

/* The taps of a tile of 6 or 4 channels (many registers) or of 2 (few). */
static inline ptrdiff_t dot_tile_taps(ptrdiff_t channels) { return channels == 4 ? 5 : channels == 6 ? 4 : 6; }

void FN(dot_tile_run)(const dot_tile *t, ptrdiff_t channels);

/* Channels are cut into the same blocks, or with few registers into blocks of 2. */
static inline channel_blocks dot_blocks_of(ptrdiff_t channels)
{
    return MANY_REGISTERS ? channel_blocks_of(channels) : (channel_blocks){.count = (channels + 1) / 2};
}

static inline ptrdiff_t dot_block_begin(channel_blocks b, ptrdiff_t i)
{
    return MANY_REGISTERS ? channel_block_begin(b, i) : 2 * i;
}

static inline ptrdiff_t dot_block_size(channel_blocks b, ptrdiff_t i)
{
    return MANY_REGISTERS ? channel_block_size(b, i) : 2;
}

/* The lanes of one vector added up, in four sums that need not wait for each other. */
static inline real lane_sum(const real *v)
{
    real s[4] = {0};
    for (ptrdiff_t i = 0; i < VLEN; i++) {
        s[i % 4] += v[i];
    }
    return (s[0] + s[1]) + (s[2] + s[3]);
}

/* The same for each of n vectors that lie side by side: four vectors at a time, turned so that their sums are made in
 * the lanes of one. */
static inline void lane_sums(const real *v, ptrdiff_t n, real *to)
{
    ptrdiff_t k = 0;
    for (; VLEN >= 4 && k + 4 <= n; k += 4, v += 4 * VLEN) {
        real fours[16], turned[16];
        for (int m = 0; m < 4; m++) {
            quad s = QUAD_AT(v + m * VLEN);
            for (ptrdiff_t i = 4; i < VLEN; i += 4) {
                s += QUAD_AT(v + m * VLEN + i);
            }
            QUAD_AT(fours + 4 * m) = s;
        }
        transpose_4x4(fours, 4, turned, 4);
        QUAD_AT(to + k) = (QUAD_AT(turned) + QUAD_AT(turned + 4)) + (QUAD_AT(turned + 8) + QUAD_AT(turned + 12));
    }
    for (; k < n; k++, v += VLEN) {
        to[k] = lane_sum(v);
    }
}

#endif
