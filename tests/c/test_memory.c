/* Tests of csrc/memory.c, one subcommand each: test_memory NAME. Run by tests/test_memory.py.
 * The sources are included, so that their static functions can be tested as well. */
#define list_of list_of_block /* both files have one */
#include "../../csrc/arena.c"
#undef list_of
#include "../../csrc/memory.c"

#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition)                                                              \
    do {                                                                              \
        if (!(condition)) {                                                           \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                                  \
        }                                                                             \
    } while (0)

static const size_t MB = 1 << 20;

/* Every size around every step: rounding is tight, and the lists of two sizes are the same only if the sizes are. */
static void test_sizes(void)
{
    size_t last = 0;
    int last_list = -1;
    for (size_t bytes = 1; bytes < LARGE; bytes += bytes / 100 + 1) {
        size_t size = rounded(bytes);
        CHECK(size >= bytes && size % ALIGNMENT == 0 && rounded(size) == size);
        CHECK(size - bytes < ALIGNMENT || size - bytes <= bytes / 8);
        if (size != last) {
            CHECK(list_of(size) > last_list && list_of(size) < SIZES);
            last = size;
            last_list = list_of(size);
        }
        CHECK(list_of(size) == last_list);
    }
    CHECK(list_of(rounded(LARGE - 1)) < SIZES);
}

static void test_alignment(void)
{
    for (size_t bytes = 0; bytes < 40 * MB; bytes = bytes * 9 / 8 + 1) {
        char *a = memory_get(bytes), *b = memory_get(bytes);
        CHECK(a != NULL && b != NULL && a != b);
        CHECK((uintptr_t)a % 64 == 0 && (uintptr_t)b % 64 == 0);
        if (bytes >= LARGE) {
            CHECK(((uintptr_t)a - 64) % PAGE == 0);
        }
        memset(a, 1, bytes);
        memset(b, 2, bytes);
        CHECK(bytes == 0 || (a[0] == 1 && a[bytes - 1] == 1));
        memory_put(a);
        memory_put(b);
    }
    memory_put(NULL);
    CHECK(memory_stats().in_use == 0);
    memory_trim();
    CHECK(memory_stats().cached == 0);
}

static void test_reuse(void)
{
    char *a = memory_get(5 * MB), *b = memory_get(300);
    memory_put(a);
    memory_put(b);
    CHECK(memory_get(5 * MB - 100) == a); /* rounds to the same size */
    CHECK(memory_get(299) == b);
    CHECK(memory_stats().cached == PAGE && memory_stats().in_use == 5 * MB + 320);
    CHECK(memory_stats().peak == 5 * MB + PAGE + 320);
    memory_put(a);
    memory_put(b);
    memory_reset_peak();
    CHECK(memory_stats().peak == 0);
}

static void test_resize(void)
{
    unsigned char *p = memory_resize(NULL, 10);
    for (int i = 0; i < 10; i++) {
        p[i] = (unsigned char)i;
    }
    static const size_t sizes[] = {1000, 100000, 5 << 20, 9 << 20, 3 << 20, 500, 10};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        p = memory_resize(p, sizes[s]);
        CHECK(p != NULL);
        for (int i = 0; i < 10; i++) {
            CHECK(p[i] == i);
        }
    }
    CHECK(memory_resize(p, (size_t)1 << 62) == NULL && p[9] == 9);
    memory_put(p);
    CHECK(memory_stats().in_use == 0);
}

static void test_zeroed(void)
{
    for (int round = 0; round < 2; round++) { /* fresh, then used before */
        for (size_t bytes = 1; bytes < 20 * MB; bytes = bytes * 3 + 1) {
            char *p = memory_get_zeroed(bytes);
            for (size_t i = 0; i < bytes; i++) {
                CHECK(p[i] == 0);
            }
            memset(p, 7, bytes);
            memory_put(p);
        }
    }
}

static void test_too_large(void)
{
    CHECK(memory_get((size_t)-1) == NULL && memory_get(LARGEST + 1) == NULL && memory_get((size_t)1 << 50) == NULL);
    CHECK(memory_get_zeroed((size_t)1 << 50) == NULL);
    CHECK(memory_stats().in_use == 0 && memory_stats().peak == 0);
    struct rlimit limit = {512 * MB, 512 * MB};
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    for (int i = 0; i < 20; i++) { /* only fits if the blocks cached before it are returned */
        char *p = memory_get((100 + 5 * (size_t)i) * MB);
        CHECK(p != NULL);
        memory_put(p);
        CHECK(memory_get(600 * MB) == NULL);
    }
}

/* The lists must not hold more than was in use at one time, give or take. */
static void test_bound(void)
{
    for (size_t bytes = 64; bytes < LARGE; bytes = rounded(bytes + 1)) {
        void *blocks[2000];
        size_t count = 4 * MB / bytes < 2000 ? 4 * MB / bytes : 2000;
        for (size_t i = 0; i < count; i++) {
            blocks[i] = memory_get(bytes);
        }
        for (size_t i = 0; i < count; i++) {
            memory_put(blocks[i]);
        }
        CHECK(memory_stats().cached <= ALWAYS_CACHED + 4 * MB);
    }
}

/* Walks through all regions: blocks follow one another without gaps, no two free ones are neighbours, the lists hold
 * the free ones and nothing else, and the sums are right. */
static void check_arena(size_t expected_in_use)
{
    size_t in_use = 0, free_bytes = 0, free_blocks_seen = 0, listed = 0, length = 0;
    for (struct region *region = regions; region != NULL; region = region->next) {
        char *end = (char *)region + region->length;
        struct block *block = (struct block *)((char *)region + PAGE);
        size_t before = 0;
        enum block_state state_before = BLOCK_USED;
        length += region->length;
        for (;;) {
            CHECK(block->region == region && block->before == before && block->size % PAGE == 0);
            CHECK(block->absent <= block->size);
            CHECK(block->state == BLOCK_USED || state_before == BLOCK_USED);
            if (block->state == BLOCK_USED) {
                in_use += block->size;
            } else {
                free_bytes += block->size - block->absent;
                free_blocks_seen += block->state == BLOCK_FREE;
            }
            if (block->state == BLOCK_TOP) {
                CHECK(block == region->top && (char *)block + block->size == end);
                break;
            }
            before = block->size;
            state_before = block->state;
            block = at(block, block->size);
            CHECK((char *)block < end);
        }
    }
    for (int list = 0; list < LISTS; list++) {
        for (struct block *block = lists[list]; block != NULL; block = block->next, listed++) {
            CHECK(block->state == BLOCK_FREE && list_of_block(block->size) == list);
            CHECK(block->next == NULL || block->next->previous == block);
        }
    }
    CHECK(listed == free_blocks_seen && cached == free_bytes && in_use == expected_in_use && mapped == length);
}

static void test_arena(void)
{
    unsigned random = 1;
    unsigned char *blocks[64] = {0};
    size_t sizes[64] = {0}, in_use = 0;
    for (int i = 0; i < 20000; i++) {
        random = random * 1664525 + 1013904223;
        int slot = (int)(random >> 26);
        if (blocks[slot] != NULL) {
            CHECK(blocks[slot][0] == slot && blocks[slot][sizes[slot] - 1] == slot);
            in_use -= block_of(blocks[slot])->size;
            memory_put(blocks[slot]);
            blocks[slot] = NULL;
        } else {
            size_t bytes = LARGE + (random >> 4) % (i % 100 == 0 ? 300 * MB : i % 10 == 0 ? 30 * MB : 3 * MB);
            int zeroed = i % 7 == 0;
            blocks[slot] = zeroed ? memory_get_zeroed(bytes) : memory_get(bytes);
            CHECK(blocks[slot] != NULL);
            if (zeroed && bytes < 4 * MB) {
                for (size_t k = 0; k < bytes; k += 61) {
                    CHECK(blocks[slot][k] == 0);
                }
            }
            sizes[slot] = bytes;
            for (size_t k = 0; k < bytes; k += 4099) {
                blocks[slot][k] = 255;
            }
            blocks[slot][0] = blocks[slot][bytes - 1] = (unsigned char)slot;
            in_use += block_of(blocks[slot])->size;
        }
        if (i % 50 == 0) {
            check_arena(in_use);
        }
        if (i % 3000 == 0) {
            memory_trim();
            CHECK(memory_stats().cached == 0);
            check_arena(in_use);
        }
    }
    for (int slot = 0; slot < 64; slot++) {
        memory_put(blocks[slot]);
    }
    memory_trim();
    CHECK(regions == NULL && mapped == 0 && cached == 0);
}

/* A free block is cut for smaller requests, and joined again. */
static void test_cutting(void)
{
    char *whole = memory_get(40 * MB), *wall = memory_get(2 * MB);
    memory_put(whole);
    char *parts[8];
    for (int i = 0; i < 8; i++) {
        parts[i] = memory_get(4 * MB);
        CHECK(parts[i] > whole - PAGE && parts[i] < whole + 40 * MB);
    }
    for (int i = 0; i < 8; i++) {
        memory_put(parts[i * 3 % 8]);
    }
    CHECK(memory_get(40 * MB) == whole);
    memory_put(whole);
    memory_put(wall);
    CHECK(memory_stats().peak == 42 * MB + 2 * PAGE && memory_stats().cached == memory_stats().peak);
}

static void test_failing(void)
{
    memory_fail_after(2);
    void *a = memory_get(10), *b = memory_get(10);
    CHECK(a != NULL && b != NULL && memory_get(10) == NULL);
    void *c = memory_get(10);
    CHECK(c != NULL);
    memory_put(a);
    memory_put(b);
    memory_put(c);
    CHECK(memory_stats().in_use == 0);
    memory_fail_after(0);
    CHECK(scratch(100) == NULL);
    CHECK(scratch(100) != NULL);
    memory_fail_after(0);
    memory_fail_after(-1);
    CHECK(scratch(100000) != NULL);
}

static void *use_scratch(void *unused)
{
    (void)unused;
    char *small = scratch(1000);
    int keeps = CACHING && guard == 0; /* where it is watched, it is asked for anew each time */
    CHECK(small != NULL && (uintptr_t)small % 64 == 0);
    memset(small, 1, 1000);
    CHECK(!keeps || (scratch(500) == small && small[0] == 1));
    char *large = scratch(3 << 20);
    memset(large, 2, 3 << 20);
    CHECK(!keeps || scratch(1000) == large);
    struct scratch_block aside = scratch_set_aside();
    char *other = scratch(3 << 20);
    CHECK(other != large);
    memset(other, 3, 3 << 20);
    scratch_restore(aside);
    CHECK(!keeps || (scratch(3 << 20) == large && large[0] == 2));
    return NULL;
}

static void test_scratch(void)
{
    for (int i = 0; i < 20; i++) {
        pthread_t ids[4];
        for (int t = 0; t < 4; t++) {
            CHECK(pthread_create(&ids[t], NULL, use_scratch, NULL) == 0);
        }
        for (int t = 0; t < 4; t++) {
            pthread_join(ids[t], NULL);
        }
        CHECK(memory_stats().in_use == 0); /* the ends of the threads gave it back */
    }
}

static atomic_int churning; /* go on for as long as this is set */

static void *churn(void *seed)
{
    unsigned random = (unsigned)(uintptr_t)seed;
    unsigned char *blocks[32] = {0};
    size_t sizes[32] = {0};
    for (int i = 0; i < 20000 || atomic_load(&churning); i++) {
        random = random * 1664525 + 1013904223;
        int slot = (int)(random >> 27);
        if (blocks[slot] != NULL) {
            CHECK(blocks[slot][0] == slot && blocks[slot][sizes[slot] - 1] == slot);
            memory_put(blocks[slot]);
        }
        sizes[slot] = 1 + (random >> 8) % (i % 50 == 0 ? 3000000 : 5000);
        blocks[slot] = memory_get(sizes[slot]);
        CHECK(blocks[slot] != NULL);
        blocks[slot][0] = blocks[slot][sizes[slot] - 1] = (unsigned char)slot;
        if (i % 5000 == 0) {
            memory_trim();
        }
    }
    for (int slot = 0; slot < 32; slot++) {
        memory_put(blocks[slot]);
    }
    return NULL;
}

static void test_threads(void)
{
    pthread_t ids[4];
    for (uintptr_t t = 0; t < 4; t++) {
        CHECK(pthread_create(&ids[t], NULL, churn, (void *)(t + 1)) == 0);
    }
    for (int t = 0; t < 4; t++) {
        pthread_join(ids[t], NULL);
    }
    CHECK(memory_stats().in_use == 0);
}

/* The child of a fork finds the lists whole, whatever the other threads were doing. */
static void test_fork(void)
{
    pthread_t ids[3];
    churning = 1;
    for (uintptr_t t = 0; t < 3; t++) {
        CHECK(pthread_create(&ids[t], NULL, churn, (void *)(t + 1)) == 0);
    }
    for (int i = 0; i < 100; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            alarm(5);
            for (size_t bytes = 1; bytes < 10 * MB; bytes *= 2) {
                memset(memory_get(bytes), 1, bytes);
            }
            memory_trim();
            _exit(0);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    churning = 0;
    for (int t = 0; t < 3; t++) {
        pthread_join(ids[t], NULL);
    }
}

static long faults(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt;
}

/* A step of a network: activations are kept, then freed from the last to the first while gradients come and go. */
static void step(void)
{
    static const size_t sizes[] = {12 * 1048576, 16777216, 16777216, 4194304, 8388608, 8388608, 2097152, 262144, 5120};
    enum { LAYERS = sizeof sizes / sizeof sizes[0] };
    char *activations[LAYERS], *gradient = NULL;
    for (int i = 0; i < LAYERS; i++) {
        memset(activations[i] = memory_get(sizes[i]), i, sizes[i]);
    }
    for (int i = LAYERS - 1; i >= 0; i--) {
        char *next = memory_get(sizes[i]);
        memset(next, i, sizes[i]);
        memory_put(gradient);
        memory_put(activations[i]);
        gradient = next;
    }
    memory_put(gradient);
}

static void test_no_faults(void)
{
    step();
    step();
    long before = faults();
    for (int i = 0; i < 5; i++) {
        step();
    }
    CHECK(faults() - before == 0);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } tests[] = {{"sizes", test_sizes},     {"alignment", test_alignment}, {"reuse", test_reuse},
                 {"resize", test_resize},   {"zeroed", test_zeroed},       {"too_large", test_too_large},
                 {"bound", test_bound},     {"failing", test_failing},     {"scratch", test_scratch},
                 {"threads", test_threads}, {"fork", test_fork},           {"no_faults", test_no_faults},
                 {"arena", test_arena},     {"cutting", test_cutting}};
    for (size_t i = 0; argc == 2 && i < sizeof tests / sizeof tests[0]; i++) {
        if (strcmp(argv[1], tests[i].name) == 0) {
            tests[i].run();
            return 0;
        }
    }
    fprintf(stderr, "usage: test_memory NAME\n");
    return 2;
}
