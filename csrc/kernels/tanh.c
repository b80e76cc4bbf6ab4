/* tanh: the hyperbolic tangent.
 *
 *   forward    y[i]  = tanh(x[i])
 *   backward   dx[i] = dy[i] (1 - y[i]^2)
 *
 *   x, y, dx, dy: n values in one memory order. y may be x. Backward needs only y.
 */
#include "pointwise.h"
#include "vecmath.h"

static void forward(const pointwise *c, ptrdiff_t begin, ptrdiff_t end)
{
    for (ptrdiff_t i = begin; i < end; i++) {
        c->out[i] = vtanh(c->a[i]);
    }
}

void FN(tanh_forward)(const real *x, real *y, ptrdiff_t n)
{
    pointwise_run(&(pointwise){.range = forward, .a = x, .out = y, .n = n});
}

static void backward(const pointwise *c, ptrdiff_t begin, ptrdiff_t end)
{
    for (ptrdiff_t i = begin; i < end; i++) {
        const real y = c->b[i];
        c->out[i] = c->a[i] * (1 - y * y);
    }
}

void FN(tanh_backward)(const real *dy, const real *y, real *dx, ptrdiff_t n)
{
    pointwise_run(&(pointwise){.range = backward, .a = dy, .b = y, .out = dx, .n = n});
}
