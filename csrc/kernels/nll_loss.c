/* nll_loss: the negative log-likelihood of the target class, for inputs that are log-probabilities already.
 *
 *   forward    loss[o,i] = -w[t] x[o,t,i]        t = target[o,i]
 *   backward   dx[o,t,i] = -w[t] dloss[o,i]      and 0 for all other classes
 *
 *   x, dx (outer, C, inner)    target, loss (outer, inner)    w (C), or NULL for ones
 *
 * A target equal to ignore_index gives loss 0 and gradient 0. Targets were checked by target_weight (cross_entropy.c).
 * One loop in one thread: it touches one value of each class vector.
 */
#include <string.h>

#include "kernels.h"

/* loss may be NULL; returns the sum of the losses. */
double FN(nll_loss_forward)(const real *x, const int64_t *target, const real *w, real *loss, ptrdiff_t outer,
                            ptrdiff_t C, ptrdiff_t inner, int64_t ignore_index)
{
    double total = 0;
    for (ptrdiff_t o = 0; o < outer; o++) {
        for (ptrdiff_t i = 0; i < inner; i++) {
            int64_t t = target[o * inner + i];
            real value = 0;
            if (t != ignore_index) {
                value = -x[(o * C + t) * inner + i] * (w == NULL ? 1 : w[t]);
            }
            total += value;
            if (loss != NULL) {
                loss[o * inner + i] = value;
            }
        }
    }
    return total;
}

/* One dy for all losses if dy_step is 0, else 1 for one each; all are multiplied by scale. */
void FN(nll_loss_backward)(const real *dy, ptrdiff_t dy_step, const int64_t *target, const real *w, real *dx,
                           ptrdiff_t outer, ptrdiff_t C, ptrdiff_t inner, int64_t ignore_index, double scale)
{
    memset(dx, 0, (size_t)(outer * C * inner) * sizeof *dx);
    for (ptrdiff_t o = 0; o < outer; o++) {
        for (ptrdiff_t i = 0; i < inner; i++) {
            int64_t t = target[o * inner + i];
            if (t != ignore_index) {
                real weight = w == NULL ? 1 : w[t];
                dx[(o * C + t) * inner + i] = -weight * dy[(o * inner + i) * dy_step] * (real)scale;
            }
        }
    }
}
