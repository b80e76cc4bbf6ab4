/* adagrad: Adagrad (Duchi, Hazan and Singer 2011).
 *
 *   g <- dp + weight_decay p                       (dp turned around if maximize)
 *   s <- s + g^2
 *   p <- p - lr' g / (sqrt(s) + eps)               lr' = lr / (1 + (step - 1) lr_decay)
 *
 * Array t of every list has sizes[t] values; steps[t] counts from 1. parameters and s are changed in place.
 */
#include "update.h"

typedef struct {
    real *const *parameters, *const *s;
    const double *steps;
    double lr, lr_decay;
    real eps, decay, sign;
} adagrad;

static void adagrad_piece(const void *optimiser, ptrdiff_t t, ptrdiff_t begin, ptrdiff_t end, const real *restrict dp)
{
    const adagrad a = *(const adagrad *)optimiser;
    real *restrict p = a.parameters[t], *restrict s = a.s[t];
    const real rate = (real)(a.lr / (1 + (a.steps[t] - 1) * a.lr_decay));
    for (ptrdiff_t i = begin; i < end; i++) {
        const real g = update_gradient(dp[i - begin], p[i], a.sign, a.decay);
        s[i] += g * g;
        p[i] -= rate * g / (root(s[i]) + a.eps);
    }
}

void FN(adagrad)(real *const *parameters, const gradient *gradients, real *const *s, const double *steps,
                 const ptrdiff_t *sizes, ptrdiff_t count, double lr, double lr_decay, double eps, double weight_decay,
                 int maximize)
{
    const adagrad a = {
        .parameters = parameters,
        .s = s,
        .steps = steps,
        .lr = lr,
        .lr_decay = lr_decay,
        .eps = (real)eps,
        .decay = (real)weight_decay,
        .sign = maximize ? -1 : 1,
    };
    update_all(adagrad_piece, &a, gradients, count, sizes);
}
