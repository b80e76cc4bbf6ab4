/* not_finite.h: NaN and infinities reach exactly what depends on them.
 *
 * A convolution is defined by its sums, and what lies outside of the image takes no part in them. The fast ways take it
 * along as zeros, or mix neighbours: then 0 * infinity or infinity - infinity is NaN where nothing of the kind belongs.
 * That is rare, so it is looked for when all is done, in the few results that must show it, and the values concerned
 * are computed anew as the sum states them. docs/engine.md, "What is not finite", says why it is found.
 */
#ifndef CNN_NOT_FINITE_H
#define CNN_NOT_FINITE_H

#include "direct.h"

#ifdef CNN_VARIANT

/* Some outputs of one pixel of one image and group, as their sums state them: out[m * c->out.c] for the channels m of
 * c->OC where `which` is not 0 (NULL: all). in, out: of the image and group, out at the pixel; w, bias (or NULL) and
 * c->scale: of the group. `room` takes window_room(c) bytes. */
void FN(direct_sums)(const correlation *c, const real *in, const real *w, const real *bias, ptrdiff_t row,
                     ptrdiff_t col, const char *which, void *room, real *out);
size_t FN(direct_sums_room)(const correlation *c);

/* After a correlation that surrounds its input with zeros: where these met weights that are not finite, outputs at the
 * border are computed anew. */
void FN(mend_border)(const correlation *c, const real *in, const real *w, const real *bias, real *out);

/* After a gradient of the weights whose way takes zeros for what is outside, or pads dy with them: filters that are not
 * finite are computed anew. mend_weight looks at few values, enough where only values that were not finite before can
 * have spoiled others; mend_all_weights at all. */
void FN(mend_weight)(const conv2d_shape *s, const real *x, const real *dy, real *dw);
void FN(mend_all_weights)(const conv2d_shape *s, const real *x, const real *dy, real *dw);

#endif
#endif
