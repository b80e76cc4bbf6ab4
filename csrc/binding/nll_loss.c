/* nll_loss: (x, target, weight or None, ignore_index, reduction) -> (loss, scale);
 * (dy, target, weight or None, ignore_index, scale, C, channels_last) -> dx. See csrc/kernels/nll_loss.c. */
#include "class_target.h"

static const char *const NAME = "nll_loss";

PyObject *py_nll_loss_forward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    class_target c = {0};
    PyArrayObject *loss = NULL;
    if (check_nargs(NAME, nargs, 5) < 0 || class_target_parse(&c, args, NAME) < 0 ||
        !(loss = loss_new(c.target, c.reduction, PyArray_TYPE(c.x)))) {
        goto fail;
    }
    int unreduced = c.reduction == REDUCTION_NONE;
    PyThreadState *state = kernel_enter((double)PyArray_SIZE(c.target));
    double total =
        kernels_of(c.x)->nll_loss_forward(PyArray_DATA(c.x), PyArray_DATA(c.target), data_or_null(c.weight),
                                          unreduced ? PyArray_DATA(loss) : NULL, c.outer, c.C, c.inner, c.ignore_index);
    if (kernel_leave(state) < 0) {
        goto fail;
    }
    if (!unreduced) {
        set_scalar(loss, total * c.scale);
    }
    class_target_release(&c);
    return Py_BuildValue("(Nd)", loss, c.scale);
fail:
    class_target_release(&c);
    Py_XDECREF(loss);
    return NULL;
}

PyObject *py_nll_loss_backward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    PyArrayObject *dy = NULL, *target = NULL, *weight = NULL, *dx = NULL;
    ptrdiff_t ignore_index, C, order;
    double scale;
    npy_intp dims[NPY_MAXDIMS];
    if (check_nargs(NAME, nargs, 7) < 0 || !(dy = array_arg(args[0], NAME, "grad_output", ANY_REAL, ANY_NDIM)) ||
        !(target = array_arg(args[1], NAME, "target", NPY_INT64, ANY_NDIM)) ||
        (args[2] != Py_None && !(weight = array_arg(args[2], NAME, "weight", PyArray_TYPE(dy), 1))) ||
        parse_size(args[3], NAME, "ignore_index", PTRDIFF_MIN, PTRDIFF_MAX, &ignore_index) < 0 ||
        parse_double(args[4], NAME, "scale", &scale) < 0 || parse_size(args[5], NAME, "C", 0, PTRDIFF_MAX, &C) < 0 ||
        parse_size(args[6], NAME, "channels_last", 0, 1, &order) < 0) {
        goto fail;
    }
    int ndim = PyArray_NDIM(target);
    if (ndim < 1 || ndim == NPY_MAXDIMS || (order == CHANNELS_LAST && ndim != 3)) {
        PyErr_Format(ShapeError, "%s: a target of %d dimensions does not fit", NAME, ndim);
        goto fail;
    }
    if (PyArray_NDIM(dy) != 0 && !PyArray_SAMESHAPE(dy, target)) {
        PyErr_Format(ShapeError, "%s: grad_output must have the target's shape, or none", NAME);
        goto fail;
    }
    if (weight != NULL && PyArray_DIM(weight, 0) != C) {
        PyErr_Format(ShapeError, "%s: weight must have %zd values, one for each class, got %zd", NAME, C,
                     (ptrdiff_t)PyArray_DIM(weight, 0));
        goto fail;
    }
    double sum;
    if (target_weights(dy, target, NULL, C, ignore_index, NAME, &sum) < 0) {
        goto fail;
    }
    dims[0] = PyArray_DIM(target, 0);
    dims[1] = C;
    memcpy(dims + 2, PyArray_DIMS(target) + 1, (size_t)(ndim - 1) * sizeof *dims);
    if (!(dx = array_new(ndim + 1, dims, PyArray_TYPE(dy), order))) {
        goto fail;
    }
    ptrdiff_t losses = PyArray_SIZE(target), outer = order == CHANNELS_LAST ? losses : dims[0];
    PyThreadState *state = kernel_enter((double)PyArray_SIZE(dx));
    kernels_of(dy)->nll_loss_backward(PyArray_DATA(dy), PyArray_NDIM(dy) != 0, PyArray_DATA(target),
                                      data_or_null(weight), PyArray_DATA(dx), outer, C, outer > 0 ? losses / outer : 0,
                                      ignore_index, scale);
    if (kernel_leave(state) < 0) {
        goto fail;
    }
    Py_DECREF(dy);
    Py_DECREF(target);
    Py_XDECREF(weight);
    return (PyObject *)dx;
fail:
    Py_XDECREF(dy);
    Py_XDECREF(target);
    Py_XDECREF(weight);
    Py_XDECREF(dx);
    return NULL;
}
