/* pool2d.c: what the bindings of the pooling layers share. */
#include "pool2d.h"

#include "../kernels/window.h"

static const ptrdiff_t LARGEST = PTRDIFF_MAX / 4;

PyArrayObject *pool_input(PyObject *object, const char *function)
{
    PyArrayObject *x = array_arg_dense(object, function, "input", ANY_REAL, ANY_NDIM);
    if (x == NULL) {
        return NULL;
    }
    int ndim = PyArray_NDIM(x), empty = 0;
    for (int i = ndim == 4 ? 1 : 0; i < ndim; i++) {
        empty |= PyArray_DIM(x, i) == 0;
    }
    if ((ndim == 3 || ndim == 4) && !empty) {
        return x;
    }
    char text[256];
    PyErr_Format(ShapeError,
                 "%s: Expected 3D or 4D (batch mode) tensor with optional 0 dim batch size for input, but "
                 "got: %s",
                 function, shape_text(x, text, sizeof text));
    Py_DECREF(x);
    return NULL;
}

int pool_window_sizes(pool2d *s, PyObject *const *args, int dilated, const char *function)
{
    s->DH = s->DW = 1;
    if (parse_size(args[0], function, "kernel_size", 1, LARGEST, &s->KH) < 0 ||
        parse_size(args[1], function, "kernel_size", 1, LARGEST, &s->KW) < 0 ||
        parse_size(args[2], function, "stride", 1, LARGEST, &s->SH) < 0 ||
        parse_size(args[3], function, "stride", 1, LARGEST, &s->SW) < 0 ||
        parse_size(args[4], function, "padding", 0, LARGEST, &s->PH) < 0 ||
        parse_size(args[5], function, "padding", 0, LARGEST, &s->PW) < 0) {
        return -1;
    }
    if (dilated && (parse_size(args[6], function, "dilation", 1, LARGEST, &s->DH) < 0 ||
                    parse_size(args[7], function, "dilation", 1, LARGEST, &s->DW) < 0)) {
        return -1;
    }
    return 0;
}

static void set_sizes(pool2d *s, PyArrayObject *array, ptrdiff_t rows, ptrdiff_t columns, enum memory_order order)
{
    int ndim = PyArray_NDIM(array);
    ptrdiff_t N = ndim == 4 ? PyArray_DIM(array, 0) : 1, C = PyArray_DIM(array, ndim - 3);
    s->outer = order == CHANNELS_LAST ? N : N * C;
    s->inner = order == CHANNELS_LAST ? C : 1;
    s->H = rows;
    s->W = columns;
}

void pool_input_sizes(pool2d *s, PyArrayObject *x)
{
    int ndim = PyArray_NDIM(x);
    set_sizes(s, x, PyArray_DIM(x, ndim - 2), PyArray_DIM(x, ndim - 1), order_of(x));
}

int pool_gradient_sizes(pool2d *s, PyArrayObject *dy, PyObject *const *H_W, enum memory_order order,
                        const char *function)
{
    int ndim = PyArray_NDIM(dy);
    ptrdiff_t H, W;
    if (ndim != 3 && ndim != 4) {
        char text[256];
        PyErr_Format(ShapeError, "%s: grad_output must have 3 or 4 dimensions, got shape %s", function,
                     shape_text(dy, text, sizeof text));
        return -1;
    }
    if (parse_size(H_W[0], function, "H", 1, LARGEST, &H) < 0 ||
        parse_size(H_W[1], function, "W", 1, LARGEST, &W) < 0) {
        return -1;
    }
    set_sizes(s, dy, H, W, order);
    s->OH = PyArray_DIM(dy, ndim - 2);
    s->OW = PyArray_DIM(dy, ndim - 1);
    return 0;
}

static int fit_axis(const char *function, const char *axis, ptrdiff_t size, ptrdiff_t kernel, ptrdiff_t stride,
                    ptrdiff_t padding, ptrdiff_t dilation, int ceil_mode, ptrdiff_t *outputs)
{
    enum window_fit fit = window_outputs(size, padding, padding, kernel, stride, dilation, ceil_mode, outputs);
    if (fit == WINDOW_OVERFLOW) {
        PyErr_Format(PyExc_OverflowError,
                     "%s: kernel_size %zd with padding %zd and dilation %zd is too large for "
                     "%s %zd",
                     function, kernel, padding, dilation, axis, size);
        return -1;
    }
    if (padding > kernel / 2) {
        PyErr_Format(ShapeError, "%s: pad should be at most half of kernel size, but got pad=%zd, kernel_size=%zd",
                     function, padding, kernel);
        return -1;
    }
    if (fit == WINDOW_TOO_LARGE) {
        PyErr_Format(ShapeError, "%s: kernel_size %zd (dilation %zd, padding %zd) exceeds the input's %s %zd", function,
                     kernel, dilation, padding, axis, size);
        return -1;
    }
    return 0;
}

int pool_output_sizes(pool2d *s, int ceil_mode, const char *function)
{
    if (fit_axis(function, "height", s->H, s->KH, s->SH, s->PH, s->DH, ceil_mode, &s->OH) < 0 ||
        fit_axis(function, "width", s->W, s->KW, s->SW, s->PW, s->DW, ceil_mode, &s->OW) < 0) {
        return -1;
    }
    if (s->H > INT32_MAX / s->W) {
        PyErr_Format(ShapeError, "%s: planes of more than 2^31 pixels are not supported, got %zd x %zd", function, s->H,
                     s->W);
        return -1;
    }
    return 0;
}

static int axis_fits(ptrdiff_t size, ptrdiff_t kernel, ptrdiff_t stride, ptrdiff_t padding, ptrdiff_t dilation,
                     ptrdiff_t outputs)
{
    ptrdiff_t floor, ceil;
    return padding <= kernel / 2 &&
           window_outputs(size, padding, padding, kernel, stride, dilation, 1, &ceil) == WINDOW_FITS &&
           (ceil == outputs ||
            (window_outputs(size, padding, padding, kernel, stride, dilation, 0, &floor) == WINDOW_FITS &&
             floor == outputs));
}

int pool_check_gradient(const pool2d *s, const char *function)
{
    if (s->H > INT32_MAX / s->W || !axis_fits(s->H, s->KH, s->SH, s->PH, s->DH, s->OH) ||
        !axis_fits(s->W, s->KW, s->SW, s->PW, s->DW, s->OW)) {
        PyErr_Format(ShapeError,
                     "%s: windows of %zd x %zd (stride %zd, %zd, padding %zd, %zd, dilation %zd, %zd) on an input of "
                     "%zd x %zd do not give a grad_output of %zd x %zd",
                     function, s->KH, s->KW, s->SH, s->SW, s->PH, s->PW, s->DH, s->DW, s->H, s->W, s->OH, s->OW);
        return -1;
    }
    return 0;
}

PyArrayObject *pool_new(PyArrayObject *like, ptrdiff_t rows, ptrdiff_t columns, int type, enum memory_order order)
{
    int ndim = PyArray_NDIM(like);
    npy_intp dims[4];
    memcpy(dims, PyArray_DIMS(like), (size_t)ndim * sizeof *dims);
    dims[ndim - 2] = rows;
    dims[ndim - 1] = columns;
    return array_new(ndim, dims, type, order);
}

double pool_work(const pool2d *s)
{
    double window = (double)(s->KH < s->H ? s->KH : s->H) * (double)(s->KW < s->W ? s->KW : s->W);
    return (double)s->outer * (double)s->inner * (double)s->OH * (double)s->OW * window;
}
