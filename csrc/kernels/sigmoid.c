/* sigmoid: the logistic function.
 *
 *   forward    y[i]  = 1 / (1 + exp(-x[i]))
 *   backward   dx[i] = dy[i] y[i] (1 - y[i])
 *
 *   x, y, dx, dy: n values in one memory order. y may be x. Backward needs only y.
 */
#include "pointwise.h"
#include "vecmath.h"

static void forward(const pointwise *c, ptrdiff_t begin, ptrdiff_t end)
{
    for (ptrdiff_t i = begin; i < end; i++) {
        c->out[i] = vsigmoid(c->a[i]);
    }
}

void FN(sigmoid_forward)(const real *x, real *y, ptrdiff_t n)
{
    pointwise_run(&(pointwise){.range = forward, .a = x, .out = y, .n = n});
}

static void backward(const pointwise *c, ptrdiff_t begin, ptrdiff_t end)
{
    for (ptrdiff_t i = begin; i < end; i++) {
        const real y = c->b[i];
        c->out[i] = c->a[i] * y * (1 - y);
    }
}

void FN(sigmoid_backward)(const real *dy, const real *y, real *dx, ptrdiff_t n)
{
    pointwise_run(&(pointwise){.range = backward, .a = dy, .b = y, .out = dx, .n = n});
}
