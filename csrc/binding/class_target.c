/* class_target.c: what the bindings of cross_entropy and nll_loss share. */
#include "class_target.h"

static int check_shapes(class_target *c, const char *function)
{
    int ndim = PyArray_NDIM(c->x), fits = ndim >= 2 && PyArray_NDIM(c->target) == ndim - 1;
    for (int i = 0; fits && i < ndim - 1; i++) {
        fits = PyArray_DIM(c->target, i) == PyArray_DIM(c->x, i == 0 ? 0 : i + 1);
    }
    if (!fits) {
        char x[256], target[256];
        PyErr_Format(ShapeError, "%s: input (N, C, d1, ...) and target (N, d1, ...) do not fit: got %s and %s",
                     function, shape_text(c->x, x, sizeof x), shape_text(c->target, target, sizeof target));
        return -1;
    }
    c->C = PyArray_DIM(c->x, 1);
    if (c->weight != NULL && (PyArray_NDIM(c->weight) != 1 || PyArray_DIM(c->weight, 0) != c->C)) {
        char weight[256];
        PyErr_Format(ShapeError,
                     "%s: weight tensor should be defined either for all %zd classes or no classes but got "
                     "weight tensor of shape: %s",
                     function, c->C, shape_text(c->weight, weight, sizeof weight));
        return -1;
    }
    c->outer = is_channels_last(c->x) ? PyArray_SIZE(c->target) : PyArray_DIM(c->x, 0);
    c->inner = 1;
    for (int i = 2; i < ndim && !is_channels_last(c->x); i++) {
        c->inner *= PyArray_DIM(c->x, i);
    }
    return 0;
}

int target_weights(PyArrayObject *x, PyArrayObject *target, PyArrayObject *weight, ptrdiff_t C, ptrdiff_t ignore_index,
                   const char *function, double *sum)
{
    ptrdiff_t n = PyArray_SIZE(target);
    const int64_t *targets = PyArray_DATA(target);
    *sum = 0;
    PyThreadState *state = kernel_enter((double)n);
    ptrdiff_t first_bad = kernels_of(x)->target_weight(targets, data_or_null(weight), sum, n, C, ignore_index);
    if (kernel_leave(state) < 0) {
        return -1;
    }
    if (first_bad >= 0) {
        PyErr_Format(PyExc_IndexError,
                     "Target %lld is out of bounds. %s: with %zd classes a target must be in 0..%zd, or "
                     "ignore_index (%zd); this is target number %zd",
                     (long long)targets[first_bad], function, C, C - 1, ignore_index, first_bad);
        return -1;
    }
    return 0;
}

int class_target_parse(class_target *c, PyObject *const *args, const char *function)
{
    *c = (class_target){0};
    if (!(c->x = array_arg_dense(args[0], function, "input", ANY_REAL, ANY_NDIM)) ||
        !(c->target = array_arg(args[1], function, "target", NPY_INT64, ANY_NDIM)) ||
        (args[2] != Py_None && !(c->weight = array_arg(args[2], function, "weight", PyArray_TYPE(c->x), ANY_NDIM))) ||
        parse_size(args[3], function, "ignore_index", PTRDIFF_MIN, PTRDIFF_MAX, &c->ignore_index) < 0 ||
        parse_size(args[4], function, "reduction", REDUCTION_NONE, REDUCTION_SUM, &c->reduction) < 0) {
        return -1;
    }
    double sum;
    if (check_shapes(c, function) < 0 ||
        target_weights(c->x, c->target, c->weight, c->C, c->ignore_index, function, &sum) < 0) {
        return -1;
    }
    c->scale = c->reduction == REDUCTION_MEAN ? 1 / sum : 1;
    return 0;
}

void class_target_release(class_target *c)
{
    Py_XDECREF(c->x);
    Py_XDECREF(c->target);
    Py_XDECREF(c->weight);
}

PyArrayObject *loss_new(PyArrayObject *target, ptrdiff_t reduction, int type)
{
    int ndim = reduction == REDUCTION_NONE ? PyArray_NDIM(target) : 0;
    return array_new(ndim, PyArray_DIMS(target), type, ROWS);
}

void set_scalar(PyArrayObject *array, double value)
{
    if (PyArray_TYPE(array) == NPY_DOUBLE) {
        *(double *)PyArray_DATA(array) = value;
    } else {
        *(float *)PyArray_DATA(array) = (float)value;
    }
}
