/* direct_depthwise.h: what the passes of direct_depthwise.c and direct_depthwise_weight.c share: how channels fill
 * vectors, which taps lie inside of the image, and where a vector of outputs finds its inputs.
 */
#ifndef CNN_DIRECT_DEPTHWISE_H
#define CNN_DIRECT_DEPTHWISE_H

#include <stdint.h>

#include "../simd/simd.h"
#include "direct.h"

/* Channels are done a vector at a time, the last vector overlapping the one before. At least one vector is there. */
static inline ptrdiff_t lanes_of(ptrdiff_t channels) { return at_least(channels, VLEN); }

static inline ptrdiff_t vector_begin(ptrdiff_t lanes, ptrdiff_t vector) { return at_most(vector * VLEN, lanes - VLEN); }

/* The same as a loop:  for (ptrdiff_t lane = 0; lane < lanes; lane = next_vector(lanes, lane)) */
static inline ptrdiff_t next_vector(ptrdiff_t lanes, ptrdiff_t lane)
{
    return lane + VLEN < lanes ? at_most(lane + VLEN, lanes - VLEN) : lanes;
}

/* The taps of an output that lie inside: [*begin, *end). */
static inline void taps_inside(axis a, ptrdiff_t output, ptrdiff_t *begin, ptrdiff_t *end)
{
    ptrdiff_t first = axis_first(a, output);
    *begin = first < 0 ? at_most(ceil_div(-first, a.spread), a.taps) : 0;
    *end = first < a.in ? at_least(at_most((a.in - 1 - first) / a.spread + 1, a.taps), *begin) : *begin;
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
static inline ptrdiff_t widest(ptrdiff_t inputs, ptrdiff_t outputs, ptrdiff_t groups)
{
    ptrdiff_t lanes = lanes_of(groups * outputs), most = 0;
    for (ptrdiff_t v = 0; v * VLEN < lanes; v++) {
        ptrdiff_t begin = vector_begin(lanes, v) / outputs, end = (vector_begin(lanes, v) + VLEN - 1) / outputs + 1;
        most = at_least(most, (at_most(end, groups) - begin) * inputs);
    }
    return most;
}

static inline enum kind kind_of(ptrdiff_t inputs, ptrdiff_t outputs, ptrdiff_t groups)
{
    ptrdiff_t width = widest(inputs, outputs, groups);
    return inputs == 1 && outputs == 1          ? ALONE
           : width == inputs && inputs % 2 == 0 ? SAME
           : width > VLEN                       ? WIDE
           : inputs % 2 == 0                    ? EVEN
                                                : ODD;
}

static inline size_t whole_vectors(size_t bytes) { return (bytes + VBYTES - 1) / VBYTES * VBYTES; }

/* Bytes of a spread with all that it points to. */
static inline size_t spread_bytes(const correlation *c)
{
    size_t vectors = (size_t)ceil_div(lanes_of(c->G * c->OC), VLEN);
    return whole_vectors(sizeof(spread)) + vectors * ((size_t)c->IC * sizeof(vec_index) + 2 * sizeof(ptrdiff_t));
}

/* In so much memory, on whole vectors. */
static inline const spread *make_spread(const correlation *c, char *memory)
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
ALWAYS_INLINE vec input_of(const enum kind kind, const real *x, ptrdiff_t second, vec_index index, ptrdiff_t ic)
{
    switch (kind) {
    case ALONE: return v_load(x);
    case SAME: return v_set1(x[ic]);
    case WIDE: return spread_two(v_load(x), v_load(x + second), index);
    default: return spread_one(v_load(x), index);
    }
}

/* Taps that are neighbours, with step 1 or 2: an input that several outputs see is loaded once. Lines for each tap and
 * each input, in functions whose numbers of taps and step are constants: there, an input is a few multiply-adds or
 * nothing. */
enum { MOST_TAPS = 7 };
#define EACH_TAP(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6)
#define EACH_INPUT(X) EACH_TAP(X) X(7) X(8) X(9) X(10) X(11) X(12)

/* An index for the compiler also where there is no such tap and nothing is done. */
#define TAP(t) ((t) >= 0 && (t) < MOST_TAPS ? (t) : 0)

#define MULTIPLY_ADD(sum, x, w) sum = v_fma(x, w, sum)

/* Functions for a number of taps, a step and a kind. */
#define SHAPE_NAME(name, taps, step, kind) name##_##taps##_##step##_##kind

static inline int shape_number(ptrdiff_t taps, ptrdiff_t step, enum kind kind)
{
    return (int)((taps * 4 + step) * 8) + (int)kind;
}

/* Three neighbouring taps, of which at most the first one of output 0 and the last of the last output are outside. */
static inline int is_row_of_three(axis w)
{
    return w.taps == 3 && w.spread == 1 && w.step <= 2 && w.out >= 4 && w.offset >= -1 &&
           axis_first(w, w.out - 1) + 2 <= w.in;
}

/* What output row `row` + 1 reads and `row` does not, also where that is in the next image. */
static inline prefetch next_rows(const correlation *c, const real *in, ptrdiff_t image, ptrdiff_t row)
{
    ptrdiff_t next = image * c->h.in + axis_first(c->h, row) + (c->h.taps - 1) * c->h.spread + 1;
    ptrdiff_t rows = at_least(at_most(c->h.step, c->N * c->h.in - next), 0);
    return prefetch_of(in + next * c->in.h, rows * c->in.h, c->w.out / 4);
}

#endif
