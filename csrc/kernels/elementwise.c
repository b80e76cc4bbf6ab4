/* elementwise: the arithmetic between the layers (residual sums, gates, gradient accumulation).
 *
 *   add           y = a + b                  multiply      y = a b
 *   add_scaled    y = a + s b                scale         y = s a
 *   subtract      y = a - b
 *
 *   a, b, y: n values, in any memory order as long as it is the same for all. y may be a or b.
 *
 * Backward of each is another of them: d(a + s b) is dy and s dy, d(a b) is dy b and dy a.
 */
#include "pointwise.h"

static void add(const pointwise *c, ptrdiff_t begin, ptrdiff_t end)
{
    for (ptrdiff_t i = begin; i < end; i++) {
        c->out[i] = c->a[i] + c->b[i];
    }
}

void FN(add)(const real *a, const real *b, real *y, ptrdiff_t n)
{
    pointwise_run(&(pointwise){.range = add, .a = a, .b = b, .out = y, .n = n});
}

static void add_scaled(const pointwise *c, ptrdiff_t begin, ptrdiff_t end)
{
    const real s = (real)c->scalar[0];
    for (ptrdiff_t i = begin; i < end; i++) {
        c->out[i] = c->a[i] + s * c->b[i];
    }
}

void FN(add_scaled)(const real *a, const real *b, real *y, ptrdiff_t n, double s)
{
    pointwise_run(&(pointwise){.range = add_scaled, .a = a, .b = b, .out = y, .n = n, .scalar = {s}});
}

static void subtract(const pointwise *c, ptrdiff_t begin, ptrdiff_t end)
{
    for (ptrdiff_t i = begin; i < end; i++) {
        c->out[i] = c->a[i] - c->b[i];
    }
}

void FN(subtract)(const real *a, const real *b, real *y, ptrdiff_t n)
{
    pointwise_run(&(pointwise){.range = subtract, .a = a, .b = b, .out = y, .n = n});
}

static void multiply(const pointwise *c, ptrdiff_t begin, ptrdiff_t end)
{
    for (ptrdiff_t i = begin; i < end; i++) {
        c->out[i] = c->a[i] * c->b[i];
    }
}

void FN(multiply)(const real *a, const real *b, real *y, ptrdiff_t n)
{
    pointwise_run(&(pointwise){.range = multiply, .a = a, .b = b, .out = y, .n = n});
}

static void scale(const pointwise *c, ptrdiff_t begin, ptrdiff_t end)
{
    const real s = (real)c->scalar[0];
    for (ptrdiff_t i = begin; i < end; i++) {
        c->out[i] = s * c->a[i];
    }
}

void FN(scale)(const real *a, real *y, ptrdiff_t n, double s)
{
    pointwise_run(&(pointwise){.range = scale, .a = a, .out = y, .n = n, .scalar = {s}});
}
