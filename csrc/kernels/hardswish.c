/* hardswish: silu with the sigmoid drawn as a ramp (Howard et al. 2019).
 *
 *   forward    y[i]  = x[i] min(max(x[i] + 3, 0), 6) / 6
 *   backward   dx[i] = dy[i] (x[i] <= -3 ? 0 : x[i] < 3 ? x[i] / 3 + 1/2 : 1)
 *
 *   x, y, dx, dy: n values in one memory order. y may be x.
 */
#include "pointwise.h"

static void forward(const pointwise *c, ptrdiff_t begin, ptrdiff_t end)
{
    for (ptrdiff_t i = begin; i < end; i++) {
        const real x = c->a[i], above = x + 3 < 0 ? 0 : x + 3;
        c->out[i] = x * (above > 6 ? 6 : above) / 6;
    }
}

void FN(hardswish_forward)(const real *x, real *y, ptrdiff_t n)
{
    pointwise_run(&(pointwise){.range = forward, .a = x, .out = y, .n = n});
}

static void backward(const pointwise *c, ptrdiff_t begin, ptrdiff_t end)
{
    for (ptrdiff_t i = begin; i < end; i++) {
        const real dy = c->a[i], x = c->b[i], ramp = dy * (x / 3 + (real)0.5);
        const real above = x < 3 ? ramp : dy; /* NaN passes dy */
        c->out[i] = x <= -3 ? 0 : above;
    }
}

void FN(hardswish_backward)(const real *dy, const real *x, real *dx, ptrdiff_t n)
{
    pointwise_run(&(pointwise){.range = backward, .a = dy, .b = x, .out = dx, .n = n});
}
