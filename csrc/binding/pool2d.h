/* pool2d.h: what the bindings of the pooling layers share. Messages name the function that the user called. */
#ifndef CNN_BINDING_POOL2D_H
#define CNN_BINDING_POOL2D_H

#include "binding.h"

/* x as a dense array of 3 or 4 dimensions, (C,H,W) or (N,C,H,W), of which only N may be 0. */
PyArrayObject *pool_input(PyObject *object, const char *function);

/* KH, KW, SH, SW, PH, PW and, where `dilated`, DH, DW from args; -1 with an exception. */
int pool_window_sizes(pool2d *s, PyObject *const *args, int dilated, const char *function);

/* Sets outer, H, W, inner of an input x, or (pool_gradient_sizes) of the input that dy belongs to. */
void pool_input_sizes(pool2d *s, PyArrayObject *x);
int pool_gradient_sizes(pool2d *s, PyArrayObject *dy, PyObject *const *H_W, enum memory_order order,
                        const char *function);

/* Sets OH and OW from the window; checks that padding and window fit. */
int pool_output_sizes(pool2d *s, int ceil_mode, const char *function);

/* Backward: the window makes OH x OW outputs of H x W inputs, with or without ceil_mode; or -1 with ShapeError. */
int pool_check_gradient(const pool2d *s, const char *function);

/* dx or argmax or y: an array in the shape of `like`, but with `rows` x `columns` pixels. */
PyArrayObject *pool_new(PyArrayObject *like, ptrdiff_t rows, ptrdiff_t columns, int type, enum memory_order order);

/* Input values that all windows look at together: how long the kernel will take. */
double pool_work(const pool2d *s);

static inline enum memory_order order_of(PyArrayObject *array)
{
    return is_channels_last(array) ? CHANNELS_LAST : ROWS;
}

#endif
