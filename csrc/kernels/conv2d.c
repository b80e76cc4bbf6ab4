/* conv2d: every output is a weighted sum of the inputs under its window.
 *
 *   forward           y[n,oc,oh,ow]     = b[oc] + sum over ic,kh,kw of  w[oc,ic,kh,kw] * x[n,ic,ih,iw]
 *   backward_input    dx[n,ic,ih,iw]    = sum over oc,kh,kw of          w[oc,ic,kh,kw] * dy[n,oc,oh,ow]
 *   backward_weight   dw[oc,ic,kh,kw]   = sum over n,oh,ow of           x[n,ic,ih,iw]  * dy[n,oc,oh,ow]
 *                     db[oc]            = sum over n,oh,ow of           dy[n,oc,oh,ow]
 *
 *   where  ih = oh*SH - PH + kh*DH   and   iw = ow*SW - PW + kw*DW;  taps outside of the input count as 0.
 *
 *   x, dx (N,C,H,W)    w, dw (OC,C/G,KH,KW)    b, db (OC) or NULL    y, dy (N,OC,OH,OW)
 *
 * With G groups, the first OC/G output channels see only the first C/G input channels, and so on. x, dx, y, dy lie in
 * memory as s->x and s->y say. Outputs are overwritten. Backward needs x and w from forward.
 *
 * What follows the layer may be done along with it, forward: s->scale[oc] multiplies the sum (a batch_norm with
 * constant statistics), and with s->relu it ends with y = max(y, 0). Backward, `rectified` is NULL, or the layer's
 * input, which came out of a ReLU: then dx is the gradient of what went into the ReLU, 0 where the input is not above
 * 0.
 *
 * This is the layer to read, and the one that the tests trust; csrc/engine has the fast versions. All three passes walk
 * the same loops: for one tap (kh, kw) and one pair of planes, over the outputs whose input is inside the image.
 */
#include <stdio.h>

#include "../threads.h"
#include "kernels.h"
#include "window.h"

typedef struct {
    const conv2d_shape *s;
    const real *x, *w, *b, *dy;
    real *y, *dx, *dw, *db;
    ptrdiff_t items, chunks;
} context;

/* One tap: its outputs rows [oh0, oh1), columns [ow0, ow1), and the input of output (0, 0). */
typedef struct {
    ptrdiff_t oh0, oh1, ow0, ow1, ih, iw;
} tap;

static tap tap_at(const conv2d_shape *s, ptrdiff_t kh, ptrdiff_t kw)
{
    tap t = {.ih = kh * s->DH - s->PH, .iw = kw * s->DW - s->PW};
    window_range(s->H, s->OH, s->SH, t.ih, &t.oh0, &t.oh1);
    window_range(s->W, s->OW, s->SW, t.iw, &t.ow0, &t.ow1);
    return t;
}

static const real *weight_at(const conv2d_shape *s, const real *w, ptrdiff_t oc, ptrdiff_t ic)
{
    return w + (oc * (s->C / s->G) + ic) * s->KH * s->KW;
}

static void fill_plane(real *plane, strides4 stride, ptrdiff_t height, ptrdiff_t width, real value)
{
    for (ptrdiff_t h = 0; h < height; h++) {
        for (ptrdiff_t w = 0; w < width; w++) {
            plane[h * stride.h + w * stride.w] = value;
        }
    }
}

/* Sums become outputs. */
static void finish_plane(const conv2d_shape *s, real *y, real scale, real bias)
{
    for (ptrdiff_t oh = 0; oh < s->OH; oh++) {
        for (ptrdiff_t ow = 0; ow < s->OW; ow++) {
            real *value = y + oh * s->y.h + ow * s->y.w;
            *value = *value * scale + bias;
            *value = s->relu && *value <= 0 ? 0 : *value;
        }
    }
}

static void forward_chunk(void *c_, ptrdiff_t chunk)
{
    const context *c = c_;
    const conv2d_shape *s = c->s;
    ptrdiff_t ics = s->C / s->G, ocs = s->OC / s->G, begin, end;
    chunk_bounds(c->items, c->chunks, chunk, &begin, &end);
    for (ptrdiff_t item = begin; item < end; item++) {
        ptrdiff_t n = item / s->OC, oc = item % s->OC, first = oc / ocs * ics;
        real *y = c->y + n * s->y.n + oc * s->y.c;
        fill_plane(y, s->y, s->OH, s->OW, 0);
        for (ptrdiff_t ic = 0; ic < ics; ic++) {
            const real *x = c->x + n * s->x.n + (first + ic) * s->x.c;
            const real *w = weight_at(s, c->w, oc, ic);
            for (ptrdiff_t k = 0; k < s->KH * s->KW; k++) {
                tap t = tap_at(s, k / s->KW, k % s->KW);
                for (ptrdiff_t oh = t.oh0; oh < t.oh1; oh++) {
                    const real *x_row = x + (oh * s->SH + t.ih) * s->x.h;
                    real *y_row = y + oh * s->y.h;
                    for (ptrdiff_t ow = t.ow0; ow < t.ow1; ow++) {
                        y_row[ow * s->y.w] += w[k] * x_row[(ow * s->SW + t.iw) * s->x.w];
                    }
                }
            }
        }
        finish_plane(s, y, s->scale != NULL ? s->scale[oc] : 1, c->b != NULL ? c->b[oc] : 0);
    }
}

void FN(plain_conv2d_forward)(const conv2d_shape *s, const real *x, const real *w, const real *b, real *y)
{
    ptrdiff_t items = s->N * s->OC;
    context c = {.s = s, .x = x, .w = w, .b = b, .y = y, .items = items};
    c.chunks = chunks_of_work(items, s->C / s->G * s->KH * s->KW * s->OH * s->OW);
    parallel_for(c.chunks, forward_chunk, &c);
}

static void backward_input_chunk(void *c_, ptrdiff_t chunk)
{
    const context *c = c_;
    const conv2d_shape *s = c->s;
    ptrdiff_t ics = s->C / s->G, ocs = s->OC / s->G, begin, end;
    chunk_bounds(c->items, c->chunks, chunk, &begin, &end);
    for (ptrdiff_t item = begin; item < end; item++) {
        ptrdiff_t n = item / s->C, channel = item % s->C, ic = channel % ics, first = channel / ics * ocs;
        real *dx = c->dx + n * s->x.n + channel * s->x.c;
        fill_plane(dx, s->x, s->H, s->W, 0);
        for (ptrdiff_t oc = first; oc < first + ocs; oc++) {
            const real *dy = c->dy + n * s->y.n + oc * s->y.c;
            const real *w = weight_at(s, c->w, oc, ic);
            for (ptrdiff_t k = 0; k < s->KH * s->KW; k++) {
                tap t = tap_at(s, k / s->KW, k % s->KW);
                for (ptrdiff_t oh = t.oh0; oh < t.oh1; oh++) {
                    real *dx_row = dx + (oh * s->SH + t.ih) * s->x.h;
                    const real *dy_row = dy + oh * s->y.h;
                    for (ptrdiff_t ow = t.ow0; ow < t.ow1; ow++) {
                        dx_row[(ow * s->SW + t.iw) * s->x.w] += w[k] * dy_row[ow * s->y.w];
                    }
                }
            }
        }
    }
}

void FN(plain_conv2d_backward_input)(const conv2d_shape *s, const real *dy, const real *w, const real *rectified,
                                     real *dx)
{
    ptrdiff_t items = s->N * s->C;
    context c = {.s = s, .dy = dy, .w = w, .dx = dx, .items = items};
    c.chunks = chunks_of_work(items, s->OC / s->G * s->KH * s->KW * s->OH * s->OW);
    parallel_for(c.chunks, backward_input_chunk, &c);
    if (rectified != NULL) {
        FN(relu_backward)(dx, rectified, dx, s->N * s->C * s->H * s->W);
    }
}

/* The sum over one plane of dy, each value times the input under tap t. In double: dw may have millions of terms. */
static double plane_sum(const conv2d_shape *s, tap t, const real *x, const real *dy)
{
    double sum = 0;
    for (ptrdiff_t oh = t.oh0; oh < t.oh1; oh++) {
        const real *x_row = x + (oh * s->SH + t.ih) * s->x.h;
        const real *dy_row = dy + oh * s->y.h;
        for (ptrdiff_t ow = t.ow0; ow < t.ow1; ow++) {
            sum += (double)x_row[(ow * s->SW + t.iw) * s->x.w] * dy_row[ow * s->y.w];
        }
    }
    return sum;
}

static double bias_sum(const conv2d_shape *s, const real *dy, ptrdiff_t oc)
{
    double sum = 0;
    for (ptrdiff_t n = 0; n < s->N; n++) {
        for (ptrdiff_t oh = 0; oh < s->OH; oh++) {
            const real *row = dy + n * s->y.n + oc * s->y.c + oh * s->y.h;
            for (ptrdiff_t ow = 0; ow < s->OW; ow++) {
                sum += row[ow * s->y.w];
            }
        }
    }
    return sum;
}

static void backward_weight_chunk(void *c_, ptrdiff_t chunk)
{
    const context *c = c_;
    const conv2d_shape *s = c->s;
    ptrdiff_t ics = s->C / s->G, ocs = s->OC / s->G, taps = s->KH * s->KW, begin, end;
    chunk_bounds(c->items, c->chunks, chunk, &begin, &end);
    for (ptrdiff_t item = begin; item < end; item++) {
        ptrdiff_t k = item % taps, ic = item / taps % ics, oc = item / taps / ics;
        const real *x = c->x + (oc / ocs * ics + ic) * s->x.c;
        const real *dy = c->dy + oc * s->y.c;
        tap t = tap_at(s, k / s->KW, k % s->KW);
        double sum = 0;
        for (ptrdiff_t n = 0; n < s->N; n++) {
            sum += plane_sum(s, t, x + n * s->x.n, dy + n * s->y.n);
        }
        c->dw[item] = (real)sum;
        if (c->db != NULL && k == 0 && ic == 0) {
            c->db[oc] = (real)bias_sum(s, c->dy, oc);
        }
    }
}

void FN(plain_conv2d_backward_weight)(const conv2d_shape *s, const real *x, const real *dy, real *dw, real *db)
{
    ptrdiff_t items = s->OC * (s->C / s->G) * s->KH * s->KW;
    context c = {.s = s, .x = x, .dy = dy, .dw = dw, .db = db, .items = items};
    c.chunks = chunks_of_work(items, s->N * s->OH * s->OW);
    parallel_for(c.chunks, backward_weight_chunk, &c);
}

int FN(plain_conv2d_output_order)(const conv2d_shape *s) { return s->x.c == 1 && s->C > 1; }

int FN(plain_conv2d_can_pool)(const conv2d_shape *s)
{
    (void)s;
    return 0;
}

int FN(plain_conv2d_can_follow)(const conv2d_shape *s)
{
    (void)s;
    return 0;
}

void FN(plain_conv2d_explain)(const conv2d_shape *s, enum conv2d_pass pass, char *text, size_t size)
{
    (void)s;
    (void)pass;
    snprintf(text, size, "plain (asked for)");
}
