/* window.h: where a sliding window meets its input. Convolution and pooling both ask here.
 *
 * Along one axis, output o looks at the inputs
 *
 *     i = o*stride - before + k*dilation      k = 0 .. kernel-1
 *
 * and an axis of `size` values, padded by `before` and `after`, has
 *
 *     outputs = floor((size + before + after - dilation*(kernel-1) - 1) / stride) + 1
 */
#ifndef CNN_WINDOW_H
#define CNN_WINDOW_H

#include <stddef.h>
#include <stdint.h>

enum window_fit {
    WINDOW_FITS,
    WINDOW_TOO_LARGE, /* the window, with its dilation, is larger than the padded input */
    WINDOW_OVERFLOW   /* a size does not fit into ptrdiff_t */
};

/* Sets *outputs, checking every step for overflow. Expects size, before, after >= 0 and kernel, stride, dilation >= 1.
 * ceil_mode rounds the division up instead, but drops a last window that would start in the padding after the input. */
static inline enum window_fit window_outputs(ptrdiff_t size, ptrdiff_t before, ptrdiff_t after, ptrdiff_t kernel,
                                             ptrdiff_t stride, ptrdiff_t dilation, int ceil_mode, ptrdiff_t *outputs)
{
    ptrdiff_t padded, reach, room, last_start;
    if (__builtin_add_overflow(size, before, &padded) || __builtin_add_overflow(padded, after, &padded) ||
        __builtin_mul_overflow(dilation, kernel - 1, &reach)) {
        return WINDOW_OVERFLOW;
    }
    room = padded - 1 - reach; /* the last place where a window may start */
    if (room < 0 && ceil_mode && room > -stride) {
        *outputs = 1; /* rounded up, the one window hangs over */
        return WINDOW_FITS;
    }
    if (room < 0) {
        return WINDOW_TOO_LARGE;
    }
    *outputs = room / stride + 1;
    if (ceil_mode && room % stride != 0 && !__builtin_mul_overflow(*outputs, stride, &last_start) &&
        last_start < size + before) {
        *outputs += 1;
    }
    return WINDOW_FITS;
}

/* The outputs [begin, end) whose window has input number o*stride + offset inside [0, size): for the tap k, offset is
 * k*dilation - before. Outside of that range the tap lies on padding. */
static inline void window_range(ptrdiff_t size, ptrdiff_t outputs, ptrdiff_t stride, ptrdiff_t offset, ptrdiff_t *begin,
                                ptrdiff_t *end)
{
    *begin = offset < 0 ? (-offset - 1) / stride + 1 : 0;
    *end = offset < size ? (size - 1 - offset) / stride + 1 : 0;
    if (*end > outputs) {
        *end = outputs;
    }
    if (*begin > *end) {
        *begin = *end;
    }
}

/* The taps [begin, end) that lie inside for any output at all: of a window far larger than the input these are few. */
static inline void window_taps(ptrdiff_t size, ptrdiff_t outputs, ptrdiff_t kernel, ptrdiff_t stride,
                               ptrdiff_t dilation, ptrdiff_t before, ptrdiff_t *begin, ptrdiff_t *end)
{
    ptrdiff_t unused;
    window_range(size, kernel, dilation, (outputs - 1) * stride - before, begin, &unused);
    window_range(size, kernel, dilation, -before, &unused, end);
}

/* The other way round: the outputs [begin, end) whose window may look at `input`. With a dilation a window can jump
 * over an input that it spans; such an output is listed too. */
static inline void window_covering(ptrdiff_t input, ptrdiff_t outputs, ptrdiff_t kernel, ptrdiff_t stride,
                                   ptrdiff_t dilation, ptrdiff_t before, ptrdiff_t *begin, ptrdiff_t *end)
{
    ptrdiff_t last_start = input + before, first_start = last_start - dilation * (kernel - 1);
    *begin = first_start > 0 ? (first_start - 1) / stride + 1 : 0;
    *end = last_start / stride + 1;
    if (*end > outputs) {
        *end = outputs;
    }
    if (*begin > *end) {
        *begin = *end;
    }
}

/* Adaptive pooling cuts `size` inputs into `outputs` windows of nearly equal length, which overlap where the division
 * leaves a rest: the inputs [begin, end) of output o. By symmetry adaptive_range(input, outputs, size, ...) gives the
 * outputs that look at an input. */
static inline void adaptive_range(ptrdiff_t o, ptrdiff_t size, ptrdiff_t outputs, ptrdiff_t *begin, ptrdiff_t *end)
{
    *begin = o * size / outputs;
    *end = ((o + 1) * size - 1) / outputs + 1;
}

#endif
