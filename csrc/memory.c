/* memory: one list of free blocks for each size.
 *
 * Sizes are rounded up to powers of two with eight steps between them, so that at most an eighth is wasted and the
 * sizes of one training step meet again in the next. The last block put back is the first handed out: it is the one
 * still in the cache.
 *
 * A block from 2 MiB on is mapped by itself, begins at a multiple of 2 MiB and asks for huge pages: one page fault
 * instead of 512, and fewer TLB misses. Smaller ones come from the C library. Before each block lie 64 bytes that
 * describe it.
 *
 * What is cached is bounded by what was once in use: when a request finds no block of its size, and the cached ones
 * together exceed the peak of what was handed out, all are returned to the system first.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "memory.h"

#include <assert.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ALIGNMENT 64
#define HUGE_PAGE ((size_t)2 << 20)
/* More than this cannot be had, and rounding it up cannot overflow. */
#define LARGEST ((size_t)1 << (sizeof(size_t) * 8 - 3))
/* Sizes of 2^6 .. 2^61, eight steps each. */
#define SIZES (56 * 8)
/* So much may always wait, however little was in use. */
#define ALWAYS_CACHED ((size_t)64 << 20)

/* Under the address sanitizer every block is the C library's own, of exact size, and freed at once. */
#if defined(__SANITIZE_ADDRESS__)
#define CACHING 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CACHING 0
#endif
#endif
#ifndef CACHING
#define CACHING 1
#endif

struct block {
    struct block *next; /* in the list of its size, while it is free */
    size_t bytes;       /* that the user may use */
    size_t mapped;      /* length of its mapping, 0 if it comes from the C library */
    int in_use;
};

static struct block *free_blocks[SIZES];
static struct memory_stats stats;
static long fail_after = -1;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static struct block *block_of(void *user) { return (struct block *)((char *)user - ALIGNMENT); }

static void *user_of(struct block *block) { return (char *)block + ALIGNMENT; }

static int floor_log2(size_t n) { return (int)(sizeof(unsigned long long) * 8 - 1) - __builtin_clzll(n); }

static size_t rounded(size_t bytes)
{
    if (bytes < ALIGNMENT) {
        bytes = ALIGNMENT;
    }
    if (!CACHING) {
        return bytes;
    }
    size_t step = (size_t)1 << (floor_log2(bytes) - 3);
    if (step < ALIGNMENT) {
        step = ALIGNMENT;
    }
    return (bytes + step - 1) / step * step;
}

/* The list for a rounded size: the exponent and the three bits after the leading one. */
static int list_of(size_t bytes)
{
    int exponent = floor_log2(bytes);
    return (exponent - 6) * 8 + (int)(bytes >> (exponent - 3) & 7);
}

/* length bytes that begin at a multiple of 2 MiB: map 2 MiB more, and cut off both ends. */
static void *map_aligned(size_t length)
{
    char *start = mmap(NULL, length + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED) {
        return NULL;
    }
    size_t before = (HUGE_PAGE - (uintptr_t)start % HUGE_PAGE) % HUGE_PAGE;
    if (before > 0) {
        munmap(start, before);
    }
    if (before < HUGE_PAGE) {
        munmap(start + before + length, HUGE_PAGE - before);
    }
#ifdef MADV_HUGEPAGE
    madvise(start + before, length, MADV_HUGEPAGE); /* a wish: an error changes nothing */
#endif
    return start + before;
}

static struct block *from_system(size_t bytes)
{
    struct block *block;
    size_t mapped = 0;
    if (CACHING && bytes >= HUGE_PAGE) {
        /* Whole pages of any size in use; the header takes the first 64 bytes. */
        mapped = (bytes + ALIGNMENT + 65535) / 65536 * 65536;
        block = map_aligned(mapped);
    } else {
        void *memory;
        block = posix_memalign(&memory, ALIGNMENT, bytes + ALIGNMENT) == 0 ? memory : NULL;
    }
    if (block != NULL) {
        block->bytes = bytes;
        block->mapped = mapped;
    }
    return block;
}

static void to_system(struct block *block)
{
    if (block->mapped > 0) {
        munmap(block, block->mapped);
    } else {
        free(block);
    }
}

/* Unlinks all free blocks; they are returned to the system outside of the mutex. */
static struct block *unlink_all(void)
{
    struct block *all = NULL;
    for (int list = 0; list < SIZES; list++) {
        while (free_blocks[list] != NULL) {
            struct block *block = free_blocks[list];
            free_blocks[list] = block->next;
            block->next = all;
            all = block;
        }
    }
    stats.cached = 0;
    return all;
}

static void return_all(struct block *all)
{
    while (all != NULL) {
        struct block *next = all->next;
        to_system(all);
        all = next;
    }
}

void memory_trim(void)
{
    pthread_mutex_lock(&mutex);
    struct block *all = unlink_all();
    pthread_mutex_unlock(&mutex);
    return_all(all);
}

/* fork copies the lists as they are at that moment: let no other thread be in the middle of a change. */
static void lock(void) { pthread_mutex_lock(&mutex); }

static void unlock(void) { pthread_mutex_unlock(&mutex); }

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t scratch_key;
static int have_scratch_key;

static _Thread_local struct scratch_block mine;

/* pthread calls this with the value of the key when a thread ends; the value only says that there is something. */
static void free_scratch(void *unused)
{
    (void)unused;
    memory_put(mine.block);
    mine = (struct scratch_block){NULL, 0};
}

static void start(void)
{
    pthread_atfork(lock, unlock, unlock);
    have_scratch_key = pthread_key_create(&scratch_key, free_scratch) == 0;
}

static void count_in(size_t bytes)
{
    stats.in_use += bytes;
    if (stats.in_use > stats.peak) {
        stats.peak = stats.in_use;
    }
}

/* *fresh: the block comes from mmap just now and holds zeros. */
static void *get(size_t bytes, int *fresh)
{
    pthread_once(&once, start);
    *fresh = 0;
    if (bytes > LARGEST) {
        return NULL;
    }
    bytes = rounded(bytes);
    int list = list_of(bytes);

    pthread_mutex_lock(&mutex);
    if (fail_after >= 0 && fail_after-- == 0) {
        pthread_mutex_unlock(&mutex);
        return NULL;
    }
    struct block *block = free_blocks[list], *surplus = NULL;
    if (block != NULL) {
        free_blocks[list] = block->next;
        stats.cached -= bytes;
        count_in(bytes);
    } else if (stats.cached > ALWAYS_CACHED && stats.cached > stats.peak) {
        surplus = unlink_all();
    }
    pthread_mutex_unlock(&mutex);

    if (block == NULL) {
        return_all(surplus);
        block = from_system(bytes);
        if (block == NULL) {
            memory_trim();
            block = from_system(bytes);
        }
        if (block == NULL) {
            return NULL;
        }
        *fresh = block->mapped > 0;
        pthread_mutex_lock(&mutex);
        count_in(bytes);
        pthread_mutex_unlock(&mutex);
    }
    block->in_use = 1;
    return user_of(block);
}

void *memory_get(size_t bytes)
{
    int fresh;
    return get(bytes, &fresh);
}

void *memory_get_zeroed(size_t bytes)
{
    int fresh;
    void *user = get(bytes, &fresh);
    if (user != NULL && !fresh) {
        memset(user, 0, bytes);
    }
    return user;
}

void memory_put(void *user)
{
    if (user == NULL) {
        return;
    }
    struct block *block = block_of(user);
    assert(block->in_use);
    block->in_use = 0;
    size_t bytes = block->bytes;
    if (!CACHING) {
        to_system(block);
    }
    pthread_mutex_lock(&mutex);
    stats.in_use -= bytes;
    if (CACHING) {
        int list = list_of(bytes);
        block->next = free_blocks[list];
        free_blocks[list] = block;
        stats.cached += bytes;
    }
    pthread_mutex_unlock(&mutex);
}

void *memory_resize(void *user, size_t bytes)
{
    if (user == NULL) {
        return memory_get(bytes);
    }
    size_t before = block_of(user)->bytes;
    if (bytes <= LARGEST && rounded(bytes) == before) {
        return user;
    }
    void *moved = memory_get(bytes);
    if (moved != NULL) {
        memcpy(moved, user, before < bytes ? before : bytes);
        memory_put(user);
    }
    return moved;
}

struct memory_stats memory_stats(void)
{
    pthread_mutex_lock(&mutex);
    struct memory_stats now = stats;
    pthread_mutex_unlock(&mutex);
    return now;
}

void memory_reset_peak(void)
{
    pthread_mutex_lock(&mutex);
    stats.peak = stats.in_use;
    pthread_mutex_unlock(&mutex);
}

void memory_fail_after(long requests)
{
    pthread_mutex_lock(&mutex);
    fail_after = requests;
    pthread_mutex_unlock(&mutex);
}

void *scratch(size_t bytes)
{
    if (mine.block != NULL && bytes <= mine.bytes) {
        return mine.block;
    }
    memory_put(mine.block);
    mine = (struct scratch_block){NULL, 0};
    mine.block = memory_get(bytes);
    if (mine.block == NULL) {
        return NULL;
    }
    mine.bytes = block_of(mine.block)->bytes;
    if (have_scratch_key) {
        pthread_setspecific(scratch_key, &mine);
    }
    return mine.block;
}

struct scratch_block scratch_set_aside(void)
{
    struct scratch_block aside = mine;
    mine = (struct scratch_block){NULL, 0};
    return aside;
}

void scratch_restore(struct scratch_block aside)
{
    memory_put(mine.block);
    mine = aside;
}
