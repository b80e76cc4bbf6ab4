/* copy: the same values at other places in memory.
 *
 *   transpose    y[m,j,i] = x[m,i,j]      x (batch, rows, columns)    y (batch, columns, rows)
 *   copy_rows    y[r*SY + i] = x[r*SX + i],  r < rows, i < length
 *
 * transpose turns planes into channels last (rows = C, columns = H*W) and back (rows = H*W, columns = C).
 * copy_rows joins arrays along a dimension, one call an array (SY longer than length), and takes them apart again
 * (SX longer than length).
 */
#include <string.h>

#include "../simd/quad.h"
#include "../sizes.h"
#include "../threads.h"
#include "kernels.h"

/* Both sides of a 16 x 16 tile are whole cache lines of floats; it lies in the first-level cache while it is turned. */
enum { TILE = 16, GRAIN = 1 << 15 };

typedef struct {
    const real *x;
    real *y;
    ptrdiff_t batch, rows, columns, chunks;
} transpose_context;

static void transpose_tile(const real *x, real *y, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t i0, ptrdiff_t j0)
{
    const ptrdiff_t i1 = i0 + TILE < rows ? i0 + TILE : rows, i4 = i0 + (i1 - i0) / 4 * 4;
    const ptrdiff_t j1 = j0 + TILE < columns ? j0 + TILE : columns, j4 = j0 + (j1 - j0) / 4 * 4;
    for (ptrdiff_t j = j0; j < j4; j += 4) {
        for (ptrdiff_t i = i0; i < i4; i += 4) {
            transpose_4x4(x + i * columns + j, columns, y + j * rows + i, rows);
        }
    }
    for (ptrdiff_t j = j0; j < j1; j++) {
        for (ptrdiff_t i = j < j4 ? i4 : i0; i < i1; i++) { /* what the squares left over */
            y[j * rows + i] = x[i * columns + j];
        }
    }
}

/* One chunk is a run of strips; a strip is TILE columns of one matrix. */
static void transpose_chunk(void *context, ptrdiff_t chunk)
{
    const transpose_context *c = context;
    const ptrdiff_t strips = ceil_div(c->columns, TILE), size = c->rows * c->columns;
    ptrdiff_t begin, end;
    chunk_bounds(c->batch * strips, c->chunks, chunk, &begin, &end);
    for (ptrdiff_t strip = begin; strip < end; strip++) {
        const ptrdiff_t offset = strip / strips * size, j0 = strip % strips * TILE;
        for (ptrdiff_t i0 = 0; i0 < c->rows; i0 += TILE) {
            transpose_tile(c->x + offset, c->y + offset, c->rows, c->columns, i0, j0);
        }
    }
}

void FN(transpose)(const real *x, real *y, ptrdiff_t batch, ptrdiff_t rows, ptrdiff_t columns)
{
    if (batch == 0 || rows == 0 || columns == 0) {
        return;
    }
    const ptrdiff_t strips = batch * ceil_div(columns, TILE), chunks = chunks_of(batch * rows * columns, GRAIN);
    transpose_context c = {x, y, batch, rows, columns, chunks < strips ? chunks : strips};
    parallel_for(c.chunks, transpose_chunk, &c);
}

typedef struct {
    const real *x;
    real *y;
    ptrdiff_t x_stride, y_stride, rows, length, chunks;
} rows_context;

static void rows_chunk(void *context, ptrdiff_t chunk)
{
    const rows_context *c = context;
    ptrdiff_t begin, end;
    chunk_bounds(c->rows * c->length, c->chunks, chunk, &begin, &end);
    while (begin < end) {
        const ptrdiff_t row = begin / c->length, i = begin % c->length;
        const ptrdiff_t rest = c->length - i, count = rest < end - begin ? rest : end - begin;
        memcpy(c->y + row * c->y_stride + i, c->x + row * c->x_stride + i, (size_t)count * sizeof(real));
        begin += count;
    }
}

void FN(copy_rows)(const real *x, ptrdiff_t x_stride, real *y, ptrdiff_t y_stride, ptrdiff_t rows, ptrdiff_t length)
{
    rows_context c = {x, y, x_stride, y_stride, rows, length, chunks_of(rows * length, GRAIN)};
    parallel_for(c.chunks, rows_chunk, &c);
}
