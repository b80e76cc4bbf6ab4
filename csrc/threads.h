/* threads: the pool of threads, and how a running kernel is stopped.
 *
 * A kernel cuts its work into chunks and hands them to parallel_for. The number of chunks must follow from the
 * shapes alone, never from the number of threads; partial sums go into one slot a chunk and are added up in order.
 * Then the bits of the result do not depend on who ran what. A chunk should last 20 us to 50 ms: shorter ones cost
 * more than they bring, longer ones make Ctrl-C wait.
 */
#ifndef CNN_THREADS_H
#define CNN_THREADS_H

#include <stddef.h>

#define THREADS_MAX 256

/* Run fn(context, chunk) for every chunk in 0..chunks-1, in any order and on several threads, and return when all
 * are done. The caller takes part. Inside a chunk, and while another thread uses the pool, the call runs its chunks
 * one after the other in the calling thread. */
void parallel_for(ptrdiff_t chunks, void (*fn)(void *context, ptrdiff_t chunk), void *context);

/* Threads that take part, the caller included. At first OMP_NUM_THREADS, or else cpu_count(). */
int threads_get(void);

/* Takes effect at the next parallel_for. Values outside 1..THREADS_MAX are clamped. */
void threads_set(int threads);

/* CPUs this process may use: its affinity mask, limited by the quota of its cgroup. (cpu_count.c) */
int cpu_count(void);

/* How a kernel call ended. */
enum { KERNEL_OK = 0, KERNEL_INTERRUPTED = 1, KERNEL_NO_MEMORY = 2 };

/* Stop the kernel call this thread works for: chunks not yet begun, in this parallel_for and in the following ones
 * of the same call, are skipped. May be called inside and outside of chunks. The first status stays. */
void kernel_abort(int status);

/* How the kernel call of this thread ended. Reading clears it: the next kernel call starts afresh. */
int kernel_status(void);

/* For a long loop that is not cut into chunks: call it every millisecond or so, outside of chunks too. Nonzero: the
 * kernel call is stopped, leave the loop. */
int kernel_stopped(void);

/* poll is called by the thread that called parallel_for, between chunks and while it waits for others, about every
 * 50 ms. If it returns nonzero the kernel call is stopped with KERNEL_INTERRUPTED. */
void threads_set_poll(int (*poll)(void));

/* How often this process's line of ancestors has forked since the library was loaded: it changes in the child. */
unsigned threads_forks(void);

/* Number of chunks for n items when one chunk should hold about grain of them: ceil(n / grain), in 1..256. */
static inline ptrdiff_t chunks_of(ptrdiff_t n, ptrdiff_t grain)
{
    if (grain < 1) {
        grain = 1;
    }
    ptrdiff_t chunks = n / grain + (n % grain != 0);
    return chunks < 1 ? 1 : chunks > 256 ? 256 : chunks;
}

/* Number of chunks for n items of `operations` multiply-adds each, without an upper limit: a chunk lasts about a
 * millisecond in plain code, so that Ctrl-C is answered at once. For kernels that need no slot per chunk. */
static inline ptrdiff_t chunks_of_work(ptrdiff_t n, ptrdiff_t operations)
{
    ptrdiff_t grain = (1 << 20) / (operations + 1) + 1;
    return n < 1 ? 1 : n / grain + (n % grain != 0);
}

/* Items begin..end-1 of n belong to this chunk. The sizes of any two chunks differ by one at most. */
static inline void chunk_bounds(ptrdiff_t n, ptrdiff_t chunks, ptrdiff_t chunk, ptrdiff_t *begin, ptrdiff_t *end)
{
    ptrdiff_t size = n / chunks, rest = n % chunks;
    *begin = chunk * size + (chunk < rest ? chunk : rest);
    *end = *begin + size + (chunk < rest);
}

#endif
