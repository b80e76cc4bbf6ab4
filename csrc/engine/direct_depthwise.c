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
#include <stdint.h>
#include <string.h>

#include "../memory.h"
#include "../simd/simd.h"
#include "../threads.h"
#include "direct.h"

/* Channels are done a vector at a time, the last vector overlapping the one before. At least one vector is there. */
static ptrdiff_t lanes_of(ptrdiff_t channels) { return at_least(channels, VLEN); }

static ptrdiff_t vector_begin(ptrdiff_t lanes, ptrdiff_t vector) { return at_most(vector * VLEN, lanes - VLEN); }

/* The same as a loop:  for (ptrdiff_t lane = 0; lane < lanes; lane = next_vector(lanes, lane)) */
static inline ptrdiff_t next_vector(ptrdiff_t lanes, ptrdiff_t lane)
{
    return lane + VLEN < lanes ? at_most(lane + VLEN, lanes - VLEN) : lanes;
}

/* The taps of an output that lie inside: [*begin, *end). */
static void taps_inside(axis a, ptrdiff_t output, ptrdiff_t *begin, ptrdiff_t *end)
{
    ptrdiff_t first = axis_first(a, output);
    *begin = first < 0 ? at_most(ceil_div(-first, a.spread), a.taps) : 0;
    *end = first < a.in ? at_least(at_most((a.in - 1 - first) / a.spread + 1, a.taps), *begin) : *begin;
}

/* The outputs all of whose taps lie inside: [*begin, *end). */
static void outputs_inside(axis a, ptrdiff_t *begin, ptrdiff_t *end)
{
    ptrdiff_t last = a.offset + (a.taps - 1) * a.spread; /* what the last tap of output 0 reads */
    *begin = a.offset < 0 ? at_most(ceil_div(-a.offset, a.step), a.out) : 0;
    *end = last < a.in ? at_least(at_most((a.in - 1 - last) / a.step + 1, a.out), *begin) : *begin;
}

/* ---- inputs for the lanes of an output vector ----------------------------------------------------------------------
 */

/* A whole number of the size of `real` for each lane. */
typedef __typeof__(__builtin_choose_expr(sizeof(real) == 4, (int32_t)0, (int64_t)0)) lane_index;
typedef lane_index vec_index __attribute__((vector_size(VBYTES)));

/* How a vector of outputs gets its inputs: */
enum kind {
    ALONE, /* depthwise: as they lie */
    SAME,  /* all lanes are of one group, of an even number of inputs: one number for all */
    EVEN,  /* spread from one vector; an even number of inputs in a group */
    ODD,   /* the same, an odd one */
    WIDE   /* spread from two vectors */
};

/* From a pixel's first channel: for each vector of outputs where the vectors lie that hold its inputs, and for each of
 * the inputs of a group which lanes of them. */
typedef struct spread {
    enum kind kind;
    ptrdiff_t vectors, inputs;
    ptrdiff_t *first, *second; /* [vector] */
    vec_index *index;          /* [vector][input] */
} spread;

#if VBYTES >= 32 && !defined(__clang__)
#define CAN_SPREAD 1

static inline vec spread_one(vec v, vec_index index) { return __builtin_shuffle(v, index); }

static inline vec spread_two(vec v, vec w, vec_index index) { return __builtin_shuffle(v, w, index); }
#else /* no instruction for it */
#define CAN_SPREAD 0

static inline vec spread_one(vec v, vec_index index) { return (void)index, v; }

static inline vec spread_two(vec v, vec w, vec_index index) { return (void)index, (void)w, v; }
#endif

/* Inputs and outputs of one group, vectors of outputs, channels of all groups: how far apart the inputs of one vector
 * are at most. */
static ptrdiff_t widest(ptrdiff_t inputs, ptrdiff_t outputs, ptrdiff_t groups)
{
    ptrdiff_t lanes = lanes_of(groups * outputs), most = 0;
    for (ptrdiff_t v = 0; v * VLEN < lanes; v++) {
        ptrdiff_t begin = vector_begin(lanes, v) / outputs, end = (vector_begin(lanes, v) + VLEN - 1) / outputs + 1;
        most = at_least(most, (at_most(end, groups) - begin) * inputs);
    }
    return most;
}

static enum kind kind_of(ptrdiff_t inputs, ptrdiff_t outputs, ptrdiff_t groups)
{
    ptrdiff_t width = widest(inputs, outputs, groups);
    return inputs == 1 && outputs == 1          ? ALONE
           : width == inputs && inputs % 2 == 0 ? SAME
           : width > VLEN                       ? WIDE
           : inputs % 2 == 0                    ? EVEN
                                                : ODD;
}

int FN(depthwise_can)(ptrdiff_t inputs, ptrdiff_t outputs, ptrdiff_t groups)
{
    if (inputs == 1 && outputs == 1) {
        return groups > 1;
    }
    return CAN_SPREAD && groups > 1 && groups * inputs >= VLEN && groups * outputs >= VLEN && outputs <= VLEN &&
           (kind_of(inputs, outputs, groups) == SAME || widest(inputs, outputs, groups) <= 2 * VLEN);
}

static size_t whole_vectors(size_t bytes) { return (bytes + VBYTES - 1) / VBYTES * VBYTES; }

/* Bytes of a spread with all that it points to. */
static size_t spread_bytes(const correlation *c)
{
    size_t vectors = (size_t)ceil_div(lanes_of(c->G * c->OC), VLEN);
    return whole_vectors(sizeof(spread)) + vectors * ((size_t)c->IC * sizeof(vec_index) + 2 * sizeof(ptrdiff_t));
}

/* In so much memory, on whole vectors. */
static const spread *make_spread(const correlation *c, char *memory)
{
    ptrdiff_t lanes = lanes_of(c->G * c->OC), in_lanes = lanes_of(c->G * c->IC);
    spread *s = (spread *)memory;
    *s = (spread){.kind = kind_of(c->IC, c->OC, c->G), .vectors = ceil_div(lanes, VLEN), .inputs = c->IC};
    s->index = (vec_index *)(memory + whole_vectors(sizeof *s));
    s->first = (ptrdiff_t *)(s->index + s->vectors * s->inputs);
    s->second = s->first + s->vectors;
    for (ptrdiff_t v = 0; v < s->vectors; v++) {
        ptrdiff_t begin = vector_begin(lanes, v), first = begin / c->OC * c->IC;
        first = s->kind == SAME ? first : at_most(first, in_lanes - VLEN);
        s->first[v] = first;
        s->second[v] = at_most(first + VLEN, in_lanes - VLEN);
        for (ptrdiff_t ic = 0; ic < c->IC; ic++) {
            for (ptrdiff_t lane = 0; lane < VLEN; lane++) {
                ptrdiff_t channel = (begin + lane) / c->OC * c->IC + ic, i = channel - first;
                s->index[v * c->IC + ic][lane] = i < VLEN ? i : VLEN + channel - s->second[v];
            }
        }
    }
    return s;
}

/* The input number ic of each lane's group. x: the pixel's inputs for this vector; second: from there to the others. */
static inline __attribute__((always_inline)) vec input_of(const enum kind kind, const real *x, ptrdiff_t second,
                                                          vec_index index, ptrdiff_t ic)
{
    switch (kind) {
    case ALONE: return v_load(x);
    case SAME: return v_set1(x[ic]);
    case WIDE: return spread_two(v_load(x), v_load(x + second), index);
    default: return spread_one(v_load(x), index);
    }
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
static inline __attribute__((always_inline)) void outputs_1(const line *l, ptrdiff_t q, ptrdiff_t w_begin,
                                                            ptrdiff_t w_end, const enum kind kind)
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

/* Taps that are neighbours, with step 1 or 2: an input that several outputs see is loaded once. `taps` and `step` are
 * constants, so each input below is a few multiply-adds or nothing. */
enum { MOST_TAPS = 7 };
#define EACH_TAP(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6)
#define EACH_INPUT(X) EACH_TAP(X) X(7) X(8) X(9) X(10) X(11) X(12)

/* An index for the compiler also where there is no such tap and nothing is done. */
#define TAP(t) ((t) >= 0 && (t) < MOST_TAPS ? (t) : 0)

#define MULTIPLY_ADD(sum, x, w) sum = v_fma(x, w, sum)

/* Four outputs, of whose inputs of a row those numbered [begin, end) lie inside of the image. Inputs of a group are
 * taken in pairs where there are two: then there are sums enough that none waits. */
static inline __attribute__((always_inline)) void four_outputs(const line *l, ptrdiff_t q, const int taps,
                                                               const int step, const enum kind kind, ptrdiff_t begin,
                                                               ptrdiff_t end)
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

static inline int shape_number(ptrdiff_t taps, ptrdiff_t step, enum kind kind)
{
    return (int)((taps * 4 + step) * 8) + (int)kind;
}

/* For rows of neighbouring taps; without functions where there is no such loop. */
static four_functions four_functions_of(axis w, enum kind kind)
{
    if (w.spread != 1 || w.out < 4 || w.step > 2 || w.taps > MOST_TAPS) {
        return (four_functions){NULL, NULL, NULL, NULL};
    }
#define NAME(name, taps, step, kind) name##_##taps##_##step##_##kind
#define GROUPS_CASE(taps, step, kind)                                                        \
    case (taps * 4 + step) * 8 + kind:                                                       \
        return (four_functions){NAME(inside, taps, step, kind), NAME(any, taps, step, kind), \
                                NAME(any, taps, step, kind), NAME(any, taps, step, kind)};
#define ALONE_CASE(taps, step, kind)                                                          \
    case (taps * 4 + step) * 8 + kind:                                                        \
        return (four_functions){NAME(inside, taps, step, kind), NAME(left, taps, step, kind), \
                                NAME(right, taps, step, kind), NAME(any, taps, step, kind)};
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

/* Three neighbouring taps, of which at most the first one of output 0 and the last of the last output are outside. */
static int is_row_of_three(axis w)
{
    return w.taps == 3 && w.spread == 1 && w.step <= 2 && w.out >= 4 && w.offset >= -1 &&
           axis_first(w, w.out - 1) + 2 <= w.in;
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

/* What output row `row` + 1 reads and `row` does not, also where that is in the next image. */
static prefetch next_rows(const correlation *c, const real *in, ptrdiff_t image, ptrdiff_t row)
{
    ptrdiff_t next = image * c->h.in + axis_first(c->h, row) + (c->h.taps - 1) * c->h.spread + 1;
    ptrdiff_t rows = at_least(at_most(c->h.step, c->N * c->h.in - next), 0);
    return prefetch_of(in + next * c->in.h, rows * c->in.h, c->w.out / 4);
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
static inline __attribute__((always_inline)) void prefetch_output(const context *x, ptrdiff_t image, ptrdiff_t row,
                                                                  ptrdiff_t share)
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

/* ---- backward to the weights ------------------------------------------------------------------------------------- */

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
static inline __attribute__((always_inline)) void weight_4(const weight_line *l, ptrdiff_t q, const int taps,
                                                           const int step, const enum kind kind, ptrdiff_t pixels,
                                                           ptrdiff_t begin, ptrdiff_t end)
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
#define GROUPS_CASE(taps, step, kind)                                                                          \
    case (taps * 4 + step) * 8 + kind:                                                                         \
        return (weight_functions){NAME(inside_weights, taps, step, kind), NAME(any_weights, taps, step, kind), \
                                  NAME(any_weights, taps, step, kind), NAME(any_weights, taps, step, kind)};
#define ALONE_CASE(taps, step, kind)                                                                            \
    case (taps * 4 + step) * 8 + kind:                                                                          \
        return (weight_functions){NAME(inside_weights, taps, step, kind), NAME(left_weights, taps, step, kind), \
                                  NAME(right_weights, taps, step, kind), NAME(any_weights, taps, step, kind)};
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
static inline __attribute__((always_inline)) void three_weights(const weight_line *l, ptrdiff_t q, const int step,
                                                                int skip_first, int skip_last)
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
            real s = 0;
            for (ptrdiff_t slot = 0; slot < x->slots; slot++) {
                s += vector_sums(x, slot, vector)[t * VLEN + lane];
            }
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
