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

/* The two of them for 16 rows or 16 pixels at once, where vectors have 16 lanes (WIDE_QUADS): a quarter of the stores.
 */
#if defined(__AVX512F__) && (defined(__clang__) || __GNUC__ >= 12)
#define WIDE_QUADS (sizeof(real) == 4)

typedef real quads __attribute__((vector_size(16 * sizeof(real))));
typedef real quads_unaligned __attribute__((vector_size(16 * sizeof(real)), aligned(sizeof(real)), may_alias));

/* Rows 0, 4, 8 and 12 from p on, side by side. */
static inline quads every_fourth_row(const real *p, ptrdiff_t row)
{
    quad a = QUAD_AT(p), b = QUAD_AT(p + 4 * row), c = QUAD_AT(p + 8 * row), d = QUAD_AT(p + 12 * row);
    return __builtin_shufflevector(__builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7),
                                   __builtin_shufflevector(c, d, 0, 1, 2, 3, 4, 5, 6, 7), 0, 1, 2, 3, 4, 5, 6, 7, 8, 9,
                                   10, 11, 12, 13, 14, 15);
}

/* QUAD in each of the four quads. */
#define QUADS(a, b, i, j, k, l)                                                                                   \
    __builtin_shufflevector(a, b, QUADS_AT(i, 0), QUADS_AT(j, 0), QUADS_AT(k, 0), QUADS_AT(l, 0), QUADS_AT(i, 4), \
                            QUADS_AT(j, 4), QUADS_AT(k, 4), QUADS_AT(l, 4), QUADS_AT(i, 8), QUADS_AT(j, 8),       \
                            QUADS_AT(k, 8), QUADS_AT(l, 8), QUADS_AT(i, 12), QUADS_AT(j, 12), QUADS_AT(k, 12),    \
                            QUADS_AT(l, 12))
#define QUADS_AT(i, first) ((i) < 4 ? (i) + (first) : (i) + 12 + (first))

static inline void transpose_16x4(const real *from, ptrdiff_t row, real *to, ptrdiff_t width)
{
    quads a = every_fourth_row(from, row), b = every_fourth_row(from + row, row);
    quads c = every_fourth_row(from + 2 * row, row), d = every_fourth_row(from + 3 * row, row);
    quads low_ab = QUADS(a, b, 0, 4, 1, 5), high_ab = QUADS(a, b, 2, 6, 3, 7);
    quads low_cd = QUADS(c, d, 0, 4, 1, 5), high_cd = QUADS(c, d, 2, 6, 3, 7);
    *(quads_unaligned *)to = QUADS(low_ab, low_cd, 0, 1, 4, 5);
    *(quads_unaligned *)(to + width) = QUADS(low_ab, low_cd, 2, 3, 6, 7);
    *(quads_unaligned *)(to + 2 * width) = QUADS(high_ab, high_cd, 0, 1, 4, 5);
    *(quads_unaligned *)(to + 3 * width) = QUADS(high_ab, high_cd, 2, 3, 6, 7);
}

/* Quads i and j of a, then k and l of b. */
#define CHOOSE(a, b, i, j, k, l)                                                                   \
    __builtin_shufflevector(a, b, FOUR_FROM(4 * (i)), FOUR_FROM(4 * (j)), FOUR_FROM(16 + 4 * (k)), \
                            FOUR_FROM(16 + 4 * (l)))
#define FOUR_FROM(i) (i), (i) + 1, (i) + 2, (i) + 3

/* Four rows of 16 values; c[k] gets columns k, 4 + k, 8 + k and 12 + k of them, a quad each. */
static inline void turn_four_rows(const real *p, ptrdiff_t row, quads c[4])
{
    quads r0 = *(const quads_unaligned *)p, r1 = *(const quads_unaligned *)(p + row);
    quads r2 = *(const quads_unaligned *)(p + 2 * row), r3 = *(const quads_unaligned *)(p + 3 * row);
    quads low_01 = QUADS(r0, r1, 0, 4, 1, 5), high_01 = QUADS(r0, r1, 2, 6, 3, 7);
    quads low_23 = QUADS(r2, r3, 0, 4, 1, 5), high_23 = QUADS(r2, r3, 2, 6, 3, 7);
    c[0] = QUADS(low_01, low_23, 0, 1, 4, 5);
    c[1] = QUADS(low_01, low_23, 2, 3, 6, 7);
    c[2] = QUADS(high_01, high_23, 0, 1, 4, 5);
    c[3] = QUADS(high_01, high_23, 2, 3, 6, 7);
}

/* Columns k, 4 + k, 8 + k and 12 + k of 16 rows, from the quads of four rows each. */
static inline void put_four_columns(quads a, quads b, quads c, quads d, real *to, ptrdiff_t width)
{
    quads even_ab = CHOOSE(a, b, 0, 2, 0, 2), even_cd = CHOOSE(c, d, 0, 2, 0, 2);
    quads odd_ab = CHOOSE(a, b, 1, 3, 1, 3), odd_cd = CHOOSE(c, d, 1, 3, 1, 3);
    *(quads_unaligned *)to = CHOOSE(even_ab, even_cd, 0, 2, 0, 2);
    *(quads_unaligned *)(to + 4 * width) = CHOOSE(odd_ab, odd_cd, 0, 2, 0, 2);
    *(quads_unaligned *)(to + 8 * width) = CHOOSE(even_ab, even_cd, 1, 3, 1, 3);
    *(quads_unaligned *)(to + 12 * width) = CHOOSE(odd_ab, odd_cd, 1, 3, 1, 3);
}

/* Whole lines of the cache, each read once: rows a power of two apart evict each other, but no line is needed again. */
static inline void transpose_16x16(const real *from, ptrdiff_t row, real *to, ptrdiff_t width)
{
    quads a[4], b[4], c[4], d[4];
    turn_four_rows(from, row, a);
    turn_four_rows(from + 4 * row, row, b);
    turn_four_rows(from + 8 * row, row, c);
    turn_four_rows(from + 12 * row, row, d);
    put_four_columns(a[0], b[0], c[0], d[0], to, width);
    put_four_columns(a[1], b[1], c[1], d[1], to + width, width);
    put_four_columns(a[2], b[2], c[2], d[2], to + 2 * width, width);
    put_four_columns(a[3], b[3], c[3], d[3], to + 3 * width, width);
}

static inline void interleave_3x16(const real *r0, const real *r1, const real *r2, real *to)
{
    quads a = *(const quads_unaligned *)r0, b = *(const quads_unaligned *)r1, c = *(const quads_unaligned *)r2;
    quads low = __builtin_shufflevector(a, b, 0, 16, -1, 1, 17, -1, 2, 18, -1, 3, 19, -1, 4, 20, -1, 5);
    quads middle = __builtin_shufflevector(b, c, 5, 21, -1, 6, 22, -1, 7, 23, -1, 8, 24, -1, 9, 25, -1, 10);
    quads high = __builtin_shufflevector(c, a, 10, 27, -1, 11, 28, -1, 12, 29, -1, 13, 30, -1, 14, 31, -1, 15);
    *(quads_unaligned *)to = __builtin_shufflevector(low, c, 0, 1, 16, 3, 4, 17, 6, 7, 18, 9, 10, 19, 12, 13, 20, 15);
    *(quads_unaligned *)(to + 16) =
        __builtin_shufflevector(middle, a, 0, 1, 22, 3, 4, 23, 6, 7, 24, 9, 10, 25, 12, 13, 26, 15);
    *(quads_unaligned *)(to + 32) =
        __builtin_shufflevector(high, b, 0, 1, 27, 3, 4, 28, 6, 7, 29, 9, 10, 30, 12, 13, 31, 15);
}
#else
#define WIDE_QUADS 0
static inline void transpose_16x4(const real *from, ptrdiff_t row, real *to, ptrdiff_t width)
{
    for (int i = 0; i < 16; i += 4) {
        transpose_4x4(from + i * row, row, to + i, width);
    }
}

static inline void transpose_16x16(const real *from, ptrdiff_t row, real *to, ptrdiff_t width)
{
    for (int k = 0; k < 16; k += 4) {
        transpose_16x4(from + k, row, to + k * width, width);
    }
}

static inline void interleave_3x16(const real *r0, const real *r1, const real *r2, real *to)
{
    for (int k = 0; k < 16; k += 4) {
        interleave_3x4(r0 + k, r1 + k, r2 + k, to + 3 * k);
    }
}
#endif

/* Whether to take 16 rows: those a multiple of 4 KiB apart would evict each other from the first cache. */
static inline int is_wide(ptrdiff_t row) { return WIDE_QUADS && row * (ptrdiff_t)sizeof(real) % 4096 != 0; }

#endif
