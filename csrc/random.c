/* random: see random.h. The draws are torch's: each function mirrors the tensor method its comment in random.h names.
 */
#include "random.h"

#include <math.h>
#include <string.h>

#include "threads.h"

/* Words are made in pieces that stay in the first-level cache. */
enum { PIECE = 2048 };
/* A few milliseconds of work between two looks at Ctrl-C. */
enum { PIECES_BETWEEN_POLLS = 64 };

#define PI 3.14159265358979323846

/* ---- The stream of words: MT19937 ---- */

void random_seed(struct generator *g, uint64_t seed)
{
    memset(g, 0, sizeof *g);
    g->seed = seed;
    g->state[0] = (uint32_t)seed;
    for (uint32_t i = 1; i < RANDOM_STATE; i++) {
        uint32_t before = g->state[i - 1];
        g->state[i] = 1812433253u * (before ^ (before >> 30)) + i;
    }
    g->left = 1;
}

/* The upper bit of one word and the lower 31 of the next, times the matrix A. */
static uint32_t twisted(uint32_t word, uint32_t next)
{
    uint32_t mixed = (word & 0x80000000u) | (next & 0x7fffffffu);
    return (mixed >> 1) ^ (-(next & 1) & 0x9908b0dfu);
}

/* s[i] = s[i + 397] ^ twisted(s[i], s[i + 1]), indices modulo 624: in three loops, which a compiler can vectorise. */
static void renew(struct generator *g)
{
    enum { N = RANDOM_STATE, M = 397 };
    uint32_t *s = g->state;
    for (int i = 0; i < N - M; i++) {
        s[i] = s[i + M] ^ twisted(s[i], s[i + 1]);
    }
    for (int i = N - M; i < N - 1; i++) {
        s[i] = s[i + M - N] ^ twisted(s[i], s[i + 1]);
    }
    s[N - 1] = s[M - 1] ^ twisted(s[N - 1], s[0]);
    g->left = N + 1;
    g->next = 0;
}

static uint32_t tempered(uint32_t w)
{
    w ^= w >> 11;
    w ^= (w << 7) & 0x9d2c5680u;
    w ^= (w << 15) & 0xefc60000u;
    return w ^ (w >> 18);
}

uint32_t random_word(struct generator *g)
{
    if (g->left == 1) {
        renew(g);
    }
    g->left--;
    return tempered(g->state[g->next++]);
}

uint64_t random_long(struct generator *g)
{
    uint64_t high = random_word(g);
    return high << 32 | random_word(g);
}

void random_words(struct generator *g, uint32_t *w, ptrdiff_t n)
{
    while (n > 0) {
        if (g->left == 1) {
            renew(g);
        }
        ptrdiff_t count = n < g->left - 1 ? n : g->left - 1;
        const uint32_t *s = g->state + g->next;
        for (ptrdiff_t i = 0; i < count; i++) {
            w[i] = tempered(s[i]);
        }
        g->left -= (int)count;
        g->next += (int)count;
        w += count;
        n -= count;
    }
}

static void longs(struct generator *g, uint64_t *q, ptrdiff_t n)
{
    uint32_t w[2 * PIECE];
    random_words(g, w, 2 * n);
    for (ptrdiff_t i = 0; i < n; i++) {
        q[i] = (uint64_t)w[2 * i] << 32 | w[2 * i + 1];
    }
}

static const uint64_t LOW_53 = ((uint64_t)1 << 53) - 1;

static double uniform_of_long(uint64_t q) { return (double)(q & LOW_53) * 0x1p-53; }

static double uniform(struct generator *g) { return uniform_of_long(random_long(g)); }

/* ---- The state, as torch lays it out ---- */

/* What torch.get_rng_state returns. It still has the shape it had in 2017: wide words, and fields no longer used. */
struct torch_state {
    uint64_t seed;
    int32_t left, seeded;
    uint64_t next;
    uint64_t state[RANDOM_STATE];
    double normal_x, normal, normal_rho; /* x and rho are 0 */
    int32_t has_normal, padding;
    float normal_f32;
    int32_t has_normal_f32;
};
_Static_assert(sizeof(struct torch_state) == RANDOM_STATE_BYTES, "torch's state has 5056 bytes");

void random_get_state(const struct generator *g, void *bytes)
{
    struct torch_state s = {.seed = g->seed, .left = g->left, .seeded = 1, .next = (uint64_t)g->next};
    for (int i = 0; i < RANDOM_STATE; i++) {
        s.state[i] = g->state[i];
    }
    s.has_normal = g->has_normal;
    s.normal = g->has_normal ? g->normal : 0;
    s.has_normal_f32 = g->has_normal_f32;
    s.normal_f32 = g->has_normal_f32 ? g->normal_f32 : 0;
    memcpy(bytes, &s, sizeof s);
}

int random_set_state(struct generator *g, const void *bytes)
{
    struct torch_state s;
    memcpy(&s, bytes, sizeof s);
    /* left - 1 words are drawn before the state is renewed, from next on: they must exist. */
    if (s.seeded != 1 || s.left < 1 || s.left > RANDOM_STATE || s.next > RANDOM_STATE ||
        (uint64_t)s.left - 1 + s.next > RANDOM_STATE) {
        return -1;
    }
    g->seed = s.seed;
    g->left = s.left;
    g->next = (int)s.next;
    for (int i = 0; i < RANDOM_STATE; i++) {
        g->state[i] = (uint32_t)s.state[i];
    }
    g->has_normal = s.has_normal != 0;
    g->normal = s.normal;
    g->has_normal_f32 = s.has_normal_f32 != 0;
    g->normal_f32 = s.normal_f32;
    return 0;
}

/* ---- Storing values ---- */

/* x[begin..begin+n-1] = values, in x's type. */
static void store_integers(void *x, enum random_type type, ptrdiff_t begin, const int64_t *values, ptrdiff_t n)
{
    switch (type) {
    case RANDOM_BOOL:
        for (ptrdiff_t i = 0; i < n; i++) {
            ((uint8_t *)x)[begin + i] = values[i] != 0;
        }
        break;
    case RANDOM_U8:
    case RANDOM_I8:
        for (ptrdiff_t i = 0; i < n; i++) {
            ((uint8_t *)x)[begin + i] = (uint8_t)values[i];
        }
        break;
    case RANDOM_I16:
        for (ptrdiff_t i = 0; i < n; i++) {
            ((uint16_t *)x)[begin + i] = (uint16_t)values[i];
        }
        break;
    case RANDOM_I32:
        for (ptrdiff_t i = 0; i < n; i++) {
            ((uint32_t *)x)[begin + i] = (uint32_t)values[i];
        }
        break;
    case RANDOM_I64: memcpy((int64_t *)x + begin, values, (size_t)n * sizeof *values); break;
    case RANDOM_F32:
        for (ptrdiff_t i = 0; i < n; i++) {
            ((float *)x)[begin + i] = (float)values[i];
        }
        break;
    case RANDOM_F64:
        for (ptrdiff_t i = 0; i < n; i++) {
            ((double *)x)[begin + i] = (double)values[i];
        }
        break;
    }
}

static void store_real(void *x, enum random_type type, ptrdiff_t i, double value)
{
    if (type == RANDOM_F32) {
        ((float *)x)[i] = (float)value;
    } else if (type == RANDOM_F64) {
        ((double *)x)[i] = value;
    } else {
        int64_t integer = (int64_t)value;
        store_integers(x, type, i, &integer, 1);
    }
}

/* ---- Filling piece by piece ---- */

/* What one fill draws; the fields a draw does not need stay 0. */
struct fill {
    struct generator *g;
    void *x;
    enum random_type type;
    double a, b;
    int64_t low;
    uint64_t range;
    const void *p;
    enum random_type p_type;
    enum random_law law;
};

/* fill_piece(f, begin, n) fills x[begin..begin+n-1], n <= PIECE. */
static void fill_pieces(const struct fill *f, ptrdiff_t n,
                        void (*fill_piece)(const struct fill *, ptrdiff_t, ptrdiff_t))
{
    for (ptrdiff_t begin = 0, piece = 1; begin < n; begin += PIECE, piece++) {
        fill_piece(f, begin, n - begin < PIECE ? n - begin : PIECE);
        if (piece % PIECES_BETWEEN_POLLS == 0 && kernel_stopped()) {
            return;
        }
    }
}

static void uniform_f32_piece(const struct fill *f, ptrdiff_t begin, ptrdiff_t n)
{
    uint32_t w[PIECE];
    float *x = (float *)f->x + begin;
    float low = (float)f->a, high = (float)f->b, width = high - low;
    random_words(f->g, w, n);
    for (ptrdiff_t i = 0; i < n; i++) {
        x[i] = (float)(int32_t)(w[i] & 0xffffff) * 0x1p-24f;
    }
    if (low == 0) { /* one rounding is enough: the next loop would do the same, slower */
        for (ptrdiff_t i = 0; i < n; i++) {
            x[i] *= width;
        }
    } else {
        for (ptrdiff_t i = 0; i < n; i++) {
            x[i] = fmaf(x[i], width, low);
        }
    }
    for (ptrdiff_t i = 0; i < n; i++) {
        x[i] = x[i] == high ? low : x[i];
    }
}

static void uniform_f64_piece(const struct fill *f, ptrdiff_t begin, ptrdiff_t n)
{
    uint64_t q[PIECE];
    double *x = (double *)f->x + begin;
    double width = f->b - f->a;
    longs(f->g, q, n);
    for (ptrdiff_t i = 0; i < n; i++) {
        double value = fma(uniform_of_long(q[i]), width, f->a);
        x[i] = value == f->b ? f->a : value;
    }
}

void random_uniform(struct generator *g, void *x, enum random_type type, ptrdiff_t n, double low, double high)
{
    struct fill f = {.g = g, .x = x, .type = type, .a = low, .b = high};
    fill_pieces(&f, n, type == RANDOM_F32 ? uniform_f32_piece : uniform_f64_piece);
}

/* ---- Normal ---- */

struct blocks {
    char *x;
    size_t block_bytes;
    ptrdiff_t blocks, chunks;
    double mean, std;
    void (*transform)(void *x, ptrdiff_t blocks, double mean, double std);
};

static void transform_chunk(void *context, ptrdiff_t chunk)
{
    const struct blocks *b = context;
    ptrdiff_t begin, end;
    chunk_bounds(b->blocks, b->chunks, chunk, &begin, &end);
    b->transform(b->x + (size_t)begin * b->block_bytes, end - begin, b->mean, b->std);
}

void random_normal(struct generator *g, void *x, enum random_type type, ptrdiff_t n, double mean, double std,
                   void (*transform)(void *x, ptrdiff_t blocks, double mean, double std))
{
    size_t value_bytes = type == RANDOM_F32 ? sizeof(float) : sizeof(double);
    random_uniform(g, x, type, n, 0, 1);
    struct blocks b = {.x = x, .block_bytes = 16 * value_bytes, .blocks = n / 16, .mean = mean, .std = std};
    b.chunks = chunks_of(b.blocks, 1024);
    b.transform = transform;
    parallel_for(b.chunks, transform_chunk, &b);
    if (n % 16 != 0) {
        char *last = (char *)x + (size_t)(n - 16) * value_bytes;
        random_uniform(g, last, type, 16, 0, 1);
        transform(last, 1, mean, std);
    }
}

static double normal(struct generator *g)
{
    if (g->has_normal) {
        g->has_normal = 0;
        return g->normal;
    }
    double u1 = uniform(g), u2 = uniform(g);
    double radius = sqrt(-2.0 * log1p(-u2)), angle = 2.0 * PI * u1;
    g->normal = radius * sin(angle);
    g->has_normal = 1;
    return radius * cos(angle);
}

static void normal_pairs_piece(const struct fill *f, ptrdiff_t begin, ptrdiff_t n)
{
    for (ptrdiff_t i = begin; i < begin + n; i++) {
        store_real(f->x, f->type, i, fma(normal(f->g), f->b, f->a));
    }
}

void random_normal_pairs(struct generator *g, void *x, enum random_type type, ptrdiff_t n, double mean, double std)
{
    struct fill f = {.g = g, .x = x, .type = type, .a = mean, .b = std};
    fill_pieces(&f, n, normal_pairs_piece);
}

/* ---- Integers ---- */

static void integers_piece(const struct fill *f, ptrdiff_t begin, ptrdiff_t n)
{
    int64_t values[PIECE];
    if (f->range != 0 && f->range < (uint64_t)1 << 28) {
        uint32_t w[PIECE], range = (uint32_t)f->range;
        random_words(f->g, w, n);
        for (ptrdiff_t i = 0; i < n; i++) {
            values[i] = (int64_t)(w[i] % range + (uint64_t)f->low);
        }
    } else {
        uint64_t q[PIECE];
        longs(f->g, q, n);
        for (ptrdiff_t i = 0; i < n; i++) {
            uint64_t remainder = f->range != 0 ? q[i] % f->range : q[i];
            values[i] = (int64_t)(remainder + (uint64_t)f->low);
        }
    }
    store_integers(f->x, f->type, begin, values, n);
}

void random_integers(struct generator *g, void *x, enum random_type type, ptrdiff_t n, int64_t low, uint64_t range)
{
    struct fill f = {.g = g, .x = x, .type = type, .low = low, .range = range};
    fill_pieces(&f, n, integers_piece);
}

static void integers_of_type_piece(const struct fill *f, ptrdiff_t begin, ptrdiff_t n)
{
    int64_t values[PIECE];
    if (f->type == RANDOM_I64 || f->type == RANDOM_F64) {
        uint64_t q[PIECE];
        longs(f->g, q, n);
        for (ptrdiff_t i = 0; i < n; i++) {
            values[i] = (int64_t)(q[i] % f->range);
        }
    } else {
        uint32_t w[PIECE], range = (uint32_t)f->range;
        random_words(f->g, w, n);
        for (ptrdiff_t i = 0; i < n; i++) {
            values[i] = (int64_t)(w[i] % range);
        }
    }
    store_integers(f->x, f->type, begin, values, n);
}

void random_integers_of_type(struct generator *g, void *x, enum random_type type, ptrdiff_t n)
{
    static const uint64_t ranges[] = {
        [RANDOM_BOOL] = 2,
        [RANDOM_U8] = 1u << 8,
        [RANDOM_I8] = 1u << 7,
        [RANDOM_I16] = 1u << 15,
        [RANDOM_I32] = 1u << 31,
        [RANDOM_I64] = (uint64_t)1 << 63,
        [RANDOM_F32] = (1u << 24) + 1,
        [RANDOM_F64] = ((uint64_t)1 << 53) + 1,
    };
    struct fill f = {.g = g, .x = x, .type = type, .range = ranges[type]};
    fill_pieces(&f, n, integers_of_type_piece);
}

/* Many values against few words: from here on torch takes 64-bit draws. */
#define LARGE_PERMUTATION (UINT32_MAX / 20)

void random_permutation(struct generator *g, int64_t *x, ptrdiff_t n)
{
    if (n < LARGE_PERMUTATION) {
        for (ptrdiff_t i = 0; i < n; i++) {
            x[i] = i;
        }
        for (ptrdiff_t i = 0; i < n - 1; i++) {
            ptrdiff_t z = i + (ptrdiff_t)(random_word(g) % (uint32_t)(n - i));
            int64_t swapped = x[i];
            x[i] = x[z];
            x[z] = swapped;
            if (i % (1 << 17) == 0 && kernel_stopped()) {
                return;
            }
        }
        return;
    }
    for (ptrdiff_t i = 0; i < n; i++) {
        ptrdiff_t z = (ptrdiff_t)(random_long(g) % (uint64_t)(i + 1));
        x[i] = i;
        x[i] = x[z];
        x[z] = i;
        if (i % (1 << 17) == 0 && kernel_stopped()) {
            return;
        }
    }
}

/* ---- Bernoulli ---- */

/* u < p with u = v / 2^bits is v < p * 2^bits, and for an integer v, v < ceil(p * 2^bits): scaling by a power of two is
 * exact. NaN gives 0. */
static uint64_t threshold(double p, int bits) { return p > 0 ? (uint64_t)ceil(ldexp(p, bits)) : 0; }

static void bernoulli_piece(const struct fill *f, ptrdiff_t begin, ptrdiff_t n)
{
    uint64_t q[PIECE];
    int64_t values[PIECE];
    longs(f->g, q, n);
    for (ptrdiff_t i = 0; i < n; i++) {
        values[i] = (q[i] & LOW_53) < f->range;
    }
    store_integers(f->x, f->type, begin, values, n);
}

void random_bernoulli(struct generator *g, void *x, enum random_type type, ptrdiff_t n, double p)
{
    struct fill f = {.g = g, .x = x, .type = type, .range = threshold(p, 53)};
    fill_pieces(&f, n, bernoulli_piece);
}

static void bernoulli_each_piece(const struct fill *f, ptrdiff_t begin, ptrdiff_t n)
{
    int64_t values[PIECE];
    if (f->p_type == RANDOM_F64) {
        const double *p = (const double *)f->p + begin;
        uint64_t q[PIECE];
        longs(f->g, q, n);
        for (ptrdiff_t i = 0; i < n; i++) {
            values[i] = uniform_of_long(q[i]) < p[i];
        }
    } else {
        const float *p = (const float *)f->p + begin;
        uint32_t w[PIECE];
        random_words(f->g, w, n);
        for (ptrdiff_t i = 0; i < n; i++) {
            values[i] = (float)(int32_t)(w[i] & 0xffffff) * 0x1p-24f < p[i];
        }
    }
    store_integers(f->x, f->type, begin, values, n);
}

void random_bernoulli_each(struct generator *g, void *x, enum random_type type, ptrdiff_t n, const void *p,
                           enum random_type p_type)
{
    struct fill f = {.g = g, .x = x, .type = type, .p = p, .p_type = p_type};
    fill_pieces(&f, n, bernoulli_each_piece);
}

/* ---- Other laws ---- */

static void law_piece(const struct fill *f, ptrdiff_t begin, ptrdiff_t n)
{
    for (ptrdiff_t i = begin; i < begin + n; i++) {
        double value = 0;
        switch (f->law) {
        case RANDOM_EXPONENTIAL: value = -1.0 / f->a * log1p(-uniform(f->g)); break;
        case RANDOM_GEOMETRIC: value = ceil(log(uniform(f->g)) / log1p(-f->a)); break;
        case RANDOM_CAUCHY: value = fma(f->b, tan(PI * (uniform(f->g) - 0.5)), f->a); break;
        case RANDOM_LOG_NORMAL: value = exp(fma(normal(f->g), f->b, f->a)); break;
        }
        store_real(f->x, f->type, i, value);
    }
}

void random_law(struct generator *g, void *x, enum random_type type, ptrdiff_t n, enum random_law law, double a,
                double b)
{
    struct fill f = {.g = g, .x = x, .type = type, .law = law, .a = a, .b = b};
    fill_pieces(&f, n, law_piece);
}

/* ---- Multinomial ---- */

/* Both search for the first category whose share is not below u. */
static int64_t search_f32(const float *shares, ptrdiff_t n, double u)
{
    ptrdiff_t low = 0, high = n;
    while (low < high) {
        ptrdiff_t middle = low + (high - low) / 2;
        if (shares[middle] < u) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static int64_t search_f64(const double *shares, ptrdiff_t n, double u)
{
    ptrdiff_t low = 0, high = n;
    while (low < high) {
        ptrdiff_t middle = low + (high - low) / 2;
        if (shares[middle] < u) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void cumulate_f32(const float *weights, float *shares, ptrdiff_t n)
{
    float sum = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        shares[i] = sum += weights[i];
    }
    for (ptrdiff_t i = 0; i < n; i++) {
        shares[i] /= sum;
    }
}

static void cumulate_f64(const double *weights, double *shares, ptrdiff_t n)
{
    double sum = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        shares[i] = sum += weights[i];
    }
    for (ptrdiff_t i = 0; i < n; i++) {
        shares[i] /= sum;
    }
}

void random_choices(struct generator *g, const void *weights, void *shares, enum random_type type, ptrdiff_t n,
                    int64_t *x, ptrdiff_t k)
{
    if (type == RANDOM_F32) {
        cumulate_f32(weights, shares, n);
    } else {
        cumulate_f64(weights, shares, n);
    }
    for (ptrdiff_t i = 0; i < k; i++) {
        double u = uniform(g);
        int64_t found = type == RANDOM_F32 ? search_f32(shares, n, u) : search_f64(shares, n, u);
        x[i] = found < n ? found : n - 1;
        if (i % (1 << 16) == (1 << 16) - 1 && kernel_stopped()) {
            return;
        }
    }
}
