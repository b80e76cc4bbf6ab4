/* winograd.h: 3x3 convolution, stride 1, with fewer multiplications. See docs/engine.md and winograd.c.
 *
 * A tile of m x m outputs needs (m+2)^2 products instead of 9 m^2: with m = 4 a quarter of them, with m = 2 (`precise`)
 * 4/9. The price is rounding: the largest error, relative to the largest value, is about twice that of the direct sum
 * with m = 2 and about four times with m = 4.
 *
 * x and y in any memory order; channels last is the faster one. Threaded; the bits do not depend on the number of
 * threads. Uses scratch().
 */
#ifndef CNN_WINOGRAD_H
#define CNN_WINOGRAD_H

#include "../kernels/conv2d.h"

#ifdef CNN_VARIANT

/* True if the functions below can compute this layer: 3x3, stride 1, no dilation, no groups, padding 0 to 2. */
int FN(winograd_can)(const conv2d_shape *s);

/* True if they are also likely to be faster than the direct convolution. */
int FN(winograd_suits)(const conv2d_shape *s, enum conv2d_pass pass, int precise);

void FN(winograd_forward)(const conv2d_shape *s, const real *x, const real *w, const real *b, real *y, int precise);
void FN(winograd_backward_input)(const conv2d_shape *s, const real *dy, const real *w, const real *rectified, real *dx,
                                 int precise);
void FN(winograd_backward_weight)(const conv2d_shape *s, const real *x, const real *dy, real *dw, real *db,
                                  int precise);

#endif
#endif
