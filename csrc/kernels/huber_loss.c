/* huber_loss: quadratic for differences up to delta = p, linear above. It is delta times smooth_l1_loss.
 *
 *   forward    d = x - t      loss = d^2 / 2 where |d| <= delta, else delta (|d| - delta/2)
 *   backward   dloss/dx = d where |d| <= delta, else delta sign(d); dloss/dt = -dloss/dx
 *
 * Element by element; see pair_loss.h for the arguments.
 */
#include <math.h>

#include "pair_loss.h"

static inline real loss(real x, real t, real p)
{
    real d = (real)fabs(x - t), quadratic = (real)0.5 * d * d, linear = p * (d - (real)0.5 * p);
    return d <= p ? quadratic : linear;
}

static void forward_chunk(void *context, ptrdiff_t chunk) { pair_loss_chunk(context, chunk, loss); }

double FN(huber_loss_forward)(const real *x, const real *t, const real *each, double p, real *losses, ptrdiff_t n)
{
    return pair_loss_run(forward_chunk, x, t, each, p, losses, n);
}

static inline real slope(real x, real t, real p)
{
    real d = x - t, right = d >= p ? p : d;
    return d <= -p ? -p : right;
}

static void backward_chunk(void *context, ptrdiff_t chunk) { pair_slope_chunk(context, chunk, slope); }

void FN(huber_loss_backward)(const real *dy, ptrdiff_t dy_step, const real *x, const real *t, const real *each,
                             double p, real *dx, ptrdiff_t n, double scale)
{
    pair_slope_run(backward_chunk, dy, dy_step, x, t, each, p, dx, n, scale);
}
