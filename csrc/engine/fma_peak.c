/* fma_peak: what the machine can do. Twelve independent chains of fused multiply-adds in registers, nothing else.
 *
 * benchmarks/ runs it in the same seconds as a layer and quotes the layer as a share of it. One chunk does
 * `rounds` x 12 x VLEN multiply-adds; out[chunk] keeps the compiler from dropping the work.
 */
#include "../kernels/kernels.h"
#include "../simd/simd.h"
#include "../threads.h"

typedef struct {
    ptrdiff_t rounds;
    real *out;
} peak_context;

static void peak_chunk(void *context, ptrdiff_t chunk)
{
    const peak_context *c = context;
    vec a = v_set1((real)1.0000001), b = v_set1((real)1e-9);
    /* Twelve different starts, or the compiler would see that the chains are all the same one. */
    vec s0 = b, s1 = s0 + b, s2 = s1 + b, s3 = s2 + b, s4 = s3 + b, s5 = s4 + b;
    vec s6 = s5 + b, s7 = s6 + b, s8 = s7 + b, s9 = s8 + b, s10 = s9 + b, s11 = s10 + b;
    for (ptrdiff_t i = 0; i < c->rounds; i++) {
        s0 = v_fma(s0, a, b), s1 = v_fma(s1, a, b), s2 = v_fma(s2, a, b), s3 = v_fma(s3, a, b);
        s4 = v_fma(s4, a, b), s5 = v_fma(s5, a, b), s6 = v_fma(s6, a, b), s7 = v_fma(s7, a, b);
        s8 = v_fma(s8, a, b), s9 = v_fma(s9, a, b), s10 = v_fma(s10, a, b), s11 = v_fma(s11, a, b);
    }
    vec sum = s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7 + s8 + s9 + s10 + s11;
    c->out[chunk] = sum[0];
}

double FN(fma_peak)(ptrdiff_t rounds, real *out, ptrdiff_t chunks)
{
    peak_context c = {.rounds = rounds, .out = out};
    parallel_for(chunks, peak_chunk, &c);
    return 2.0 * 12 * VLEN * (double)rounds * (double)chunks;
}
