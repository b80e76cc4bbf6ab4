/* adadelta: ADADELTA (Zeiler 2012).
 *
 *   g <- dp + weight_decay p                       (dp turned around if maximize)
 *   s <- rho s + (1 - rho) g^2
 *   d  = sqrt(u + eps) / sqrt(s + eps) g
 *   u <- rho u + (1 - rho) d^2
 *   p <- p - lr d
 *
 * Array t of every list has sizes[t] values. parameters, s and u are changed in place.
 */
#include "update.h"

typedef struct {
    real *const *parameters, *const *s, *const *u;
    real lr, rho, fresh, eps, decay, sign;
} adadelta;

static void adadelta_piece(const void *optimiser, ptrdiff_t t, ptrdiff_t begin, ptrdiff_t end, const real *restrict dp)
{
    const adadelta a = *(const adadelta *)optimiser;
    real *restrict p = a.parameters[t], *restrict s = a.s[t], *restrict u = a.u[t];
    for (ptrdiff_t i = begin; i < end; i++) {
        const real g = update_gradient(dp[i - begin], p[i], a.sign, a.decay);
        s[i] = a.rho * s[i] + a.fresh * g * g;
        const real d = root(u[i] + a.eps) / root(s[i] + a.eps) * g;
        u[i] = a.rho * u[i] + a.fresh * d * d;
        p[i] -= a.lr * d;
    }
}

void FN(adadelta)(real *const *parameters, const gradient *gradients, real *const *s, real *const *u,
                  const ptrdiff_t *sizes, ptrdiff_t count, double lr, double rho, double eps, double weight_decay,
                  int maximize)
{
    const adadelta a = {
        .parameters = parameters,
        .s = s,
        .u = u,
        .lr = (real)lr,
        .rho = (real)rho,
        .fresh = (real)(1 - rho),
        .eps = (real)eps,
        .decay = (real)weight_decay,
        .sign = maximize ? -1 : 1,
    };
    update_all(adadelta_piece, &a, gradients, count, sizes);
}
