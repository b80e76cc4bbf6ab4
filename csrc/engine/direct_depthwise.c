/* direct_depthwise.c: every channel is a group of its own, with one kernel, and the vectors hold channels.
 *
 * A product has one weight and one input that no other output of the channel's pixel shares, so there is little to keep
 * in registers, and memory sets the pace. The image is read where it lies, in the order in which it lies: the loops go
 * over rows, then pixels, then vectors of channels. What lies outside of the image is left out by cutting the loops
 * over the taps, row by row and for the few columns at the left and right end.
 *
 * Where the memory order is the other one, or there are fewer channels than lanes, strips pass through scratch.
 */
#include <string.h>

#include "../memory.h"
#include "../simd/simd.h"
#include "../threads.h"
#include "direct.h"

/* Channels are done a vector at a time, the last vector overlapping the one before. At least one vector is there. */
static ptrdiff_t lanes_of(const correlation *c) { return at_least(c->G, VLEN); }

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

typedef depthwise context;

/* ---- forward, and backward to the input -------------------------------------------------------------------------- */

/* A row of outputs, all lanes of it. x: the first tap of output 0, at distances row, pixel. */
typedef struct {
    const real *x, *w, *bias;
    real *out;
    ptrdiff_t row, pixel, step, out_step, w_row, w_tap; /* step: from output to output */
    ptrdiff_t lanes;
    ptrdiff_t h_begin, h_end; /* taps inside */
    int relu;
} line;

static void outputs_1(const line *l, ptrdiff_t q, ptrdiff_t w_begin, ptrdiff_t w_end)
{
    for (ptrdiff_t lane = 0; lane < l->lanes; lane = next_vector(l->lanes, lane)) {
        vec s = v_load(l->bias + lane);
        for (ptrdiff_t th = l->h_begin; th < l->h_end; th++) {
            const real *x = l->x + lane + th * l->row + q * l->step, *w = l->w + lane + th * l->w_row;
            for (ptrdiff_t tw = w_begin; tw < w_end; tw++) {
                s = v_fma(v_load(x + tw * l->pixel), v_load(w + tw * l->w_tap), s);
            }
        }
        v_store(l->out + lane + q * l->out_step, l->relu ? v_relu(s) : s);
    }
}

static inline void store_4(const line *l, real *out, vec a, vec b, vec c, vec d)
{
    v_store(out, l->relu ? v_relu(a) : a);
    v_store(out + l->out_step, l->relu ? v_relu(b) : b);
    v_store(out + 2 * l->out_step, l->relu ? v_relu(c) : c);
    v_store(out + 3 * l->out_step, l->relu ? v_relu(d) : d);
}

/* The last of the four may have fewer taps inside than the others: `last_taps`. */
static void outputs_4(const line *l, ptrdiff_t q, ptrdiff_t taps, ptrdiff_t last_taps)
{
    for (ptrdiff_t lane = 0; lane < l->lanes; lane = next_vector(l->lanes, lane)) {
        vec a = v_load(l->bias + lane), b = a, c = a, d = a;
        for (ptrdiff_t th = l->h_begin; th < l->h_end; th++) {
            const real *x = l->x + lane + th * l->row + q * l->step, *w = l->w + lane + th * l->w_row;
            for (ptrdiff_t tw = 0; tw < taps; tw++, x += l->pixel, w += l->w_tap) {
                vec weight = v_load(w);
                a = v_fma(v_load(x), weight, a);
                b = v_fma(v_load(x + l->step), weight, b);
                c = v_fma(v_load(x + 2 * l->step), weight, c);
                if (tw < last_taps) {
                    d = v_fma(v_load(x + 3 * l->step), weight, d);
                }
            }
        }
        store_4(l, l->out + lane + q * l->out_step, a, b, c, d);
    }
}

/* Four outputs of three taps that are neighbours, with step 1 or 2: an input that several outputs see is loaded once.
 * The first tap of the first output, or the last one of the last, may lie outside of the image: they are skipped. */
#define MULTIPLY_ADD(sum, x, w) sum = v_fma(x, w, sum)

static void outputs_4_step_1(const line *l, ptrdiff_t q, int skip_first, int skip_last)
{
    for (ptrdiff_t lane = 0; lane < l->lanes; lane = next_vector(l->lanes, lane)) {
        vec a = v_load(l->bias + lane), b = a, c = a, d = a;
        for (ptrdiff_t th = l->h_begin; th < l->h_end; th++) {
            const real *x = l->x + lane + th * l->row + q * l->step, *w = l->w + lane + th * l->w_row;
            vec w0 = v_load(w), w1 = v_load(w + l->w_tap), w2 = v_load(w + 2 * l->w_tap), now;
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
        store_4(l, l->out + lane + q * l->out_step, a, b, c, d);
    }
}

static void outputs_4_step_2(const line *l, ptrdiff_t q, int skip_first, int skip_last)
{
    for (ptrdiff_t lane = 0; lane < l->lanes; lane = next_vector(l->lanes, lane)) {
        vec a = v_load(l->bias + lane), b = a, c = a, d = a;
        for (ptrdiff_t th = l->h_begin; th < l->h_end; th++) {
            const real *x = l->x + lane + th * l->row + q * l->step, *w = l->w + lane + th * l->w_row;
            vec w0 = v_load(w), w1 = v_load(w + l->w_tap), w2 = v_load(w + 2 * l->w_tap), now;
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
        store_4(l, l->out + lane + q * l->out_step, a, b, c, d);
    }
}

/* Three neighbouring taps, of which at most the first one of output 0 and the last of the last output are outside. */
static int is_row_of_three(axis w)
{
    return w.taps == 3 && w.spread == 1 && w.step <= 2 && w.out >= 4 && w.offset >= -1 &&
           axis_first(w, w.out - 1) + 2 <= w.in;
}

/* The last four overlap those before where 4 does not divide the row. */
static void output_row_of_three(const line *l, axis w, prefetch *next)
{
    int outside = axis_first(w, w.out - 1) + 2 >= w.in;
    for (ptrdiff_t q = 0; q < w.out; q += 4) {
        ptrdiff_t begin = at_most(q, w.out - 4);
        prefetch_some(next);
        int skip_first = begin == 0 && w.offset < 0, skip_last = begin == w.out - 4 && outside;
        if (w.step == 1) {
            outputs_4_step_1(l, begin, skip_first, skip_last);
        } else {
            outputs_4_step_2(l, begin, skip_first, skip_last);
        }
    }
}

static void output_row(const line *l, axis w, prefetch *next)
{
    ptrdiff_t begin, end, first, last, q = 0;
    if (is_row_of_three(w)) {
        output_row_of_three(l, w, next);
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
        if (q >= begin && q < end && end - begin >= 4) {
            ptrdiff_t four = at_most(q, end - 4);
            outputs_4(l, four, w.taps, four + 4 == w.out ? last_taps : w.taps);
            q = at_most(q + 4, end);
            continue;
        }
        taps_inside(w, q, &first, &last);
        outputs_1(l, q++, first, last);
    }
}

/* Rows [row, row + rows) of one image from results, [row][column][lane], to where the output has them. */
static void copy_out(const correlation *c, const real *results, ptrdiff_t lanes, ptrdiff_t rows, real *out)
{
    for (ptrdiff_t r = 0; r < rows; r++) {
        for (ptrdiff_t k = 0; k < c->G; k++) {
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
               .channels = c->G,
               .h = c->h.in,
               .w = c->w.in,
               .row = begin,
               .rows = at_least(end - begin, 0),
               .col = 0,
               .cols = c->w.in};
    FN(pack_channels)(&p, x->lanes, room);
    return begin;
}

/* Values of scratch that `rows` output rows of a phase need for their input, and for their output. */
static ptrdiff_t room_in(const context *x, const correlation *c, ptrdiff_t rows)
{
    return x->in_place ? 0 : at_least(axis_reach(c->h, rows), 0) * c->w.in * x->lanes + PACK_SLACK;
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
static void phase_strip(const context *x, const correlation *c, ptrdiff_t image, ptrdiff_t row, ptrdiff_t rows,
                        real *room, real *out)
{
    const real *in = x->in + image * c->in.n;
    real *results = room + room_in(x, c, rows);
    ptrdiff_t first = 0, in_row = c->in.h, in_pixel = c->in.w;
    if (!x->in_place) {
        first = load_rows(x, c, image, row, rows, room);
        in = room;
        in_row = c->w.in * x->lanes;
        in_pixel = x->lanes;
    }
    line l = {.w = x->weights + (c->h.kernel * c->w_kh + c->w.kernel * c->w_kw) * x->lanes,
              .bias = x->bias,
              .row = c->h.spread * in_row,
              .pixel = c->w.spread * in_pixel,
              .step = c->w.step * in_pixel,
              .out_step = x->out_in_place ? c->out.w : x->lanes,
              .w_row = c->h.kernel_step * c->w_kh * x->lanes,
              .w_tap = c->w.kernel_step * c->w_kw * x->lanes,
              .lanes = x->lanes,
              .relu = c->relu};
    for (ptrdiff_t r = 0; r < rows; r++) {
        taps_inside(c->h, row + r, &l.h_begin, &l.h_end);
        l.x = in + (axis_first(c->h, row + r) - first) * in_row + c->w.offset * in_pixel;
        l.out = x->out_in_place ? out + r * c->out.h : results + r * c->w.out * x->lanes;
        prefetch next = x->in_place ? next_rows(c, x->in, image, row + r) : (prefetch){0};
        output_row(&l, c->w, &next);
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
                    phase_strip(x, c, image, begin, rows, room, out);
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
    as_dense.IC = 4 * c->G * x->count; /* of one group */
    double row_bytes = (double)(c->h.step * c->w.in + x->count * c->w.out) * c->G * sizeof(real);
    return FN(cut_batch)(&as_dense, row_bytes * c->h.taps * c->h.spread / c->h.step, row_bytes, 1);
}

int FN(depthwise_prepare)(depthwise *d, const depthwise_phase *phases, ptrdiff_t count, const real *in, const real *w,
                          const real *bias)
{
    const correlation *c = &phases->c;
    *d = (depthwise){.phases = phases,
                     .count = count,
                     .in = in,
                     .lanes = lanes_of(c),
                     .in_place = c->in.c == 1 && c->G >= VLEN,
                     .out_in_place = c->out.c == 1 && c->G >= VLEN};
    ptrdiff_t taps = c->w_ic_taps;
    d->weights = memory_get_zeroed((size_t)((taps + 1) * d->lanes) * sizeof(real));
    if (d->weights == NULL) {
        return -1;
    }
    d->cut = cut_depthwise(d);
    d->bias = d->weights + taps * d->lanes;
    for (ptrdiff_t k = 0; k < c->G; k++) {
        for (ptrdiff_t t = 0; t < taps; t++) {
            real weight = w[k * c->w_group + t];
            d->weights[t * d->lanes + k] = c->scale != NULL ? weight * c->scale[k] : weight;
        }
        d->bias[k] = bias != NULL ? bias[k] : 0;
    }
    return 0;
}

void FN(depthwise_rows)(const depthwise *d, ptrdiff_t image, ptrdiff_t row, ptrdiff_t rows, real *room, real *out)
{
    phase_strip(d, &d->phases->c, image, row, rows, room, out);
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

/* dw[tap][channel] = sum over pixels of dy[pixel][channel] * x[pixel + tap][channel]. Shares of the batch have sums of
 * their own, which are added up in order at the end. */
typedef struct {
    const correlation *c;
    const real *in, *dout;
    real *dw, *db, *sums; /* sums: [slot][vector][tap and then bias][VLEN] */
    ptrdiff_t lanes, vectors, taps, slots, rows, strips;
    int dy_in_place;
} weight_context;

static real *vector_sums(const weight_context *x, ptrdiff_t slot, ptrdiff_t vector)
{
    return x->sums + (slot * x->vectors + vector) * (x->taps + 1) * VLEN;
}

/* ---- where rows have three neighbouring taps: all lie in place, and are read in the order in which they lie ---- */

/* A row of dy, all lanes of it. x: the first tap of output 0, at distances row, pixel. */
typedef struct {
    const real *x, *dy;
    real *sums; /* [vector][tap and then bias][VLEN] */
    ptrdiff_t row, pixel, dy_pixel, lanes, taps;
    ptrdiff_t h_begin, h_end; /* taps inside */
    int bias;
} weight_line;

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

/* Four pixels of dy: an input that several of them see is loaded once. */
static inline __attribute__((always_inline)) void weight_4(const weight_line *l, ptrdiff_t q, const int step,
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

static void weight_row(const weight_line *l, axis w, prefetch *next_x, prefetch *next_dy)
{
    int outside = axis_first(w, w.out - 1) + 2 >= w.in;
    ptrdiff_t q = 0;
    for (; q + 4 <= w.out; q += 4) {
        int skip_first = q == 0 && w.offset < 0, skip_last = q + 4 == w.out && outside;
        prefetch_some(next_x);
        prefetch_some(next_dy);
        if (w.step == 1) {
            weight_4(l, q, 1, skip_first, skip_last);
        } else {
            weight_4(l, q, 2, skip_first, skip_last);
        }
    }
    for (; q < w.out; q++) {
        weight_1(l, w, q);
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
    weight_line l = {.sums = sums,
                     .row = c->h.spread * c->in.h,
                     .pixel = c->in.w,
                     .dy_pixel = c->out.w,
                     .lanes = x->lanes,
                     .taps = x->taps,
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
            weight_row(&l, c->w, &next_x, &next_dy);
        }
        for (ptrdiff_t i = 0; i < values; i += VLEN) {
            v_store(totals + i, v_load(totals + i) + v_load(sums + i));
        }
    }
}

/* ---- otherwise: the image is copied with its border, and all taps run over the same pixels ---- */

enum { DEPTH_TAPS = 9 }; /* at a time: dy is loaded once for nine taps */

/* A block of pixels of one vector of channels. */
typedef struct {
    const real *x, *dy;
    ptrdiff_t rows, cols, x_row, x_col, dy_row, dy_col;
} pixels;

#define EACH_TAP(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8)
#define DECLARE(t)                       \
    const real *x##t = p->x + offset[t]; \
    vec s##t = v_zero();
#define STEP(t) s##t = v_fma(v_load(x##t + i), d, s##t);
#define STORE(t) v_store(sums[t], v_load(sums[t]) + s##t);

/* sums[t] += sum over the pixels of dy * x[offset[t]] */
static void nine_taps(const pixels *p, const ptrdiff_t *offset, real *const *sums)
{
    EACH_TAP(DECLARE)
    for (ptrdiff_t r = 0; r < p->rows; r++) {
        const real *dy = p->dy + r * p->dy_row;
        for (ptrdiff_t i = r * p->x_row, end = i + p->cols * p->x_col; i < end; i += p->x_col, dy += p->dy_col) {
            vec d = v_load(dy);
            EACH_TAP(STEP)
        }
    }
    EACH_TAP(STORE)
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
    for (ptrdiff_t k = 0; k < x->c->G; k++) {
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

void FN(correlate_depthwise_weight)(const correlation *c, const real *in, const real *dout, real *dw, real *db)
{
    enum { STRIP_BYTES = 128 << 10, CHUNK_WORK = 2 << 20, MOST_CHUNKS = 64 };
    weight_context x = {.c = c, .in = in, .dout = dout, .dw = dw, .db = db, .lanes = lanes_of(c)};
    x.vectors = ceil_div(x.lanes, VLEN);
    x.taps = c->h.taps * c->w.taps;
    x.dy_in_place = c->out.c == 1 && c->G >= VLEN;
    ptrdiff_t row_bytes = axis_reach(c->w, c->w.out) * x.lanes * (ptrdiff_t)sizeof(real);
    ptrdiff_t rows = at_least((STRIP_BYTES / row_bytes - (c->h.taps - 1) * c->h.spread) / c->h.step, 4);
    x.strips = ceil_div(c->h.out, at_most(rows, c->h.out));
    x.rows = ceil_div(c->h.out, x.strips);
    x.strips = ceil_div(c->h.out, x.rows);
    double shares = correlation_work(c) / CHUNK_WORK;
    x.slots = shares < MOST_CHUNKS ? (ptrdiff_t)shares + 1 : MOST_CHUNKS;
    int in_place = x.dy_in_place && c->in.c == 1 && is_row_of_three(c->w);
    x.slots = at_most(x.slots, c->N * (in_place ? c->h.out : x.strips));
    x.sums = memory_get((size_t)(x.slots * x.vectors * (x.taps + 1)) * VBYTES);
    if (x.sums == NULL) {
        kernel_abort(KERNEL_NO_MEMORY);
        return;
    }
    parallel_for(x.slots, in_place ? weight_rows_chunk : weight_chunk, &x);
    add_slots(&x);
    memory_put(x.sums);
}
