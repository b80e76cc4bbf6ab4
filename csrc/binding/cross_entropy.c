/* cross_entropy: (x, target, weight or None, ignore_index, reduction, smoothing, want_gradient) -> (loss, saved or
 * None); the same for probabilities, without ignore_index;  (dy, saved) -> dx. See csrc/kernels/cross_entropy.c. */
#include "class_target.h"

static const char *const NAME = "cross_entropy";

/* (loss, saved), or (loss, None) without saved. Takes both references. */
static PyObject *loss_and_saved(PyArrayObject *loss, PyArrayObject *saved)
{
    return saved != NULL ? Py_BuildValue("(NN)", loss, saved) : Py_BuildValue("(NO)", loss, Py_None);
}

PyObject *py_cross_entropy_forward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    class_target c = {0};
    PyArrayObject *loss = NULL, *saved = NULL;
    ptrdiff_t want_gradient;
    double smoothing;
    if (check_nargs(NAME, nargs, 7) < 0 || parse_double(args[5], NAME, "label_smoothing", &smoothing) < 0 ||
        parse_size(args[6], NAME, "want_gradient", 0, 1, &want_gradient) < 0 ||
        class_target_parse(&c, args, NAME) < 0 || !(loss = loss_new(c.target, c.reduction, PyArray_TYPE(c.x))) ||
        (want_gradient && !(saved = array_new_like(c.x)))) {
        goto fail;
    }
    int unreduced = c.reduction == REDUCTION_NONE;
    PyThreadState *state = kernel_enter(4.0 * (double)PyArray_SIZE(c.x));
    double total = kernels_of(c.x)->cross_entropy_forward(
        PyArray_DATA(c.x), PyArray_DATA(c.target), data_or_null(c.weight), unreduced ? PyArray_DATA(loss) : NULL,
        data_or_null(saved), c.outer, c.C, c.inner, c.ignore_index, smoothing, c.scale);
    if (kernel_leave(state) < 0) {
        goto fail;
    }
    if (!unreduced) {
        set_scalar(loss, total);
    }
    class_target_release(&c);
    return loss_and_saved(loss, saved);
fail:
    class_target_release(&c);
    Py_XDECREF(loss);
    Py_XDECREF(saved);
    return NULL;
}

PyObject *py_cross_entropy_probabilities_forward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    PyArrayObject *x = NULL, *target = NULL, *weight = NULL, *loss = NULL, *saved = NULL;
    ptrdiff_t reduction, want_gradient;
    double smoothing;
    if (check_nargs(NAME, nargs, 6) < 0 || !(x = array_arg(args[0], NAME, "input", ANY_REAL, 2)) ||
        !(target = array_arg(args[1], NAME, "target", PyArray_TYPE(x), 2)) ||
        (args[2] != Py_None && !(weight = array_arg(args[2], NAME, "weight", PyArray_TYPE(x), 1))) ||
        parse_size(args[3], NAME, "reduction", REDUCTION_NONE, REDUCTION_SUM, &reduction) < 0 ||
        parse_double(args[4], NAME, "label_smoothing", &smoothing) < 0 ||
        parse_size(args[5], NAME, "want_gradient", 0, 1, &want_gradient) < 0) {
        goto fail;
    }
    ptrdiff_t n = PyArray_DIM(x, 0), C = PyArray_DIM(x, 1);
    if (!PyArray_SAMESHAPE(x, target) || (weight != NULL && PyArray_DIM(weight, 0) != C)) {
        PyErr_Format(ShapeError,
                     "%s: class probabilities must have the input's shape, and weight one value for each of "
                     "the %zd classes",
                     NAME, C);
        goto fail;
    }
    if (!(loss = array_new(reduction == REDUCTION_NONE ? 1 : 0, &n, PyArray_TYPE(x), ROWS)) ||
        (want_gradient && !(saved = array_new_like(x)))) {
        goto fail;
    }
    double scale = reduction == REDUCTION_MEAN ? 1 / (double)n : 1;
    int unreduced = reduction == REDUCTION_NONE;
    PyThreadState *state = kernel_enter(4.0 * (double)PyArray_SIZE(x));
    double total = kernels_of(x)->cross_entropy_probabilities_forward(
        PyArray_DATA(x), PyArray_DATA(target), data_or_null(weight), unreduced ? PyArray_DATA(loss) : NULL,
        data_or_null(saved), n, C, smoothing, scale);
    if (kernel_leave(state) < 0) {
        goto fail;
    }
    if (!unreduced) {
        set_scalar(loss, total);
    }
    Py_DECREF(x);
    Py_DECREF(target);
    Py_XDECREF(weight);
    return loss_and_saved(loss, saved);
fail:
    Py_XDECREF(x);
    Py_XDECREF(target);
    Py_XDECREF(weight);
    Py_XDECREF(loss);
    Py_XDECREF(saved);
    return NULL;
}

PyObject *py_cross_entropy_backward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    PyArrayObject *dy = NULL, *saved = NULL, *dx = NULL;
    if (check_nargs(NAME, nargs, 2) < 0 || !(saved = array_arg_dense(args[1], NAME, "saved", ANY_REAL, ANY_NDIM)) ||
        !(dy = array_arg(args[0], NAME, "grad_output", PyArray_TYPE(saved), ANY_NDIM))) {
        goto fail;
    }
    if (PyArray_NDIM(saved) < 2) {
        PyErr_Format(ShapeError, "%s: saved must have at least 2 dimensions, got %d", NAME, PyArray_NDIM(saved));
        goto fail;
    }
    if (!(dx = array_new_like(saved))) {
        goto fail;
    }
    ptrdiff_t C = PyArray_DIM(saved, 1), losses = C > 0 ? PyArray_SIZE(saved) / C : 0;
    ptrdiff_t outer = is_channels_last(saved) ? losses : PyArray_DIM(saved, 0), inner = outer > 0 ? losses / outer : 0;
    if (PyArray_NDIM(dy) != 0 && PyArray_SIZE(dy) != losses) {
        PyErr_Format(ShapeError, "%s: grad_output must have one value for each of the %zd losses, got %zd", NAME,
                     losses, (ptrdiff_t)PyArray_SIZE(dy));
        goto fail;
    }
    if (losses > 0) {
        PyThreadState *state = kernel_enter((double)PyArray_SIZE(saved));
        kernels_of(saved)->cross_entropy_backward(PyArray_DATA(dy), PyArray_NDIM(dy) != 0, PyArray_DATA(saved),
                                                  PyArray_DATA(dx), outer, C, inner);
        if (kernel_leave(state) < 0) {
            goto fail;
        }
    }
    Py_DECREF(dy);
    Py_DECREF(saved);
    return (PyObject *)dx;
fail:
    Py_XDECREF(dy);
    Py_XDECREF(saved);
    Py_XDECREF(dx);
    return NULL;
}
