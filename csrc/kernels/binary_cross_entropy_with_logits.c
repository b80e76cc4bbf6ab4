/* binary_cross_entropy_with_logits: sigmoid and binary_cross_entropy in one, for any x.
 *
 *   forward    loss = (1 - t) x + l (log(1 + e^-|x|) + max(-x, 0))      l = 1 + (p - 1) t
 *   backward   dloss/dx = (1 - t) - l sigmoid(-x)
 *              dloss/dt = (p - 1) (log(1 + e^-|x|) + max(-x, 0)) - x
 *
 * Element by element; see pair_loss.h for the arguments. p is pos_weight, the weight of the answer 1; each holds one
 * for each element where it is not a single number. The logarithm's argument lies in (1, 2], so nothing overflows.
 */
#include <math.h>

#include "pair_loss.h"
#include "vecmath.h"

/* log(1 + e^x) */
static inline real softplus(real x)
{
    real positive = x < 0 ? 0 : x; /* NaN stays NaN */
    return vlog1p(vexp((real)-fabs(x))) + positive;
}

/* l; without a weight it is 1 whatever t is. */
static inline real weight_of(real t, real p) { return p == 1 ? 1 : 1 + (p - 1) * t; }

static inline real loss(real x, real t, real p) { return (1 - t) * x + weight_of(t, p) * softplus(-x); }

static void forward_chunk(void *context, ptrdiff_t chunk) { pair_loss_chunk(context, chunk, loss); }

double FN(binary_cross_entropy_with_logits_forward)(const real *x, const real *t, const real *each, double p,
                                                    real *losses, ptrdiff_t n)
{
    return pair_loss_run(forward_chunk, x, t, each, p, losses, n);
}

static inline real slope(real x, real t, real p) { return (1 - t) - weight_of(t, p) * vsigmoid(-x); }

static void backward_chunk(void *context, ptrdiff_t chunk) { pair_slope_chunk(context, chunk, slope); }

void FN(binary_cross_entropy_with_logits_backward)(const real *dy, ptrdiff_t dy_step, const real *x, const real *t,
                                                   const real *each, double p, real *dx, ptrdiff_t n, double scale)
{
    pair_slope_run(backward_chunk, dy, dy_step, x, t, each, p, dx, n, scale);
}

static inline real target_slope(real x, real t, real p)
{
    (void)t;
    real weighted = (p - 1) * softplus(-x);
    return (p == 1 ? 0 : weighted) - x; /* 0 times infinity is not 0 */
}

static void backward_target_chunk(void *context, ptrdiff_t chunk) { pair_slope_chunk(context, chunk, target_slope); }

void FN(binary_cross_entropy_with_logits_backward_target)(const real *dy, ptrdiff_t dy_step, const real *x,
                                                          const real *t, const real *each, double p, real *dt,
                                                          ptrdiff_t n, double scale)
{
    pair_slope_run(backward_target_chunk, dy, dy_step, x, t, each, p, dt, n, scale);
}
