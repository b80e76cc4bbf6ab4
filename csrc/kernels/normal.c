/* normal: uniform values become normal ones, in place (Box and Muller, 1958).
 *
 *   Each block of 16 values u becomes, for j < 8,
 *       radius = sqrt(-2 log(1 - u[j]))      angle = 2 pi u[j + 8]
 *       x[j]     = radius cos(angle) std + mean
 *       x[j + 8] = radius sin(angle) std + mean
 *
 *   x: 16 * blocks values in 0 <= u < 1.
 *
 * The values are torch's, bit for bit, on every instruction set. In float64 torch calls the C library. In float32 its
 * AVX2 build evaluates log, sin and cos by the polynomials of the Cephes library (S. Moshier, www.netlib.org/cephes,
 * logf.c and sinf.c), each multiplication fused with the addition behind it. So does this file: every fmaf below
 * is one that rounds once there, and every separate * and + one that rounds twice.
 */
#include <math.h>

#include "kernels.h"

#define TWO_PI 6.28318530717958647692

#ifdef CNN_REAL_IS_DOUBLE

void FN(normal_transform)(real *x, ptrdiff_t blocks, double mean, double std)
{
    for (ptrdiff_t block = 0; block < blocks; block++, x += 16) {
        for (int j = 0; j < 8; j++) {
            double radius = sqrt(-2 * log(1 - x[j])), angle = TWO_PI * x[j + 8];
            x[j] = fma(radius * cos(angle), std, mean);
            x[j + 8] = fma(radius * sin(angle), std, mean);
        }
    }
}

#else

union bits {
    float f;
    int32_t i;
};

/* log(x) for 2^-24 <= x <= 1: x = m 2^e with m in [sqrt(1/2), sqrt(2)), and a polynomial in m - 1. */
static inline float log_of(float x)
{
    union bits bits = {.f = x};
    float e = (float)((bits.i >> 23) - 126);
    bits.i = (bits.i & 0x007fffff) | 0x3f000000;
    int is_small = bits.f < 0.70710678f;
    float t = bits.f - 1.0f + (is_small ? bits.f : 0.0f), square = t * t;
    e -= is_small ? 1.0f : 0.0f;

    float y = fmaf(7.0376836292e-2f, t, -1.1514610310e-1f);
    y = fmaf(y, t, 1.1676998740e-1f);
    y = fmaf(y, t, -1.2420140846e-1f);
    y = fmaf(y, t, 1.4249322787e-1f);
    y = fmaf(y, t, -1.6668057665e-1f);
    y = fmaf(y, t, 2.0000714765e-1f);
    y = fmaf(y, t, -2.4999993993e-1f);
    y = fmaf(y, t, 3.3333331174e-1f);
    y = fmaf(y * t, square, e * -2.12194440e-4f); /* log(2) = 0.693359375 - 2.1219444e-4 */
    y = fmaf(-0.5f, square, y);
    return fmaf(e, 0.693359375f, t + y);
}

/* Sine and cosine of 0 <= x <= 2 pi. The nearest even multiple j of pi/4 is taken off in three parts; the rest, at
 * most pi/4, goes into two polynomials, and j says which one is the sine and with which sign. */
static inline void sin_cos_of(float x, float *sine, float *cosine)
{
    int j = ((int)(x * 1.27323954473516f) + 1) & ~1; /* 4/pi */
    float y = (float)j;
    x = fmaf(y, -0.78515625f, x);
    x = fmaf(y, -2.4187564849853515625e-4f, x);
    x = fmaf(y, -3.77489497744594108e-8f, x);
    float square = x * x;

    float c = fmaf(2.443315711809948e-5f, square, -1.388731625493765e-3f);
    c = fmaf(c, square, 4.166664568298827e-2f) * square;
    c = fmaf(c, square, -(square * 0.5f)) + 1.0f;

    float s = fmaf(-1.9515295891e-4f, square, 8.3321608736e-3f);
    s = fmaf(s, square, -1.6666654611e-1f) * square;
    s = fmaf(s, x, x);

    float first = (j & 2) ? c : s, second = (j & 2) ? s : c;
    *sine = (j & 4) ? -first : first;
    *cosine = ((j + 2) & 4) ? -second : second;
}

void FN(normal_transform)(real *x, ptrdiff_t blocks, double mean, double std)
{
    float mean_f = (float)mean, std_f = (float)std;
    for (ptrdiff_t block = 0; block < blocks; block++, x += 16) {
        for (int j = 0; j < 8; j++) {
            float radius = sqrtf(-2.0f * log_of(1.0f - x[j])), sine, cosine;
            sin_cos_of((float)TWO_PI * x[j + 8], &sine, &cosine);
            x[j] = fmaf(radius * cosine, std_f, mean_f);
            x[j + 8] = fmaf(radius * sine, std_f, mean_f);
        }
    }
}

#endif
