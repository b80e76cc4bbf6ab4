/* sizes.h: the arithmetic of sizes. */
#ifndef CNN_SIZES_H
#define CNN_SIZES_H

#include <stddef.h>

static inline ptrdiff_t at_least(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }

static inline ptrdiff_t at_most(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }

/* a / b rounded up; neither is negative, b is not 0. */
static inline ptrdiff_t ceil_div(ptrdiff_t a, ptrdiff_t b) { return (a + b - 1) / b; }

#endif
