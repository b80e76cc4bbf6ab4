/* operators.h: what operators.c gives to tensor.c: slots of a number type. */
#ifndef CNN_OPERATORS_H
#define CNN_OPERATORS_H

#include "binding.h"

PyObject *operator_add(PyObject *a, PyObject *b);
PyObject *operator_subtract(PyObject *a, PyObject *b);
PyObject *operator_multiply(PyObject *a, PyObject *b);

#endif
