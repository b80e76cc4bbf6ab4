/* conv2d: which reading of the layer serves which shape. */
#include <stdio.h>

#include "../kernels/kernels.h"
#include "direct.h"
#include "winograd.h"

/* The engine copies an image with its padding into scratch; where that would be much larger than the image (strides or
 * paddings of thousands), the plain layer does better. */
static int is_reasonable(const conv2d_shape *s)
{
    double rows = (double)(s->OH - 1) * s->SH + (double)(s->KH - 1) * s->DH + 1;
    double cols = (double)(s->OW - 1) * s->SW + (double)(s->KW - 1) * s->DW + 1;
    return rows * cols <= 1e4 + 16.0 * s->H * s->W && rows * cols * s->C < 1e9;
}

/* The same for the gradient, which backward to the input spreads out by the stride and surrounds with the kernel. */
static int is_reasonable_backward(const conv2d_shape *s)
{
    double rows = (double)s->H + (double)(s->KH - 1) * s->DH, cols = (double)s->W + (double)(s->KW - 1) * s->DW;
    return rows * cols <= 1e4 + 16.0 * s->OH * s->SH * s->OW * s->SW;
}

static int use_plain(const conv2d_shape *s, enum conv2d_pass pass)
{
    return s->algorithm == CONV2D_PLAIN || s->N == 0 || !is_reasonable(s) ||
           (pass == CONV2D_BACKWARD_INPUT && !is_reasonable_backward(s));
}

/* Winograd's ways round a little more than the direct sum, which is why float64, where exactness is asked for, does not
 * take them by itself. */
static int use_winograd(const conv2d_shape *s, enum conv2d_pass pass)
{
    switch (s->algorithm) {
    case CONV2D_AUTO: return sizeof(real) == sizeof(float) && FN(winograd_suits)(s, pass, 0);
    case CONV2D_WINOGRAD:
    case CONV2D_PRECISE: return FN(winograd_can)(s);
    default: return 0;
    }
}

static int is_precise(const conv2d_shape *s) { return s->algorithm == CONV2D_PRECISE; }

void FN(conv2d_forward)(const conv2d_shape *s, const real *x, const real *w, const real *b, real *y)
{
    if (use_plain(s, CONV2D_FORWARD)) {
        FN(plain_conv2d_forward)(s, x, w, b, y);
    } else if (use_winograd(s, CONV2D_FORWARD)) {
        FN(winograd_forward)(s, x, w, b, y, is_precise(s));
    } else {
        FN(direct_forward)(s, x, w, b, y);
    }
}

/* Where a way does not do the ReLU (`rectified`) while dx is in the cache, it is done in the end. */
void FN(conv2d_backward_input)(const conv2d_shape *s, const real *dy, const real *w, const real *rectified, real *dx)
{
    if (use_plain(s, CONV2D_BACKWARD_INPUT)) {
        FN(plain_conv2d_backward_input)(s, dy, w, rectified, dx);
        return;
    } else if (use_winograd(s, CONV2D_BACKWARD_INPUT)) {
        FN(winograd_backward_input)(s, dy, w, rectified, dx, is_precise(s));
        return;
    } else if (FN(direct_way_of)(s, CONV2D_BACKWARD_INPUT) == DIRECT_PLANES && s->SH == 1 && s->SW == 1) {
        FN(direct_backward_input)(s, dy, w, rectified, dx);
        return;
    } else {
        FN(direct_backward_input)(s, dy, w, NULL, dx);
    }
    if (rectified != NULL) {
        FN(relu_backward)(dx, rectified, dx, s->N * s->C * s->H * s->W);
    }
}

void FN(conv2d_backward_weight)(const conv2d_shape *s, const real *x, const real *dy, real *dw, real *db)
{
    if (use_plain(s, CONV2D_BACKWARD_WEIGHT)) {
        FN(plain_conv2d_backward_weight)(s, x, dy, dw, db);
    } else if (use_winograd(s, CONV2D_BACKWARD_WEIGHT)) {
        FN(winograd_backward_weight)(s, x, dy, dw, db, is_precise(s));
    } else {
        FN(direct_backward_weight)(s, x, dy, dw, db);
    }
}

/* Whether y lies channels-last. */
int FN(conv2d_output_order)(const conv2d_shape *s)
{
    if (use_plain(s, CONV2D_FORWARD)) {
        return FN(plain_conv2d_output_order)(s);
    }
    return use_winograd(s, CONV2D_FORWARD) || FN(direct_way_of)(s, CONV2D_FORWARD) != DIRECT_PLANES;
}

/* Some ways have neighbouring rows at hand before they leave the cache. */
int FN(conv2d_can_pool)(const conv2d_shape *s)
{
    return s->OH >= 2 && s->OW >= 2 && !use_plain(s, CONV2D_FORWARD) && s->OH * s->OW <= INT32_MAX &&
           (use_winograd(s, CONV2D_FORWARD) || FN(direct_way_of)(s, CONV2D_FORWARD) == DIRECT_PLANES);
}

/* Whether the depthwise layer s->before can be computed along: 1x1 layers read their input strip by strip. */
int FN(conv2d_can_follow)(const conv2d_shape *s)
{
    const conv2d_shape *first = &s->before->layer;
    return !use_plain(first, CONV2D_FORWARD) && !use_plain(s, CONV2D_FORWARD) && FN(direct_can_follow)(first, s);
}

void FN(conv2d_explain)(const conv2d_shape *s, enum conv2d_pass pass, char *text, size_t size)
{
    if (s->algorithm == CONV2D_PLAIN) {
        FN(plain_conv2d_explain)(s, pass, text, size);
    } else if (s->N == 0) {
        snprintf(text, size, "plain (the batch is empty)");
    } else if (use_plain(s, pass)) {
        snprintf(text, size, "plain (padded, an image would be many times its size)");
    } else if (use_winograd(s, pass)) {
        snprintf(text, size, is_precise(s) ? "Winograd F(2x2,3x3)" : "Winograd F(4x4,3x3)");
    } else {
        FN(direct_explain)(s, pass, text, size);
    }
}
