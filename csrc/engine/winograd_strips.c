/* winograd_strips.c: strips of images to V and Z, and sums to strips of images. See winograd.c. */
#include <string.h>

#include "../kernels/max_window.h"
#include "../memory.h"
#include "../threads.h"
#include "not_finite.h"
#include "winograd_pass.h"
#include "winograd_transforms.h"

/* ---- pixels to V and Z ------------------------------------------------------------------------------------------- */

/* Rows of pixels of an image, from `top` and `left` on; what lies outside of it is zero. */
typedef struct {
    const real *row[6];
    ptrdiff_t before, width; /* zeros to the left that are not in memory, pixels that are */
} window;

/* Scratch that one strip needs: a window copied, or a row of zeros; the window after the first step. */
static ptrdiff_t window_space(const image *f, ptrdiff_t rows, ptrdiff_t columns)
{
    return f->direct ? f->W * f->c : rows * columns * f->c;
}

/* Without a copy where the image can be read as it lies. */
static window window_at(const image *f, const real *pixels, ptrdiff_t top, ptrdiff_t left, ptrdiff_t rows,
                        ptrdiff_t columns, real *space)
{
    window s = {.before = 0, .width = columns};
    if (f->direct) {
        s.before = -left;
        s.width = at_most(f->W, columns + left);
        memset(space, 0, f->W * f->c * sizeof(real));
    } else {
        piece all = {pixels, f->stride, f->C, f->H, f->W, top, rows, left, columns};
        FN(pack_channels)(&all, f->c, space);
    }
    for (ptrdiff_t r = 0; r < rows; r++) {
        int inside = top + r >= 0 && top + r < f->H;
        s.row[r] = !f->direct ? space + r * columns * f->c : inside ? pixels + (top + r) * f->stride.h : space;
    }
    return s;
}

/* One strip to V, or, if `outputs`, of dy to Z; its first tile is number `tile` of the grid. db += all pixels, if it is
 * not NULL. A line of channels at a time, so that `half`, the strip after the first step, stays in the first-level
 * cache; the memory that the next strip reads is asked for on the way. */
ALWAYS_INLINE void strip_to_grid(const int m, const int outputs, const image *f, const window *s, ptrdiff_t columns,
                                 ptrdiff_t tile_cols, real *half, grid to, ptrdiff_t tile, real *db)
{
    const int n = m + 2, reads = outputs ? m : n;
    ptrdiff_t after = columns - s->before - s->width;
    vec d[6], t[6];
    for (int i = 0; i < n; i++) {
        memset(half + i * columns * LINE, 0, s->before * LINE * sizeof(real));
        memset(half + ((i + 1) * columns - after) * LINE, 0, after * LINE * sizeof(real));
    }
    const ptrdiff_t step = at_most(LINE, TILE_COLS);
    for (ptrdiff_t channel = 0; channel < f->c; channel += step) {
        ptrdiff_t lanes = at_most(step, f->c - channel);
        for (ptrdiff_t w = 0; w < s->width; w++) {
            ptrdiff_t from = w * f->c + channel;
            for (int i = reads - m; f->direct && i < reads; i++) {
                FETCH(s->row[i] + from + m * f->stride.h);
            }
            for (ptrdiff_t lane = 0; lane < lanes; lane += VLEN) {
                for (int i = 0; i < reads; i++) {
                    d[i] = v_load(s->row[i] + from + lane);
                }
                if (outputs) {
                    transform_outputs(m, d, t);
                } else {
                    transform_patch(m, d, t);
                }
                for (int i = 0; i < n; i++) {
                    v_store(half + (i * columns + s->before + w) * LINE + lane, t[i]);
                }
                if (outputs && db != NULL) {
                    vec sum = m == 2 ? d[0] + d[1] : (d[0] + d[1]) + (d[2] + d[3]);
                    v_store(db + channel + lane, v_load(db + channel + lane) + sum);
                }
            }
        }
        real *at = to.p + tile * to.tile + channel / TILE_COLS * to.panel + channel % TILE_COLS;
        for (ptrdiff_t col = 0; col < tile_cols; col++, at += to.tile) {
            for (ptrdiff_t lane = 0; lane < lanes; lane += VLEN) {
                for (int i = 0; i < n; i++) {
                    for (int j = 0; j < reads; j++) {
                        d[j] = v_load(half + (i * columns + col * m + j) * LINE + lane);
                    }
                    if (outputs) {
                        transform_outputs(m, d, t);
                    } else {
                        transform_patch(m, d, t);
                    }
                    for (int j = 0; j < n; j++) {
                        v_store(at + (i * n + j) * to.position + lane, t[j]);
                    }
                }
            }
        }
    }
}

ptrdiff_t FN(winograd_input_space)(const pass *p)
{
    ptrdiff_t columns = input_columns(p);
    return window_space(&p->in, p->m + 2, columns) + (p->m + 2) * columns * LINE;
}

ptrdiff_t FN(winograd_gradient_space)(const pass *p)
{
    ptrdiff_t columns = output_columns(p);
    return window_space(&p->out, p->m, columns) + (p->m + 2) * columns * LINE;
}

/* Strips of x to V. */
void FN(winograd_input_strips)(const pass *p, ptrdiff_t begin, ptrdiff_t end, grid v, ptrdiff_t tile, real *space)
{
    ptrdiff_t columns = input_columns(p);
    real *half = space + window_space(&p->in, p->m + 2, columns);
    for (ptrdiff_t strip = begin; strip < end; strip++, tile += p->tile_cols) {
        ptrdiff_t n = strip / p->tile_rows, top = strip % p->tile_rows * p->m - p->PH;
        window s = window_at(&p->in, p->x + n * p->in.stride.n, top, -p->PW, p->m + 2, columns, space);
        if (p->m == 4) {
            strip_to_grid(4, 0, &p->in, &s, columns, p->tile_cols, half, v, tile, NULL);
        } else {
            strip_to_grid(2, 0, &p->in, &s, columns, p->tile_cols, half, v, tile, NULL);
        }
    }
}

/* Strips of dy to Z; db, if not NULL, gets the sum of their pixels. */
void FN(winograd_gradient_strips)(const pass *p, ptrdiff_t begin, ptrdiff_t end, grid z, ptrdiff_t tile, real *db,
                                  real *space)
{
    ptrdiff_t columns = output_columns(p);
    real *half = space + window_space(&p->out, p->m, columns);
    for (ptrdiff_t strip = begin; strip < end; strip++, tile += p->tile_cols) {
        ptrdiff_t n = strip / p->tile_rows, top = strip % p->tile_rows * p->m;
        window s = window_at(&p->out, p->dy + n * p->out.stride.n, top, 0, p->m, columns, space);
        if (p->m == 4) {
            strip_to_grid(4, 1, &p->out, &s, columns, p->tile_cols, half, z, tile, db);
        } else {
            strip_to_grid(2, 1, &p->out, &s, columns, p->tile_cols, half, z, tile, db);
        }
    }
}

/* ---- sums to pixels ---------------------------------------------------------------------------------------------- */

/* One tile, one vector of channels: y = scale * A' sums A + bias, to m x m pixels. Returns `spoiled`, with NaN in the
 * lanes where a sum is not finite. */
ALWAYS_INLINE vec sums_to_pixels(const int m, const real *sums, ptrdiff_t position, vec scale, vec bias, int relu,
                                 real *y, ptrdiff_t row, ptrdiff_t pixel, vec spoiled)
{
    const int n = m + 2;
    vec t[6], half[6][4], column[4];
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) {
            t[j] = v_load(sums + (i * n + j) * position);
        }
        transform_sums(m, t, half[i]);
    }
    for (int j = 0; j < m; j++) {
        for (int i = 0; i < n; i++) {
            t[i] = half[i][j];
        }
        transform_sums(m, t, column);
        for (int i = 0; i < m; i++) {
            vec sum = v_fma(column[i], scale, bias);
            v_store(y + i * row + j * pixel, relu ? v_relu(sum) : sum);
            __builtin_prefetch(y + (i + m) * row + j * pixel, 1, 2);
            spoiled = v_fma(column[i], v_zero(), spoiled);
        }
    }
    return spoiled;
}

ALWAYS_INLINE vec tiles_to_pixels(const int m, const pass *p, grid sums, ptrdiff_t tile, ptrdiff_t tiles, real *y,
                                  ptrdiff_t row, ptrdiff_t pixel)
{
    vec spoiled = v_zero();
    for (ptrdiff_t t = 0; t < tiles; t++) {
        for (ptrdiff_t lane = 0; lane < p->out.c; lane += VLEN) {
            const real *at = sums.p + (tile + t) * sums.tile + lane / TILE_COLS * sums.panel + lane % TILE_COLS;
            spoiled = sums_to_pixels(m, at, sums.position, v_load(p->scale + lane), v_load(p->bias + lane), p->relu,
                                     y + t * m * pixel + lane, row, pixel, spoiled);
        }
    }
    return spoiled;
}

/* The same layer without Winograd. */
static correlation direct_of(const pass *p)
{
    const axis rows = {.in = p->in.H,
                       .out = p->out.H,
                       .step = 1,
                       .taps = 3,
                       .offset = -p->PH,
                       .spread = 1,
                       .kernel = p->flip ? 2 : 0,
                       .kernel_step = p->flip ? -1 : 1};
    correlation c = {.N = p->N, .IC = p->in.C, .OC = p->out.C, .G = 1, .h = rows, .w = rows, .in = p->in.stride};
    c.w.in = p->in.W;
    c.w.out = p->out.W;
    c.w.offset = -p->PW;
    c.out.c = 1;
    c.w_oc = p->w_n;
    c.w_ic = p->w_k;
    c.w_kh = 3;
    c.w_kw = 1;
    c.scale = p->scale;
    c.relu = p->relu;
    return c;
}

/* A value that is not finite spoils whatever shares a tile with it, and so does a transform of large values that
 * overflows. Channels of these tiles, the first at (top, left) of image n, are summed directly. */
static void mend_tiles(const pass *p, grid sums, ptrdiff_t tile, ptrdiff_t tiles, real *y, ptrdiff_t row,
                       ptrdiff_t pixel, ptrdiff_t n, ptrdiff_t top, ptrdiff_t left)
{
    correlation c = direct_of(p);
    char *room = memory_get(FN(direct_sums_room)(&c) + (size_t)p->out.c), *which = room + FN(direct_sums_room)(&c);
    if (room == NULL) {
        kernel_abort(KERNEL_NO_MEMORY);
        return;
    }
    for (ptrdiff_t t = 0; t < tiles; t++, y += p->m * pixel, left += p->m) {
        int any = 0;
        pass one = *p;
        one.out.c = VLEN;
        for (ptrdiff_t lane = 0; lane < p->out.c; lane += VLEN, one.scale += VLEN, one.bias += VLEN) {
            grid at = sums;
            at.p += lane / TILE_COLS * sums.panel + lane % TILE_COLS;
            vec spoiled = p->m == 4 ? tiles_to_pixels(4, &one, at, tile + t, 1, y + lane, row, pixel)
                                    : tiles_to_pixels(2, &one, at, tile + t, 1, y + lane, row, pixel);
            for (ptrdiff_t i = 0; i < VLEN; i++) {
                which[lane + i] = spoiled[i] != spoiled[i];
                any |= which[lane + i];
            }
        }
        for (ptrdiff_t i = 0; any && i < p->m * p->m; i++) {
            ptrdiff_t oh = top + i / p->m, ow = left + i % p->m;
            if (oh < p->out.H && ow < p->out.W) {
                FN(direct_sums)(&c, p->x + n * p->in.stride.n, p->w, p->bias, oh, ow, which, room,
                                y + i / p->m * row + i % p->m * pixel);
            }
        }
    }
    memory_put(room);
}

static void some_tiles_to_pixels(const pass *p, grid sums, ptrdiff_t tile, ptrdiff_t tiles, real *y, ptrdiff_t row,
                                 ptrdiff_t pixel, ptrdiff_t n, ptrdiff_t top, ptrdiff_t left)
{
    vec spoiled = p->m == 4 ? tiles_to_pixels(4, p, sums, tile, tiles, y, row, pixel)
                            : tiles_to_pixels(2, p, sums, tile, tiles, y, row, pixel);
    if (v_has_nan(spoiled)) {
        mend_tiles(p, sums, tile, tiles, y, row, pixel, n, top, left);
    }
}

/* `rows` x `cols` pixels of c channels to the image, in its own memory order. */
static void copy_out(const image *f, const real *from, ptrdiff_t from_row, ptrdiff_t rows, ptrdiff_t cols, real *to)
{
    for (ptrdiff_t r = 0; r < rows; r++, from += from_row, to += f->stride.h) {
        if (f->stride.c != 1) {
            pack_transposed(cols, f->C, from, f->c, to, f->stride.c, 0);
            continue;
        }
        for (ptrdiff_t i = 0; i < cols; i++) {
            memcpy(to + i * f->stride.w, from + i * f->c, f->C * sizeof(real));
        }
    }
}

ptrdiff_t FN(winograd_output_space)(const pass *p) { return p->m * output_columns(p) * p->out.c; }

/* The rows of a strip, in scratch, to the pooled rows of their image. */
static void pool_strip(const pass *p, const real *rows, ptrdiff_t row, ptrdiff_t n, ptrdiff_t top)
{
    const image *f = &p->out;
    for (ptrdiff_t r = 0; r + 1 < at_most(p->m, f->H - top); r += 2) {
        ptrdiff_t to = n * f->stride.n + (top + r) / 2 * f->stride.h;
        pairs_of_channels(rows + r * row, rows + (r + 1) * row, f->c, (int32_t)((top + r) * f->W), (int32_t)f->W,
                          p->y + to, p->argmax != NULL ? p->argmax + to : NULL, f->W / 2, f->C);
    }
}

void FN(winograd_output_strips)(const pass *p, ptrdiff_t begin, ptrdiff_t end, grid sums, ptrdiff_t tile, real *space)
{
    const image *f = &p->out;
    ptrdiff_t m = p->m, row = output_columns(p) * f->c;
    for (ptrdiff_t strip = begin; strip < end; strip++, tile += p->tile_cols) {
        ptrdiff_t n = strip / p->tile_rows, top = strip % p->tile_rows * m, rows = at_most(m, f->H - top);
        if (p->pool) {
            some_tiles_to_pixels(p, sums, tile, p->tile_cols, space, row, f->c, n, top, 0);
            pool_strip(p, space, row, n, top);
            continue;
        }
        real *y = p->y + n * f->stride.n + top * f->stride.h;
        /* Whole tiles go straight to their place, the others by way of scratch. */
        ptrdiff_t whole = f->direct && rows == m ? f->W / m : 0, rest = p->tile_cols - whole;
        some_tiles_to_pixels(p, sums, tile, whole, y, f->stride.h, f->stride.w, n, top, 0);
        if (rest > 0) {
            some_tiles_to_pixels(p, sums, tile + whole, rest, space, row, f->c, n, top, whole * m);
            copy_out(f, space, row, rows, f->W - whole * m, y + whole * m * f->stride.w);
        }
        if (p->rectified != NULL) {
            rectify_rows(f->stride, f->C, rows, f->W, p->rectified + (y - p->y), y);
        }
    }
}
