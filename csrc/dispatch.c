/* dispatch.c: asks the CPU once and picks a set of kernels. Features decide, never CPU models. */
#include "dispatch.h"

#include <string.h>

#define DECLARE(variant) extern const struct kernels kernels_f32_##variant, kernels_f64_##variant;
DECLARE(baseline)
extern const struct kernels plain_kernels_f32_baseline, plain_kernels_f64_baseline;
#ifdef CNN_X86
DECLARE(avx2)
DECLARE(avx512)
#endif

#define SET(name, kernels, variant, runs) {name, {&kernels##_f32_##variant, &kernels##_f64_##variant}, runs}

static int always(void) { return 1; }

#ifdef CNN_X86
static int has_avx2(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

static int has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
}
#endif

static const struct instruction_set {
    const char *name;
    const struct kernels *table[2]; /* by enum real_type */
    int (*runs)(void);
} sets[] = {
    SET("plain", plain_kernels, baseline, always),
    SET("baseline", kernels, baseline, always),
#ifdef CNN_X86
    SET("avx2", kernels, avx2, has_avx2),
    SET("avx512", kernels, avx512, has_avx512),
#endif
};

enum { SETS = sizeof sets / sizeof sets[0] };

static const struct instruction_set *chosen = &sets[1];

const struct kernels *kernels_for(enum real_type type) { return chosen->table[type]; }

const char *dispatch_name(void) { return chosen->name; }

const char *dispatch_available(int i)
{
    for (int s = 0; s < SETS; s++) {
        if (sets[s].runs() && i-- == 0) {
            return sets[s].name;
        }
    }
    return NULL;
}

int dispatch_set(const char *name)
{
    for (int s = SETS - 1; s >= 0; s--) {
        if ((name == NULL || strcmp(name, sets[s].name) == 0) && sets[s].runs()) {
            chosen = &sets[s];
            return 0;
        }
    }
    return -1;
}
