/* quad.h: vectors of four values, whatever the instruction set, and the 4 x 4 matrix turned in registers: eight
 * shuffles instead of sixteen loads and sixteen stores.
 */
#ifndef CNN_QUAD_H
#define CNN_QUAD_H

#include "../kernels/real.h"

typedef real quad __attribute__((vector_size(4 * sizeof(real))));
typedef real quad_unaligned __attribute__((vector_size(4 * sizeof(real)), aligned(sizeof(real)), may_alias));

#if defined(__clang__) || __GNUC__ >= 12
#define QUAD(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#else
typedef __typeof__((quad){0} == (quad){0}) quad_index;
#define QUAD(a, b, i, j, k, l) __builtin_shuffle(a, b, (quad_index){i, j, k, l})
#endif

#define QUAD_AT(p) (*(quad_unaligned *)(p))

/* to[k * width + i] = ri[k]: four rows of four values, wherever they lie. */
static inline void transpose_rows(const real *r0, const real *r1, const real *r2, const real *r3, real *to,
                                  ptrdiff_t width)
{
    quad a = QUAD_AT(r0), b = QUAD_AT(r1), c = QUAD_AT(r2), d = QUAD_AT(r3);
    quad low_ab = QUAD(a, b, 0, 4, 1, 5), high_ab = QUAD(a, b, 2, 6, 3, 7);
    quad low_cd = QUAD(c, d, 0, 4, 1, 5), high_cd = QUAD(c, d, 2, 6, 3, 7);
    QUAD_AT(to) = QUAD(low_ab, low_cd, 0, 1, 4, 5);
    QUAD_AT(to + width) = QUAD(low_ab, low_cd, 2, 3, 6, 7);
    QUAD_AT(to + 2 * width) = QUAD(high_ab, high_cd, 0, 1, 4, 5);
    QUAD_AT(to + 3 * width) = QUAD(high_ab, high_cd, 2, 3, 6, 7);
}

/* to[k * width + i] = from[i * row + k] for 4 rows i and 4 columns k. */
static inline void transpose_4x4(const real *from, ptrdiff_t row, real *to, ptrdiff_t width)
{
    transpose_rows(from, from + row, from + 2 * row, from + 3 * row, to, width);
}

/* to[3*k + i] = ri[k]: four pixels of three channels, without the fourth row of zeros. */
static inline void interleave_3x4(const real *r0, const real *r1, const real *r2, real *to)
{
    quad a = QUAD_AT(r0), b = QUAD_AT(r1), c = QUAD_AT(r2);
    quad low = QUAD(a, b, 0, 4, 1, 5), high = QUAD(a, b, 2, 6, 3, 7), middle = QUAD(low, c, 3, 5, 3, 5);
    QUAD_AT(to) = QUAD(low, c, 0, 1, 4, 2);
    QUAD_AT(to + 4) = QUAD(middle, high, 0, 1, 4, 5);
    QUAD_AT(to + 8) = QUAD(high, c, 6, 2, 3, 7);
}

#endif
