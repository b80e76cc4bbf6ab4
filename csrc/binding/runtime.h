/* runtime.h: what threads.c, memory.c and random.c of this folder give to module.c and convert.c. */
#ifndef CNN_RUNTIME_H
#define CNN_RUNTIME_H

#include "binding.h"

/* Have signals answered inside kernels. Called when the module is imported. */
int runtime_start(void);

/* A new C-ordered array whose memory comes from the caching allocator; zeroed or not initialised. ValueError if its
 * size overflows, MemoryError with the size. */
PyArrayObject *pooled_array(int ndim, const npy_intp *dims, int type, int zeroed);

/* The type cnn._cnn.Generator, added to the module. */
int generator_add_type(PyObject *module);

#endif
