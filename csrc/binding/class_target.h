/* class_target.h: what the bindings of cross_entropy and nll_loss share: scores for C classes, and the number of the
 * right class for each. Messages name the function that the user called. */
#ifndef CNN_BINDING_CLASS_TARGET_H
#define CNN_BINDING_CLASS_TARGET_H

#include "binding.h"

enum reduction { REDUCTION_NONE, REDUCTION_MEAN, REDUCTION_SUM };

typedef struct {
    PyArrayObject *x;          /* (N, C) or (N, C, d1, ...) */
    PyArrayObject *target;     /* (N) or (N, d1, ...), int64 */
    PyArrayObject *weight;     /* (C), or NULL */
    ptrdiff_t outer, C, inner; /* x in memory; target is (outer, inner) */
    ptrdiff_t ignore_index, reduction;
    double scale; /* of the sum of the losses: 1, or for a mean 1 / (sum of the weights that count) */
} class_target;

/* From args: x, target, weight or None, ignore_index, reduction. Checks every target. -1 with an exception; in either
 * case class_target_release must follow. */
int class_target_parse(class_target *c, PyObject *const *args, const char *function);
void class_target_release(class_target *c);

/* The sum of the weights of the targets that count, by the kernel for x's type; IndexError if one is no class. */
int target_weights(PyArrayObject *x, PyArrayObject *target, PyArrayObject *weight, ptrdiff_t C, ptrdiff_t ignore_index,
                   const char *function, double *sum);

/* An array for the unreduced losses in the shape of `target`, or a 0-d one. */
PyArrayObject *loss_new(PyArrayObject *target, ptrdiff_t reduction, int type);

/* Stores a number in a 0-d array. */
void set_scalar(PyArrayObject *array, double value);

#endif
