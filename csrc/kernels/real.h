/* real.h: what a kernel file is compiled with.
 *
 * The build compiles every file of csrc/kernels and csrc/engine once per (type, instruction set), with
 *     -DCNN_REAL=float  or double     the type of all data
 *     -DCNN_VARIANT=_f32_avx2 ...     appended to every public name by FN()
 * so that `void FN(relu_forward)(...)` becomes relu_forward_f32_avx2, relu_forward_f64_baseline, ...
 *
 * csrc/binding and csrc/dispatch.c define neither: there `real` is void, and pointers to data are untyped.
 */
#ifndef CNN_REAL_H
#define CNN_REAL_H

#include <stddef.h>
#include <stdint.h>

#ifdef CNN_VARIANT
typedef CNN_REAL real;
#define CNN_JOIN_(name, variant) name##variant
#define CNN_JOIN(name, variant) CNN_JOIN_(name, variant)
#define FN(name) CNN_JOIN(name, CNN_VARIANT)
#else
typedef void real;
#endif

#endif
