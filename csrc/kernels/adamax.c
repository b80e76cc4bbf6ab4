/* adamax: Adam with the infinity norm (Kingma and Ba 2015, section 7.1).
 *
 *   g <- dp + weight_decay p                       (dp turned around if maximize)
 *   m <- beta1 m + (1 - beta1) g
 *   u <- max(beta2 u, |g| + eps)
 *   p <- p - lr / (1 - beta1^step) m / u
 *
 * Array t of every list has sizes[t] values; steps[t] counts from 1. parameters, m and u are changed in place.
 */
#include "update.h"

typedef struct {
    real *const *parameters, *const *m, *const *u;
    const double *steps;
    double lr, beta1;
    real beta2, eps, decay, sign;
} adamax;

static void adamax_piece(const void *optimiser, ptrdiff_t t, ptrdiff_t begin, ptrdiff_t end, const real *restrict dp)
{
    const adamax a = *(const adamax *)optimiser;
    real *restrict p = a.parameters[t], *restrict m = a.m[t], *restrict u = a.u[t];
    const real fresh = (real)(1 - a.beta1), rate = (real)(a.lr / (1 - pow(a.beta1, a.steps[t])));
    for (ptrdiff_t i = begin; i < end; i++) {
        const real g = update_gradient(dp[i - begin], p[i], a.sign, a.decay);
        m[i] += fresh * (g - m[i]);
        u[i] = larger(a.beta2 * u[i], (g < 0 ? -g : g) + a.eps);
        p[i] -= rate * m[i] / u[i];
    }
}

void FN(adamax)(real *const *parameters, const gradient *gradients, real *const *m, real *const *u, const double *steps,
                const ptrdiff_t *sizes, ptrdiff_t count, double lr, double beta1, double beta2, double eps,
                double weight_decay, int maximize)
{
    const adamax a = {
        .parameters = parameters,
        .m = m,
        .u = u,
        .steps = steps,
        .lr = lr,
        .beta1 = beta1,
        .beta2 = (real)beta2,
        .eps = (real)eps,
        .decay = (real)weight_decay,
        .sign = maximize ? -1 : 1,
    };
    update_all(adamax_piece, &a, gradients, count, sizes);
}
