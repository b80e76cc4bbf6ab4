/* pack.h: copy a slice of a matrix into the order in which tile() reads it.
 *
 *      source: rows x K, any strides            slice: for each k, the rows side by side, `width` of them
 *
 *        a b c d                                    a e i 0
 *        e f g h     rows = 3, width = 4            b f j 0
 *        i j k l                                    c g k 0
 *                                                   d h l 0
 *
 * tile() then walks through memory one step at a time, whatever the orientation of the matrix was: A B, A'B and AB'
 * differ only in the strides given here. Rows beyond the matrix are zeros.
 */
#ifndef CNN_PACK_H
#define CNN_PACK_H

#include <string.h>

#include "../simd/quad.h"
#include "../simd/simd.h"

enum { LINE = 64 / sizeof(real) }; /* values in a line of the cache */

/* Ask for memory that is needed soon, but not at once: into the second-level cache. Any address will do. */
#define FETCH(p) __builtin_prefetch(p, 0, 2)

/* to[k * width + i] = from[i * row + k]. On the way, ask for what lies `ahead` of each value: it is packed next. */
static inline void pack_transposed(ptrdiff_t rows, ptrdiff_t K, const real *from, ptrdiff_t row, real *to,
                                   ptrdiff_t width, ptrdiff_t ahead)
{
    if (rows < 4 || K < 4) {
        for (ptrdiff_t i = 0; i < rows; i++) {
            for (ptrdiff_t k = 0; k < K; k++) {
                to[k * width + i] = from[i * row + k];
            }
        }
        return;
    }
    /* The last group of four ends at the last row, and overlaps the one before it where rows is not a multiple of 4;
     * the same along k. Four rows at a time, so that rows a power of two apart do not evict each other. */
    ptrdiff_t i = 0;
    for (; WIDE_QUADS && i + 16 <= rows; i += 16) {
        const real *block = from + i * row;
        ptrdiff_t k = 0;
        for (; k + 16 <= K; k += 16) {
            for (ptrdiff_t r = 0; ahead != 0 && r < 16; r++) {
                FETCH(block + k + ahead + r * row);
            }
            transpose_16x16(block + k, row, to + i + k * width, width);
        }
        for (; k < K; k += 4) {
            ptrdiff_t k4 = k + 4 <= K ? k : K - 4;
            transpose_16x4(block + k4, row, to + i + k4 * width, width);
        }
    }
    for (; i < rows; i += 4) {
        const real *four = from + (i + 4 <= rows ? i : rows - 4) * row;
        real *column = to + (i + 4 <= rows ? i : rows - 4);
        for (ptrdiff_t k = 0; k < K; k += 4) {
            if (k % LINE == 0) {
                FETCH(four + k + ahead);
                FETCH(four + k + ahead + row);
                FETCH(four + k + ahead + 2 * row);
                FETCH(four + k + ahead + 3 * row);
            }
            ptrdiff_t k4 = k + 4 <= K ? k : K - 4;
            transpose_4x4(four + k4, row, column + k4 * width, width);
        }
    }
}

static inline void pack_strided(ptrdiff_t rows, ptrdiff_t K, const real *from, ptrdiff_t row, ptrdiff_t col, real *to,
                                ptrdiff_t width)
{
    for (ptrdiff_t k = 0; k < K; k++) {
        for (ptrdiff_t i = 0; i < rows; i++) {
            to[k * width + i] = from[i * row + k * col];
        }
    }
}

/* n values that lie side by side; n is often two vectors. */
static inline void copy_values(const real *from, real *to, ptrdiff_t n)
{
    if (n == 2 * VLEN) {
        v_store(to, v_load(from));
        v_store(to + VLEN, v_load(from + VLEN));
    } else {
        memcpy(to, from, n * sizeof(real));
    }
}

#endif
