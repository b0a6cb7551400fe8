/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Where the values of a dataset really are: links, other files, filters. */
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/h5.h"
#include "io/h5_priv.h"

enum { DEPTH_MOST = 8, SOURCES_MOST = 1 << 20 };

static bool follow_external;              /* raw files are allowed */
static struct spi_h5_sources *collecting; /* borrowed; NULL: nobody asks */
static struct {
    spi_h5_watch_fn *fn; /* NULL: none */
    const void *user;    /* borrowed */
} watching;

void spi_h5_follow_external(bool yes)
{
    follow_external = yes;
}

/* ---- the list of other files -------------------------------------------------------- */

void spi_h5_collect(struct spi_h5_sources *list)
{
    collecting = list;
}

void spi_h5_watch(spi_h5_watch_fn *fn, const void *user)
{
    watching.fn = fn;
    watching.user = user;
}

void spi_h5_sources_clear(struct spi_h5_sources *s)
{
    for (int i = 0; i < s->n; i++)
        free(s->path[i]);
    free(s->path);
    *s = (struct spi_h5_sources){0};
}

static spi_err collect(const char *path)
{
    struct spi_h5_sources *s = collecting;
    void *list;
    spi_err err;

    for (int i = s ? s->n - 1 : -1; i >= 0; i--) /* mostly the one before */
        if (strcmp(s->path[i], path) == 0)
            return SPI_OK;
    err = watching.fn ? watching.fn(path, watching.user) : SPI_OK;
    if (err || !s)
        return err;
    list = s->path;
    err = spi_grow(&list, sizeof *s->path, s->n, s->n + 1, &s->cap, path);
    s->path = list;
    if (err || !(s->path[s->n] = spi_text_copy(path, path)))
        return SPI_ENOMEM;
    s->n++;
    return SPI_OK;
}

/* ---- where HDF5 looks for a file ---------------------------------------------------- */

static bool is_file(const char *path)
{
    struct stat s;

    return stat(path, &s) == 0 && S_ISREG(s.st_mode);
}

static bool join(const char *dir, size_t length, const char *name, char out[SPI_PATH_MAX])
{
    int n = snprintf(out, SPI_PATH_MAX, "%.*s/%s", (int)length, dir, name);

    return n < SPI_PATH_MAX && is_file(out);
}

/* The places of a list "DIR:DIR:..." in the environment. */
static bool in_places(const char *places, const char *name, char out[SPI_PATH_MAX])
{
    for (const char *p = places; p && *p;) {
        size_t length = strcspn(p, ":");

        if (length > 0 && join(p, length, name, out))
            return true;
        p += length + (p[length] == ':');
    }
    return false;
}

static void folder_of(const char *path, char out[SPI_PATH_MAX])
{
    char copy[SPI_PATH_MAX];

    snprintf(copy, sizeof copy, "%s", path);
    snprintf(out, SPI_PATH_MAX, "%s", dirname(copy));
}

/* The file that HDF5 opens for `name`, written in the file `parent`: the name itself where
 * it is absolute, the folders of the environment variable, that of the parent, the working
 * directory, that of the file to which the parent is a symbolic link. */
static bool find_file(const char *parent, const char *variable, const char *name,
                      char out[SPI_PATH_MAX])
{
    char folder[SPI_PATH_MAX], real[PATH_MAX];
    const char *slash;

    if (*name == '/') {
        if (snprintf(out, SPI_PATH_MAX, "%s", name) < SPI_PATH_MAX && is_file(out))
            return true;
        slash = strrchr(name, '/');
        name = slash + 1;
    }
    if (in_places(getenv(variable), name, out))
        return true;
    folder_of(parent, folder);
    if (join(folder, strlen(folder), name, out))
        return true;
    if (snprintf(out, SPI_PATH_MAX, "%s", name) < SPI_PATH_MAX && is_file(out))
        return true;
    if (!realpath(parent, real))
        return false;
    folder_of(real, folder);
    return join(folder, strlen(folder), name, out);
}

/* ---- links -------------------------------------------------------------------------- */

/* Part of a name up to its next slash at or after `from`; 0: no more. */
static size_t next_part(const char *name, size_t from, char part[SPI_H5_NAME_MAX])
{
    size_t end;

    while (name[from] == '/')
        from++;
    if (!name[from])
        return 0;
    end = from + strcspn(name + from, "/");
    if (end >= SPI_H5_NAME_MAX)
        return 0;
    memcpy(part, name, end);
    part[end] = '\0';
    return end;
}

static H5I_type_t kind_of(hid_t file, const char *name)
{
    hid_t object = H5Oopen(file, name, H5P_DEFAULT);
    H5I_type_t kind = object >= 0 ? H5Iget_type(object) : H5I_BADID;

    if (object >= 0)
        H5Oclose(object);
    H5Eclear2(H5E_DEFAULT);
    return kind;
}

bool spi_h5_has(hid_t file, const char *name)
{
    char part[SPI_H5_NAME_MAX];
    H5I_type_t kind = H5I_BADID;
    bool any = false;

    for (size_t at = 0; (at = next_part(name, at, part)) > 0;) {
        if (H5Lexists(file, part, H5P_DEFAULT) <= 0) {
            H5Eclear2(H5E_DEFAULT);
            return false;
        }
        any = true;
        kind = kind_of(file, part);
        if (kind == H5I_BADID) /* something is there: opening says what is wrong with it */
            return true;
    }
    return any && kind != H5I_GROUP;
}

/* Why an external link fails: its file or its object. */
static spi_err external_link(hid_t file, const char *path, const char *part,
                             const char *target, const char *object)
{
    char parent[SPI_PATH_MAX] = "", at[SPI_PATH_MAX], folder[SPI_PATH_MAX];

    if (H5Fget_name(file, parent, sizeof parent) < 0)
        snprintf(parent, sizeof parent, "%s", path);
    if (find_file(parent, "HDF5_EXT_PREFIX", target, at))
        return spi_h5_fail(SPI_EFORMAT,
                           "%s: '%s' is a link to '%s' in the file %s, where it cannot be "
                           "opened",
                           path, part, object, at);
    folder_of(parent, folder);
    return spi_fail(SPI_EFORMAT,
                    "%s: '%s' is a link to '%s' in the file %s, which is not there; put "
                    "that file into the folder %s",
                    path, part, object, target, folder);
}

/* The first part of a name that cannot be opened, and why. */
static spi_err why_not(hid_t file, const char *path, const char *name)
{
    char part[SPI_H5_NAME_MAX], value[SPI_PATH_MAX], names[400];
    const char *target, *object;
    unsigned flags;
    H5L_info_t info;

    for (size_t at = 0; (at = next_part(name, at, part)) > 0;) {
        if (H5Lexists(file, part, H5P_DEFAULT) <= 0)
            break;
        if (kind_of(file, part) != H5I_BADID)
            continue;
        if (H5Lget_info(file, part, &info, H5P_DEFAULT) < 0 || info.type == H5L_TYPE_HARD ||
            info.u.val_size > sizeof value ||
            H5Lget_val(file, part, value, sizeof value, H5P_DEFAULT) < 0) {
            if (H5Oopen(file, part, H5P_DEFAULT) >= 0) /* again, for its reason */
                return spi_fail(SPI_EIO, "%s: '%s' cannot be opened", path, part);
            return spi_h5_fail(
                SPI_EFORMAT, "%s: '%s' cannot be opened, the file is damaged", path, part);
        }
        value[sizeof value - 1] = '\0';
        if (info.type == H5L_TYPE_SOFT)
            return spi_fail(SPI_EFORMAT,
                            "%s: '%s' is a link to '%s', which is not in the file", path,
                            part, value);
        if (H5Lunpack_elink_val(value, info.u.val_size, &flags, &target, &object) >= 0)
            return external_link(file, path, part, target, object);
        return spi_fail(SPI_EFORMAT, "%s: '%s' is a link of an unknown kind", path, part);
    }
    H5Eclear2(H5E_DEFAULT);
    spi_h5_names(file, names, sizeof names);
    return spi_fail(SPI_EFORMAT, "%s: has no dataset '%s'; it has: %s", path, name, names);
}

/* HDF5 is about to follow an external link: the file that it leads to. */
static herr_t on_external_link(const char *parent, const char *group, const char *target,
                               const char *object, unsigned *flags, hid_t access,
                               void *user)
{
    char at[SPI_PATH_MAX];
    spi_err *err = user;

    (void)group;
    (void)object;
    (void)flags;
    (void)access;
    if (find_file(parent, "HDF5_EXT_PREFIX", target, at)) /* else HDF5 fails as well */
        *err = collect(at);
    return *err ? -1 : 0;
}

/* Open an object and collect each file on the way to it. */
static spi_err open_object(hid_t file, const char *name, hid_t *object)
{
    hid_t access = H5Pcreate(H5P_LINK_ACCESS);
    spi_err err = SPI_OK;

    *object = -1;
    if (access >= 0 && H5Pset_elink_cb(access, on_external_link, &err) >= 0)
        *object = H5Oopen(file, name, access);
    if (access >= 0)
        H5Pclose(access);
    return err;
}

/* ---- filters ------------------------------------------------------------------------ */

static const struct {
    H5Z_filter_t id;
    const char *name, *package;
} known_filters[] = {
    {307, "bzip2", "hdf5-filter-plugin"},
    {32000, "LZF", "hdf5-plugin-lzf"},
    {32001, "Blosc", "hdf5-filter-plugin-blosc-serial"},
    {32004, "LZ4", "hdf5-filter-plugin"},
    {32008, "Bitshuffle", "bitshuffle"},
    {32013, "ZFP", "hdf5-filter-plugin-zfp-serial"},
};

static spi_err check_filters(hid_t create, const char *path, const char *name)
{
    int n = H5Pget_nfilters(create);

    for (int i = 0; i < n; i++) {
        size_t n_values = 0;
        unsigned flags, config;
        char says[80] = "";
        H5Z_filter_t id = H5Pget_filter2(create, (unsigned)i, &flags, &n_values, NULL,
                                         sizeof says, says, &config);

        if (id < 0 || H5Zfilter_avail(id) > 0)
            continue;
        H5Eclear2(H5E_DEFAULT);
        for (size_t k = 0; k < sizeof known_filters / sizeof *known_filters; k++)
            if (known_filters[k].id == id)
                return spi_fail(SPI_EFORMAT,
                                "%s: dataset '%s' is compressed with %s (filter %d), which "
                                "HDF5 does not have here; install the Debian package %s, "
                                "or unpack the file with 'h5repack -f NONE'",
                                path, name, known_filters[k].name, (int)id,
                                known_filters[k].package);
        return spi_fail(SPI_EFORMAT,
                        "%s: dataset '%s' is compressed with filter %d (%s), which HDF5 "
                        "does not have here; install its plugin and name the folder in "
                        "HDF5_PLUGIN_PATH, or unpack the file where it was made with "
                        "'h5repack -f NONE'",
                        path, name, (int)id, *says ? says : "without a name");
    }
    return SPI_OK;
}

/* ---- raw files ---------------------------------------------------------------------- */

/* Bytes of raw files follow no format, so that any file of the computer could be shown as
 * pixels: they are read only where the user says so. */
static spi_err check_raw_files(hid_t create, const char *path, const char *name)
{
    int n = H5Pget_external_count(create);
    spi_err err = SPI_OK;

    for (int i = 0; i < n && !err; i++) {
        char raw[SPI_PATH_MAX] = "", at[SPI_PATH_MAX];
        const char *places = getenv("HDF5_EXTFILE_PREFIX");
        off_t offset = 0;
        hsize_t bytes = 0;
        struct stat s;

        if (H5Pget_external(create, (unsigned)i, sizeof raw - 1, raw, &offset, &bytes) < 0)
            return spi_h5_fail(SPI_EFORMAT, "%s: dataset '%s' names no raw file", path,
                               name);
        if (!follow_external)
            return spi_fail(
                SPI_EFORMAT,
                "%s: the values of dataset '%s' lie in another file, %s, as raw "
                "bytes; if you trust this file, give --follow-external",
                path, name, raw);
        if (*raw == '/' || !places || !*places)
            snprintf(at, sizeof at, "%s", raw);
        else if (snprintf(at, sizeof at, "%s/%s", places, raw) >= (int)sizeof at)
            return spi_fail(SPI_EFORMAT, "%s: the name of a raw file is too long", path);
        if (stat(at, &s) != 0 || !S_ISREG(s.st_mode))
            return spi_fail(SPI_EFORMAT,
                            "%s: the values of dataset '%s' lie in the file %s, which is "
                            "not there (looked for from the working directory)",
                            path, name, at);
        if (bytes != H5F_UNLIMITED && ((hsize_t)s.st_size < (hsize_t)offset ||
                                       (hsize_t)s.st_size - (hsize_t)offset < bytes))
            return spi_fail(
                SPI_EFORMAT,
                "%s: the values of dataset '%s' need %llu bytes from %lld on of "
                "the file %s, which has %lld",
                path, name, (unsigned long long)bytes, (long long)offset, at,
                (long long)s.st_size);
        err = collect(at);
    }
    return err;
}

/* ---- virtual datasets --------------------------------------------------------------- */

/* One source of a virtual dataset. */
struct source {
    char file[SPI_PATH_MAX], data[SPI_H5_NAME_MAX]; /* as written; may hold %b */
    hid_t space, from; /* in the virtual dataset, in the source */
};

static spi_err check_dataset(hid_t data, const char *path, const char *name, int depth);

/* %b becomes the number of the block, %% a percent sign. */
static void expand(const char *from, int64_t block, char *to, size_t size)
{
    size_t used = 0;

    for (const char *p = from; *p && used + 1 < size; p++) {
        if (p[0] == '%' && p[1] == 'b') {
            used += (size_t)snprintf(to + used, size - used, "%lld", (long long)block);
            p++;
        } else {
            to[used++] = *p;
            p += p[0] == '%' && p[1] == '%';
        }
    }
    to[used < size ? used : size - 1] = '\0';
}

static bool has_block_number(const char *text)
{
    for (const char *p = text; *p; p++)
        if (p[0] == '%') {
            if (p[1] == 'b')
                return true;
            p += p[1] == '%';
        }
    return false;
}

/* The bounds of a selection of that rank; false: it has none, being unlimited or all. */
static bool bounds(hid_t space, int rank, hsize_t *low, hsize_t *high)
{
    hsize_t start[H5S_MAX_RANK], stride[H5S_MAX_RANK], count[H5S_MAX_RANK],
        block[H5S_MAX_RANK];
    bool yes = H5Sget_select_type(space) == H5S_SEL_HYPERSLABS &&
               H5Sget_simple_extent_ndims(space) == rank;

    if (yes && H5Sget_regular_hyperslab(space, start, stride, count, block) >= 0)
        for (int k = 0; k < rank; k++)
            yes = yes && count[k] != H5S_UNLIMITED && block[k] != H5S_UNLIMITED;
    yes = yes && H5Sget_select_bounds(space, low, high) >= 0;
    H5Eclear2(H5E_DEFAULT);
    return yes;
}

/* Does the source hold all that is taken from it? */
static spi_err check_extent(const struct source *s, hid_t data, const char *path,
                            const char *name, const char *file, const char *source)
{
    hid_t space = H5Dget_space(data);
    hsize_t dim[H5S_MAX_RANK], low[H5S_MAX_RANK], high[H5S_MAX_RANK];
    int rank = space >= 0 ? H5Sget_simple_extent_dims(space, dim, NULL) : -1;
    bool fits = rank >= 0;

    if (fits && bounds(s->from, rank, low, high))
        for (int k = 0; k < rank; k++)
            fits = fits && high[k] < dim[k];
    if (space >= 0)
        H5Sclose(space);
    H5Eclear2(H5E_DEFAULT);
    if (fits)
        return SPI_OK;
    return spi_fail(
        SPI_EFORMAT,
        "%s: the virtual dataset '%s' takes more from '%s' in %s than is there: "
        "was that file written to its end?",
        path, name, source, file);
}

static spi_err check_source(const struct source *s, int64_t block, hid_t data,
                            const char *path, const char *name, int depth)
{
    char file[SPI_PATH_MAX], source[SPI_H5_NAME_MAX],
        parent[SPI_PATH_MAX] = "", at[SPI_PATH_MAX], folder[SPI_PATH_MAX];
    hid_t opened = -1, from = -1;
    spi_err err;

    expand(s->file, block, file, sizeof file);
    expand(s->data, block, source, sizeof source);
    if (H5Fget_name(data, parent, sizeof parent) < 0)
        snprintf(parent, sizeof parent, "%s", path);
    if (strcmp(file, ".") == 0) {
        snprintf(at, sizeof at, "%s", parent);
    } else if (!find_file(parent, "HDF5_VDS_PREFIX", file, at)) {
        folder_of(parent, folder);
        return spi_fail(SPI_EFORMAT,
                        "%s: the virtual dataset '%s' takes values from '%s' in the file "
                        "%s, which is not there (they would be read as zeros); put that "
                        "file into the folder %s",
                        path, name, source, file, folder);
    }
    if (strcmp(file, ".") != 0)
        SPI_TRY(err = collect(at), out);
    opened = H5Fopen(at, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (opened >= 0)
        SPI_TRY(err = open_object(opened, source, &from), out);
    if (from < 0 || H5Iget_type(from) != H5I_DATASET) {
        err = spi_h5_fail(SPI_EFORMAT,
                          "%s: the virtual dataset '%s' takes values from '%s' in the file "
                          "%s, where it cannot be opened (they would be read as zeros)",
                          path, name, source, at);
        goto out;
    }
    SPI_TRY(err = check_extent(s, from, path, name, at, source), out);
    err = check_dataset(from, at, source, depth + 1);
out:
    if (from >= 0)
        H5Oclose(from);
    if (opened >= 0)
        H5Fclose(opened);
    return err;
}

/* How many blocks of a source with %b the dataset shows now. */
static int64_t blocks_shown(hid_t space, int rank, const hsize_t *dim)
{
    hsize_t start[H5S_MAX_RANK], stride[H5S_MAX_RANK], count[H5S_MAX_RANK],
        block[H5S_MAX_RANK];

    if (H5Sget_simple_extent_ndims(space) == rank &&
        H5Sget_regular_hyperslab(space, start, stride, count, block) >= 0)
        for (int k = 0; k < rank; k++)
            if (count[k] == H5S_UNLIMITED && stride[k] > 0)
                return dim[k] > start[k]
                           ? (int64_t)((dim[k] - start[k] + stride[k] - 1) / stride[k])
                           : 1;
    H5Eclear2(H5E_DEFAULT);
    return 1;
}

struct range {
    hsize_t low, high;
};

static int by_low(const void *a, const void *b)
{
    hsize_t x = ((const struct range *)a)->low, y = ((const struct range *)b)->low;

    return (x > y) - (x < y);
}

/* Rows of the first axis that come from no source would be read as fill values. */
static spi_err check_covered(size_t n, struct range *r, hsize_t rows, const char *path,
                             const char *name)
{
    hsize_t next = 0;

    qsort(r, n, sizeof *r, by_low);
    for (size_t i = 0; i < n && r[i].low <= next; i++)
        next = r[i].high + 1 > next ? r[i].high + 1 : next;
    if (next >= rows)
        return SPI_OK;
    return spi_fail(SPI_EFORMAT,
                    "%s: row %llu of %llu of the virtual dataset '%s' comes from no source "
                    "(it would be read as zeros)",
                    path, (unsigned long long)next, (unsigned long long)rows, name);
}

static spi_err read_source(hid_t create, size_t i, const char *path, const char *name,
                           struct source *s)
{
    ssize_t file = H5Pget_virtual_filename(create, i, s->file, sizeof s->file);
    ssize_t data = H5Pget_virtual_dsetname(create, i, s->data, sizeof s->data);

    s->space = H5Pget_virtual_vspace(create, i);
    s->from = H5Pget_virtual_srcspace(create, i);
    if (file <= 0 || file >= (ssize_t)sizeof s->file || data <= 0 ||
        data >= (ssize_t)sizeof s->data || s->space < 0 || s->from < 0)
        return spi_h5_fail(SPI_EFORMAT,
                           "%s: source %zu of the virtual dataset '%s' cannot be read",
                           path, i, name);
    return SPI_OK;
}

static spi_err check_virtual(hid_t create, hid_t data, const char *path, const char *name,
                             int depth)
{
    size_t n = 0;
    hid_t space = H5Dget_space(data);
    hsize_t dim[H5S_MAX_RANK] = {0};
    int rank = space >= 0 ? H5Sget_simple_extent_dims(space, dim, NULL) : -1;
    struct range *shown = NULL;
    spi_err err = SPI_OK;

    if (space >= 0)
        H5Sclose(space);
    if (rank < 1 || H5Pget_virtual_count(create, &n) < 0 || n < 1 || n > SOURCES_MOST)
        return spi_h5_fail(SPI_EFORMAT, "%s: the virtual dataset '%s' has %zu sources",
                           path, name, n);
    if (depth >= DEPTH_MOST)
        return spi_fail(SPI_EFORMAT,
                        "%s: the virtual dataset '%s' is built of virtual datasets more "
                        "than %d deep",
                        path, name, DEPTH_MOST);
    SPI_TRY(err = SPI_NEW(shown, n, path), out);
    for (size_t i = 0; i < n && !err; i++) {
        struct source s = {.space = -1, .from = -1};
        hsize_t low[H5S_MAX_RANK], high[H5S_MAX_RANK];
        int64_t blocks = 1;

        err = read_source(create, i, path, name, &s);
        if (!err && (has_block_number(s.file) || has_block_number(s.data)))
            blocks = blocks_shown(s.space, rank, dim);
        if (!err && blocks > SOURCES_MOST)
            err = spi_fail(SPI_EFORMAT, "%s: the virtual dataset '%s' has %lld blocks",
                           path, name, (long long)blocks);
        for (int64_t b = 0; b < blocks && !err; b++)
            err = check_source(&s, b, data, path, name, depth);
        shown[i] = (struct range){0, dim[0] > 0 ? dim[0] - 1 : 0};
        if (!err && bounds(s.space, rank, low, high))
            shown[i] = (struct range){low[0], high[0]};
        if (s.space >= 0)
            H5Sclose(s.space);
        if (s.from >= 0)
            H5Sclose(s.from);
    }
    SPI_TRY(err, out);
    err = check_covered(n, shown, dim[0], path, name);
out:
    free(shown);
    return err;
}

/* ---- one dataset -------------------------------------------------------------------- */

static spi_err check_dataset(hid_t data, const char *path, const char *name, int depth)
{
    hid_t create = H5Dget_create_plist(data);
    spi_err err;

    if (create < 0)
        return spi_h5_fail(SPI_EFORMAT, "%s: dataset '%s' cannot be read", path, name);
    SPI_TRY(err = check_filters(create, path, name), out);
    SPI_TRY(err = check_raw_files(create, path, name), out);
    if (H5Pget_layout(create) == H5D_VIRTUAL)
        err = check_virtual(create, data, path, name, depth);
    else
        err = spi_h5_check_stored(data, create, path, name);
out:
    H5Pclose(create);
    return err;
}

spi_err spi_h5_open_dataset(hid_t file, const char *path, const char *name, hid_t *data)
{
    spi_err err;

    *data = -1;
    if (spi_h5_has(file, name))
        SPI_TRY(err = open_object(file, name, data), out);
    if (*data < 0)
        return why_not(file, path, name);
    if (H5Iget_type(*data) != H5I_DATASET) {
        H5Oclose(*data);
        *data = -1;
        return spi_fail(SPI_EFORMAT, "%s: '%s' is not a dataset", path, name);
    }
    SPI_TRY(err = check_dataset(*data, path, name, 0), fail);
    return SPI_OK;
fail:
    H5Dclose(*data);
    *data = -1;
out:
    return err;
}
