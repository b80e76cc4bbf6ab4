/* silu: x times its own sigmoid (Hendrycks and Gimpel 2016; "swish").
 *
 *   forward    y[i]  = x[i] s,                    s = 1 / (1 + exp(-x[i]))
 *   backward   dx[i] = dy[i] s (1 + x[i] (1 - s))
 *
 *   x, y, dx, dy: n values in one memory order. y may be x. Backward needs x: y takes one value twice.
 */
#include "pointwise.h"
#include "vecmath.h"

static void forward(const pointwise *c, ptrdiff_t begin, ptrdiff_t end)
{
    for (ptrdiff_t i = begin; i < end; i++) {
        const real x = c->a[i];
        c->out[i] = x * vsigmoid(x);
    }
}

void FN(silu_forward)(const real *x, real *y, ptrdiff_t n)
{
    pointwise_run(&(pointwise){.range = forward, .a = x, .out = y, .n = n});
}

static void backward(const pointwise *c, ptrdiff_t begin, ptrdiff_t end)
{
    for (ptrdiff_t i = begin; i < end; i++) {
        const real x = c->b[i], s = vsigmoid(x);
        c->out[i] = c->a[i] * s * (1 + x * (1 - s));
    }
}

void FN(silu_backward)(const real *dy, const real *x, real *dx, ptrdiff_t n)
{
    pointwise_run(&(pointwise){.range = backward, .a = dy, .b = x, .out = dx, .n = n});
}
