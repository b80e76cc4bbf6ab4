/* arena: large blocks, cut from regions of address space and joined with their neighbours when they are put back.
 *
 * The sizes of a network's activations all differ. Had each size blocks of its own, the sum of what each size ever
 * needed would be held: 1.7 times what is in use at the worst moment. Cut and joined, the same memory serves all sizes:
 * 1.0 to 1.3 times (measured on the steps of four networks).
 *
 *   region:  | page for struct region | block | block | ... | top                                  |
 *
 * A block is a header and the user's memory. It knows its own size and that of the block before it, so that both
 * neighbours can be found. The top is the last block of its region, a free one that was never used or has become free
 * again; memory is cut from it when no free block fits. Two free blocks never lie side by side.
 *
 * A region takes up memory only where it has been written to. It begins at a multiple of 2 MiB and asks for huge pages:
 * one page fault instead of 512, and fewer TLB misses.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "arena.h"

#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define PAGE ((size_t)4096)
#define HUGE_PAGE ((size_t)2 << 20)
/* Address space costs nothing, and blocks of different regions cannot be joined: few and large ones. */
#define REGION ((size_t)1 << 30)
/* A rest smaller than this stays with the block. */
#define SMALLEST_REST ((size_t)64 << 10)
/* No system has larger pages (without asking): what is given back begins and ends at multiples of this. */
#define LARGEST_PAGE ((size_t)64 << 10)

struct region {
    struct region *next;
    size_t length;
    struct block *top;
    char *clean; /* from here on nothing was ever handed out: zeros */
};

/* Free blocks (not the tops), by size: eight lists for each power of two from PAGE on. */
enum { LISTS = 8 * 50 };
static struct block *lists[LISTS];
static struct region *regions;
static size_t mapped, cached;

static size_t round_up(size_t n, size_t multiple) { return (n + multiple - 1) / multiple * multiple; }

static int list_of(size_t size)
{
    int exponent = 63 - __builtin_clzll(size);
    return (exponent - 12) * 8 + (int)(size >> (exponent - 3) & 7);
}

static void link_free(struct block *block)
{
    struct block **list = &lists[list_of(block->size)];
    block->state = BLOCK_FREE;
    block->previous = NULL;
    block->next = *list;
    if (*list != NULL) {
        (*list)->previous = block;
    }
    *list = block;
}

static void unlink_free(struct block *block)
{
    if (block->previous != NULL) {
        block->previous->next = block->next;
    } else {
        lists[list_of(block->size)] = block->next;
    }
    if (block->next != NULL) {
        block->next->previous = block->previous;
    }
}

static struct block *at(struct block *block, size_t offset) { return (struct block *)((char *)block + offset); }

/* The smallest free block of at least size, NULL if there is none. Only the first list can hold smaller ones. */
static struct block *best_fit(size_t size)
{
    struct block *best = NULL;
    for (int list = list_of(size); list < LISTS && best == NULL; list++) {
        for (struct block *block = lists[list]; block != NULL; block = block->next) {
            if (block->size >= size && (best == NULL || block->size < best->size)) {
                best = block;
            }
        }
    }
    return best;
}

/* length bytes that begin at a multiple of 2 MiB: map 2 MiB more, and cut off both ends. Without MAP_NORESERVE, with
 * which the system would promise terabytes, and kill the process when it writes to them. */
static char *map_aligned(size_t length)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS;
    char *start = mmap(NULL, length + HUGE_PAGE, PROT_READ | PROT_WRITE, flags, -1, 0);
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

static int address_space_is_limited(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur != RLIM_INFINITY;
}

/* A region with room for a block of size, NULL if the system has none. */
static struct region *new_region(size_t size)
{
    size_t needed = round_up(size + 2 * PAGE, HUGE_PAGE), wished = mapped > REGION ? mapped : REGION;
    char *start = NULL;
    if (wished > needed && !address_space_is_limited()) {
        start = map_aligned(wished);
    }
    size_t length = start != NULL ? wished : needed;
    if (start == NULL) {
        start = map_aligned(needed);
    }
    if (start == NULL) {
        return NULL;
    }
    struct region *region = (struct region *)start;
    struct block *top = (struct block *)(start + PAGE);
    *region = (struct region){.length = length, .top = top, .clean = (char *)top};
    *top = (struct block){.size = length - PAGE, .absent = length - PAGE, .region = region, .state = BLOCK_TOP};
    struct region **last = &regions;
    while (*last != NULL) {
        last = &(*last)->next;
    }
    *last = region;
    mapped += length;
    return region;
}

/* The top of the first region where a block of size can be cut off, and a page of the top remains. */
static struct block *roomy_top(size_t size)
{
    for (struct region *region = regions; region != NULL; region = region->next) {
        if (region->top->size >= size + PAGE) {
            return region->top;
        }
    }
    struct region *region = new_region(size);
    return region != NULL ? region->top : NULL;
}

/* Use the first size bytes of a free block that is in no list; what remains becomes `state`. */
static void cut(struct block *block, size_t size, enum block_state state)
{
    size_t present = block->size - block->absent, taken = present < size ? present : size;
    cached -= taken;
    if (block->size > size) {
        struct block *rest = at(block, size);
        *rest = (struct block){.size = block->size - size, .before = size, .region = block->region, .state = state};
        rest->absent = block->absent - (size - taken);
        if (state == BLOCK_TOP) {
            block->region->top = rest;
        } else {
            at(rest, rest->size)->before = rest->size;
            link_free(rest);
        }
        block->size = size;
    }
    block->absent = 0;
    block->state = BLOCK_USED;
}

struct block *arena_get(size_t bytes, int *fresh)
{
    size_t size = round_up(bytes + BLOCK_HEADER, PAGE);
    *fresh = 0;
    struct block *block = best_fit(size);
    if (block != NULL) {
        unlink_free(block);
        cut(block, block->size - size < SMALLEST_REST ? block->size : size, BLOCK_FREE);
        return block;
    }
    block = roomy_top(size);
    if (block == NULL) {
        return NULL;
    }
    cut(block, size, BLOCK_TOP);
    *fresh = (char *)block >= block->region->clean;
    if (block->region->clean < (char *)at(block, size)) {
        block->region->clean = (char *)at(block, size);
    }
    return block;
}

/* Append the block behind to this one. */
static void swallow(struct block *block, struct block *behind)
{
    block->size += behind->size;
    block->absent += behind->absent;
}

void arena_put(struct block *block)
{
    cached += block->size;
    struct block *behind = at(block, block->size);
    enum block_state state = behind->state == BLOCK_TOP ? BLOCK_TOP : BLOCK_FREE;
    if (behind->state == BLOCK_FREE) {
        unlink_free(behind);
    }
    if (behind->state != BLOCK_USED) {
        swallow(block, behind);
    }
    if (block->before > 0) {
        struct block *front = (struct block *)((char *)block - block->before);
        if (front->state == BLOCK_FREE) {
            unlink_free(front);
            swallow(front, block);
            block = front;
        }
    }
    if (state == BLOCK_TOP) {
        block->state = BLOCK_TOP;
        block->region->top = block;
    } else {
        at(block, block->size)->before = block->size;
        link_free(block);
    }
}

/* The block's memory goes back to the system; its header stays. */
static void release(struct block *block)
{
    uintptr_t start = round_up((uintptr_t)block + BLOCK_HEADER, LARGEST_PAGE);
    uintptr_t end = ((uintptr_t)block + block->size) / LARGEST_PAGE * LARGEST_PAGE;
#ifdef __APPLE__
    int advice = MADV_FREE;
#else
    int advice = MADV_DONTNEED;
#endif
    if (start < end) {
        madvise((void *)start, end - start, advice);
    }
    cached -= block->size - block->absent;
    block->absent = block->size;
}

void arena_trim(void)
{
    for (int list = 0; list < LISTS; list++) {
        for (struct block *block = lists[list]; block != NULL; block = block->next) {
            release(block);
        }
    }
    for (struct region **link = &regions; *link != NULL;) {
        struct region *region = *link;
        if (region->top->before == 0) { /* nothing else in it */
            cached -= region->top->size - region->top->absent;
            mapped -= region->length;
            *link = region->next;
            munmap(region, region->length);
        } else {
            release(region->top);
            link = &region->next;
        }
    }
}

size_t arena_cached(void) { return cached; }
