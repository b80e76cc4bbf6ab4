/* random: torch's CPU generator and its draws, value for value.
 *
 * The stream is MT19937 (Matsumoto and Nishimura, 1998): 32-bit words w. A 64-bit draw q is two words, the first one
 * high. Every draw below states how a value comes from w or q; the same seed gives the same values as torch 2.13, on
 * any number of threads, because the words are drawn by one thread in order.
 *
 * Nothing here locks: a generator belongs to one caller at a time. Long fills stop at Ctrl-C (kernel_stopped).
 */
#ifndef CNN_RANDOM_H
#define CNN_RANDOM_H

#include <stddef.h>
#include <stdint.h>

enum { RANDOM_STATE = 624, RANDOM_STATE_BYTES = 5056 };

struct generator {
    uint64_t seed;
    uint32_t state[RANDOM_STATE];
    int left; /* words until the state is renewed, that draw included: 1 renews at the next draw */
    int next; /* the word that is drawn next, if the state is not renewed */
    int has_normal;
    double normal; /* the second value of a pair of normal ones, kept for the next request */
    int has_normal_f32;
    float normal_f32; /* torch keeps one more, which no CPU draw uses; it is part of the state */
};

/* Element types that can be filled. */
enum random_type { RANDOM_BOOL, RANDOM_U8, RANDOM_I8, RANDOM_I16, RANDOM_I32, RANDOM_I64, RANDOM_F32, RANDOM_F64 };

void random_seed(struct generator *g, uint64_t seed);

/* torch's layout of the state, which get_rng_state returns: RANDOM_STATE_BYTES bytes in native order. */
void random_get_state(const struct generator *g, void *bytes);

/* Returns 0, or -1 and leaves g alone if the bytes are no valid state. */
int random_set_state(struct generator *g, const void *bytes);

uint32_t random_word(struct generator *g);
uint64_t random_long(struct generator *g);

/* n words, one after the other. */
void random_words(struct generator *g, uint32_t *w, ptrdiff_t n);

/* uniform_: u * (high - low) + low in one rounding, with u = (w mod 2^24) / 2^24 for float32 and (q mod 2^53) / 2^53
 * for float64. A value that rounds up to high becomes low. */
void random_uniform(struct generator *g, void *x, enum random_type type, ptrdiff_t n, double low, double high);

/* normal_ of 16 or more values: uniforms, turned into normal values by transform in blocks of 16 (kernels/normal.c); if
 * n is no multiple of 16, the last 16 are drawn anew. */
void random_normal(struct generator *g, void *x, enum random_type type, ptrdiff_t n, double mean, double std,
                   void (*transform)(void *x, ptrdiff_t blocks, double mean, double std));

/* normal_ of fewer than 16 values, or of values that do not lie one after the other: pairs from two float64 uniforms
 * u1, u2 with radius sqrt(-2 log1p(-u2)) and angle 2 pi u1; the cosine first, the sine is kept for the next value. */
void random_normal_pairs(struct generator *g, void *x, enum random_type type, ptrdiff_t n, double mean, double std);

/* random_(low, high), randint: low + r mod range, where r is w for a range below 2^28 and q from there on. A range of 0
 * stands for 2^64. */
void random_integers(struct generator *g, void *x, enum random_type type, ptrdiff_t n, int64_t low, uint64_t range);

/* random_(): as random_integers over 0..the largest value of an integer type, or 0..2^24 and 0..2^53 for the real ones;
 * q for the 8-byte types and w for the others, whatever the range. */
void random_integers_of_type(struct generator *g, void *x, enum random_type type, ptrdiff_t n);

/* randperm: Fisher-Yates from the front, z = w mod (n - i), swap i and i + z. (Above 2^32 / 20 values: from 64-bit
 * draws, inside out.) */
void random_permutation(struct generator *g, int64_t *x, ptrdiff_t n);

/* bernoulli_(p), dropout: 1 where (q mod 2^53) / 2^53 < p. */
void random_bernoulli(struct generator *g, void *x, enum random_type type, ptrdiff_t n, double p);

/* bernoulli(P): 1 where u < P[i], with u as in random_uniform for the type of P. */
void random_bernoulli_each(struct generator *g, void *x, enum random_type type, ptrdiff_t n, const void *p,
                           enum random_type p_type);

/* One float64 uniform u (or, for the log-normal, one value of random_normal_pairs) makes each value:
 *     exponential   -log1p(-u) / a
 *     geometric     ceil(log(u) / log1p(-a))
 *     cauchy        a + b tan(pi (u - 1/2))
 *     log_normal    exp(normal with mean a and standard deviation b) */
enum random_law { RANDOM_EXPONENTIAL, RANDOM_GEOMETRIC, RANDOM_CAUCHY, RANDOM_LOG_NORMAL };
void random_law(struct generator *g, void *x, enum random_type type, ptrdiff_t n, enum random_law law, double a,
                double b);

/* multinomial with replacement: for each of k draws the first category whose cumulated share of the weights is not
 * below (q mod 2^53) / 2^53. The weights are not negative, their sum is positive; shares: scratch of n values of type.
 */
void random_choices(struct generator *g, const void *weights, void *shares, enum random_type type, ptrdiff_t n,
                    int64_t *x, ptrdiff_t k);

#endif
