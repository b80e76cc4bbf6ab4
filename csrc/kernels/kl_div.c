/* kl_div: the terms of the Kullback-Leibler divergence of t from the distribution with the log-probabilities x.
 *
 *   forward    loss = t (log t - x), 0 where t is 0        or, if t is a log-probability too (p = 1): e^t (t - x)
 *   backward   dloss/dx = -t                               -e^t
 *              dloss/dt = log t + 1 - x, 0 where t is 0    e^t (t - x + 1)
 *
 * Element by element; see pair_loss.h for the arguments.
 */
#include "pair_loss.h"
#include "vecmath.h"

static inline real loss(real x, real t, real p)
{
    real of_log = vexp(t) * (t - x), t_log_t = t == 0 ? 0 : t * vlog(t);
    return p != 0 ? of_log : t_log_t - t * x;
}

static void forward_chunk(void *context, ptrdiff_t chunk) { pair_loss_chunk(context, chunk, loss); }

double FN(kl_div_forward)(const real *x, const real *t, const real *each, double p, real *losses, ptrdiff_t n)
{
    return pair_loss_run(forward_chunk, x, t, each, p, losses, n);
}

static inline real slope(real x, real t, real p)
{
    (void)x;
    return p != 0 ? -vexp(t) : -t;
}

static void backward_chunk(void *context, ptrdiff_t chunk) { pair_slope_chunk(context, chunk, slope); }

void FN(kl_div_backward)(const real *dy, ptrdiff_t dy_step, const real *x, const real *t, const real *each, double p,
                         real *dx, ptrdiff_t n, double scale)
{
    pair_slope_run(backward_chunk, dy, dy_step, x, t, each, p, dx, n, scale);
}

static inline real target_slope(real x, real t, real p)
{
    real of_log = vexp(t) * (t - x + 1), of_plain = t == 0 ? 0 : vlog(t) + 1 - x;
    return p != 0 ? of_log : of_plain;
}

static void backward_target_chunk(void *context, ptrdiff_t chunk) { pair_slope_chunk(context, chunk, target_slope); }

void FN(kl_div_backward_target)(const real *dy, ptrdiff_t dy_step, const real *x, const real *t, const real *each,
                                double p, real *dt, ptrdiff_t n, double scale)
{
    pair_slope_run(backward_target_chunk, dy, dy_step, x, t, each, p, dt, n, scale);
}
