/* elu: negative values run into -alpha along an exponential (Clevert, Unterthiner and Hochreiter 2016). With other
 * constants also selu (Klambauer et al. 2017) and celu (Barron 2017).
 *
 *   forward    y[i]  = x[i] > 0 ? scale x[i] : scale alpha (exp(k x[i]) - 1)
 *   backward   dx[i] = x[i] > 0 ? scale dy[i] : scale alpha k exp(k x[i]) dy[i]
 *
 *   x, y, dx, dy: n values in one memory order. y may be x.
 *
 *   elu: scale = k = 1      celu: scale = 1, k = 1 / alpha      selu: k = 1, fixed alpha and scale
 *
 * For alpha >= 0 y has x's sign and scale alpha exp(k x) = y + scale alpha: elu_backward_from_y is for the layer that
 * worked in place. From x the gradient is exact also where y has come close to -alpha.
 */
#include "pointwise.h"
#include "vecmath.h"

static void forward(const pointwise *c, ptrdiff_t begin, ptrdiff_t end)
{
    const real negative = (real)(c->scalar[0] * c->scalar[1]), scale = (real)c->scalar[1], k = (real)c->scalar[2];
    for (ptrdiff_t i = begin; i < end; i++) {
        const real x = c->a[i], below = negative * vexpm1(k * x);
        c->out[i] = x < 0 ? below : scale * x;
    }
}

void FN(elu_forward)(const real *x, real *y, ptrdiff_t n, double alpha, double scale, double k)
{
    pointwise_run(&(pointwise){.range = forward, .a = x, .out = y, .n = n, .scalar = {alpha, scale, k}});
}

static void backward(const pointwise *c, ptrdiff_t begin, ptrdiff_t end)
{
    const real negative = (real)(c->scalar[0] * c->scalar[1]), scale = (real)c->scalar[1], k = (real)c->scalar[2];
    for (ptrdiff_t i = begin; i < end; i++) {
        const real dy = c->a[i], x = c->b[i], below = dy * k * negative * vexp(k * x);
        c->out[i] = x <= 0 ? below : dy * scale;
    }
}

void FN(elu_backward)(const real *dy, const real *x, real *dx, ptrdiff_t n, double alpha, double scale, double k)
{
    pointwise_run(&(pointwise){.range = backward, .a = dy, .b = x, .out = dx, .n = n, .scalar = {alpha, scale, k}});
}

static void backward_from_y(const pointwise *c, ptrdiff_t begin, ptrdiff_t end)
{
    const real negative = (real)(c->scalar[0] * c->scalar[1]), scale = (real)c->scalar[1], k = (real)c->scalar[2];
    for (ptrdiff_t i = begin; i < end; i++) {
        const real dy = c->a[i], y = c->b[i];
        c->out[i] = y <= 0 ? dy * k * (y + negative) : dy * scale;
    }
}

void FN(elu_backward_from_y)(const real *dy, const real *y, real *dx, ptrdiff_t n, double alpha, double scale, double k)
{
    pointwise_run(
        &(pointwise){.range = backward_from_y, .a = dy, .b = y, .out = dx, .n = n, .scalar = {alpha, scale, k}});
}
