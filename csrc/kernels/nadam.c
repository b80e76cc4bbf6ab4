/* nadam: Adam with Nesterov momentum (Dozat 2016).
 *
 *   g <- dp + weight_decay p                       decoupled: p <- (1 - lr weight_decay) p instead
 *   m <- beta1 m + (1 - beta1) g
 *   v <- beta2 v + (1 - beta2) g^2
 *   d  = sqrt(v / (1 - beta2^step)) + eps
 *   p <- p - lr (1 - mu) / (1 - mu_product) g / d - lr mu' / (1 - mu_product mu') m / d
 *
 * mu = beta1 (1 - 0.96^(step momentum_decay) / 2), mu' the mu of the next step, mu_product the product of every mu so
 * far, this step's included.
 *
 * Array t of every list has sizes[t] values; steps[t] counts from 1. parameters, m and v are changed in place. A
 * gradient is turned around first if maximize.
 */
#include "update.h"

typedef struct {
    real *const *parameters, *const *m, *const *v;
    const double *steps, *mu_products;
    double lr, beta1, beta2, momentum_decay;
    real eps, l2_decay, shrink, sign;
} nadam;

static double momentum_at(const nadam *a, double step)
{
    return a->beta1 * (1 - 0.5 * pow(0.96, step * a->momentum_decay));
}

static void nadam_piece(const void *optimiser, ptrdiff_t t, ptrdiff_t begin, ptrdiff_t end, const real *restrict dp)
{
    const nadam a = *(const nadam *)optimiser;
    real *restrict p = a.parameters[t], *restrict m = a.m[t], *restrict v = a.v[t];
    const double mu = momentum_at(&a, a.steps[t]), mu_next = momentum_at(&a, a.steps[t] + 1);
    const real rate_g = (real)(a.lr * (1 - mu) / (1 - a.mu_products[t]));
    const real rate_m = (real)(a.lr * mu_next / (1 - a.mu_products[t] * mu_next));
    const real new1 = (real)(1 - a.beta1), beta2 = (real)a.beta2, new2 = (real)(1 - a.beta2);
    const real correction = (real)(1 - pow(a.beta2, a.steps[t]));
    for (ptrdiff_t i = begin; i < end; i++) {
        const real g = update_gradient(dp[i - begin], p[i], a.sign, a.l2_decay);
        m[i] += new1 * (g - m[i]);
        v[i] = beta2 * v[i] + new2 * g * g;
        p[i] = a.shrink * p[i] - (rate_g * g + rate_m * m[i]) / (root(v[i] / correction) + a.eps);
    }
}

void FN(nadam)(real *const *parameters, const gradient *gradients, real *const *m, real *const *v, const double *steps,
               const double *mu_products, const ptrdiff_t *sizes, ptrdiff_t count, double lr, double beta1,
               double beta2, double eps, double weight_decay, double momentum_decay, int decoupled, int maximize)
{
    const nadam a = {
        .parameters = parameters,
        .m = m,
        .v = v,
        .steps = steps,
        .mu_products = mu_products,
        .lr = lr,
        .beta1 = beta1,
        .beta2 = beta2,
        .momentum_decay = momentum_decay,
        .eps = (real)eps,
        .l2_decay = decoupled ? 0 : (real)weight_decay,
        .shrink = decoupled ? (real)(1 - lr * weight_decay) : 1,
        .sign = maximize ? -1 : 1,
    };
    update_all(nadam_piece, &a, gradients, count, sizes);
}
