/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "io/mrc.h"

#include <endian.h>
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/h5_kind.h"

enum { HEADER_BYTES = 1024, SIDE_MAX = 4096, THIN_MAX = 8 };

/* Words of the MRC2014 standard, which counts from 1 (Cheng et al., J. Struct. Biol. 192
 * (2015) 146, table 1). */
enum {
    W_N = 1,
    W_MODE = 4,
    W_START = 5,
    W_M = 8,
    W_CELL = 11,
    W_ANGLE = 14,
    W_MAP = 17,
    W_DMIN = 20,
    W_DMAX,
    W_DMEAN,
    W_ISPG,
    W_NSYMBT,
    W_NVERSION = 28,
    W_ORIGIN = 50,
    W_STAMP = 53,
    W_MACHST,
    W_RMS,
    W_NLABL,
    W_LABEL
};

/* A header as it lies in the file, and whether its words are big-endian. */
struct header {
    const char *path;
    uint8_t byte[HEADER_BYTES];
    bool big;
};

/* Word k, counted from 1. */
static const uint8_t *at_word(const uint8_t *head, int k)
{
    return head + 4 * (size_t)(k - 1);
}

static uint32_t word(const struct header *h, int k)
{
    uint32_t w;

    memcpy(&w, at_word(h->byte, k), 4);
    return h->big ? be32toh(w) : le32toh(w);
}

static int32_t int_word(const struct header *h, int k)
{
    uint32_t w = word(h, k);
    int32_t i;

    memcpy(&i, &w, 4);
    return i;
}

static double real_word(const struct header *h, int k)
{
    uint32_t w = word(h, k);
    float f;

    memcpy(&f, &w, 4);
    return (double)f;
}

/* ---- values ------------------------------------------------------------------------- */

static float from_int8(const uint8_t *p)
{
    return (float)(int8_t)*p;
}

static float from_int16(const uint8_t *p)
{
    int16_t v;

    memcpy(&v, p, sizeof v);
    return (float)v;
}

static float from_uint16(const uint8_t *p)
{
    uint16_t v;

    memcpy(&v, p, sizeof v);
    return (float)v;
}

static float from_float(const uint8_t *p)
{
    float v;

    memcpy(&v, p, sizeof v);
    return v;
}

/* IEEE 754 binary16: 1 sign, 5 exponent (bias 15), 10 fraction bits. */
static float from_half(const uint8_t *p)
{
    uint16_t v;

    memcpy(&v, p, sizeof v);

    int exponent = v >> 10 & 31, fraction = v & 1023;
    float size = exponent == 31 ? (fraction ? NAN : INFINITY)
                 : exponent     ? ldexpf((float)(1024 + fraction), exponent - 25)
                                : ldexpf((float)fraction, -24);

    return v >> 15 ? -size : size;
}

struct mode {
    int number, bytes;
    float (*value)(const uint8_t *); /* of one value in the machine's byte order */
};

static const struct mode modes[] = {
    {0, 1, from_int8},   {1, 2, from_int16}, {2, 4, from_float},
    {6, 2, from_uint16}, {12, 2, from_half}, {0, 0, NULL},
};

static const struct mode *find_mode(int number)
{
    for (const struct mode *m = modes; m->bytes; m++)
        if (m->number == number)
            return m;
    return NULL;
}

static void reverse_values(uint8_t *p, size_t n, size_t bytes)
{
    for (size_t i = 0; i < n; i++, p += bytes)
        for (size_t a = 0, b = bytes - 1; a < b; a++, b--) {
            uint8_t t = p[a];

            p[a] = p[b];
            p[b] = t;
        }
}

/* ---- reading the header ------------------------------------------------------------- */

static spi_err check_kind(struct header *h)
{
    const uint8_t *stamp = at_word(h->byte, W_MACHST);
    char hint[SPI_HINT_MAX];

    if (h->byte[0] == 0x1f && h->byte[1] == 0x8b)
        return spi_fail(SPI_EFORMAT, "%s: is compressed by gzip; unpack it first", h->path);
    if (memcmp(at_word(h->byte, W_STAMP), "MAP", 3) != 0)
        return spi_fail(SPI_EFORMAT, "%s: is no map (MRC, CCP4): word 53 is not 'MAP '%s",
                        h->path, spi_h5_kind_hint(h->path, hint));
    if (stamp[0] != 0x44 && stamp[0] != 0x11)
        return spi_fail(
            SPI_EFORMAT,
            "%s: word 54 (MACHST) is 0x%02x 0x%02x; need 0x44 0x44 or 0x44 0x41 "
            "(little-endian) or 0x11 0x11 (big-endian)",
            h->path, stamp[0], stamp[1]);
    h->big = stamp[0] == 0x11;
    return SPI_OK;
}

static spi_err check_shape(const struct header *h, struct spi_mrc_info *info)
{
    int seen = 0;

    for (int k = 0; k < 3; k++) {
        int n = int_word(h, W_N + k), axis = int_word(h, W_MAP + k);

        if (n < 1 || n > SIDE_MAX)
            return spi_fail(SPI_EFORMAT, "%s: word %d (N%c) is %d; need 1..%d", h->path,
                            W_N + k, "XYZ"[k], n, SIDE_MAX);
        if (axis < 1 || axis > 3 || seen >> axis & 1)
            return spi_fail(SPI_EFORMAT,
                            "%s: word %d (MAP%c) is %d; need each of 1, 2, 3 once in words "
                            "17 to 19",
                            h->path, W_MAP + k, "CRS"[k], axis);
        seen |= 1 << axis;
        info->axes[k] = axis;
        info->n[axis - 1] = n;
        info->start[axis - 1] = int_word(h, W_START + k);
    }
    return SPI_OK;
}

/* A voxel that the header does not tell is 0: only densities need it (check_cell). */
static void read_cell(const struct header *h, struct spi_mrc_info *info)
{
    for (int k = 0; k < 3; k++) {
        double origin = real_word(h, W_ORIGIN + k);

        info->m[k] = int_word(h, W_M + k);
        info->cell_A[k] = real_word(h, W_CELL + k);
        if (info->m[k] >= 1 && isfinite(info->cell_A[k]) && info->cell_A[k] > 0)
            info->voxel_A[k] = info->cell_A[k] / info->m[k];
        info->angle_deg[k] = real_word(h, W_ANGLE + k);
        info->origin_A[k] = isfinite(origin) ? origin : 0;
    }
}

/* Printable text without the blanks at its end. */
static void copy_label(const uint8_t *from, char to[81])
{
    int n = 0;

    for (int i = 0; i < 80; i++) {
        to[i] = ' ';
        if (from[i] > 32 && from[i] < 127) {
            to[i] = (char)from[i];
            n = i + 1;
        }
    }
    to[n] = '\0';
}

static spi_err check_header(struct header *h, struct spi_mrc_info *info)
{
    spi_err err;
    int n_labels;

    SPI_TRY(err = check_kind(h), out);
    info->big_endian = h->big;
    info->mode = int_word(h, W_MODE);
    if (!find_mode(info->mode))
        return spi_fail(SPI_EFORMAT, "%s: word 4 (MODE) is %d; 0, 1, 2, 6 and 12 are read",
                        h->path, info->mode);
    SPI_TRY(err = check_shape(h, info), out);
    read_cell(h, info);
    info->space_group = int_word(h, W_ISPG);
    if (info->space_group < 0 || info->space_group > 230)
        return spi_fail(SPI_EFORMAT,
                        "%s: word 23 (ISPG) is %d; need 0..230 (one volume, not a stack)",
                        h->path, info->space_group);
    info->extended_bytes = int_word(h, W_NSYMBT);
    if (info->extended_bytes < 0)
        return spi_fail(SPI_EFORMAT, "%s: word 24 (NSYMBT) is %d; need 0 or more", h->path,
                        info->extended_bytes);
    n_labels = int_word(h, W_NLABL);
    info->n_labels = n_labels < 0 ? 0 : n_labels > 10 ? 10 : n_labels;
    for (int i = 0; i < info->n_labels; i++)
        copy_label(at_word(h->byte, W_LABEL + 20 * i), info->labels[i]);
out:
    return err;
}

/* Before any memory is asked for: does the file hold what its header promises? */
static spi_err check_length(const char *path, FILE *fp, const struct spi_mrc_info *info)
{
    struct stat s;
    int bytes = find_mode(info->mode)->bytes;
    int64_t need = HEADER_BYTES + (int64_t)info->extended_bytes +
                   (int64_t)info->n[0] * info->n[1] * info->n[2] * bytes;

    if (fstat(fileno(fp), &s) != 0)
        return spi_fail(SPI_EIO, "%s: %s", path, strerror(errno));
    if (s.st_size < need)
        return spi_fail(SPI_EIO,
                        "%s: truncated: %d x %d x %d voxels of mode %d after %lld bytes of "
                        "header need %lld bytes; the file has %lld",
                        path, info->n[0], info->n[1], info->n[2], info->mode,
                        (long long)HEADER_BYTES + info->extended_bytes, (long long)need,
                        (long long)s.st_size);
    return SPI_OK;
}

/* ---- reading the data --------------------------------------------------------------- */

/* One row of the file to its places in [z][y][x]. */
static void place_row(const uint8_t *row, const struct mode *mode, int n, size_t step,
                      float *to)
{
    for (int i = 0; i < n; i++)
        to[(size_t)i * step] = mode->value(row + (size_t)i * (size_t)mode->bytes);
}

static spi_err read_data(const char *path, FILE *fp, struct spi_mrc_map *map)
{
    const struct spi_mrc_info *info = &map->info;
    const struct mode *mode = find_mode(info->mode);
    const size_t stride[3] = {1, (size_t)info->n[0],
                              (size_t)info->n[0] * (size_t)info->n[1]};
    const int c = info->axes[0] - 1, r = info->axes[1] - 1, s = info->axes[2] - 1;
    const size_t columns = (size_t)info->n[c];
    const bool swap = info->big_endian != (htobe16(1) == 1);
    uint8_t *row = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(map->data, stride[2] * (size_t)info->n[2], path), out);
    SPI_TRY(err = SPI_NEW(row, columns * (size_t)mode->bytes, path), out);
    for (int i = 0; i < info->n[s]; i++)
        for (int j = 0; j < info->n[r]; j++) {
            if (fread(row, (size_t)mode->bytes, columns, fp) != columns) {
                err = spi_fail(SPI_EIO, "%s: cannot read section %d, row %d: %s", path, i,
                               j, ferror(fp) ? strerror(errno) : "the file ends");
                goto out;
            }
            if (swap)
                reverse_values(row, columns, (size_t)mode->bytes);
            place_row(row, mode, info->n[c], stride[c],
                      map->data + (size_t)i * stride[s] + (size_t)j * stride[r]);
        }
out:
    free(row);
    return err;
}

/* Minimum, maximum, mean and deviation about the mean; the index of the first value that
 * is not finite, or -1. */
static int64_t statistics(const float *data, int64_t n, struct spi_mrc_info *info)
{
    double sum = 0, sum2 = 0, low = INFINITY, high = -INFINITY;

    for (int64_t i = 0; i < n; i++) {
        double v = (double)data[i];

        if (!isfinite(v))
            return i;
        sum += v;
        low = fmin(low, v);
        high = fmax(high, v);
    }
    info->minimum = low;
    info->maximum = high;
    info->mean = sum / (double)n;
    for (int64_t i = 0; i < n; i++) {
        double d = (double)data[i] - info->mean;

        sum2 += d * d;
    }
    info->rms = sqrt(sum2 / (double)n);
    return -1;
}

static spi_err check_values(const char *path, struct spi_mrc_map *map)
{
    const int *n = map->info.n;
    int64_t nx = n[0], ny = n[1];
    int64_t bad = statistics(map->data, nx * ny * n[2], &map->info);

    if (bad < 0)
        return SPI_OK;
    return spi_fail(SPI_EFORMAT,
                    "%s: voxel (x %lld, y %lld, z %lld) is %g; need a finite number", path,
                    (long long)(bad % nx), (long long)(bad / nx % ny),
                    (long long)(bad / nx / ny), (double)map->data[bad]);
}

spi_err spi_mrc_read_map(const char *path, struct spi_mrc_map *map)
{
    spi_err err;
    struct header h = {.path = path};
    FILE *fp = NULL;
    size_t got;

    *map = (struct spi_mrc_map){0};
    SPI_TRY(err = spi_file_check(path), out);
    fp = fopen(path, "rb");
    if (!fp)
        return spi_fail(SPI_EIO, "%s: %s", path, strerror(errno));
    got = fread(h.byte, 1, HEADER_BYTES, fp);
    if (got != HEADER_BYTES) {
        err =
            spi_fail(SPI_EIO, "%s: truncated: the header has %zu of 1024 bytes", path, got);
        goto out;
    }
    SPI_TRY(err = check_header(&h, &map->info), out);
    SPI_TRY(err = check_length(path, fp, &map->info), out);
    if (fseeko(fp, HEADER_BYTES + (off_t)map->info.extended_bytes, SEEK_SET) != 0) {
        err = spi_fail(SPI_EIO, "%s: %s", path, strerror(errno));
        goto out;
    }
    SPI_TRY(err = read_data(path, fp, map), out);
    err = check_values(path, map);
out:
    if (fp)
        fclose(fp);
    if (err)
        spi_mrc_map_clear(map);
    return err;
}

void spi_mrc_map_clear(struct spi_mrc_map *map)
{
    free(map->data);
    *map = (struct spi_mrc_map){0};
}

/* ---- cubes -------------------------------------------------------------------------- */

/* Voxels must have a size: that of the header, or else voxel_A, unless it is 0. */
static spi_err check_cell(const char *path, double voxel_A, struct spi_mrc_info *info)
{
    for (int k = 0; k < 3; k++) {
        if (info->voxel_A[k] > 0)
            continue;
        info->voxel_A[k] = voxel_A;
        if (voxel_A > 0)
            continue;
        if (info->m[k] < 1)
            return spi_fail(
                SPI_EFORMAT,
                "%s: word %d (M%c) is %d; need 1 or more: it gives the size of a "
                "voxel, as --voxel does for maps whose header has none",
                path, W_M + k, "XYZ"[k], info -> m[k]);
        return spi_fail(
            SPI_EFORMAT,
            "%s: word %d (CELLA %c) is %g; need a positive length: it gives the "
            "size of a voxel, as --voxel does for maps whose header has none",
            path, W_CELL + k, "xyz"[k], info -> cell_A[k]);
    }
    return SPI_OK;
}

static spi_err check_cube(const char *path, const struct spi_mrc_info *info, int *side)
{
    int low = SIDE_MAX, high = 2;
    double v = info->voxel_A[0];

    for (int k = 0; k < 3; k++) {
        /* 0 stands in files of programs that do not fill the angles. */
        if (fabs(info->angle_deg[k] - 90) > 0.01 && info->angle_deg[k] != 0)
            return spi_fail(SPI_EFORMAT,
                            "%s: word %d (CELLB) is %g degrees; need 90: only rectangular "
                            "cells are read",
                            path, W_ANGLE + k, info->angle_deg[k]);
        if (fabs(info->voxel_A[k] - v) > 1e-3 * v)
            return spi_fail(SPI_EFORMAT,
                            "%s: voxels are %g x %g x %g A (words 8 to 13); need equal "
                            "sides",
                            path, info->voxel_A[0], info->voxel_A[1], info->voxel_A[2]);
        low = info->n[k] < low ? info->n[k] : low;
        high = info->n[k] > high ? info->n[k] : high;
    }
    if (high > THIN_MAX * low)
        return spi_fail(SPI_EFORMAT,
                        "%s: %d x %d x %d voxels (words 1 to 3); need a volume at most %d "
                        "times longer than thick",
                        path, info->n[0], info->n[1], info->n[2], THIN_MAX);
    *side = high + high % 2;
    return SPI_OK;
}

spi_err spi_mrc_read(const char *path, struct spi_volume *vol, struct spi_mrc_info *info)
{
    return spi_mrc_read_voxel(path, 0, vol, info);
}

spi_err spi_mrc_read_voxel(const char *path, double voxel_A, struct spi_volume *vol,
                           struct spi_mrc_info *info)
{
    spi_err err;
    struct spi_mrc_map map;
    const int *n = map.info.n;
    int side = 0, at[3];

    *vol = (struct spi_volume){0};
    SPI_TRY(err = spi_mrc_read_map(path, &map), out);
    SPI_TRY(err = check_cell(path, voxel_A, &map.info), out);
    SPI_TRY(err = check_cube(path, &map.info, &side), out);
    SPI_TRY(err = spi_volume_init(
                vol, side,
                (map.info.voxel_A[0] + map.info.voxel_A[1] + map.info.voxel_A[2]) / 3),
            out);
    for (int k = 0; k < 3; k++)
        at[k] = side / 2 - n[k] / 2;
    for (int z = 0; z < n[2]; z++)
        for (int y = 0; y < n[1]; y++)
            memcpy(vol->data + spi_volume_index(vol, at[2] + z, at[1] + y, at[0]),
                   map.data + ((size_t)z * (size_t)n[1] + (size_t)y) * (size_t)n[0],
                   (size_t)n[0] * sizeof *map.data);
    if (info)
        *info = map.info;
out:
    spi_mrc_map_clear(&map);
    return err;
}

/* ---- writing ------------------------------------------------------------------------ */

static void put_int(uint8_t *head, int k, int32_t v)
{
    uint32_t w = htole32((uint32_t)v);

    memcpy(head + 4 * (size_t)(k - 1), &w, 4);
}

static void put_real(uint8_t *head, int k, double v)
{
    float f = (float)v;
    uint32_t w;

    memcpy(&w, &f, 4);
    w = htole32(w);
    memcpy(head + 4 * (size_t)(k - 1), &w, 4);
}

static spi_err put_labels(const char *path, const char *const *labels, uint8_t *head)
{
    uint8_t *label = head + (size_t)(W_LABEL - 1) * 4;
    size_t n = 0;

    memset(label, ' ', 800);
    for (; labels && labels[n]; n++) {
        size_t len = strlen(labels[n]);

        if (n == 10)
            return spi_fail(SPI_EINVAL, "%s: more than 10 labels", path);
        if (len > 80)
            return spi_fail(SPI_EINVAL,
                            "%s: label %d has %zu characters; need at most 80: \"%s\"",
                            path, (int)n + 1, len, labels[n]);
        for (size_t i = 0; i < len; i++) /* the standard wants printable ASCII */
            label[80 * n + i] =
                labels[n][i] >= ' ' && labels[n][i] <= '~' ? (uint8_t)labels[n][i] : '?';
    }
    put_int(head, W_NLABL, (int)n);
    return SPI_OK;
}

static spi_err make_header(const char *path, const struct spi_volume *vol,
                           const char *const *labels, uint8_t head[HEADER_BYTES])
{
    struct spi_mrc_info info = {0};
    const int half = vol->n / 2;
    int64_t bad = statistics(vol->data, (int64_t)spi_volume_count(vol), &info);

    memset(head, 0, HEADER_BYTES);
    if (bad >= 0)
        return spi_fail(SPI_EINVAL, "%s: voxel %lld of the map to write is %g", path,
                        (long long)bad, (double)vol->data[bad]);
    for (int k = 0; k < 3; k++) {
        put_int(head, W_N + k, vol->n);
        put_int(head, W_M + k, vol->n);
        put_real(head, W_CELL + k, vol->n * vol->step);
        put_real(head, W_ANGLE + k, 90);
        put_int(head, W_MAP + k, 1 + k);
        put_real(head, W_ORIGIN + k, -half * vol->step);
    }
    put_int(head, W_MODE, 2);
    put_real(head, W_DMIN, info.minimum);
    put_real(head, W_DMAX, info.maximum);
    put_real(head, W_DMEAN, info.mean);
    put_real(head, W_RMS, info.rms);
    put_int(head, W_ISPG, 1);
    put_int(head, W_NVERSION, 20141);
    put_int(head, W_STAMP, 'M' | 'A' << 8 | 'P' << 16 | ' ' << 24);
    put_int(head, W_MACHST, 0x4444);
    return put_labels(path, labels, head);
}

/* Rows in little-endian order; true if all went out. */
static bool put_data(FILE *fp, const struct spi_volume *vol, uint32_t *row)
{
    size_t n = (size_t)vol->n;

    for (size_t i = 0; i < n * n; i++) {
        memcpy(row, vol->data + i * n, n * sizeof *row);
        for (size_t j = 0; j < n; j++)
            row[j] = htole32(row[j]);
        if (fwrite(row, sizeof *row, n, fp) != n)
            return false;
    }
    return true;
}

spi_err spi_mrc_write(const char *path, const struct spi_volume *vol,
                      const char *const *labels)
{
    spi_err err;
    char tmp[SPI_PATH_MAX];
    uint8_t head[HEADER_BYTES];
    uint32_t *row = NULL;
    FILE *fp;
    int fd, code;

    SPI_TRY(err = make_header(path, vol, labels, head), out);
    SPI_TRY(err = SPI_NEW(row, vol->n, path), out);
    SPI_TRY(err = spi_file_create(path, tmp, &fd), out);
    SPI_TRY(err = spi_file_stream_take(tmp, fd, &fp), out);
    code = fwrite(head, 1, HEADER_BYTES, fp) == HEADER_BYTES && put_data(fp, vol, row)
               ? 0
               : errno;
    if (fclose(fp) != 0 && !code)
        code = errno;
    if (code) {
        err = spi_fail(SPI_EIO, "%s: cannot write it: %s", path, strerror(code));
        unlink(tmp);
        goto out;
    }
    err = spi_file_commit(tmp, path);
out:
    free(row);
    return err;
}
