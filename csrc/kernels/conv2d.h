/* conv2d.h: the shape of a convolution, and the layer's readings: plain, direct, Winograd. */
#ifndef CNN_CONV2D_H
#define CNN_CONV2D_H

#include "real.h"

/* Distance in memory, in elements, between neighbours along each axis of an activation. */
typedef struct {
    ptrdiff_t n, c, h, w;
} strides4;

/* What the user asks for. The last three name one way exactly, for tests and measurements. */
enum conv2d_algorithm {
    CONV2D_AUTO,
    CONV2D_DIRECT,
    CONV2D_WINOGRAD,
    CONV2D_PRECISE,
    CONV2D_PLAIN,
    CONV2D_CHANNELS,
    CONV2D_PLANES
};

enum conv2d_pass { CONV2D_FORWARD, CONV2D_BACKWARD_INPUT, CONV2D_BACKWARD_WEIGHT };

/*   x, dx (N,C,H,W)    w, dw (OC,C/G,KH,KW) contiguous    b, db (OC)    y, dy (N,OC,OH,OW)
 *
 * S stride, P padding at the top and on the left (what lies below and to the right follows from OH and OW),
 * D dilation, G groups. */
typedef struct conv2d_shape {
    ptrdiff_t N, C, H, W, OC, OH, OW, KH, KW, SH, SW, PH, PW, DH, DW, G;
    strides4 x, y; /* memory order of x and dx, and of y and dy: (N,C,H,W) or (N,H,W,C), dense */
    enum conv2d_algorithm algorithm;
    /* Forward only: */
    const real *scale; /* (OC): what the sums, before the bias, are multiplied by; NULL for ones */
    int pool;          /* forward only: y is (N,OC,OH/2,OW/2), the largest value of each window of 2x2 outputs; only */
    int32_t *argmax;   /* where conv2d_can_pool says so. argmax: their positions as in max_pool2d.c, or NULL */
    int relu;          /* negative outputs become 0 */
    const struct conv2d_before *before; /* only where conv2d_can_follow says so; or NULL */
} conv2d_shape;

/* A depthwise layer whose outputs are the next layer's input and of no other use (a depthwise separable convolution,
 * Howard et al. 2017). They are never stored: x is this layer's input, and the other's field x means nothing. */
typedef struct conv2d_before {
    conv2d_shape layer;
    const real *w, *b;
} conv2d_before;

/* The strides of a dense activation of c channels of h x w, in one order or the other. Of planes of a single value both
 * are true, and it counts as channels last: its pixels, those of the images, are c apart. */
static inline strides4 strides_channels_last(ptrdiff_t c, ptrdiff_t h, ptrdiff_t w)
{
    return (strides4){.n = c * h * w, .c = 1, .h = w * c, .w = c};
}

static inline strides4 strides_planes(ptrdiff_t c, ptrdiff_t h, ptrdiff_t w)
{
    if (h == 1 && w == 1) {
        return strides_channels_last(c, h, w);
    }
    return (strides4){.n = c * h * w, .c = h * w, .h = w, .w = 1};
}

#endif
