/* simd.h: one vocabulary of vectors over GCC and Clang vector extensions.
 *
 *   vec          VLEN values of type real
 *   v_load(p)    VLEN values from p (any alignment), pinned in a register
 *   v_store(p,v) and back
 *   v_load_some(p, n), v_store_some(p, v, n)    the same of n values, VLEN at most; zeros behind them
 *   v_set1(s)    s in every lane;  v_zero() all zero
 *   v_relu(v)    negative lanes become 0; NaN stays
 *   v_has_nan(v) whether any lane is NaN
 *   v_fma(a,b,c) a*b + c, fused where the machine can (the build sets -ffp-contract=fast)
 *
 * The width follows the instruction set that the file is compiled for; no intrinsics, so the same line is SSE2, AVX2,
 * AVX-512 or NEON. Why v_load pins its result: GCC otherwise folds one load into every FMA that uses it and so reads
 * memory several times; pinned, a tile of 4 x 5 accumulators runs twice as fast. v_set1 is written as it is because
 * `s - zero` is recognised as a broadcast, while `zero + s` costs a real addition (it must turn -0 into 0).
 */
#ifndef CNN_SIMD_H
#define CNN_SIMD_H

#include <string.h>

#include "../kernels/real.h"

#if defined(__AVX512F__)
#define VBYTES 64
#elif defined(__AVX__)
#define VBYTES 32
#else
#define VBYTES 16
#endif
#define VLEN ((ptrdiff_t)(VBYTES / sizeof(real)))

typedef real vec __attribute__((vector_size(VBYTES)));
typedef real vec_unaligned __attribute__((vector_size(VBYTES), aligned(sizeof(real)), may_alias));

#if defined(__x86_64__)
#define V_PIN(v) __asm__("" : "+x"(v)) /* x: any vector register; AVX-512's upper sixteen come with v below */
#if defined(__AVX512F__)
#undef V_PIN
#define V_PIN(v) __asm__("" : "+v"(v))
#endif
#elif defined(__aarch64__)
#define V_PIN(v) __asm__("" : "+w"(v))
#else
#define V_PIN(v) (void)(v)
#endif

/* For a function whose arguments decide what is left of it. */
#define ALWAYS_INLINE static inline __attribute__((always_inline))

static inline vec v_load(const real *p)
{
    vec v = *(const vec_unaligned *)p;
    V_PIN(v);
    return v;
}

static inline void v_store(real *p, vec v) { *(vec_unaligned *)p = v; }

/* n values, VLEN at most. */
static inline vec v_load_some(const real *p, ptrdiff_t n)
{
    real some[VLEN] = {0};
    if (n == VLEN) {
        return v_load(p);
    }
    memcpy(some, p, (size_t)n * sizeof *p);
    return v_load(some);
}

static inline void v_store_some(real *p, vec v, ptrdiff_t n)
{
    if (n == VLEN) {
        v_store(p, v);
    } else {
        memcpy(p, &v, (size_t)n * sizeof *p);
    }
}

static inline vec v_set1(real s) { return s - (vec){0}; }

static inline vec v_zero(void) { return (vec){0}; }

static inline vec v_relu(vec v)
{
    typedef __typeof__(v <= v) mask;
    return (vec)((mask)v & ~(v <= 0));
}

static inline int v_has_nan(vec v)
{
    typedef long long words __attribute__((vector_size(VBYTES)));
    words nan = (words)(v != v);
    long long any = 0;
    for (int i = 0; i < VBYTES / 8; i++) {
        any |= nan[i];
    }
    return any != 0;
}

static inline vec v_fma(vec a, vec b, vec c) { return a * b + c; }

#endif
