/* sgd: stochastic gradient descent, with momentum (Sutskever et al. 2013).
 *
 *   g <- dp + weight_decay p                       (dp turned around if maximize)
 *   v <- momentum v + (1 - dampening) g            (v <- g at the first step)
 *   p <- p - lr v                                  nesterov: p <- p - lr (g + momentum v)
 *
 * Array t of `parameters`, `gradients` and `velocities` has sizes[t] values; parameters and velocities are changed in
 * place. Without momentum velocities is NULL and v is g.
 */
#include "update.h"

typedef struct {
    real *const *parameters, *const *velocities;
    real lr, momentum, keep, decay, sign;
    int nesterov, first;
} sgd;

static void plain_piece(const void *optimiser, ptrdiff_t t, ptrdiff_t begin, ptrdiff_t end, const real *restrict dp)
{
    const sgd s = *(const sgd *)optimiser;
    real *restrict p = s.parameters[t];
    for (ptrdiff_t i = begin; i < end; i++) {
        p[i] -= s.lr * update_gradient(dp[i - begin], p[i], s.sign, s.decay);
    }
}

static void momentum_piece(const void *optimiser, ptrdiff_t t, ptrdiff_t begin, ptrdiff_t end, const real *restrict dp)
{
    const sgd s = *(const sgd *)optimiser;
    real *restrict p = s.parameters[t], *restrict v = s.velocities[t];
    if (s.first) {
        for (ptrdiff_t i = begin; i < end; i++) {
            v[i] = update_gradient(dp[i - begin], p[i], s.sign, s.decay);
            p[i] -= s.lr * (s.nesterov ? v[i] + s.momentum * v[i] : v[i]);
        }
        return;
    }
    for (ptrdiff_t i = begin; i < end; i++) {
        const real g = update_gradient(dp[i - begin], p[i], s.sign, s.decay);
        v[i] = s.momentum * v[i] + s.keep * g;
        p[i] -= s.lr * (s.nesterov ? g + s.momentum * v[i] : v[i]);
    }
}

void FN(sgd)(real *const *parameters, const gradient *gradients, real *const *velocities, const ptrdiff_t *sizes,
             ptrdiff_t count, double lr, double momentum, double dampening, double weight_decay, int nesterov,
             int maximize, int first)
{
    const sgd s = {
        .parameters = parameters,
        .velocities = velocities,
        .lr = (real)lr,
        .momentum = (real)momentum,
        .keep = (real)(1 - dampening),
        .decay = (real)weight_decay,
        .sign = maximize ? -1 : 1,
        .nesterov = nesterov,
        .first = first,
    };
    update_all(velocities ? momentum_piece : plain_piece, &s, gradients, count, sizes);
}
