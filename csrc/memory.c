/* memory: where large and small blocks come from, what is in use, and scratch.
 *
 * Large blocks, from 1 MiB on, come from the arena (arena.c). For small ones there is one list of free blocks for each
 * size: sizes are rounded up to powers of two with eight steps between them, so that at most an eighth is wasted and
 * the sizes of one training step meet again in the next. The last block put back is the first handed out: it is the one
 * still in the cache. New ones come from the C library.
 *
 * What the lists hold is bounded by what was once in use: when a request finds no block of its size, and the lists
 * together hold more than the peak of what was handed out, all of it is returned to the system first.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "memory.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"

#define ALIGNMENT 64
#define LARGE ((size_t)1 << 20)
/* More than this cannot be had, and rounding it up cannot overflow. */
#define LARGEST ((size_t)1 << (sizeof(size_t) * 8 - 3))
/* Sizes of 2^6 .. 2^20, eight steps each. */
#define SIZES (15 * 8)
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

/* All of this, and the arena, belongs to whoever holds the mutex. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct block *free_blocks[SIZES];
static struct memory_stats stats; /* cached: by the lists */

static struct block *block_of(void *user) { return (struct block *)((char *)user - BLOCK_HEADER); }

static void *user_of(struct block *block) { return (char *)block + BLOCK_HEADER; }

/* Bytes that the user may use. */
static size_t capacity(const struct block *block)
{
    return block->state == BLOCK_SMALL ? block->size : block->size - BLOCK_HEADER;
}

static size_t rounded(size_t bytes)
{
    if (bytes < ALIGNMENT) {
        bytes = ALIGNMENT;
    }
    if (!CACHING) {
        return bytes;
    }
    size_t step = (size_t)1 << (63 - __builtin_clzll(bytes) - 3);
    if (step < ALIGNMENT) {
        step = ALIGNMENT;
    }
    return (bytes + step - 1) / step * step;
}

/* The list for a rounded size: the exponent and the three bits after the leading one. */
static int list_of(size_t bytes)
{
    int exponent = 63 - __builtin_clzll(bytes);
    return (exponent - 6) * 8 + (int)(bytes >> (exponent - 3) & 7);
}

static struct block *new_small(size_t bytes)
{
    void *memory;
    if (posix_memalign(&memory, ALIGNMENT, BLOCK_HEADER + bytes) != 0) {
        return NULL;
    }
    struct block *block = memory;
    block->size = bytes;
    block->state = BLOCK_SMALL;
    return block;
}

/* Empties the lists. What they held is freed outside of the mutex. */
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

static void free_all(struct block *all)
{
    while (all != NULL) {
        struct block *next = all->next;
        free(all);
        all = next;
    }
}

void memory_trim(void)
{
    pthread_mutex_lock(&mutex);
    struct block *all = unlink_all();
    arena_trim();
    pthread_mutex_unlock(&mutex);
    free_all(all);
}

/* fork copies the lists as they are at that moment: let no other thread be in the middle of a change. */
static void lock(void) { pthread_mutex_lock(&mutex); }

static void unlock(void) { pthread_mutex_unlock(&mutex); }

static atomic_long fail_after = -1;

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

static void count_in(const struct block *block)
{
    stats.in_use += block->size;
    if (stats.in_use > stats.peak) {
        stats.peak = stats.in_use;
    }
}

static struct block *get_large(size_t bytes, int *fresh)
{
    pthread_mutex_lock(&mutex);
    struct block *block = arena_get(bytes, fresh);
    if (block != NULL) {
        count_in(block);
    }
    pthread_mutex_unlock(&mutex);
    return block;
}

static struct block *get_small(size_t bytes)
{
    bytes = rounded(bytes);
    struct block *block = NULL, *surplus = NULL;
    pthread_mutex_lock(&mutex);
    if (CACHING) {
        struct block **list = &free_blocks[list_of(bytes)];
        block = *list;
        if (block != NULL) {
            *list = block->next;
            stats.cached -= bytes;
            count_in(block);
        } else if (stats.cached > ALWAYS_CACHED && stats.cached > stats.peak) {
            surplus = unlink_all();
        }
    }
    pthread_mutex_unlock(&mutex);
    if (block == NULL) {
        free_all(surplus);
        block = new_small(bytes);
        if (block != NULL) {
            pthread_mutex_lock(&mutex);
            count_in(block);
            pthread_mutex_unlock(&mutex);
        }
    }
    return block;
}

static int is_to_fail(void) { return atomic_load(&fail_after) >= 0 && atomic_fetch_sub(&fail_after, 1) == 0; }

/* *fresh: the memory is new from the system and holds zeros. */
static void *get(size_t bytes, int *fresh)
{
    pthread_once(&once, start);
    *fresh = 0;
    if (bytes > LARGEST || is_to_fail()) {
        return NULL;
    }
    int is_large = CACHING && bytes >= LARGE;
    struct block *block = is_large ? get_large(bytes, fresh) : get_small(bytes);
    if (block == NULL) { /* what waits in other sizes may make room */
        memory_trim();
        block = is_large ? get_large(bytes, fresh) : get_small(bytes);
    }
    return block != NULL ? user_of(block) : NULL;
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
    assert(block->state == BLOCK_SMALL || block->state == BLOCK_USED);
    pthread_mutex_lock(&mutex);
    stats.in_use -= block->size;
    if (block->state == BLOCK_USED) {
        arena_put(block);
    } else if (CACHING) {
        struct block **list = &free_blocks[list_of(block->size)];
        block->next = *list;
        *list = block;
        stats.cached += block->size;
    }
    pthread_mutex_unlock(&mutex);
    if (!CACHING) {
        free(block);
    }
}

void *memory_resize(void *user, size_t bytes)
{
    if (user == NULL) {
        return memory_get(bytes);
    }
    size_t before = capacity(block_of(user));
    if (bytes <= before && bytes >= before / 2) {
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
    now.cached += arena_cached();
    pthread_mutex_unlock(&mutex);
    return now;
}

void memory_reset_peak(void)
{
    pthread_mutex_lock(&mutex);
    stats.peak = stats.in_use;
    pthread_mutex_unlock(&mutex);
}

void memory_fail_after(long requests) { atomic_store(&fail_after, requests); }

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
    mine.bytes = capacity(block_of(mine.block));
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
