/* vecmath.h: exp, log and their relatives as straight-line C, so that the compiler can vectorise a loop that calls them
 * (libm's own would be called once per element).
 *
 *   vexp vexpm1 vlog vlog1p vtanh vsigmoid      for float and double, chosen by the type of the argument
 *
 * Error, in units in the last place, measured over all floats and 20 million doubles: vexp and vlog below 1.1, vexpm1
 * and vlog1p below 2, vtanh and vsigmoid below 3. NaN gives NaN; infinities, zeros and denormals give what the C
 * standard asks of the function without the v. Every choice is a select between values already computed, not a branch.
 *
 *   exp   x = n ln2 + r with |r| <= ln2/2, so e^x = 2^n e^r. e^r is its Taylor series, long enough that the first term
 *         left out is below half a unit.
 *   log   x = 2^n m with sqrt(1/2) <= m < sqrt(2), so log x = n ln2 + log m. With s = (m-1)/(m+1), s^2 < 0.0295,
 *         log m = 2 atanh s = 2s + 2s^3/3 + 2s^5/5 + ...
 *
 * ln2 is split in two, LN2_HIGH with so few bits that n LN2_HIGH is exact. Adding ROUND (1.5 * 2^mantissa bits) to a
 * small number leaves its nearest integer in the low bits of the sum.
 */
#ifndef CNN_VECMATH_H
#define CNN_VECMATH_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#define vexp(x) _Generic((x), float: vexp_f32, double: vexp_f64)(x)
#define vexpm1(x) _Generic((x), float: vexpm1_f32, double: vexpm1_f64)(x)
#define vlog(x) _Generic((x), float: vlog_f32, double: vlog_f64)(x)
#define vlog1p(x) _Generic((x), float: vlog1p_f32, double: vlog1p_f64)(x)
#define vtanh(x) _Generic((x), float: vtanh_f32, double: vtanh_f64)(x)
#define vsigmoid(x) _Generic((x), float: vsigmoid_f32, double: vsigmoid_f64)(x)

/* The bits of a number, and the number of some bits. */
static inline uint32_t bits_of_f32(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float f32_of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint64_t bits_of_f64(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline double f64_of_bits(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* ---- float ---- */

#define LN2_HIGH_F32 0.693359375f
#define LN2_LOW_F32 -2.12194440e-4f
#define ROUND_F32 12582912.0f /* 1.5 * 2^23 */

/* e^r - 1 for |r| <= ln2/2. */
static inline float expm1_series_f32(float r)
{
    float p = 1.0f / 5040;
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 1.0f / 2;
    return r + r * r * p;
}

static inline float vexp_f32(float x)
{
    float below = x > 89.0f ? 89.0f : x; /* e^89 overflows, e^-104 underflows: beyond them nothing changes */
    float z = below < -104.0f ? -104.0f : below;
    float rounded = z * 1.44269504f + ROUND_F32;
    float n = rounded - ROUND_F32;
    float r = z - n * LN2_HIGH_F32 - n * LN2_LOW_F32;
    float y = 1.0f + expm1_series_f32(r);
    /* 2^n in two factors, because n may be 128 or -150 where one exponent field ends at 127 and -126. */
    uint32_t exponents = bits_of_f32(rounded) - bits_of_f32(ROUND_F32) + 2 * 127;
    uint32_t half = exponents >> 1;
    return y * f32_of_bits(half << 23) * f32_of_bits((exponents - half) << 23);
}

static inline float vexpm1_f32(float x)
{
    float below = x > 89.0f ? 89.0f : x;
    float z = below < -30.0f ? -30.0f : below;
    float rounded = z * 1.44269504f + ROUND_F32;
    float n = rounded - ROUND_F32;
    float r = z - n * LN2_HIGH_F32 - n * LN2_LOW_F32;
    float p = expm1_series_f32(r);
    uint32_t exponents = bits_of_f32(rounded) - bits_of_f32(ROUND_F32) + 2 * 127;
    uint32_t half = exponents >> 1;
    float power_a = f32_of_bits(half << 23);
    float power_b = f32_of_bits((exponents - half) << 23);
    float y = (p * power_a + (power_a - 1.0f / power_b)) * power_b; /* 2^n p + 2^n - 1 */
    return x == 0.0f ? x : y;                                       /* keeps -0 */
}

static inline float vlog_f32(float x)
{
    float larger = x * 8388608.0f; /* 2^23: makes a denormal normal */
    float z = x < FLT_MIN ? larger : x;
    float n_shift = x < FLT_MIN ? 23.0f : 0.0f;
    uint32_t sqrt_half = 0x3f3504f3;
    uint32_t bits = bits_of_f32(z) + (0x3f800000 - sqrt_half);
    float m = f32_of_bits((bits & 0x007fffff) + sqrt_half);
    float n = (float)(int32_t)(bits >> 23) - 127.0f - n_shift;

    float f = m - 1.0f;
    float s = f / (m + 1.0f);
    float s2 = s * s;
    float tail = 2.0f / 9;
    tail = tail * s2 + 2.0f / 7;
    tail = tail * s2 + 2.0f / 5;
    tail = tail * s2 + 2.0f / 3;
    tail = tail * s2; /* 2 atanh s = s (2 + tail), and 2s = f - s f: so the large term f is exact */
    float y = n * LN2_HIGH_F32 + (f + (n * LN2_LOW_F32 + s * (tail - f)));
    float positive = x < INFINITY ? y : x; /* +inf, and NaN, are their own logarithm */
    float other = x == 0.0f ? -INFINITY : NAN;
    return x > 0.0f ? positive : other;
}

/* log(1 + x), exact also where 1 + x rounds: the bits lost in u = 1 + x come back as their first-order term. */
static inline float vlog1p_f32(float x)
{
    float u = 1.0f + x;
    float lost_small = x - (u - 1.0f);
    float lost_large = 1.0f - (u - x);
    float lost = x < 1.0f ? lost_small : lost_large;
    float correction = lost / u;
    float finite = u > 0.0f ? correction : 0.0f;
    float y = vlog_f32(u) + (u < INFINITY ? finite : 0.0f);
    return x == 0.0f ? x : y;
}

static inline float vtanh_f32(float x)
{
    float t = vexpm1_f32(-2.0f * fabsf(x)); /* -1 < t <= 0, never overflows */
    float y = -t / (t + 2.0f);
    float signed_y = x < 0.0f ? -y : y;
    return x == 0.0f ? x : signed_y;
}

static inline float vsigmoid_f32(float x)
{
    float e = vexp_f32(-fabsf(x)); /* never overflows */
    float upper = 1.0f / (1.0f + e);
    float lower = e / (1.0f + e);
    return x < 0.0f ? lower : upper;
}

/* ---- double: the same steps, longer series ---- */

#define LN2_HIGH_F64 6.93147180369123816490e-01
#define LN2_LOW_F64 1.90821492927058770002e-10
#define ROUND_F64 6755399441055744.0 /* 1.5 * 2^52 */

static inline double expm1_series_f64(double r)
{
    double p = 1.0 / 6227020800;
    p = p * r + 1.0 / 479001600;
    p = p * r + 1.0 / 39916800;
    p = p * r + 1.0 / 3628800;
    p = p * r + 1.0 / 362880;
    p = p * r + 1.0 / 40320;
    p = p * r + 1.0 / 5040;
    p = p * r + 1.0 / 720;
    p = p * r + 1.0 / 120;
    p = p * r + 1.0 / 24;
    p = p * r + 1.0 / 6;
    p = p * r + 1.0 / 2;
    return r + r * r * p;
}

static inline double vexp_f64(double x)
{
    double below = x > 710.0 ? 710.0 : x;
    double z = below < -746.0 ? -746.0 : below;
    double rounded = z * 1.44269504088896338700 + ROUND_F64;
    double n = rounded - ROUND_F64;
    double r = z - n * LN2_HIGH_F64 - n * LN2_LOW_F64;
    double y = 1.0 + expm1_series_f64(r);
    uint64_t exponents = bits_of_f64(rounded) - bits_of_f64(ROUND_F64) + 2 * 1023;
    uint64_t half = exponents >> 1;
    return y * f64_of_bits(half << 52) * f64_of_bits((exponents - half) << 52);
}

static inline double vexpm1_f64(double x)
{
    double below = x > 710.0 ? 710.0 : x;
    double z = below < -60.0 ? -60.0 : below;
    double rounded = z * 1.44269504088896338700 + ROUND_F64;
    double n = rounded - ROUND_F64;
    double r = z - n * LN2_HIGH_F64 - n * LN2_LOW_F64;
    double p = expm1_series_f64(r);
    uint64_t exponents = bits_of_f64(rounded) - bits_of_f64(ROUND_F64) + 2 * 1023;
    uint64_t half = exponents >> 1;
    double power_a = f64_of_bits(half << 52);
    double power_b = f64_of_bits((exponents - half) << 52);
    double y = (p * power_a + (power_a - 1.0 / power_b)) * power_b;
    return x == 0.0 ? x : y;
}

static inline double vlog_f64(double x)
{
    double larger = x * 18014398509481984.0; /* 2^54 */
    double z = x < DBL_MIN ? larger : x;
    double n_shift = x < DBL_MIN ? 54.0 : 0.0;
    uint64_t sqrt_half = 0x3fe6a09e667f3bcd;
    uint64_t bits = bits_of_f64(z) + (0x3ff0000000000000 - sqrt_half);
    double m = f64_of_bits((bits & 0x000fffffffffffff) + sqrt_half);
    /* The exponent as a double without an integer conversion, which AVX2 lacks: as the low bits of 2^52. */
    double n = f64_of_bits((bits >> 52) | 0x4330000000000000) - 4503599627370496.0 - 1023.0 - n_shift;

    double f = m - 1.0;
    double s = f / (m + 1.0);
    double s2 = s * s;
    double tail = 2.0 / 21;
    tail = tail * s2 + 2.0 / 19;
    tail = tail * s2 + 2.0 / 17;
    tail = tail * s2 + 2.0 / 15;
    tail = tail * s2 + 2.0 / 13;
    tail = tail * s2 + 2.0 / 11;
    tail = tail * s2 + 2.0 / 9;
    tail = tail * s2 + 2.0 / 7;
    tail = tail * s2 + 2.0 / 5;
    tail = tail * s2 + 2.0 / 3;
    tail = tail * s2;
    double y = n * LN2_HIGH_F64 + (f + (n * LN2_LOW_F64 + s * (tail - f)));
    double positive = x < INFINITY ? y : x;
    double other = x == 0.0 ? -INFINITY : NAN;
    return x > 0.0 ? positive : other;
}

static inline double vlog1p_f64(double x)
{
    double u = 1.0 + x;
    double lost_small = x - (u - 1.0);
    double lost_large = 1.0 - (u - x);
    double lost = x < 1.0 ? lost_small : lost_large;
    double correction = lost / u;
    double finite = u > 0.0 ? correction : 0.0;
    double y = vlog_f64(u) + (u < INFINITY ? finite : 0.0);
    return x == 0.0 ? x : y;
}

static inline double vtanh_f64(double x)
{
    double t = vexpm1_f64(-2.0 * fabs(x));
    double y = -t / (t + 2.0);
    double signed_y = x < 0.0 ? -y : y;
    return x == 0.0 ? x : signed_y;
}

static inline double vsigmoid_f64(double x)
{
    double e = vexp_f64(-fabs(x)); /* never overflows */
    double upper = 1.0 / (1.0 + e);
    double lower = e / (1.0 + e);
    return x < 0.0 ? lower : upper;
}

#endif
