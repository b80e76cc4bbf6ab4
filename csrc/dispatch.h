/* dispatch.h: which build of the kernels runs.
 *
 * The instruction sets, best last: plain, baseline, avx2, avx512. `plain` is the baseline build without the fast
 * engine: its tables have the layers as csrc/kernels states them.
 */
#ifndef CNN_DISPATCH_H
#define CNN_DISPATCH_H

#include "kernels/kernels.h"

enum real_type { REAL_F32, REAL_F64 };

/* The kernels in use for one type. */
const struct kernels *kernels_for(enum real_type type);

/* The name in use; the i-th name that this build and this CPU can run, or NULL past the last. */
const char *dispatch_name(void);
const char *dispatch_available(int i);

/* Choose by name; NULL chooses the best. Returns 0, or -1 if this build or CPU has no such set. */
int dispatch_set(const char *name);

#endif
