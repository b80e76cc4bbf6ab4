/* gemm.h: products of matrices. */
#ifndef CNN_GEMM_H
#define CNN_GEMM_H

#include "../kernels/real.h"

/* Element (i, j) of a matrix is p[i * row + j * col]. Swap row and col, and it is the transpose. */
typedef struct {
    const real *p;
    ptrdiff_t row, col;
} matrix;

/* c = a b (+ bias)      a (M,K)   b (K,N)   bias (N) or NULL   c (M,N), row i at c + i * c_row
 *
 * Threaded. The bits of c depend on the shapes and the instruction set, not on the number of threads. Uses this
 * thread's scratch(): do not hold scratch of your own across the call. K = 0 gives the bias, or zeros. */
void FN(gemm)(ptrdiff_t M, ptrdiff_t N, ptrdiff_t K, matrix a, matrix b, const real *bias, real *c, ptrdiff_t c_row);

#endif
