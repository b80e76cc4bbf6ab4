/* direct.h: direct convolution, as few ideas as possible for all its passes.
 *
 * Forward and backward to the input are the same computation, a correlation: every output is a sum over taps of
 * weights times inputs. For the forward pass with stride S, padding P and dilation D, along one axis,
 *
 *     y[o] = sum over k of  w[k] * x[o*S + (k*D - P)]
 *
 * Backward to the input reads the same equation for i = o*S + k*D - P. A position i of dx gets something from tap k
 * only if i + P - k*D is a multiple of S, so the positions fall into S classes ("phases") by the remainder of i + P;
 * in each class the taps are a subset that repeats, and dx is again a correlation, of dy, with step 1:
 *
 *     dx[first + r*S] = sum over some k of  w[k] * dy[r + (shift - k*D/S)]
 *
 * Backward to the weights sums over the outputs of the forward correlation instead of over its taps.
 */
#ifndef CNN_DIRECT_H
#define CNN_DIRECT_H

#include "../kernels/conv2d.h"
#include "../kernels/partial_sums.h"
#include "../sizes.h"

/* One axis: output o of `out` reads, for tap t of `taps`, the input o*step + offset + t*spread of `in` and the weight
 * kernel + t*kernel_step. spread > 0. */
typedef struct {
    ptrdiff_t in, out, step, taps, offset, spread, kernel, kernel_step;
} axis;

typedef struct {
    ptrdiff_t N, IC, OC, G; /* IC, OC: channels of one group */
    axis h, w;
    strides4 in, out;                          /* out: between neighbours that this correlation computes */
    ptrdiff_t w_group, w_oc, w_ic, w_kh, w_kw; /* strides of the weights */
    ptrdiff_t w_ic_taps;                       /* weights of one input and one output channel: KH*KW */
    const real *scale;                         /* of the sums, one a channel of the output; NULL for ones */
    int relu, pool;                            /* pool, argmax: as in conv2d_shape; direct_planes.c alone */
    int32_t *argmax;
    const real *rectified;          /* see rectify_rows; or NULL. direct_planes.c looks at it, and no other way */
    const struct depthwise *before; /* computes the input, strip by strip; or NULL. direct_channels.c alone */
} correlation;

#ifdef CNN_VARIANT

/* The input that the first tap of output o reads. */
static inline ptrdiff_t axis_first(axis a, ptrdiff_t o) { return o * a.step + a.offset; }

/* How many inputs in a row `outputs` outputs read, from the first to the last. */
static inline ptrdiff_t axis_reach(axis a, ptrdiff_t outputs)
{
    return (outputs - 1) * a.step + (a.taps - 1) * a.spread + 1;
}

/* True if no output reads outside of the input. */
static inline int axis_inside(axis a) { return a.offset >= 0 && a.offset + axis_reach(a, a.out) <= a.in; }

/* Multiplications of the whole correlation. */
static inline double correlation_work(const correlation *c)
{
    return (double)c->N * c->G * c->IC * c->OC * c->h.out * c->w.out * c->h.taps * c->w.taps;
}

static inline void rectify_run(ptrdiff_t values, const real *y, real *dx)
{
    for (ptrdiff_t i = 0; i < values; i++) {
        dx[i] = y[i] <= 0 ? 0 : dx[i];
    }
}

/* A ReLU's gradient, on `rows` rows of `cols` pixels of C channels of dx that were just written: dx becomes 0 where y,
 * what came out of the ReLU, is not above 0. As in relu.c, the gradient of a NaN passes. The channels may be some of
 * those of the image: what lies between them belongs to others. */
static inline void rectify_rows(strides4 stride, ptrdiff_t C, ptrdiff_t rows, ptrdiff_t cols, const real *y, real *dx)
{
    if (stride.c == 1 && stride.w == C) {
        rectify_run(rows * stride.h, y, dx); /* channels last, and all of them: rows lie one behind the other */
    } else if (stride.c == 1) {
        for (ptrdiff_t r = 0; r < rows; r++) {
            for (ptrdiff_t q = 0; q < cols; q++) {
                rectify_run(C, y + r * stride.h + q * stride.w, dx + r * stride.h + q * stride.w);
            }
        }
    } else {
        for (ptrdiff_t m = 0; m < C; m++) { /* planes, whose rows lie one behind the other */
            rectify_run(rows * stride.h, y + m * stride.c, dx + m * stride.c);
        }
    }
}

/* Memory that will be read soon, asked for a few cache lines at a time between other work: the processor's own
 * prefetching does not know where the next image lies. */
typedef struct {
    const char *at, *end;
    ptrdiff_t step; /* bytes at a time */
} prefetch;

/* `values` values from `from` on, in `times` steps. */
static inline prefetch prefetch_of(const real *from, ptrdiff_t values, ptrdiff_t times)
{
    ptrdiff_t bytes = values * (ptrdiff_t)sizeof(real);
    return (prefetch){(const char *)from, (const char *)from + bytes, (bytes / at_least(times, 1) / 64 + 1) * 64};
}

static inline void prefetch_some(prefetch *p)
{
    const char *end = p->end - p->at < p->step ? p->end : p->at + p->step;
    for (; p->at < end; p->at += 64) {
        __builtin_prefetch(p->at, 0, 2);
    }
}

/* How the work on a batch is cut: chunks of `images` whole images, or strips of `rows` output rows of one image. */
typedef struct {
    ptrdiff_t images, rows, image_chunks, strips;
} cut;

/* A cut where the scratch of a strip, bytes_fixed + rows * bytes_per_row, stays in the cache, and where chunks, each of
 * them again in `parts`, are neither too short to be worth handing out nor so long that threads wait for the last. It
 * depends on the shape alone. */
cut FN(cut_batch)(const correlation *c, double bytes_fixed, double bytes_per_row, ptrdiff_t parts);

/* ---- the ways (direct_channels.c, direct_planes.c, direct_depthwise*.c, direct_dots.c) ----------------------------
 */

/* out = bias + correlation of `in` with w. Every output is written. */
void FN(correlate_channels)(const correlation *c, const real *in, const real *w, const real *bias, real *out);
void FN(correlate_planes)(const correlation *c, const real *in, const real *w, const real *bias, real *out);
void FN(correlate_dots)(const correlation *c, const real *in, const real *w, const real *bias, real *out);

/* Several correlations of one input with the same weights, each with its part of the output: the phases of dx, or
 * forward alone. The first has no fewer rows than the others. */
typedef struct {
    correlation c;
    real *out;
} depthwise_phase;
void FN(correlate_depthwise)(const depthwise_phase *phases, ptrdiff_t count, const real *in, const real *w,
                             const real *bias);

/* What all threads share of a depthwise layer. */
typedef struct depthwise {
    const depthwise_phase *phases;
    ptrdiff_t count;
    const real *in;
    real *weights, *bias;     /* weights: [phase][vector][input][tap row][tap][VLEN], bias: [lane] */
    ptrdiff_t *phase_weights; /* where those of a phase begin */
    ptrdiff_t lanes, in_lanes;
    const struct spread *spread;
    cut cut; /* by the rows of the first phase, which has the most */
    int in_place, out_in_place;
} depthwise;

/* Packs the weights, which belong into memory_put afterwards. Returns -1 if there is no memory for them. */
int FN(depthwise_prepare)(depthwise *d, const depthwise_phase *phases, ptrdiff_t count, const real *in, const real *w,
                          const real *bias);

/* Output rows row .. row+rows-1 of one image into `out`, channels last; not fewer channels than VLEN. `room` takes
 * depthwise_room values. */
void FN(depthwise_rows)(const depthwise *d, ptrdiff_t image, ptrdiff_t row, ptrdiff_t rows, real *room, real *out);
ptrdiff_t FN(depthwise_room)(const depthwise *d, ptrdiff_t rows);

/* True if correlate_depthwise takes groups of so many input and output channels, for rows of one or three taps. */
int FN(depthwise_can)(ptrdiff_t inputs, ptrdiff_t outputs, ptrdiff_t groups);

/* dw[...] = sum over images and outputs of dout * in, and db = sum of dout unless it is NULL. For a forward
 * correlation: weights in the order of memory. */
void FN(correlate_channels_weight)(const correlation *c, const real *in, const real *dout, real *dw, real *db);
void FN(correlate_planes_weight)(const correlation *c, const real *in, const real *dout, real *dw, real *db);
void FN(correlate_depthwise_weight)(const correlation *c, const real *in, const real *dout, real *dw, real *db);

/* ---- the layer (direct.c) ---------------------------------------------------------------------------------------- */

/* True where packing the weights would cost more than the convolution itself. */
int FN(dots_suit)(const conv2d_shape *s);

enum direct_way { DIRECT_CHANNELS, DIRECT_PLANES, DIRECT_DEPTHWISE, DIRECT_DOTS };

/* Which way serves a pass of a layer, and the same in words. */
enum direct_way FN(direct_way_of)(const conv2d_shape *s, enum conv2d_pass pass);
void FN(direct_explain)(const conv2d_shape *s, enum conv2d_pass pass, char *text, size_t size);

/* Whether the second layer can read what it needs of the first one while that is computed. */
int FN(direct_can_follow)(const conv2d_shape *first, const conv2d_shape *second);

void FN(direct_forward)(const conv2d_shape *s, const real *x, const real *w, const real *b, real *y);
void FN(direct_backward_input)(const conv2d_shape *s, const real *dy, const real *w, const real *rectified, real *dx);
void FN(direct_backward_weight)(const conv2d_shape *s, const real *x, const real *dy, real *dw, real *db);

/* ---- moving images (direct_pack.c) ------------------------------------------------------------------------------- */

/* A piece of one image: `channels` channels from `image` on, rows row .. row+rows-1 and columns col .. col+cols-1 of
 * h x w. What lies outside of the image counts as zero. */
typedef struct {
    const real *image;
    strides4 stride;
    ptrdiff_t channels, h, w, row, rows, col, cols;
} piece;

/* Packing may write this many values behind the end of what it fills. */
enum { PACK_SLACK = 16 };

/* The piece as [row][col][lane]: a pixel has its channels and then zeros, `lanes` values together. */
void FN(pack_channels)(const piece *p, ptrdiff_t lanes, real *to);

/* to[j*to_step + i] = from[i*from_step + j]: rows become columns. With fewer than 4 rows, up to 3 values behind each
 * column are written as well. */
void FN(pack_turned)(const real *from, ptrdiff_t from_step, ptrdiff_t rows, ptrdiff_t cols, real *to,
                     ptrdiff_t to_step);

/* The piece as [channel][row phase][column phase][plane], where row r of the piece lies in phase r % step_h at
 * r / step_h, and a column likewise; rows are `pitch` apart, planes `plane`. Behind the last row a plane has
 * PLANE_SLACK zeros or more, for vectors that start in this row. Nothing is written behind the last plane. */
#define PLANE_SLACK at_least(VLEN, 4)
void FN(pack_planes)(const piece *p, ptrdiff_t step_h, ptrdiff_t step_w, ptrdiff_t pitch, ptrdiff_t plane, real *to);

#endif
#endif
