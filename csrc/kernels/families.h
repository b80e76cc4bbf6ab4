/* families.h: kernels that differ in little but their formula, a row each.
 *
 * kernels.h makes their declarations from the rows, csrc/binding (pointwise.c, pair_loss.c, update.c) their Python
 * functions, module.c the list of these: a new one is its kernel file and its row here.
 * Names are for error messages and the functions' docstrings.
 */
#ifndef CNN_FAMILIES_H
#define CNN_FAMILIES_H

/* Layers that work element by element: (x, settings) -> y; (dy, saved, settings) -> dx.
 *     P(kernel, name in errors, what backward reads, COPIES or IN_PLACE too, how many settings, their names)
 *     B(kernel, ...): another backward alone
 * Settings are doubles behind the length: elu_forward(x, y, n, alpha, scale, input_scale). */
#define POINTWISE(P, B)                                                       \
    P(relu, "relu", y, IN_PLACE, 0, "")                                       \
    P(leaky_relu, "leaky_relu", s, IN_PLACE, 1, "negative_slope")             \
    P(elu, "elu", x, IN_PLACE, 3, "alpha, scale, input_scale")                \
    B(elu_backward_from_y, "elu_backward", y, 3, "alpha, scale, input_scale") \
    P(sigmoid, "sigmoid", y, IN_PLACE, 0, "")                                 \
    P(logsigmoid, "logsigmoid", x, COPIES, 0, "")                             \
    P(hardsigmoid, "hardsigmoid", y, IN_PLACE, 0, "")                         \
    P(tanh, "tanh", y, IN_PLACE, 0, "")                                       \
    P(hardtanh, "hardtanh", y, IN_PLACE, 2, "min_val, max_val")               \
    P(silu, "silu", x, IN_PLACE, 0, "")                                       \
    P(hardswish, "hardswish", x, IN_PLACE, 0, "")                             \
    P(softplus, "softplus", x, COPIES, 2, "beta, threshold")                  \
    P(gelu, "gelu", x, COPIES, 0, "")                                         \
    P(gelu_tanh, "gelu", x, COPIES, 0, "")

/* Losses that compare two arrays element by element: L; with a gradient of the target as well: T. See pair_loss.h. */
#define PAIR_LOSSES(L, T)               \
    L(mse_loss)                         \
    L(l1_loss)                          \
    L(smooth_l1_loss)                   \
    L(huber_loss)                       \
    T(binary_cross_entropy)             \
    T(binary_cross_entropy_with_logits) \
    T(kl_div)

/* Optimisers: (parameters, gradients, states, numbers, settings).
 *     O(kernel, lists of state, how many of them, from the last, may be None, lists of a number for each parameter,
 *       settings that are doubles, settings that are flags, names of the states, of the numbers, of the settings) */
#define OPTIMISERS(O)                                                                                             \
    O(sgd, 1, 1, 0, 4, 3, "velocities", "", "lr, momentum, dampening, weight_decay, nesterov, maximize, first")   \
    O(adam, 3, 1, 1, 5, 2, "first moments, second moments, largest second moments", "steps",                      \
      "lr, beta1, beta2, eps, weight_decay, decoupled, maximize")                                                 \
    O(rmsprop, 3, 2, 0, 5, 1, "square averages, gradient averages, momentum buffers", "",                         \
      "lr, alpha, eps, weight_decay, momentum, maximize")                                                         \
    O(adagrad, 1, 0, 1, 4, 1, "sums of squares", "steps", "lr, lr_decay, eps, weight_decay, maximize")            \
    O(adadelta, 2, 0, 0, 4, 1, "square averages, accumulated deltas", "", "lr, rho, eps, weight_decay, maximize") \
    O(adamax, 2, 0, 1, 5, 1, "first moments, infinity norms", "steps",                                            \
      "lr, beta1, beta2, eps, weight_decay, maximize")                                                            \
    O(nadam, 2, 0, 2, 6, 2, "first moments, second moments", "steps, mu products",                                \
      "lr, beta1, beta2, eps, weight_decay, momentum_decay, decoupled, maximize")

/* A type as often as a row says, behind other arguments. */
#define STATES_1 , real *const *
#define STATES_2 STATES_1, real *const *
#define STATES_3 STATES_2, real *const *
#define NUMBERS_0
#define NUMBERS_1 , const double *
#define NUMBERS_2 NUMBERS_1, const double *
#define DOUBLES_0
#define DOUBLES_1 , double
#define DOUBLES_2 DOUBLES_1, double
#define DOUBLES_3 DOUBLES_2, double
#define DOUBLES_4 DOUBLES_3, double
#define DOUBLES_5 DOUBLES_4, double
#define DOUBLES_6 DOUBLES_5, double
#define FLAGS_1 , int
#define FLAGS_2 FLAGS_1, int
#define FLAGS_3 FLAGS_2, int

#endif
