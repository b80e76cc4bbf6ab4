/* direct.c: from a convolution to the correlations that compute it, and the way each of them takes. */
#include "direct.h"

#include <stdio.h>
#include <string.h>

#include "../memory.h"
#include "../simd/simd.h"
#include "../threads.h"
#include "conv_tiles.h"
#include "not_finite.h"

/* ---- correlations ------------------------------------------------------------------------------------------------ */

static axis forward_axis(ptrdiff_t in, ptrdiff_t out, ptrdiff_t kernel, ptrdiff_t stride, ptrdiff_t padding,
                         ptrdiff_t dilation)
{
    return (axis){.in = in,
                  .out = out,
                  .step = stride,
                  .taps = kernel,
                  .offset = -padding,
                  .spread = dilation,
                  .kernel = 0,
                  .kernel_step = 1};
}

/* With one tap, what lies between the inputs that are read might as well not be there. */
static void skip_between(axis *a, ptrdiff_t *stride)
{
    if (a->taps == 1 && axis_inside(*a) && a->offset == 0) {
        *stride *= a->step;
        a->in = a->out;
        a->step = 1;
    }
}

static correlation forward_correlation(const conv2d_shape *s)
{
    ptrdiff_t ics = s->C / s->G, ocs = s->OC / s->G;
    correlation c = {.N = s->N,
                     .IC = ics,
                     .OC = ocs,
                     .G = s->G,
                     .h = forward_axis(s->H, s->OH, s->KH, s->SH, s->PH, s->DH),
                     .w = forward_axis(s->W, s->OW, s->KW, s->SW, s->PW, s->DW),
                     .in = s->x,
                     .out = s->y,
                     .w_group = ocs * ics * s->KH * s->KW,
                     .w_oc = ics * s->KH * s->KW,
                     .w_ic = s->KH * s->KW,
                     .w_kh = s->KW,
                     .w_kw = 1,
                     .w_ic_taps = s->KH * s->KW,
                     .scale = s->scale,
                     .relu = s->relu,
                     .pool = s->pool,
                     .argmax = s->argmax};
    if (c.in.c == 1) { /* planes are copied with rows as a whole */
        skip_between(&c.h, &c.in.h);
        skip_between(&c.w, &c.in.w);
    }
    return c;
}

static ptrdiff_t greatest_common_divisor(ptrdiff_t a, ptrdiff_t b)
{
    return b == 0 ? a : greatest_common_divisor(b, a % b);
}

/* One axis of dx for the positions first, first + stride, ...; `in` counts dx, `out` dy. Tap k reaches a position i
 * from o = (i + padding - k*dilation) / stride    if that is whole, so the taps that do are `period` apart. Larger k
 * read smaller o: they are taken from the last to the first. */
static axis backward_axis(ptrdiff_t in, ptrdiff_t out, ptrdiff_t kernel, ptrdiff_t stride, ptrdiff_t padding,
                          ptrdiff_t dilation, ptrdiff_t first)
{
    ptrdiff_t divisor = greatest_common_divisor(stride, dilation), period = stride / divisor, k = 0;
    while (k < kernel && (first + padding - k * dilation) % stride != 0) {
        k++;
    }
    ptrdiff_t taps = k < kernel ? (kernel - 1 - k) / period + 1 : 0, last = k + (taps - 1) * period;
    return (axis){.in = out,
                  .out = (in - 1 - first) / stride + 1,
                  .step = 1,
                  .taps = taps,
                  .offset = (first + padding - last * dilation) / stride,
                  .spread = dilation / divisor,
                  .kernel = last,
                  .kernel_step = -period};
}

static correlation backward_correlation(const conv2d_shape *s, ptrdiff_t first_h, ptrdiff_t first_w)
{
    correlation c = forward_correlation(s);
    ptrdiff_t ics = c.IC, w_ic = c.w_ic;
    c.h = backward_axis(s->H, s->OH, s->KH, s->SH, s->PH, s->DH, first_h);
    c.w = backward_axis(s->W, s->OW, s->KW, s->SW, s->PW, s->DW, first_w);
    c.IC = c.OC;
    c.OC = ics;
    c.w_ic = c.w_oc;
    c.w_oc = w_ic;
    c.in = s->y;
    c.out = s->x;
    c.out.h *= s->SH;
    c.out.w *= s->SW;
    c.scale = NULL;
    c.relu = c.pool = 0;
    return c;
}

/* ---- which way --------------------------------------------------------------------------------------------------- */

/* The share of a tile's lanes and rows that does useful work. */
static double channels_use(ptrdiff_t channels)
{
    ptrdiff_t vectors = ceil_div(channels, VLEN);
    double full = (double)channels / (double)(vectors * VLEN);
    return vectors == 1 ? 0.85 * full : full; /* a tile one vector wide loads more than it multiplies */
}

static double planes_use(ptrdiff_t channels, ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t border)
{
    channel_blocks blocks = channel_blocks_of(channels);
    double full = (double)channels / (double)channel_block_begin(blocks, blocks.count);
    ptrdiff_t flat = ceil_div((rows - 1) * (cols + border) + cols, VLEN), by_row = rows * ceil_div(cols, VLEN);
    return full * (double)(rows * cols) / (double)(at_most(flat, by_row) * VLEN);
}

typedef struct {
    double channels, planes;
} lane_use;

/* The share that is left when `turned` values are first brought into the other memory order: one takes about as long as
 * a vector of products, and twice that where a stride sorts the columns. */
static double use_with_turning(const conv2d_shape *s, double use, double products, double turned)
{
    double vectors = products / (double)VLEN, each = s->SH * s->SW > 1 ? 1.8 : 0.9;
    return vectors / (vectors / use + each * turned);
}

static int is_forward_in_planes(const conv2d_shape *s);

/* The input counts as channels last where it has many channels, as most layers make it, and the output as the forward
 * pass makes it. If the orders that they really have decided, the same numbers would give other bits in another order.
 */
static lane_use lane_use_of(const conv2d_shape *s, enum conv2d_pass pass)
{
    enum { MANY = 16 };
    int backward = pass == CONV2D_BACKWARD_INPUT;
    ptrdiff_t channels = (backward ? s->C : s->OC) / s->G;
    ptrdiff_t rows = backward ? ceil_div(s->H, s->SH) : s->OH, cols = backward ? ceil_div(s->W, s->SW) : s->OW;
    double products = (double)(s->C / s->G) * s->OC * s->KH * s->KW * s->OH * s->OW;
    double x = (double)s->C * s->H * s->W, y = (double)s->OC * s->OH * s->OW, last = 0, planes = 0;
    *(s->C >= MANY ? &last : &planes) += x;
    if (pass != CONV2D_FORWARD) {
        *(is_forward_in_planes(s) ? &planes : &last) += y;
    }
    lane_use use = {.channels = channels_use(channels),
                    .planes = planes_use(channels, rows, cols, (s->KW - 1) * s->DW / s->SW)};
    use.channels = use_with_turning(s, use.channels, products, planes);
    use.planes = use_with_turning(s, use.planes, products, last);
    return use;
}

static int is_forward_in_planes(const conv2d_shape *s) { return FN(direct_way_of)(s, CONV2D_FORWARD) == DIRECT_PLANES; }

/* One channel a group, or few of them and a common kernel. All passes together: the orders of memory go with the way.
 */
static int is_depthwise(const conv2d_shape *s)
{
    ptrdiff_t ics = s->C / s->G, ocs = s->OC / s->G;
    if (ics == 1 && ocs == 1) {
        return s->G > 1;
    }
    int is_common = (s->KW == 1 || s->KW == 3) && s->DW == 1 && s->SW <= 2 && s->OW >= 4;
    return is_common && FN(depthwise_can)(ics, ocs, s->G) && FN(depthwise_can)(ocs, ics, s->G);
}

enum direct_way FN(direct_way_of)(const conv2d_shape *s, enum conv2d_pass pass)
{
    if (s->algorithm == CONV2D_CHANNELS || s->algorithm == CONV2D_PLANES) {
        return s->algorithm == CONV2D_CHANNELS ? DIRECT_CHANNELS : DIRECT_PLANES;
    }
    if (is_depthwise(s)) {
        return DIRECT_DEPTHWISE;
    }
    if (pass == CONV2D_FORWARD && FN(dots_suit)(s)) {
        return DIRECT_DOTS;
    }
    lane_use use = lane_use_of(s, pass);
    if ((pass == CONV2D_BACKWARD_INPUT ? s->C : s->OC) / s->G >= 2 * VLEN) {
        use.planes *= 0.8; /* other layers of many channels like them last, and so should their neighbours here */
    }
    return use.channels >= use.planes ? DIRECT_CHANNELS : DIRECT_PLANES;
}

void FN(direct_explain)(const conv2d_shape *s, enum conv2d_pass pass, char *text, size_t size)
{
    lane_use use = lane_use_of(s, pass);
    int channels = (int)(100 * use.channels), planes = (int)(100 * use.planes);
    switch (FN(direct_way_of)(s, pass)) {
    case DIRECT_CHANNELS:
        snprintf(text, size, "direct, vectors of channels (they use %d %% of a tile; vectors of pixels: %d %%)",
                 channels, planes);
        break;
    case DIRECT_PLANES:
        snprintf(text, size, "direct, vectors of pixels (they use %d %% of a tile; vectors of channels: %d %%)", planes,
                 channels);
        break;
    case DIRECT_DEPTHWISE:
        snprintf(text, size,
                 s->C == s->G && s->OC == s->G ? "direct, depthwise" : "direct, vectors of channels of several groups");
        break;
    case DIRECT_DOTS: snprintf(text, size, "direct, dot products with weights as they lie (few pixels)"); break;
    }
}

/* ---- cutting the work -------------------------------------------------------------------------------------------- */

cut FN(cut_batch)(const correlation *c, double bytes_fixed, double bytes_per_row, ptrdiff_t parts)
{
    const double cache = 256 << 10, shortest = 1 << 20, longest = 8 << 20; /* bytes, multiplications */
    double work = correlation_work(c) / (double)(c->G * parts), work_row = work / (double)(c->N * c->h.out);
    double wanted = work / 16 < shortest ? shortest : work / 16 > longest ? longest : work / 16;
    double rows_cached = (cache - bytes_fixed) / bytes_per_row, rows_wanted = wanted / work_row;
    double rows = rows_cached < rows_wanted ? rows_cached : rows_wanted;
    cut result = {.images = 1, .rows = c->h.out, .strips = 1};
    if (rows < (double)c->h.out) {
        result.strips = rows < 1 ? c->h.out : ceil_div(c->h.out, (ptrdiff_t)rows);
        result.rows = ceil_div(c->h.out, result.strips);
        result.strips = ceil_div(c->h.out, result.rows);
    } else {
        double images = rows / (double)c->h.out;
        result.images = images < (double)c->N ? (ptrdiff_t)images : c->N;
    }
    result.image_chunks = ceil_div(c->N, result.images);
    return result;
}

/* ---- the layer --------------------------------------------------------------------------------------------------- */

static void correlate(enum direct_way way, const correlation *c, const real *in, const real *w, const real *bias,
                      real *out)
{
    switch (way) {
    case DIRECT_CHANNELS: FN(correlate_channels)(c, in, w, bias, out); break;
    case DIRECT_PLANES: FN(correlate_planes)(c, in, w, bias, out); break;
    case DIRECT_DEPTHWISE: FN(correlate_depthwise)(&(depthwise_phase){.c = *c, .out = out}, 1, in, w, bias); break;
    case DIRECT_DOTS: FN(correlate_dots)(c, in, w, bias, out); break;
    }
}

int FN(direct_can_follow)(const conv2d_shape *first, const conv2d_shape *second)
{
    const double weights = 512 << 10, shortest = 16 << 20; /* bytes, multiplications: see cut_batch */
    correlation c = forward_correlation(second);
    int is_alone = first->C == first->G && FN(direct_way_of)(first, CONV2D_FORWARD) == DIRECT_DEPTHWISE;
    int is_pointwise = c.h.taps == 1 && c.w.taps == 1 && c.h.in == c.h.out && c.w.in == c.w.out && c.G == 1;
    return is_alone && first->OC == first->G && is_pointwise && c.IC >= VLEN &&
           FN(direct_way_of)(second, CONV2D_FORWARD) == DIRECT_CHANNELS &&
           (double)(c.IC * c.OC) * sizeof(real) <= weights && correlation_work(&c) >= shortest;
}

static void forward_behind_depthwise(correlation *c, const conv2d_before *before, const real *x, const real *w,
                                     const real *b, real *y)
{
    depthwise d;
    depthwise_phase phase = {.c = forward_correlation(&before->layer)};
    if (FN(depthwise_prepare)(&d, &phase, 1, x, before->w, before->b) < 0) {
        kernel_abort(KERNEL_NO_MEMORY);
        return;
    }
    c->before = &d;
    FN(correlate_channels)(c, NULL, w, b, y);
    memory_put(d.weights);
}

void FN(direct_forward)(const conv2d_shape *s, const real *x, const real *w, const real *b, real *y)
{
    correlation c = forward_correlation(s);
    if (s->before != NULL) {
        forward_behind_depthwise(&c, s->before, x, w, b, y);
        return;
    }
    enum direct_way way = FN(direct_way_of)(s, CONV2D_FORWARD);
    correlate(way, &c, x, w, b, y);
    if (way != DIRECT_DEPTHWISE) { /* where nothing surrounds the image */
        FN(mend_border)(&c, x, w, b, y);
    }
}

static int has_taps(correlation c) { return c.h.taps > 0 && c.w.taps > 0; }

/* One image of zeros. */
typedef struct {
    real *images;
    ptrdiff_t values;
} zeros_context;

static void zeros_chunk(void *context, ptrdiff_t image)
{
    const zeros_context *x = context;
    memset(x->images + image * x->values, 0, (size_t)x->values * sizeof(real));
}

/* All phases in one go: they read the same dy, and write between each other. */
static void depthwise_backward_input(const conv2d_shape *s, const real *dy, const real *w, real *dx)
{
    ptrdiff_t across = at_most(s->SW, s->W), count = at_most(s->SH, s->H) * across;
    depthwise_phase *phases = memory_get((size_t)count * sizeof *phases);
    if (phases == NULL) {
        kernel_abort(KERNEL_NO_MEMORY);
        return;
    }
    for (ptrdiff_t p = 0; p < count; p++) {
        phases[p].c = backward_correlation(s, p / across, p % across);
        phases[p].out = dx + p / across * s->x.h + p % across * s->x.w;
    }
    FN(correlate_depthwise)(phases, count, dy, w, NULL);
    memory_put(phases);
}

void FN(direct_backward_input)(const conv2d_shape *s, const real *dy, const real *w, const real *rectified, real *dx)
{
    enum direct_way way = FN(direct_way_of)(s, CONV2D_BACKWARD_INPUT);
    if (way == DIRECT_DEPTHWISE) {
        depthwise_backward_input(s, dy, w, dx);
        return;
    }
    ptrdiff_t across = at_most(s->SW, s->W), count = at_most(s->SH, s->H) * across, reached = 0;
    for (ptrdiff_t p = 0; p < count; p++) {
        reached += has_taps(backward_correlation(s, p / across, p % across));
    }
    if (reached < count) { /* positions of dx that no tap reaches */
        zeros_context zeros = {dx, s->C * s->H * s->W};
        parallel_for(s->N, zeros_chunk, &zeros);
    }
    for (ptrdiff_t p = 0; p < count; p++) {
        correlation c = backward_correlation(s, p / across, p % across);
        c.rectified = rectified;
        if (has_taps(c)) {
            real *out = dx + p / across * s->x.h + p % across * s->x.w;
            correlate(way, &c, dy, w, NULL, out);
            FN(mend_border)(&c, dy, w, NULL, out);
        }
    }
}

void FN(direct_backward_weight)(const conv2d_shape *s, const real *x, const real *dy, real *dw, real *db)
{
    correlation c = forward_correlation(s);
    switch (FN(direct_way_of)(s, CONV2D_BACKWARD_WEIGHT)) {
    case DIRECT_PLANES: FN(correlate_planes_weight)(&c, x, dy, dw, db); break;
    case DIRECT_DEPTHWISE: FN(correlate_depthwise_weight)(&c, x, dy, dw, db); break;
    default: FN(correlate_channels_weight)(&c, x, dy, dw, db);
    }
    FN(mend_weight)(s, x, dy, dw);
}
