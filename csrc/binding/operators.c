/* operators: + - * of cnn.Tensor, where both operands are of one real type and shape, or one is multiplied by a number:
 * what cnn/ops/arithmetic.py would do for them, without the way there. Everything else goes that way.
 */
#include "operators.h"

#include "elementwise.h"
#include "tape.h"

/* For each operator: the Operation that is its node, and the function for what is not plain. */
static struct {
    PyObject *cls, *function;
} operators[3];

static const char symbols[] = "+-*";

/* The result for arrays, or NULL without an exception where the operands are not plain, or with one. */
static PyArrayObject *result_of(int which, PyObject *a, PyObject *b)
{
    PyObject *x = is_tensor(a) ? tensor_array((struct tensor *)a) : Py_NewRef(a);
    PyObject *y = x != NULL ? is_tensor(b) ? tensor_array((struct tensor *)b) : Py_NewRef(b) : NULL;
    PyArrayObject *result = y != NULL ? elementwise_plain(symbols[which], x, y) : NULL;
    Py_XDECREF(x);
    Py_XDECREF(y);
    return result;
}

/* A node for out = a op b: what apply and the class's forward would make. */
static int record_operator(int which, PyObject *out, PyObject *a, PyObject *b)
{
    int wants_a = wants_grad((struct tensor *)a), wants_b = is_tensor(b) && wants_grad((struct tensor *)b);
    int count = symbols[which] == '*' ? 2 : 3; /* Add and Sub have alpha, which is 1 as long as nobody sets it */
    PyObject *arguments[3] = {a, b, Py_None};
    struct node *node = node_new(operators[which].cls);
    int status = -1;
    if (node == NULL) {
        return -1;
    }
    PyObject *flags[3] = {wants_a ? Py_True : Py_False, wants_b ? Py_True : Py_False, Py_False};
    PyObject *needs = count == 2 ? PyTuple_Pack(2, flags[0], flags[1]) : PyTuple_Pack(3, flags[0], flags[1], flags[2]);
    if (needs == NULL) {
        goto done;
    }
    Py_XSETREF(node->needs, needs);
    if (symbols[which] == '*') {
        /* what the gradient of the other is multiplied by */
        PyObject *first = wants_b ? ((struct tensor *)a)->array : Py_None;
        PyObject *second = !wants_a       ? Py_NewRef(Py_None)
                           : is_tensor(b) ? Py_NewRef(((struct tensor *)b)->array)
                                          : PyNumber_Float(b);
        PyObject *saved = second != NULL ? PyTuple_Pack(2, first, second) : NULL;
        Py_XDECREF(second);
        if (saved == NULL) {
            goto done;
        }
        Py_XSETREF(node->saved, saved);
    }
    status = node_record(node, arguments, count, &out, 1);
done:
    Py_DECREF(node);
    return status;
}

static PyObject *operate(int which, PyObject *a, PyObject *b)
{
    if (operators[which].cls == NULL) { /* before cnn is imported as a whole */
        Py_RETURN_NOTIMPLEMENTED;
    }
    int is_low = (is_tensor(a) && is_set(((struct tensor *)a)->dtype)) ||
                 (is_tensor(b) && is_set(((struct tensor *)b)->dtype)); /* bfloat16: its results are rounded */
    int is_product_with_number =
        symbols[which] == '*' && is_tensor(a) && (PyFloat_CheckExact(b) || PyLong_CheckExact(b));
    if (!is_low && (is_product_with_number || (is_tensor(a) && is_tensor(b)))) {
        PyArrayObject *array = result_of(which, a, b);
        if (array == NULL && PyErr_Occurred()) {
            return NULL;
        }
        if (array != NULL) {
            PyObject *out = tensor_new((PyObject *)array);
            int wants = wants_grad((struct tensor *)a) || (is_tensor(b) && wants_grad((struct tensor *)b));
            if (out != NULL && wants && grad_enabled() && record_operator(which, out, a, b) < 0) {
                Py_CLEAR(out);
            }
            return out;
        }
    }
    return PyObject_CallFunctionObjArgs(operators[which].function, a, b, NULL);
}

PyObject *operator_add(PyObject *a, PyObject *b) { return operate(0, a, b); }
PyObject *operator_subtract(PyObject *a, PyObject *b) { return operate(1, a, b); }
PyObject *operator_multiply(PyObject *a, PyObject *b) { return operate(2, a, b); }

/* (symbol, class, function) */
PyObject *py_set_operator(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    if (check_nargs("set_operator", nargs, 3) < 0) {
        return NULL;
    }
    for (int i = 0; i < 3; i++) {
        if (PyUnicode_Check(args[0]) && PyUnicode_GET_LENGTH(args[0]) == 1 &&
            PyUnicode_READ_CHAR(args[0], 0) == (Py_UCS4)symbols[i] && is_node_class(args[1])) {
            Py_XSETREF(operators[i].cls, Py_NewRef(args[1]));
            Py_XSETREF(operators[i].function, Py_NewRef(args[2]));
            Py_RETURN_NONE;
        }
    }
    PyErr_SetString(PyExc_TypeError, "set_operator: expected one of '+', '-', '*', a class of nodes and a function");
    return NULL;
}
