/* direct_pack.c: copies pieces of images into cache-sized scratch, with the zeros around them that padding means, in
 * the order that the tiles read. The image may lie in either memory order; where it has the other one, this is also
 * the place where it is turned. */
#include <string.h>

#include "direct.h"

static void zero(real *to, ptrdiff_t n) { memset(to, 0, (size_t)n * sizeof *to); }

/* Of `count` columns from `first` on, those that lie inside of an image of `size`: [*begin, *end). */
static void inside(ptrdiff_t first, ptrdiff_t count, ptrdiff_t size, ptrdiff_t *begin, ptrdiff_t *end)
{
    *begin = at_most(at_least(-first, 0), count);
    *end = at_least(at_most(size - first, count), *begin);
}

/* to[j*to_step + i] = from[i*from_step + j]: rows become columns. Square blocks, so that both sides stay in cache. */
static void transpose(const real *from, ptrdiff_t from_step, ptrdiff_t rows, ptrdiff_t cols, real *to, ptrdiff_t to_step)
{
    enum { BLOCK = 8 };
    for (ptrdiff_t i0 = 0; i0 < rows; i0 += BLOCK) {
        ptrdiff_t i1 = at_most(i0 + BLOCK, rows);
        for (ptrdiff_t j = 0; j < cols; j++) {
            for (ptrdiff_t i = i0; i < i1; i++) {
                to[j * to_step + i] = from[i * from_step + j];
            }
        }
    }
}

/* n pixels of all channels, from one row of the image to [col][channel], `c` values a pixel. */
static void copy_pixels(const piece *p, const real *from, ptrdiff_t n, ptrdiff_t c, real *to)
{
    if (p->stride.c == 1 && p->stride.w == c && p->channels == c) {
        memcpy(to, from, (size_t)(n * c) * sizeof *to);
        return;
    }
    if (p->stride.c != 1) {
        transpose(from, p->stride.c, p->channels, n, to, c);
    }
    for (ptrdiff_t i = 0; i < n; i++) {
        if (p->stride.c == 1) {
            memcpy(to + i * c, from + i * p->stride.w, (size_t)p->channels * sizeof *to);
        }
        zero(to + i * c + p->channels, c - p->channels);
    }
}

void FN(pack_channels)(const piece *p, ptrdiff_t c, real *to)
{
    ptrdiff_t begin, end;
    inside(p->col, p->cols, p->w, &begin, &end);
    for (ptrdiff_t r = 0; r < p->rows; r++, to += p->cols * c) {
        ptrdiff_t row = p->row + r;
        if (row < 0 || row >= p->h || begin == end) {
            zero(to, p->cols * c);
            continue;
        }
        const real *from = p->image + row * p->stride.h + (p->col + begin) * p->stride.w;
        zero(to, begin * c);
        copy_pixels(p, from, end - begin, c, to + begin * c);
        zero(to + end * c, (p->cols - end) * c);
    }
}

/* to[i] = from[i*step], i < n */
static void copy_strided(const real *from, ptrdiff_t step, ptrdiff_t n, real *to)
{
    if (step == 1) {
        memcpy(to, from, (size_t)n * sizeof *to);
        return;
    }
    for (ptrdiff_t i = 0; i < n; i++) {
        to[i] = from[i * step];
    }
}

/* One row of one column phase of all channels: columns phase, phase + step, ... of the piece. */
static void pack_plane_row(const piece *p, ptrdiff_t row, ptrdiff_t phase, ptrdiff_t step, ptrdiff_t pitch,
                           ptrdiff_t channel_step, real *to)
{
    ptrdiff_t n = ceil_div(p->cols - phase, step), first = p->col + phase; /* columns first, first + step, ... */
    ptrdiff_t begin = first < 0 ? at_most(ceil_div(-first, step), n) : 0;
    ptrdiff_t end = first < p->w ? at_most(ceil_div(p->w - first, step), n) : 0;
    if (row < 0 || row >= p->h || begin >= end) {
        begin = end = 0;
    }
    for (ptrdiff_t c = 0; c < p->channels; c++) {
        zero(to + c * channel_step, begin);
        zero(to + c * channel_step + end, pitch - end);
    }
    if (begin == end) {
        return;
    }
    const real *from = p->image + row * p->stride.h + (first + begin * step) * p->stride.w;
    if (p->stride.c == 1) {
        transpose(from, step * p->stride.w, end - begin, p->channels, to + begin, channel_step);
        return;
    }
    for (ptrdiff_t c = 0; c < p->channels; c++) {
        copy_strided(from + c * p->stride.c, step * p->stride.w, end - begin, to + c * channel_step + begin);
    }
}

void FN(pack_planes)(const piece *p, ptrdiff_t step_h, ptrdiff_t step_w, ptrdiff_t pitch, ptrdiff_t plane, real *to)
{
    ptrdiff_t phases = step_h * step_w;
    for (ptrdiff_t r = 0; r < p->rows; r++) {
        for (ptrdiff_t phase = 0; phase < step_w && phase < p->cols; phase++) {
            real *line = to + (r % step_h * step_w + phase) * plane + r / step_h * pitch;
            pack_plane_row(p, p->row + r, phase, step_w, pitch, phases * plane, line);
        }
    }
    /* Vectors may reach past the last row of a plane; what they read there must be harmless. */
    for (ptrdiff_t i = 0; i < p->channels * phases; i++) {
        ptrdiff_t filled = ceil_div(at_least(p->rows - i % phases / step_w, 0), step_h) * pitch;
        zero(to + i * plane + filled, plane - filled);
    }
}
