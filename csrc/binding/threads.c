/* threads: the number of threads, and Ctrl-C inside a kernel. */
#include "binding.h"

#include <pthread.h>

#include "../memory.h"
#include "runtime.h"

/* Python runs signal handlers in its main thread only; after a fork that is the thread that forked. */
static unsigned long main_thread;

static void after_fork_in_child(void) { main_thread = PyThread_get_thread_ident(); }

/* Called from inside kernels every 50 ms (threads.h). Nonzero: a handler raised, and its exception is set. */
static int poll_signals(void)
{
    if (PyThread_get_thread_ident() != main_thread) {
        return 0;
    }
    unsigned forks = threads_forks();
    PyGILState_STATE gil = PyGILState_Ensure();
    struct scratch_block aside = scratch_set_aside(); /* a handler may call kernels of its own */
    int raised = PyErr_CheckSignals() < 0;
    scratch_restore(aside);
    if (!raised && threads_forks() != forks) {
        PyErr_SetString(PyExc_RuntimeError, "a signal handler forked while a kernel was running: the workers of the "
                                            "parent do not exist here, so its result cannot be finished");
        raised = 1;
    }
    PyGILState_Release(gil);
    return raised;
}

int runtime_start(void)
{
    PyObject *threading = PyImport_ImportModule("threading");
    PyObject *thread = threading != NULL ? PyObject_CallMethod(threading, "main_thread", NULL) : NULL;
    PyObject *ident = thread != NULL ? PyObject_GetAttrString(thread, "ident") : NULL;
    if (ident != NULL) {
        main_thread = PyLong_AsUnsignedLong(ident);
    }
    Py_XDECREF(ident);
    Py_XDECREF(thread);
    Py_XDECREF(threading);
    if (PyErr_Occurred()) {
        return -1;
    }
    static int started;
    if (!started) {
        started = 1;
        pthread_atfork(NULL, NULL, after_fork_in_child);
        threads_set_poll(poll_signals);
    }
    return 0;
}

PyObject *py_set_num_threads(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    ptrdiff_t threads;
    if (check_nargs("set_num_threads", nargs, 1) < 0 ||
        parse_size(args[0], "set_num_threads", "the number of threads", 1, PTRDIFF_MAX, &threads) < 0) {
        return NULL;
    }
    threads_set(threads > THREADS_MAX ? THREADS_MAX : (int)threads);
    Py_RETURN_NONE;
}

PyObject *py_get_num_threads(PyObject *Py_UNUSED(module), PyObject *const *Py_UNUSED(args), Py_ssize_t nargs)
{
    return check_nargs("get_num_threads", nargs, 0) < 0 ? NULL : PyLong_FromLong(threads_get());
}
