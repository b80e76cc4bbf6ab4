/* group_norm: give every group of channels of every sample mean 0 and variance 1, then scale and shift each channel.
 *
 *   forward    xhat = (x - mean) / sqrt(var + eps)      y = gamma xhat + beta
 *   backward   dbeta = sum dy      dgamma = sum dy xhat                                        (over n and s)
 *              g = dy gamma        dx = (g - mean(g) - xhat mean(g xhat)) / sqrt(var + eps)    (means over a group)
 *
 *   x, y, dx, dy (N, G, K, S)    gamma, beta, dgamma, dbeta (G, K)    mean, invstd (N, G)
 *
 * G groups of K channels of S values each; mean and var are over the K*S values of one (n, g), which lie contiguous.
 * layer_norm is the case of one group with S = 1. gamma or beta NULL stand for ones and zeros. Sums are kept in
 * double, and shifted by the first value, so that a small variance on a large mean is not lost.
 */
#include <math.h>
#include <string.h>

#include "../memory.h"
#include "../threads.h"
#include "kernels.h"
#include "partial_sums.h"

enum { GRAIN = 1 << 15 };

typedef struct {
    const real *x, *dy, *gamma, *beta;
    const real *mean, *invstd;
    real *out, *mean_out, *invstd_out;
    double *dgamma, *dbeta; /* [parts][G K], or NULL */
    double eps;
    ptrdiff_t N, G, K, S, parts, chunks;
} group_norm_context;

static void statistics(const real *restrict x, ptrdiff_t n, double eps, real *mean, real *invstd)
{
    double sum = 0, squares = 0;
    real shift = isfinite(x[0]) ? x[0] : 0;
#pragma omp simd reduction(+ : sum, squares)
    for (ptrdiff_t i = 0; i < n; i++) {
        double d = x[i] - shift;
        sum += d;
        squares += d * d;
    }
    double shifted_mean = sum / (double)n, variance = squares / (double)n - shifted_mean * shifted_mean;
    *mean = (real)(shift + shifted_mean);
    *invstd = (real)(1 / sqrt((variance < 0 ? 0 : variance) + eps));
}

static void forward_chunk(void *context, ptrdiff_t chunk)
{
    const group_norm_context *c = context;
    ptrdiff_t begin, end, K = c->K, S = c->S;
    chunk_bounds(c->N * c->G, c->chunks, chunk, &begin, &end);
    for (ptrdiff_t row = begin; row < end; row++) {
        const real *restrict x = c->x + row * K * S;
        real *restrict y = c->out + row * K * S;
        const real *gamma = c->gamma != NULL ? c->gamma + row % c->G * K : NULL;
        const real *beta = c->beta != NULL ? c->beta + row % c->G * K : NULL;
        real mean, invstd;
        statistics(x, K * S, c->eps, &mean, &invstd);
        c->mean_out[row] = mean;
        c->invstd_out[row] = invstd;
        if (S == 1 && gamma != NULL && beta != NULL) {
            for (ptrdiff_t k = 0; k < K; k++) {
                y[k] = (x[k] - mean) * invstd * gamma[k] + beta[k];
            }
            continue;
        }
        for (ptrdiff_t k = 0; k < K; k++) {
            real scale = gamma != NULL ? invstd * gamma[k] : invstd, shift = beta != NULL ? beta[k] : 0;
            for (ptrdiff_t s = k * S; s < (k + 1) * S; s++) {
                y[s] = (x[s] - mean) * scale + shift;
            }
        }
    }
}

void FN(group_norm_forward)(const real *x, const real *gamma, const real *beta, real *y, real *mean, real *invstd,
                            ptrdiff_t N, ptrdiff_t G, ptrdiff_t K, ptrdiff_t S, double eps)
{
    group_norm_context c = {.x = x, .gamma = gamma, .beta = beta, .out = y, .mean_out = mean, .invstd_out = invstd};
    c.eps = eps;
    c.N = N;
    c.G = G;
    c.K = K;
    c.S = S;
    c.chunks = chunks_of(N * G, GRAIN / (K * S) + 1);
    parallel_for(c.chunks, forward_chunk, &c);
}

/* The sums over one row of g = dy gamma and of g xhat, and what the row adds to dgamma and dbeta (where not NULL). */
static void backward_sums(const group_norm_context *c, const real *restrict x, const real *restrict dy,
                          const real *restrict gamma, real mean, real invstd, double *restrict dgamma,
                          double *restrict dbeta, double *sum_g, double *sum_g_xhat)
{
    ptrdiff_t K = c->K, S = c->S;
    double g_total = 0, g_xhat_total = 0;
    if (S == 1) {
#pragma omp simd reduction(+ : g_total, g_xhat_total)
        for (ptrdiff_t k = 0; k < K; k++) {
            double d = dy[k], d_xhat = d * ((x[k] - mean) * invstd), w = gamma != NULL ? gamma[k] : 1;
            g_total += d * w;
            g_xhat_total += d_xhat * w;
            if (dgamma != NULL) {
                dgamma[k] += d_xhat;
                dbeta[k] += d;
            }
        }
    }
    for (ptrdiff_t k = 0; S > 1 && k < K; k++) {
        double d_total = 0, d_xhat_total = 0, w = gamma != NULL ? gamma[k] : 1;
#pragma omp simd reduction(+ : d_total, d_xhat_total)
        for (ptrdiff_t s = k * S; s < (k + 1) * S; s++) {
            d_total += dy[s];
            d_xhat_total += dy[s] * ((x[s] - mean) * invstd);
        }
        g_total += d_total * w;
        g_xhat_total += d_xhat_total * w;
        if (dgamma != NULL) {
            dgamma[k] += d_xhat_total;
            dbeta[k] += d_total;
        }
    }
    *sum_g = g_total;
    *sum_g_xhat = g_xhat_total;
}

/* A chunk is one of `parts` ranges of samples, for one group. */
static void backward_chunk(void *context, ptrdiff_t chunk)
{
    const group_norm_context *c = context;
    ptrdiff_t begin, end, K = c->K, S = c->S, g = chunk % c->G, part = chunk / c->G;
    const real *restrict gamma = c->gamma != NULL ? c->gamma + g * K : NULL;
    double *dgamma = c->dgamma != NULL ? c->dgamma + (part * c->G + g) * K : NULL;
    double *dbeta = c->dgamma != NULL ? c->dbeta + (part * c->G + g) * K : NULL;
    for (ptrdiff_t k = 0; dgamma != NULL && k < K; k++) {
        dgamma[k] = dbeta[k] = 0;
    }
    chunk_bounds(c->N, c->parts, part, &begin, &end);
    for (ptrdiff_t n = begin; n < end; n++) {
        ptrdiff_t row = n * c->G + g;
        const real *restrict x = c->x + row * K * S, *restrict dy = c->dy + row * K * S;
        real mean = c->mean[row], invstd = c->invstd[row];
        double sum_g, sum_g_xhat;
        backward_sums(c, x, dy, gamma, mean, invstd, dgamma, dbeta, &sum_g, &sum_g_xhat);
        if (c->out == NULL) {
            continue;
        }
        /* dx = invstd dy gamma - (x - mean) factor - constant */
        real *restrict dx = c->out + row * K * S;
        double M = (double)(K * S);
        real constant = (real)(invstd * sum_g / M), factor = (real)(invstd * invstd * sum_g_xhat / M);
        if (S == 1 && gamma != NULL) {
            for (ptrdiff_t k = 0; k < K; k++) {
                dx[k] = invstd * gamma[k] * dy[k] - (x[k] - mean) * factor - constant;
            }
            continue;
        }
        for (ptrdiff_t k = 0; k < K; k++) {
            real scale = gamma != NULL ? invstd * gamma[k] : invstd;
            for (ptrdiff_t s = k * S; s < (k + 1) * S; s++) {
                dx[s] = scale * dy[s] - (x[s] - mean) * factor - constant;
            }
        }
    }
}

/* dx, and dgamma with dbeta, may be NULL where they are not wanted. */
void FN(group_norm_backward)(const real *dy, const real *x, const real *gamma, const real *mean, const real *invstd,
                             real *dx, real *dgamma, real *dbeta, ptrdiff_t N, ptrdiff_t G, ptrdiff_t K, ptrdiff_t S)
{
    group_norm_context c = {.x = x, .dy = dy, .gamma = gamma, .mean = mean, .invstd = invstd, .out = dx};
    ptrdiff_t wanted = chunks_of(N * G * K * S, GRAIN) / G, C = G * K;
    c.N = N;
    c.G = G;
    c.K = K;
    c.S = S;
    c.parts = wanted < 1 ? 1 : wanted < N ? wanted : N;
    if (dgamma != NULL) {
        c.dgamma = memory_get((size_t)(2 * c.parts * C) * sizeof(double));
        if (c.dgamma == NULL) {
            kernel_abort(KERNEL_NO_MEMORY);
            return;
        }
        c.dbeta = c.dgamma + c.parts * C;
    }
    parallel_for(c.parts * G, backward_chunk, &c);
    for (ptrdiff_t k = 0; dgamma != NULL && k < C; k++) {
        dgamma[k] = (real)plus_parts(c.dgamma[k], c.dgamma + C + k, c.parts - 1, C);
        dbeta[k] = (real)plus_parts(c.dbeta[k], c.dbeta + C + k, c.parts - 1, C);
    }
    memory_put(c.dgamma);
}
