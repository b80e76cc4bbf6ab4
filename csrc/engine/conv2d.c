/* conv2d: which reading of the layer serves which shape. */
#include "../kernels/kernels.h"

void FN(conv2d_forward)(const conv2d_shape *s, const real *x, const real *w, const real *b, real *y)
{
    FN(conv2d_plain_forward)(s, x, w, b, y);
}

void FN(conv2d_backward_input)(const conv2d_shape *s, const real *dy, const real *w, real *dx)
{
    FN(conv2d_plain_backward_input)(s, dy, w, dx);
}

void FN(conv2d_backward_weight)(const conv2d_shape *s, const real *x, const real *dy, real *dw, real *db)
{
    FN(conv2d_plain_backward_weight)(s, x, dy, dw, db);
}

void FN(conv2d_output_order)(const conv2d_shape *s, int *channels_last) { *channels_last = s->x.c == 1 && s->C > 1; }
