/* smooth_l1_loss: quadratic for differences below beta = p, linear above.
 *
 *   forward    d = x - t      loss = d^2 / (2 beta) where |d| < beta, else |d| - beta/2
 *   backward   dloss/dx = d / beta where |d| < beta, else sign(d); dloss/dt = -dloss/dx
 *
 * Element by element; see pair_loss.h for the arguments. beta > 0 (for 0 it is l1_loss).
 */
#include <math.h>

#include "pair_loss.h"

static inline real loss(real x, real t, real p)
{
    real d = (real)fabs(x - t), quadratic = (real)0.5 * d * d / p, linear = d - (real)0.5 * p;
    return d < p ? quadratic : linear;
}

static void forward_chunk(void *context, ptrdiff_t chunk) { pair_loss_chunk(context, chunk, loss); }

double FN(smooth_l1_loss_forward)(const real *x, const real *t, const real *each, double p, real *losses, ptrdiff_t n)
{
    return pair_loss_run(forward_chunk, x, t, each, p, losses, n);
}

static inline real slope(real x, real t, real p)
{
    real d = x - t, inside = d / p, right = d >= p ? 1 : inside;
    return d <= -p ? -1 : right;
}

static void backward_chunk(void *context, ptrdiff_t chunk) { pair_slope_chunk(context, chunk, slope); }

void FN(smooth_l1_loss_backward)(const real *dy, ptrdiff_t dy_step, const real *x, const real *t, const real *each,
                                 double p, real *dx, ptrdiff_t n, double scale)
{
    pair_slope_run(backward_chunk, dy, dy_step, x, t, each, p, dx, n, scale);
}
