/* rmsprop: RMSprop (Hinton, lecture 6e, 2012), centered after Graves (2013).
 *
 *   g <- dp + weight_decay p                       (dp turned around if maximize)
 *   s <- alpha s + (1 - alpha) g^2
 *   d  = sqrt(s) + eps                             centered: c <- alpha c + (1 - alpha) g, d = sqrt(s - c^2) + eps
 *   p <- p - lr g / d                              momentum: v <- momentum v + g / d, p <- p - lr v
 *
 * Array t of every list has sizes[t] values. parameters, s, c and v are changed in place; c is NULL unless centered, v
 * is NULL without momentum.
 */
#include "update.h"

typedef struct {
    real *const *parameters, *const *s, *const *c, *const *v;
    real lr, alpha, fresh, eps, momentum, decay, sign;
} rmsprop;

/* c and v are NULL in some calls, and the compiler makes a loop of its own of each: see adam.c. */
static inline void values(const rmsprop *r, ptrdiff_t t, ptrdiff_t begin, ptrdiff_t end, const real *restrict dp,
                          real *restrict c, real *restrict v)
{
    real *restrict p = r->parameters[t], *restrict s = r->s[t];
    const real lr = r->lr, alpha = r->alpha, fresh = r->fresh, eps = r->eps, momentum = r->momentum;
    const real sign = r->sign, decay = r->decay;
    for (ptrdiff_t i = begin; i < end; i++) {
        const real g = update_gradient(dp[i - begin], p[i], sign, decay);
        s[i] = alpha * s[i] + fresh * g * g;
        real variance = s[i];
        if (c) {
            c[i] += fresh * (g - c[i]);
            variance -= c[i] * c[i];
        }
        real step = g / (root(variance) + eps);
        if (v) {
            step = v[i] = momentum * v[i] + step;
        }
        p[i] -= lr * step;
    }
}

static void rmsprop_piece(const void *optimiser, ptrdiff_t t, ptrdiff_t begin, ptrdiff_t end, const real *restrict dp)
{
    const rmsprop *r = optimiser;
    if (r->c && r->v) {
        values(r, t, begin, end, dp, r->c[t], r->v[t]);
    } else if (r->c) {
        values(r, t, begin, end, dp, r->c[t], NULL);
    } else if (r->v) {
        values(r, t, begin, end, dp, NULL, r->v[t]);
    } else {
        values(r, t, begin, end, dp, NULL, NULL);
    }
}

void FN(rmsprop)(real *const *parameters, const gradient *gradients, real *const *s, real *const *c, real *const *v,
                 const ptrdiff_t *sizes, ptrdiff_t count, double lr, double alpha, double eps, double weight_decay,
                 double momentum, int maximize)
{
    const rmsprop r = {
        .parameters = parameters,
        .s = s,
        .c = c,
        .v = v,
        .lr = (real)lr,
        .alpha = (real)alpha,
        .fresh = (real)(1 - alpha),
        .eps = (real)eps,
        .momentum = (real)momentum,
        .decay = (real)weight_decay,
        .sign = maximize ? -1 : 1,
    };
    update_all(rmsprop_piece, &r, gradients, count, sizes);
}
