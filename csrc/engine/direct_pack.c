/* direct_pack.c: copies pieces of images into cache-sized scratch, with the zeros around them that padding means, in
 * the order that the tiles read. The image may lie in either memory order; where it has the other one, this is also
 * the place where it is turned.
 *
 * The pieces of a row are a few values long, so calls of memcpy and memset would cost more than what they do. Here
 * whole vectors are written instead, from the front to the back: what one of them writes too much, the next one
 * overwrites, and behind the last there is room for it (PACK_SLACK).
 */
#include "../simd/quad.h"
#include "../simd/simd.h"
#include "direct.h"

/* to[0 .. n) = 0, and up to VLEN - 1 values more. */
static inline void zero_over(real *to, ptrdiff_t n)
{
    vec zeros = v_zero();
    V_PIN(zeros); /* or GCC makes a call of memset from this loop */
    for (ptrdiff_t i = 0; i < n; i += VLEN) {
        v_store(to + i, zeros);
    }
}

/* Exactly n values; n >= VLEN. */
static inline void zero(real *to, ptrdiff_t n)
{
    zero_over(to, n - VLEN + 1);
    v_store(to + n - VLEN, v_zero());
}

static inline void copy(const real *from, ptrdiff_t n, real *to)
{
    ptrdiff_t i = 0;
    for (; i + VLEN <= n; i += VLEN) {
        v_store(to + i, v_load(from + i));
    }
    if (i < n && n >= VLEN) { /* the last vector, again with some values of the one before */
        v_store(to + n - VLEN, v_load(from + n - VLEN));
        return;
    }
    for (; i < n; i++) {
        to[i] = from[i];
    }
}

/* Of `count` columns from `first` on, those that lie inside of an image of `size`: [*begin, *end). */
static void inside(ptrdiff_t first, ptrdiff_t count, ptrdiff_t size, ptrdiff_t *begin, ptrdiff_t *end)
{
    *begin = at_most(at_least(-first, 0), count);
    *end = at_least(at_most(size - first, count), *begin);
}

void FN(pack_turned)(const real *from, ptrdiff_t from_step, ptrdiff_t rows, ptrdiff_t cols, real *to, ptrdiff_t to_step)
{
    ptrdiff_t last = rows - 1, j = 0;
    int is_picture = rows == 3 && to_step == 3; /* red, green and blue */
    for (; WIDE_QUADS && is_picture && j + 16 <= cols; j += 16) {
        interleave_3x16(from + j, from + from_step + j, from + 2 * from_step + j, to + 3 * j);
    }
    for (; is_picture && j + 4 <= cols; j += 4) {
        interleave_3x4(from + j, from + from_step + j, from + 2 * from_step + j, to + 3 * j);
    }
    for (; j + 4 <= cols; j += 4) {
        ptrdiff_t i = 0;
        for (; is_wide(from_step) && i + 16 <= rows; i += 16) {
            transpose_16x4(from + i * from_step + j, from_step, to + j * to_step + i, to_step);
        }
        for (; i < rows; i += 4) {
            ptrdiff_t i0 = at_least(at_most(i, rows - 4), 0); /* the last four again, where 4 does not divide rows */
            const real *row = from + i0 * from_step + j;
            transpose_rows(row, row + at_most(1, last) * from_step, row + at_most(2, last) * from_step,
                           row + at_most(3, last) * from_step, to + j * to_step + i0, to_step);
        }
    }
    for (; j < cols; j++) {
        for (ptrdiff_t i = 0; i < rows; i++) {
            to[j * to_step + i] = from[i * from_step + j];
        }
    }
}

/* Pixels with their channels side by side, from one row of the image to [col][lane]. What lies a page ahead is asked
 * for on the way: the processor's own prefetching stops at the end of a page, which a row of many channels reaches
 * soon. */
static void copy_pixels_from_last(const piece *p, const real *from, ptrdiff_t n, ptrdiff_t lanes, real *to)
{
    const ptrdiff_t page = 4096 / (ptrdiff_t)sizeof(real), line = 64 / (ptrdiff_t)sizeof(real);
    const ptrdiff_t last = p->channels / VLEN * VLEN; /* the vector of lanes that are not all channels */
    for (ptrdiff_t i = 0; i < n; i++, from += p->stride.w, to += lanes) {
        for (ptrdiff_t c = 0; c < p->channels; c += line) {
            __builtin_prefetch(from + page + c, 0, 2);
        }
        if (p->channels < lanes) {
            zero_over(to + last, lanes - last);
        }
        copy(from, p->channels, to);
    }
}

/* n pixels of all channels, from one row of the image to [col][lane]. */
static void copy_pixels(const piece *p, const real *from, ptrdiff_t n, ptrdiff_t lanes, real *to)
{
    if (p->stride.c == 1 && p->stride.w == lanes && p->channels == lanes) {
        copy(from, n * lanes, to);
        return;
    }
    if (p->stride.c == 1) {
        copy_pixels_from_last(p, from, n, lanes, to);
        return;
    }
    FN(pack_turned)(from, p->stride.c, p->channels, n, to, lanes);
    for (ptrdiff_t i = 0; i < n && p->channels < lanes; i++) {
        for (ptrdiff_t lane = p->channels; lane < lanes; lane++) {
            to[i * lanes + lane] = 0;
        }
    }
}

void FN(pack_channels)(const piece *p, ptrdiff_t lanes, real *to)
{
    ptrdiff_t begin, end;
    inside(p->col, p->cols, p->w, &begin, &end);
    for (ptrdiff_t r = 0; r < p->rows; r++, to += p->cols * lanes) {
        ptrdiff_t row = p->row + r;
        if (row < 0 || row >= p->h || begin == end) {
            zero_over(to, p->cols * lanes);
            continue;
        }
        zero_over(to, begin * lanes);
        copy_pixels(p, p->image + row * p->stride.h + (p->col + begin) * p->stride.w, end - begin, lanes,
                    to + begin * lanes);
        zero_over(to + end * lanes, (p->cols - end) * lanes);
    }
}

/* One column phase of a piece: its columns phase, phase + step, ... are n, of which [begin, end) lie in the image, the
 * first of them at column `from`. */
typedef struct {
    ptrdiff_t step, n, begin, end, from;
} column_phase;

static column_phase column_phase_of(const piece *p, ptrdiff_t phase, ptrdiff_t step)
{
    column_phase f = {.step = step, .n = ceil_div(p->cols - phase, step), .from = p->col + phase};
    f.begin = f.from < 0 ? at_most(ceil_div(-f.from, step), f.n) : 0;
    f.end = f.from < p->w ? at_least(at_most(ceil_div(p->w - f.from, step), f.n), f.begin) : f.begin;
    f.from += f.begin * step;
    return f;
}

/* The rows [row, p->rows) of one channel that belong to one phase, step_h apart. `from`: row 0, first column inside. */
static void pack_plane(const piece *p, column_phase f, const real *from, ptrdiff_t row, ptrdiff_t step_h,
                       ptrdiff_t pitch, real *to)
{
    for (; row < p->rows; row += step_h, to += pitch) {
        if (p->row + row < 0 || p->row + row >= p->h) {
            zero_over(to, pitch);
            continue;
        }
        const real *line = from + row * p->stride.h;
        zero_over(to, f.begin);
        if (f.step == 1) {
            copy(line, f.end - f.begin, to + f.begin);
        } else {
            for (ptrdiff_t i = f.begin; i < f.end; i++) {
                to[i] = line[(i - f.begin) * f.step];
            }
        }
        zero_over(to + f.end, pitch - f.end);
    }
}

/* The same for all channels of an image with its channels last. */
static void pack_planes_from_last(const piece *p, column_phase f, const real *from, ptrdiff_t row, ptrdiff_t step_h,
                                  ptrdiff_t pitch, ptrdiff_t channel_step, real *to)
{
    for (; row < p->rows; row += step_h, to += pitch) {
        int is_inside = p->row + row >= 0 && p->row + row < p->h;
        for (ptrdiff_t c = 0; c < p->channels; c++) {
            zero_over(to + c * channel_step, is_inside ? f.begin : pitch);
        }
        if (is_inside) {
            FN(pack_turned)(from + row * p->stride.h, f.step * p->stride.w, f.end - f.begin, p->channels, to + f.begin,
                            channel_step);
            for (ptrdiff_t c = 0; c < p->channels; c++) {
                zero_over(to + c * channel_step + f.end, pitch - f.end);
            }
        }
    }
}

void FN(pack_planes)(const piece *p, ptrdiff_t step_h, ptrdiff_t step_w, ptrdiff_t pitch, ptrdiff_t plane, real *to)
{
    ptrdiff_t phases = step_h * step_w;
    for (ptrdiff_t phase = 0; phase < phases; phase++) {
        ptrdiff_t row = phase / step_w;
        if (phase % step_w >= p->cols || row >= p->rows) {
            continue; /* no tap reads it */
        }
        column_phase f = column_phase_of(p, phase % step_w, step_w);
        ptrdiff_t filled = ceil_div(p->rows - row, step_h) * pitch;
        /* Row 0 of the piece may lie outside of the image: the pointer is only used with a row added that does not. */
        const real *from = p->image + p->row * p->stride.h + (f.begin < f.end ? f.from * p->stride.w : 0);
        if (p->stride.c == 1) {
            pack_planes_from_last(p, f, from, row, step_h, pitch, phases * plane, to + phase * plane);
        }
        for (ptrdiff_t c = 0; c < p->channels; c++) {
            real *channel = to + (c * phases + phase) * plane;
            if (p->stride.c != 1) {
                pack_plane(p, f, from + c * p->stride.c, row, step_h, pitch, channel);
            }
            zero(channel + filled, plane - filled);
        }
    }
}
