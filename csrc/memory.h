/* memory: blocks that are handed out again instead of going back to the system.
 *
 * A training step asks for the same sizes again and again. Fresh pages from the system cost a page fault each, which
 * at large batches is as dear as the arithmetic; so a block that is put back waits here for the next request of its
 * size. After the first step or two nothing is asked from the system any more.
 *
 * All functions may be called from any thread.
 */
#ifndef CNN_MEMORY_H
#define CNN_MEMORY_H

#include <stddef.h>

/* A block of at least bytes, aligned to 64, contents undefined; NULL when out of memory. Zero bytes give a block. */
void *memory_get(size_t bytes);

/* The same, filled with zeros. */
void *memory_get_zeroed(size_t bytes);

/* Give a block back. NULL is ignored. */
void memory_put(void *block);

/* Grow or shrink a block, keeping its contents; NULL when out of memory, and the old block stays. */
void *memory_resize(void *block, size_t bytes);

/* Return every cached block to the system. */
void memory_trim(void);

/* Bytes handed out, bytes waiting here, and the most that was ever handed out at one time. */
struct memory_stats {
    size_t in_use, cached, peak;
};
struct memory_stats memory_stats(void);

/* Let peak start again from what is in use now. */
void memory_reset_peak(void);

/* For tests: the request after the next `requests` ones fails, once. A negative number switches this off. */
void memory_fail_after(long requests);

/* Working memory of the calling thread, aligned to 64, contents undefined; NULL when out of memory. It is valid until
 * the same thread calls scratch again, and may be larger than asked for. It is freed when the thread ends.
 * Memory that several chunks share must come from memory_get: the caller of parallel_for runs chunks as well, and
 * their scratch is its scratch. */
void *scratch(size_t bytes);

/* Put this thread's scratch aside, so that code that runs in the middle of a kernel finds one of its own, and bring
 * it back. */
struct scratch_block {
    void *block;
    size_t bytes;
};
struct scratch_block scratch_set_aside(void);
void scratch_restore(struct scratch_block mine);

#endif
