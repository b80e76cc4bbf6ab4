/* Tests of csrc/threads.c, one subcommand each: test_threads NAME. Run by tests/test_threads.py.
 * The sources are included, so that their static functions can be tested as well. */
#include "../../csrc/cpu_count.c"
#include "../../csrc/threads.c"

#include <sys/resource.h>
#include <sys/wait.h>

#define CHECK(condition)                                                              \
    do {                                                                              \
        if (!(condition)) {                                                           \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                                  \
        }                                                                             \
    } while (0)

static int milliseconds_since(int64_t start) { return (int)((nanoseconds(CLOCK_MONOTONIC) - start) / 1000000); }

static void busy_wait(int microseconds)
{
    int64_t end = nanoseconds(CLOCK_MONOTONIC) + (int64_t)microseconds * 1000;
    while (nanoseconds(CLOCK_MONOTONIC) < end)
        ;
}

/* ---- Every chunk runs exactly once ---- */

struct marks {
    atomic_int count[2000];
};

static void mark(void *context, ptrdiff_t chunk)
{
    struct marks *marks = context;
    atomic_fetch_add(&marks->count[chunk], 1);
}

static void check_marked_once(struct marks *marks, ptrdiff_t chunks)
{
    for (ptrdiff_t i = 0; i < chunks; i++) {
        CHECK(atomic_exchange(&marks->count[i], 0) == 1);
    }
}

static void test_each_chunk_once(void)
{
    static struct marks marks;
    static const int thread_counts[] = {1, 2, 3, 4, 7, 2, 1, 16};
    static const ptrdiff_t chunk_counts[] = {0, 1, 2, 3, 5, 64, 256, 2000};
    for (int t = 0; t < 8; t++) {
        threads_set(thread_counts[t]);
        CHECK(threads_get() == thread_counts[t]);
        for (int c = 0; c < 8; c++) {
            for (int repeat = 0; repeat < 50; repeat++) {
                parallel_for(chunk_counts[c], mark, &marks);
                check_marked_once(&marks, chunk_counts[c]);
            }
        }
    }
    CHECK(kernel_status() == KERNEL_OK);
}

/* Short calls with pauses around the spinning time, so that workers are caught spinning, falling asleep and asleep. */
static void test_pauses(void)
{
    static struct marks marks;
    threads_set(4);
    for (int i = 0; i < 3000; i++) {
        parallel_for(5, mark, &marks);
        check_marked_once(&marks, 5);
        busy_wait(i % 120);
    }
}

/* ---- Nested and concurrent calls ---- */

static void mark_nested(void *context, ptrdiff_t chunk)
{
    (void)chunk;
    struct marks marks = {0};
    parallel_for(20, mark, &marks);
    check_marked_once(&marks, 20);
    atomic_fetch_add((atomic_int *)context, 1);
}

static void test_nested(void)
{
    threads_set(4);
    for (int i = 0; i < 300; i++) {
        atomic_int done = 0;
        parallel_for(30, mark_nested, &done);
        CHECK(done == 30);
    }
}

static void *call_often(void *unused)
{
    (void)unused;
    struct marks *marks = calloc(1, sizeof *marks);
    for (int i = 0; i < 2000; i++) {
        ptrdiff_t chunks = 1 + i % 40;
        parallel_for(chunks, mark, marks);
        check_marked_once(marks, chunks);
        CHECK(kernel_status() == KERNEL_OK);
    }
    free(marks);
    return NULL;
}

static void call_from(int callers, void *(*body)(void *))
{
    pthread_t ids[16];
    for (int i = 0; i < callers; i++) {
        CHECK(pthread_create(&ids[i], NULL, body, NULL) == 0);
    }
    for (int i = 0; i < callers; i++) {
        pthread_join(ids[i], NULL);
    }
}

static void test_concurrent_callers(void)
{
    threads_set(4);
    call_from(6, call_often);
}

static atomic_int resizing;

static void *change_count(void *unused)
{
    (void)unused;
    for (unsigned i = 0; atomic_load(&resizing); i = i * 5 + 3) {
        threads_set(1 + (int)(i >> 8) % 8);
        busy_wait(100);
    }
    return NULL;
}

static void test_changing_count(void)
{
    pthread_t id;
    resizing = 1;
    CHECK(pthread_create(&id, NULL, change_count, NULL) == 0);
    call_from(3, call_often);
    resizing = 0;
    pthread_join(id, NULL);
}

/* ---- Same bits for any number of threads ---- */

struct sums {
    double part[97];
};

static void sum_part(void *context, ptrdiff_t chunk)
{
    struct sums *sums = context;
    ptrdiff_t begin, end;
    chunk_bounds(100000, 97, chunk, &begin, &end);
    double sum = 0;
    for (ptrdiff_t i = begin; i < end; i++) {
        sum += 1.0 / (double)(i + 1);
    }
    sums->part[chunk] = sum;
}

static double sum_of_all(void)
{
    struct sums sums;
    parallel_for(97, sum_part, &sums);
    double sum = 0;
    for (int i = 0; i < 97; i++) {
        sum += sums.part[i];
    }
    return sum;
}

static void test_same_bits(void)
{
    threads_set(1);
    double expected = sum_of_all();
    for (int threads = 2; threads < 9; threads++) {
        threads_set(threads);
        for (int repeat = 0; repeat < 20; repeat++) {
            CHECK(sum_of_all() == expected);
        }
    }
}

static void test_bounds(void)
{
    CHECK(chunks_of(0, 100) == 1 && chunks_of(1, 100) == 1 && chunks_of(100, 100) == 1);
    CHECK(chunks_of(101, 100) == 2 && chunks_of(PTRDIFF_MAX, 1) == 256 && chunks_of(5, 0) == 5);
    static const ptrdiff_t sizes[] = {0, 1, 2, 7, 255, 256, 257, 100003, PTRDIFF_MAX};
    for (int s = 0; s < 9; s++) {
        for (ptrdiff_t chunks = 1; chunks <= 256; chunks++) {
            ptrdiff_t expected = 0, begin, end;
            for (ptrdiff_t chunk = 0; chunk < chunks; chunk++) {
                chunk_bounds(sizes[s], chunks, chunk, &begin, &end);
                CHECK(begin == expected && end >= begin && end - begin - 1 <= sizes[s] / chunks);
                expected = end;
            }
            CHECK(expected == sizes[s]);
        }
    }
}

/* ---- Stopping ---- */

static void abort_at_10(void *context, ptrdiff_t chunk)
{
    atomic_fetch_add((atomic_int *)context, 1);
    busy_wait(20);
    if (chunk >= 10) {
        kernel_abort(chunk == 10 ? KERNEL_NO_MEMORY : KERNEL_INTERRUPTED);
    }
}

static void test_abort(void)
{
    for (int threads = 1; threads < 5; threads++) {
        threads_set(threads);
        for (int repeat = 0; repeat < 50; repeat++) {
            atomic_int ran = 0;
            parallel_for(11, abort_at_10, &ran);
            CHECK(ran <= 11);
            int before = ran;
            parallel_for(11, abort_at_10, &ran); /* the same kernel call: skipped whole */
            CHECK(ran == before);
            CHECK(kernel_status() == KERNEL_NO_MEMORY);
            CHECK(kernel_status() == KERNEL_OK);
            parallel_for(10, abort_at_10, &ran); /* the next kernel call runs */
            CHECK(ran == before + 10 && kernel_status() == KERNEL_OK);
        }
        atomic_int ran = 0;
        parallel_for(100000, abort_at_10, &ran);
        CHECK(ran < 100); /* those already taken, and no more */
        CHECK(kernel_status() != KERNEL_OK);
        kernel_abort(KERNEL_NO_MEMORY); /* outside of parallel_for */
        kernel_abort(KERNEL_INTERRUPTED);
        parallel_for(10, abort_at_10, &ran);
        CHECK(kernel_status() == KERNEL_NO_MEMORY);
    }
}

static void abort_nested_inner(void *context, ptrdiff_t chunk)
{
    atomic_fetch_add((atomic_int *)context, 1);
    if (chunk == 1) {
        kernel_abort(KERNEL_NO_MEMORY);
    }
}

static void abort_nested(void *context, ptrdiff_t chunk)
{
    (void)chunk;
    parallel_for(1000, abort_nested_inner, context);
}

static void test_abort_nested(void)
{
    threads_set(3);
    atomic_int ran = 0;
    parallel_for(100, abort_nested, &ran);
    CHECK(ran <= 3 * 2);
    CHECK(kernel_status() == KERNEL_NO_MEMORY);
}

static atomic_int polls, polls_until_interrupt;
static pthread_t expected_poller;

static int count_polls(void)
{
    CHECK(pthread_equal(pthread_self(), expected_poller));
    /* A signal handler may run a kernel of its own; its status must not mix with ours. */
    static struct marks marks;
    parallel_for(10, mark, &marks);
    check_marked_once(&marks, 10);
    kernel_abort(KERNEL_NO_MEMORY);
    CHECK(kernel_status() == KERNEL_NO_MEMORY);
    return atomic_fetch_add(&polls, 1) + 1 == polls_until_interrupt;
}

static void wait_1ms(void *context, ptrdiff_t chunk)
{
    (void)context, (void)chunk;
    busy_wait(1000);
}

static atomic_int worker_came;

/* The owner leaves its chunk when a worker has taken the other one, which then takes 400 ms. */
static void worker_has_the_longer(void *context, ptrdiff_t chunk)
{
    (void)context, (void)chunk;
    if (pthread_equal(pthread_self(), expected_poller)) {
        while (!atomic_load(&worker_came)) {
            usleep(100);
        }
    } else {
        atomic_store(&worker_came, 1);
        busy_wait(400000);
    }
}

static void test_poll(void)
{
    expected_poller = pthread_self();
    threads_set_poll(count_polls);
    for (int threads = 1; threads < 4; threads++) {
        threads_set(threads);
        polls = 0;
        polls_until_interrupt = 2;
        int64_t start = nanoseconds(CLOCK_MONOTONIC);
        parallel_for(20000, wait_1ms, NULL);
        CHECK(polls == 2 && kernel_status() == KERNEL_INTERRUPTED);
        CHECK(milliseconds_since(start) >= 80 && milliseconds_since(start) < 3000);

        /* Many short calls of one kernel are polled like one long one; after kernel_status the time starts anew. */
        polls = 0;
        polls_until_interrupt = 1;
        int calls = 0;
        start = nanoseconds(CLOCK_MONOTONIC);
        while (polls == 0 && milliseconds_since(start) < 3000) {
            parallel_for(3, wait_1ms, NULL);
            calls++;
        }
        CHECK(polls == 1 && calls > 1 && kernel_status() == KERNEL_INTERRUPTED);
    }

    /* The poller itself has nothing left to do and waits for the worker. */
    threads_set(2);
    polls = 0;
    polls_until_interrupt = 3;
    parallel_for(2, worker_has_the_longer, NULL);
    CHECK(polls >= 2);
    kernel_status();
    threads_set_poll(NULL);
}

/* ---- fork ---- */

#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif
#ifdef UNDER_TSAN
enum { FORKS = 20 }; /* a process of the sanitizer is slow to copy */
#else
enum { FORKS = 200 };
#endif

static int wait_for_child(pid_t child)
{
    for (int i = 0; i < 5000; i++) {
        int status;
        if (waitpid(child, &status, WNOHANG) == child) {
            return WIFEXITED(status) ? WEXITSTATUS(status) : 100;
        }
        usleep(1000);
    }
    kill(child, SIGKILL);
    return 101; /* it hung */
}

/* One fork; the child computes the same sum with a pool of its own. */
static void fork_and_sum(double expected)
{
    unsigned before = threads_forks();
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        if (threads_forks() != before + 1) {
            _exit(2);
        }
        for (int i = 0; i < 20; i++) {
            if (sum_of_all() != expected) {
                _exit(3);
            }
        }
        _exit(pool.started == threads_get() - 1 ? 0 : 4);
    }
    CHECK(wait_for_child(child) == 0);
}

static void test_fork(void)
{
    threads_set(3);
    double expected = sum_of_all();
    for (int i = 0; i < FORKS; i++) {
        fork_and_sum(expected);
        CHECK(sum_of_all() == expected);
    }
}

static atomic_int summing;

static void *sum_until_told(void *unused)
{
    (void)unused;
    while (atomic_load(&summing)) {
        sum_of_all();
    }
    return NULL;
}

/* The fork falls into the middle of another thread's call. */
static void test_fork_while_running(void)
{
    threads_set(3);
    double expected = sum_of_all();
    pthread_t ids[2];
    summing = 1;
    for (int i = 0; i < 2; i++) {
        CHECK(pthread_create(&ids[i], NULL, sum_until_told, NULL) == 0);
    }
    for (int i = 0; i < FORKS; i++) {
        fork_and_sum(expected);
    }
    summing = 0;
    for (int i = 0; i < 2; i++) {
        pthread_join(ids[i], NULL);
    }
}

static pid_t child_of_poll = -1;

static int fork_once(void)
{
    if (child_of_poll < 0) {
        child_of_poll = fork();
    }
    return child_of_poll == 0;
}

/* A signal handler forks: the child's call ends as interrupted, the parent's goes on. */
static void test_fork_in_poll(void)
{
    threads_set_poll(fork_once);
    for (int threads = 1; threads < 4; threads++) {
        threads_set(threads);
        child_of_poll = -1;
        parallel_for(200, wait_1ms, NULL);
        if (child_of_poll == 0) {
            if (kernel_status() != KERNEL_INTERRUPTED) {
                _exit(2);
            }
            atomic_int ran = 0;
            parallel_for(5, abort_at_10, &ran);
            _exit(ran == 5 ? 0 : 3);
        }
        CHECK(child_of_poll > 0 && kernel_status() == KERNEL_OK);
        CHECK(wait_for_child(child_of_poll) == 0);
    }
}

/* ---- A system that allows no threads ---- */

static void test_no_threads(void)
{
    struct rlimit limit = {64 << 20, 64 << 20};
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    threads_set(200);
    double expected = sum_of_all();
    CHECK(pool.started < 199);
    CHECK(sum_of_all() == expected);
}

/* ---- How many threads ---- */

static void test_environment(void)
{
    static const struct {
        const char *text;
        int threads;
    } cases[] = {{NULL, 0},
                 {"", 0},
                 {"0", 0},
                 {"-3", 0},
                 {"4", 4},
                 {" 4 ", 4},
                 {"4,2", 4},
                 {"four", 0},
                 {"4x", 0},
                 {"1", 1},
                 {"99999999999999999999999", THREADS_MAX},
                 {"1000", THREADS_MAX},
                 {"+2", 2},
                 {"0x4", 0},
                 {",", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (count_from_environment(cases[i].text) != cases[i].threads) {
            fprintf(stderr, "OMP_NUM_THREADS=%s gave %d\n", cases[i].text, count_from_environment(cases[i].text));
            exit(1);
        }
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } tests[] = {{"each_chunk_once", test_each_chunk_once},
                 {"pauses", test_pauses},
                 {"nested", test_nested},
                 {"concurrent_callers", test_concurrent_callers},
                 {"changing_count", test_changing_count},
                 {"same_bits", test_same_bits},
                 {"bounds", test_bounds},
                 {"abort", test_abort},
                 {"abort_nested", test_abort_nested},
                 {"poll", test_poll},
                 {"fork", test_fork},
                 {"fork_while_running", test_fork_while_running},
                 {"fork_in_poll", test_fork_in_poll},
                 {"no_threads", test_no_threads},
                 {"environment", test_environment}};
    if (argc == 2 && strcmp(argv[1], "count") == 0) {
        printf("%d %d\n", threads_get(), cpu_count());
        return 0;
    }
#ifdef __linux__
    if (argc == 4 && strcmp(argv[1], "quota") == 0) {
        printf("%d\n", cpus_by_quota(argv[2], argv[3]));
        return 0;
    }
#endif
    for (size_t i = 0; argc == 2 && i < sizeof tests / sizeof tests[0]; i++) {
        if (strcmp(argv[1], tests[i].name) == 0) {
            tests[i].run();
            return 0;
        }
    }
    fprintf(stderr, "usage: test_threads NAME | count | quota MEMBERSHIP MOUNTS\n");
    return 2;
}
