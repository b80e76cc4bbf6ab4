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
#include "direct_depthwise_rows.h"

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
