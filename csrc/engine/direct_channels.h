/* direct_channels.h: what direct convolution with channels in the vector needs both ways: blocks of channels, and the
 * input of a strip of rows.
 */
#ifndef CNN_ENGINE_DIRECT_CHANNELS_H
#define CNN_ENGINE_DIRECT_CHANNELS_H

#include "direct.h"

enum { MOST_VECTORS = 3, MANY_TAPS = 64 };

/* Output channels are cut into blocks of two vectors, of which the last may have one or three. */
typedef struct {
    ptrdiff_t vectors, count;
} vector_blocks;

static inline vector_blocks vector_blocks_of(ptrdiff_t channels)
{
    ptrdiff_t vectors = ceil_div(channels, VLEN);
    return (vector_blocks){.vectors = vectors, .count = at_least(vectors / 2, 1)};
}

static inline ptrdiff_t block_vectors(vector_blocks b, ptrdiff_t block)
{
    return block + 1 < b.count ? 2 : b.vectors - 2 * block;
}

static inline ptrdiff_t block_channel(ptrdiff_t block) { return 2 * VLEN * block; }

/* ---- the input of a strip ---------------------------------------------------------------------------------------- */

/* Where the pixels of the input are: the first tap of output (r, q) starts at (r*step_h)*row + (q*step_w)*pixel. */
typedef struct {
    ptrdiff_t pixel, row, image;
    int in_place;
} layout;

static inline layout layout_of(const correlation *c, ptrdiff_t rows)
{
    if (c->before == NULL && c->in.c == 1 && axis_inside(c->h) && axis_inside(c->w)) {
        return (layout){.pixel = c->in.w, .row = c->in.h, .image = c->in.n, .in_place = 1};
    }
    layout l = {.pixel = c->IC, .row = c->IC * axis_reach(c->w, c->w.out)};
    l.image = l.row * axis_reach(c->h, rows);
    return l;
}

/* The taps, with their channels, as runs of neighbours in memory. */
typedef struct {
    ptrdiff_t count, length;
    ptrdiff_t *begin;
} runs;

static inline runs runs_of(const correlation *c, layout l)
{
    int row_is_run = c->w.taps == 1 || (c->w.spread == 1 && l.pixel == c->IC);
    return row_is_run ? (runs){.count = c->h.taps, .length = c->w.taps * c->IC}
                      : (runs){.count = c->h.taps * c->w.taps, .length = c->IC};
}

static inline void fill_runs(const correlation *c, layout l, runs *r)
{
    ptrdiff_t per_row = r->count / c->h.taps;
    for (ptrdiff_t i = 0; i < r->count; i++) {
        r->begin[i] = i / per_row * c->h.spread * l.row + i % per_row * c->w.spread * l.pixel;
    }
}

/* The input of output rows row .. row+rows-1 of images first .. first+images-1 of one group: a pointer to where the
 * first tap of the first output reads. `room` takes the copy, where one is needed. */
static inline const real *strip_input(const correlation *c, layout l, const real *in, ptrdiff_t group, ptrdiff_t first,
                                      ptrdiff_t images, ptrdiff_t row, ptrdiff_t rows, real *room)
{
    for (ptrdiff_t i = 0; c->before != NULL && i < images; i++) {
        FN(depthwise_rows)(c->before, first + i, row, rows, room + images * l.image, room + i * l.image);
    }
    if (c->before != NULL) {
        return room;
    }
    const real *image = in + first * c->in.n + group * c->IC * c->in.c;
    if (l.in_place) {
        return image + axis_first(c->h, row) * c->in.h + axis_first(c->w, 0) * c->in.w;
    }
    piece p = {.stride = c->in,
               .channels = c->IC,
               .h = c->h.in,
               .w = c->w.in,
               .row = axis_first(c->h, row),
               .rows = axis_reach(c->h, rows),
               .col = axis_first(c->w, 0),
               .cols = axis_reach(c->w, c->w.out)};
    for (ptrdiff_t i = 0; i < images; i++) {
        p.image = image + i * c->in.n;
        FN(pack_channels)(&p, c->IC, room + i * l.image);
    }
    return room;
}

/* Output rows of some images. */
typedef struct {
    ptrdiff_t image, images, row, rows;
} strip;

/* The same counted in rows of the input, with those above the image left out. */
static inline strip input_rows(const correlation *c, strip s)
{
    s.rows = axis_reach(c->h, s.rows);
    s.row = at_least(axis_first(c->h, s.row), 0);
    return s;
}

/* What the next strip reads, where it lies side by side in memory. */
static inline prefetch strip_ahead(const real *from, strides4 stride, ptrdiff_t channels, strip s, ptrdiff_t times)
{
    int dense = stride.c == 1 && stride.w == channels;
    ptrdiff_t values = s.images > 1 ? s.images * stride.n : s.rows * stride.h;
    return prefetch_of(from + s.image * stride.n + s.row * stride.h, dense ? values : 0, times);
}

#endif
