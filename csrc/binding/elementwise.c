/* elementwise: add, sub, mul and their in-place forms. See csrc/kernels/elementwise.c.
 *
 * Two arrays of one real type, one shape and a dense memory order go through our kernels, and so does an array times a
 * number. Everything else (other types, broadcasting, odd strides) is NumPy's own operator: the value is the same.
 */
#include "elementwise.h"

typedef PyObject *numpy_operator(PyObject *, PyObject *);

static int is_dense_real(PyObject *object)
{
    if (!PyArray_Check(object)) {
        return 0;
    }
    PyArrayObject *x = (PyArrayObject *)object;
    int type = PyArray_TYPE(x);
    return (type == NPY_FLOAT || type == NPY_DOUBLE) && PyArray_ISALIGNED(x) && PyArray_ISNOTSWAPPED(x) &&
           (PyArray_IS_C_CONTIGUOUS(x) || is_channels_last(x));
}

/* b in a's memory order (new reference), or NULL without an exception where NumPy should do it, or with one. */
static PyArrayObject *partner(PyObject *a, PyObject *b)
{
    if (!is_dense_real(a) || !is_dense_real(b) ||
        PyArray_TYPE((PyArrayObject *)a) != PyArray_TYPE((PyArrayObject *)b) ||
        !PyArray_SAMESHAPE((PyArrayObject *)a, (PyArrayObject *)b)) {
        return NULL;
    }
    return array_arg_like(b, "elementwise", "other", (PyArrayObject *)a);
}

/* Dense arrays that share memory, but not element for element: x[1:] += x[:-1]. NumPy makes the copy this needs. */
static int overlap_shifted(PyArrayObject *a, PyArrayObject *b)
{
    const char *pa = PyArray_DATA(a), *pb = PyArray_DATA(b);
    return pa != pb && pa < pb + PyArray_NBYTES(b) && pb < pa + PyArray_NBYTES(a);
}

/* An array in any case: NumPy's operators turn 0-d results into scalars. */
static PyObject *as_array(PyObject *result)
{
    if (result == NULL || PyArray_Check(result)) {
        return result;
    }
    PyObject *array = PyArray_FromAny(result, NULL, 0, 0, 0, NULL);
    Py_DECREF(result);
    return array;
}

/* y = a op alpha b. Takes the reference to y, which may be NULL, and gives it back; NULL with an exception. */
static PyArrayObject *run(char operation, PyArrayObject *a, PyArrayObject *b, PyArrayObject *y, double alpha)
{
    if (y == NULL) {
        return NULL;
    }
    PyThreadState *state = kernel_enter((double)PyArray_SIZE(y));
    const struct kernels *k = kernels_of(a);
    const void *pa = PyArray_DATA(a), *pb = PyArray_DATA(b);
    void *py = PyArray_DATA(y);
    ptrdiff_t n = PyArray_SIZE(a);
    switch (operation) {
    case '+': alpha == 1 ? k->add(pa, pb, py, n) : k->add_scaled(pa, pb, py, n, alpha); break;
    case '-': k->subtract(pa, pb, py, n); break;
    case '*': k->multiply(pa, pb, py, n); break;
    }
    if (kernel_leave(state) < 0) {
        Py_CLEAR(y);
    }
    return y;
}

/* The same by NumPy: alpha b first, so that it is NumPy's type rules for both steps. */
static PyObject *binary_by_numpy(PyObject *a, PyObject *b, PyObject *alpha, numpy_operator *numpy)
{
    PyObject *quiet;
    if (quiet_enter(&quiet) < 0) {
        return NULL;
    }
    PyObject *scaled = alpha != NULL ? PyNumber_Multiply(b, alpha) : Py_NewRef(b);
    PyObject *y = scaled != NULL ? as_array(numpy(a, scaled)) : NULL;
    Py_XDECREF(scaled);
    quiet_leave(quiet);
    return y;
}

/* y = a op alpha b; in place if y is to be a. alpha is a number, or NULL for 1; only addition takes one. */
static PyObject *binary(char operation, PyObject *a, PyObject *b, PyObject *alpha, int in_place, numpy_operator *numpy)
{
    double factor = 1;
    if (alpha != NULL && parse_double(alpha, in_place ? "add_" : "add", "alpha", &factor) < 0) {
        return NULL;
    }
    PyArrayObject *other = partner(a, b), *target = (PyArrayObject *)a;
    if (other == NULL || (in_place && (!PyArray_ISWRITEABLE(target) || overlap_shifted(target, other)))) {
        Py_XDECREF(other);
        return PyErr_Occurred() ? NULL : binary_by_numpy(a, b, alpha, numpy);
    }
    PyArrayObject *y = in_place ? (PyArrayObject *)Py_NewRef(a) : array_new_like(target);
    y = run(operation, target, other, y, factor);
    Py_DECREF(other);
    return (PyObject *)y;
}

static PyObject *add_with_alpha(PyObject *const *args, Py_ssize_t nargs, int in_place, numpy_operator *numpy)
{
    if (nargs != 3 && check_nargs(in_place ? "add_" : "add", nargs, 2) < 0) {
        return NULL;
    }
    return binary('+', args[0], args[1], nargs == 3 ? args[2] : NULL, in_place, numpy);
}

PyObject *py_add(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    return add_with_alpha(args, nargs, 0, PyNumber_Add);
}

PyObject *py_add_(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    return add_with_alpha(args, nargs, 1, PyNumber_InPlaceAdd);
}

PyObject *py_sub(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    return check_nargs("sub", nargs, 2) < 0 ? NULL : binary('-', args[0], args[1], NULL, 0, PyNumber_Subtract);
}

PyObject *py_sub_(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    return check_nargs("sub_", nargs, 2) < 0 ? NULL : binary('-', args[0], args[1], NULL, 1, PyNumber_InPlaceSubtract);
}

/* y = s x, for a Python number s. */
static PyObject *scaled(PyArrayObject *x, PyObject *number, int in_place)
{
    double s = PyFloat_AsDouble(number);
    if (s == -1.0 && PyErr_Occurred()) {
        return NULL;
    }
    PyArrayObject *y = in_place ? (PyArrayObject *)Py_NewRef(x) : array_new_like(x);
    if (y != NULL) {
        PyThreadState *state = kernel_enter((double)PyArray_SIZE(y));
        kernels_of(x)->scale(PyArray_DATA(x), PyArray_DATA(y), PyArray_SIZE(x), s);
        if (kernel_leave(state) < 0) {
            Py_CLEAR(y);
        }
    }
    return (PyObject *)y;
}

PyArrayObject *elementwise_plain(char operation, PyObject *a, PyObject *b)
{
    if (operation == '*' && (PyFloat_CheckExact(b) || PyLong_CheckExact(b))) {
        return is_dense_real(a) ? (PyArrayObject *)scaled((PyArrayObject *)a, b, 0) : NULL;
    }
    PyArrayObject *other = partner(a, b);
    if (other == NULL) {
        return NULL;
    }
    PyArrayObject *y = run(operation, (PyArrayObject *)a, other, array_new_like((PyArrayObject *)a), 1);
    Py_DECREF(other);
    return y;
}

static PyObject *multiply(PyObject *const *args, int in_place, numpy_operator *numpy)
{
    int is_number = PyFloat_CheckExact(args[1]) || PyLong_CheckExact(args[1]);
    if (is_number && is_dense_real(args[0]) && !(in_place && !PyArray_ISWRITEABLE((PyArrayObject *)args[0]))) {
        return scaled((PyArrayObject *)args[0], args[1], in_place);
    }
    return binary('*', args[0], args[1], NULL, in_place, numpy);
}

PyObject *py_mul(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    return check_nargs("mul", nargs, 2) < 0 ? NULL : multiply(args, 0, PyNumber_Multiply);
}

PyObject *py_mul_(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    return check_nargs("mul_", nargs, 2) < 0 ? NULL : multiply(args, 1, PyNumber_InPlaceMultiply);
}
