/* matmul: products of matrices, one for each item of a batch.
 *
 *   c[s,m,n] = sum over k of a[s,m,k] b[s,k,n]
 *
 *   a (S,M,K), b (S,K,N): any strides, counted in elements    c (S,M,N): contiguous
 *
 * Backward is two more products: da = dc b', db = a' dc, where a transpose is a swap of two strides. The engine's
 * reading of the same sum is csrc/engine/matmul.c.
 */
#include "../threads.h"
#include "kernels.h"

enum { GRAIN = 1 << 18 }; /* multiply-adds in a chunk */

typedef struct {
    const real *a, *b;
    real *c;
    const ptrdiff_t *a_stride, *b_stride;
    ptrdiff_t S, M, N, K, chunks;
} matmul_context;

static void rows_chunk(void *context, ptrdiff_t chunk)
{
    const matmul_context *p = context;
    ptrdiff_t begin, end;
    chunk_bounds(p->S * p->M, p->chunks, chunk, &begin, &end);
    for (ptrdiff_t row = begin; row < end; row++) {
        ptrdiff_t s = row / p->M, m = row % p->M;
        const real *a = p->a + s * p->a_stride[0] + m * p->a_stride[1];
        const real *b = p->b + s * p->b_stride[0];
        for (ptrdiff_t n = 0; n < p->N; n++) {
            real sum = 0;
            for (ptrdiff_t k = 0; k < p->K; k++) {
                sum += a[k * p->a_stride[2]] * b[k * p->b_stride[1] + n * p->b_stride[2]];
            }
            p->c[row * p->N + n] = sum;
        }
    }
}

void FN(plain_matmul)(const real *a, const real *b, real *c, const ptrdiff_t a_stride[3], const ptrdiff_t b_stride[3],
                      ptrdiff_t S, ptrdiff_t M, ptrdiff_t N, ptrdiff_t K)
{
    matmul_context p = {a, b, c, a_stride, b_stride, S, M, N, K, chunks_of(S * M, GRAIN / (N * K + 1) + 1)};
    parallel_for(p.chunks, rows_chunk, &p);
}
