/* direct_depthwise_weight.c: the gradient of the weights of groups of few channels; see direct_depthwise.c. */
#include <string.h>

#include "../memory.h"
#include "../threads.h"
#include "direct_depthwise.h"

/* dw[input][tap][channel] = sum over pixels of dy[pixel][channel] * x[pixel + tap][input of the channel's group].
 * Shares of the batch have sums of their own, which are added up in order at the end. */
typedef struct {
    const correlation *c;
    const real *in, *dout;
    real *dw, *db, *sums;                                /* sums: [slot][vector][input and tap, then bias][VLEN] */
    ptrdiff_t lanes, vectors, taps, slots, rows, strips; /* taps: with inputs */
    int dy_in_place;
    const spread *spread;
} weight_context;

static real *vector_sums(const weight_context *x, ptrdiff_t slot, ptrdiff_t vector)
{
    return x->sums + (slot * x->vectors + vector) * (x->taps + 1) * VLEN;
}

/* ---- where rows have neighbouring taps: all lie in place, and are read in the order in which they lie ---- */

/* A row of dy, some vectors of it. x: the first tap of output 0, at distances row, pixel. */
typedef struct weight_line weight_line;

/* `pixels` pixels of dy from q on, of whose inputs in a row those numbered [begin, end) lie inside. */
typedef void weight_function(const weight_line *l, ptrdiff_t q, ptrdiff_t pixels, ptrdiff_t begin, ptrdiff_t end);

typedef struct {
    weight_function *inside, *left, *right, *any;
} weight_functions;

struct weight_line {
    weight_functions functions;
    const real *x, *dy;
    real *sums;                                          /* [vector][input][kh][kw] and then bias, [VLEN] */
    ptrdiff_t row, pixel, dy_pixel, lanes, taps, kernel; /* taps: with inputs; kernel: without */
    ptrdiff_t begin, end;                                /* vectors */
    ptrdiff_t h_begin, h_end;                            /* taps inside */
    const spread *spread;
    int bias;
};

/* `pixels` pixels of dy, at most four: an input that several of them see is loaded once. Of the inputs of a row those
 * numbered [begin, end) lie inside. */
ALWAYS_INLINE void weight_4(const weight_line *l, ptrdiff_t q, const int taps, const int step, const enum kind kind,
                            ptrdiff_t pixels, ptrdiff_t begin, ptrdiff_t end)
{
    const int with_bias = l->bias;
    const ptrdiff_t inputs = kind == ALONE ? 1 : l->spread->inputs, rows = l->h_end - l->h_begin;
    const ptrdiff_t lanes = l->lanes, vectors = l->end, pixel = l->pixel, row = l->row, dy_pixel = l->dy_pixel;
    const ptrdiff_t values = l->taps * VLEN, kernel = l->kernel * VLEN;
    const real *input = l->x + q * step * pixel + l->h_begin * row, *dy_0 = l->dy + q * dy_pixel;
    real *sums = l->sums + l->begin * (values + VLEN);
    const ptrdiff_t above = l->h_begin * taps * VLEN; /* sums of taps that lie above the image */
    for (ptrdiff_t v = l->begin; v < vectors; v++, sums += values + VLEN) {
        ptrdiff_t lane = vector_begin(lanes, v), first = lane, second = 0;
        if (kind != ALONE) {
            first = l->spread->first[v];
            second = l->spread->second[v] - first;
        }
        const real *dy = dy_0 + lane;
        vec d[4], s[MOST_TAPS];
        d[0] = v_load(dy);
        d[1] = pixels > 1 ? v_load(dy + dy_pixel) : v_zero();
        d[2] = pixels > 2 ? v_load(dy + 2 * dy_pixel) : v_zero();
        d[3] = pixels > 3 ? v_load(dy + 3 * dy_pixel) : v_zero();
        for (ptrdiff_t ic = 0; ic < inputs; ic++) {
            vec_index index = {0};
            if (kind != ALONE) {
                index = l->spread->index[v * inputs + ic];
            }
            const real *x_row = input + first;
            real *sum = sums + ic * kernel + above;
            for (ptrdiff_t th = 0; th < rows; th++, x_row += row, sum += taps * VLEN) {
                const real *x = x_row;
#define LOAD(t)   \
    if (t < taps) \
        s[t] = v_load(sum + t * VLEN);
#define USE(p, t)                                 \
    if ((t) >= 0 && (t) < taps && (p) < pixels) { \
        MULTIPLY_ADD(s[TAP(t)], now, d[p]);       \
    }
#define INPUT(j)                                                             \
    if (j < 3 * step + taps && j >= begin && j < end) {                      \
        vec now = input_of(kind, x, second, index, ic);                      \
        USE(0, j) USE(1, j - step) USE(2, j - 2 * step) USE(3, j - 3 * step) \
    }                                                                        \
    x += pixel;
#define STORE(t)  \
    if (t < taps) \
        v_store(sum + t * VLEN, s[t]);
                EACH_TAP(LOAD)
                EACH_INPUT(INPUT)
                EACH_TAP(STORE)
#undef LOAD
#undef USE
#undef INPUT
#undef STORE
            }
        }
        if (with_bias) {
            real *bias = sums + values;
            v_store(bias, v_load(bias) + ((d[0] + d[1]) + (d[2] + d[3])));
        }
    }
}

#define WEIGHTS(name, taps, step, kind, pixels_, begin_, end_)                                               \
    static void name##_weights_##taps##_##step##_##kind(const weight_line *l, ptrdiff_t q, ptrdiff_t pixels, \
                                                        ptrdiff_t begin, ptrdiff_t end)                      \
    {                                                                                                        \
        (void)pixels, (void)begin, (void)end;                                                                \
        weight_4(l, q, taps, step, kind, pixels_, begin_, end_);                                             \
    }
#define WEIGHTS_OF_GROUPS(taps, step, kind)                  \
    WEIGHTS(inside, taps, step, kind, 4, 0, 3 * step + taps) \
    WEIGHTS(any, taps, step, kind, pixels, begin, end)
#define WEIGHTS_ALONE(taps, step, kind)                           \
    WEIGHTS_OF_GROUPS(taps, step, kind)                           \
    WEIGHTS(left, taps, step, kind, 4, taps / 2, 3 * step + taps) \
    WEIGHTS(right, taps, step, kind, 4, 0, 3 * step + taps - taps / 2)
#define WEIGHT_SHAPES(X, kind) X(1, 1, kind) X(1, 2, kind) X(3, 1, kind) X(3, 2, kind)
#define WEIGHT_SHAPES_ALONE(X, kind) X(5, 1, kind) X(5, 2, kind)
WEIGHT_SHAPES_ALONE(WEIGHTS_ALONE, ALONE)
WEIGHT_SHAPES(WEIGHTS_OF_GROUPS, SAME)
WEIGHT_SHAPES(WEIGHTS_OF_GROUPS, ODD)
WEIGHT_SHAPES(WEIGHTS_OF_GROUPS, WIDE)

/* For rows of neighbouring taps; without functions where there is no such loop. */
static weight_functions weight_functions_of(axis w, enum kind kind)
{
    if (w.spread != 1 || w.step > 2 || w.taps > MOST_TAPS) {
        return (weight_functions){NULL, NULL, NULL, NULL};
    }
#define GROUPS_CASE(taps, step, kind)                                                                \
    case (taps * 4 + step) * 8 + kind:                                                               \
        return (weight_functions){                                                                   \
            SHAPE_NAME(inside_weights, taps, step, kind), SHAPE_NAME(any_weights, taps, step, kind), \
            SHAPE_NAME(any_weights, taps, step, kind), SHAPE_NAME(any_weights, taps, step, kind)};
#define ALONE_CASE(taps, step, kind)                                                                  \
    case (taps * 4 + step) * 8 + kind:                                                                \
        return (weight_functions){                                                                    \
            SHAPE_NAME(inside_weights, taps, step, kind), SHAPE_NAME(left_weights, taps, step, kind), \
            SHAPE_NAME(right_weights, taps, step, kind), SHAPE_NAME(any_weights, taps, step, kind)};
    switch (shape_number(w.taps, w.step, kind == EVEN ? ODD : kind)) {
        WEIGHT_SHAPES_ALONE(ALONE_CASE, ALONE)
        WEIGHT_SHAPES(GROUPS_CASE, SAME)
        WEIGHT_SHAPES(GROUPS_CASE, ODD)
        WEIGHT_SHAPES(GROUPS_CASE, WIDE)
    }
#undef GROUPS_CASE
#undef ALONE_CASE
    return (weight_functions){NULL, NULL, NULL, NULL};
}

/* True if there is a loop for such rows. */
static int has_weight_row(axis w, enum kind kind)
{
    return (kind == ALONE && is_row_of_three(w)) || weight_functions_of(w, kind).any != NULL;
}

static void weight_row(const weight_line *l, axis w, prefetch *next_x, prefetch *next_dy)
{
    weight_functions f = l->functions;
    ptrdiff_t half = w.taps / 2;
    for (ptrdiff_t q = 0; q < w.out; q += 4) {
        ptrdiff_t pixels = at_most(4, w.out - q), first = axis_first(w, q), reach = (pixels - 1) * w.step + w.taps;
        ptrdiff_t begin = at_least(-first, 0), end = at_most(w.in - first, reach);
        prefetch_some(next_x);
        prefetch_some(next_dy);
        if (pixels < 4) {
            f.any(l, q, pixels, begin, end);
        } else if (begin == 0 && end == reach) {
            f.inside(l, q, pixels, begin, end);
        } else if (begin == half && end == reach) {
            f.left(l, q, pixels, begin, end);
        } else if (begin == 0 && end == reach - half) {
            f.right(l, q, pixels, begin, end);
        } else {
            f.any(l, q, pixels, begin, end);
        }
    }
}

static void weight_1(const weight_line *l, axis w, ptrdiff_t q)
{
    ptrdiff_t begin, end;
    real *sums = l->sums;
    taps_inside(w, q, &begin, &end);
    for (ptrdiff_t lane = 0; lane < l->lanes; lane = next_vector(l->lanes, lane), sums += (l->taps + 1) * VLEN) {
        vec d = v_load(l->dy + lane + q * l->dy_pixel);
        for (ptrdiff_t th = l->h_begin; th < l->h_end; th++) {
            const real *x = l->x + lane + th * l->row + q * w.step * l->pixel;
            for (ptrdiff_t tw = begin; tw < end; tw++) {
                real *sum = sums + (th * 3 + tw) * VLEN;
                v_store(sum, v_fma(v_load(x + tw * l->pixel), d, v_load(sum)));
            }
        }
        if (l->bias) {
            v_store(sums + l->taps * VLEN, v_load(sums + l->taps * VLEN) + d);
        }
    }
}

/* Depthwise, three taps, by hand. Four pixels of dy: an input that several of them see is loaded once. */
ALWAYS_INLINE void three_weights(const weight_line *l, ptrdiff_t q, const int step, int skip_first, int skip_last)
{
    real *sums = l->sums;
    for (ptrdiff_t lane = 0; lane < l->lanes; lane = next_vector(l->lanes, lane), sums += (l->taps + 1) * VLEN) {
        const real *dy = l->dy + lane + q * l->dy_pixel;
        vec d0 = v_load(dy), d1 = v_load(dy + l->dy_pixel), d2 = v_load(dy + 2 * l->dy_pixel),
            d3 = v_load(dy + 3 * l->dy_pixel);
        for (ptrdiff_t th = l->h_begin; th < l->h_end; th++) {
            const real *x = l->x + lane + th * l->row + q * step * l->pixel;
            real *sum = sums + th * 3 * VLEN;
            vec s0 = v_load(sum), s1 = v_load(sum + VLEN), s2 = v_load(sum + 2 * VLEN), now;
            if (!skip_first) {
                MULTIPLY_ADD(s0, v_load(x), d0);
            }
            now = v_load(x + l->pixel);
            MULTIPLY_ADD(s1, now, d0);
            if (step == 1) {
                MULTIPLY_ADD(s0, now, d1);
                now = v_load(x + 2 * l->pixel);
                MULTIPLY_ADD(s2, now, d0);
                MULTIPLY_ADD(s1, now, d1);
                MULTIPLY_ADD(s0, now, d2);
                now = v_load(x + 3 * l->pixel);
                MULTIPLY_ADD(s2, now, d1);
                MULTIPLY_ADD(s1, now, d2);
                MULTIPLY_ADD(s0, now, d3);
                now = v_load(x + 4 * l->pixel);
                MULTIPLY_ADD(s2, now, d2);
            } else {
                now = v_load(x + 2 * l->pixel);
                MULTIPLY_ADD(s2, now, d0);
                MULTIPLY_ADD(s0, now, d1);
                MULTIPLY_ADD(s1, v_load(x + 3 * l->pixel), d1);
                now = v_load(x + 4 * l->pixel);
                MULTIPLY_ADD(s2, now, d1);
                MULTIPLY_ADD(s0, now, d2);
                MULTIPLY_ADD(s1, v_load(x + 5 * l->pixel), d2);
                now = v_load(x + 6 * l->pixel);
                MULTIPLY_ADD(s2, now, d2);
                MULTIPLY_ADD(s0, now, d3);
                now = v_load(x + 7 * l->pixel);
            }
            MULTIPLY_ADD(s1, now, d3);
            if (!skip_last) {
                MULTIPLY_ADD(s2, v_load(x + (3 * step + 2) * l->pixel), d3);
            }
            v_store(sum, s0);
            v_store(sum + VLEN, s1);
            v_store(sum + 2 * VLEN, s2);
        }
        if (l->bias) {
            v_store(sums + l->taps * VLEN, v_load(sums + l->taps * VLEN) + ((d0 + d1) + (d2 + d3)));
        }
    }
}

static void weight_row_of_three(const weight_line *l, axis w, prefetch *next_x, prefetch *next_dy)
{
    int outside = axis_first(w, w.out - 1) + 2 >= w.in;
    ptrdiff_t q = 0;
    for (; q + 4 <= w.out; q += 4) {
        int skip_first = q == 0 && w.offset < 0, skip_last = q + 4 == w.out && outside;
        prefetch_some(next_x);
        prefetch_some(next_dy);
        if (w.step == 1) {
            three_weights(l, q, 1, skip_first, skip_last);
        } else {
            three_weights(l, q, 2, skip_first, skip_last);
        }
    }
    for (; q < w.out; q++) {
        weight_1(l, w, q);
    }
}

/* All vectors of a row: see output_vectors. */
static void weight_vectors(weight_line *l, axis w, prefetch *next_x, prefetch *next_dy)
{
    if (l->spread->kind == ALONE && is_row_of_three(w)) {
        weight_row_of_three(l, w, next_x, next_dy);
        return;
    }
    ptrdiff_t some = l->spread->kind == ALONE ? l->spread->vectors : 1;
    for (l->begin = 0; l->begin < l->spread->vectors; l->begin += some) {
        l->end = l->begin + some;
        weight_row(l, w, next_x, next_dy);
    }
}

/* The rows of a share. Some of them at a time have sums of their own, so that not too many numbers are added one after
 * the other. */
static void weight_rows_chunk(void *context_, ptrdiff_t slot)
{
    enum { PIXELS = 512 };
    const weight_context *x = context_;
    const correlation *c = x->c;
    ptrdiff_t values = x->vectors * (x->taps + 1) * VLEN, begin, end, some = ceil_div(PIXELS, c->w.out);
    real *totals = vector_sums(x, slot, 0), *sums = scratch((size_t)values * sizeof *sums);
    if (sums == NULL) {
        kernel_abort(KERNEL_NO_MEMORY);
        return;
    }
    weight_line l = {.functions = weight_functions_of(c->w, x->spread->kind),
                     .sums = sums,
                     .row = c->h.spread * c->in.h,
                     .pixel = c->in.w,
                     .dy_pixel = c->out.w,
                     .lanes = x->lanes,
                     .taps = x->taps,
                     .kernel = c->w_ic_taps,
                     .spread = x->spread,
                     .bias = x->db != NULL};
    memset(totals, 0, (size_t)values * sizeof *totals);
    chunk_bounds(c->N * c->h.out, x->slots, slot, &begin, &end);
    while (begin < end) {
        ptrdiff_t stop = at_most(begin + some, end);
        memset(sums, 0, (size_t)values * sizeof *sums);
        for (; begin < stop; begin++) {
            ptrdiff_t image = begin / c->h.out, row = begin % c->h.out;
            prefetch next_x = next_rows(c, x->in, image, row);
            l.dy = x->dout + begin * c->out.h;
            prefetch next_dy = prefetch_of(l.dy + c->out.h, begin + 1 < end ? c->out.h : 0, c->w.out / 4);
            taps_inside(c->h, row, &l.h_begin, &l.h_end);
            l.x = x->in + image * c->in.n + axis_first(c->h, row) * c->in.h + c->w.offset * c->in.w;
            weight_vectors(&l, c->w, &next_x, &next_dy);
        }
        for (ptrdiff_t i = 0; i < values; i += VLEN) {
            v_store(totals + i, v_load(totals + i) + v_load(sums + i));
        }
    }
}

/* ---- otherwise, depthwise: the image is copied with its border, and all taps run over the same pixels ---- */

enum { DEPTH_TAPS = 9 }; /* at a time: dy is loaded once for nine taps */

/* A block of pixels of one vector of channels. */
typedef struct {
    const real *x, *dy;
    ptrdiff_t rows, cols, x_row, x_col, dy_row, dy_col;
} pixels;

#define NINE_TAPS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8)
#define DECLARE(t)                       \
    const real *x##t = p->x + offset[t]; \
    vec s##t = v_zero();
#define STEP(t) s##t = v_fma(v_load(x##t + i), d, s##t);
#define STORE(t) v_store(sums[t], v_load(sums[t]) + s##t);

/* sums[t] += sum over the pixels of dy * x[offset[t]] */
static void nine_taps(const pixels *p, const ptrdiff_t *offset, real *const *sums)
{
    NINE_TAPS(DECLARE)
    for (ptrdiff_t r = 0; r < p->rows; r++) {
        const real *dy = p->dy + r * p->dy_row;
        for (ptrdiff_t i = r * p->x_row, end = i + p->cols * p->x_col; i < end; i += p->x_col, dy += p->dy_col) {
            vec d = v_load(dy);
            NINE_TAPS(STEP)
        }
    }
    NINE_TAPS(STORE)
}

static void add_pixels(const pixels *p, real *sum)
{
    vec s = v_load(sum);
    for (ptrdiff_t r = 0; r < p->rows; r++) {
        for (ptrdiff_t q = 0; q < p->cols; q++) {
            s += v_load(p->dy + r * p->dy_row + q * p->dy_col);
        }
    }
    v_store(sum, s);
}

/* All vectors and taps of a strip; x and dy of p are of lane 0. */
static void weight_strip(const weight_context *x, pixels p, ptrdiff_t tap_row, ptrdiff_t tap_col, ptrdiff_t slot)
{
    const real *image = p.x, *dy = p.dy;
    real unused[VLEN] = {0}; /* for taps that are none */
    for (ptrdiff_t vector = 0; vector < x->vectors; vector++) {
        real *sums = vector_sums(x, slot, vector);
        p.x = image + vector_begin(x->lanes, vector);
        p.dy = dy + vector_begin(x->lanes, vector);
        for (ptrdiff_t t = 0; t < x->taps; t += DEPTH_TAPS) {
            ptrdiff_t offset[DEPTH_TAPS];
            real *to[DEPTH_TAPS];
            for (ptrdiff_t i = 0; i < DEPTH_TAPS; i++) {
                ptrdiff_t tap = at_most(t + i, x->taps - 1);
                offset[i] = tap / x->c->w.taps * tap_row + tap % x->c->w.taps * tap_col;
                to[i] = t + i < x->taps ? sums + tap * VLEN : unused;
            }
            nine_taps(&p, offset, to);
        }
        if (x->db != NULL) {
            add_pixels(&p, sums + x->taps * VLEN);
        }
    }
}

static void weight_chunk(void *context_, ptrdiff_t slot)
{
    const weight_context *x = context_;
    const correlation *c = x->c;
    ptrdiff_t cols = axis_reach(c->w, c->w.out), x_row = cols * x->lanes, begin, end;
    size_t x_values = (size_t)(axis_reach(c->h, x->rows) * x_row + PACK_SLACK);
    size_t dy_values = x->dy_in_place ? 0 : (size_t)(x->rows * c->w.out * x->lanes + PACK_SLACK);
    real *room = scratch((x_values + dy_values) * sizeof(real)), *dy_room = room + x_values;
    if (room == NULL) {
        kernel_abort(KERNEL_NO_MEMORY);
        return;
    }
    memset(vector_sums(x, slot, 0), 0, (size_t)(x->vectors * (x->taps + 1)) * VBYTES);
    chunk_bounds(c->N * x->strips, x->slots, slot, &begin, &end);
    for (ptrdiff_t strip = begin; strip < end; strip++) {
        ptrdiff_t image = strip / x->strips, row = strip % x->strips * x->rows;
        pixels p = {.x = room,
                    .dy = x->dout + image * c->out.n + row * c->out.h,
                    .rows = at_most(x->rows, c->h.out - row),
                    .cols = c->w.out,
                    .x_row = c->h.step * x_row,
                    .x_col = c->w.step * x->lanes,
                    .dy_row = c->out.h,
                    .dy_col = c->out.w};
        piece from = {.image = x->in + image * c->in.n,
                      .stride = c->in,
                      .channels = c->G,
                      .h = c->h.in,
                      .w = c->w.in,
                      .row = axis_first(c->h, row),
                      .rows = axis_reach(c->h, p.rows),
                      .col = axis_first(c->w, 0),
                      .cols = cols};
        FN(pack_channels)(&from, x->lanes, room);
        if (!x->dy_in_place) {
            from = (piece){.image = x->dout + image * c->out.n,
                           .stride = c->out,
                           .channels = c->G,
                           .h = c->h.out,
                           .w = c->w.out,
                           .row = row,
                           .rows = p.rows,
                           .cols = c->w.out};
            FN(pack_channels)(&from, x->lanes, dy_room);
            p.dy = dy_room;
            p.dy_row = c->w.out * x->lanes;
            p.dy_col = x->lanes;
        }
        weight_strip(x, p, c->h.spread * x_row, c->w.spread * x->lanes, slot);
    }
}

static void add_slots(const weight_context *x)
{
    const correlation *c = x->c;
    for (ptrdiff_t k = 0; k < c->G * c->OC; k++) {
        ptrdiff_t vector = at_most(k / VLEN, x->vectors - 1), lane = k - vector_begin(x->lanes, vector);
        for (ptrdiff_t t = 0; t <= x->taps; t++) {
            const real *first = vector_sums(x, 0, vector) + t * VLEN + lane;
            real s = plus_real_parts(0, first, x->slots, x->vectors * (x->taps + 1) * VLEN);
            if (t < x->taps) {
                x->dw[k * x->taps + t] = s;
            } else if (x->db != NULL) {
                x->db[k] = s;
            }
        }
    }
}

/* Groups whose images lie in the other order: they are turned as a whole. */
typedef struct {
    const real *images;
    real *turned;
    strides4 stride;
    ptrdiff_t channels, h, w;
} turning;

static void turn_image(void *context_, ptrdiff_t image)
{
    const turning *t = context_;
    piece p = {.image = t->images + image * t->stride.n,
               .stride = t->stride,
               .channels = t->channels,
               .h = t->h,
               .w = t->w,
               .rows = t->h,
               .cols = t->w};
    real *room = scratch((size_t)(t->h * t->w * t->channels + PACK_SLACK) * sizeof *room);
    if (room == NULL) {
        kernel_abort(KERNEL_NO_MEMORY);
        return;
    }
    FN(pack_channels)(&p, t->channels, room);
    memcpy(t->turned + image * t->h * t->w * t->channels, room, (size_t)(t->h * t->w * t->channels) * sizeof *room);
}

/* images in channels-last order: themselves, or a copy in *memory; NULL without memory. Changes *stride to its. */
static const real *in_order(const real *images, ptrdiff_t N, ptrdiff_t channels, ptrdiff_t h, ptrdiff_t w,
                            strides4 *stride, real **memory)
{
    if (stride->c == 1) {
        return images;
    }
    turning t = {images, memory_get((size_t)(N * channels * h * w) * sizeof(real)), *stride, channels, h, w};
    if (t.turned != NULL) {
        parallel_for(N, turn_image, &t);
        *stride = (strides4){.n = h * w * channels, .c = 1, .h = w * channels, .w = channels};
    }
    *memory = t.turned;
    return t.turned;
}

static void weight_passes(weight_context *x, int by_rows)
{
    enum { STRIP_BYTES = 128 << 10, CHUNK_WORK = 2 << 20, MOST_CHUNKS = 64 };
    const correlation *c = x->c;
    ptrdiff_t row_bytes = axis_reach(c->w, c->w.out) * x->lanes * (ptrdiff_t)sizeof(real);
    ptrdiff_t rows = at_least((STRIP_BYTES / row_bytes - (c->h.taps - 1) * c->h.spread) / c->h.step, 4);
    x->strips = ceil_div(c->h.out, at_most(rows, c->h.out));
    x->rows = ceil_div(c->h.out, x->strips);
    x->strips = ceil_div(c->h.out, x->rows);
    /* A share has sums of its own: it should add much more than their number. */
    double least = x->spread->kind == ALONE ? CHUNK_WORK : 4 * CHUNK_WORK + 256.0 * c->G * c->OC * x->taps;
    double shares = correlation_work(c) / least;
    x->slots = shares < MOST_CHUNKS ? (ptrdiff_t)shares + 1 : MOST_CHUNKS;
    x->slots = at_most(x->slots, c->N * (by_rows ? c->h.out : x->strips));
    x->sums = memory_get((size_t)(x->slots * x->vectors * (x->taps + 1)) * VBYTES);
    if (x->sums == NULL) {
        kernel_abort(KERNEL_NO_MEMORY);
        return;
    }
    parallel_for(x->slots, by_rows ? weight_rows_chunk : weight_chunk, x);
    add_slots(x);
    memory_put(x->sums);
}

void FN(correlate_depthwise_weight)(const correlation *c_, const real *in, const real *dout, real *dw, real *db)
{
    correlation c = *c_;
    weight_context x = {.c = &c, .in = in, .dout = dout, .dw = dw, .db = db, .lanes = lanes_of(c.G * c.OC)};
    real *in_copy = NULL, *dout_copy = NULL;
    char *memory = memory_get(spread_bytes(&c));
    if (memory == NULL) {
        kernel_abort(KERNEL_NO_MEMORY);
        return;
    }
    x.spread = make_spread(&c, memory);
    x.vectors = x.spread->vectors;
    x.taps = c.IC * c.h.taps * c.w.taps;
    if (x.spread->kind != ALONE) {
        x.in = in_order(in, c.N, c.G * c.IC, c.h.in, c.w.in, &c.in, &in_copy);
        x.dout = x.in != NULL ? in_order(dout, c.N, c.G * c.OC, c.h.out, c.w.out, &c.out, &dout_copy) : NULL;
    }
    x.dy_in_place = c.out.c == 1 && c.G * c.OC >= VLEN;
    if (x.in == NULL || x.dout == NULL) {
        kernel_abort(KERNEL_NO_MEMORY);
    } else {
        weight_passes(&x, x.dy_in_place && c.in.c == 1 && has_weight_row(c.w, x.spread->kind));
    }
    memory_put(in_copy);
    memory_put(dout_copy);
    memory_put(memory);
}
