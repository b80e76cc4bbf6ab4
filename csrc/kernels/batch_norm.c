/* batch_norm: give every channel mean 0 and variance 1 over the batch, then scale and shift it.
 *
 *   forward    xhat = (x - mean) / sqrt(var + eps)      y = gamma xhat + beta
 *   backward   dbeta = sum dy      dgamma = sum dy xhat
 *              dx = gamma / sqrt(var + eps) (dy - dbeta / M - xhat dgamma / M)      (training)
 *              dx = gamma / sqrt(var + eps) dy                                      (not training: mean, var constant)
 *
 *   x, y, dx, dy  (outer, C, inner)    gamma, beta, mean, invstd, dgamma, dbeta, running_*  (C)
 *
 * Sums run over the M = outer*inner values of one channel. Planes (N,C,H,W) have inner = H*W. Channels last, and
 * (N,C), have inner = 1: then the inner loop runs over the channels. gamma or beta NULL stand for ones and zeros.
 *
 * With `relu`, forward ends with y = max(y, 0), and backward takes dy as 0 where y was not above 0. It computes y anew
 * from x, by the same expression, so that forward need not keep it.
 *
 * Two passes over memory each way: one for the sums, one that writes. A few hundred values at most are summed as
 * `real`, these sums in double; and x is shifted by about the channel's mean before squares are summed, so that a small
 * variance on a large mean is not lost.
 */
#include <math.h>
#include <string.h>

#include "../memory.h"
#include "../simd/simd.h"
#include "../threads.h"
#include "kernels.h"

enum { GRAIN = 1 << 15 };

typedef struct {
    const real *x, *dy, *mean, *scale, *shift;
    const real *factor; /* of x - mean in dx */
    const real *beta;   /* backward with relu: y = (x - mean) scale + beta; else NULL */
    real *out;
    double *first, *second; /* sums: [parts][C] each */
    ptrdiff_t outer, C, inner, parts, groups, chunks;
    int relu;
} batch_norm_context;

/* y before the ReLU. Forward and backward must round it alike. */
static inline real normalised(real x, real mean, real scale, real beta) { return (x - mean) * scale + beta; }

/* dy in front of the ReLU. NaN lets it pass, as in relu.c. */
static inline real through_relu(real dy, real y) { return y <= 0 ? 0 : dy; }

/* ---- sums over each channel ----
 *
 * Two numbers are summed per value: d and d*d with d = x - mean, where `mean` is the shift (forward); or dy and dy*d
 * (backward).
 *
 * A chunk is one of `parts` ranges of outer times one of `groups` ranges of channels. Each part has its own sums, which
 * are added in order at the end. */

enum { SUM_X, SUM_DY, SUM_DY_RELU };

static void cut(batch_norm_context *c)
{
    ptrdiff_t wanted = chunks_of(c->outer * c->C * c->inner, GRAIN);
    c->groups = c->inner == 1 ? 1 : wanted < c->C ? wanted : c->C;
    ptrdiff_t parts = wanted / c->groups;
    c->parts = parts < c->outer ? parts : c->outer;
    c->chunks = c->parts * c->groups;
}

/* A line of n values of channel c, which begins at `at`. `kind` is a constant wherever this is inlined. */
static inline __attribute__((always_inline)) void sum_line(const int kind, const batch_norm_context *k, ptrdiff_t c,
                                                           ptrdiff_t at, ptrdiff_t n, double *first, double *second)
{
    enum { SOME = 512 };
    real mean = k->mean[c], scale = kind == SUM_DY_RELU ? k->scale[c] : 0, beta = kind == SUM_DY_RELU ? k->beta[c] : 0;
    for (ptrdiff_t end = at + n; at < end; at += SOME) {
        const real *restrict x = k->x + at, *restrict dy = kind == SUM_X ? x : k->dy + at;
        ptrdiff_t some = end - at < SOME ? end - at : SOME;
        real a = 0, b = 0;
#pragma omp simd reduction(+ : a, b)
        for (ptrdiff_t i = 0; i < some; i++) {
            real d = x[i] - mean, value = kind == SUM_X ? d : dy[i];
            if (kind == SUM_DY_RELU) {
                value = through_relu(value, normalised(x[i], mean, scale, beta));
            }
            a += value;
            b += value * d;
        }
        *first += a;
        *second += b;
    }
}

/* `rows` rows of one value each of C channels, which begin at `at`, are added to a and b. */
static inline __attribute__((always_inline)) void sum_rows(const int kind, const int rows, const batch_norm_context *k,
                                                           ptrdiff_t at, real *restrict a, real *restrict b)
{
    ptrdiff_t C = k->C;
    const real *restrict x = k->x + at, *restrict dy = kind == SUM_X ? x : k->dy + at;
    const real *restrict mean = k->mean, *restrict scale = k->scale, *restrict beta = k->beta;
    for (ptrdiff_t c = 0; c < C; c++) {
        real first = 0, second = 0;
        for (int r = 0; r < rows; r++) {
            real d = x[r * C + c] - mean[c], value = kind == SUM_X ? d : dy[r * C + c];
            if (kind == SUM_DY_RELU) {
                value = through_relu(value, normalised(x[r * C + c], mean[c], scale[c], beta[c]));
            }
            first += value;
            second += value * d;
        }
        a[c] += first;
        b[c] += second;
    }
}

/* Rows begin..end-1, four at a time: a and b are then read and written once for four rows. */
static inline __attribute__((always_inline)) void sum_block(const int kind, const batch_norm_context *k,
                                                            ptrdiff_t begin, ptrdiff_t end, real *a, real *b)
{
    for (; begin + 4 <= end; begin += 4) {
        sum_rows(kind, 4, k, begin * k->C, a, b);
    }
    for (; begin < end; begin++) {
        sum_rows(kind, 1, k, begin * k->C, a, b);
    }
}

static void sum_channels(const int kind, const batch_norm_context *k, ptrdiff_t begin, ptrdiff_t end, double *first,
                         double *second)
{
    enum { SOME = 64 };
    ptrdiff_t C = k->C;
    real *a = scratch((size_t)(2 * C) * sizeof *a), *b = a + C;
    if (a == NULL) {
        kernel_abort(KERNEL_NO_MEMORY);
        return;
    }
    for (; begin < end; begin += SOME) {
        ptrdiff_t block_end = end - begin < SOME ? end : begin + SOME;
        memset(a, 0, (size_t)(2 * C) * sizeof *a);
        switch (kind) {
        case SUM_X: sum_block(SUM_X, k, begin, block_end, a, b); break;
        case SUM_DY: sum_block(SUM_DY, k, begin, block_end, a, b); break;
        default: sum_block(SUM_DY_RELU, k, begin, block_end, a, b);
        }
        for (ptrdiff_t c = 0; c < C; c++) {
            first[c] += a[c];
            second[c] += b[c];
        }
    }
}

static void sums_chunk(void *context, ptrdiff_t chunk)
{
    const batch_norm_context *k = context;
    ptrdiff_t begin, end, c_begin, c_end, C = k->C, part = chunk / k->groups;
    const int kind = k->dy == NULL ? SUM_X : k->relu ? SUM_DY_RELU : SUM_DY;
    double *first = k->first + part * C, *second = k->second + part * C;
    chunk_bounds(k->outer, k->parts, part, &begin, &end);
    chunk_bounds(C, k->groups, chunk % k->groups, &c_begin, &c_end);
    for (ptrdiff_t c = c_begin; c < c_end; c++) {
        first[c] = second[c] = 0;
    }
    if (k->inner == 1) {
        sum_channels(kind, k, begin, end, first, second);
        return;
    }
    for (ptrdiff_t n = begin; n < end; n++) {
        for (ptrdiff_t c = c_begin; c < c_end; c++) {
            ptrdiff_t at = (n * C + c) * k->inner;
            switch (kind) {
            case SUM_X: sum_line(SUM_X, k, c, at, k->inner, first + c, second + c); break;
            case SUM_DY: sum_line(SUM_DY, k, c, at, k->inner, first + c, second + c); break;
            default: sum_line(SUM_DY_RELU, k, c, at, k->inner, first + c, second + c);
            }
        }
    }
}

/* Fills first[c] and second[c], whose memory k->first is to be put back by the caller. 0 if there is no memory. */
static int sum_over_channels(batch_norm_context *k)
{
    cut(k);
    k->first = memory_get((size_t)(2 * k->parts * k->C) * sizeof(double));
    if (k->first == NULL) {
        kernel_abort(KERNEL_NO_MEMORY);
        return 0;
    }
    k->second = k->first + k->parts * k->C;
    parallel_for(k->chunks, sums_chunk, k);
    for (ptrdiff_t part = 1; part < k->parts; part++) {
        for (ptrdiff_t c = 0; c < k->C; c++) {
            k->first[c] += k->first[part * k->C + c];
            k->second[c] += k->second[part * k->C + c];
        }
    }
    return 1;
}

/* ---- the pass that writes: out = (x - mean) * factor + dy * scale + shift, with what is NULL left out ---- */

enum { WRITE_Y, WRITE_DX_TRAINING, WRITE_DX };

/* What belongs to the channels of a vector of values. */
typedef struct {
    vec mean, scale, beta, shift, factor;
} channel_vectors;

static inline __attribute__((always_inline)) vec written(const int kind, const int relu, vec x, vec dy,
                                                         const channel_vectors *c)
{
    vec y = (x - c->mean) * c->scale + c->beta; /* normalised(), which must round alike */
    if (kind == WRITE_Y) {
        return relu ? v_relu(y) : y;
    }
    if (relu) {
        typedef __typeof__(y <= 0) mask;
        dy = (vec)((mask)dy & ~(y <= 0)); /* through_relu() */
    }
    vec value = dy * c->scale;
    return kind == WRITE_DX ? value : (x - c->mean) * c->factor + value + c->shift;
}

/* n values, VLEN at most. kind and relu are constants where this is inlined. */
static inline __attribute__((always_inline)) void write_values(const int kind, const int relu,
                                                               const batch_norm_context *k, ptrdiff_t at, ptrdiff_t n,
                                                               const channel_vectors *c)
{
    vec dy = kind == WRITE_Y ? v_zero() : v_load_some(k->dy + at, n);
    v_store_some(k->out + at, written(kind, relu, v_load_some(k->x + at, n), dy, c), n);
}

/* One value each of n channels from c on, VLEN at most. `at`: where the row begins. */
static inline __attribute__((always_inline)) void
write_some_channels(const int kind, const int relu, const batch_norm_context *k, ptrdiff_t at, ptrdiff_t c, ptrdiff_t n)
{
    channel_vectors v = {.mean = v_load_some(k->mean + c, n), .scale = v_load_some(k->scale + c, n)};
    v.beta = v_load_some(kind == WRITE_Y ? k->shift + c : k->beta + c, n);
    if (kind == WRITE_DX_TRAINING) {
        v.shift = v_load_some(k->shift + c, n);
        v.factor = v_load_some(k->factor + c, n);
    }
    write_values(kind, relu, k, at + c, n, &v);
}

/* One value of each channel. The last vector overlaps the one before. Several rows at a time would read the means and
 * factors less often, but memory the slower: it wants to be read in order. */
static inline __attribute__((always_inline)) void write_row(const int kind, const int relu, const batch_norm_context *k,
                                                            ptrdiff_t at)
{
    if (k->C < VLEN) {
        write_some_channels(kind, relu, k, at, 0, k->C);
        return;
    }
    for (ptrdiff_t c = 0; c + VLEN <= k->C; c += VLEN) {
        write_some_channels(kind, relu, k, at, c, VLEN);
    }
    if (k->C % VLEN != 0) {
        write_some_channels(kind, relu, k, at, k->C - VLEN, VLEN);
    }
}

/* A line of `inner` values of channel c, which begins at `at`. */
static inline __attribute__((always_inline)) void write_line(const int kind, const int relu,
                                                             const batch_norm_context *k, ptrdiff_t at, ptrdiff_t c)
{
    channel_vectors v = {.mean = v_set1(k->mean[c]), .scale = v_set1(k->scale[c])};
    v.beta = v_set1(kind == WRITE_Y ? k->shift[c] : k->beta[c]);
    if (kind == WRITE_DX_TRAINING) {
        v.shift = v_set1(k->shift[c]);
        v.factor = v_set1(k->factor[c]);
    }
    ptrdiff_t i = 0;
    for (; i + VLEN <= k->inner; i += VLEN) {
        write_values(kind, relu, k, at + i, VLEN, &v);
    }
    if (i < k->inner) {
        write_values(kind, relu, k, at + i, k->inner - i, &v);
    }
}

/* Lines of one channel, or (inner = 1) rows of all channels. */
static inline __attribute__((always_inline)) void
write_lines(const int kind, const int relu, const batch_norm_context *k, ptrdiff_t begin, ptrdiff_t end)
{
    for (; k->inner > 1 && begin < end; begin++) {
        write_line(kind, relu, k, begin * k->inner, begin % k->C);
    }
    for (; begin < end; begin++) {
        write_row(kind, relu, k, begin * k->C);
    }
}

static void write_chunk(void *context, ptrdiff_t chunk)
{
    const batch_norm_context copy = *(const batch_norm_context *)context, *k = &copy; /* no store can change it */
    const int kind = k->dy == NULL ? WRITE_Y : k->factor != NULL ? WRITE_DX_TRAINING : WRITE_DX;
    ptrdiff_t begin, end;
    chunk_bounds(k->inner == 1 ? k->outer : k->outer * k->C, k->chunks, chunk, &begin, &end);
    switch (2 * kind + k->relu) {
    case 2 * WRITE_Y: write_lines(WRITE_Y, 0, k, begin, end); break;
    case 2 * WRITE_Y + 1: write_lines(WRITE_Y, 1, k, begin, end); break;
    case 2 * WRITE_DX_TRAINING: write_lines(WRITE_DX_TRAINING, 0, k, begin, end); break;
    case 2 * WRITE_DX_TRAINING + 1: write_lines(WRITE_DX_TRAINING, 1, k, begin, end); break;
    case 2 * WRITE_DX: write_lines(WRITE_DX, 0, k, begin, end); break;
    default: write_lines(WRITE_DX, 1, k, begin, end);
    }
}

static void write_out(batch_norm_context *k)
{
    ptrdiff_t length = k->inner == 1 ? k->C : k->inner;
    k->chunks = chunks_of(k->inner == 1 ? k->outer : k->outer * k->C, GRAIN / length + 1);
    parallel_for(k->chunks, write_chunk, k);
}

/* ---- forward ---- */

/* About the mean of a channel: that of a few values spread over the batch. x: the channel's values, `inner` neighbours
 * `outer` times, `step` apart. */
static real shift_of(const real *x, ptrdiff_t outer, ptrdiff_t step, ptrdiff_t inner)
{
    enum { MOST = 16 };
    ptrdiff_t count = outer < MOST ? outer : MOST;
    double sum = 0;
    for (ptrdiff_t i = 0; i < count; i++) {
        sum += x[outer * i / count * step + inner / 2];
    }
    real shift = (real)(sum / (double)count);
    return isfinite(shift) ? shift : 0;
}

/* Batch statistics: mean[c] and the biased variance[c]. 0 if there is no memory. */
static int statistics(const real *x, real *mean, real *variance, ptrdiff_t outer, ptrdiff_t C, ptrdiff_t inner)
{
    batch_norm_context k = {.x = x, .mean = mean, .outer = outer, .C = C, .inner = inner};
    double M = (double)(outer * inner);
    for (ptrdiff_t c = 0; c < C; c++) {
        mean[c] = shift_of(x + c * inner, outer, C * inner, inner);
    }
    if (!sum_over_channels(&k)) {
        return 0;
    }
    for (ptrdiff_t c = 0; c < C; c++) {
        double shifted_mean = k.first[c] / M;
        double v = k.second[c] / M - shifted_mean * shifted_mean;
        mean[c] = (real)(mean[c] + shifted_mean);
        variance[c] = v < 0 ? 0 : (real)v;
    }
    memory_put(k.first);
    return 1;
}

/* The first half of forward in training, for a y that is put off: then batch_norm_forward, not training, with these. */
void FN(batch_norm_statistics)(const real *x, real *mean, real *variance, real *invstd, ptrdiff_t outer, ptrdiff_t C,
                               ptrdiff_t inner, double eps)
{
    if (statistics(x, mean, variance, outer, C, inner)) {
        for (ptrdiff_t c = 0; c < C; c++) {
            invstd[c] = (real)(1 / sqrt(variance[c] + eps));
        }
    }
}

/* In training mean and variance (C) are outputs, the batch's own; else they are inputs, the running ones. invstd is
 * 1 / sqrt(variance + eps), for backward. */
void FN(batch_norm_forward)(const real *x, const real *gamma, const real *beta, real *y, real *mean, real *variance,
                            real *invstd, ptrdiff_t outer, ptrdiff_t C, ptrdiff_t inner, int training, double eps,
                            int relu)
{
    real *scale = memory_get((size_t)(2 * C) * sizeof *scale);
    if (scale == NULL || (training && !statistics(x, mean, variance, outer, C, inner))) {
        kernel_abort(KERNEL_NO_MEMORY);
        memory_put(scale);
        return;
    }
    real *shift = scale + C;
    for (ptrdiff_t c = 0; c < C; c++) {
        invstd[c] = (real)(1 / sqrt(variance[c] + eps));
        scale[c] = gamma != NULL ? gamma[c] * invstd[c] : invstd[c];
        shift[c] = beta != NULL ? beta[c] : 0;
    }
    batch_norm_context k = {.x = x, .mean = mean, .scale = scale, .shift = shift, .out = y, .relu = relu};
    k.outer = outer;
    k.C = C;
    k.inner = inner;
    write_out(&k);
    memory_put(scale);
}

/* With constant mean and variance the layer is affine, and a convolution in front of it (with bias b, NULL for none)
 * can compute both:
 *
 *     gamma / sqrt(var + eps) (sum + b - mean) + beta  =  scale sum + shift
 *
 * It may multiply its weights by scale beforehand; returns whether that gives no infinity which the formula would not.
 */
int FN(batch_norm_fold)(const real *b, const real *gamma, const real *beta, const real *mean, const real *variance,
                        real *scale, real *shift, ptrdiff_t C, double eps)
{
    const double most = 1e15;
    int safe = 1;
    for (ptrdiff_t c = 0; c < C; c++) {
        real invstd = (real)(1 / sqrt(variance[c] + eps));
        double before = (b != NULL ? b[c] : 0) - (double)mean[c];
        scale[c] = gamma != NULL ? gamma[c] * invstd : invstd;
        shift[c] = (real)(before * (double)scale[c] + (beta != NULL ? beta[c] : 0));
        safe &= fabs((double)scale[c]) < most && fabs((double)shift[c]) < most;
    }
    return safe;
}

/* The running statistics move towards the batch's by `momentum`, the variance towards the unbiased one of M values. A
 * kernel of its own, to be called once forward has succeeded: an interrupted one must leave them as they were. */
void FN(batch_norm_track)(const real *mean, const real *variance, real *running_mean, real *running_var, ptrdiff_t C,
                          ptrdiff_t M, double momentum)
{
    double unbiased = (double)M / (double)(M - 1);
    for (ptrdiff_t c = 0; c < C; c++) {
        running_mean[c] = (real)((1 - momentum) * running_mean[c] + momentum * mean[c]);
        running_var[c] = (real)((1 - momentum) * running_var[c] + momentum * unbiased * variance[c]);
    }
}

/* ---- backward ---- */

/* dx, and dgamma with dbeta, may be NULL where they are not wanted. beta is read only with relu. */
void FN(batch_norm_backward)(const real *dy, const real *x, const real *gamma, const real *beta, const real *mean,
                             const real *invstd, real *dx, real *dgamma, real *dbeta, ptrdiff_t outer, ptrdiff_t C,
                             ptrdiff_t inner, int training, int relu)
{
    batch_norm_context k = {.x = x, .dy = dy, .mean = mean, .out = dx, .outer = outer, .C = C, .inner = inner};
    double M = (double)(outer * inner);
    real *scale = memory_get((size_t)(4 * C) * sizeof *scale);
    if (scale == NULL) {
        kernel_abort(KERNEL_NO_MEMORY);
        return;
    }
    real *shift = scale + C, *factor = shift + C, *beta_or_zero = factor + C;
    for (ptrdiff_t c = 0; c < C; c++) {
        scale[c] = gamma != NULL ? gamma[c] * invstd[c] : invstd[c];
        beta_or_zero[c] = beta != NULL ? beta[c] : 0;
    }
    k.scale = scale;
    k.beta = beta_or_zero;
    k.relu = relu;
    if ((training || dgamma != NULL) && !sum_over_channels(&k)) {
        memory_put(scale);
        return;
    }
    for (ptrdiff_t c = 0; c < C; c++) {
        if (training) {
            shift[c] = (real)(-scale[c] * k.first[c] / M);
            factor[c] = (real)(-scale[c] * invstd[c] * invstd[c] * k.second[c] / M);
        }
        if (dgamma != NULL) {
            dbeta[c] = (real)k.first[c];
            dgamma[c] = (real)(k.second[c] * invstd[c]);
        }
    }
    if (dx != NULL) {
        k.shift = shift;
        k.factor = training ? factor : NULL;
        write_out(&k);
    }
    memory_put(k.first);
    memory_put(scale);
}
