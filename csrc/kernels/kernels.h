/* kernels.h: every kernel, once. The lists below give the declarations and the table of functions: K(name, arguments),
 * or R(type, name, arguments) where something is returned.
 *
 * Arguments: inputs, outputs, saved values, sizes. A gradient is `d` and the name it belongs to.
 * Memory is valid and contiguous unless the kernel says otherwise; a kernel fails in
 * one way: kernel_abort(), after Ctrl-C or for want of scratch memory; its results then mean nothing.
 */
#ifndef CNN_KERNELS_H
#define CNN_KERNELS_H

#include "conv2d.h"
#include "families.h"
#include "gradient.h"
#include "interpolate.h"
#include "pool2d.h"
#include "real.h"

/* The losses of pair_loss.h all take the same arguments. */
#define PAIR_LOSS (const real *x, const real *t, const real *each, double p, real *losses, ptrdiff_t n)
#define PAIR_SLOPE                                                                                          \
    (const real *dy, ptrdiff_t dy_step, const real *x, const real *t, const real *each, double p, real *dx, \
     ptrdiff_t n, double scale)

/* What a row of families.h declares. */
#define K_POINTWISE(name, shown, saved, in_place, settings, names)              \
    K(name##_forward, (const real *x, real *y, ptrdiff_t n DOUBLES_##settings)) \
    K_BACKWARD(name##_backward, shown, saved, settings, names)
#define K_BACKWARD(name, shown, saved, settings, names) \
    K(name, (const real *dy, const real *saved, real *dx, ptrdiff_t n DOUBLES_##settings))
#define K_LOSS(name) R(double, name##_forward, PAIR_LOSS) K(name##_backward, PAIR_SLOPE)
#define K_LOSS_OF_TARGET(name) K_LOSS(name) K(name##_backward_target, PAIR_SLOPE)
#define K_OPTIMISER(name, states, optional, numbers, doubles, flags, ...)                          \
    K(name, (real *const *parameters, const gradient *gradients STATES_##states NUMBERS_##numbers, \
             const ptrdiff_t *sizes, ptrdiff_t count DOUBLES_##doubles FLAGS_##flags))

/* Kernels that csrc/engine has a faster reading of: FN(linear_forward) is the engine's, FN(plain_linear_forward) that
 * of csrc/kernels. A table of kernels has the one or the other (table.c): nobody else needs to ask. */
#define KERNELS_OF_ENGINE(K, R)                                                                                       \
    K(linear_forward, (const real *x, const real *w, const real *b, real *y, ptrdiff_t N, ptrdiff_t C, ptrdiff_t OC)) \
    K(linear_backward_input, (const real *dy, const real *w, real *dx, ptrdiff_t N, ptrdiff_t C, ptrdiff_t OC))       \
    K(linear_backward_weight,                                                                                         \
      (const real *x, const real *dy, real *dw, real *db, ptrdiff_t N, ptrdiff_t C, ptrdiff_t OC))                    \
    K(matmul, (const real *a, const real *b, real *c, const ptrdiff_t a_stride[3], const ptrdiff_t b_stride[3],       \
               ptrdiff_t S, ptrdiff_t M, ptrdiff_t N, ptrdiff_t K))                                                   \
    K(conv2d_forward, (const conv2d_shape *s, const real *x, const real *w, const real *b, real *y))                  \
    K(conv2d_backward_input, (const conv2d_shape *s, const real *dy, const real *w, const real *rectified, real *dx)) \
    K(conv2d_backward_weight, (const conv2d_shape *s, const real *x, const real *dy, real *dw, real *db))             \
    R(int, conv2d_output_order, (const conv2d_shape *s))                                                              \
    R(int, conv2d_can_pool, (const conv2d_shape *s))                                                                  \
    R(int, conv2d_can_follow, (const conv2d_shape *s))                                                                \
    K(conv2d_explain, (const conv2d_shape *s, enum conv2d_pass pass, char *text, size_t size))

/* All the others. */
#define KERNELS_ALONE(K, R)                                                                                            \
    K(group_norm_forward, (const real *x, const real *gamma, const real *beta, real *y, real *mean, real *invstd,      \
                           ptrdiff_t N, ptrdiff_t G, ptrdiff_t K, ptrdiff_t S, double eps))                            \
    K(group_norm_backward, (const real *dy, const real *x, const real *gamma, const real *mean, const real *invstd,    \
                            real *dx, real *dgamma, real *dbeta, ptrdiff_t N, ptrdiff_t G, ptrdiff_t K, ptrdiff_t S))  \
    R(ptrdiff_t, outside_unit, (const real *x, ptrdiff_t n))                                                           \
    K(batch_norm_forward,                                                                                              \
      (const real *x, const real *gamma, const real *beta, real *y, real *mean, real *variance, real *invstd,          \
       ptrdiff_t outer, ptrdiff_t C, ptrdiff_t inner, int training, double eps, int relu))                             \
    K(batch_norm_statistics, (const real *x, real *mean, real *variance, real *invstd, ptrdiff_t outer, ptrdiff_t C,   \
                              ptrdiff_t inner, double eps))                                                            \
    R(int, batch_norm_fold,                                                                                            \
      (const real *b, const real *gamma, const real *beta, const real *mean, const real *variance, real *scale,        \
       real *shift, ptrdiff_t C, double eps))                                                                          \
    K(batch_norm_track, (const real *mean, const real *variance, real *running_mean, real *running_var, ptrdiff_t C,   \
                         ptrdiff_t M, double momentum))                                                                \
    K(batch_norm_backward,                                                                                             \
      (const real *dy, const real *x, const real *gamma, const real *beta, const real *mean, const real *invstd,       \
       real *dx, real *dgamma, real *dbeta, ptrdiff_t outer, ptrdiff_t C, ptrdiff_t inner, int training, int relu))    \
    R(ptrdiff_t, target_weight,                                                                                        \
      (const int64_t *target, const real *w, double *sum, ptrdiff_t n, ptrdiff_t C, int64_t ignore_index))             \
    R(double, cross_entropy_forward,                                                                                   \
      (const real *x, const int64_t *target, const real *w, real *loss, real *dx, ptrdiff_t outer, ptrdiff_t C,        \
       ptrdiff_t inner, int64_t ignore_index, double smoothing, double scale))                                         \
    R(double, cross_entropy_probabilities_forward,                                                                     \
      (const real *x, const real *probabilities, const real *w, real *loss, real *dx, ptrdiff_t n, ptrdiff_t C,        \
       double smoothing, double scale))                                                                                \
    K(cross_entropy_backward,                                                                                          \
      (const real *dy, ptrdiff_t dy_step, const real *saved, real *dx, ptrdiff_t outer, ptrdiff_t C, ptrdiff_t inner)) \
    R(double, nll_loss_forward,                                                                                        \
      (const real *x, const int64_t *target, const real *w, real *loss, ptrdiff_t outer, ptrdiff_t C, ptrdiff_t inner, \
       int64_t ignore_index))                                                                                          \
    K(nll_loss_backward, (const real *dy, ptrdiff_t dy_step, const int64_t *target, const real *w, real *dx,           \
                          ptrdiff_t outer, ptrdiff_t C, ptrdiff_t inner, int64_t ignore_index, double scale))          \
    K(softmax_forward, (const real *x, real *y, ptrdiff_t outer, ptrdiff_t D, ptrdiff_t inner))                        \
    K(softmax_backward, (const real *dy, const real *y, real *dx, ptrdiff_t outer, ptrdiff_t D, ptrdiff_t inner))      \
    K(log_softmax_forward, (const real *x, real *y, ptrdiff_t outer, ptrdiff_t D, ptrdiff_t inner))                    \
    K(log_softmax_backward, (const real *dy, const real *y, real *dx, ptrdiff_t outer, ptrdiff_t D, ptrdiff_t inner))  \
    R(double, fma_peak, (ptrdiff_t rounds, real *out, ptrdiff_t chunks))                                               \
    K(normal_transform, (real * x, ptrdiff_t blocks, double mean, double std))                                         \
    K(max_pool2d_forward, (const real *x, real *y, int32_t *argmax, const pool2d *s))                                  \
    K(max_pool2d_backward, (const real *dy, real *dx, const int32_t *argmax, const pool2d *s))                         \
    K(avg_pool2d_forward,                                                                                              \
      (const real *x, real *y, const pool2d *s, int count_include_pad, ptrdiff_t divisor_override))                    \
    K(avg_pool2d_backward,                                                                                             \
      (const real *dy, real *dx, const pool2d *s, int count_include_pad, ptrdiff_t divisor_override))                  \
    K(adaptive_avg_pool2d_forward, (const real *x, real *y, const pool2d *s))                                          \
    K(adaptive_avg_pool2d_backward, (const real *dy, real *dx, const pool2d *s))                                       \
    K(adaptive_max_pool2d_forward, (const real *x, real *y, int32_t *argmax, const pool2d *s))                         \
    K(adaptive_max_pool2d_backward, (const real *dy, real *dx, const int32_t *argmax, const pool2d *s))                \
    K(interpolate_forward, (const real *x, real *y, const interpolate_axis *rows, const interpolate_axis *columns,     \
                            ptrdiff_t planes, ptrdiff_t taps))                                                         \
    K(interpolate_backward, (const real *dy, real *dx, const interpolate_axis *rows, const interpolate_axis *columns,  \
                             ptrdiff_t planes, ptrdiff_t taps))                                                        \
    K(image_batch, (const uint8_t *x, const ptrdiff_t strides[4], const int64_t *indices, const int64_t *moves,        \
                    const real *table, real *y, ptrdiff_t N, ptrdiff_t C, ptrdiff_t OH, ptrdiff_t OW))                 \
    K(add, (const real *a, const real *b, real *y, ptrdiff_t n))                                                       \
    K(add_scaled, (const real *a, const real *b, real *y, ptrdiff_t n, double s))                                      \
    K(subtract, (const real *a, const real *b, real *y, ptrdiff_t n))                                                  \
    K(multiply, (const real *a, const real *b, real *y, ptrdiff_t n))                                                  \
    K(scale, (const real *a, real *y, ptrdiff_t n, double s))                                                          \
    K(transpose, (const real *x, real *y, ptrdiff_t batch, ptrdiff_t rows, ptrdiff_t columns))                         \
    K(copy_rows, (const real *x, ptrdiff_t x_stride, real *y, ptrdiff_t y_stride, ptrdiff_t rows, ptrdiff_t length))   \
    K(dropout, (const real *x, const uint8_t *mask, real *y, ptrdiff_t n, double p))                                   \
    K(feature_dropout, (const real *x, const uint8_t *mask, real *y, ptrdiff_t images, ptrdiff_t channels,             \
                        ptrdiff_t size, int channels_last, double p))                                                  \
    K(prelu_forward, (const real *x, const real *w, real *y, ptrdiff_t rows, ptrdiff_t channels, ptrdiff_t size))      \
    K(prelu_backward, (const real *dy, const real *x, const real *w, real *dx, real *dw, ptrdiff_t rows,               \
                       ptrdiff_t channels, ptrdiff_t size))                                                            \
    POINTWISE(K_POINTWISE, K_BACKWARD)                                                                                 \
    PAIR_LOSSES(K_LOSS, K_LOSS_OF_TARGET)                                                                              \
    OPTIMISERS(K_OPTIMISER)

#define KERNELS(K, R) KERNELS_OF_ENGINE(K, R) KERNELS_ALONE(K, R)

struct kernels {
#define K(name, arguments) R(void, name, arguments)
#define R(type, name, arguments) type(*name) arguments;
    KERNELS(K, R)
#undef R
};

#ifdef CNN_VARIANT
#define R(type, name, arguments) type FN(name) arguments;
KERNELS(K, R)
#undef R
#define R(type, name, arguments) type FN(plain_##name) arguments;
KERNELS_OF_ENGINE(K, R)
#undef R
#endif
#undef K

#endif
