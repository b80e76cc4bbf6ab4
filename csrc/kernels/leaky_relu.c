/* leaky_relu: negative values keep a part of themselves.
 *
 *   forward    y[i]  = x[i] > 0 ? x[i] : slope x[i]
 *   backward   dx[i] = s[i] > 0 ? dy[i] : slope dy[i],  s = x, or y if slope >= 0
 *
 *   x, y, s, dx, dy: n values in one memory order. y may be x.
 *
 * With slope >= 0 y has x's sign, so that the layer can work in place.
 */
#include "pointwise.h"

static void forward(const pointwise *c, ptrdiff_t begin, ptrdiff_t end)
{
    const real slope = (real)c->scalar[0];
    for (ptrdiff_t i = begin; i < end; i++) {
        const real x = c->a[i];
        c->out[i] = x > 0 ? x : slope * x;
    }
}

void FN(leaky_relu_forward)(const real *x, real *y, ptrdiff_t n, double slope)
{
    pointwise_run(&(pointwise){.range = forward, .a = x, .out = y, .n = n, .scalar = {slope}});
}

static void backward(const pointwise *c, ptrdiff_t begin, ptrdiff_t end)
{
    const real slope = (real)c->scalar[0];
    for (ptrdiff_t i = begin; i < end; i++) {
        const real dy = c->a[i];
        c->out[i] = c->b[i] > 0 ? dy : slope * dy;
    }
}

void FN(leaky_relu_backward)(const real *dy, const real *s, real *dx, ptrdiff_t n, double slope)
{
    pointwise_run(&(pointwise){.range = backward, .a = dy, .b = s, .out = dx, .n = n, .scalar = {slope}});
}
