/* tile.h: the inner loop of everything dense. A few rows times two vectors of C are kept in registers while k runs.
 *
 *              b: k x 2 vectors              C[i][:] (+)= sum over k of a[i][k] * b[k][:]
 *               [--v--][--v--]
 *    a: rows  [ c0.0 ][ c0.1 ]              per k: 2 loads of b, one broadcast of a per row, 2 multiply-adds per row
 *       x k   [ c1.0 ][ c1.1 ]              rows = TILE_ROWS fills the registers: 24 sums + 2 + 1 of AVX-512's 32,
 *             [  ..  ][  ..  ]                                                     12 sums + 2 + 1 of AVX2's 16
 *
 * Each sum is a variable with a name, not an element of an array: GCC keeps an array of vectors in memory, and that is
 * two to four times slower. `rows`, `cols` and `packed` are constants where tile() is inlined, so every `if` on them
 * vanishes, and one text gives all sizes of tile.
 */
#ifndef CNN_TILE_H
#define CNN_TILE_H

#include "../simd/simd.h"

#if VBYTES == 64
#define TILE_ROWS 12
#elif VBYTES == 32
#define TILE_ROWS 6
#elif defined(__aarch64__)
#define TILE_ROWS 12
#else
#define TILE_ROWS 4
#endif
#define TILE_COLS (2 * VLEN)

/* DO(rows) for every size of tile: it makes one small function of each. */
#if TILE_ROWS == 12
#define EACH_TILE_SIZE(DO) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) DO(12)
#elif TILE_ROWS == 6
#define EACH_TILE_SIZE(DO) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6)
#else
#define EACH_TILE_SIZE(DO) DO(1) DO(2) DO(3) DO(4)
#endif

/* What happens to a finished tile on its way to memory: C = tile [+ bias] [+ C]. */
typedef struct {
    const real *bias; /* one value per column of the tile, or NULL */
    int accumulate;   /* add to what C holds */
} tile_store;

/* One row of a tile, `width` columns of it. */
ALWAYS_INLINE void tile_put(const int cols, vec s0, vec s1, real *c, ptrdiff_t width, const tile_store *how)
{
    if (width == cols * VLEN) {
        if (how->bias) {
            s0 += v_load(how->bias);
            if (cols > 1)
                s1 += v_load(how->bias + VLEN);
        }
        if (how->accumulate) {
            s0 += v_load(c);
            if (cols > 1)
                s1 += v_load(c + VLEN);
        }
        v_store(c, s0);
        if (cols > 1)
            v_store(c + VLEN, s1);
        return;
    }
    real row[2 * VBYTES / sizeof(real)];
    v_store(row, s0);
    v_store(row + VLEN, s1);
    for (ptrdiff_t j = 0; j < width; j++) {
        real sum = row[j];
        if (how->bias)
            sum += how->bias[j];
        if (how->accumulate)
            sum += c[j];
        c[j] = sum;
    }
}

/* a[i * a_row + k * a_k], b[k * b_k + j], c[i * c_row + j]. */
ALWAYS_INLINE void tile(const int rows, const int cols, ptrdiff_t K, const real *a, ptrdiff_t a_row, ptrdiff_t a_k,
                        const real *b, ptrdiff_t b_k, real *c, ptrdiff_t c_row, ptrdiff_t width, const tile_store *how)
{
#define EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)
#define DECLARE(i) vec s##i = v_zero(), t##i = v_zero();
#define MULTIPLY_ADD(i)                 \
    if (rows > i) {                     \
        vec ai = v_set1(a##i[0]);       \
        if (cols > 1)                   \
            V_PIN(ai);                  \
        s##i = v_fma(ai, b0, s##i);     \
        if (cols > 1)                   \
            t##i = v_fma(ai, b1, t##i); \
    }
#define PUT(i)    \
    if (rows > i) \
        tile_put(cols, s##i, t##i, c + i * c_row, width, how);

    EACH_ROW(DECLARE)
    const real *base[4] = {a, a + 3 * a_row, a + 6 * a_row, a + 9 * a_row};
#define a0 base[0]
#define a1 (base[0] + a_row)
#define a2 (base[0] + 2 * a_row)
#define a3 base[1]
#define a4 (base[1] + a_row)
#define a5 (base[1] + 2 * a_row)
#define a6 base[2]
#define a7 (base[2] + a_row)
#define a8 (base[2] + 2 * a_row)
#define a9 base[3]
#define a10 (base[3] + a_row)
#define a11 (base[3] + 2 * a_row)
    for (ptrdiff_t k = 0; k < K; k++) {
        vec b0 = v_load(b), b1 = cols > 1 ? v_load(b + VLEN) : v_zero();
        EACH_ROW(MULTIPLY_ADD)
        b += b_k;
        base[0] += a_k;
        base[1] += a_k;
        base[2] += a_k;
        base[3] += a_k;
    }
    EACH_ROW(PUT)
}

#endif
