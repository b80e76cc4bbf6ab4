/* gradient.h: the gradient of a parameter, as the optimisers take it: an array of its shape, or two small factors.
 *
 * The gradient of a linear layer's weight is a sum of as many outer products as the batch has samples,
 *
 *     dw[o,i] = sum over n of dy[n,o] x[n,i]        dy (N,OC)    x (N,C)    N > 0
 *
 * For a few samples and a large weight it takes less time to form it where it is used than to write it to memory and
 * to read it again.
 */
#ifndef CNN_GRADIENT_H
#define CNN_GRADIENT_H

#include "real.h"

typedef struct gradient {
    const real *values; /* NULL: the factors below */
    const real *dy, *x;
    ptrdiff_t N, OC, C;
} gradient;

#endif
