/* cross_entropy: softmax, negative log-likelihood and the gradient of both, in one pass over the logits.
 *
 *   p[c] = e^(x[c] - m) / s     m = max x,  s = sum of e^(x - m)     so -log p[c] = log s - (x[c] - m)
 *   q[c] = w[c] ((1 - eps) t[c] + eps / C)      t: one-hot of the target class, or given probabilities; eps: smoothing
 *
 *   forward    loss = sum over c of q[c] (-log p[c])
 *   backward   dloss/dx[c] = p[c] Q - q[c]      Q = sum of q
 *
 *   x, dx (outer, C, inner)    target (outer, inner), of int64    loss (outer, inner)    w (C), or NULL for ones
 *
 * The gradient costs one multiplication a class once e^(x - m) is there, so forward writes it: `dx`, for a gradient of
 * `scale` on each loss (for a mean, 1 / the sum of the weights). It is NULL where nobody will ask. A target equal to
 * ignore_index gives loss 0 and gradient 0. With planes of logits (N,C,H,W) inner is H*W, channels last it is 1: see
 * softmax.h.
 */
#include "kernels.h"
#include "partial_sums.h"
#include "softmax.h"

typedef struct {
    softmax_shape shape;
    const real *x, *w, *probabilities;
    const int64_t *target;
    int64_t ignore_index;
    real smoothing, scale;
    real *loss, *dx;
    double *totals; /* one per chunk */
    ptrdiff_t chunks;
} cross_entropy_context;

static inline real weight_of(const real *w, ptrdiff_t c) { return w == NULL ? 1 : w[c]; }

/* The sum of the weights of all targets that count; returns the first target outside 0..C-1 (or -1 if there is none):
 * what must be known before the losses. Shared with nll_loss. */
ptrdiff_t FN(target_weight)(const int64_t *target, const real *w, double *sum, ptrdiff_t n, ptrdiff_t C,
                            int64_t ignore_index)
{
    *sum = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        if (target[i] == ignore_index) {
            continue;
        }
        if (target[i] < 0 || target[i] >= C) {
            return i;
        }
        *sum += weight_of(w, target[i]);
    }
    return -1;
}

/* sum over c of w[c] (log_s - (x[c] - m)): what smoothing adds, and the gradient that belongs to it. */
static real smooth_row(const real *x, const real *w, real m, real log_s, real share, real *dx, real scale, ptrdiff_t C)
{
    real sum = 0;
#pragma omp simd reduction(+ : sum)
    for (ptrdiff_t c = 0; c < C; c++) {
        real q = share * weight_of(w, c);
        sum += q * (log_s - (x[c] - m));
        if (dx != NULL) {
            dx[c] -= q * scale;
        }
    }
    return sum;
}

/* One class vector that lies contiguous; `weights` is the sum of w. Returns the loss. */
static real row(const cross_entropy_context *k, const real *x, int64_t t, real weights, real *dx)
{
    ptrdiff_t C = k->shape.D;
    if (t == k->ignore_index) {
        for (ptrdiff_t c = 0; dx != NULL && c < C; c++) {
            dx[c] = 0;
        }
        return 0;
    }
    real m = max_of(x, C);
    real sum = dx != NULL ? exp_and_sum(x, m, dx, C) : sum_exp(x, m, C);
    real log_s = vlog(sum), share = k->smoothing / (real)C, q = (1 - k->smoothing) * weight_of(k->w, t);
    real loss = q * (log_s - (x[t] - m)); /* m + log s first would round as coarsely as m */
    if (dx != NULL) {
        real factor = k->scale * (q + share * weights) / sum;
        for (ptrdiff_t c = 0; c < C; c++) {
            dx[c] *= factor;
        }
        dx[t] -= q * k->scale;
    }
    return share != 0 ? loss + smooth_row(x, k->w, m, log_s, share, dx, k->scale, C) : loss;
}

/* n neighbouring columns, their classes `stride` apart. */
static void columns(const cross_entropy_context *k, const real *restrict x, const int64_t *t, real weights,
                    real *restrict loss, real *restrict dx, ptrdiff_t stride, ptrdiff_t n)
{
    ptrdiff_t C = k->shape.D;
    real m[SOFTMAX_BLOCK], sum[SOFTMAX_BLOCK] = {0}, factor[SOFTMAX_BLOCK], counts[SOFTMAX_BLOCK];
    real share = k->smoothing / (real)C;
    max_of_columns(x, C, stride, m, n);
    for (ptrdiff_t c = 0; c < C; c++) {
        for (ptrdiff_t i = 0; i < n; i++) {
            sum[i] += vexp(x[c * stride + i] - m[i]);
        }
    }
    for (ptrdiff_t i = 0; i < n; i++) {
        int ignored = t[i] == k->ignore_index;
        real q = ignored ? 0 : (1 - k->smoothing) * weight_of(k->w, t[i]);
        real log_s = vlog(sum[i]);
        loss[i] = ignored ? 0 : q * (log_s - (x[t[i] * stride + i] - m[i]));
        counts[i] = ignored ? 0 : 1;
        factor[i] = k->scale * (q + share * weights) / sum[i];
        sum[i] = log_s;
    }
    for (ptrdiff_t c = 0; share != 0 && c < C; c++) {
        for (ptrdiff_t i = 0; i < n; i++) {
            loss[i] += counts[i] != 0 ? share * weight_of(k->w, c) * (sum[i] - (x[c * stride + i] - m[i])) : 0;
        }
    }
    if (dx == NULL) {
        return;
    }
    for (ptrdiff_t c = 0; c < C; c++) {
        real smooth = k->scale * share * weight_of(k->w, c);
        for (ptrdiff_t i = 0; i < n; i++) {
            real slope = vexp(x[c * stride + i] - m[i]) * factor[i] - smooth;
            dx[c * stride + i] = counts[i] != 0 ? slope : 0;
        }
    }
    for (ptrdiff_t i = 0; i < n; i++) {
        if (counts[i] != 0) {
            dx[t[i] * stride + i] -= k->scale * (1 - k->smoothing) * weight_of(k->w, t[i]);
        }
    }
}

static void forward_chunk(void *context, ptrdiff_t chunk)
{
    const cross_entropy_context *k = context;
    ptrdiff_t begin, end, n, C = k->shape.D, inner = k->shape.inner;
    real weights = 0, losses[SOFTMAX_BLOCK];
    double total = 0;
    for (ptrdiff_t c = 0; c < C; c++) {
        weights += weight_of(k->w, c);
    }
    chunk_bounds(k->shape.outer * k->shape.blocks, k->chunks, chunk, &begin, &end);
    for (ptrdiff_t u = begin; u < end; u++) {
        ptrdiff_t at = softmax_unit(&k->shape, u, &n);
        ptrdiff_t sample = u / k->shape.blocks * inner + u % k->shape.blocks * SOFTMAX_BLOCK;
        real *dx = k->dx != NULL ? k->dx + at : NULL;
        if (inner == 1) {
            losses[0] = row(k, k->x + at, k->target[sample], weights, dx);
        } else {
            columns(k, k->x + at, k->target + sample, weights, losses, dx, inner, n);
        }
        for (ptrdiff_t i = 0; i < n; i++) {
            total += losses[i];
            if (k->loss != NULL) {
                k->loss[sample + i] = losses[i];
            }
        }
    }
    k->totals[chunk] = total;
}

static double run(cross_entropy_context *k, void (*chunk)(void *, ptrdiff_t))
{
    double totals[256] = {0};
    k->totals = totals;
    k->chunks = softmax_chunks(&k->shape);
    parallel_for(k->chunks, chunk, k);
    return plus_parts(0, totals, k->chunks, 1);
}

/* loss and dx may be NULL. Returns the sum of the losses, times scale. */
double FN(cross_entropy_forward)(const real *x, const int64_t *target, const real *w, real *loss, real *dx,
                                 ptrdiff_t outer, ptrdiff_t C, ptrdiff_t inner, int64_t ignore_index, double smoothing,
                                 double scale)
{
    cross_entropy_context k = {.shape = softmax_shape_of(outer, C, inner), .x = x, .w = w, .target = target};
    k.ignore_index = ignore_index;
    k.smoothing = (real)smoothing;
    k.scale = (real)scale;
    k.loss = loss;
    k.dx = dx;
    return run(&k, forward_chunk) * scale;
}

/* Given probabilities instead of a class: all of q may be nonzero. Rows only. */
static real probabilities_row(const cross_entropy_context *k, const real *restrict x, const real *restrict t,
                              real *restrict dx)
{
    ptrdiff_t C = k->shape.D;
    real m = max_of(x, C), share = k->smoothing / (real)C, loss = 0, Q = 0;
    real sum = dx != NULL ? exp_and_sum(x, m, dx, C) : sum_exp(x, m, C);
    real log_s = vlog(sum);
    for (ptrdiff_t c = 0; c < C; c++) {
        real q = weight_of(k->w, c) * ((1 - k->smoothing) * t[c] + share);
        loss += q * (log_s - (x[c] - m));
        Q += q;
    }
    for (ptrdiff_t c = 0; dx != NULL && c < C; c++) {
        real q = weight_of(k->w, c) * ((1 - k->smoothing) * t[c] + share);
        dx[c] = k->scale * (dx[c] * (Q / sum) - q);
    }
    return loss;
}

static void probabilities_chunk(void *context, ptrdiff_t chunk)
{
    const cross_entropy_context *k = context;
    ptrdiff_t begin, end, C = k->shape.D;
    double total = 0;
    chunk_bounds(k->shape.outer, k->chunks, chunk, &begin, &end);
    for (ptrdiff_t i = begin; i < end; i++) {
        real *dx = k->dx != NULL ? k->dx + i * C : NULL;
        real loss = probabilities_row(k, k->x + i * C, k->probabilities + i * C, dx);
        total += loss;
        if (k->loss != NULL) {
            k->loss[i] = loss;
        }
    }
    k->totals[chunk] = total;
}

/* x, probabilities, dx (n, C)    loss (n) */
double FN(cross_entropy_probabilities_forward)(const real *x, const real *probabilities, const real *w, real *loss,
                                               real *dx, ptrdiff_t n, ptrdiff_t C, double smoothing, double scale)
{
    cross_entropy_context k = {.shape = softmax_shape_of(n, C, 1), .x = x, .w = w, .probabilities = probabilities};
    k.smoothing = (real)smoothing;
    k.scale = (real)scale;
    k.loss = loss;
    k.dx = dx;
    return run(&k, probabilities_chunk) * scale;
}

typedef struct {
    const real *dy, *saved;
    real *dx;
    ptrdiff_t dy_step, C, inner, lines, chunks;
} backward_context;

/* A line is a class vector with one dy, or (inner > 1) the inner values of one class with a dy each. */
static void backward_chunk(void *context, ptrdiff_t chunk)
{
    const backward_context *k = context;
    ptrdiff_t begin, end, length = k->inner == 1 ? k->C : k->inner;
    chunk_bounds(k->lines, k->chunks, chunk, &begin, &end);
    for (ptrdiff_t line = begin; line < end; line++) {
        const real *restrict saved = k->saved + line * length;
        real *restrict dx = k->dx + line * length;
        if (k->inner == 1 || k->dy_step == 0) {
            real dy = k->dy[line * k->dy_step];
            for (ptrdiff_t i = 0; i < length; i++) {
                dx[i] = dy * saved[i];
            }
        } else {
            const real *restrict dy = k->dy + line / k->C * length;
            for (ptrdiff_t i = 0; i < length; i++) {
                dx[i] = dy[i] * saved[i];
            }
        }
    }
}

/* dx[o,c,i] = dy[o,i] saved[o,c,i], where saved is what forward wrote. dy_step is 0 if there is one dy for all losses,
 * else 1. */
void FN(cross_entropy_backward)(const real *dy, ptrdiff_t dy_step, const real *saved, real *dx, ptrdiff_t outer,
                                ptrdiff_t C, ptrdiff_t inner)
{
    backward_context k = {dy, saved, dx, dy_step, C, inner, inner == 1 ? outer : outer * C, 0};
    k.chunks = chunks_of(k.lines, SOFTMAX_GRAIN / (inner == 1 ? C : inner) + 1);
    parallel_for(k.chunks, backward_chunk, &k);
}
