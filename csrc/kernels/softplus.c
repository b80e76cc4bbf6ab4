/* softplus: a smooth relu (Dugas et al. 2001).
 *
 *   forward    y[i]  = log(1 + exp(beta x[i])) / beta
 *   backward   dx[i] = dy[i] z / (1 + z),  z = exp(beta x[i])
 *
 *   x, y, dx, dy: n values in one memory order. y may be x.
 *
 * Where beta x[i] > threshold the function is taken to be x[i] itself, before exp can overflow.
 */
#include "pointwise.h"
#include "vecmath.h"

static void forward(const pointwise *c, ptrdiff_t begin, ptrdiff_t end)
{
    const real beta = (real)c->scalar[0], threshold = (real)c->scalar[1];
    for (ptrdiff_t i = begin; i < end; i++) {
        const real x = c->a[i], smooth = vlog1p(vexp(beta * x)) / beta;
        c->out[i] = beta * x > threshold ? x : smooth;
    }
}

void FN(softplus_forward)(const real *x, real *y, ptrdiff_t n, double beta, double threshold)
{
    pointwise_run(&(pointwise){.range = forward, .a = x, .out = y, .n = n, .scalar = {beta, threshold}});
}

static void backward(const pointwise *c, ptrdiff_t begin, ptrdiff_t end)
{
    const real beta = (real)c->scalar[0], threshold = (real)c->scalar[1];
    for (ptrdiff_t i = begin; i < end; i++) {
        const real dy = c->a[i], x = c->b[i], z = vexp(beta * x);
        const real smooth = dy * z / (1 + z);
        c->out[i] = beta * x > threshold ? dy : smooth;
    }
}

void FN(softplus_backward)(const real *dy, const real *x, real *dx, ptrdiff_t n, double beta, double threshold)
{
    pointwise_run(&(pointwise){.range = backward, .a = dy, .b = x, .out = dx, .n = n, .scalar = {beta, threshold}});
}
