/* linear: every output is a weighted sum of all inputs, plus a bias.
 *
 *   forward    y[n,o]  = b[o] + sum over i of w[o,i] x[n,i]          y  = x w' + b
 *   backward   dx[n,i] = sum over o of dy[n,o] w[o,i]                dx = dy w
 *              dw[o,i] = sum over n of dy[n,o] x[n,i]                dw = dy' x
 *              db[o]   = sum over n of dy[n,o]
 *
 *   x, dx (N,C)    w, dw (OC,C)    b, db (OC)    y, dy (N,OC)        b, dw and db may be NULL
 *
 * This is the layer as it is written on paper. csrc/engine/linear.c computes the same three products several times
 * faster; CNN_ISA=plain runs this one, and the tests hold the two against each other.
 */
#include "../threads.h"
#include "kernels.h"

typedef struct {
    const real *x, *w, *b, *dy;
    real *y, *dx, *dw, *db;
    ptrdiff_t N, C, OC, chunks;
} linear_context;

static void forward_chunk(void *context, ptrdiff_t chunk)
{
    const linear_context *p = context;
    ptrdiff_t begin, end;
    chunk_bounds(p->N, p->chunks, chunk, &begin, &end);
    for (ptrdiff_t n = begin; n < end; n++) {
        const real *x = p->x + n * p->C;
        real *y = p->y + n * p->OC;
        for (ptrdiff_t o = 0; o < p->OC; o++) {
            const real *w = p->w + o * p->C;
            real sum = p->b != NULL ? p->b[o] : 0;
            for (ptrdiff_t i = 0; i < p->C; i++) {
                sum += w[i] * x[i];
            }
            y[o] = sum;
        }
    }
}

void FN(plain_linear_forward)(const real *x, const real *w, const real *b, real *y, ptrdiff_t N, ptrdiff_t C,
                              ptrdiff_t OC)
{
    linear_context p = {.x = x, .w = w, .b = b, .y = y, .N = N, .C = C, .OC = OC, .chunks = chunks_of_work(N, OC * C)};
    parallel_for(p.chunks, forward_chunk, &p);
}

static void backward_input_chunk(void *context, ptrdiff_t chunk)
{
    const linear_context *p = context;
    ptrdiff_t begin, end;
    chunk_bounds(p->N, p->chunks, chunk, &begin, &end);
    for (ptrdiff_t n = begin; n < end; n++) {
        const real *dy = p->dy + n * p->OC;
        real *dx = p->dx + n * p->C;
        for (ptrdiff_t i = 0; i < p->C; i++) {
            dx[i] = 0;
        }
        for (ptrdiff_t o = 0; o < p->OC; o++) {
            const real *w = p->w + o * p->C;
            for (ptrdiff_t i = 0; i < p->C; i++) {
                dx[i] += dy[o] * w[i];
            }
        }
    }
}

void FN(plain_linear_backward_input)(const real *dy, const real *w, real *dx, ptrdiff_t N, ptrdiff_t C, ptrdiff_t OC)
{
    linear_context p = {.dy = dy, .w = w, .dx = dx, .N = N, .C = C, .OC = OC, .chunks = chunks_of_work(N, OC * C)};
    parallel_for(p.chunks, backward_input_chunk, &p);
}

static void backward_weight_chunk(void *context, ptrdiff_t chunk)
{
    const linear_context *p = context;
    ptrdiff_t begin, end;
    chunk_bounds(p->OC, p->chunks, chunk, &begin, &end);
    for (ptrdiff_t o = begin; o < end; o++) {
        if (p->dw != NULL) {
            real *dw = p->dw + o * p->C;
            for (ptrdiff_t i = 0; i < p->C; i++) {
                dw[i] = 0;
            }
            for (ptrdiff_t n = 0; n < p->N; n++) {
                const real *x = p->x + n * p->C;
                real dy = p->dy[n * p->OC + o];
                for (ptrdiff_t i = 0; i < p->C; i++) {
                    dw[i] += dy * x[i];
                }
            }
        }
        if (p->db != NULL) {
            real db = 0;
            for (ptrdiff_t n = 0; n < p->N; n++) {
                db += p->dy[n * p->OC + o];
            }
            p->db[o] = db;
        }
    }
}

void FN(plain_linear_backward_weight)(const real *x, const real *dy, real *dw, real *db, ptrdiff_t N, ptrdiff_t C,
                                      ptrdiff_t OC)
{
    linear_context p = {
        .x = x, .dy = dy, .dw = dw, .db = db, .N = N, .C = C, .OC = OC, .chunks = chunks_of_work(OC, C * N)};
    parallel_for(p.chunks, backward_weight_chunk, &p);
}
