/* binary_cross_entropy: how surprised a probability x is by the answer t.
 *
 *   forward    loss = -(t log x + (1 - t) log(1 - x))      logarithms are cut off at -100, as in torch
 *   backward   dloss/dx = (x - t) / (x (1 - x))            the denominator is at least 1e-12
 *              dloss/dt = log(1 - x) - log x
 *
 * Element by element; see pair_loss.h for the arguments. x and t lie in [0, 1]: outside_unit counts what does not.
 */
#include "pair_loss.h"
#include "vecmath.h"

static inline real cut(real logarithm) { return logarithm < -100 ? -100 : logarithm; }

static inline real loss(real x, real t, real p)
{
    (void)p;
    return (t - 1) * cut(vlog1p(-x)) - t * cut(vlog(x));
}

static void forward_chunk(void *context, ptrdiff_t chunk) { pair_loss_chunk(context, chunk, loss); }

double FN(binary_cross_entropy_forward)(const real *x, const real *t, const real *each, double p, real *losses,
                                        ptrdiff_t n)
{
    return pair_loss_run(forward_chunk, x, t, each, p, losses, n);
}

static inline real slope(real x, real t, real p)
{
    (void)p;
    real variance = (1 - x) * x, least = (real)1e-12;
    return (x - t) / (variance > least ? variance : least);
}

static void backward_chunk(void *context, ptrdiff_t chunk) { pair_slope_chunk(context, chunk, slope); }

void FN(binary_cross_entropy_backward)(const real *dy, ptrdiff_t dy_step, const real *x, const real *t,
                                       const real *each, double p, real *dx, ptrdiff_t n, double scale)
{
    pair_slope_run(backward_chunk, dy, dy_step, x, t, each, p, dx, n, scale);
}

static inline real target_slope(real x, real t, real p)
{
    (void)t;
    (void)p;
    return cut(vlog1p(-x)) - cut(vlog(x));
}

static void backward_target_chunk(void *context, ptrdiff_t chunk) { pair_slope_chunk(context, chunk, target_slope); }

void FN(binary_cross_entropy_backward_target)(const real *dy, ptrdiff_t dy_step, const real *x, const real *t,
                                              const real *each, double p, real *dt, ptrdiff_t n, double scale)
{
    pair_slope_run(backward_target_chunk, dy, dy_step, x, t, each, p, dt, n, scale);
}

/* How many of n values are not in [0, 1]; NaN is not. */
ptrdiff_t FN(outside_unit)(const real *x, ptrdiff_t n)
{
    ptrdiff_t count = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        count += !((x[i] >= 0) & (x[i] <= 1));
    }
    return count;
}
