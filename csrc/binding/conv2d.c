/* conv2d: (x, w, b or None, geometry, relu, scale or None) -> y;  (dy, x, w, geometry, wants) -> (dx, dw, db). See
 * csrc/kernels/conv2d.c.
 *
 * The geometry is ten arguments: stride (h, w), padding (top, bottom, left, right), dilation (h, w), groups, algorithm
 * (a number of enum conv2d_algorithm). */
#include "../kernels/conv2d.h"
#include "../kernels/window.h"
#include "binding.h"

enum { GEOMETRY = 10 };

typedef struct {
    ptrdiff_t SH, SW, top, bottom, left, right, DH, DW, G, algorithm;
} geometry;

static int parse_geometry(PyObject *const *args, geometry *g)
{
    const ptrdiff_t most = PTRDIFF_MAX;
    return parse_size(args[0], "conv2d", "stride", 1, most, &g->SH) < 0 ||
                   parse_size(args[1], "conv2d", "stride", 1, most, &g->SW) < 0 ||
                   parse_size(args[2], "conv2d", "padding", 0, most, &g->top) < 0 ||
                   parse_size(args[3], "conv2d", "padding", 0, most, &g->bottom) < 0 ||
                   parse_size(args[4], "conv2d", "padding", 0, most, &g->left) < 0 ||
                   parse_size(args[5], "conv2d", "padding", 0, most, &g->right) < 0 ||
                   parse_size(args[6], "conv2d", "dilation", 1, most, &g->DH) < 0 ||
                   parse_size(args[7], "conv2d", "dilation", 1, most, &g->DW) < 0 ||
                   parse_size(args[8], "conv2d", "groups", 1, most, &g->G) < 0 ||
                   parse_size(args[9], "conv2d", "algorithm", CONV2D_AUTO, CONV2D_PLANES, &g->algorithm) < 0
               ? -1
               : 0;
}

static strides4 strides_of(PyArrayObject *array)
{
    ptrdiff_t c = PyArray_DIM(array, 1), h = PyArray_DIM(array, 2), w = PyArray_DIM(array, 3);
    return is_channels_last(array) ? strides_channels_last(c, h, w) : strides_planes(c, h, w);
}

/* The error for sizes that do not fit each other. */
static int refuse_shapes(PyArrayObject *w, const conv2d_shape *s)
{
    char got[128], weight[256];
    snprintf(got, sizeof got, "(%zd, %zd, %zd, %zd)", s->N, s->C, s->H, s->W);
    shape_text(w, weight, sizeof weight);
    if (s->C == 0 || s->H == 0 || s->W == 0) {
        PyErr_Format(ShapeError, "conv2d: only the batch of input may be empty, got input of shape %s", got);
        return -1;
    }
    if (s->OC == 0 || s->KH == 0 || s->KW == 0) {
        PyErr_Format(ShapeError, "conv2d: weight must not be empty, got weight of shape %s", weight);
        return -1;
    }
    if (s->OC % s->G != 0) {
        PyErr_Format(ShapeError,
                     "conv2d: given groups=%zd, weight must be divisible by it at dimension 0, got weight %s", s->G,
                     weight);
        return -1;
    }
    ptrdiff_t expected;
    if (__builtin_mul_overflow((ptrdiff_t)PyArray_DIM(w, 1), s->G, &expected)) {
        expected = PTRDIFF_MAX;
    }
    /* The two ways in which an image usually comes wrong. A lone image came as a batch of one. */
    const char *hint = "";
    if (s->W == expected) {
        hint = s->N == 1 ? ": are the channels last? x.permute(2, 0, 1) of a lone image, of a batch "
                           "x.permute(0, 3, 1, 2), brings them to the front"
                         : ": are the channels last? x.permute(0, 3, 1, 2) brings them to the front";
    } else if (expected == 1 && s->N == 1) {
        hint = ": is it a batch of images without channels? x.unsqueeze(1) adds them";
    }
    PyErr_Format(ShapeError,
                 "conv2d: given groups=%zd and weight of shape %s, expected input %s to have %zd channels, but got "
                 "%zd channels instead%s",
                 s->G, weight, got, expected, s->C, hint);
    return -1;
}

/* Sizes of an input of `dims` and of w into s, once they are known to fit each other. */
static int check_shapes(const npy_intp *dims, PyArrayObject *w, const geometry *g, conv2d_shape *s)
{
    *s = (conv2d_shape){
        .N = dims[0],
        .C = dims[1],
        .H = dims[2],
        .W = dims[3],
        .OC = PyArray_DIM(w, 0),
        .KH = PyArray_DIM(w, 2),
        .KW = PyArray_DIM(w, 3),
        .SH = g->SH,
        .SW = g->SW,
        .PH = g->top,
        .PW = g->left,
        .DH = g->DH,
        .DW = g->DW,
        .G = g->G,
        .algorithm = (enum conv2d_algorithm)g->algorithm,
    };
    int fits = s->C > 0 && s->H > 0 && s->W > 0 && s->OC > 0 && s->KH > 0 && s->KW > 0 && s->OC % s->G == 0 &&
               s->C % s->G == 0 && s->C / s->G == PyArray_DIM(w, 1);
    return fits ? 0 : refuse_shapes(w, s);
}

/* One axis of the output. */
static int output_size(ptrdiff_t size, ptrdiff_t before, ptrdiff_t after, ptrdiff_t kernel, ptrdiff_t stride,
                       ptrdiff_t dilation, const char *axis, ptrdiff_t *outputs)
{
    switch (window_outputs(size, before, after, kernel, stride, dilation, 0, outputs)) {
    case WINDOW_FITS: return 0;
    case WINDOW_TOO_LARGE:
        PyErr_Format(
            ShapeError,
            "conv2d: kernel size can't be greater than the padded input: kernel %s %zd with dilation %zd, input "
            "%s %zd with padding %zd and %zd",
            axis, kernel, dilation, axis, size, before, after);
        return -1;
    default:
        PyErr_Format(ShapeError,
                     "conv2d: %s is too large: input %zd with padding %zd and %zd, kernel %zd with dilation %zd", axis,
                     size, before, after, kernel, dilation);
        return -1;
    }
}

static int check_sizes(const npy_intp *dims, PyArrayObject *w, const geometry *g, conv2d_shape *s)
{
    if (check_shapes(dims, w, g, s) < 0 ||
        output_size(s->H, g->top, g->bottom, s->KH, s->SH, s->DH, "height", &s->OH) < 0 ||
        output_size(s->W, g->left, g->right, s->KW, s->SW, s->DW, "width", &s->OW) < 0) {
        return -1;
    }
    /* Between one output and no other, or one tap and no other, lies no distance: then any number will do, and those
     * near 2^63 do not reach the kernels. */
    s->SH = s->OH > 1 ? s->SH : 1;
    s->SW = s->OW > 1 ? s->SW : 1;
    s->DH = s->KH > 1 ? s->DH : 1;
    s->DW = s->KW > 1 ? s->DW : 1;
    return 0;
}

static int check_types(PyArrayObject *x, PyArrayObject *w)
{
    if (PyArray_TYPE(x) == PyArray_TYPE(w)) {
        return 0;
    }
    PyErr_Format(
        DTypeError,
        "conv2d: input and weight must have the same dtype, got input %S and weight %S: convert the input with "
        "%s, or the layer",
        PyArray_DESCR(x), PyArray_DESCR(w), PyArray_TYPE(w) == NPY_FLOAT ? ".float()" : ".double()");
    return -1;
}

/* Input and weight, arguments i and i + 1 of `function`, and in s everything about their convolution but the memory
 * order of y. The caller releases x and w, after a failure too. */
static int parse_convolution(const char *function, PyObject *const *args, int i, PyObject *const *geometry_args,
                             PyArrayObject **x, PyArrayObject **w, conv2d_shape *s)
{
    geometry g;
    if (parse_geometry(geometry_args, &g) < 0 || !(*x = array_arg_dense(args[i], function, "input", ANY_REAL, 4)) ||
        !(*w = array_arg(args[i + 1], function, "weight", ANY_REAL, 4)) || check_types(*x, *w) < 0 ||
        check_sizes(PyArray_DIMS(*x), *w, &g, s) < 0) {
        return -1;
    }
    s->x = strides_of(*x);
    return 0;
}

/* Bias or scale as an array of OC values; None gives NULL and no error. */
static int channels_arg(PyObject *object, const char *name, PyArrayObject *w, PyArrayObject **b)
{
    *b = NULL;
    if (object == Py_None) {
        return 0;
    }
    if (!(*b = array_arg(object, "conv2d", name, PyArray_TYPE(w), ANY_NDIM))) {
        return -1;
    }
    if (PyArray_NDIM(*b) != 1 || PyArray_DIM(*b, 0) != PyArray_DIM(w, 0)) {
        char weight[256], got[256];
        PyErr_Format(ShapeError,
                     "conv2d: given weight of shape %s, expected %s to be 1-dimensional with %zd elements, got %s of "
                     "shape %s",
                     shape_text(w, weight, sizeof weight), name, PyArray_DIM(w, 0), name,
                     shape_text(*b, got, sizeof got));
        return -1;
    }
    return 0;
}

/* Multiplications, for kernel_enter; eight or more of them run in the time of one. */
static double work_of(const conv2d_shape *s)
{
    return (double)s->N * s->OC * s->OH * s->OW * (s->C / s->G) * s->KH * s->KW / 8;
}

/* The checks of conv2d_forward, for a call that is put off. */
PyObject *py_conv2d_check(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    PyArrayObject *x = NULL, *w = NULL, *b = NULL;
    conv2d_shape s;
    int ok = check_nargs("conv2d", nargs, 3 + GEOMETRY) == 0 &&
             parse_convolution("conv2d", args, 0, args + 3, &x, &w, &s) == 0 &&
             channels_arg(args[2], "bias", w, &b) == 0;
    Py_XDECREF(x);
    Py_XDECREF(w);
    Py_XDECREF(b);
    return ok ? Py_NewRef(Py_None) : NULL;
}

PyObject *py_conv2d_forward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    PyArrayObject *x = NULL, *w = NULL, *b = NULL, *scale = NULL, *y = NULL;
    conv2d_shape s;
    ptrdiff_t relu;
    if (check_nargs("conv2d", nargs, 5 + GEOMETRY) < 0 ||
        parse_size(args[3 + GEOMETRY], "conv2d", "relu", 0, 1, &relu) < 0 ||
        parse_convolution("conv2d", args, 0, args + 3, &x, &w, &s) < 0 || channels_arg(args[2], "bias", w, &b) < 0 ||
        channels_arg(args[4 + GEOMETRY], "scale", w, &scale) < 0) {
        goto fail;
    }
    s.relu = (int)relu;
    s.scale = data_or_null(scale);
    const struct kernels *kernels = kernels_of(x);
    int channels_last = kernels->conv2d_output_order(&s);
    npy_intp dims[4] = {s.N, s.OC, s.OH, s.OW};
    if (!(y = array_new(4, dims, PyArray_TYPE(x), channels_last ? CHANNELS_LAST : ROWS))) {
        goto fail;
    }
    s.y = channels_last ? strides_channels_last(s.OC, s.OH, s.OW) : strides_planes(s.OC, s.OH, s.OW);
    PyThreadState *state = kernel_enter(work_of(&s));
    kernels->conv2d_forward(&s, PyArray_DATA(x), PyArray_DATA(w), data_or_null(b), PyArray_DATA(y));
    if (kernel_leave(state) < 0) {
        goto fail;
    }
    Py_DECREF(x);
    Py_DECREF(w);
    Py_XDECREF(b);
    Py_XDECREF(scale);
    return (PyObject *)y;
fail:
    Py_XDECREF(x);
    Py_XDECREF(w);
    Py_XDECREF(b);
    Py_XDECREF(scale);
    Py_XDECREF(y);
    return NULL;
}

/* A depthwise layer, its ReLU if `middle_relu`, and a 1x1 layer behind it, in one pass: what is between them is never
 * stored. */
PyObject *py_conv2d_separable_forward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    PyArrayObject *x = NULL, *w1 = NULL, *b1 = NULL, *scale1 = NULL, *w2 = NULL, *b2 = NULL, *scale2 = NULL, *y = NULL;
    PyObject *result = NULL;
    conv2d_before before = {0};
    conv2d_shape *first = &before.layer, second;
    ptrdiff_t relu1, relu2;
    PyObject *const *behind = args + 5 + GEOMETRY;
    if (check_nargs("conv2d", nargs, 9 + GEOMETRY) < 0 ||
        parse_size(args[4 + GEOMETRY], "conv2d", "middle_relu", 0, 1, &relu1) < 0 ||
        parse_size(behind[3], "conv2d", "relu", 0, 1, &relu2) < 0 ||
        parse_convolution("conv2d", args, 0, args + 3, &x, &w1, first) < 0 ||
        channels_arg(args[2], "bias", w1, &b1) < 0 || channels_arg(args[3 + GEOMETRY], "scale", w1, &scale1) < 0 ||
        !(w2 = array_arg(behind[0], "conv2d", "pointwise weight", PyArray_TYPE(x), 4)) ||
        channels_arg(behind[1], "pointwise bias", w2, &b2) < 0 ||
        channels_arg(behind[2], "pointwise scale", w2, &scale2) < 0) {
        goto done;
    }
    const npy_intp middle[4] = {first->N, first->OC, first->OH, first->OW};
    const geometry one_by_one = {.SH = 1, .SW = 1, .DH = 1, .DW = 1, .G = 1, .algorithm = first->algorithm};
    if (check_sizes(middle, w2, &one_by_one, &second) < 0) {
        goto done;
    }
    first->relu = (int)relu1;
    first->scale = data_or_null(scale1);
    before.w = PyArray_DATA(w1);
    before.b = data_or_null(b1);
    second.relu = (int)relu2;
    second.scale = data_or_null(scale2);
    second.before = &before;
    const struct kernels *kernels = kernels_of(x);
    if (!kernels->conv2d_can_follow(&second)) {
        result = Py_NewRef(Py_None);
        goto done;
    }
    npy_intp dims[4] = {second.N, second.OC, second.OH, second.OW};
    if (!(y = array_new(4, dims, PyArray_TYPE(x), CHANNELS_LAST))) {
        goto done;
    }
    /* Only now: what can follow is no larger than some images, and the product of its sizes is a number. */
    first->y = second.x = strides_channels_last(second.C, second.H, second.W);
    second.y = strides_channels_last(second.OC, second.OH, second.OW);
    PyThreadState *state = kernel_enter(work_of(first) + work_of(&second));
    kernels->conv2d_forward(&second, PyArray_DATA(x), PyArray_DATA(w2), data_or_null(b2), PyArray_DATA(y));
    if (kernel_leave(state) == 0) {
        result = Py_NewRef(y);
    }
done:
    Py_XDECREF(x);
    Py_XDECREF(w1);
    Py_XDECREF(b1);
    Py_XDECREF(scale1);
    Py_XDECREF(w2);
    Py_XDECREF(b2);
    Py_XDECREF(scale2);
    Py_XDECREF(y);
    return result;
}

/* conv2d, relu and max_pool2d of windows of 2x2 in one pass. H and W are those of the convolution's output, which is
 * never stored. */
PyObject *py_conv2d_pool_forward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    PyArrayObject *x = NULL, *w = NULL, *b = NULL, *scale = NULL, *y = NULL, *argmax = NULL;
    PyObject *result = NULL;
    conv2d_shape s;
    ptrdiff_t keep;
    if (check_nargs("conv2d", nargs, 5 + GEOMETRY) < 0 ||
        parse_size(args[4 + GEOMETRY], "conv2d", "keep", 0, 1, &keep) < 0 ||
        parse_convolution("conv2d", args, 0, args + 3, &x, &w, &s) < 0 || channels_arg(args[2], "bias", w, &b) < 0 ||
        channels_arg(args[3 + GEOMETRY], "scale", w, &scale) < 0) {
        goto done;
    }
    const struct kernels *kernels = kernels_of(x);
    if (!kernels->conv2d_can_pool(&s)) {
        result = Py_NewRef(Py_None);
        goto done;
    }
    npy_intp dims[4] = {s.N, s.OC, s.OH / 2, s.OW / 2};
    int channels_last = kernels->conv2d_output_order(&s);
    enum memory_order order = channels_last ? CHANNELS_LAST : ROWS;
    if (!(y = array_new(4, dims, PyArray_TYPE(x), order)) ||
        (keep && !(argmax = array_new(4, dims, NPY_INT32, order)))) {
        goto done;
    }
    s.relu = s.pool = 1;
    s.scale = data_or_null(scale);
    s.argmax = data_or_null(argmax);
    s.y = channels_last ? strides_channels_last(s.OC, dims[2], dims[3]) : strides_planes(s.OC, dims[2], dims[3]);
    PyThreadState *state = kernel_enter(work_of(&s));
    kernels->conv2d_forward(&s, PyArray_DATA(x), PyArray_DATA(w), data_or_null(b), PyArray_DATA(y));
    if (kernel_leave(state) == 0) {
        result = Py_BuildValue("(OOnn)", y, object_or_none(argmax), s.OH, s.OW);
    }
done:
    Py_XDECREF(x);
    Py_XDECREF(w);
    Py_XDECREF(b);
    Py_XDECREF(scale);
    Py_XDECREF(y);
    Py_XDECREF(argmax);
    return result;
}

/* dy has the shape of the output; its memory order into s. */
static int check_dy(PyArrayObject *dy, conv2d_shape *s)
{
    npy_intp *dims = PyArray_DIMS(dy);
    if (dims[0] != s->N || dims[1] != s->OC || dims[2] != s->OH || dims[3] != s->OW) {
        char got[256];
        PyErr_Format(ShapeError, "conv2d_backward: grad_output must have shape (%zd, %zd, %zd, %zd), got %s", s->N,
                     s->OC, s->OH, s->OW, shape_text(dy, got, sizeof got));
        return -1;
    }
    s->y = strides_of(dy);
    return 0;
}

/* rectified: x came out of a ReLU, and dx shall be the gradient of what went into it. */
PyObject *py_conv2d_backward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    PyArrayObject *dy = NULL, *x = NULL, *w = NULL, *dx = NULL, *dw = NULL, *db = NULL;
    PyObject *result = NULL;
    conv2d_shape s;
    ptrdiff_t rectified;
    if (check_nargs("conv2d_backward", nargs, 7 + GEOMETRY) < 0 ||
        parse_size(args[6 + GEOMETRY], "conv2d_backward", "rectified", 0, 1, &rectified) < 0) {
        return NULL;
    }
    int want_dx, want_dw, want_db; /* one after the other: no more is asked once an exception is set */
    if ((want_dx = PyObject_IsTrue(args[3 + GEOMETRY])) < 0 || (want_dw = PyObject_IsTrue(args[4 + GEOMETRY])) < 0 ||
        (want_db = PyObject_IsTrue(args[5 + GEOMETRY])) < 0 ||
        parse_convolution("conv2d_backward", args, 1, args + 3, &x, &w, &s) < 0 ||
        !(dy = array_arg_dense(args[0], "conv2d_backward", "grad_output", PyArray_TYPE(x), 4)) ||
        check_dy(dy, &s) < 0) {
        goto done;
    }
    npy_intp channels[1] = {s.OC};
    want_dw |= want_db; /* one kernel gives both */
    if ((want_dx && !(dx = array_new_like(x))) || (want_dw && !(dw = array_new_like(w))) ||
        (want_db && !(db = array_new(1, channels, PyArray_TYPE(w), ROWS)))) {
        goto done;
    }
    const struct kernels *kernels = kernels_of(x);
    PyThreadState *state = kernel_enter(work_of(&s));
    if (want_dx) {
        kernels->conv2d_backward_input(&s, PyArray_DATA(dy), PyArray_DATA(w), rectified ? PyArray_DATA(x) : NULL,
                                       PyArray_DATA(dx));
    }
    if (want_dw) {
        kernels->conv2d_backward_weight(&s, PyArray_DATA(x), PyArray_DATA(dy), PyArray_DATA(dw), data_or_null(db));
    }
    if (kernel_leave(state) == 0) {
        result = PyTuple_Pack(3, object_or_none(dx), object_or_none(dw), object_or_none(db));
    }
done:
    Py_XDECREF(dy);
    Py_XDECREF(x);
    Py_XDECREF(w);
    Py_XDECREF(dx);
    Py_XDECREF(dw);
    Py_XDECREF(db);
    return result;
}

PyObject *py_conv2d_explain(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    PyArrayObject *x = NULL, *w = NULL;
    PyObject *result = NULL;
    conv2d_shape s;
    if (check_nargs("conv2d_explain", nargs, 2 + GEOMETRY) < 0 ||
        parse_convolution("conv2d_explain", args, 0, args + 2, &x, &w, &s) < 0) {
        goto done;
    }
    char text[3][160];
    for (int pass = CONV2D_FORWARD; pass <= CONV2D_BACKWARD_WEIGHT; pass++) {
        kernels_of(x)->conv2d_explain(&s, (enum conv2d_pass)pass, text[pass], sizeof text[pass]);
    }
    result = Py_BuildValue("(sss)", text[0], text[1], text[2]);
done:
    Py_XDECREF(x);
    Py_XDECREF(w);
    return result;
}

/* What conv_transpose2d is: the gradient of a convolution's input of height H and width W, for a given gradient dy of
 * its output. */
PyObject *py_conv2d_backward_input(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    PyArrayObject *dy = NULL, *w = NULL, *dx = NULL;
    geometry g;
    conv2d_shape s;
    npy_intp dims[4];
    if (check_nargs("conv2d_backward_input", nargs, 4 + GEOMETRY) < 0 || parse_geometry(args + 4, &g) < 0 ||
        parse_size(args[2], "conv2d_backward_input", "height", 0, PTRDIFF_MAX, &dims[2]) < 0 ||
        parse_size(args[3], "conv2d_backward_input", "width", 0, PTRDIFF_MAX, &dims[3]) < 0 ||
        !(dy = array_arg_dense(args[0], "conv2d_backward_input", "grad_output", ANY_REAL, 4)) ||
        !(w = array_arg(args[1], "conv2d_backward_input", "weight", ANY_REAL, 4)) || check_types(dy, w) < 0) {
        goto fail;
    }
    dims[0] = PyArray_DIM(dy, 0);
    if (__builtin_mul_overflow((ptrdiff_t)PyArray_DIM(w, 1), g.G, &dims[1])) {
        PyErr_Format(ShapeError, "conv2d_backward_input: groups=%zd is too large", g.G);
        goto fail;
    }
    if (check_sizes(dims, w, &g, &s) < 0 || check_dy(dy, &s) < 0) {
        goto fail;
    }
    int channels_last = is_channels_last(dy);
    if (!(dx = array_new(4, dims, PyArray_TYPE(dy), channels_last ? CHANNELS_LAST : ROWS))) {
        goto fail;
    }
    s.x = channels_last ? strides_channels_last(s.C, s.H, s.W) : strides_planes(s.C, s.H, s.W);
    PyThreadState *state = kernel_enter(work_of(&s));
    kernels_of(dy)->conv2d_backward_input(&s, PyArray_DATA(dy), PyArray_DATA(w), NULL, PyArray_DATA(dx));
    if (kernel_leave(state) < 0) {
        goto fail;
    }
    Py_DECREF(dy);
    Py_DECREF(w);
    return (PyObject *)dx;
fail:
    Py_XDECREF(dy);
    Py_XDECREF(w);
    Py_XDECREF(dx);
    return NULL;
}
