/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/parallel.h"
#include "io/file.h"
#include "io/h5_priv.h"
#include "io/kind.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static double locked_at_s; /* (lock) where it is noted (base/parallel.h) */

void spi_h5_lock(void)
{
    static bool begun;

    pthread_mutex_lock(&lock);
    if (!begun) {
        /* Files are closed by their owners.  At the end of a process HDF5 would try again
         * to close a file that it could not write, and crash. */
        H5dont_atexit();
        begun = true;
    }
    /* Each time: a thread-safe HDF5 has an error stack per thread. */
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    H5Eclear2(H5E_DEFAULT);
    locked_at_s = spi_noted() ? spi_cpu_s() : 0;
}

void spi_h5_unlock(void)
{
    if (spi_noted())
        spi_note_alone(spi_cpu_s() - locked_at_s);
    pthread_mutex_unlock(&lock);
}

/* ---- messages ----------------------------------------------------------------------- */

struct reason {
    char text[256];
};

/* The first entry of an upward walk is where it happened. */
static herr_t take_reason(unsigned n, const H5E_error2_t *e, void *user)
{
    struct reason *r = user;
    const char *start, *end;

    if (n > 0)
        return 1;
    start = strstr(e->desc, "error message = '");
    if (start) { /* what the system said is all that helps */
        start += strlen("error message = '");
        end = strchr(start, '\'');
        snprintf(r->text, sizeof r->text, "%.*s", (int)(end ? end - start : 200), start);
    } else {
        snprintf(r->text, sizeof r->text, "%s", e->desc);
    }
    return 1;
}

static struct reason last_reason(void)
{
    struct reason r = {""};

    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_reason, &r);
    H5Eclear2(H5E_DEFAULT);
    return r;
}

__attribute__((format(printf, 2, 0))) static spi_err fail(spi_err err, const char *fmt,
                                                          va_list ap)
{
    struct reason r = last_reason();
    char text[700];

    vsnprintf(text, sizeof text, fmt, ap);
    return spi_fail(err, "%s%s%s", text, *r.text ? ": " : "", r.text);
}

spi_err spi_h5_fail(spi_err err, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    err = fail(err, fmt, ap);
    va_end(ap);
    return err;
}

/* What HDF5 still has to write to this file goes to /dev/null from now on. */
static void divert(hid_t object)
{
    hid_t file = H5Iget_file_id(object);
    void *handle = NULL;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (file >= 0 && null >= 0 && H5Fget_vfd_handle(file, H5P_DEFAULT, &handle) >= 0 &&
        handle)
        dup2(null, *(int *)handle);
    if (null >= 0)
        close(null);
    if (file >= 0)
        H5Fclose(file);
    H5Eclear2(H5E_DEFAULT);
}

spi_err spi_h5_write_failed(hid_t object, const char *fmt, ...)
{
    spi_err err;
    va_list ap;

    va_start(ap, fmt);
    err = fail(SPI_EIO, fmt, ap);
    va_end(ap);
    divert(object);
    return err;
}

/* ---- files -------------------------------------------------------------------------- */

bool spi_h5_signature(const char *path)
{
    static const char want[8] = "\x89HDF\r\n\x1a\n";
    char got[8] = "";
    FILE *fp = fopen(path, "rb");
    size_t n;

    if (!fp)
        return false;
    n = fread(got, 1, sizeof got, fp);
    fclose(fp);
    return n == sizeof got && memcmp(got, want, sizeof got) == 0;
}

spi_err spi_h5_open(const char *path, hid_t *file)
{
    spi_err err;
    const char *stored;
    struct reason r;
    struct stat s;
    char hint[SPI_HINT_MAX];
    enum spi_kind kind;

    *file = -1;
    SPI_TRY(err = spi_file_check(path), out);
    if (!spi_h5_signature(path)) {
        SPI_TRY(err = spi_kind_of_file(path, &kind), out);
        return spi_fail(SPI_EFORMAT, "%s: is not an HDF5 file%s", path,
                        spi_kind_hint(kind, hint));
    }
    SPI_TRY(err = spi_h5_guard(path), out);
    *file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (*file >= 0)
        return SPI_OK;

    r = last_reason();
    stored = strstr(r.text, "stored_eof = ");
    if (stored && stat(path, &s) == 0)
        return spi_fail(SPI_EIO,
                        "%s: truncated: an HDF5 file of %s bytes; only %lld are there",
                        path, stored + strlen("stored_eof = "), (long long)s.st_size);
    if (strstr(r.text, "already open for write") || strstr(r.text, "SWMR") ||
        strstr(r.text, "h5clear"))
        return spi_fail(SPI_EIO,
                        "%s: a program is writing this file, or died while it wrote; wait "
                        "until it has closed the file; only if nobody has it open: "
                        "'h5clear -s %s' (Debian package hdf5-tools), then look at the "
                        "last images",
                        path, path);
    err = spi_fail(SPI_EFORMAT, "%s: a broken HDF5 file: %s", path, r.text);
out:
    return err;
}

/* A clear message and no file where not even the first block can be written: HDF5 leaves an
 * open file behind then. */
static spi_err try_to_write(const char *path)
{
    static const char block[8192];
    char tmp[SPI_PATH_MAX];
    int fd, code = 0;
    spi_err err = spi_file_create(path, tmp, &fd);

    if (err)
        return err;
    for (ssize_t done = 0, n; done < (ssize_t)sizeof block && !code; done += n) {
        n = pwrite(fd, block, sizeof block - (size_t)done, done);
        if (n <= 0)
            code = n < 0 ? errno : ENOSPC;
    }
    close(fd);
    unlink(tmp); /* HDF5 makes it anew, and refuses one that appears meanwhile */
    return code ? spi_fail(SPI_EIO, "%s: cannot write it: %s", path, strerror(code))
                : SPI_OK;
}

spi_err spi_h5_create(const char *path, const char *tmp, hid_t *file)
{
    spi_err err;
    hid_t access;

    *file = -1;
    SPI_TRY(err = try_to_write(path), out);
    access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
    /* The format of HDF5 1.8: its headers have checksums, so damage is noticed (the library
     * can crash on damaged headers of the older format), and every reader knows it. */
    H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18);
    *file = H5Fcreate(tmp, H5F_ACC_EXCL, H5P_DEFAULT, access);
    if (*file < 0)
        err = spi_h5_fail(SPI_EIO, "%s: cannot create it", path);
    H5Pclose(access);
out:
    return err;
}

spi_err spi_h5_flush(const char *path, hid_t object)
{
    if (H5Fflush(object, H5F_SCOPE_GLOBAL) < 0)
        return spi_h5_write_failed(object, "%s: cannot write it", path);
    return SPI_OK;
}

spi_err spi_h5_close_written(const char *path, hid_t file)
{
    spi_err err = spi_h5_flush(path, file);

    if (H5Fclose(file) < 0 && !err)
        err = spi_h5_fail(SPI_EIO, "%s: cannot close it", path);
    return err;
}

/* ---- datasets ----------------------------------------------------------------------- */

void spi_h5_names(hid_t file, char *text, size_t size)
{
    H5G_info_t info;
    size_t used = 0;

    snprintf(text, size, "nothing");
    if (H5Gget_info(file, &info) < 0)
        return;
    for (hsize_t i = 0; i < info.nlinks && i < 12 && used < size; i++) {
        char name[64] = "";

        if (H5Lget_name_by_idx(file, ".", H5_INDEX_NAME, H5_ITER_INC, i, name, sizeof name,
                               H5P_DEFAULT) < 0)
            break;
        used += (size_t)snprintf(text + used, size - used, "%s%s", i ? ", " : "", name);
    }
}

const char *spi_h5_shape_text(int rank, const hsize_t *dim, char text[256])
{
    size_t used = (size_t)snprintf(text, 256, "(");

    for (int i = 0; i < rank && used < 220; i++)
        used += (size_t)snprintf(text + used, 256 - used, "%s%llu", i ? ", " : "",
                                 (unsigned long long)dim[i]);
    snprintf(text + used, 256 - used, ")");
    return text;
}

const char *spi_h5_type_text(const struct spi_h5_shape *s, char text[32])
{
    int bits = (int)(8 * s->type_size);

    if (s->is_enum)
        snprintf(text, 32, "enum%d", bits);
    else if (s->type_class == H5T_INTEGER)
        snprintf(text, 32, "%sint%d", s->is_signed ? "" : "u", bits);
    else if (s->type_class == H5T_FLOAT)
        snprintf(text, 32, "float%d", bits);
    else
        snprintf(text, 32, "%s", s->type_class == H5T_STRING ? "text" : "not a number");
    return text;
}

/* Deflate shrinks at most 1032 times (RFC 1951: 258 bytes in two bits), and small arrays
 * may be left out as fill values; but a dataset of gigabytes with next to nothing stored is
 * a broken file, and we shall not ask for that much memory. */
spi_err spi_h5_check_stored(hid_t data, hid_t create, const char *path, const char *name)
{
    hid_t space = H5Dget_space(data), type = H5Dget_type(data);
    hsize_t dim[H5S_MAX_RANK], stored = H5Dget_storage_size(data);
    int rank = space >= 0 ? H5Sget_simple_extent_dims(space, dim, NULL) : -1;
    double bytes = type >= 0 ? (double)H5Tget_size(type) : 0;
    char text[256];

    for (int i = 0; i < rank; i++)
        bytes *= (double)dim[i];
    if (type >= 0)
        H5Tclose(type);
    if (space >= 0)
        H5Sclose(space);
    if (bytes <= 64e6 || bytes <= 1100 * (double)stored ||
        H5Pget_external_count(create) > 0)
        return SPI_OK;
    return spi_fail(SPI_EFORMAT,
                    "%s: dataset '%s' of shape %s has only %llu bytes in the file: not "
                    "written to its end?",
                    path, name, spi_h5_shape_text(rank, dim, text),
                    (unsigned long long)stored);
}

static spi_err shape_of(hid_t data, const char *path, const char *name,
                        struct spi_h5_shape *s)
{
    hid_t space = H5Dget_space(data), type = H5Dget_type(data), base;
    spi_err err = SPI_OK;

    *s = (struct spi_h5_shape){0};
    s->rank = space >= 0 ? H5Sget_simple_extent_dims(space, s->dim, NULL) : -1;
    s->type_class = type >= 0 ? H5Tget_class(type) : H5T_NO_CLASS;
    s->type_size = type >= 0 ? H5Tget_size(type) : 0;
    if (s->type_class == H5T_ENUM) { /* numpy's bool: numbers that have names */
        base = H5Tget_super(type);
        H5Tclose(type);
        type = base;
        s->type_class = H5T_INTEGER;
        s->is_enum = true;
    }
    s->is_signed = s->type_class == H5T_INTEGER && H5Tget_sign(type) == H5T_SGN_2;
    if (s->rank < 0 || type < 0)
        err = spi_h5_fail(SPI_EFORMAT, "%s: dataset '%s' has no shape", path, name);
    if (type >= 0)
        H5Tclose(type);
    if (space >= 0)
        H5Sclose(space);
    return err;
}

spi_err spi_h5_shape(hid_t file, const char *path, const char *name,
                     struct spi_h5_shape *out)
{
    hid_t data;
    spi_err err;

    SPI_TRY(err = spi_h5_open_dataset(file, path, name, &data), out);
    err = shape_of(data, path, name, out);
    H5Dclose(data);
out:
    return err;
}

spi_err spi_h5_read(hid_t file, const char *path, const char *name, hid_t memory, int rank,
                    const hsize_t *dim, void *out)
{
    spi_err err;
    struct spi_h5_shape s;
    struct spi_h5_rows *rows = NULL;
    char found[256], need[256];

    SPI_TRY(err = spi_h5_shape(file, path, name, &s), out);
    if (s.rank != rank || memcmp(s.dim, dim, (size_t)rank * sizeof *dim) != 0) {
        err = spi_fail(SPI_EFORMAT, "%s: dataset '%s' has shape %s; need %s", path, name,
                       spi_h5_shape_text(s.rank, s.dim, found),
                       spi_h5_shape_text(rank, dim, need));
        goto out;
    }
    if (s.type_class != H5T_INTEGER && s.type_class != H5T_FLOAT &&
        s.type_class != H5Tget_class(memory)) {
        err = spi_fail(SPI_EFORMAT, "%s: dataset '%s' is %s; need numbers", path, name,
                       spi_h5_type_text(&s, found));
        goto out;
    }
    SPI_TRY(err = spi_h5_rows_open(file, path, name, memory, &rows), out);
    err = spi_h5_rows_read(rows, 0, rank > 0 ? dim[0] : 1, out);
out:
    spi_h5_rows_close(rows);
    return err;
}

spi_err spi_h5_write(hid_t file, const char *path, const char *name, hid_t type,
                     hid_t memory, int rank, const hsize_t *dim, const void *data)
{
    spi_err err = SPI_OK;
    hid_t space = H5Screate_simple(rank, dim, NULL);
    hid_t set = H5Dcreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);

    if (set < 0 || H5Dwrite(set, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0)
        err = spi_h5_write_failed(file, "%s: cannot write dataset '%s'", path, name);
    else
        err = spi_h5_flush(path, file);
    if (set >= 0)
        H5Dclose(set);
    H5Sclose(space);
    return err;
}

/* ---- attributes --------------------------------------------------------------------- */

static hid_t open_attribute(hid_t object, const char *name)
{
    hid_t a = H5Aexists(object, name) > 0 ? H5Aopen(object, name, H5P_DEFAULT) : -1;

    H5Eclear2(H5E_DEFAULT);
    return a;
}

static bool is_single(hid_t attribute)
{
    hid_t space = H5Aget_space(attribute);
    bool yes = space >= 0 && H5Sget_simple_extent_npoints(space) == 1;

    if (space >= 0)
        H5Sclose(space);
    return yes;
}

static spi_err fixed_text(hid_t attribute, hid_t type, char **out)
{
    size_t size = H5Tget_size(type);
    spi_err err = SPI_NEW(*out, size + 1, "text");

    if (!err && H5Aread(attribute, type, *out) < 0) {
        free(*out);
        *out = NULL;
    }
    return err;
}

/* Text of variable length lies in a heap of the file without a checksum: one damaged byte
 * there lets HDF5 (1.10.8) loop for ever or crash. */
spi_err spi_h5_text(hid_t object, const char *name, char **out)
{
    hid_t a = open_attribute(object, name), type;
    spi_err err = SPI_OK;

    *out = NULL;
    if (a < 0)
        return SPI_OK;
    type = H5Aget_type(a);
    if (type >= 0 && H5Tget_class(type) == H5T_STRING && is_single(a)) {
        if (H5Tis_variable_str(type) <= 0)
            err = fixed_text(a, type, out);
        else if (!(*out = spi_text_copy("(text of variable length, which is not read)",
                                        "text")))
            err = SPI_ENOMEM;
    }
    if (type >= 0)
        H5Tclose(type);
    H5Aclose(a);
    H5Eclear2(H5E_DEFAULT);
    return err;
}

bool spi_h5_has_attribute(hid_t object, const char *name)
{
    bool yes = H5Aexists(object, name) > 0;

    H5Eclear2(H5E_DEFAULT);
    return yes;
}

bool spi_h5_number(hid_t object, const char *name, double *out)
{
    bool ok = false;
    hid_t a = open_attribute(object, name), type;
    H5T_class_t c;

    if (a < 0)
        return false;
    type = H5Aget_type(a);
    c = type >= 0 ? H5Tget_class(type) : H5T_NO_CLASS;
    if ((c == H5T_INTEGER || c == H5T_FLOAT) && is_single(a))
        ok = H5Aread(a, H5T_NATIVE_DOUBLE, out) >= 0;
    if (type >= 0)
        H5Tclose(type);
    H5Aclose(a);
    H5Eclear2(H5E_DEFAULT);
    return ok;
}

static spi_err put(hid_t object, const char *path, const char *name, hid_t space,
                   hid_t type, hid_t memory, const void *value)
{
    spi_err err = SPI_OK;
    hid_t a = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);

    if (a < 0 || H5Awrite(a, memory, value) < 0)
        err = spi_h5_write_failed(object, "%s: cannot write attribute '%s'", path, name);
    if (a >= 0)
        H5Aclose(a);
    H5Sclose(space);
    return err;
}

/* Of fixed length: such text lies in a header, under a checksum; text of variable length
 * does not, and the library can crash where it is damaged. */
spi_err spi_h5_put_text(hid_t object, const char *path, const char *name, const char *text)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    spi_err err;

    H5Tset_size(type, strlen(text) + 1);
    H5Tset_cset(type, H5T_CSET_UTF8);
    err = put(object, path, name, H5Screate(H5S_SCALAR), type, type, text);
    H5Tclose(type);
    return err;
}

spi_err spi_h5_put_number(hid_t object, const char *path, const char *name, double value)
{
    return put(object, path, name, H5Screate(H5S_SCALAR), H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE,
               &value);
}

spi_err spi_h5_put_integers(hid_t object, const char *path, const char *name, int n,
                            const int64_t *value)
{
    hsize_t dim = (hsize_t)n;

    return put(object, path, name,
               n == 1 ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, &dim, NULL),
               H5T_STD_I64LE, H5T_NATIVE_INT64, value);
}
