/* elementwise.h: what elementwise.c gives to operators.c. */
#ifndef CNN_ELEMENTWISE_H
#define CNN_ELEMENTWISE_H

#include "binding.h"

/* a op b, op one of + - *, for dense arrays of one real type and shape, and for such an array times a Python number: a
 * new array; or NULL, without an exception where the operands are not of that kind. */
PyArrayObject *elementwise_plain(char operation, PyObject *a, PyObject *b);

#endif
