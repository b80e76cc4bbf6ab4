/* threads: a pool that never waits for a thread that has nothing to give.
 *
 * One parallel_for at a time owns the pool. It publishes its chunks by setting `left`, the number of chunks nobody has
 * taken yet. Whoever is free, the caller included, takes the next one by counting `left` down with a compare-and-swap,
 * runs it, and counts `unfinished` down. The call ends when unfinished is 0. A worker that slept all the time is not
 * waited for: a busy neighbour on its core then costs us its help and nothing else.
 *
 * Why a late worker cannot touch a call that is over. It reads the description of the call (fn, context, chunks)
 * only after it has taken a chunk, and until that chunk is counted as finished the call cannot end. Between calls
 * left is 0 and nothing can be taken. If it saw left = 5 in one call and its swap succeeds in the next one, which also
 * has 5 left, it has taken a chunk of the next one, and reads that one's description.
 *
 * OpenMP does all of this but the most important: libgomp hangs in a forked child, waits for descheduled threads at
 * every barrier, and two OpenMP runtimes in one process abort.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "threads.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Waking a thread takes 5 to 50 us, and the next parallel_for of a training step usually comes sooner. */
#define SPIN_NS 50000
/* Ctrl-C is answered after this plus at most one chunk. */
#define POLL_NS 50000000
/* The default is 512 KiB on macOS and 128 KiB with musl. Only touched pages cost memory. */
#define STACK_BYTES ((size_t)2 << 20)

#if defined(__x86_64__) || defined(__i386__)
#define SPIN_PAUSE() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define SPIN_PAUSE() __asm__ volatile("yield")
#else
#define SPIN_PAUSE() ((void)0)
#endif

static struct {
    atomic_flag owned; /* a parallel_for runs on the pool */

    /* The call: written by its owner while left is 0, read by whoever has taken one of its chunks. */
    void (*fn)(void *context, ptrdiff_t chunk);
    void *context;
    ptrdiff_t chunks;
    atomic_int status; /* KERNEL_OK, or why the chunks that are left are skipped */

    /* Each on a cache line of its own: all threads write them. */
    _Alignas(64) atomic_ptrdiff_t left;
    _Alignas(64) atomic_ptrdiff_t unfinished;

    /* Sleeping. The mutex guards nothing but the step from "nothing to do" to sleep. */
    _Alignas(64) pthread_mutex_t mutex;
    pthread_cond_t work;     /* workers sleep here */
    pthread_cond_t finished; /* the owner sleeps here */
    atomic_int workers_asleep;
    atomic_int owner_asleep;

    /* The workers. Only the owner changes these. */
    int sized_for;     /* thread count that the workers were started for */
    int started;       /* workers that run: ids[0..started-1] */
    atomic_int wanted; /* a worker whose index is not below this leaves */
    pthread_t ids[THREADS_MAX];
} pool = {.owned = ATOMIC_FLAG_INIT};

static atomic_int thread_count; /* 0: not yet known */
static atomic_uint forks;
static int (*_Atomic poll_function)(void);
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* What a thread knows about the kernel call it works for. */
static _Thread_local struct {
    atomic_int *shared; /* the status of the parallel_for whose chunk this thread runs, NULL outside */
    int status;         /* of the kernel call, outside of parallel_for */
    int is_worker;
    int64_t polled; /* when poll was last due, 0 if not yet in this kernel call */
} self;

static int64_t nanoseconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Good to a few milliseconds, and cheaper than the exact clock. */
static int64_t rough_nanoseconds(void)
{
#if defined(CLOCK_MONOTONIC_COARSE)
    return nanoseconds(CLOCK_MONOTONIC_COARSE);
#else
    return nanoseconds(CLOCK_MONOTONIC);
#endif
}

/* Spin until *counter is 0 (or, with is_zero = 0, until it is not) or the time is over. Returns whether it is. */
static int spin_until(const atomic_ptrdiff_t *counter, int is_zero)
{
    int64_t end = 0;
    for (;;) {
        for (int i = 0; i < 32; i++) {
            if ((atomic_load(counter) == 0) == is_zero) {
                return 1;
            }
            SPIN_PAUSE();
        }
        int64_t now = nanoseconds(CLOCK_MONOTONIC);
        if (end == 0) {
            end = now + SPIN_NS;
        }
        if (now >= end) {
            return 0;
        }
    }
}

static void init_sleeping(void)
{
    pthread_mutex_init(&pool.mutex, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
#ifndef __APPLE__
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
#endif
    pthread_cond_init(&pool.work, &attributes);
    pthread_cond_init(&pool.finished, &attributes);
    pthread_condattr_destroy(&attributes);
}

static void sleep_at_most(pthread_cond_t *condition, int64_t ns)
{
#ifdef __APPLE__
    struct timespec duration = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
    pthread_cond_timedwait_relative_np(condition, &pool.mutex, &duration);
#else
    int64_t end = nanoseconds(CLOCK_MONOTONIC) + ns;
    struct timespec deadline = {(time_t)(end / 1000000000), (long)(end % 1000000000)};
    pthread_cond_timedwait(condition, &pool.mutex, &deadline);
#endif
}

/* The child has this thread and no other. A mutex may be locked for ever by a thread that is not there, chunks may
 * have been taken by workers that are not there: start from nothing. If the fork happened inside poll, the
 * parallel_for around it finds nothing left and ends; its poll must return nonzero then, as its result is not whole. */
static void after_fork_in_child(void)
{
    init_sleeping();
    atomic_store(&pool.left, 0);
    atomic_store(&pool.unfinished, 0);
    atomic_store(&pool.workers_asleep, 0);
    atomic_store(&pool.owner_asleep, 0);
    atomic_store(&pool.wanted, 0);
    pool.started = 0;
    pool.sized_for = 0;
    atomic_fetch_add(&forks, 1);
    atomic_flag_clear(&pool.owned);
}

/* OMP_NUM_THREADS as other libraries read it: "4", or "4,2" for nested levels, of which the first counts. Anything
 * that is no positive number is treated as if it were not set. */
static int count_from_environment(const char *text)
{
    if (text == NULL) {
        return 0;
    }
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10); /* LONG_MAX if it is too large */
    if (end == text || value < 1) {
        return 0;
    }
    while (*end == ' ' || *end == '\t') {
        end++;
    }
    if (*end != '\0' && *end != ',') {
        return 0;
    }
    return value > THREADS_MAX ? THREADS_MAX : (int)value;
}

static void start(void)
{
    init_sleeping();
    pthread_atfork(NULL, NULL, after_fork_in_child);
    int threads = count_from_environment(getenv("OMP_NUM_THREADS"));
    if (threads == 0) {
        threads = cpu_count();
    }
    int unknown = 0; /* threads_set may have been here first */
    atomic_compare_exchange_strong(&thread_count, &unknown, threads > THREADS_MAX ? THREADS_MAX : threads);
}

int threads_get(void)
{
    int threads = atomic_load_explicit(&thread_count, memory_order_acquire);
    if (threads == 0) {
        pthread_once(&once, start);
        threads = atomic_load(&thread_count);
    }
    return threads;
}

void threads_set(int threads)
{
    pthread_once(&once, start);
    atomic_store(&thread_count, threads < 1 ? 1 : threads > THREADS_MAX ? THREADS_MAX : threads);
}

unsigned threads_forks(void) { return atomic_load(&forks); }

void threads_set_poll(int (*poll)(void)) { atomic_store(&poll_function, poll); }

void kernel_abort(int status)
{
    if (self.shared != NULL) {
        int ok = KERNEL_OK;
        atomic_compare_exchange_strong(self.shared, &ok, status);
    } else if (self.status == KERNEL_OK) {
        self.status = status;
    }
}

int kernel_status(void)
{
    int status = self.status;
    self.status = KERNEL_OK;
    self.polled = 0;
    return status;
}

static int stopped(void)
{
    if (self.shared != NULL) {
        return atomic_load_explicit(self.shared, memory_order_relaxed) != KERNEL_OK;
    }
    return self.status != KERNEL_OK;
}

/* Called by the thread of the kernel call, between chunks and while it waits. */
static void poll_when_due(void)
{
    int (*poll)(void) = atomic_load_explicit(&poll_function, memory_order_relaxed);
    if (poll == NULL || self.is_worker || stopped()) {
        return;
    }
    int64_t now = rough_nanoseconds();
    if (self.polled == 0) {
        self.polled = now;
    }
    if (now - self.polled < POLL_NS) {
        return;
    }

    /* poll may run any Python code, even other kernels: give them a clean slate. */
    atomic_int *shared = self.shared;
    self.shared = NULL;
    self.polled = 0;
    int interrupted = poll();
    self.shared = shared;
    self.status = KERNEL_OK;
    self.polled = rough_nanoseconds();
    if (!interrupted) {
        return;
    }
    /* This beats another status: poll's exception is set and wants to be seen. */
    if (shared != NULL) {
        atomic_store(shared, KERNEL_INTERRUPTED);
    } else {
        self.status = KERNEL_INTERRUPTED;
    }
}

int kernel_stopped(void)
{
    poll_when_due();
    return stopped();
}

static void run_serially(ptrdiff_t chunks, void (*fn)(void *, ptrdiff_t), void *context)
{
    for (ptrdiff_t chunk = 0; chunk < chunks && !stopped(); chunk++) {
        fn(context, chunk);
        poll_when_due();
    }
}

static void count_as_finished(void)
{
    if (atomic_fetch_sub(&pool.unfinished, 1) == 1 && atomic_load(&pool.owner_asleep)) {
        /* Passing through the mutex makes sure that the owner sleeps by now, or has seen the 0. */
        pthread_mutex_lock(&pool.mutex);
        pthread_mutex_unlock(&pool.mutex);
        pthread_cond_signal(&pool.finished);
    }
}

/* Take and run chunks until none is left. */
static void take_chunks(void)
{
    ptrdiff_t left = atomic_load(&pool.left);
    while (left > 0) {
        if (!atomic_compare_exchange_weak(&pool.left, &left, left - 1)) {
            continue; /* left has been read anew */
        }
        if (!stopped()) {
            pool.fn(pool.context, pool.chunks - left);
        }
        count_as_finished();
        poll_when_due();
        left = atomic_load(&pool.left);
    }
}

static void *work(void *index_as_pointer)
{
    int index = (int)(intptr_t)index_as_pointer;
    self.is_worker = 1;
    self.shared = &pool.status;
    for (;;) {
        if (!spin_until(&pool.left, 0)) {
            pthread_mutex_lock(&pool.mutex);
            /* Announced before left is read; the owner sets left before it reads the announcement. */
            atomic_fetch_add(&pool.workers_asleep, 1);
            while (atomic_load(&pool.left) == 0 && index < atomic_load(&pool.wanted)) {
                pthread_cond_wait(&pool.work, &pool.mutex);
            }
            atomic_fetch_sub(&pool.workers_asleep, 1);
            pthread_mutex_unlock(&pool.mutex);
        }
        if (index >= atomic_load(&pool.wanted)) {
            return NULL;
        }
        take_chunks();
    }
}

/* Signals belong to the caller's threads. A worker takes only those that its own faults raise. */
static int start_worker(int index)
{
    sigset_t all, before;
    sigfillset(&all);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0) {
        return -1;
    }
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&pool.ids[index], &attributes, work, (void *)(intptr_t)index);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error ? -1 : 0;
}

/* Have the workers for this many threads, or as many of them as the system allows. */
static void resize(int threads)
{
    atomic_store(&pool.wanted, threads - 1);
    if (pool.started > threads - 1) {
        pthread_mutex_lock(&pool.mutex);
        pthread_cond_broadcast(&pool.work);
        pthread_mutex_unlock(&pool.mutex);
        while (pool.started > threads - 1) {
            pthread_join(pool.ids[--pool.started], NULL);
        }
    }
    while (pool.started < threads - 1 && start_worker(pool.started) == 0) {
        pool.started++;
    }
    pool.sized_for = threads;
}

static void wake_workers(ptrdiff_t helpers)
{
    int asleep = atomic_load(&pool.workers_asleep);
    if (asleep == 0) {
        return;
    }
    pthread_mutex_lock(&pool.mutex); /* see count_as_finished */
    pthread_mutex_unlock(&pool.mutex);
    for (int i = 0; i < asleep && i < helpers; i++) {
        pthread_cond_signal(&pool.work);
    }
}

static void wait_for_others(void)
{
    if (spin_until(&pool.unfinished, 1)) {
        return;
    }
    pthread_mutex_lock(&pool.mutex);
    atomic_store(&pool.owner_asleep, 1);
    while (atomic_load(&pool.unfinished) > 0) {
        sleep_at_most(&pool.finished, POLL_NS / 2);
        pthread_mutex_unlock(&pool.mutex);
        poll_when_due();
        pthread_mutex_lock(&pool.mutex);
    }
    atomic_store(&pool.owner_asleep, 0);
    pthread_mutex_unlock(&pool.mutex);
}

void parallel_for(ptrdiff_t chunks, void (*fn)(void *context, ptrdiff_t chunk), void *context)
{
    int threads = threads_get();
    if (chunks <= 1 || threads == 1 || stopped() || self.shared != NULL ||
        atomic_flag_test_and_set_explicit(&pool.owned, memory_order_acquire)) {
        run_serially(chunks, fn, context);
        return;
    }
    if (pool.sized_for != threads) {
        resize(threads);
    }
    pool.fn = fn;
    pool.context = context;
    pool.chunks = chunks;
    atomic_store(&pool.status, KERNEL_OK);
    atomic_store(&pool.unfinished, chunks);
    atomic_store(&pool.left, chunks);
    wake_workers(chunks - 1);
    self.shared = &pool.status;
    take_chunks();
    wait_for_others();
    self.shared = NULL;
    self.status = atomic_load(&pool.status);
    atomic_flag_clear_explicit(&pool.owned, memory_order_release);
}
