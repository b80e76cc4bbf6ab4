/* memory: where large and small blocks come from, what is in use, and scratch.
 *
 * Large blocks, from 1 MiB on, come from the arena (arena.c). For small ones there is one list of free blocks for each
 * size: sizes are rounded up to powers of two with eight steps between them, so that at most an eighth is wasted and
 * the sizes of one training step meet again in the next. The last block put back is the first handed out: it is the one
 * still in the cache. New ones come from the C library.
 *
 * What the lists hold is bounded by what was once in use: when a request finds no block of its size, and the lists
 * together hold more than the peak of what was handed out, all of it is returned to the system first.
 *
 * With CNN_GUARD=1 in the environment a known pattern lies before and behind each block and, while nobody has it, in
 * the block itself. Where the pattern is damaged when a block is put back or handed out again, somebody wrote where he
 * must not: the process ends with a line that says where. Then all blocks are small ones, and scratch is no larger than
 * asked for. What is read before it was written shows up as NaN.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "memory.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
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

/* Bytes of pattern before and behind each block: 0, or GUARD. In the pattern every float is a NaN. */
static size_t guard;
enum { GUARD = 256, PATTERN = 0xFF };

static struct block *block_of(void *user) { return (struct block *)((char *)user - guard - BLOCK_HEADER); }

static void *user_of(const struct block *block) { return (char *)block + BLOCK_HEADER + guard; }

/* Bytes that the user may use. */
static size_t capacity(const struct block *block)
{
    return guard > 0 ? block->asked : block->state == BLOCK_SMALL ? block->size : block->size - BLOCK_HEADER;
}

/* Ends the process if a byte of [from, from + bytes) is not as the pattern has it. Offsets count from `zero`. */
static void check_pattern(const struct block *block, const unsigned char *from, size_t bytes, const unsigned char *zero,
                          const char *what)
{
    size_t first = 0, last = bytes;
    while (first < bytes && from[first] == PATTERN) {
        first++;
    }
    if (first == bytes) {
        return;
    }
    while (from[last - 1] == PATTERN) {
        last--;
    }
    fprintf(stderr, "cnn: CNN_GUARD: a block of %zu bytes (at %p) was overwritten %s: bytes %td to %td from there\n",
            block->asked, user_of(block), what, from + first - zero, from + last - 1 - zero);
    abort();
}

/* Nobody wrote around the block; or, if nobody has it, into it. */
static void check_guards(const struct block *block, int is_free)
{
    const unsigned char *user = user_of(block), *end = user + block->asked;
    check_pattern(block, end, block->size - guard - block->asked, end, "behind its end");
    check_pattern(block, user - guard, guard, user, "before its beginning");
    check_pattern(block, user, is_free ? block->asked : 0, user, "after it was given back");
}

static size_t rounded(size_t bytes)
{
    bytes += 2 * guard;
    if (!CACHING) {
        return bytes > 0 ? bytes : 1;
    }
    if (bytes < ALIGNMENT) {
        bytes = ALIGNMENT;
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
    if (guard > 0) {
        block->asked = 0;
        memset((char *)block + BLOCK_HEADER, PATTERN, bytes);
    }
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
    const char *wanted = getenv("CNN_GUARD");
    guard = wanted != NULL && strcmp(wanted, "1") == 0 ? GUARD : 0;
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

/* Guarded blocks may be too large for the lists. */
static int has_list(size_t bytes) { return CACHING && bytes < 2 * LARGE; }

static struct block *get_small(size_t asked)
{
    size_t bytes = rounded(asked);
    struct block *block = NULL, *surplus = NULL;
    pthread_mutex_lock(&mutex);
    if (has_list(bytes)) {
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
    if (block != NULL && guard > 0) {
        check_guards(block, 1);
        block->asked = asked;
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
    int is_large = CACHING && guard == 0 && bytes >= LARGE;
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
    if (guard > 0) {
        check_guards(block, 0);
        memset(user, PATTERN, block->asked);
    }
    assert(block->state == BLOCK_SMALL || block->state == BLOCK_USED);
    int is_kept = block->state == BLOCK_USED || has_list(block->size);
    pthread_mutex_lock(&mutex);
    stats.in_use -= block->size;
    if (block->state == BLOCK_USED) {
        arena_put(block);
    } else if (is_kept) {
        struct block **list = &free_blocks[list_of(block->size)];
        block->next = *list;
        *list = block;
        stats.cached += block->size;
    }
    pthread_mutex_unlock(&mutex);
    if (!is_kept) {
        free(block);
    }
}

void *memory_resize(void *user, size_t bytes)
{
    if (user == NULL) {
        return memory_get(bytes);
    }
    size_t before = capacity(block_of(user));
    if (bytes <= before && bytes >= before / 2 && guard == 0) {
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
    if (mine.block != NULL && CACHING && guard == 0 && bytes <= mine.bytes) {
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
