/* adam: Adam (Kingma and Ba 2015), AMSGrad (Reddi et al. 2018) and AdamW (Loshchilov and Hutter 2019).
 *
 *   g <- dp + weight_decay p                       decoupled: p <- (1 - lr weight_decay) p instead
 *   m <- beta1 m + (1 - beta1) g
 *   v <- beta2 v + (1 - beta2) g^2                 amsgrad: w <- max(w, v), and w for v below
 *   p <- p - lr m' / (sqrt(v') + eps)              m' = m / (1 - beta1^step), v' = v / (1 - beta2^step)
 *
 * Array t of every list has sizes[t] values; steps[t] counts from 1. parameters, m, v and w are changed in place. w is
 * NULL without amsgrad. A gradient is turned around first if maximize.
 */
#include "update.h"

typedef struct {
    real *const *parameters, *const *m, *const *v, *const *w;
    const double *steps;
    double lr, beta1, beta2;
    real eps, l2_decay, shrink, sign;
} adam;

/* `w` is the constant NULL in the call without amsgrad, so that the compiler makes a loop of its own of it. A test in
 * the loop would become stores whose mask is empty, and such a store to address 0 takes the processor hundreds of
 * clocks. */
static inline void values(const adam *a, ptrdiff_t t, ptrdiff_t begin, ptrdiff_t end, const real *restrict dp,
                          real *restrict w)
{
    real *restrict p = a->parameters[t], *restrict m = a->m[t], *restrict v = a->v[t];
    const real sign = a->sign, l2_decay = a->l2_decay, shrink = a->shrink, eps = a->eps;
    const real new1 = (real)(1 - a->beta1), beta2 = (real)a->beta2, new2 = (real)(1 - a->beta2);
    const real rate = (real)(a->lr / (1 - pow(a->beta1, a->steps[t])));
    const real correction = (real)sqrt(1 - pow(a->beta2, a->steps[t]));
    for (ptrdiff_t i = begin; i < end; i++) {
        const real g = update_gradient(dp[i - begin], p[i], sign, l2_decay);
        m[i] += new1 * (g - m[i]);
        v[i] = beta2 * v[i] + new2 * g * g;
        real second = v[i];
        if (w) {
            second = w[i] = larger(w[i], second);
        }
        p[i] = shrink * p[i] - rate * m[i] / (root(second) / correction + eps);
    }
}

static void adam_piece(const void *optimiser, ptrdiff_t t, ptrdiff_t begin, ptrdiff_t end, const real *restrict dp)
{
    const adam *a = optimiser;
    if (a->w) {
        values(a, t, begin, end, dp, a->w[t]);
    } else {
        values(a, t, begin, end, dp, NULL);
    }
}

void FN(adam)(real *const *parameters, const gradient *gradients, real *const *m, real *const *v, real *const *w,
              const double *steps, const ptrdiff_t *sizes, ptrdiff_t count, double lr, double beta1, double beta2,
              double eps, double weight_decay, int decoupled, int maximize)
{
    const adam a = {
        .parameters = parameters,
        .m = m,
        .v = v,
        .w = w,
        .steps = steps,
        .lr = lr,
        .beta1 = beta1,
        .beta2 = beta2,
        .eps = (real)eps,
        .l2_decay = decoupled ? 0 : (real)weight_decay,
        .shrink = decoupled ? (real)(1 - lr * weight_decay) : 1,
        .sign = maximize ? -1 : 1,
    };
    update_all(adam_piece, &a, gradients, count, sizes);
}
