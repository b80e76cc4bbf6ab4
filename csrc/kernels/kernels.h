/* kernels.h: every kernel, once. The list below gives the declarations and the table of functions.
 *
 * Arguments: inputs, outputs, saved values, sizes. A gradient is `d` and the name it belongs to.
 * Memory is valid and contiguous unless the kernel says otherwise; a kernel cannot fail.
 */
#ifndef CNN_KERNELS_H
#define CNN_KERNELS_H

#include "conv2d.h"
#include "gradient.h"
#include "interpolate.h"
#include "pool2d.h"
#include "real.h"

/* The losses of pair_loss.h all take the same arguments. */
#define PAIR_LOSS (const real *x, const real *t, const real *each, double p, real *losses, double *total, ptrdiff_t n)
#define PAIR_SLOPE                                                                                          \
    (const real *dy, ptrdiff_t dy_step, const real *x, const real *t, const real *each, double p, real *dx, \
     ptrdiff_t n, double scale)

#define KERNELS(K)                                                                                                     \
    K(group_norm_forward, (const real *x, const real *gamma, const real *beta, real *y, real *mean, real *invstd,      \
                           ptrdiff_t N, ptrdiff_t G, ptrdiff_t K, ptrdiff_t S, double eps))                            \
    K(group_norm_backward, (const real *dy, const real *x, const real *gamma, const real *mean, const real *invstd,    \
                            real *dx, real *dgamma, real *dbeta, ptrdiff_t N, ptrdiff_t G, ptrdiff_t K, ptrdiff_t S))  \
    K(mse_loss_forward, PAIR_LOSS)                                                                                     \
    K(mse_loss_backward, PAIR_SLOPE)                                                                                   \
    K(l1_loss_forward, PAIR_LOSS)                                                                                      \
    K(l1_loss_backward, PAIR_SLOPE)                                                                                    \
    K(smooth_l1_loss_forward, PAIR_LOSS)                                                                               \
    K(smooth_l1_loss_backward, PAIR_SLOPE)                                                                             \
    K(huber_loss_forward, PAIR_LOSS)                                                                                   \
    K(huber_loss_backward, PAIR_SLOPE)                                                                                 \
    K(binary_cross_entropy_forward, PAIR_LOSS)                                                                         \
    K(binary_cross_entropy_backward, PAIR_SLOPE)                                                                       \
    K(binary_cross_entropy_backward_target, PAIR_SLOPE)                                                                \
    K(binary_cross_entropy_with_logits_forward, PAIR_LOSS)                                                             \
    K(binary_cross_entropy_with_logits_backward, PAIR_SLOPE)                                                           \
    K(binary_cross_entropy_with_logits_backward_target, PAIR_SLOPE)                                                    \
    K(kl_div_forward, PAIR_LOSS)                                                                                       \
    K(kl_div_backward, PAIR_SLOPE)                                                                                     \
    K(kl_div_backward_target, PAIR_SLOPE)                                                                              \
    K(outside_unit, (const real *x, ptrdiff_t *outside, ptrdiff_t n))                                                  \
    K(batch_norm_forward,                                                                                              \
      (const real *x, const real *gamma, const real *beta, real *y, real *mean, real *variance, real *invstd,          \
       ptrdiff_t outer, ptrdiff_t C, ptrdiff_t inner, int training, double eps, int relu))                             \
    K(batch_norm_statistics, (const real *x, real *mean, real *variance, real *invstd, ptrdiff_t outer, ptrdiff_t C,   \
                              ptrdiff_t inner, double eps))                                                            \
    K(batch_norm_fold, (const real *b, const real *gamma, const real *beta, const real *mean, const real *variance,    \
                        real *scale, real *shift, ptrdiff_t C, double eps, int *safe))                                 \
    K(batch_norm_track, (const real *mean, const real *variance, real *running_mean, real *running_var, ptrdiff_t C,   \
                         ptrdiff_t M, double momentum))                                                                \
    K(batch_norm_backward,                                                                                             \
      (const real *dy, const real *x, const real *gamma, const real *beta, const real *mean, const real *invstd,       \
       real *dx, real *dgamma, real *dbeta, ptrdiff_t outer, ptrdiff_t C, ptrdiff_t inner, int training, int relu))    \
    K(target_weight, (const int64_t *target, const real *w, double *sum, ptrdiff_t *first_bad, ptrdiff_t n,            \
                      ptrdiff_t C, int64_t ignore_index))                                                              \
    K(cross_entropy_forward,                                                                                           \
      (const real *x, const int64_t *target, const real *w, real *loss, double *total, real *dx, ptrdiff_t outer,      \
       ptrdiff_t C, ptrdiff_t inner, int64_t ignore_index, double smoothing, double scale))                            \
    K(cross_entropy_probabilities_forward,                                                                             \
      (const real *x, const real *probabilities, const real *w, real *loss, double *total, real *dx, ptrdiff_t n,      \
       ptrdiff_t C, double smoothing, double scale))                                                                   \
    K(cross_entropy_backward,                                                                                          \
      (const real *dy, ptrdiff_t dy_step, const real *saved, real *dx, ptrdiff_t outer, ptrdiff_t C, ptrdiff_t inner)) \
    K(nll_loss_forward, (const real *x, const int64_t *target, const real *w, real *loss, double *total,               \
                         ptrdiff_t outer, ptrdiff_t C, ptrdiff_t inner, int64_t ignore_index))                         \
    K(nll_loss_backward, (const real *dy, ptrdiff_t dy_step, const int64_t *target, const real *w, real *dx,           \
                          ptrdiff_t outer, ptrdiff_t C, ptrdiff_t inner, int64_t ignore_index, double scale))          \
    K(softmax_forward, (const real *x, real *y, ptrdiff_t outer, ptrdiff_t D, ptrdiff_t inner))                        \
    K(softmax_backward, (const real *dy, const real *y, real *dx, ptrdiff_t outer, ptrdiff_t D, ptrdiff_t inner))      \
    K(log_softmax_forward, (const real *x, real *y, ptrdiff_t outer, ptrdiff_t D, ptrdiff_t inner))                    \
    K(log_softmax_backward, (const real *dy, const real *y, real *dx, ptrdiff_t outer, ptrdiff_t D, ptrdiff_t inner))  \
    K(conv2d_forward, (const conv2d_shape *s, const real *x, const real *w, const real *b, real *y))                   \
    K(conv2d_backward_input, (const conv2d_shape *s, const real *dy, const real *w, const real *rectified, real *dx))  \
    K(conv2d_backward_weight, (const conv2d_shape *s, const real *x, const real *dy, real *dw, real *db))              \
    K(conv2d_output_order, (const conv2d_shape *s, int *channels_last))                                                \
    K(conv2d_can_pool, (const conv2d_shape *s, int *can))                                                              \
    K(conv2d_can_follow, (const conv2d_shape *s, int *can))                                                            \
    K(conv2d_explain, (const conv2d_shape *s, enum conv2d_pass pass, char *text, size_t size))                         \
    K(fma_peak, (ptrdiff_t rounds, real *out, ptrdiff_t chunks, double *operations))                                   \
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
    K(linear_forward, (const real *x, const real *w, const real *b, real *y, ptrdiff_t N, ptrdiff_t C, ptrdiff_t OC))  \
    K(linear_backward_input, (const real *dy, const real *w, real *dx, ptrdiff_t N, ptrdiff_t C, ptrdiff_t OC))        \
    K(linear_backward_weight,                                                                                          \
      (const real *x, const real *dy, real *dw, real *db, ptrdiff_t N, ptrdiff_t C, ptrdiff_t OC))                     \
    K(fast_linear_forward,                                                                                             \
      (const real *x, const real *w, const real *b, real *y, ptrdiff_t N, ptrdiff_t C, ptrdiff_t OC))                  \
    K(fast_linear_backward_input, (const real *dy, const real *w, real *dx, ptrdiff_t N, ptrdiff_t C, ptrdiff_t OC))   \
    K(fast_linear_backward_weight,                                                                                     \
      (const real *x, const real *dy, real *dw, real *db, ptrdiff_t N, ptrdiff_t C, ptrdiff_t OC))                     \
    K(matmul, (const real *a, const real *b, real *c, const ptrdiff_t a_stride[3], const ptrdiff_t b_stride[3],        \
               ptrdiff_t S, ptrdiff_t M, ptrdiff_t N, ptrdiff_t K))                                                    \
    K(fast_matmul, (const real *a, const real *b, real *c, const ptrdiff_t a_stride[3], const ptrdiff_t b_stride[3],   \
                    ptrdiff_t S, ptrdiff_t M, ptrdiff_t N, ptrdiff_t K))                                               \
    K(interpolate_forward, (const real *x, real *y, const interpolate_axis *rows, const interpolate_axis *columns,     \
                            ptrdiff_t planes, ptrdiff_t taps))                                                         \
    K(interpolate_backward, (const real *dy, real *dx, const interpolate_axis *rows, const interpolate_axis *columns,  \
                             ptrdiff_t planes, ptrdiff_t taps))                                                        \
    K(image_batch, (const uint8_t *x, const ptrdiff_t strides[4], const int64_t *indices, const int64_t *moves,        \
                    const real *table, real *y, ptrdiff_t N, ptrdiff_t C, ptrdiff_t OH, ptrdiff_t OW))                 \
    K(relu_forward, (const real *x, real *y, ptrdiff_t n))                                                             \
    K(relu_backward, (const real *dy, const real *y, real *dx, ptrdiff_t n))                                           \
    K(add, (const real *a, const real *b, real *y, ptrdiff_t n))                                                       \
    K(add_scaled, (const real *a, const real *b, real *y, ptrdiff_t n, double s))                                      \
    K(subtract, (const real *a, const real *b, real *y, ptrdiff_t n))                                                  \
    K(multiply, (const real *a, const real *b, real *y, ptrdiff_t n))                                                  \
    K(scale, (const real *a, real *y, ptrdiff_t n, double s))                                                          \
    K(transpose, (const real *x, real *y, ptrdiff_t batch, ptrdiff_t rows, ptrdiff_t columns))                         \
    K(copy_rows, (const real *x, ptrdiff_t x_stride, real *y, ptrdiff_t y_stride, ptrdiff_t rows, ptrdiff_t length))   \
    K(sgd, (real *const *parameters, const gradient *gradients, real *const *velocities, const ptrdiff_t *sizes,       \
            ptrdiff_t count, double lr, double momentum, double dampening, double weight_decay, int nesterov,          \
            int maximize, int first))                                                                                  \
    K(adam, (real *const *parameters, const gradient *gradients, real *const *m, real *const *v, real *const *w,       \
             const double *steps, const ptrdiff_t *sizes, ptrdiff_t count, double lr, double beta1, double beta2,      \
             double eps, double weight_decay, int decoupled, int maximize))                                            \
    K(rmsprop, (real *const *parameters, const gradient *gradients, real *const *s, real *const *c, real *const *v,    \
                const ptrdiff_t *sizes, ptrdiff_t count, double lr, double alpha, double eps, double weight_decay,     \
                double momentum, int maximize))                                                                        \
    K(adagrad, (real *const *parameters, const gradient *gradients, real *const *s, const double *steps,               \
                const ptrdiff_t *sizes, ptrdiff_t count, double lr, double lr_decay, double eps, double weight_decay,  \
                int maximize))                                                                                         \
    K(adadelta,                                                                                                        \
      (real *const *parameters, const gradient *gradients, real *const *s, real *const *u, const ptrdiff_t *sizes,     \
       ptrdiff_t count, double lr, double rho, double eps, double weight_decay, int maximize))                         \
    K(adamax, (real *const *parameters, const gradient *gradients, real *const *m, real *const *u,                     \
               const double *steps, const ptrdiff_t *sizes, ptrdiff_t count, double lr, double beta1, double beta2,    \
               double eps, double weight_decay, int maximize))                                                         \
    K(nadam, (real *const *parameters, const gradient *gradients, real *const *m, real *const *v, const double *steps, \
              const double *mu_products, const ptrdiff_t *sizes, ptrdiff_t count, double lr, double beta1,             \
              double beta2, double eps, double weight_decay, double momentum_decay, int decoupled, int maximize))      \
    K(dropout, (const real *x, const uint8_t *mask, real *y, ptrdiff_t n, double p))                                   \
    K(feature_dropout, (const real *x, const uint8_t *mask, real *y, ptrdiff_t images, ptrdiff_t channels,             \
                        ptrdiff_t size, int channels_last, double p))                                                  \
    K(leaky_relu_forward, (const real *x, real *y, ptrdiff_t n, double slope))                                         \
    K(leaky_relu_backward, (const real *dy, const real *s, real *dx, ptrdiff_t n, double slope))                       \
    K(sigmoid_forward, (const real *x, real *y, ptrdiff_t n))                                                          \
    K(sigmoid_backward, (const real *dy, const real *y, real *dx, ptrdiff_t n))                                        \
    K(tanh_forward, (const real *x, real *y, ptrdiff_t n))                                                             \
    K(tanh_backward, (const real *dy, const real *y, real *dx, ptrdiff_t n))                                           \
    K(silu_forward, (const real *x, real *y, ptrdiff_t n))                                                             \
    K(silu_backward, (const real *dy, const real *x, real *dx, ptrdiff_t n))                                           \
    K(gelu_forward, (const real *x, real *y, ptrdiff_t n))                                                             \
    K(gelu_backward, (const real *dy, const real *x, real *dx, ptrdiff_t n))                                           \
    K(gelu_tanh_forward, (const real *x, real *y, ptrdiff_t n))                                                        \
    K(gelu_tanh_backward, (const real *dy, const real *x, real *dx, ptrdiff_t n))                                      \
    K(elu_forward, (const real *x, real *y, ptrdiff_t n, double alpha, double scale, double k))                        \
    K(elu_backward, (const real *dy, const real *x, real *dx, ptrdiff_t n, double alpha, double scale, double k))      \
    K(elu_backward_from_y,                                                                                             \
      (const real *dy, const real *y, real *dx, ptrdiff_t n, double alpha, double scale, double k))                    \
    K(softplus_forward, (const real *x, real *y, ptrdiff_t n, double beta, double threshold))                          \
    K(softplus_backward, (const real *dy, const real *x, real *dx, ptrdiff_t n, double beta, double threshold))        \
    K(hardtanh_forward, (const real *x, real *y, ptrdiff_t n, double low, double high))                                \
    K(hardtanh_backward, (const real *dy, const real *y, real *dx, ptrdiff_t n, double low, double high))              \
    K(logsigmoid_forward, (const real *x, real *y, ptrdiff_t n))                                                       \
    K(logsigmoid_backward, (const real *dy, const real *x, real *dx, ptrdiff_t n))                                     \
    K(hardswish_forward, (const real *x, real *y, ptrdiff_t n))                                                        \
    K(hardswish_backward, (const real *dy, const real *x, real *dx, ptrdiff_t n))                                      \
    K(hardsigmoid_forward, (const real *x, real *y, ptrdiff_t n))                                                      \
    K(hardsigmoid_backward, (const real *dy, const real *y, real *dx, ptrdiff_t n))                                    \
    K(prelu_forward, (const real *x, const real *w, real *y, ptrdiff_t rows, ptrdiff_t channels, ptrdiff_t size))      \
    K(prelu_backward, (const real *dy, const real *x, const real *w, real *dx, real *dw, ptrdiff_t rows,               \
                       ptrdiff_t channels, ptrdiff_t size))

struct kernels {
#define K(name, arguments) void(*name) arguments;
    KERNELS(K)
#undef K
};

#ifdef CNN_VARIANT
#define K(name, arguments) void FN(name) arguments;
KERNELS(K)
#undef K
#endif

#endif
