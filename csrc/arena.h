/* arena.h: large blocks, for memory.c alone, which holds its mutex around each call. */
#ifndef CNN_ARENA_H
#define CNN_ARENA_H

#include <stddef.h>

enum block_state { BLOCK_USED, BLOCK_FREE, BLOCK_TOP, BLOCK_SMALL };

/* What lies in the 64 bytes before the memory that a user gets, of large and of small blocks. */
struct block {
    size_t size;                   /* large: of the block, these 64 bytes included; small: that the user may use */
    struct block *next, *previous; /* in the list of free blocks it belongs to (small ones use next only) */
    /* Large blocks only. */
    struct region *region;
    size_t before; /* size of the block that ends where this one begins, 0 for the first of its region */
    size_t absent; /* free blocks: bytes that the system has not given us, or has got back */
    enum block_state state;
    size_t asked; /* with guard bytes only: that the user asked for */
};

enum { BLOCK_HEADER = 64 };
_Static_assert(sizeof(struct block) <= BLOCK_HEADER, "the header has room in 64 bytes");

/* A block for at least bytes, or NULL. *fresh: its memory holds zeros. */
struct block *arena_get(size_t bytes, int *fresh);
void arena_put(struct block *block);

/* Give what is free back to the system. */
void arena_trim(void);

/* Bytes that are free here and take up memory. */
size_t arena_cached(void);

#endif
