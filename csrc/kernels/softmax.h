/* softmax.h: the pieces that softmax, log_softmax and cross_entropy share.
 *
 * All three see their input as (outer, D, inner) with the classes along D. Where inner is 1 a class vector is
 * contiguous (a row); otherwise SOFTMAX_BLOCK neighbouring columns are worked on at a time, so that the inner loop runs
 * over contiguous memory again.
 */
#ifndef CNN_SOFTMAX_H
#define CNN_SOFTMAX_H

#include <math.h>

#include "../threads.h"
#include "real.h"
#include "vecmath.h"

enum { SOFTMAX_BLOCK = 256, SOFTMAX_GRAIN = 1 << 14 };

static inline real max_of(const real *x, ptrdiff_t n)
{
    real m = -INFINITY;
#if !defined(__clang__) /* which has no vector form of this loop where NaN may occur, and warns */
#pragma omp simd reduction(max : m)
#endif
    for (ptrdiff_t i = 0; i < n; i++) {
        m = x[i] > m ? x[i] : m;
    }
    return m;
}

/* sum of e^(x[i] - m) */
static inline real sum_exp(const real *x, real m, ptrdiff_t n)
{
    real sum = 0;
#pragma omp simd reduction(+ : sum)
    for (ptrdiff_t i = 0; i < n; i++) {
        sum += vexp(x[i] - m);
    }
    return sum;
}

/* y[i] = e^(x[i] - m); returns their sum. */
static inline real exp_and_sum(const real *restrict x, real m, real *restrict y, ptrdiff_t n)
{
    real sum = 0;
#pragma omp simd reduction(+ : sum)
    for (ptrdiff_t i = 0; i < n; i++) {
        y[i] = vexp(x[i] - m);
        sum += y[i];
    }
    return sum;
}

/* For n columns of D values, `stride` apart: the maximum of each. */
static inline void max_of_columns(const real *restrict x, ptrdiff_t D, ptrdiff_t stride, real *restrict m, ptrdiff_t n)
{
    for (ptrdiff_t k = 0; k < n; k++) {
        m[k] = -INFINITY;
    }
    for (ptrdiff_t d = 0; d < D; d++) {
        for (ptrdiff_t k = 0; k < n; k++) {
            m[k] = x[d * stride + k] > m[k] ? x[d * stride + k] : m[k];
        }
    }
}

/* Work is handed out in units of a row (inner = 1) or of a block of columns. */
typedef struct {
    ptrdiff_t outer, D, inner, blocks; /* blocks of columns, 1 if inner is 1 */
} softmax_shape;

static inline softmax_shape softmax_shape_of(ptrdiff_t outer, ptrdiff_t D, ptrdiff_t inner)
{
    return (softmax_shape){outer, D, inner, (inner - 1) / SOFTMAX_BLOCK + 1};
}

static inline ptrdiff_t softmax_chunks(const softmax_shape *s)
{
    ptrdiff_t width = s->inner < SOFTMAX_BLOCK ? s->inner : SOFTMAX_BLOCK;
    return chunks_of(s->outer * s->blocks, SOFTMAX_GRAIN / (s->D * width + 1) + 1);
}

/* Where unit number u starts, and how many columns it has. */
static inline ptrdiff_t softmax_unit(const softmax_shape *s, ptrdiff_t u, ptrdiff_t *columns)
{
    ptrdiff_t o = u / s->blocks, first = u % s->blocks * SOFTMAX_BLOCK, rest = s->inner - first;
    *columns = rest < SOFTMAX_BLOCK ? rest : SOFTMAX_BLOCK;
    return o * s->D * s->inner + first;
}

#endif
