/* hardtanh: values are kept between two limits; relu6 is hardtanh between 0 and 6.
 *
 *   forward    y[i]  = min(max(x[i], low), high)
 *   backward   dx[i] = low < y[i] < high ? dy[i] : 0
 *
 *   x, y, dx, dy: n values in one memory order. y may be x. Backward needs only y.
 *
 * NaN stays NaN, and its gradient passes, as in torch.
 */
#include "pointwise.h"

static void forward(const pointwise *c, ptrdiff_t begin, ptrdiff_t end)
{
    const real low = (real)c->scalar[0], high = (real)c->scalar[1];
    for (ptrdiff_t i = begin; i < end; i++) {
        const real x = c->a[i], above = x < low ? low : x;
        c->out[i] = above > high ? high : above;
    }
}

void FN(hardtanh_forward)(const real *x, real *y, ptrdiff_t n, double low, double high)
{
    pointwise_run(&(pointwise){.range = forward, .a = x, .out = y, .n = n, .scalar = {low, high}});
}

static void backward(const pointwise *c, ptrdiff_t begin, ptrdiff_t end)
{
    const real low = (real)c->scalar[0], high = (real)c->scalar[1];
    for (ptrdiff_t i = begin; i < end; i++) {
        const real y = c->b[i], dy = c->a[i], above = y <= low ? 0 : dy;
        c->out[i] = y >= high ? 0 : above;
    }
}

void FN(hardtanh_backward)(const real *dy, const real *y, real *dx, ptrdiff_t n, double low, double high)
{
    pointwise_run(&(pointwise){.range = backward, .a = dy, .b = y, .out = dx, .n = n, .scalar = {low, high}});
}
