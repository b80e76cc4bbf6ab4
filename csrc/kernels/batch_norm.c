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
 * Two passes over memory each way: one for the sums, one that writes. Sums are kept in double, and x is shifted by the
 * channel's first value before squares are summed, so that a small variance on a large mean is not lost.
 */
#include <math.h>
#include <string.h>

#include "../memory.h"
#include "../threads.h"
#include "kernels.h"

enum { GRAIN = 1 << 15 };

typedef struct {
    const real *x, *dy, *mean, *scale, *shift;
    const real *factor; /* of x - mean in dx */
    real *out;
    double *first, *second; /* sums: [parts][C] each */
    ptrdiff_t outer, C, inner, parts, groups, chunks;
} batch_norm_context;

/* ---- sums over each channel ----
 *
 * A chunk is one of `parts` ranges of outer times one of `groups` ranges of channels. Each part has its own sums, which
 * are added in order at the end. */

static void cut(batch_norm_context *c)
{
    ptrdiff_t wanted = chunks_of(c->outer * c->C * c->inner, GRAIN);
    c->groups = c->inner == 1 ? 1 : wanted < c->C ? wanted : c->C;
    ptrdiff_t parts = wanted / c->groups;
    c->parts = parts < c->outer ? parts : c->outer;
    c->chunks = c->parts * c->groups;
}

/* The two numbers summed per value: d and d*d with d = x - shift (forward); or dy and dy*(x - shift) (backward). */
static inline void sum_line(const real *restrict x, const real *restrict dy, real shift, double *first, double *second,
                            ptrdiff_t n)
{
    double a = 0, b = 0;
    if (dy == NULL) {
#pragma omp simd reduction(+ : a, b)
        for (ptrdiff_t i = 0; i < n; i++) {
            double d = x[i] - shift;
            a += d;
            b += d * d;
        }
    } else {
#pragma omp simd reduction(+ : a, b)
        for (ptrdiff_t i = 0; i < n; i++) {
            double d = x[i] - shift;
            a += dy[i];
            b += dy[i] * d;
        }
    }
    *first += a;
    *second += b;
}

/* The same for one value each of C channels. */
static inline void sum_channels(const real *restrict x, const real *restrict dy, const real *restrict shift,
                                double *restrict first, double *restrict second, ptrdiff_t C)
{
    for (ptrdiff_t c = 0; c < C; c++) {
        double d = x[c] - shift[c];
        double value = dy == NULL ? d : dy[c];
        first[c] += value;
        second[c] += value * d;
    }
}

static void sums_chunk(void *context, ptrdiff_t chunk)
{
    const batch_norm_context *k = context;
    ptrdiff_t begin, end, c_begin, c_end, C = k->C, inner = k->inner;
    double *first = k->first + chunk / k->groups * C, *second = k->second + chunk / k->groups * C;
    chunk_bounds(k->outer, k->parts, chunk / k->groups, &begin, &end);
    chunk_bounds(C, k->groups, chunk % k->groups, &c_begin, &c_end);
    for (ptrdiff_t c = c_begin; c < c_end; c++) {
        first[c] = second[c] = 0;
    }
    for (ptrdiff_t n = begin; n < end; n++) {
        if (inner == 1 && k->dy == NULL) {
            sum_channels(k->x + n * C, NULL, k->mean, first, second, C);
        } else if (inner == 1) {
            sum_channels(k->x + n * C, k->dy + n * C, k->mean, first, second, C);
        } else {
            for (ptrdiff_t c = c_begin; c < c_end; c++) {
                ptrdiff_t at = (n * C + c) * inner;
                sum_line(k->x + at, k->dy != NULL ? k->dy + at : NULL, k->mean[c], first + c, second + c, inner);
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

static inline void write_values(const batch_norm_context *k, ptrdiff_t at, ptrdiff_t c, ptrdiff_t c_step, ptrdiff_t n)
{
    const real *restrict x = k->x + at, *restrict mean = k->mean + c, *restrict scale = k->scale + c;
    const real *restrict shift = k->shift + c;
    real *restrict out = k->out + at;
    if (k->dy == NULL) {
        for (ptrdiff_t i = 0; i < n; i++) {
            out[i] = (x[i] - mean[i * c_step]) * scale[i * c_step] + shift[i * c_step];
        }
    } else if (k->factor == NULL) {
        const real *restrict dy = k->dy + at;
        for (ptrdiff_t i = 0; i < n; i++) {
            out[i] = dy[i] * scale[i * c_step];
        }
    } else {
        const real *restrict dy = k->dy + at, *restrict factor = k->factor + c;
        for (ptrdiff_t i = 0; i < n; i++) {
            out[i] = (x[i] - mean[i * c_step]) * factor[i * c_step] + dy[i] * scale[i * c_step] + shift[i * c_step];
        }
    }
}

/* Lines of `inner` values of one channel, or (inner = 1) of one value each of C channels. */
static void write_chunk(void *context, ptrdiff_t chunk)
{
    const batch_norm_context *k = context;
    ptrdiff_t begin, end;
    chunk_bounds(k->inner == 1 ? k->outer : k->outer * k->C, k->chunks, chunk, &begin, &end);
    for (ptrdiff_t line = begin; line < end; line++) {
        if (k->inner == 1) {
            write_values(k, line * k->C, 0, 1, k->C);
        } else {
            write_values(k, line * k->inner, line % k->C, 0, k->inner);
        }
    }
}

static void write_out(batch_norm_context *k)
{
    ptrdiff_t length = k->inner == 1 ? k->C : k->inner;
    k->chunks = chunks_of(k->inner == 1 ? k->outer : k->outer * k->C, GRAIN / length + 1);
    parallel_for(k->chunks, write_chunk, k);
}

/* ---- forward ---- */

/* Batch statistics: mean[c] and the biased variance[c]. 0 if there is no memory. */
static int statistics(const real *x, real *mean, real *variance, ptrdiff_t outer, ptrdiff_t C, ptrdiff_t inner)
{
    batch_norm_context k = {.x = x, .mean = mean, .outer = outer, .C = C, .inner = inner};
    double M = (double)(outer * inner);
    for (ptrdiff_t c = 0; c < C; c++) {
        mean[c] = isfinite(x[c * inner]) ? x[c * inner] : 0; /* the shift */
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

/* In training mean and variance (C) are outputs, the batch's own; else they are inputs, the running ones. invstd is
 * 1 / sqrt(variance + eps), for backward. */
void FN(batch_norm_forward)(const real *x, const real *gamma, const real *beta, real *y, real *mean, real *variance,
                            real *invstd, ptrdiff_t outer, ptrdiff_t C, ptrdiff_t inner, int training, double eps)
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
    batch_norm_context k = {.x = x, .mean = mean, .scale = scale, .shift = shift, .out = y};
    k.outer = outer;
    k.C = C;
    k.inner = inner;
    write_out(&k);
    memory_put(scale);
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

/* dx, and dgamma with dbeta, may be NULL where they are not wanted. */
void FN(batch_norm_backward)(const real *dy, const real *x, const real *gamma, const real *mean, const real *invstd,
                             real *dx, real *dgamma, real *dbeta, ptrdiff_t outer, ptrdiff_t C, ptrdiff_t inner,
                             int training)
{
    batch_norm_context k = {.x = x, .dy = dy, .mean = mean, .out = dx, .outer = outer, .C = C, .inner = inner};
    double M = (double)(outer * inner);
    real *scale = memory_get((size_t)(3 * C) * sizeof *scale);
    if (scale == NULL || ((training || dgamma != NULL) && !sum_over_channels(&k))) {
        kernel_abort(KERNEL_NO_MEMORY);
        memory_put(scale);
        return;
    }
    real *shift = scale + C, *factor = shift + C;
    for (ptrdiff_t c = 0; c < C; c++) {
        scale[c] = gamma != NULL ? gamma[c] * invstd[c] : invstd[c];
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
        k.scale = scale;
        k.shift = shift;
        k.factor = training ? factor : NULL;
        write_out(&k);
    }
    memory_put(k.first);
    memory_put(scale);
}
