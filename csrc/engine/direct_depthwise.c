/* direct_depthwise.c: groups of few channels, down to one kernel for each channel (depthwise); the vectors hold output
 * channels of several groups.
 *
 * Depthwise, a product has one weight and one input that no other output of the channel's pixel shares, so there is
 * little to keep in registers, and memory sets the pace. The image is read where it lies, in the order in which it
 * lies: the loops go over rows, then pixels, then vectors of channels. What lies outside of the image is left out by
 * cutting the loops over the taps, row by row and for the few columns at the left and right end.
 *
 * With several channels a group, output lane o takes its inputs from the lanes of its group one after the other: the
 * vector that holds them is loaded, and its lanes are spread to where they are needed. Groups of 4:
 *
 *     input   a b c d  e f g h         input channel 0 of each group    a a a a  e e e e
 *     output  4 of a..d  4 of e..h     input channel 1                  b b b b  f f f f   and so on
 *
 * Where the memory order is the other one, or there are fewer channels than lanes, strips pass through scratch.
 */
#include <string.h>

#include "../memory.h"
#include "../threads.h"
#include "direct_depthwise.h"

/* The outputs all of whose taps lie inside: [*begin, *end). */
static void outputs_inside(axis a, ptrdiff_t *begin, ptrdiff_t *end)
{
    ptrdiff_t last = a.offset + (a.taps - 1) * a.spread; /* what the last tap of output 0 reads */
    *begin = a.offset < 0 ? at_most(ceil_div(-a.offset, a.step), a.out) : 0;
    *end = last < a.in ? at_least(at_most((a.in - 1 - last) / a.step + 1, a.out), *begin) : *begin;
}

int FN(depthwise_can)(ptrdiff_t inputs, ptrdiff_t outputs, ptrdiff_t groups)
{
    if (inputs == 1 && outputs == 1) {
        return groups > 1;
    }
    return CAN_SPREAD && groups > 1 && groups * inputs >= VLEN && groups * outputs >= VLEN && outputs <= VLEN &&
           (kind_of(inputs, outputs, groups) == SAME || widest(inputs, outputs, groups) <= 2 * VLEN);
}

typedef depthwise context;

/* ---- forward, and backward to the input -------------------------------------------------------------------------- */

/* A row of outputs, some vectors of it. x: the first tap of output 0, at distances row, pixel. */
typedef struct {
    const real *x, *w, *bias;
    real *out;
    ptrdiff_t row, pixel, step, out_step; /* step: from output to output */
    ptrdiff_t w_row, w_input;             /* weights are in the order of the taps */
    ptrdiff_t lanes, begin, end;          /* vectors [begin, end) */
    ptrdiff_t h_begin, h_end;             /* taps inside */
    const spread *spread;
    int relu;
} line;

/* One output, with its taps [w_begin, w_end) of a row. */
ALWAYS_INLINE void outputs_1(const line *l, ptrdiff_t q, ptrdiff_t w_begin, ptrdiff_t w_end, const enum kind kind)
{
    for (ptrdiff_t v = l->begin; v < l->end; v++) {
        ptrdiff_t lane = vector_begin(l->lanes, v), first = l->spread->first[v], second = l->spread->second[v] - first;
        vec s = v_load(l->bias + lane);
        for (ptrdiff_t ic = 0; ic < l->spread->inputs; ic++) {
            vec_index index = l->spread->index[v * l->spread->inputs + ic];
            for (ptrdiff_t th = l->h_begin; th < l->h_end; th++) {
                const real *x = l->x + first + th * l->row + q * l->step;
                const real *w = l->w + (v * l->spread->inputs + ic) * l->w_input + th * l->w_row;
                for (ptrdiff_t tw = w_begin; tw < w_end; tw++) {
                    s = v_fma(input_of(kind, x + tw * l->pixel, second, index, ic), v_load(w + tw * VLEN), s);
                }
            }
        }
        v_store(l->out + lane + q * l->out_step, l->relu ? v_relu(s) : s);
    }
}

static void output_1(const line *l, ptrdiff_t q, ptrdiff_t w_begin, ptrdiff_t w_end)
{
    switch (l->spread->kind) {
    case ALONE: outputs_1(l, q, w_begin, w_end, ALONE); break;
    case SAME: outputs_1(l, q, w_begin, w_end, SAME); break;
    case WIDE: outputs_1(l, q, w_begin, w_end, WIDE); break;
    default: outputs_1(l, q, w_begin, w_end, ODD); break;
    }
}

static inline void store_4(real *out, ptrdiff_t step, int relu, vec a, vec b, vec c, vec d)
{
    v_store(out, relu ? v_relu(a) : a);
    v_store(out + step, relu ? v_relu(b) : b);
    v_store(out + 2 * step, relu ? v_relu(c) : c);
    v_store(out + 3 * step, relu ? v_relu(d) : d);
}

/* Any four outputs all of whose taps lie inside, depthwise. The last of them may have fewer: `last_taps`. */
static void outputs_4(const line *l, ptrdiff_t q, ptrdiff_t taps, ptrdiff_t last_taps)
{
    for (ptrdiff_t v = l->begin; v < l->end; v++) {
        ptrdiff_t lane = vector_begin(l->lanes, v);
        vec a = v_load(l->bias + lane), b = a, c = a, d = a;
        for (ptrdiff_t th = l->h_begin; th < l->h_end; th++) {
            const real *x = l->x + lane + th * l->row + q * l->step, *w = l->w + v * l->w_input + th * l->w_row;
            for (ptrdiff_t tw = 0; tw < taps; tw++, x += l->pixel, w += VLEN) {
                vec weight = v_load(w);
                a = v_fma(v_load(x), weight, a);
                b = v_fma(v_load(x + l->step), weight, b);
                c = v_fma(v_load(x + 2 * l->step), weight, c);
                if (tw < last_taps) {
                    d = v_fma(v_load(x + 3 * l->step), weight, d);
                }
            }
        }
        store_4(l->out + lane + q * l->out_step, l->out_step, l->relu, a, b, c, d);
    }
}

/* Four outputs, of whose inputs of a row those numbered [begin, end) lie inside of the image. Inputs of a group are
 * taken in pairs where there are two: then there are sums enough that none waits. */
ALWAYS_INLINE void four_outputs(const line *l, ptrdiff_t q, const int taps, const int step, const enum kind kind,
                                ptrdiff_t begin, ptrdiff_t end)
{
    const int pairs = kind == SAME || kind == EVEN, relu = l->relu;
    const ptrdiff_t inputs = kind == ALONE ? 1 : l->spread->inputs, rows = l->h_end - l->h_begin;
    const ptrdiff_t lanes = l->lanes, vectors = l->end, pixel = l->pixel, row = l->row, out_step = l->out_step;
    const ptrdiff_t w_input = l->w_input;
    const real *input = l->x + q * l->step + l->h_begin * row, *bias = l->bias;
    const real *weight = l->w + l->begin * inputs * w_input + l->h_begin * taps * VLEN;
    real *out = l->out + q * out_step;
    for (ptrdiff_t v = l->begin; v < vectors; v++) {
        ptrdiff_t lane = vector_begin(lanes, v), first = lane, second = 0;
        if (kind != ALONE) {
            first = l->spread->first[v];
            second = l->spread->second[v] - first;
        }
        vec sum[4], odd[4], w[MOST_TAPS], w_odd[MOST_TAPS];
        sum[0] = sum[1] = sum[2] = sum[3] = v_load(bias + lane);
        odd[0] = odd[1] = odd[2] = odd[3] = v_zero();
        for (ptrdiff_t ic = 0; ic < inputs; ic += 1 + pairs, weight += (1 + pairs) * w_input) {
            vec_index index = {0}, index_odd = {0};
            if (kind != ALONE) {
                index = l->spread->index[v * inputs + ic];
                index_odd = l->spread->index[v * inputs + ic + pairs];
            }
            const real *x_row = input + first, *from = weight;
            for (ptrdiff_t th = 0; th < rows; th++, x_row += row, from += taps * VLEN) {
                const real *x = x_row;
#define LOAD(t)                                           \
    if (t < taps) {                                       \
        w[t] = v_load(from + t * VLEN);                   \
        if (pairs)                                        \
            w_odd[t] = v_load(from + t * VLEN + w_input); \
    }
#define USE(p, t)                                         \
    if ((t) >= 0 && (t) < taps) {                         \
        MULTIPLY_ADD(sum[p], now, w[TAP(t)]);             \
        if (pairs)                                        \
            MULTIPLY_ADD(odd[p], now_odd, w_odd[TAP(t)]); \
    }
#define INPUT(j)                                                             \
    if (j < 3 * step + taps && j >= begin && j < end) {                      \
        vec now = input_of(kind, x, second, index, ic), now_odd = now;       \
        if (pairs)                                                           \
            now_odd = input_of(kind, x, second, index_odd, ic + 1);          \
        USE(0, j) USE(1, j - step) USE(2, j - 2 * step) USE(3, j - 3 * step) \
    }                                                                        \
    x += pixel;
                EACH_TAP(LOAD)
                EACH_INPUT(INPUT)
#undef LOAD
#undef USE
#undef INPUT
            }
        }
        if (pairs) {
            sum[0] += odd[0], sum[1] += odd[1], sum[2] += odd[2], sum[3] += odd[3];
        }
        store_4(out + lane, out_step, relu, sum[0], sum[1], sum[2], sum[3]);
    }
}

/* Each shape is a function of its own: of large ones GCC keeps too much on the stack. Depthwise, where there is little
 * else to do, there are others for the borders of most images: half of the first or of the last output's taps outside.
 */
typedef void four_function(const line *l, ptrdiff_t q, ptrdiff_t begin, ptrdiff_t end);

typedef struct {
    four_function *inside, *left, *right, *any;
} four_functions;

#define FOUR(name, taps, step, kind, begin_, end_)                                                          \
    static void name##_##taps##_##step##_##kind(const line *l, ptrdiff_t q, ptrdiff_t begin, ptrdiff_t end) \
    {                                                                                                       \
        (void)begin, (void)end;                                                                             \
        four_outputs(l, q, taps, step, kind, begin_, end_);                                                 \
    }
#define FOUR_OF_GROUPS(taps, step, kind)               \
    FOUR(inside, taps, step, kind, 0, 3 * step + taps) \
    FOUR(any, taps, step, kind, begin, end)
#define FOUR_ALONE(taps, step, kind)                        \
    FOUR_OF_GROUPS(taps, step, kind)                        \
    FOUR(left, taps, step, kind, taps / 2, 3 * step + taps) \
    FOUR(right, taps, step, kind, 0, 3 * step + taps - taps / 2)
#define SHAPES_TO_2(X, kind) X(1, 1, kind) X(1, 2, kind) X(2, 1, kind)
#define SHAPES_TO_3(X, kind) SHAPES_TO_2(X, kind) X(3, 1, kind) X(3, 2, kind)
#define SHAPES_FROM_4(X, kind) X(4, 1, kind) X(5, 1, kind) X(5, 2, kind) X(7, 1, kind) X(7, 2, kind)
SHAPES_TO_2(FOUR_ALONE, ALONE)
SHAPES_FROM_4(FOUR_ALONE, ALONE)
SHAPES_TO_3(FOUR_OF_GROUPS, SAME)
SHAPES_TO_3(FOUR_OF_GROUPS, EVEN)
SHAPES_TO_3(FOUR_OF_GROUPS, ODD)
SHAPES_TO_3(FOUR_OF_GROUPS, WIDE)

/* For rows of neighbouring taps; without functions where there is no such loop. */
static four_functions four_functions_of(axis w, enum kind kind)
{
    if (w.spread != 1 || w.out < 4 || w.step > 2 || w.taps > MOST_TAPS) {
        return (four_functions){NULL, NULL, NULL, NULL};
    }
#define GROUPS_CASE(taps, step, kind)                                                                    \
    case (taps * 4 + step) * 8 + kind:                                                                   \
        return (four_functions){SHAPE_NAME(inside, taps, step, kind), SHAPE_NAME(any, taps, step, kind), \
                                SHAPE_NAME(any, taps, step, kind), SHAPE_NAME(any, taps, step, kind)};
#define ALONE_CASE(taps, step, kind)                                                                      \
    case (taps * 4 + step) * 8 + kind:                                                                    \
        return (four_functions){SHAPE_NAME(inside, taps, step, kind), SHAPE_NAME(left, taps, step, kind), \
                                SHAPE_NAME(right, taps, step, kind), SHAPE_NAME(any, taps, step, kind)};
    switch (shape_number(w.taps, w.step, kind)) {
        SHAPES_TO_2(ALONE_CASE, ALONE)
        SHAPES_FROM_4(ALONE_CASE, ALONE)
        SHAPES_TO_3(GROUPS_CASE, SAME)
        SHAPES_TO_3(GROUPS_CASE, EVEN)
        SHAPES_TO_3(GROUPS_CASE, ODD)
        SHAPES_TO_3(GROUPS_CASE, WIDE)
    }
#undef GROUPS_CASE
#undef ALONE_CASE
    return (four_functions){NULL, NULL, NULL, NULL};
}

/* The last four overlap those before where 4 does not divide the row. */
static void output_row_of_neighbours(const line *l, axis w, four_functions f, prefetch *next)
{
    ptrdiff_t reach = 3 * w.step + w.taps, half = w.taps / 2;
    for (ptrdiff_t q = 0; q < w.out; q += 4) {
        ptrdiff_t four = at_most(q, w.out - 4), first = axis_first(w, four);
        ptrdiff_t begin = at_least(-first, 0), end = at_most(w.in - first, reach);
        prefetch_some(next);
        if (begin == 0 && end == reach) {
            f.inside(l, four, begin, end);
        } else if (begin == half && end == reach) {
            f.left(l, four, begin, end);
        } else if (begin == 0 && end == reach - half) {
            f.right(l, four, begin, end);
        } else {
            f.any(l, four, begin, end);
        }
    }
}

/* Depthwise, four outputs of three taps, which most layers have, by hand: an input that several outputs see is loaded
 * once. The first tap of the first output, or the last one of the last, may lie outside of the image: they are skipped.
 */
static void outputs_4_step_1(const line *l, ptrdiff_t q, int skip_first, int skip_last)
{
    const real *weights = l->w;
    for (ptrdiff_t lane = 0; lane < l->lanes; lane = next_vector(l->lanes, lane), weights += l->w_input) {
        vec a = v_load(l->bias + lane), b = a, c = a, d = a;
        for (ptrdiff_t th = l->h_begin; th < l->h_end; th++) {
            const real *x = l->x + lane + th * l->row + q * l->step, *w = weights + th * l->w_row;
            vec w0 = v_load(w), w1 = v_load(w + VLEN), w2 = v_load(w + 2 * VLEN), now;
            if (!skip_first) {
                MULTIPLY_ADD(a, v_load(x), w0);
            }
            now = v_load(x + l->pixel);
            MULTIPLY_ADD(a, now, w1);
            MULTIPLY_ADD(b, now, w0);
            now = v_load(x + 2 * l->pixel);
            MULTIPLY_ADD(a, now, w2);
            MULTIPLY_ADD(b, now, w1);
            MULTIPLY_ADD(c, now, w0);
            now = v_load(x + 3 * l->pixel);
            MULTIPLY_ADD(b, now, w2);
            MULTIPLY_ADD(c, now, w1);
            MULTIPLY_ADD(d, now, w0);
            now = v_load(x + 4 * l->pixel);
            MULTIPLY_ADD(c, now, w2);
            MULTIPLY_ADD(d, now, w1);
            if (!skip_last) {
                MULTIPLY_ADD(d, v_load(x + 5 * l->pixel), w2);
            }
        }
        store_4(l->out + lane + q * l->out_step, l->out_step, l->relu, a, b, c, d);
    }
}

static void outputs_4_step_2(const line *l, ptrdiff_t q, int skip_first, int skip_last)
{
    const real *weights = l->w;
    for (ptrdiff_t lane = 0; lane < l->lanes; lane = next_vector(l->lanes, lane), weights += l->w_input) {
        vec a = v_load(l->bias + lane), b = a, c = a, d = a;
        for (ptrdiff_t th = l->h_begin; th < l->h_end; th++) {
            const real *x = l->x + lane + th * l->row + q * l->step, *w = weights + th * l->w_row;
            vec w0 = v_load(w), w1 = v_load(w + VLEN), w2 = v_load(w + 2 * VLEN), now;
            if (!skip_first) {
                MULTIPLY_ADD(a, v_load(x), w0);
            }
            MULTIPLY_ADD(a, v_load(x + l->pixel), w1);
            now = v_load(x + 2 * l->pixel);
            MULTIPLY_ADD(a, now, w2);
            MULTIPLY_ADD(b, now, w0);
            MULTIPLY_ADD(b, v_load(x + 3 * l->pixel), w1);
            now = v_load(x + 4 * l->pixel);
            MULTIPLY_ADD(b, now, w2);
            MULTIPLY_ADD(c, now, w0);
            MULTIPLY_ADD(c, v_load(x + 5 * l->pixel), w1);
            now = v_load(x + 6 * l->pixel);
            MULTIPLY_ADD(c, now, w2);
            MULTIPLY_ADD(d, now, w0);
            MULTIPLY_ADD(d, v_load(x + 7 * l->pixel), w1);
            if (!skip_last) {
                MULTIPLY_ADD(d, v_load(x + 8 * l->pixel), w2);
            }
        }
        store_4(l->out + lane + q * l->out_step, l->out_step, l->relu, a, b, c, d);
    }
}

/* The last four overlap those before where 4 does not divide the row. Step 2 is a function of its own: in one function
 * with it, step 1 would get fewer registers. The copy spares reading *line_ again after each store. */
static __attribute__((noinline)) void output_row_of_three_step_2(const line *line_, axis w, prefetch *next)
{
    const line copy = *line_, *l = &copy;
    int outside = axis_first(w, w.out - 1) + 2 >= w.in;
    for (ptrdiff_t q = 0; q < w.out; q += 4) {
        ptrdiff_t begin = at_most(q, w.out - 4);
        prefetch_some(next);
        outputs_4_step_2(l, begin, begin == 0 && w.offset < 0, begin == w.out - 4 && outside);
    }
}

static void output_row_of_three(const line *l, axis w, prefetch *next)
{
    if (w.step == 2) {
        output_row_of_three_step_2(l, w, next);
        return;
    }
    int outside = axis_first(w, w.out - 1) + 2 >= w.in;
    for (ptrdiff_t q = 0; q < w.out; q += 4) {
        ptrdiff_t begin = at_most(q, w.out - 4);
        prefetch_some(next);
        outputs_4_step_1(l, begin, begin == 0 && w.offset < 0, begin == w.out - 4 && outside);
    }
}

static void output_row(const line *l, axis w, prefetch *next)
{
    ptrdiff_t begin, end, first, last, q = 0;
    if (l->spread->kind == ALONE && is_row_of_three(w)) {
        output_row_of_three(l, w, next);
        return;
    }
    four_functions functions = four_functions_of(w, l->spread->kind);
    if (functions.inside != NULL) {
        output_row_of_neighbours(l, w, functions, next);
        return;
    }
    outputs_inside(w, &begin, &end);
    taps_inside(w, w.out - 1, &first, &last);
    if (end == w.out - 1 && first == 0) {
        end = w.out; /* the last output, too, can be the last of four */
    }
    ptrdiff_t last_taps = last;
    while (q < w.out) {
        prefetch_some(next);
        if (l->spread->kind == ALONE && q >= begin && q < end && end - begin >= 4) {
            ptrdiff_t four = at_most(q, end - 4);
            outputs_4(l, four, w.taps, four + 4 == w.out ? last_taps : w.taps);
            q = at_most(q + 4, end);
            continue;
        }
        taps_inside(w, q, &first, &last);
        output_1(l, q++, first, last);
    }
}

/* All vectors of a row. Groups have weights enough that those of one vector should serve the whole row, from the first
 * cache; depthwise, the order of memory counts. */
static void output_vectors(line *l, axis w, prefetch *next)
{
    ptrdiff_t some = l->spread->kind == ALONE ? l->spread->vectors : 1;
    for (l->begin = 0; l->begin < l->spread->vectors; l->begin += some) {
        l->end = l->begin + some;
        output_row(l, w, next);
    }
}

/* Rows [row, row + rows) of one image from results, [row][column][lane], to where the output has them. */
static void copy_out(const correlation *c, const real *results, ptrdiff_t lanes, ptrdiff_t rows, real *out)
{
    for (ptrdiff_t r = 0; r < rows; r++) {
        for (ptrdiff_t k = 0; k < c->G * c->OC; k++) {
            const real *from = results + r * c->w.out * lanes + k;
            real *to = out + r * c->out.h + k * c->out.c;
            for (ptrdiff_t q = 0; q < c->w.out; q++) {
                to[q * c->out.w] = from[q * lanes];
            }
        }
    }
}

/* The input rows that output rows row .. row+rows-1 of a phase read, without a border, [row][column][lane]; returns the
 * number of the first of them. */
static ptrdiff_t load_rows(const context *x, const correlation *c, ptrdiff_t image, ptrdiff_t row, ptrdiff_t rows,
                           real *room)
{
    ptrdiff_t begin = at_least(axis_first(c->h, row), 0);
    ptrdiff_t end = at_most(axis_first(c->h, row) + axis_reach(c->h, rows), c->h.in);
    piece p = {.image = x->in + image * c->in.n,
               .stride = c->in,
               .channels = c->G * c->IC,
               .h = c->h.in,
               .w = c->w.in,
               .row = begin,
               .rows = at_least(end - begin, 0),
               .col = 0,
               .cols = c->w.in};
    FN(pack_channels)(&p, x->in_lanes, room);
    return begin;
}

/* Values of scratch that `rows` output rows of a phase need for their input, and for their output. */
static ptrdiff_t room_in(const context *x, const correlation *c, ptrdiff_t rows)
{
    return x->in_place ? 0 : at_least(axis_reach(c->h, rows), 0) * c->w.in * x->in_lanes + PACK_SLACK;
}

static ptrdiff_t room_out(const context *x, const correlation *c, ptrdiff_t rows)
{
    return x->out_in_place ? 0 : rows * c->w.out * x->lanes;
}

/* Output rows row .. row+rows-1 of one phase and image, to `out`. */
static void phase_strip(const context *x, ptrdiff_t phase, ptrdiff_t image, ptrdiff_t row, ptrdiff_t rows, real *room,
                        real *out)
{
    const correlation *c = &x->phases[phase].c;
    const real *in = x->in + image * c->in.n;
    real *results = room + room_in(x, c, rows);
    ptrdiff_t first = 0, in_row = c->in.h, in_pixel = c->in.w;
    if (!x->in_place) {
        first = load_rows(x, c, image, row, rows, room);
        in = room;
        in_row = c->w.in * x->in_lanes;
        in_pixel = x->in_lanes;
    }
    line l = {.w = x->weights + x->phase_weights[phase],
              .bias = x->bias,
              .row = c->h.spread * in_row,
              .pixel = c->w.spread * in_pixel,
              .step = c->w.step * in_pixel,
              .out_step = x->out_in_place ? c->out.w : x->lanes,
              .w_row = c->w.taps * VLEN,
              .w_input = c->h.taps * c->w.taps * VLEN,
              .lanes = x->lanes,
              .spread = x->spread,
              .relu = c->relu};
    for (ptrdiff_t r = 0; r < rows; r++) {
        taps_inside(c->h, row + r, &l.h_begin, &l.h_end);
        l.x = in + (axis_first(c->h, row + r) - first) * in_row + c->w.offset * in_pixel;
        l.out = x->out_in_place ? out + r * c->out.h : results + r * c->w.out * x->lanes;
        prefetch next = x->in_place ? next_rows(c, x->in, image, row + r) : (prefetch){0};
        output_vectors(&l, c->w, &next);
    }
    if (!x->out_in_place) {
        copy_out(c, results, x->lanes, rows, out);
    }
}

/* The lines that the phases will write in their row `row`: a share of them while each phase writes the row before.
 * Always inlined: GCC drops calls of a function that does nothing but prefetch. */
ALWAYS_INLINE void prefetch_output(const context *x, ptrdiff_t image, ptrdiff_t row, ptrdiff_t share)
{
    const correlation *c = &x->phases->c;
    const real *out = x->phases->out + image * c->out.n + row * c->out.h;
    ptrdiff_t values = row < c->h.out ? c->out.h : 0, line = 64 / (ptrdiff_t)sizeof(real);
    for (ptrdiff_t i = values * share / x->count; i < values * (share + 1) / x->count; i += line) {
        __builtin_prefetch(out + i, 1, 2);
    }
}

static void correlate_chunk(void *context_, ptrdiff_t chunk)
{
    const context *x = context_;
    ptrdiff_t strip = chunk % x->cut.strips, image = chunk / x->cut.strips * x->cut.images;
    ptrdiff_t last = at_most(image + x->cut.images, x->phases->c.N), row = strip * x->cut.rows, most = 0;
    for (ptrdiff_t p = 0; p < x->count; p++) {
        const correlation *c = &x->phases[p].c;
        ptrdiff_t rows = at_most(x->cut.rows, c->h.out - row);
        most = at_least(most, rows > 0 ? room_in(x, c, rows) + room_out(x, c, rows) : 0);
    }
    real *room = scratch((size_t)(most + 1) * sizeof(real));
    if (room == NULL) {
        kernel_abort(KERNEL_NO_MEMORY);
        return;
    }
    /* Phases write between each other: they take turns row by row, so that they fill lines and pages together. */
    int in_turns = x->count > 1 && x->in_place && x->out_in_place;
    ptrdiff_t some = in_turns ? 1 : x->cut.rows;
    for (; image < last; image++) {
        for (ptrdiff_t begin = row; begin < row + x->cut.rows; begin += some) {
            for (ptrdiff_t p = 0; p < x->count; p++) {
                const correlation *c = &x->phases[p].c;
                ptrdiff_t rows = at_most(some, c->h.out - begin);
                if (in_turns) {
                    prefetch_output(x, image, begin + 1, p);
                }
                if (rows > 0) {
                    real *out = x->phases[p].out + image * c->out.n + begin * c->out.h;
                    phase_strip(x, p, image, begin, rows, room, out);
                }
            }
        }
    }
}

/* cut_batch counts multiplications; here each of them loads, and takes about four times as long. */
static cut cut_depthwise(const context *x)
{
    const correlation *c = &x->phases->c;
    correlation as_dense = *c;
    as_dense.IC = (x->spread->kind == ALONE ? 4 : 2) * c->G * c->IC * x->count; /* of one group */
    double row_bytes = (double)(c->h.step * c->w.in * c->IC + x->count * c->w.out * c->OC) * c->G * sizeof(real);
    return FN(cut_batch)(&as_dense, row_bytes * c->h.taps * c->h.spread / c->h.step, row_bytes, 1);
}

/* Returns the end of what it filled. */
static real *pack_weights(const correlation *c, ptrdiff_t lanes, const real *w, real *to)
{
    ptrdiff_t channels = c->G * c->OC, taps = c->h.taps * c->w.taps;
    for (ptrdiff_t v = 0; v * VLEN < lanes; v++, to += c->IC * taps * VLEN) {
        for (ptrdiff_t lane = 0; lane < VLEN; lane++) {
            ptrdiff_t k = vector_begin(lanes, v) + lane;
            real scale = k < channels && c->scale != NULL ? c->scale[k] : 1;
            const real *from = w + k / c->OC * c->w_group + k % c->OC * c->w_oc;
            real *lane_to = to + lane;
            from += c->h.kernel * c->w_kh + c->w.kernel * c->w_kw;
            for (ptrdiff_t ic = 0; ic < c->IC; ic++) {
                for (ptrdiff_t th = 0; th < c->h.taps; th++) {
                    ptrdiff_t row = ic * c->w_ic + th * c->h.kernel_step * c->w_kh;
                    for (ptrdiff_t tw = 0; tw < c->w.taps; tw++, lane_to += VLEN) {
                        *lane_to = k < channels ? from[row + tw * c->w.kernel_step * c->w_kw] * scale : 0;
                    }
                }
            }
        }
    }
    return to;
}

int FN(depthwise_prepare)(depthwise *d, const depthwise_phase *phases, ptrdiff_t count, const real *in, const real *w,
                          const real *bias)
{
    const correlation *c = &phases->c;
    *d = (depthwise){.phases = phases,
                     .count = count,
                     .in = in,
                     .lanes = lanes_of(c->G * c->OC),
                     .in_lanes = lanes_of(c->G * c->IC),
                     .in_place = c->in.c == 1 && c->G * c->IC >= VLEN,
                     .out_in_place = c->out.c == 1 && c->G * c->OC >= VLEN};
    /* Each weight belongs to one phase. */
    size_t weights = (size_t)(ceil_div(d->lanes, VLEN) * c->IC * c->w_ic_taps) * VBYTES;
    size_t biases = whole_vectors((size_t)d->lanes * sizeof(real));
    size_t begins = whole_vectors((size_t)count * sizeof(ptrdiff_t));
    char *memory = memory_get(weights + biases + begins + spread_bytes(c));
    if (memory == NULL) {
        return -1;
    }
    d->weights = (real *)memory;
    d->bias = (real *)(memory + weights);
    d->phase_weights = (ptrdiff_t *)(memory + weights + biases);
    d->spread = make_spread(c, memory + weights + biases + begins);
    d->cut = cut_depthwise(d);
    real *to = d->weights;
    for (ptrdiff_t p = 0; p < count; p++) {
        d->phase_weights[p] = to - d->weights;
        to = pack_weights(&phases[p].c, d->lanes, w, to);
    }
    for (ptrdiff_t k = 0; k < d->lanes; k++) {
        d->bias[k] = bias != NULL && k < c->G * c->OC ? bias[k] : 0;
    }
    return 0;
}

void FN(depthwise_rows)(const depthwise *d, ptrdiff_t image, ptrdiff_t row, ptrdiff_t rows, real *room, real *out)
{
    phase_strip(d, 0, image, row, rows, room, out);
}

ptrdiff_t FN(depthwise_room)(const depthwise *d, ptrdiff_t rows) { return room_in(d, &d->phases->c, rows); }

void FN(correlate_depthwise)(const depthwise_phase *phases, ptrdiff_t count, const real *in, const real *w,
                             const real *bias)
{
    depthwise d;
    if (FN(depthwise_prepare)(&d, phases, count, in, w, bias) < 0) {
        kernel_abort(KERNEL_NO_MEMORY);
        return;
    }
    parallel_for(d.cut.image_chunks * d.cut.strips, correlate_chunk, &d);
    memory_put(d.weights);
}
