/* avg_pool2d: the mean of each window.
 *
 *   forward    y[n,c,i,j] = (sum over p,q of x[n,c, i*SH - PH + p, j*SW - PW + q]) / divisor(i,j)
 *   backward   dx[n,c,h,w] = sum over the windows (i,j) that cover (h,w) of dy[n,c,i,j] / divisor(i,j)
 *
 *   x, dx (N,C,H,W)    y, dy (N,C,OH,OW)    in one of the two memory orders of pool2d.h
 *
 * divisor is the number of elements of the window. Those on padding count with count_include_pad; those beyond the
 * padding, where ceil_mode lets a window hang over, never do. divisor_override, where not 0, replaces the count.
 */
#include <string.h>

#include "../memory.h"
#include "../threads.h"
#include "kernels.h"
#include "window.h"

typedef struct {
    const pool2d *sizes;
    int count_include_pad;
    ptrdiff_t divisor_override;
    const real *in; /* x, or dy */
    real *out;      /* y, or dx */
    ptrdiff_t chunks;
} avg_pool2d_context;

/* How many elements of window number `o` of one axis count. */
static ptrdiff_t counted(ptrdiff_t o, ptrdiff_t size, ptrdiff_t kernel, ptrdiff_t stride, ptrdiff_t padding,
                         int include_padding)
{
    ptrdiff_t begin = o * stride - padding, end = begin + kernel, low = include_padding ? begin : 0;
    ptrdiff_t high = include_padding ? size + padding : size;
    return (end < high ? end : high) - (begin > low ? begin : low);
}

/* One row of outputs from one row of sums: out[j,:] = sums[j,:] / divisor(i,j). */
static void divide_row(const avg_pool2d_context *c, ptrdiff_t i, const real *sums, real *out)
{
    const pool2d *s = c->sizes;
    ptrdiff_t rows = counted(i, s->H, s->KH, s->SH, s->PH, c->count_include_pad);
    for (ptrdiff_t j = 0; j < s->OW; j++) {
        ptrdiff_t columns = counted(j, s->W, s->KW, s->SW, s->PW, c->count_include_pad);
        real divisor = c->divisor_override != 0 ? (real)c->divisor_override : (real)rows * (real)columns;
        for (ptrdiff_t k = j * s->inner; k < (j + 1) * s->inner; k++) {
            out[k] = sums[k] / divisor;
        }
    }
}

/* y[k * y_step] += x[k * x_step] */
static inline void add_strided(const real *restrict x, ptrdiff_t x_step, real *restrict y, ptrdiff_t y_step,
                               ptrdiff_t n)
{
    for (ptrdiff_t k = 0; k < n; k++) {
        y[k * y_step] += x[k * x_step];
    }
}

/* Add one row of x, inputs (h,:), to all outputs of the row y that have it in their window. */
static void add_input_row(const pool2d *s, const real *x, real *y)
{
    ptrdiff_t first, last, q_begin, q_end, C = s->inner;
    window_taps(s->W, s->OW, s->KW, s->SW, 1, s->PW, &q_begin, &q_end);
    for (ptrdiff_t q = q_begin; q < q_end; q++) {
        window_range(s->W, s->OW, s->SW, q - s->PW, &first, &last);
        const real *from = x + (first * s->SW + q - s->PW) * C;
        if (C > 1) {
            for (ptrdiff_t j = first; j < last; j++, from += s->SW * C) {
                add_strided(from, 1, y + j * C, 1, C);
            }
        } else if (s->SW == 1) { /* a constant step lets the compiler use vectors */
            add_strided(from, 1, y + first, 1, last - first);
        } else if (s->SW == 2) {
            add_strided(from, 2, y + first, 1, last - first);
        } else {
            add_strided(from, s->SW, y + first, 1, last - first);
        }
    }
}

static void forward_chunk(void *context, ptrdiff_t chunk)
{
    const avg_pool2d_context *c = context;
    const pool2d *s = c->sizes;
    ptrdiff_t begin, end, row = s->OW * s->inner, first, last;
    chunk_bounds(s->outer * s->OH, c->chunks, chunk, &begin, &end);
    for (ptrdiff_t r = begin; r < end; r++) {
        const real *image = c->in + r / s->OH * (s->H * s->W * s->inner);
        real *y = c->out + r * row;
        memset(y, 0, (size_t)row * sizeof *y);
        ptrdiff_t top = r % s->OH * s->SH - s->PH;
        window_range(s->H, s->KH, 1, top, &first, &last);
        for (ptrdiff_t p = first; p < last; p++) {
            add_input_row(s, image + (top + p) * s->W * s->inner, y);
        }
        divide_row(c, r % s->OH, y, y);
    }
}

void FN(avg_pool2d_forward)(const real *x, real *y, const pool2d *s, int count_include_pad, ptrdiff_t divisor_override)
{
    avg_pool2d_context c = {s, count_include_pad, divisor_override, x, y, 0};
    c.chunks = chunks_of(s->outer * s->OH, pool_rows_a_chunk(s->OW, s->inner, pool_window(s)));
    parallel_for(c.chunks, forward_chunk, &c);
}

/* Hand one row of gradients, already divided, to the row dx of inputs: add_input_row in the other direction. */
static void add_output_row(const pool2d *s, const real *gradient, real *dx)
{
    ptrdiff_t first, last, q_begin, q_end, C = s->inner;
    window_taps(s->W, s->OW, s->KW, s->SW, 1, s->PW, &q_begin, &q_end);
    for (ptrdiff_t q = q_begin; q < q_end; q++) {
        window_range(s->W, s->OW, s->SW, q - s->PW, &first, &last);
        real *to = dx + (first * s->SW + q - s->PW) * C;
        if (C > 1) {
            for (ptrdiff_t j = first; j < last; j++, to += s->SW * C) {
                add_strided(gradient + j * C, 1, to, 1, C);
            }
        } else if (s->SW == 1) {
            add_strided(gradient + first, 1, to, 1, last - first);
        } else if (s->SW == 2) {
            add_strided(gradient + first, 1, to, 2, last - first);
        } else {
            add_strided(gradient + first, 1, to, s->SW, last - first);
        }
    }
}

static void backward_chunk(void *context, ptrdiff_t chunk)
{
    const avg_pool2d_context *c = context;
    const pool2d *s = c->sizes;
    ptrdiff_t begin, end, row = s->OW * s->inner, first, last;
    real *gradient = scratch((size_t)row * sizeof *gradient);
    if (gradient == NULL) {
        kernel_abort(KERNEL_NO_MEMORY);
        return;
    }
    chunk_bounds(s->outer * s->H, c->chunks, chunk, &begin, &end);
    for (ptrdiff_t r = begin; r < end; r++) {
        const real *dy = c->in + r / s->H * (s->OH * row);
        real *dx = c->out + r * s->W * s->inner;
        memset(dx, 0, (size_t)(s->W * s->inner) * sizeof *dx);
        window_covering(r % s->H, s->OH, s->KH, s->SH, 1, s->PH, &first, &last);
        for (ptrdiff_t i = first; i < last; i++) {
            divide_row(c, i, dy + i * row, gradient);
            add_output_row(s, gradient, dx);
        }
    }
}

void FN(avg_pool2d_backward)(const real *dy, real *dx, const pool2d *s, int count_include_pad,
                             ptrdiff_t divisor_override)
{
    avg_pool2d_context c = {s, count_include_pad, divisor_override, dy, dx, 0};
    c.chunks = chunks_of(s->outer * s->H, pool_rows_a_chunk(s->W, s->inner, pool_window(s) / s->SH + 1));
    parallel_for(c.chunks, backward_chunk, &c);
}
