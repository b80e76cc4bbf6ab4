/* not_finite: see not_finite.h. Slow and plain, because it is rarely needed; but a NaN in a window ends its sum, so
 * that a training that has diverged to nothing but NaN does not stand still. */
#include "not_finite.h"

#include <math.h>
#include <string.h>

#include "../kernels/max_window.h"
#include "../kernels/window.h"
#include "../memory.h"
#include "../simd/simd.h"
#include "../threads.h"

static int all_finite(const real *v, ptrdiff_t n)
{
    vec spoiled = v_zero();
    real rest = 0;
    ptrdiff_t i = 0;
    for (; i + VLEN <= n; i += VLEN) {
        spoiled = v_fma(v_load(v + i), v_zero(), spoiled);
    }
    for (; i < n; i++) {
        rest += v[i] * 0;
    }
    return rest == 0 && !v_has_nan(spoiled);
}

/* ---- outputs ----------------------------------------------------------------------------------------------------- */

/* An input under a window, and how far from a channel's first weight its weight lies. */
typedef struct {
    double x;
    ptrdiff_t w;
} term;

size_t FN(direct_sums_room)(const correlation *c) { return (size_t)(c->IC * c->h.taps * c->w.taps) * sizeof(term); }

/* The terms of one pixel; those that are not finite come first, and a NaN alone: no sum with it is anything else. */
static ptrdiff_t terms_of(const correlation *c, const real *in, ptrdiff_t row, ptrdiff_t col, term *terms)
{
    ptrdiff_t n = 0, first = 0;
    for (ptrdiff_t th = 0; th < c->h.taps; th++) {
        ptrdiff_t ih = axis_first(c->h, row) + th * c->h.spread;
        for (ptrdiff_t tw = 0; tw < c->w.taps; tw++) {
            ptrdiff_t iw = axis_first(c->w, col) + tw * c->w.spread;
            if (ih < 0 || ih >= c->h.in || iw < 0 || iw >= c->w.in) {
                continue;
            }
            ptrdiff_t w =
                (c->h.kernel + th * c->h.kernel_step) * c->w_kh + (c->w.kernel + tw * c->w.kernel_step) * c->w_kw;
            for (ptrdiff_t ic = 0; ic < c->IC; ic++) {
                real x = in[ic * c->in.c + ih * c->in.h + iw * c->in.w];
                terms[n] = (term){x, ic * c->w_ic + w};
                if (isnan(x)) {
                    terms[0] = terms[n];
                    return 1;
                }
                if (isinf(x)) {
                    term other = terms[first];
                    terms[first++] = terms[n];
                    terms[n] = other;
                }
                n++;
            }
        }
    }
    return n;
}

void FN(direct_sums)(const correlation *c, const real *in, const real *w, const real *bias, ptrdiff_t row,
                     ptrdiff_t col, const char *which, void *room, real *out)
{
    const term *terms = room;
    ptrdiff_t n = terms_of(c, in, row, col, room);
    for (ptrdiff_t m = 0; m < c->OC; m++) {
        if (!which[m]) {
            continue;
        }
        double sum = 0;
        for (ptrdiff_t k = 0; k < n && !isnan(sum); k++) {
            sum += terms[k].x * w[m * c->w_oc + terms[k].w];
        }
        real y = (real)sum * (c->scale != NULL ? c->scale[m] : 1) + (bias != NULL ? bias[m] : 0);
        out[m * c->out.c] = c->relu && y <= 0 ? 0 : y;
    }
}

/* ---- the border -------------------------------------------------------------------------------------------------- */

typedef struct {
    const correlation *c;
    const real *in, *w, *bias;
    real *out;
    ptrdiff_t pool, rows, cols; /* pool: 2 where each of the rows x cols results is the largest of 2x2, or 1 */
} border;

static int window_inside(axis a, ptrdiff_t first, ptrdiff_t outputs)
{
    return axis_first(a, first) >= 0 && axis_first(a, first + outputs - 1) + (a.taps - 1) * a.spread < a.in;
}

static int has_nan(const real *v, ptrdiff_t step, ptrdiff_t n)
{
    int any = 0;
    if (step == 1) {
        for (ptrdiff_t i = 0; i < n; i++) {
            any |= v[i] != v[i];
        }
        return any;
    }
    for (ptrdiff_t i = 0; i < n; i++) {
        any |= v[i * step] != v[i * step];
    }
    return any;
}

/* Every tap that meets the outside anywhere does so at one of the corners of the first image. */
static int corner_has_nan(const border *b)
{
    const correlation *c = b->c;
    int any = 0;
    for (int i = 0; i < 4; i++) {
        ptrdiff_t row = i / 2 * (b->rows - 1), col = i % 2 * (b->cols - 1);
        any |= has_nan(b->out + row * c->out.h + col * c->out.w, c->out.c, c->G * c->OC);
    }
    return any;
}

/* Also with the scale, which is multiplied into them. */
static int weights_are_finite(const correlation *c, const real *w)
{
    ptrdiff_t channels = c->G * c->OC;
    real largest = 1;
    if (!all_finite(w, channels * c->IC * c->w_ic_taps) || (c->scale != NULL && !all_finite(c->scale, channels))) {
        return 0;
    }
    for (ptrdiff_t m = 0; c->scale != NULL && m < channels; m++) {
        real scale = c->scale[m] < 0 ? -c->scale[m] : c->scale[m];
        largest = scale > largest ? scale : largest;
    }
    for (ptrdiff_t i = 0; c->scale != NULL && i < channels * c->IC * c->w_ic_taps; i++) {
        if (!isfinite(w[i] * largest)) {
            return 0;
        }
    }
    return 1;
}

/* One result of each channel that is NaN. `room`: which, then four results of each channel, then that of direct_sums.
 */
static void mend_pixel(const border *b, ptrdiff_t image, ptrdiff_t group, ptrdiff_t row, ptrdiff_t col, char *room)
{
    const correlation *c = b->c;
    ptrdiff_t OC = c->OC, at = image * c->out.n + group * OC * c->out.c + row * c->out.h + col * c->out.w;
    const real *in = b->in + image * c->in.n + group * c->IC * c->in.c, *w = b->w + group * c->w_group;
    correlation here = *c;
    here.scale = c->scale != NULL ? c->scale + group * OC : NULL;
    const real *bias = b->bias != NULL ? b->bias + group * OC : NULL;
    real *four = (real *)room, *out = b->out + at;
    char *terms = (char *)(four + 4 * OC), *which = terms + FN(direct_sums_room)(c);
    int any = 0;
    for (ptrdiff_t m = 0; m < OC; m++) {
        which[m] = isnan(out[m * c->out.c]);
        any |= which[m];
    }
    if (any && b->pool == 1) {
        FN(direct_sums)(&here, in, w, bias, row, col, which, terms, out);
    } else if (any) {
        here.out.c = 1;
        for (int i = 0; i < 4; i++) {
            FN(direct_sums)(&here, in, w, bias, 2 * row + i / 2, 2 * col + i % 2, which, terms, four + i * OC);
        }
        ptrdiff_t first = 2 * row * c->w.out + 2 * col;
        for (ptrdiff_t m = 0; m < OC; m++) {
            int32_t where;
            if (which[m]) {
                out[m * c->out.c] = largest_of_2x2(four[m], four[OC + m], four[2 * OC + m], four[3 * OC + m],
                                                   (int32_t)first, (int32_t)c->w.out, &where);
                if (c->argmax != NULL) {
                    c->argmax[at + m * c->out.c] = where;
                }
            }
        }
    }
}

static void border_chunk(void *context, ptrdiff_t image)
{
    const border *b = context;
    const correlation *c = b->c;
    char *room = scratch((size_t)(4 * c->OC) * sizeof(real) + FN(direct_sums_room)(c) + (size_t)c->OC);
    if (room == NULL) {
        kernel_abort(KERNEL_NO_MEMORY);
        return;
    }
    for (ptrdiff_t row = 0; row < b->rows; row++) {
        int inside = window_inside(c->h, row * b->pool, b->pool);
        for (ptrdiff_t col = 0; col < b->cols; col++) {
            for (ptrdiff_t group = 0; group < c->G && !(inside && window_inside(c->w, col * b->pool, b->pool));
                 group++) {
                mend_pixel(b, image, group, row, col, room);
            }
        }
    }
}

void FN(mend_border)(const correlation *c, const real *in, const real *w, const real *bias, real *out)
{
    border b = {.c = c, .in = in, .w = w, .bias = bias, .out = out, .pool = c->pool ? 2 : 1};
    b.rows = c->h.out / b.pool;
    b.cols = c->w.out / b.pool;
    if (axis_inside(c->h) && axis_inside(c->w)) {
        return;
    }
    /* A ReLU's mask hides corners; then it is few channels and few weights. */
    int suspect = c->rectified != NULL || corner_has_nan(&b);
    if (suspect && !weights_are_finite(c, w)) {
        parallel_for(c->N, border_chunk, &b);
    }
}

/* ---- the gradient of the weights --------------------------------------------------------------------------------- */

/* Where an activation has a channel that is not finite: flags[image][channel]. */
typedef struct {
    const real *images;
    strides4 stride;
    ptrdiff_t C, H, W;
    char *flags;
} marking;

static void mark_image(void *context, ptrdiff_t image)
{
    const marking *k = context;
    char *flags = k->flags + image * k->C;
    memset(flags, 0, (size_t)k->C);
    for (ptrdiff_t pixel = 0; pixel < k->H * k->W; pixel++) {
        const real *v = k->images + image * k->stride.n + pixel / k->W * k->stride.h + pixel % k->W * k->stride.w;
        for (ptrdiff_t c = 0; c < k->C; c++) {
            flags[c] |= !isfinite(v[c * k->stride.c]);
        }
    }
}

typedef struct {
    const conv2d_shape *s;
    const real *x, *dy;
    real *dw;
    char *x_flags, *dy_flags;
    ptrdiff_t items, chunks;
} filters;

/* sum + that of one tap, (kh, kw), over one image; a NaN ends it. In double, as in the plain layer. */
static double add_image(const conv2d_shape *s, ptrdiff_t kh, ptrdiff_t kw, const real *x, const real *dy, double sum)
{
    ptrdiff_t ih = kh * s->DH - s->PH, iw = kw * s->DW - s->PW, oh, oh_end, ow_begin, ow_end;
    window_range(s->H, s->OH, s->SH, ih, &oh, &oh_end);
    window_range(s->W, s->OW, s->SW, iw, &ow_begin, &ow_end);
    for (; oh < oh_end && !isnan(sum); oh++) {
        for (ptrdiff_t ow = ow_begin; ow < ow_end; ow++) {
            sum += (double)x[(oh * s->SH + ih) * s->x.h + (ow * s->SW + iw) * s->x.w] * dy[oh * s->y.h + ow * s->y.w];
        }
    }
    return sum;
}

/* One tap of one filter. The images that have what is not finite come first: they may decide alone. */
static real tap_sum(const filters *f, ptrdiff_t oc, ptrdiff_t channel, ptrdiff_t k)
{
    const conv2d_shape *s = f->s;
    double sum = 0;
    for (int flagged = 1; flagged >= 0 && isfinite(sum); flagged--) {
        for (ptrdiff_t n = 0; n < s->N && !isnan(sum); n++) {
            if ((f->x_flags[n * s->C + channel] | f->dy_flags[n * s->OC + oc]) == flagged) {
                sum = add_image(s, k / s->KW, k % s->KW, f->x + n * s->x.n + channel * s->x.c,
                                f->dy + n * s->y.n + oc * s->y.c, sum);
            }
        }
    }
    return (real)sum;
}

static void filters_chunk(void *context, ptrdiff_t chunk)
{
    const filters *f = context;
    const conv2d_shape *s = f->s;
    ptrdiff_t ics = s->C / s->G, ocs = s->OC / s->G, taps = s->KH * s->KW, begin, end;
    chunk_bounds(f->items, f->chunks, chunk, &begin, &end);
    for (ptrdiff_t item = begin; item < end; item++) {
        ptrdiff_t oc = item / ics, channel = oc / ocs * ics + item % ics;
        real *dw = f->dw + item * taps;
        for (ptrdiff_t k = 0, mend = !all_finite(dw, taps); mend && k < taps; k++) {
            dw[k] = tap_sum(f, oc, channel, k);
        }
    }
}

void FN(mend_all_weights)(const conv2d_shape *s, const real *x, const real *dy, real *dw)
{
    filters f = {.s = s, .x = x, .dy = dy, .dw = dw, .items = s->OC * (s->C / s->G)};
    f.chunks = chunks_of_work(f.items, s->KH * s->KW * s->OH * s->OW);
    f.x_flags = memory_get((size_t)(s->N * (s->C + s->OC)));
    if (f.x_flags == NULL) {
        kernel_abort(KERNEL_NO_MEMORY);
        return;
    }
    f.dy_flags = f.x_flags + s->N * s->C;
    marking of_x = {x, s->x, s->C, s->H, s->W, f.x_flags}, of_dy = {dy, s->y, s->OC, s->OH, s->OW, f.dy_flags};
    parallel_for(s->N, mark_image, &of_x);
    parallel_for(s->N, mark_image, &of_dy);
    parallel_for(f.chunks, filters_chunk, &f);
    memory_put(f.x_flags);
}

/* What x has spoils the filters of its channel for every output channel, and what dy has for every input channel. */
void FN(mend_weight)(const conv2d_shape *s, const real *x, const real *dy, real *dw)
{
    enum { FEW = 1 << 10 }; /* weights: then all of them are looked at in one go */
    ptrdiff_t ics = s->C / s->G, ocs = s->OC / s->G, taps = s->KH * s->KW;
    int few = ics == 1 || s->OC * ics * taps <= FEW, finite = few ? all_finite(dw, s->OC * ics * taps) : 1;
    for (ptrdiff_t g = 0; g < s->G && !few; g++) {
        finite &= all_finite(dw + g * ocs * ics * taps, ics * taps);
    }
    for (ptrdiff_t oc = 0; oc < s->OC && !few; oc++) {
        finite &= all_finite(dw + oc * ics * taps, taps);
    }
    if (!finite) {
        FN(mend_all_weights)(s, x, dy, dw);
    }
}
