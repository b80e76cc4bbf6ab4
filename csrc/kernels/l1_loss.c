/* l1_loss: the absolute difference.
 *
 *   forward    loss = |x - t|
 *   backward   dloss/dx = sign(x - t) = -dloss/dt, and 0 for x = t (and for NaN), as in torch
 *
 * Element by element; see pair_loss.h for the arguments.
 */
#include <math.h>

#include "pair_loss.h"

static inline real loss(real x, real t, real p)
{
    (void)p;
    return (real)fabs(x - t);
}

static void forward_chunk(void *context, ptrdiff_t chunk) { pair_loss_chunk(context, chunk, loss); }

double FN(l1_loss_forward)(const real *x, const real *t, const real *each, double p, real *losses, ptrdiff_t n)
{
    return pair_loss_run(forward_chunk, x, t, each, p, losses, n);
}

static inline real slope(real x, real t, real p)
{
    (void)p;
    return (real)((x - t > 0) - (x - t < 0));
}

static void backward_chunk(void *context, ptrdiff_t chunk) { pair_slope_chunk(context, chunk, slope); }

void FN(l1_loss_backward)(const real *dy, ptrdiff_t dy_step, const real *x, const real *t, const real *each, double p,
                          real *dx, ptrdiff_t n, double scale)
{
    pair_slope_run(backward_chunk, dy, dy_step, x, t, each, p, dx, n, scale);
}
