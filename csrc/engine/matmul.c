/* matmul, the fast reading: one gemm() for each item of the batch, or, where the items are many and small, one item
 * a chunk (gemm() within a chunk runs in that thread). */
#include "../kernels/kernels.h"
#include "../threads.h"
#include "gemm.h"

enum { SMALL = 1 << 20 }; /* multiply-adds: below, a product is not worth more than one thread */

typedef struct {
    const real *a, *b;
    real *c;
    const ptrdiff_t *a_stride, *b_stride;
    ptrdiff_t S, M, N, K, chunks;
} matmul_context;

static void items_chunk(void *context, ptrdiff_t chunk)
{
    const matmul_context *p = context;
    ptrdiff_t begin, end;
    chunk_bounds(p->S, p->chunks, chunk, &begin, &end);
    for (ptrdiff_t s = begin; s < end; s++) {
        matrix a = {p->a + s * p->a_stride[0], p->a_stride[1], p->a_stride[2]};
        matrix b = {p->b + s * p->b_stride[0], p->b_stride[1], p->b_stride[2]};
        FN(gemm)(p->M, p->N, p->K, a, b, NULL, p->c + s * p->M * p->N, p->N);
    }
}

void FN(matmul)(const real *a, const real *b, real *c, const ptrdiff_t a_stride[3], const ptrdiff_t b_stride[3],
                ptrdiff_t S, ptrdiff_t M, ptrdiff_t N, ptrdiff_t K)
{
    matmul_context p = {a, b, c, a_stride, b_stride, S, M, N, K, 1};
    double one = (double)M * N * K;
    if (one < SMALL) {
        p.chunks = chunks_of(S, SMALL / ((ptrdiff_t)one + 1) + 1);
        parallel_for(p.chunks, items_chunk, &p);
    } else {
        items_chunk(&p, 0);
    }
}
