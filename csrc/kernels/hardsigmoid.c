/* hardsigmoid: the sigmoid drawn as a ramp.
 *
 *   forward    y[i]  = min(max(x[i] + 3, 0), 6) / 6
 *   backward   dx[i] = 0 < y[i] < 1 ? dy[i] / 6 : 0
 *
 *   x, y, dx, dy: n values in one memory order. y may be x. Backward needs only y.
 */
#include "pointwise.h"

static void forward(const pointwise *c, ptrdiff_t begin, ptrdiff_t end)
{
    for (ptrdiff_t i = begin; i < end; i++) {
        const real x = c->a[i] + 3, above = x < 0 ? 0 : x;
        c->out[i] = (above > 6 ? 6 : above) / 6;
    }
}

void FN(hardsigmoid_forward)(const real *x, real *y, ptrdiff_t n)
{
    pointwise_run(&(pointwise){.range = forward, .a = x, .out = y, .n = n});
}

static void backward(const pointwise *c, ptrdiff_t begin, ptrdiff_t end)
{
    for (ptrdiff_t i = begin; i < end; i++) {
        const real y = c->b[i], dx = c->a[i] / 6, above = y > 0 ? dx : 0;
        c->out[i] = y < 1 ? above : 0;
    }
}

void FN(hardsigmoid_backward)(const real *dy, const real *y, real *dx, ptrdiff_t n)
{
    pointwise_run(&(pointwise){.range = backward, .a = dy, .b = y, .out = dx, .n = n});
}
