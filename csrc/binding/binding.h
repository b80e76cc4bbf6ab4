/* binding.h: what every binding file uses. Only csrc/binding knows Python and NumPy.
 *
 * A binding function has four beats: parse and convert; check and allocate; run the kernel; release at one label.
 * It takes NumPy arrays and Python numbers by position (METH_FASTCALL) and returns arrays. It never computes.
 */
#ifndef CNN_BINDING_H
#define CNN_BINDING_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define NPY_NO_DEPRECATED_API NPY_1_22_API_VERSION
#define PY_ARRAY_UNIQUE_SYMBOL cnn_array_api
#ifndef CNN_IMPORT_ARRAY
#define NO_IMPORT_ARRAY
#endif
#include <numpy/arrayobject.h>

#include "../dispatch.h"
#include "../threads.h"

/* Errors (module.c). ShapeError is a ValueError and a RuntimeError, DTypeError a TypeError and a RuntimeError: torch
 * raises RuntimeError for both, Python users expect the other. */
extern PyObject *ShapeError, *DTypeError;

/* ---- parse and convert (convert.c) ------------------------------------------------------------------------------ */

enum { ANY_REAL = -1 }; /* a type argument: float32 or float64 */
enum { ANY_NDIM = -1 };

enum memory_order { ROWS, CHANNELS_LAST };

/* Right number of positional arguments, or -1 with TypeError. */
int check_nargs(const char *function, Py_ssize_t got, Py_ssize_t expected);

/* `object` as an aligned, native-order, C-contiguous array of `type` (an NPY_ number or ANY_REAL) and `ndim`
 * dimensions: a new reference, without a copy where none is needed; or NULL with TypeError, DTypeError or ShapeError
 * that names function and argument. Never writes to the object. */
PyArrayObject *array_arg(PyObject *object, const char *function, const char *name, int type, int ndim);

/* The same, but a 4-d array that is dense in channels-last order (N,H,W,C in memory) stays as it is. */
PyArrayObject *array_arg_dense(PyObject *object, const char *function, const char *name, int type, int ndim);

/* `object` in the shape, type and memory order of `like`: element i of one memory belongs to element i of the other. */
PyArrayObject *array_arg_like(PyObject *object, const char *function, const char *name, PyArrayObject *like);

/* A writable array for in-place work: must already be aligned, native, dense and of that type; never a copy. */
PyArrayObject *array_arg_inplace(PyObject *object, const char *function, const char *name, int type);

/* A writable array for in-place work, in the memory order of `like` (NULL: in any dense order) and of its shape: itself
 * where it lies so already, else a copy. PyArray_ResolveWritebackIfCopy writes a copy back; PyArray_DiscardWriteback-
 * IfCopy forgets it. Both do nothing to an array that is no copy. */
PyArrayObject *array_arg_writable(PyObject *object, const char *function, const char *name, int type,
                                  PyArrayObject *like);

/* True if a 4-d array lies channels-last in memory and not also in C order. */
int is_channels_last(PyArrayObject *array);

/* A Python integer, within [low, high]; -1 with TypeError or ValueError. */
int parse_size(PyObject *object, const char *function, const char *name, ptrdiff_t low, ptrdiff_t high, ptrdiff_t *out);

/* A Python number; -1 with TypeError. */
int parse_double(PyObject *object, const char *function, const char *name, double *out);

/* The i-th of names like "alpha, scale"; returns `name`. */
enum { NAME_SIZE = 32 };
const char *nth_name(const char *names, int i, char name[NAME_SIZE]);

/* `count` Python numbers, named so; -1 with TypeError. */
int parse_doubles(PyObject *const *args, const char *function, const char *names, int count, double *out);

/* The items of a sequence as a tuple of our own (a list might lose its items while the GIL is released); NULL with
 * TypeError. `name` is that of the items, in the plural. */
PyObject *items_arg(PyObject *object, const char *function, const char *name);

static inline void *data_or_null(PyArrayObject *array) { return array != NULL ? PyArray_DATA(array) : NULL; }

/* None in the place of an array that was not wanted; a borrowed reference. */
static inline PyObject *object_or_none(PyArrayObject *array) { return array != NULL ? (PyObject *)array : Py_None; }

/* The kernels for an array's type. */
static inline const struct kernels *kernels_of(PyArrayObject *array)
{
    return kernels_for(PyArray_TYPE(array) == NPY_DOUBLE ? REAL_F64 : REAL_F32);
}

/* `object` dense in the memory order that is asked for, as the output of a layer whose input lay that way. */
PyArrayObject *array_arg_order(PyObject *object, const char *function, const char *name, int type, int ndim,
                               enum memory_order order);

/* ---- allocate (convert.c) --------------------------------------------------------------------------------------- */

/* A new array, its memory from the caching allocator and not initialised. Sizes are overflow-checked: ValueError. */
PyArrayObject *array_new(int ndim, const npy_intp *dims, int type, enum memory_order order);

/* A new array with the shape, type and memory order of `like` (an array that array_arg_dense returned). */
PyArrayObject *array_new_like(PyArrayObject *like);

/* The same, filled with zeros. */
PyArrayObject *array_zeros(int ndim, const npy_intp *dims, int type, enum memory_order order);

/* A 4-d array that is dense in one order, copied into the other by the threads. */
PyArrayObject *array_reordered(PyArrayObject *x, enum memory_order order);

/* The error for an argument that is no array; returns -1. */
int refuse_kind(const char *function, const char *name, PyObject *object);

/* "(2, 3, 8, 8)", for error messages; returns `buffer`. */
const char *shape_text(PyArrayObject *array, char *buffer, size_t size);

/* ---- run (convert.c) -------------------------------------------------------------------------------------------- */

/* Wraps a kernel call. The GIL is released where the work, in elementary operations, takes longer than about 50 us:
 *     PyThreadState *state = kernel_enter(n);
 *     kernels_of(x)->relu_forward(...);
 *     if (kernel_leave(state) < 0) goto fail;     // Ctrl-C, or out of memory: the exception is set
 */
PyThreadState *kernel_enter(double work);
int kernel_leave(PyThreadState *state);

/* Wraps what calls NumPy: until quiet_leave(token) its error state is ignored (quiet.c). -1 with an exception. */
int quiet_enter(PyObject **token);
void quiet_leave(PyObject *token);

#endif
