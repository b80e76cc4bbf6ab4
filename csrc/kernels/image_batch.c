/* image_batch: images picked from an array of bytes, moved, and turned into real values, in one pass.
 *
 *   y[n,c,i,j] = table[c, x[indices[n], c, row(i), column(j)]]   where both lie within the image
 *              = table[c, 0]                                     elsewhere: padding is black
 *
 *   moves[n] = {rows, columns}, each {first, step, begin, end}:  row(i) = first + step * i  for begin <= i < end,
 *                                                                elsewhere there is padding
 *
 *   x (images, C, H, W) bytes, `strides` bytes from one to the next along each axis    indices (N)
 *   moves (N, 2, 4)    table (C, 256): what each byte becomes    y (N, C, OH, OW)
 *
 * A crop shifts `first`, a flip has step -1, and one after the other is again of this form. Scaling and normalising a
 * byte has 256 possible results a channel: they are looked up, so that they are what the caller computed, bit for bit.
 */
#include "../threads.h"
#include "kernels.h"

enum { GRAIN = 1 << 15 };

enum { FIRST, STEP, BEGIN, END, FIELDS }; /* of the moves of one axis */

typedef struct {
    const uint8_t *x;
    const ptrdiff_t *strides;
    const int64_t *indices, *moves;
    const real *table;
    real *y;
    ptrdiff_t N, C, OH, OW, chunks;
} batch_context;

static void fill(real *y, ptrdiff_t n, real value)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        y[i] = value;
    }
}

/* y[j] = table[x[j * step]].. */
static void look_up(const uint8_t *x, ptrdiff_t step, const real *table, real *y, ptrdiff_t n)
{
    for (ptrdiff_t j = 0; j < n; j++) {
        y[j] = table[x[j * step]];
    }
}

static void one_plane(const batch_context *b, const uint8_t *x, const int64_t *rows, const int64_t *columns,
                      const real *table, real *y)
{
    const ptrdiff_t begin = columns[BEGIN], end = columns[END];
    const ptrdiff_t step = columns[STEP] * b->strides[3];
    for (ptrdiff_t i = 0; i < b->OH; i++, y += b->OW) {
        if (i < rows[BEGIN] || i >= rows[END] || begin >= end) {
            fill(y, b->OW, table[0]);
            continue;
        }
        const ptrdiff_t row = rows[FIRST] + rows[STEP] * i, column = columns[FIRST] + columns[STEP] * begin;
        fill(y, begin, table[0]);
        look_up(x + row * b->strides[2] + column * b->strides[3], step, table, y + begin, end - begin);
        fill(y + end, b->OW - end, table[0]);
    }
}

/* One chunk is a run of planes. */
static void batch_chunk(void *context, ptrdiff_t chunk)
{
    const batch_context *b = context;
    ptrdiff_t begin, end;
    chunk_bounds(b->N * b->C, b->chunks, chunk, &begin, &end);
    for (ptrdiff_t plane = begin; plane < end; plane++) {
        const ptrdiff_t n = plane / b->C, c = plane % b->C;
        const int64_t *rows = b->moves + n * 2 * FIELDS, *columns = rows + FIELDS;
        const uint8_t *x = b->x + b->indices[n] * b->strides[0] + c * b->strides[1];
        one_plane(b, x, rows, columns, b->table + c * 256, b->y + plane * b->OH * b->OW);
    }
}

void FN(image_batch)(const uint8_t *x, const ptrdiff_t strides[4], const int64_t *indices, const int64_t *moves,
                     const real *table, real *y, ptrdiff_t N, ptrdiff_t C, ptrdiff_t OH, ptrdiff_t OW)
{
    const ptrdiff_t chunks = chunks_of(N * C * OH * OW, GRAIN);
    batch_context b = {x, strides, indices, moves, table, y, N, C, OH, OW, chunks};
    parallel_for(chunks, batch_chunk, &b);
}
