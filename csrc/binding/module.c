/* module.c: the module cnn._cnn: its functions, its errors, its start. */
#define CNN_IMPORT_ARRAY
#include "binding.h"
#include "runtime.h"
#include "tape.h"

PyObject *ShapeError, *DTypeError;

/* The functions of a row of kernels/families.h. */
#define COMMA_0
#define COMMA_1 ", "
#define COMMA_2 ", "
#define COMMA_3 ", "
#define F_COPIES(name, arguments)
#define F_IN_PLACE(name, arguments) F(name##_forward_, arguments " -> x, changed in place")
#define F_POINTWISE(name, shown, saved, in_place, settings, names) \
    F(name##_forward, "(x" COMMA_##settings names ") -> y")        \
    F_##in_place(name, "(x" COMMA_##settings names ")") F_BACKWARD(name##_backward, shown, saved, settings, names)
#define F_BACKWARD(name, shown, saved, settings, names) F(name, "(dy, " #saved COMMA_##settings names ") -> dx")
#define F_LOSS(name)                                                     \
    F(name##_forward, "(x, target, each or None, p, reduction) -> loss") \
    F(name##_backward, "(dy, x, target, each or None, p, reduction) -> dx")
#define F_LOSS_OF_TARGET(name) \
    F_LOSS(name) F(name##_backward_target, "(dy, x, target, each or None, p, reduction) -> dt")
#define F_OPTIMISER(name, states, optional, numbers, doubles, flags, state_names, number_names, setting_names) \
    F(name, "(parameters, gradients, " state_names COMMA_##numbers number_names ", " setting_names ")")

/* Every Python function of the module, once: name, what it takes and returns. */
#define FUNCTIONS(F)                                                                                                   \
    F(set_tensor_class, "(cnn.Tensor): what apply makes")                                                              \
    F(apply, "(class, *args) -> a Tensor or a tuple of them; see cnn.autograd.function.Operation")                     \
    F(wait, "(pending[, class, args, attributes]) -> a Tensor whose array pending() gives; its node, with attributes") \
    F(may_wait, "() -> whether a Module with children is running in this thread, so that results may wait")            \
    F(increment, "(tensor): tensor.add_(1), of a counter")                                                             \
    F(settle, "(): compute what waits")                                                                                \
    F(set_module_hooks, "(f): f(module, args, kwargs) calls a Module that has hooks")                                  \
    F(pairs, "(layer, names, *values) -> (a, a, b, b, ...): each value an int or two, named in errors")                \
    F(wrap_dim, "(dim, ndim) -> dim counted from the front")                                                           \
    F(view_forward, "(ctx, x, shape) -> x.reshape(shape); its own shape into ctx.shape")                               \
    F(view_backward, "(ctx, dy) -> (dy.reshape(ctx.shape), None)")                                                     \
    F(quick_attributes, "(a class of Modules): its attributes are found as Module.__getattr__ would find them")        \
    F(set_operator, "('+', '-' or '*', its Operation, f(a, b) for operands that are not plain)")                       \
    F(set_function_hooks, "(translate, explain): see cnn/ops/_register.py")                                            \
    F(set_quiet, "(context variable, value) or (None, function): how NumPy's error state is set aside")                \
    F(numbers, "(number or nested lists of them, default dtype) -> array, or None where they are something else")      \
    F(backward, "(edges, gradients, keep_graph, only[, deliver, add, before, after, finish]); see autograd.engine")    \
    F(set_backward, "(deliver, add, before, after, finish): those for gradients that become .grad")                    \
    F(set_anomaly, "(whether to look for anomalies); see cnn.autograd.anomaly")                                        \
    F(owner_of, "(array) -> the array at the bottom of the views, which owns the memory")                              \
    F(lies, "(array) -> 0: in row order; 1: it owns memory that lies channels-last; 2: neither, or a view of that")    \
    F(lies_channels_last, "(array) -> whether it is a batch of images that lies (N,H,W,C) in memory")                  \
    F(owners_in, "(dict, *arrays) -> bit i: whether the address of the i-th array's owner is a key")                   \
    F(lend, "(array, loan) -> a view that holds on to `loan` in place of the array")                                   \
    F(trade, "(a, b): two arrays of one shape and type exchange their memory")                                         \
    F(group_norm_forward, "(x, groups, weight or None, bias or None, eps) -> (y, mean, invstd)")                       \
    F(group_norm_backward,                                                                                             \
      "(dy, x, groups, weight or None, mean, invstd, want_dx, want_parameters) -> (dx, dweight, dbias)")               \
    F(outside_unit, "(x) -> how many values are not in [0, 1]")                                                        \
    F(batch_norm_forward,                                                                                              \
      "(x, weight, bias, running_mean, running_var, training, momentum, eps, relu) -> (y, mean, invstd)")              \
    F(batch_norm_statistics,                                                                                           \
      "(x, weight, bias, running_mean, running_var, momentum, eps) -> (mean, variance, invstd)")                       \
    F(batch_norm_fold,                                                                                                 \
      "(w, b or None, weight, bias, running_mean, running_var, eps) -> (scale, shift) for conv2d_forward")             \
    F(batch_norm_backward,                                                                                             \
      "(dy, x, weight, mean, invstd, training, want_dx, want_parameters, relu, bias) -> (dx, dweight, dbias)")         \
    F(cross_entropy_forward,                                                                                           \
      "(x, target, weight or None, ignore_index, reduction, smoothing, want_gradient) -> (loss, saved or None)")       \
    F(cross_entropy_probabilities_forward,                                                                             \
      "(x, target, weight or None, reduction, smoothing, want_gradient) -> (loss, saved or None)")                     \
    F(cross_entropy_backward, "(dy, saved) -> dx")                                                                     \
    F(nll_loss_forward, "(x, target, weight or None, ignore_index, reduction) -> (loss, scale)")                       \
    F(nll_loss_backward, "(dy, target, weight or None, ignore_index, scale, C, channels_last) -> dx")                  \
    F(softmax_forward, "(x, dim) -> y")                                                                                \
    F(softmax_backward, "(dy, y, dim) -> dx")                                                                          \
    F(log_softmax_forward, "(x, dim) -> y")                                                                            \
    F(log_softmax_backward, "(dy, y, dim) -> dx")                                                                      \
    F(conv2d_check, "(x, w, b or None, geometry: ten numbers): the errors of conv2d_forward, and no result")           \
    F(conv2d_forward, "(x, w, b or None, geometry: ten numbers, relu, scale or None) -> relu(scale * sums + b)")       \
    F(conv2d_separable_forward,                                                                                        \
      "(x, w, b, geometry, scale, middle_relu, pointwise w, b, scale, relu) -> y, or None where it cannot")            \
    F(conv2d_pool_forward, "(x, w, b, geometry, scale, keep) -> (y, argmax or None, H, W), or None where it cannot")   \
    F(conv2d_backward_input, "(dy, w, H, W, geometry) -> dx")                                                          \
    F(conv2d_explain, "(x, w, geometry) -> how forward, dx and dw are computed, in words")                             \
    F(conv2d_backward,                                                                                                 \
      "(dy, x, w, geometry, want_dx, want_dw, want_db, rectified) -> (dx, dw, db), None where not wanted")             \
    F(max_pool2d_forward, "(x, KH, KW, SH, SW, PH, PW, DH, DW, ceil_mode, keep) -> (y, argmax or None)")               \
    F(max_pool2d_backward, "(dy, argmax, H, W, channels_last, KH, KW, SH, SW, PH, PW, DH, DW) -> dx")                  \
    F(avg_pool2d_forward, "(x, KH, KW, SH, SW, PH, PW, ceil_mode, count_include_pad, divisor_override) -> y")          \
    F(avg_pool2d_backward,                                                                                             \
      "(dy, H, W, channels_last, KH, KW, SH, SW, PH, PW, count_include_pad, divisor_override) -> dx")                  \
    F(adaptive_avg_pool2d_forward, "(x, OH, OW) -> y")                                                                 \
    F(adaptive_avg_pool2d_backward, "(dy, H, W, channels_last) -> dx")                                                 \
    F(adaptive_max_pool2d_forward, "(x, OH, OW) -> (y, argmax)")                                                       \
    F(adaptive_max_pool2d_backward, "(dy, argmax, H, W, channels_last) -> dx")                                         \
    F(linear_forward, "(x, w, b or None) -> y")                                                                        \
    F(linear_backward, "(dy, x or None, w or None, want_dx, want_dw, want_db) -> (dx, dw, db), None where not wanted") \
    F(matmul, "(a, b) -> c: (M,K) (K,N) or (S,M,K) (S,K,N), any strides")                                              \
    F(interpolate_forward, "(x, row sources, row weights, column sources, column weights) -> y")                       \
    F(interpolate_backward, "(dy, row sources, row weights, column sources, column weights, H, W) -> dx")              \
    F(image_batch, "(images, indices, moves, table, height, width) -> y (N,C,height,width)")                           \
    F(add, "(a, b[, alpha]) -> a + alpha * b")                                                                         \
    F(add_, "(a, b[, alpha]) -> a, with alpha * b added in place")                                                     \
    F(sub, "(a, b) -> a - b")                                                                                          \
    F(sub_, "(a, b) -> a, with b subtracted in place")                                                                 \
    F(mul, "(a, b) -> a * b")                                                                                          \
    F(mul_, "(a, b) -> a, multiplied by b in place")                                                                   \
    F(copy_order, "(x, channels_last) -> x, or a copy, in that memory order")                                          \
    F(cat, "(arrays, dim) -> the arrays joined along dim")                                                             \
    F(split, "(x, sizes, dim) -> list of copies, cut along dim")                                                       \
    F(set_num_threads, "(n): threads that work on a kernel, the caller included")                                      \
    F(get_num_threads, "() -> n")                                                                                      \
    F(empty, "(shape, dtype) -> array of undefined contents, its memory from the cache")                               \
    F(empty_cache, "(): give cached memory back to the system")                                                        \
    F(memory_stats, "() -> {in_use, cached, peak}: bytes in arrays and scratch of the kernels")                        \
    F(reset_peak_memory, "(): let the peak start from what is in use now")                                             \
    F(fail_allocation_after, "(requests): for tests, the request after these fails; -1: none")                         \
    F(fma_peak, "(rounds): float32 operations done by as many multiply-adds in registers on every thread")             \
    F(dropout, "(x, mask, p) -> y")                                                                                    \
    F(feature_dropout, "(x, mask of the first two dimensions, p) -> y")                                                \
    F(prelu_forward, "(x, weight) -> y")                                                                               \
    F(prelu_backward, "(dy, x, weight) -> (dx, dweight)")                                                              \
    POINTWISE(F_POINTWISE, F_BACKWARD)                                                                                 \
    PAIR_LOSSES(F_LOSS, F_LOSS_OF_TARGET)                                                                              \
    OPTIMISERS(F_OPTIMISER)

#define F(name, doc) PyObject *py_##name(PyObject *, PyObject *const *, Py_ssize_t);
FUNCTIONS(F)
#undef F

static PyObject *py_isa(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    return PyUnicode_FromString(dispatch_name());
}

static PyObject *py_available_isas(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    PyObject *names = PyList_New(0);
    const char *name;
    for (int i = 0; names != NULL && (name = dispatch_available(i)) != NULL; i++) {
        PyObject *text = PyUnicode_FromString(name);
        if (text == NULL || PyList_Append(names, text) < 0) {
            Py_CLEAR(names);
        }
        Py_XDECREF(text);
    }
    return names;
}

static int choose_isa(const char *name)
{
    if (dispatch_set(name) == 0) {
        return 0;
    }
    PyObject *names = py_available_isas(NULL, NULL);
    if (names != NULL) {
        PyErr_Format(PyExc_ValueError, "CNN_ISA: expected one of %R (what this build and CPU can run), got '%s'", names,
                     name);
        Py_DECREF(names);
    }
    return -1;
}

static PyObject *py_set_isa(PyObject *Py_UNUSED(module), PyObject *name)
{
    const char *text = name == Py_None ? NULL : PyUnicode_AsUTF8(name);
    if ((text == NULL && name != Py_None) || choose_isa(text) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
#define F(name, doc) {#name, (PyCFunction)(void (*)(void))py_##name, METH_FASTCALL, #name doc},
    FUNCTIONS(F)
#undef F
        {"isa", py_isa, METH_NOARGS, "isa() -> name of the instruction set in use"},
    {"available_isas", py_available_isas, METH_NOARGS, "available_isas() -> names that this build and CPU can run"},
    {"set_isa", py_set_isa, METH_O, "set_isa(name or None for the best)"},
    {NULL, NULL, 0, NULL},
};

static PyObject *new_error(PyObject *module, const char *name, PyObject *first, const char *doc)
{
    char full[64];
    snprintf(full, sizeof full, "cnn.errors.%s", name);
    PyObject *bases = PyTuple_Pack(2, first, PyExc_RuntimeError);
    PyObject *error = bases != NULL ? PyErr_NewExceptionWithDoc(full, doc, bases, NULL) : NULL;
    Py_XDECREF(bases);
    if (error != NULL && PyModule_AddObjectRef(module, name, error) < 0) {
        Py_CLEAR(error);
    }
    return error;
}

static int module_exec(PyObject *module)
{
    import_array1(-1);
    ShapeError = new_error(module, "ShapeError", PyExc_ValueError, "A size or shape that does not fit.");
    DTypeError = new_error(module, "DTypeError", PyExc_TypeError, "A data type that does not fit.");
    if (ShapeError == NULL || DTypeError == NULL) {
        return -1;
    }
    if (runtime_start() < 0 || generator_add_type(module) < 0 || tensor_add_type(module) < 0 ||
        node_add_type(module) < 0 || waiting_add_type(module) < 0 || function_add_type(module) < 0) {
        return -1;
    }
    const char *isa = getenv("CNN_ISA");
    return choose_isa(isa != NULL && *isa != '\0' ? isa : NULL);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)module_exec},
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "cnn._cnn", .m_doc = "The C kernels of cnn. Use them through the package cnn.",
    .m_size = 0,           .m_methods = methods, .m_slots = slots,
};

PyMODINIT_FUNC PyInit__cnn(void) { return PyModuleDef_Init(&definition); }
