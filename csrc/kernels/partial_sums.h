/* partial_sums.h: what chunks have summed up apart becomes one sum, in the order of the chunks: `parts` values that lie
 * `step` apart are added to `sum`. The bits then follow from the number of chunks, whoever ran them. */
#ifndef CNN_PARTIAL_SUMS_H
#define CNN_PARTIAL_SUMS_H

#include "real.h"

static inline double plus_parts(double sum, const double *part, ptrdiff_t parts, ptrdiff_t step)
{
    for (ptrdiff_t i = 0; i < parts; i++) {
        sum += part[i * step];
    }
    return sum;
}

static inline real plus_real_parts(real sum, const real *part, ptrdiff_t parts, ptrdiff_t step)
{
    for (ptrdiff_t i = 0; i < parts; i++) {
        sum += part[i * step];
    }
    return sum;
}

#endif
