/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Datasets read by rows of their first axis, each chunk checked.
 *
 * HDF5 (1.10.8) does not compare what a chunk holds with what its shape needs: where a
 * chunk is too short, memory beside it is taken for pixels.  So the chunks of the filters
 * that files have most often (none, shuffle, deflate) are taken apart here. */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/mem.h"
#include "base/parallel.h"
#include "io/h5.h"
#include "io/h5_priv.h"
#include "kernel/clones.h"

enum { FILTERS_MOST = 4, CHUNK_BYTES_MOST = 1 << 30, KEPT_BYTES_MOST = 1 << 26 };

/* n values of a type of files. */
typedef void to_float(const void *from, size_t n, float *to);

struct spi_h5_rows {
    hid_t data, type, memory; /* owned; type: in the file, memory: wanted */
    char *path, *name;        /* owned, for messages */
    int rank;
    hsize_t dim[H5S_MAX_RANK], row_values; /* of one row */
    size_t type_size, memory_size;

    bool direct; /* chunks are taken apart here; all below is for that */
    hsize_t chunk[H5S_MAX_RANK];
    size_t chunk_values, chunk_bytes; /* bytes: as in the file */
    int n_filters;
    H5Z_filter_t filter[FILTERS_MOST];
    uint8_t *stored, *work; /* owned: [stored_size] a chunk as it is stored; [work_size] */
    size_t stored_size, work_size;
    uint8_t *loaded; /* in `work`: the chunk that was loaded last */
    to_float *own;   /* from the type of the file, without HDF5; NULL: HDF5 must do it */
    uint8_t *kept; /* owned: the rows kept_row ... of one row of chunks, in the memory type;
                    * NULL: they are too many, or none was read */
    hsize_t kept_first, kept_n;
};

/* ---- opening ------------------------------------------------------------------------ */

/* Are these filters that are undone here?  Then also their list. */
static bool take_filters(struct spi_h5_rows *r, hid_t create)
{
    int n = H5Pget_nfilters(create);

    if (n < 1 || n > FILTERS_MOST)
        return false;
    for (int i = 0; i < n; i++) {
        size_t values = 0;
        unsigned flags, config;

        r->filter[i] =
            H5Pget_filter2(create, (unsigned)i, &flags, &values, NULL, 0, NULL, &config);
        if (r->filter[i] != H5Z_FILTER_DEFLATE && r->filter[i] != H5Z_FILTER_SHUFFLE)
            return false;
    }
    r->n_filters = n;
    return true;
}

#define TO_FLOAT(name, T)                                                            \
    SPI_CLONES static void name(const void *from, size_t n, float *to)               \
    {                                                                                \
        const T *values = from;                                                      \
                                                                                     \
        _Pragma("omp simd") for (size_t i = 0; i < n; i++) to[i] = (float)values[i]; \
    }
TO_FLOAT(from_u8, uint8_t)
TO_FLOAT(from_i8, int8_t)
TO_FLOAT(from_u16, uint16_t)
TO_FLOAT(from_i16, int16_t)
TO_FLOAT(from_u32, uint32_t)
TO_FLOAT(from_i32, int32_t)
TO_FLOAT(from_f32, float)
TO_FLOAT(from_f64, double)

/* The types that files have most often, where rows are wanted as float and a chunk holds
 * whole rows. */
static to_float *own_conversion(const struct spi_h5_rows *r)
{
    const struct {
        hid_t type;
        to_float *convert;
    } known[] = {{H5T_NATIVE_UINT8, from_u8},   {H5T_NATIVE_INT8, from_i8},
                 {H5T_NATIVE_UINT16, from_u16}, {H5T_NATIVE_INT16, from_i16},
                 {H5T_NATIVE_UINT32, from_u32}, {H5T_NATIVE_INT32, from_i32},
                 {H5T_NATIVE_FLOAT, from_f32},  {H5T_NATIVE_DOUBLE, from_f64}};

    if (H5Tequal(r->memory, H5T_NATIVE_FLOAT) <= 0)
        return NULL;
    for (int k = 1; k < r->rank; k++)
        if (r->chunk[k] != r->dim[k])
            return NULL;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (H5Tequal(r->type, known[i].type) > 0)
            return known[i].convert;
    return NULL;
}

static bool take_chunks(struct spi_h5_rows *r, hid_t create)
{
    double values = 1;
    unsigned options = 0;

    if (H5Pget_layout(create) != H5D_CHUNKED || r->rank < 1 ||
        H5Pget_chunk(create, r->rank, r->chunk) != r->rank || !take_filters(r, create))
        return false;
    if (H5Pget_chunk_opts(create, &options) < 0 || options != 0)
        return false; /* chunks at the edge may be stored in another way */
    for (int k = 0; k < r->rank; k++)
        values *= (double)r->chunk[k];
    if (values < 1 || values * (double)r->type_size > CHUNK_BYTES_MOST)
        return false;
    r->chunk_values = (size_t)values;
    r->chunk_bytes = r->chunk_values * r->type_size;
    return true;
}

/* Chunks of other filters are HDF5's to undo.  Images of one range are read again and again
 * from the same chunks when a chunk holds several of them or only a part of one: the cache
 * holds all chunks that one row touches.  Chunks without a filter are read past the cache:
 * there HDF5 takes from the file, not from a buffer that may be too short. */
static spi_err set_cache(struct spi_h5_rows *r, hid_t file, hid_t create)
{
    const bool plain = H5Pget_nfilters(create) == 0;
    double bytes = (double)r->type_size, chunks = 1;
    hid_t access;

    if (H5Pget_layout(create) != H5D_CHUNKED ||
        H5Pget_chunk(create, r->rank, r->chunk) != r->rank)
        return SPI_OK;
    for (int k = 0; k < r->rank; k++) {
        chunks *= k > 0 ? ceil((double)r->dim[k] / (double)r->chunk[k]) : 1;
        bytes *= (double)r->chunk[k];
    }
    if (plain && fmod((double)H5Dget_storage_size(r->data), bytes) != 0)
        return spi_fail(
            SPI_EFORMAT,
            "%s: the chunks of dataset '%s' hold %llu bytes; need a multiple of "
            "%.0f: the file is damaged",
            r->path, r->name, (unsigned long long)H5Dget_storage_size(r->data), bytes);
    bytes = plain ? 0 : fmin(fmax(bytes * chunks, 1 << 20), KEPT_BYTES_MOST);
    access = H5Pcreate(H5P_DATASET_ACCESS);
    H5Pset_chunk_cache(access, (size_t)fmin(10 * chunks + 521, 1e5), (size_t)bytes, 1);
    H5Dclose(r->data); /* an open dataset keeps its cache */
    r->data = H5Dopen2(file, r->name, access);
    H5Pclose(access);
    return r->data >= 0
               ? SPI_OK
               : spi_h5_fail(SPI_EIO, "%s: cannot open dataset '%s'", r->path, r->name);
}

spi_err spi_h5_rows_open(hid_t file, const char *path, const char *name, hid_t memory,
                         struct spi_h5_rows **out)
{
    struct spi_h5_rows *r = NULL;
    hid_t space = -1, create = -1;
    spi_err err;

    *out = NULL;
    SPI_TRY(err = SPI_NEW(r, 1, path), out);
    r->data = r->type = r->memory = -1;
    if (!(r->path = spi_text_copy(path, path)) || !(r->name = spi_text_copy(name, path))) {
        err = SPI_ENOMEM;
        goto out;
    }
    SPI_TRY(err = spi_h5_open_dataset(file, path, name, &r->data), out);
    space = H5Dget_space(r->data);
    create = H5Dget_create_plist(r->data);
    r->type = H5Dget_type(r->data);
    r->memory = H5Tcopy(memory);
    r->rank = space >= 0 ? H5Sget_simple_extent_dims(space, r->dim, NULL) : -1;
    if (r->rank < 0 || create < 0 || r->type < 0 || r->memory < 0) {
        err = spi_h5_fail(SPI_EFORMAT, "%s: dataset '%s' has no shape", path, name);
        goto out;
    }
    r->type_size = H5Tget_size(r->type);
    r->memory_size = H5Tget_size(r->memory);
    r->row_values = 1;
    for (int k = 1; k < r->rank; k++)
        r->row_values *= r->dim[k];
    r->direct = take_chunks(r, create);
    r->own = r->direct ? own_conversion(r) : NULL;
    if (!r->direct && r->rank > 0)
        SPI_TRY(err = set_cache(r, file, create), out);
    *out = r;
    r = NULL;
out:
    if (space >= 0)
        H5Sclose(space);
    if (create >= 0)
        H5Pclose(create);
    spi_h5_rows_close(r);
    return err;
}

void spi_h5_rows_close(struct spi_h5_rows *r)
{
    if (!r)
        return;
    if (r->data >= 0)
        H5Dclose(r->data);
    if (r->type >= 0)
        H5Tclose(r->type);
    if (r->memory >= 0)
        H5Tclose(r->memory);
    free(r->path);
    free(r->name);
    free(r->stored);
    free(r->work);
    free(r->kept);
    free(r);
}

/* ---- one chunk ---------------------------------------------------------------------- */

static spi_err wrong_size(const struct spi_h5_rows *r, const hsize_t *at, double bytes)
{
    char where[256];

    return spi_fail(SPI_EFORMAT,
                    "%s: the chunk of dataset '%s' at %s holds %.0f bytes; need %zu: the "
                    "file is damaged",
                    r->path, r->name, spi_h5_shape_text(r->rank, at, where), bytes,
                    r->chunk_bytes);
}

static spi_err make_room(const struct spi_h5_rows *r, uint8_t **at, size_t *size,
                         size_t need)
{
    if (need <= *size)
        return SPI_OK;
    free(*at);
    *size = 0;
    if (SPI_NEW_UNSET(*at, need, r->path) != SPI_OK)
        return SPI_ENOMEM;
    *size = need;
    return SPI_OK;
}

/* from[size] -> to[chunk_bytes]. */
static spi_err inflate_chunk(const struct spi_h5_rows *r, const hsize_t *at,
                             const uint8_t *from, size_t size, uint8_t *to)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)from, /* zlib does not write there */
                  .avail_in = (uInt)size,
                  .next_out = to,
                  .avail_out = (uInt)r->chunk_bytes};
    size_t made;
    int code;

    if (inflateInit(&z) != Z_OK)
        return spi_no_memory(r->path, 0);
    code = inflate(&z, Z_FINISH);
    made = r->chunk_bytes - z.avail_out;
    inflateEnd(&z);
    if (code == Z_STREAM_END && made == r->chunk_bytes)
        return SPI_OK;
    if (code == Z_STREAM_END || (code == Z_BUF_ERROR && z.avail_out > 0))
        return wrong_size(r, at, (double)made);
    return spi_fail(SPI_EFORMAT,
                    "%s: a chunk of dataset '%s' cannot be inflated: the file is damaged",
                    r->path, r->name);
}

SPI_CLONES static void unshuffle_two(const uint8_t *restrict from, size_t n,
                                     uint8_t *restrict to)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        to[2 * i] = from[i];
        to[2 * i + 1] = from[n + i];
    }
}

/* Undo shuffle: byte b of value i lies at b * n + i. */
static void unshuffle(const uint8_t *from, size_t n, size_t size, uint8_t *to)
{
    if (size == 2) { /* the type that photons have most often */
        unshuffle_two(from, n, to);
        return;
    }
    for (size_t b = 0; b < size; b++)
        for (size_t i = 0; i < n; i++)
            to[i * size + b] = from[b * n + i];
}

/* A chunk as it is stored, from[size], unpacked, in the type of the file: *out is one of
 * the two rooms of chunk_bytes.  Does not use HDF5.  skipped: filters that it went past. */
static spi_err unpack(const struct spi_h5_rows *r, const hsize_t *at, const uint8_t *from,
                      size_t size, uint32_t skipped, uint8_t *const room[2], uint8_t **out)
{
    const uint8_t *now = from;
    int next = 0;
    spi_err err;

    for (int i = r->n_filters - 1; i >= 0; i--) {
        if (skipped & 1U << i)
            continue;
        if (r->filter[i] == H5Z_FILTER_DEFLATE) {
            if ((err = inflate_chunk(r, at, now, size, room[next])) != SPI_OK)
                return err;
            size = r->chunk_bytes;
        } else if (size != r->chunk_bytes) {
            return wrong_size(r, at, (double)size);
        } else if (r->type_size > 1) {
            unshuffle(now, r->chunk_values, r->type_size, room[next]);
        } else {
            continue;
        }
        now = room[next];
        next = 1 - next;
    }
    if (size != r->chunk_bytes)
        return wrong_size(r, at, (double)size);
    if (now == from)
        memcpy(room[next], from, size);
    else
        next = 1 - next;
    *out = room[next];
    return SPI_OK;
}

static void fill(const struct spi_h5_rows *r, uint8_t *to)
{
    hid_t create = H5Dget_create_plist(r->data);
    herr_t ok = create >= 0 ? H5Pget_fill_value(create, r->type, to) : -1;

    if (create >= 0)
        H5Pclose(create);
    if (ok < 0) /* none is defined */
        memset(to, 0, r->type_size);
    H5Eclear2(H5E_DEFAULT);
    for (size_t i = 1; i < r->chunk_values; i++)
        memcpy(to + i * r->type_size, to, r->type_size);
}

/* HDF5 1.10 calls it an error where a chunk was never written and others were. */
static herr_t find_unwritten(unsigned n, const H5E_error2_t *e, void *found)
{
    (void)n;
    if (e->desc && strstr(e->desc, "chunk storage is not allocated"))
        *(bool *)found = true;
    return 0;
}

/* Bytes of the chunk at `at` in the file; 0: it was never written. */
static spi_err stored_bytes(const struct spi_h5_rows *r, const hsize_t *at, hsize_t *bytes)
{
    bool unwritten = false;

    if (H5Dget_chunk_storage_size(r->data, at, bytes) < 0) {
        H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, find_unwritten, &unwritten);
        if (unwritten) {
            H5Eclear2(H5E_DEFAULT);
            *bytes = 0;
            return SPI_OK;
        }
        return spi_h5_fail(SPI_EIO, "%s: cannot find a chunk of dataset '%s'", r->path,
                           r->name);
    }
    /* deflate adds five bytes to each 16 kB that it cannot shrink (RFC 1951) */
    if (*bytes > r->chunk_bytes + r->chunk_bytes / 1000 + 1024)
        return wrong_size(r, at, (double)*bytes);
    return SPI_OK;
}

static spi_err read_stored(const struct spi_h5_rows *r, const hsize_t *at, uint8_t *to,
                           uint32_t *skipped)
{
    *skipped = 0;
    if (H5Dread_chunk(r->data, H5P_DEFAULT, at, skipped, to) < 0)
        return spi_h5_fail(SPI_EIO, "%s: cannot read a chunk of dataset '%s'", r->path,
                           r->name);
    return SPI_OK;
}

/* The chunk at `at` in the memory type: r->loaded. */
static spi_err load(struct spi_h5_rows *r, const hsize_t *at)
{
    size_t wide = r->memory_size > r->type_size ? r->memory_size : r->type_size;
    size_t room = r->chunk_values * wide;
    hsize_t stored = 0;
    uint32_t skipped;
    spi_err err;

    SPI_TRY(err = stored_bytes(r, at, &stored), out);
    SPI_TRY(err = make_room(r, &r->work, &r->work_size, 2 * room), out);
    if (stored > 0) {
        SPI_TRY(err = make_room(r, &r->stored, &r->stored_size, (size_t)stored), out);
        SPI_TRY(err = read_stored(r, at, r->stored, &skipped), out);
        SPI_TRY(err = unpack(r, at, r->stored, (size_t)stored, skipped,
                             (uint8_t *const[2]){r->work, r->work + room}, &r->loaded),
                out);
    } else {
        r->loaded = r->work;
        fill(r, r->loaded);
    }
    if (H5Tconvert(r->type, r->memory, r->chunk_values, r->loaded, NULL, H5P_DEFAULT) < 0)
        err = spi_h5_fail(SPI_EFORMAT, "%s: dataset '%s' cannot be read as numbers",
                          r->path, r->name);
out:
    return err;
}

/* ---- rows of chunks ----------------------------------------------------------------- */

/* From the chunk r->loaded at `at` to the rows first ... first+n-1, which begin at `to`. */
static void scatter(const struct spi_h5_rows *r, const hsize_t *at, hsize_t first,
                    hsize_t n, uint8_t *to)
{
    const int last = r->rank - 1;
    hsize_t from[H5S_MAX_RANK] = {0}, end[H5S_MAX_RANK], i[H5S_MAX_RANK];

    for (int k = 0; k < r->rank; k++) { /* in the chunk */
        end[k] = r->dim[k] - at[k] < r->chunk[k] ? r->dim[k] - at[k] : r->chunk[k];
        if (k == 0) {
            from[0] = first > at[0] ? first - at[0] : 0;
            if (end[0] > first + n - at[0])
                end[0] = first + n - at[0];
        }
        i[k] = from[k];
        if (from[k] >= end[k])
            return;
    }
    for (;;) {
        hsize_t source = 0, target = 0;
        int k;

        for (k = 0; k < r->rank; k++) {
            source = source * r->chunk[k] + i[k];
            target = target * (k ? r->dim[k] : 0) + i[k] + at[k] - (k ? 0 : first);
        }
        memcpy(to + target * r->memory_size, r->loaded + source * r->memory_size,
               (size_t)(end[last] - from[last]) * r->memory_size);
        for (k = last - 1; k >= 0; k--) {
            if (++i[k] < end[k])
                break;
            i[k] = from[k];
        }
        if (k < 0)
            return;
    }
}

/* All chunks whose first row is `row`. */
static spi_err load_row(struct spi_h5_rows *r, hsize_t row, hsize_t first, hsize_t n,
                        uint8_t *to)
{
    hsize_t at[H5S_MAX_RANK] = {row};
    spi_err err;

    for (;;) {
        int k;

        SPI_TRY(err = load(r, at), out);
        scatter(r, at, first, n, to);
        for (k = r->rank - 1; k > 0; k--) {
            at[k] += r->chunk[k];
            if (at[k] < r->dim[k])
                break;
            at[k] = 0;
        }
        if (k <= 0)
            break;
    }
out:
    return err;
}

/* The row of chunks at `row` into r->kept. */
static spi_err keep_row(struct spi_h5_rows *r, hsize_t row)
{
    hsize_t n = r->dim[0] - row < r->chunk[0] ? r->dim[0] - row : r->chunk[0];
    spi_err err = SPI_OK;

    if (r->kept && r->kept_n > 0 && r->kept_first == row)
        return SPI_OK;
    r->kept_n = 0;
    if (!r->kept)
        SPI_TRY(err = SPI_NEW_UNSET(r->kept,
                                    (size_t)(r->chunk[0] * r->row_values) * r->memory_size,
                                    r->path),
                out);
    SPI_TRY(err = load_row(r, row, row, n, r->kept), out);
    r->kept_first = row;
    r->kept_n = n;
out:
    return err;
}

static spi_err read_direct(struct spi_h5_rows *r, hsize_t first, hsize_t n, uint8_t *out)
{
    const size_t row_bytes = (size_t)r->row_values * r->memory_size;
    const bool keep = (double)r->chunk[0] * (double)row_bytes <= KEPT_BYTES_MOST;
    spi_err err = SPI_OK;

    for (hsize_t row = first - first % r->chunk[0]; row < first + n && !err;
         row += r->chunk[0]) {
        hsize_t end = row + r->chunk[0] < r->dim[0] ? row + r->chunk[0] : r->dim[0];
        hsize_t low = row > first ? row : first, high = end < first + n ? end : first + n;

        if (!keep || (low == row && high == end)) {
            err = load_row(r, row, first, n, out);
        } else {
            err = keep_row(r, row);
            if (!err)
                memcpy(out + (low - first) * row_bytes, r->kept + (low - row) * row_bytes,
                       (size_t)(high - low) * row_bytes);
        }
    }
    return err;
}

static spi_err read_by_hdf5(struct spi_h5_rows *r, hsize_t first, hsize_t n, void *out)
{
    hsize_t start[H5S_MAX_RANK] = {first}, count[H5S_MAX_RANK] = {n};
    hid_t disk = H5Dget_space(r->data), memory;
    spi_err err = SPI_OK;

    for (int k = 1; k < r->rank; k++)
        count[k] = r->dim[k];
    memory = r->rank > 0 ? H5Screate_simple(r->rank, count, NULL) : H5Screate(H5S_SCALAR);
    if (disk < 0 || memory < 0 ||
        (r->rank > 0 &&
         H5Sselect_hyperslab(disk, H5S_SELECT_SET, start, NULL, count, NULL) < 0) ||
        H5Dread(r->data, r->memory, memory, disk, H5P_DEFAULT, out) < 0)
        err = spi_h5_fail(SPI_EIO, "%s: cannot read dataset '%s'", r->path, r->name);
    if (disk >= 0)
        H5Sclose(disk);
    if (memory >= 0)
        H5Sclose(memory);
    return err;
}

spi_err spi_h5_rows_read(struct spi_h5_rows *r, hsize_t first, hsize_t n, void *out)
{
    assert(r->rank == 0 || (first <= r->dim[0] && n <= r->dim[0] - first));
    if (n == 0 || r->row_values == 0)
        return SPI_OK;
    return r->direct ? read_direct(r, first, n, out) : read_by_hdf5(r, first, n, out);
}

/* ---- chunks of whole rows, for several threads -------------------------------------- */

enum {
    STORED_AT_ONCE = 1 << 24, /* bytes of chunks, unpacked, that are read in one go */
    ROWS_LEAST = 4 /* times a chunk's: what is unpacked twice, at both ends, is little */
};

/* Chunks of some rows, as they are stored. */
struct stored_chunks {
    const struct spi_h5_rows *r;
    hsize_t chunk;      /* the first row of the first of them */
    hsize_t first, end; /* rows that are wanted */
    uint8_t *bytes;     /* owned, grows: `used` of `cap` */
    int64_t used, cap;
    int64_t *at, *size; /* [chunks] in `bytes`; size 0: never written */
    uint32_t *skipped;  /* [chunks] */
    float *out;         /* of row `first` */
    struct spi_rooms rooms;
    struct spi_failure failure;
};

static void stored_clear(struct stored_chunks *s)
{
    free(s->bytes);
    free(s->at);
    free(s->size);
    free(s->skipped);
    spi_rooms_clear(&s->rooms);
}

static hsize_t chunk_row(const struct stored_chunks *s, int64_t i)
{
    return s->chunk + (hsize_t)i * s->r->chunk[0];
}

/* The lock is held. */
static spi_err read_all_stored(struct stored_chunks *s, int64_t n)
{
    spi_err err = SPI_OK;

    s->used = 0;
    for (int64_t i = 0; i < n; i++) {
        hsize_t at[H5S_MAX_RANK] = {chunk_row(s, i)}, stored = 0;

        SPI_TRY(err = stored_bytes(s->r, at, &stored), out);
        s->at[i] = s->used;
        s->size[i] = (int64_t)stored;
        if (stored == 0)
            continue;
        SPI_TRY(err = spi_grow((void **)&s->bytes, 1, s->used, s->used + s->size[i],
                               &s->cap, s->r->path),
                out);
        SPI_TRY(err = read_stored(s->r, at, s->bytes + s->used, &s->skipped[i]), out);
        s->used += s->size[i];
    }
out:
    return err;
}

static void unpack_item(void *ctx, int rank, int64_t i)
{
    struct stored_chunks *s = ctx;
    const struct spi_h5_rows *r = s->r;
    uint8_t *room = spi_rooms_of(&s->rooms, rank), *values;
    hsize_t at[H5S_MAX_RANK] = {chunk_row(s, i)}, end = at[0] + r->chunk[0], from;
    spi_err err = room ? SPI_OK : SPI_ENOMEM;

    if (s->size[i] == 0)
        return;
    SPI_TRY(err, out);
    SPI_TRY(err = unpack(r, at, s->bytes + s->at[i], (size_t)s->size[i], s->skipped[i],
                         (uint8_t *const[2]){room, room + s->rooms.bytes / 2}, &values),
            out);
    from = at[0] > s->first ? at[0] : s->first;
    end = end < s->end ? end : s->end;
    r->own(values + (from - at[0]) * r->row_values * r->type_size,
           (size_t)((end - from) * r->row_values),
           s->out + (from - s->first) * r->row_values);
out:
    spi_failure_note(&s->failure, err);
}

/* Chunks that were never written are HDF5's to fill. */
static spi_err fill_rest(struct spi_h5_rows *r, const struct stored_chunks *s, int64_t n)
{
    spi_err err = SPI_OK;

    for (int64_t i = 0; i < n && !err; i++)
        if (s->size[i] == 0) {
            hsize_t from = chunk_row(s, i), end = from + r->chunk[0];

            from = from > s->first ? from : s->first;
            end = end < s->end ? end : s->end;
            spi_h5_lock();
            err = spi_h5_rows_read(r, from, end - from,
                                   s->out + (from - s->first) * r->row_values);
            spi_h5_unlock();
        }
    return err;
}

/* From row `first` on, in chunks from s->chunk on. */
static spi_err read_chunks(struct spi_h5_rows *r, struct stored_chunks *s, int64_t n)
{
    spi_err err;

    spi_h5_lock();
    err = read_all_stored(s, n);
    spi_h5_unlock();
    SPI_TRY(err, out);
    spi_parallel_for(SPI_THREADS_MAX, n, unpack_item, s);
    SPI_TRY(err = spi_failure_end(&s->failure), out);
    err = fill_rest(r, s, n);
out:
    return err;
}

spi_err spi_h5_rows_read_unlocked(struct spi_h5_rows *r, hsize_t first, hsize_t n,
                                  void *out)
{
    hsize_t C = r->own ? r->chunk[0] : 1;
    int64_t most = r->own ? (int64_t)(STORED_AT_ONCE / r->chunk_bytes) + 1 : 0, left;
    struct stored_chunks s = {.r = r, .first = first, .end = first + n, .out = out};
    spi_err err = SPI_OK;

    if (!r->own || (C > 1 && n / ROWS_LEAST < C) || n == 0 || r->row_values == 0) {
        spi_h5_lock();
        err = spi_h5_rows_read(r, first, n, out);
        spi_h5_unlock();
        return err;
    }
    assert(first <= r->dim[0] && n <= r->dim[0] - first);
    s.chunk = first - first % C;
    left = (int64_t)((s.end - s.chunk + C - 1) / C);
    most = most < left ? most : left;
    SPI_TRY(err = SPI_NEW(s.at, most, r->path), out);
    SPI_TRY(err = SPI_NEW(s.size, most, r->path), out);
    SPI_TRY(err = SPI_NEW(s.skipped, most, r->path), out);
    SPI_TRY(err = spi_rooms_init(&s.rooms, SPI_THREADS_MAX,
                                 2 * ((r->chunk_bytes + 63) / 64 * 64), "images"),
            out);
    for (int64_t k; left > 0 && !err; left -= k) {
        k = left < most ? left : most;
        err = read_chunks(r, &s, k);
        s.chunk = chunk_row(&s, k);
    }
out:
    stored_clear(&s);
    return err;
}
