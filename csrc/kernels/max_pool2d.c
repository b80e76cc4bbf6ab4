/* max_pool2d: keep the largest value of each window, and remember where it was.
 *
 *   forward    y[n,c,i,j] = max over p,q of x[n,c, i*SH - PH + p*DH, j*SW - PW + q*DW]
 *   backward   dx[n,c, argmax[n,c,i,j]] += dy[n,c,i,j]
 *
 *   x, dx (N,C,H,W)    y, dy, argmax (N,C,OH,OW)    in one of the two memory orders of pool2d.h
 *
 * argmax is h*W + w, the position in the (H,W) plane. Padding never wins. On a tie the first position wins, a NaN wins
 * over everything before it, and where all is -inf the first position inside the input is named: all as in torch. -1
 * means that a dilated window lies on padding alone; it has no gradient, as nothing has that is outside the plane.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "../memory.h"
#include "../threads.h"
#include "kernels.h"
#include "max_window.h"
#include "window.h"

typedef struct {
    const pool2d *sizes;
    const real *in; /* x, or dy */
    real *out;      /* y, or dx */
    int32_t *argmax;
    ptrdiff_t chunks;
} max_pool2d_context;

/* The first of start, start + dilation, ... that is not negative. */
static inline ptrdiff_t first_inside(ptrdiff_t start, ptrdiff_t dilation)
{
    return start >= 0 ? start : start + (-start - 1 + dilation) / dilation * dilation;
}

/* The answer for a window of the i-th row in which nothing is larger than -inf: its first position inside, or -1. */
static inline int32_t first_position(const pool2d *s, ptrdiff_t i, ptrdiff_t j)
{
    ptrdiff_t h = first_inside(i * s->SH - s->PH, s->DH), w = first_inside(j * s->SW - s->PW, s->DW);
    return h < s->H && w < s->W ? (int32_t)(h * s->W + w) : -1;
}

/* ---- channels last: one row of outputs, window by window, a loop over the channels innermost ---- */

static void forward_row_channels(const pool2d *s, const real *x, ptrdiff_t i, real *y, int32_t *argmax)
{
    ptrdiff_t p_begin, p_end, q_begin, q_end, C = s->inner;
    window_range(s->H, s->KH, s->DH, i * s->SH - s->PH, &p_begin, &p_end);
    for (ptrdiff_t j = 0; j < s->OW; j++, y += C, argmax += C) {
        int32_t position = first_position(s, i, j);
        for (ptrdiff_t c = 0; c < C; c++) {
            y[c] = -INFINITY;
            argmax[c] = position;
        }
        window_range(s->W, s->KW, s->DW, j * s->SW - s->PW, &q_begin, &q_end);
        for (ptrdiff_t p = p_begin; p < p_end; p++) {
            for (ptrdiff_t q = q_begin; q < q_end; q++) {
                position = (int32_t)((i * s->SH - s->PH + p * s->DH) * s->W + j * s->SW - s->PW + q * s->DW);
                offer(x + position * C, position, 0, y, argmax, C);
            }
        }
    }
}

static void forward_chunk_channels(void *context, ptrdiff_t chunk)
{
    const max_pool2d_context *c = context;
    const pool2d *s = c->sizes;
    ptrdiff_t begin, end, row = s->OW * s->inner;
    int32_t *spare = c->argmax == NULL ? scratch((size_t)row * sizeof *spare) : NULL;
    if (c->argmax == NULL && spare == NULL) {
        kernel_abort(KERNEL_NO_MEMORY);
        return;
    }
    chunk_bounds(s->outer * s->OH, c->chunks, chunk, &begin, &end);
    for (ptrdiff_t r = begin; r < end; r++) {
        const real *x = c->in + r / s->OH * (s->H * s->W * s->inner);
        int32_t *argmax = c->argmax != NULL ? c->argmax + r * row : spare;
        forward_row_channels(s, x, r % s->OH, c->out + r * row, argmax);
    }
}

/* ---- planes: one row of outputs; each tap (p,q) of the window is offered to all outputs of the row at once ----
 *
 * The values of one tap are `stride` apart. They are copied next to each other first, with -inf where the tap lies on
 * padding, into rows as long as a multiple of LANES: so the loop that compares has neither gaps nor a rest. */

enum { LANES = 16 };

typedef struct {
    real *tap, *best;
    int32_t *argmax, *start; /* start: where each output's window begins in a row, or -1 */
    ptrdiff_t length;        /* of each of these, a multiple of LANES */
} row_buffers;

/* tap is NULL where there is no memory. */
static row_buffers row_buffers_get(const pool2d *s)
{
    row_buffers b = {.length = (s->OW - 1) / LANES * LANES + LANES};
    b.tap = scratch((size_t)b.length * 2 * (sizeof(real) + sizeof(int32_t)));
    if (b.tap == NULL) {
        return b;
    }
    b.best = b.tap + b.length;
    b.argmax = (int32_t *)(b.best + b.length);
    b.start = b.argmax + b.length;
    for (ptrdiff_t j = 0; j < b.length; j++) {
        ptrdiff_t w = j < s->OW ? first_inside(j * s->SW - s->PW, s->DW) : s->W;
        b.start[j] = w < s->W ? (int32_t)w : -1;
    }
    return b;
}

/* tap[j] = x[j*step] for begin <= j < end, and -inf elsewhere. */
static inline void load_tap(const real *restrict x, ptrdiff_t step, real *restrict tap, ptrdiff_t begin, ptrdiff_t end,
                            ptrdiff_t length)
{
    for (ptrdiff_t j = 0; j < begin; j++) {
        tap[j] = -INFINITY;
    }
    for (ptrdiff_t j = begin; j < end; j++) {
        tap[j] = x[j * step];
    }
    for (ptrdiff_t j = end; j < length; j++) {
        tap[j] = -INFINITY;
    }
}

static void forward_row_plane(const pool2d *s, const real *x, ptrdiff_t i, row_buffers b, real *y, int32_t *argmax)
{
    ptrdiff_t p_begin, p_end, q_begin, q_end, begin, end;
    ptrdiff_t top = first_inside(i * s->SH - s->PH, s->DH);
    for (ptrdiff_t j = 0; j < b.length; j++) {
        b.best[j] = -INFINITY;
        b.argmax[j] = b.start[j] < 0 || top >= s->H ? -1 : (int32_t)(top * s->W) + b.start[j];
    }
    window_range(s->H, s->KH, s->DH, i * s->SH - s->PH, &p_begin, &p_end);
    window_taps(s->W, s->OW, s->KW, s->SW, s->DW, s->PW, &q_begin, &q_end);
    for (ptrdiff_t p = p_begin; p < p_end; p++) {
        for (ptrdiff_t q = q_begin; q < q_end; q++) {
            ptrdiff_t offset = q * s->DW - s->PW, h = i * s->SH - s->PH + p * s->DH, position = h * s->W + offset;
            window_range(s->W, s->OW, s->SW, offset, &begin, &end);
            if (s->SW == 1) { /* a constant step lets the compiler use vectors */
                load_tap(x + position, 1, b.tap, begin, end, b.length);
            } else if (s->SW == 2) {
                load_tap(x + position, 2, b.tap, begin, end, b.length);
            } else {
                load_tap(x + position, s->SW, b.tap, begin, end, b.length);
            }
            offer(b.tap, (int32_t)position, (int32_t)s->SW, b.best, b.argmax, b.length);
        }
    }
    memcpy(y, b.best, (size_t)s->OW * sizeof *y);
    if (argmax != NULL) {
        memcpy(argmax, b.argmax, (size_t)s->OW * sizeof *argmax);
    }
}

/* For windows of 2x2 that lie side by side max_window.h has a shorter way, without the detour over taps. */
static int is_2x2(const pool2d *s)
{
    return s->KH == 2 && s->KW == 2 && s->SH == 2 && s->SW == 2 && s->DH == 1 && s->DW == 1 && s->PH == 0 &&
           s->PW == 0 && 2 * s->OH <= s->H && 2 * s->OW <= s->W;
}

static void forward_chunk_planes(void *context, ptrdiff_t chunk)
{
    const max_pool2d_context *c = context;
    const pool2d *s = c->sizes;
    ptrdiff_t begin, end;
    row_buffers buffers = row_buffers_get(s);
    if (buffers.tap == NULL) {
        kernel_abort(KERNEL_NO_MEMORY);
        return;
    }
    chunk_bounds(s->outer * s->OH, c->chunks, chunk, &begin, &end);
    for (ptrdiff_t r = begin; r < end; r++) {
        const real *x = c->in + r / s->OH * (s->H * s->W);
        int32_t *argmax = c->argmax != NULL ? c->argmax + r * s->OW : NULL;
        if (is_2x2(s)) {
            ptrdiff_t position = 2 * (r % s->OH) * s->W;
            pairs_of_planes(x + position, x + position + s->W, (int32_t)position, (int32_t)s->W, c->out + r * s->OW,
                            argmax, s->OW);
            continue;
        }
        forward_row_plane(s, x, r % s->OH, buffers, c->out + r * s->OW, argmax);
    }
}

/* argmax may be NULL where nobody will ask for it. */
void FN(max_pool2d_forward)(const real *x, real *y, int32_t *argmax, const pool2d *s)
{
    assert(s->H * s->W <= INT32_MAX);
    max_pool2d_context c = {.sizes = s, .in = x, .out = y, .argmax = argmax};
    c.chunks = chunks_of(s->outer * s->OH, pool_rows_a_chunk(s->OW, s->inner, pool_window(s)));
    parallel_for(c.chunks, s->inner == 1 ? forward_chunk_planes : forward_chunk_channels, &c);
}

/* Planes: follow the arrows. The plane is in cache, so clearing it first costs little. */
static void scatter_plane(const real *dy, const int32_t *argmax, real *dx, size_t inputs, ptrdiff_t outputs)
{
    memset(dx, 0, inputs * sizeof *dx);
    for (ptrdiff_t o = 0; o < outputs; o++) {
        if ((uint32_t)argmax[o] < inputs) {
            dx[argmax[o]] += dy[o];
        }
    }
}

/* pixel = what one window hands back to it, or pixel += that. */
static inline void collect(const real *restrict dy, const int32_t *restrict from, int32_t here, int add,
                           real *restrict pixel, ptrdiff_t C)
{
    for (ptrdiff_t c = 0; c < C; c++) {
        real share = from[c] == here ? dy[c] : 0;
        pixel[c] = add ? pixel[c] + share : share;
    }
}

/* Channels last: every input pixel asks the windows that cover it, so that each dx is written where it is complete and
 * the loop over the channels is a vector loop. Outputs are asked in order, so the sum is that of scatter_plane. */
static void gather_row(const pool2d *s, const real *dy, const int32_t *argmax, ptrdiff_t h, real *dx)
{
    ptrdiff_t i_first, i_last, j_first, j_last, C = s->inner;
    window_covering(h, s->OH, s->KH, s->SH, s->DH, s->PH, &i_first, &i_last);
    for (ptrdiff_t w = 0; w < s->W; w++) {
        int32_t here = (int32_t)(h * s->W + w);
        real *pixel = dx + w * C;
        window_covering(w, s->OW, s->KW, s->SW, s->DW, s->PW, &j_first, &j_last);
        int found = 0;
        for (ptrdiff_t i = i_first; i < i_last; i++) {
            for (ptrdiff_t j = j_first; j < j_last; j++) {
                ptrdiff_t out = (i * s->OW + j) * C;
                if (found) {
                    collect(dy + out, argmax + out, here, 1, pixel, C);
                } else {
                    collect(dy + out, argmax + out, here, 0, pixel, C);
                    found = 1;
                }
            }
        }
        if (!found) {
            memset(pixel, 0, (size_t)C * sizeof *pixel);
        }
    }
}

static void backward_chunk(void *context, ptrdiff_t chunk)
{
    const max_pool2d_context *c = context;
    const pool2d *s = c->sizes;
    ptrdiff_t begin, end, inputs = s->H * s->W * s->inner, outputs = s->OH * s->OW * s->inner;
    if (s->inner == 1) {
        chunk_bounds(s->outer, c->chunks, chunk, &begin, &end);
        for (ptrdiff_t o = begin; o < end; o++) {
            scatter_plane(c->in + o * outputs, c->argmax + o * outputs, c->out + o * inputs, (size_t)inputs, outputs);
        }
        return;
    }
    chunk_bounds(s->outer * s->H, c->chunks, chunk, &begin, &end);
    for (ptrdiff_t r = begin; r < end; r++) {
        ptrdiff_t image = r / s->H * outputs;
        gather_row(s, c->in + image, c->argmax + image, r % s->H, c->out + r * s->W * s->inner);
    }
}

void FN(max_pool2d_backward)(const real *dy, real *dx, const int32_t *argmax, const pool2d *s)
{
    max_pool2d_context c = {.sizes = s, .in = dy, .out = dx, .argmax = (int32_t *)argmax};
    ptrdiff_t grain = pool_rows_a_chunk(s->W, s->inner, 1);
    c.chunks = s->inner == 1 ? chunks_of(s->outer, grain / s->H) : chunks_of(s->outer * s->H, grain);
    parallel_for(c.chunks, backward_chunk, &c);
}
