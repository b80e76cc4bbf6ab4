/* gelu: x times the probability that a standard normal value is below it (Hendrycks and Gimpel 2016).
 *
 *   forward    y[i]  = x P,                       P = normal distribution at x[i], Q = normal density at x[i]
 *   backward   dx[i] = dy[i] (P + x Q)
 *
 *   gelu_tanh takes P = (1 + tanh u) / 2,         u = sqrt(2 / pi) (x + 0.044715 x^3)
 *
 *   x, y, dx, dy: n values in one memory order. y may be x. Backward needs x: y takes one value twice.
 *
 * P in one formula without branches: with a = |x| / sqrt(2), the tail P(-|x|) = exp(-a^2) E(a) / 2, where
 * E(a) = exp(a^2) erfc(a) is smooth and falls slowly. It is a polynomial in t = (a - K) / (a + K), which maps
 * 0..infinity to -1..1: the Chebyshev series of E, cut off where it stops to matter and written in powers of t.
 * Relative error of the tail: 6e-7 for float, 3e-15 for double.
 */
#include "pointwise.h"
#include "vecmath.h"

static const double SQRT_HALF = 0.70710678118654752440;
static const double DENSITY_AT_0 = 0.39894228040143267794; /* 1 / sqrt(2 pi) */
static const double TANH_SCALE = 0.79788456080286535588;   /* sqrt(2 / pi) */
static const double TANH_CUBE = 0.044715;

/* E(a) for a >= 0. Where a is cut off, exp(-a^2) has long been 0. */
#ifdef CNN_REAL_IS_DOUBLE
static inline real scaled_erfc(real a)
{
    const real near = a > 40 ? 40 : a, t = (near - 4) / (near + 4);
    real p = 1.21005792696134337e-10;
    p = p * t + 1.07510971906594703e-9;
    p = p * t - 2.03024501610099112e-9;
    p = p * t - 1.30452982353521805e-8;
    p = p * t + 2.48543722074294416e-8;
    p = p * t + 9.28725244740698997e-8;
    p = p * t - 2.83630915752207173e-7;
    p = p * t - 4.05668207452345705e-7;
    p = p * t + 2.94427858810460549e-6;
    p = p * t - 1.90501875877074224e-6;
    p = p * t - 2.25559351887418233e-5;
    p = p * t + 7.89838718289761051e-5;
    p = p * t - 2.1761746081496977e-5;
    p = p * t - 7.99126981533287511e-4;
    p = p * t + 4.06026362791879515e-3;
    p = p * t - 1.28439460064755742e-2;
    p = p * t + 3.12990565182949525e-2;
    p = p * t - 6.31078156417862217e-2;
    p = p * t + 1.08963177398925282e-1;
    p = p * t - 1.64257816697231074e-1;
    p = p * t + 2.18719678918264482e-1;
    p = p * t - 2.59068048760172519e-1;
    p = p * t + 1.36999457625061391e-1;
    return p;
}
#else
static inline real scaled_erfc(real a)
{
    const real near = a > 20 ? 20 : a, t = (near - 2) / (near + 2);
    real p = -1.93532921e-5f;
    p = p * t + 2.613735687e-6f;
    p = p * t + 1.632422016e-4f;
    p = p * t + 6.605869928e-5f;
    p = p * t - 9.751637317e-4f;
    p = p * t - 8.575103384e-4f;
    p = p * t + 6.995460887e-3f;
    p = p * t + 3.735151249e-3f;
    p = p * t - 7.897833037e-2f;
    p = p * t + 2.416580099e-1f;
    p = p * t - 4.271858564e-1f;
    p = p * t + 2.553956788e-1f;
    return p;
}
#endif

/* The normal distribution at x, given e = exp(-x^2 / 2). */
static inline real distribution(real x, real e)
{
    const real a = (x < 0 ? -x : x) * (real)SQRT_HALF, tail = e * scaled_erfc(a) / 2;
    return x < 0 ? tail : 1 - tail;
}

static void forward(const pointwise *c, ptrdiff_t begin, ptrdiff_t end)
{
    for (ptrdiff_t i = begin; i < end; i++) {
        const real x = c->a[i];
        c->out[i] = x * distribution(x, vexp(-x * x / 2));
    }
}

void FN(gelu_forward)(const real *x, real *y, ptrdiff_t n)
{
    pointwise_run(&(pointwise){.range = forward, .a = x, .out = y, .n = n});
}

static void backward(const pointwise *c, ptrdiff_t begin, ptrdiff_t end)
{
    for (ptrdiff_t i = begin; i < end; i++) {
        const real x = c->b[i], e = vexp(-x * x / 2);
        c->out[i] = c->a[i] * (distribution(x, e) + x * e * (real)DENSITY_AT_0);
    }
}

void FN(gelu_backward)(const real *dy, const real *x, real *dx, ptrdiff_t n)
{
    pointwise_run(&(pointwise){.range = backward, .a = dy, .b = x, .out = dx, .n = n});
}

static void tanh_forward(const pointwise *c, ptrdiff_t begin, ptrdiff_t end)
{
    const real scale = (real)TANH_SCALE, cube = (real)TANH_CUBE;
    for (ptrdiff_t i = begin; i < end; i++) {
        const real x = c->a[i], u = scale * (x + cube * x * x * x);
        c->out[i] = x * (1 + vtanh(u)) / 2;
    }
}

void FN(gelu_tanh_forward)(const real *x, real *y, ptrdiff_t n)
{
    pointwise_run(&(pointwise){.range = tanh_forward, .a = x, .out = y, .n = n});
}

static void tanh_backward(const pointwise *c, ptrdiff_t begin, ptrdiff_t end)
{
    const real scale = (real)TANH_SCALE, cube = (real)TANH_CUBE;
    for (ptrdiff_t i = begin; i < end; i++) {
        const real x = c->b[i], tanh_u = vtanh(scale * (x + cube * x * x * x));
        const real du = scale * (1 + 3 * cube * x * x);
        c->out[i] = c->a[i] * ((1 + tanh_u) / 2 + x * (1 - tanh_u * tanh_u) * du / 2);
    }
}

void FN(gelu_tanh_backward)(const real *dy, const real *x, real *dx, ptrdiff_t n)
{
    pointwise_run(&(pointwise){.range = tanh_backward, .a = dy, .b = x, .out = dx, .n = n});
}
