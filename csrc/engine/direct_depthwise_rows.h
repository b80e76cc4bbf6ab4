/* direct_depthwise_rows.h: one row of outputs of direct_depthwise.c. Four outputs at a time, with as many of their taps
 * in registers as the taps and the step allow; at the ends of the row one at a time, with the taps that lie inside.
 */
#ifndef CNN_ENGINE_DIRECT_DEPTHWISE_ROWS_H
#define CNN_ENGINE_DIRECT_DEPTHWISE_ROWS_H

#include "direct_depthwise.h"

/* The outputs all of whose taps lie inside: [*begin, *end). */
static void outputs_inside(axis a, ptrdiff_t *begin, ptrdiff_t *end)
{
    ptrdiff_t last = a.offset + (a.taps - 1) * a.spread; /* what the last tap of output 0 reads */
    *begin = a.offset < 0 ? at_most(ceil_div(-a.offset, a.step), a.out) : 0;
    *end = last < a.in ? at_least(at_most((a.in - 1 - last) / a.step + 1, a.out), *begin) : *begin;
}

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

#endif
