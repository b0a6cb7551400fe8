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
#include "io/h5.h"
#include "io/h5_priv.h"

enum { FILTERS_MOST = 4, CHUNK_BYTES_MOST = 1 << 30, KEPT_BYTES_MOST = 1 << 26 };

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
    uint8_t *raw, *work; /* owned: [raw_size] a stored chunk; [work_size] an unpacked one */
    size_t raw_size, work_size;
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
    free(r->raw);
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

/* raw[stored] -> work[chunk_bytes]. */
static spi_err inflate_chunk(struct spi_h5_rows *r, const hsize_t *at, size_t stored)
{
    z_stream z = {.next_in = r->raw,
                  .avail_in = (uInt)stored,
                  .next_out = r->work,
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

/* Undo shuffle: byte b of value i lies at b * n + i. */
static void unshuffle(const uint8_t *from, size_t n, size_t size, uint8_t *to)
{
    for (size_t b = 0; b < size; b++)
        for (size_t i = 0; i < n; i++)
            to[i * size + b] = from[b * n + i];
}

/* A stored chunk, unpacked, in the type of the file: in r->work. */
static spi_err unpack(struct spi_h5_rows *r, const hsize_t *at, hsize_t stored)
{
    uint32_t skipped = 0;
    size_t size = (size_t)stored;
    spi_err err;

    SPI_TRY(err = make_room(r, &r->raw, &r->raw_size, r->chunk_bytes + size), out);
    if (H5Dread_chunk(r->data, H5P_DEFAULT, at, &skipped, r->raw) < 0)
        return spi_h5_fail(SPI_EIO, "%s: cannot read a chunk of dataset '%s'", r->path,
                           r->name);
    for (int i = r->n_filters - 1; i >= 0; i--) {
        uint8_t *swap = r->raw;
        size_t swap_size = r->raw_size;

        if (skipped & 1U << i)
            continue;
        if (r->filter[i] == H5Z_FILTER_DEFLATE) {
            SPI_TRY(err = inflate_chunk(r, at, size), out);
            size = r->chunk_bytes;
        } else if (size != r->chunk_bytes) {
            return wrong_size(r, at, (double)size);
        } else if (r->type_size > 1) {
            unshuffle(r->raw, r->chunk_values, r->type_size, r->work);
        } else {
            continue;
        }
        r->raw = r->work; /* what was made is what the next filter takes */
        r->raw_size = r->work_size;
        r->work = swap;
        r->work_size = swap_size;
    }
    if (size != r->chunk_bytes)
        return wrong_size(r, at, (double)size);
    uint8_t *swap = r->raw;
    size_t swap_size = r->raw_size;

    r->raw = r->work;
    r->raw_size = r->work_size;
    r->work = swap;
    r->work_size = swap_size;
out:
    return err;
}

static spi_err fill(struct spi_h5_rows *r)
{
    hid_t create = H5Dget_create_plist(r->data);
    herr_t ok = create >= 0 ? H5Pget_fill_value(create, r->type, r->work) : -1;

    if (create >= 0)
        H5Pclose(create);
    if (ok < 0) /* none is defined */
        memset(r->work, 0, r->type_size);
    H5Eclear2(H5E_DEFAULT);
    for (size_t i = 1; i < r->chunk_values; i++)
        memcpy(r->work + i * r->type_size, r->work, r->type_size);
    return SPI_OK;
}

/* The chunk at `at` in the memory type: in r->work. */
static spi_err load(struct spi_h5_rows *r, const hsize_t *at)
{
    size_t wide = r->memory_size > r->type_size ? r->memory_size : r->type_size;
    hsize_t stored = 0;
    spi_err err;

    if (H5Dget_chunk_storage_size(r->data, at, &stored) < 0)
        return spi_h5_fail(SPI_EIO, "%s: cannot find a chunk of dataset '%s'", r->path,
                           r->name);
    /* deflate adds five bytes to each 16 kB that it cannot shrink (RFC 1951) */
    if (stored > r->chunk_bytes + r->chunk_bytes / 1000 + 1024)
        return wrong_size(r, at, (double)stored);
    /* both buffers change places while filters are undone */
    SPI_TRY(err = make_room(r, &r->work, &r->work_size, r->chunk_values * wide), out);
    SPI_TRY(err = make_room(r, &r->raw, &r->raw_size, r->chunk_values * wide), out);
    SPI_TRY(err = stored > 0 ? unpack(r, at, stored) : fill(r), out);
    if (H5Tconvert(r->type, r->memory, r->chunk_values, r->work, NULL, H5P_DEFAULT) < 0)
        err = spi_h5_fail(SPI_EFORMAT, "%s: dataset '%s' cannot be read as numbers",
                          r->path, r->name);
out:
    return err;
}

/* ---- rows of chunks ----------------------------------------------------------------- */

/* From the chunk in r->work at `at` to the rows first ... first+n-1, which begin at `to`.
 */
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
        memcpy(to + target * r->memory_size, r->work + source * r->memory_size,
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
