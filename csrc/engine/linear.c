/* linear, the fast reading: three products by gemm(). The formulas stand in csrc/kernels/linear.c.
 *
 *   y  = x w' + b     x (N,C) as it lies, w (OC,C) transposed
 *   dx = dy w         both as they lie
 *   dw = dy' x        dy (N,OC) transposed
 */
#include "../kernels/kernels.h"
#include "../memory.h"
#include "../threads.h"
#include "gemm.h"

void FN(linear_forward)(const real *x, const real *w, const real *b, real *y, ptrdiff_t N, ptrdiff_t C, ptrdiff_t OC)
{
    FN(gemm)(N, OC, C, (matrix){x, C, 1}, (matrix){w, 1, C}, b, y, OC);
}

void FN(linear_backward_input)(const real *dy, const real *w, real *dx, ptrdiff_t N, ptrdiff_t C, ptrdiff_t OC)
{
    FN(gemm)(N, C, OC, (matrix){dy, OC, 1}, (matrix){w, C, 1}, NULL, dx, C);
}

enum { BIAS_ROWS = 256 }; /* rows of dy that one chunk adds up */

typedef struct {
    const real *dy;
    real *sums; /* one row of OC sums a chunk */
    ptrdiff_t N, OC, chunks;
} bias_context;

static void bias_chunk(void *context, ptrdiff_t chunk)
{
    const bias_context *p = context;
    ptrdiff_t begin, end;
    chunk_bounds(p->N, p->chunks, chunk, &begin, &end);
    real *sum = p->sums + chunk * p->OC;
    for (ptrdiff_t o = 0; o < p->OC; o++) {
        sum[o] = 0;
    }
    for (ptrdiff_t n = begin; n < end; n++) {
        for (ptrdiff_t o = 0; o < p->OC; o++) {
            sum[o] += p->dy[n * p->OC + o];
        }
    }
}

static void backward_bias(const real *dy, real *db, ptrdiff_t N, ptrdiff_t OC)
{
    bias_context p = {.dy = dy, .sums = db, .N = N, .OC = OC, .chunks = chunks_of(N, BIAS_ROWS)};
    if (p.chunks > 1 && !(p.sums = memory_get(p.chunks * OC * sizeof(real)))) {
        kernel_abort(KERNEL_NO_MEMORY);
        return;
    }
    parallel_for(p.chunks, bias_chunk, &p);
    if (p.chunks > 1) {
        bias_context total = {.dy = p.sums, .sums = db, .N = p.chunks, .OC = OC, .chunks = 1};
        bias_chunk(&total, 0);
        memory_put(p.sums);
    }
}

void FN(linear_backward_weight)(const real *x, const real *dy, real *dw, real *db, ptrdiff_t N, ptrdiff_t C,
                                ptrdiff_t OC)
{
    if (dw != NULL) {
        FN(gemm)(OC, C, N, (matrix){dy, 1, OC}, (matrix){x, C, 1}, NULL, dw, C);
    }
    if (db != NULL) {
        backward_bias(dy, db, N, OC);
    }
}
