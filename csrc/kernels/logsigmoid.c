/* logsigmoid: the logarithm of the logistic function.
 *
 *   forward    y[i]  = min(x[i], 0) - log(1 + z),             z = exp(-|x[i]|)
 *   backward   dx[i] = dy[i] (x[i] < 0 ? 1 : z) / (1 + z)
 *
 *   x, y, dx, dy: n values in one memory order. y may be x. z <= 1: nothing overflows.
 */
#include "pointwise.h"
#include "vecmath.h"

static real magnitude(real x) { return x < 0 ? -x : x; }

static void forward(const pointwise *c, ptrdiff_t begin, ptrdiff_t end)
{
    for (ptrdiff_t i = begin; i < end; i++) {
        const real x = c->a[i], negative = x > 0 ? 0 : x;
        c->out[i] = negative - vlog1p(vexp(-magnitude(x)));
    }
}

void FN(logsigmoid_forward)(const real *x, real *y, ptrdiff_t n)
{
    pointwise_run(&(pointwise){.range = forward, .a = x, .out = y, .n = n});
}

static void backward(const pointwise *c, ptrdiff_t begin, ptrdiff_t end)
{
    for (ptrdiff_t i = begin; i < end; i++) {
        const real x = c->b[i], z = vexp(-magnitude(x));
        c->out[i] = c->a[i] * (x < 0 ? 1 : z) / (1 + z);
    }
}

void FN(logsigmoid_backward)(const real *dy, const real *x, real *dx, ptrdiff_t n)
{
    pointwise_run(&(pointwise){.range = backward, .a = dy, .b = x, .out = dx, .n = n});
}
