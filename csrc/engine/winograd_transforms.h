/* winograd_transforms.h: the small linear maps of Winograd's convolution, in one dimension.
 *
 * m outputs y of a filter g of 3 taps, from a patch d of m+2 inputs:    y = A' [ (G g) * (B' d) ]    * element by
 * element
 *
 * It is multiplication of polynomials by their values at m+1 points and "at infinity". With m = 4 the points are
 * 0, ±P, ±Q. Textbooks take P = 1, Q = 2 (Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2015); the
 * powers of 3/4 and 3/2 stay closer to 1, which leaves a third of the rounding error at the same cost (an idea of
 * Barabasz, Anderson, Soodhalter and Gregg, Error Analysis and Improving the Accuracy of Winograd Convolution, 2018).
 *
 *         | P²Q²   0   -P²-Q²   0     1  0 | / f(0)         | 1  0  0  |
 *         |  0   -PQ²   -Q²     P     1  0 | / f(P)         | 1  P  P² |         | 1  1  1   1  1   0 |
 *    B' = |  0    PQ²   -Q²    -P     1  0 | / f(P)     G = | 1 -P  P² |    A' = | 0  P -P   Q -Q   0 |
 *         |  0   -P²Q   -P²     Q     1  0 | / f(Q)         | 1  Q  Q² |         | 0  P² P²  Q² Q²  0 |
 *         |  0    P²Q   -P²    -Q     1  0 | / f(Q)         | 1 -Q  Q² |         | 0  P³-P³  Q³-Q³  1 |
 *         |  0    P²Q²   0   -P²-Q²   0  1 |                | 0  0  1  |
 *
 *    f(0) = P²Q²;  f(P) = 2P²(P²-Q²);  f(Q) = 2Q²(Q²-P²)
 *
 * (Most authors divide the rows of G. The product is the same; in B' the division goes into constants that are there
 * anyway, and the filters, which are most of the work when images are small, need half of the operations.)
 *
 * With m = 2 the points are 0, ±1:
 *
 *         | 1  0 -1  0 |          |  1   0    0  |
 *    B' = | 0  1  1  0 |      G = | 1/2  1/2 1/2 |     A' = | 1  1  1  0 |
 *         | 0 -1  1  0 |          | 1/2 -1/2 1/2 |          | 0  1 -1 -1 |
 *         | 0  1  0 -1 |          |  0   0    1  |
 *
 * Two dimensions are one after the other: columns, then rows. d[], t[] and so on hold a vector of channels each; m is a
 * constant where these are inlined, and then the arrays are registers.
 */
#ifndef CNN_WINOGRAD_TRANSFORMS_H
#define CNN_WINOGRAD_TRANSFORMS_H

#include "../simd/simd.h"
#include "tile.h"

#define P1 ((real)0.75)
#define Q1 ((real)1.5)
#define P2 (P1 * P1)
#define Q2 (Q1 * Q1)
#define P3 (P2 * P1)
#define Q3 (Q2 * Q1)
#define F0 (P2 * Q2)
#define FP (2 * P2 * (P2 - Q2))
#define FQ (2 * Q2 * (Q2 - P2))

/* t = B' d: m+2 values to m+2. */
ALWAYS_INLINE void transform_patch(const int m, const vec d[], vec t[])
{
    if (m == 2) {
        t[0] = d[0] - d[2];
        t[1] = d[1] + d[2];
        t[2] = d[2] - d[1];
        t[3] = d[1] - d[3];
        return;
    }
    vec even_p = (1 / FP) * d[4] - (Q2 / FP) * d[2], odd_p = d[3] - Q2 * d[1];
    vec even_q = (1 / FQ) * d[4] - (P2 / FQ) * d[2], odd_q = d[3] - P2 * d[1];
    t[0] = d[0] - ((P2 + Q2) / F0) * d[2] + (1 / F0) * d[4];
    t[1] = even_p + (P1 / FP) * odd_p;
    t[2] = even_p - (P1 / FP) * odd_p;
    t[3] = even_q + (Q1 / FQ) * odd_q;
    t[4] = even_q - (Q1 / FQ) * odd_q;
    t[5] = F0 * d[1] - (P2 + Q2) * d[3] + d[5];
}

/* y = A' t: m+2 values to m. */
ALWAYS_INLINE void transform_sums(const int m, const vec t[], vec y[])
{
    vec sum_p = t[1] + t[2], difference_p = t[1] - t[2];
    if (m == 2) {
        y[0] = t[0] + sum_p;
        y[1] = difference_p - t[3];
        return;
    }
    vec sum_q = t[3] + t[4], difference_q = t[3] - t[4];
    y[0] = t[0] + sum_p + sum_q;
    y[1] = P1 * difference_p + Q1 * difference_q;
    y[2] = P2 * sum_p + Q2 * sum_q;
    y[3] = P3 * difference_p + Q3 * difference_q + t[5];
}

/* t = A d: m values, gradients of outputs, to m+2. */
ALWAYS_INLINE void transform_outputs(const int m, const vec d[], vec t[])
{
    if (m == 2) {
        t[0] = d[0];
        t[1] = d[0] + d[1];
        t[2] = d[0] - d[1];
        t[3] = -d[1];
        return;
    }
    vec even_p = d[0] + P2 * d[2], odd_p = P1 * d[1] + P3 * d[3];
    vec even_q = d[0] + Q2 * d[2], odd_q = Q1 * d[1] + Q3 * d[3];
    t[0] = d[0];
    t[1] = even_p + odd_p;
    t[2] = even_p - odd_p;
    t[3] = even_q + odd_q;
    t[4] = even_q - odd_q;
    t[5] = d[3];
}

/* u = G g: 3 taps to m+2 values. */
ALWAYS_INLINE void transform_taps(const int m, const vec g[], vec u[])
{
    if (m == 2) {
        vec even = (real)0.5 * (g[0] + g[2]), odd = (real)0.5 * g[1];
        u[0] = g[0];
        u[1] = even + odd;
        u[2] = even - odd;
        u[3] = g[2];
        return;
    }
    vec even_p = g[0] + P2 * g[2], even_q = g[0] + Q2 * g[2];
    u[0] = g[0];
    u[1] = even_p + P1 * g[1];
    u[2] = even_p - P1 * g[1];
    u[3] = even_q + Q1 * g[1];
    u[4] = even_q - Q1 * g[1];
    u[5] = g[2];
}

/* g = G' u: m+2 values to the gradients of 3 taps. */
ALWAYS_INLINE void transform_gradient(const int m, const vec u[], vec g[])
{
    vec sum_p = u[1] + u[2], difference_p = u[1] - u[2];
    if (m == 2) {
        g[0] = u[0] + (real)0.5 * sum_p;
        g[1] = (real)0.5 * difference_p;
        g[2] = (real)0.5 * sum_p + u[3];
        return;
    }
    vec sum_q = u[3] + u[4], difference_q = u[3] - u[4];
    g[0] = u[0] + sum_p + sum_q;
    g[1] = P1 * difference_p + Q1 * difference_q;
    g[2] = P2 * sum_p + Q2 * sum_q + u[5];
}

#endif
