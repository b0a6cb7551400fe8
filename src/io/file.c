/* SPDX-License-Identifier: GPL-3.0-or-later */
#define _XOPEN_SOURCE 700 /* nftw */
#include "io/file.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* FNV-1a: tells names apart, and is the same in each run. */
static uint32_t hash_of(const char *name)
{
    uint32_t h = 2166136261U;

    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 16777619U;
    return h;
}

spi_err spi_tmp_path(const char *path, char tmp[SPI_PATH_MAX])
{
    static const char mark[] = ".spinifel-tmp";
    enum { SHORT = 1 + 8 + sizeof mark }; /* ".12345678.spinifel-tmp", with its NUL */
    const char *slash = strrchr(path, '/');
    size_t n = strlen(path), folder = slash ? (size_t)(slash - path) + 1 : 0;

    if (n == 0)
        return spi_fail(SPI_EINVAL, "the name of an output file is empty");
    if (n - folder > NAME_MAX)
        return spi_fail(SPI_EINVAL,
                        "the name of an output file has %zu bytes; need at most %d",
                        n - folder, NAME_MAX);
    if (n >= SPI_PATH_MAX || folder + SHORT > SPI_PATH_MAX)
        return spi_fail(SPI_EINVAL,
                        "the path of an output file has %zu bytes, its folder %zu; need at "
                        "most %d and %zu",
                        n, folder, SPI_PATH_MAX - 1, SPI_PATH_MAX - (size_t)SHORT);
    if (n - folder + sizeof mark <= NAME_MAX && n + 1 + sizeof mark <= SPI_PATH_MAX)
        snprintf(tmp, SPI_PATH_MAX, "%.*s.%s%s", (int)folder, path, path + folder, mark);
    else
        snprintf(tmp, SPI_PATH_MAX, "%.*s.%08x%s", (int)folder, path,
                 (unsigned)hash_of(path + folder), mark);
    return SPI_OK;
}

/* The reason why something could not be made at `path`: most often its folder is missing.
 */
static spi_err cannot_make(const char *path, const char *what, int code)
{
    char copy[SPI_PATH_MAX];
    const char *folder;
    struct stat s;

    if (code == ENOENT && snprintf(copy, sizeof copy, "%s", path) < (int)sizeof copy) {
        folder = dirname(copy);
        if (stat(folder, &s) != 0 && errno == ENOENT)
            return spi_fail(SPI_EIO,
                            "%s: cannot %s: the directory %s does not exist; make it first",
                            path, what, folder);
    }
    return spi_fail(SPI_EIO, "%s: cannot %s: %s", path, what, strerror(code));
}

/* Another process holds the lock of the file it writes for as long as it lives. */
static bool somebody_writes(const char *tmp)
{
    int fd = open(tmp, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    bool yes = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;

    if (fd >= 0)
        close(fd);
    return yes;
}

/* What a killed run left behind, or a link that somebody planted: the name goes, what a
 * link points to stays as it is. */
static spi_err remove_stale(const char *path, const char *tmp)
{
    struct stat s;

    if (lstat(tmp, &s) != 0)
        return SPI_OK; /* gone meanwhile */
    if (!S_ISREG(s.st_mode) && !S_ISLNK(s.st_mode))
        return spi_fail(SPI_EIO,
                        "%s: cannot create it: its temporary name %s is taken by something "
                        "that is no file; move that away",
                        path, tmp);
    if (S_ISREG(s.st_mode) && somebody_writes(tmp))
        return spi_fail(SPI_EIO, "%s: another process is writing it (as %s)", path, tmp);
    if (unlink(tmp) != 0 && errno != ENOENT)
        return spi_fail(SPI_EIO, "%s: cannot remove %s, which an earlier run left: %s",
                        path, tmp, strerror(errno));
    return SPI_OK;
}

spi_err spi_file_create(const char *path, char tmp[SPI_PATH_MAX], int *fd)
{
    enum { TRIES = 4 }; /* two that begin at once may remove each other's file once */
    spi_err err = spi_tmp_path(path, tmp);

    *fd = -1;
    for (int i = 0; i < TRIES && !err; i++) {
        *fd = open(tmp, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (*fd >= 0) {
            (void)flock(*fd, LOCK_EX | LOCK_NB); /* some file systems have no locks */
            return SPI_OK;
        }
        if (errno != EEXIST)
            break;
        err = remove_stale(path, tmp);
    }
    return err ? err : cannot_make(path, "create it", errno);
}

spi_err spi_file_stream_take(const char *tmp, int fd, FILE **out)
{
    *out = fdopen(fd, "wb");
    if (*out)
        return SPI_OK;
    close(fd);
    unlink(tmp);
    return spi_no_memory(tmp, 0);
}

/* A rename lasts only when its directory is on the disk as well.  Some file systems refuse
 * to sync a directory; the data are safe then, so that is no error. */
static void sync_directory_of(const char *path)
{
    char copy[SPI_PATH_MAX];
    int fd;

    if (snprintf(copy, sizeof copy, "%s", path) >= (int)sizeof copy)
        return;
    fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)fsync(fd);
    close(fd);
}

spi_err spi_file_commit(const char *tmp, const char *path)
{
    const char *step = "cannot open it again";
    int fd = open(tmp, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), code;

    if (fd < 0)
        goto fail;
    step = "cannot bring it to the disk";
    if (fsync(fd) != 0)
        goto fail;
    close(fd);
    fd = -1;
    step = "cannot give it its name";
    if (rename(tmp, path) != 0)
        goto fail;
    sync_directory_of(path);
    return SPI_OK;
fail:
    code = errno;
    if (fd >= 0)
        close(fd);
    unlink(tmp);
    return spi_fail(SPI_EIO, "%s: %s (written as %s): %s", path, step, tmp, strerror(code));
}

/* All of it, however often the system stops short. */
static int write_all(int fd, const char *text, size_t len)
{
    while (len) {
        ssize_t n = write(fd, text, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        text += n;
        len -= (size_t)n;
    }
    return 0;
}

spi_err spi_file_write_text(const char *path, const char *text, size_t len)
{
    spi_err err;
    char tmp[SPI_PATH_MAX];
    int fd, code;

    SPI_TRY(err = spi_file_create(path, tmp, &fd), out);
    code = write_all(fd, text, len) == 0 ? 0 : errno;
    if (close(fd) != 0 && !code)
        code = errno;
    if (code) {
        unlink(tmp);
        return spi_fail(SPI_EIO, "%s: cannot write %zu bytes: %s", path, len,
                        strerror(code));
    }
    err = spi_file_commit(tmp, path);
out:
    return err;
}

spi_err spi_file_check(const char *path)
{
    struct stat s;

    if (stat(path, &s) != 0)
        return spi_fail(SPI_EIO, "%s: %s", path, strerror(errno));
    if (S_ISDIR(s.st_mode))
        return spi_fail(SPI_EIO, "%s: is a directory; need a file", path);
    if (!S_ISREG(s.st_mode))
        return spi_fail(SPI_EIO, "%s: is not a regular file", path);
    if (s.st_size == 0)
        return spi_fail(SPI_EIO, "%s: is empty", path);
    if (access(path, R_OK) != 0)
        return spi_fail(SPI_EIO, "%s: cannot be read: %s", path, strerror(errno));
    return SPI_OK;
}

spi_err spi_dir_make(const char *dir)
{
    struct stat s;

    if (*dir == '\0')
        return spi_fail(SPI_EINVAL, "the name of the output directory is empty");
    if (mkdir(dir, 0777) != 0 && errno != EEXIST)
        return cannot_make(dir, "make this directory", errno);
    if (stat(dir, &s) != 0)
        return spi_fail(SPI_EIO, "%s: %s", dir, strerror(errno));
    if (!S_ISDIR(s.st_mode))
        return spi_fail(SPI_EIO, "%s: is a file; need a directory", dir);
    if (access(dir, W_OK | X_OK) != 0)
        return spi_fail(SPI_EIO, "%s: cannot write in this directory: %s", dir,
                        strerror(errno));
    return SPI_OK;
}

/* ---- directories of the program's own ----------------------------------------------- */

static const char own[] = ".spinifel";

static bool is_own(int dir)
{
    struct stat s;

    return fstatat(dir, own, &s, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(s.st_mode);
}

static bool is_empty(int dir)
{
    DIR *list = fdopendir(dup(dir));
    int n = 0;

    for (const struct dirent *e; list && (e = readdir(list)) != NULL;)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    return list && closedir(list) == 0 && n == 0;
}

bool spi_dir_is_foreign(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    bool yes;

    if (fd < 0)
        return errno != ENOENT;
    yes = !is_own(fd) && !is_empty(fd);
    close(fd);
    return yes;
}

/* The mark is made in one step: a kill leaves an empty directory, or a marked one. */
static int put_mark(int dir)
{
    int fd;

    if (is_own(dir))
        return 0; /* perhaps by another user */
    fd = openat(dir, own, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);

    return fd < 0 ? -1 : close(fd);
}

spi_err spi_dir_parent_check(const char *dir)
{
    char copy[SPI_PATH_MAX];
    struct stat s;

    if (stat(dir, &s) == 0 || errno != ENOENT ||
        snprintf(copy, sizeof copy, "%s", dir) >= (int)sizeof copy ||
        stat(dirname(copy), &s) == 0)
        return SPI_OK;
    return cannot_make(dir, "make this directory", errno);
}

spi_err spi_dir_make_own(const char *dir)
{
    int fd;
    spi_err err = spi_dir_make(dir);

    if (err)
        return err;
    if (spi_dir_is_foreign(dir))
        return spi_fail(SPI_EIO,
                        "%s: this program did not make this directory; give it another "
                        "name",
                        dir);
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || put_mark(fd) != 0)
        err = spi_fail(SPI_EIO, "%s: cannot write in this directory: %s", dir,
                       strerror(errno));
    if (fd >= 0)
        close(fd);
    return err;
}

void spi_dir_remove_own(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return;
    if (is_own(fd) && unlinkat(fd, own, 0) == 0 && rmdir(dir) != 0)
        (void)put_mark(fd); /* something else lies in it: it remains, and marked */
    close(fd);
}

/* ---- scratch folders ---------------------------------------------------------------- */

/* Does the disk take what the folder is for: a few small files? */
static bool takes_files(const char *dir)
{
    enum { FILES = 4, BYTES = 16 << 10 };
    static const char block[BYTES];
    char path[SPI_PATH_MAX], tmp[FILES][SPI_PATH_MAX];
    bool yes = true;
    int n, fd;

    for (n = 0; n < FILES && yes; n++) {
        snprintf(path, sizeof path, "%.*s/%d", SPI_PATH_MAX - 16, dir, n);
        yes = spi_file_create(path, tmp[n], &fd) == SPI_OK;
        if (!yes)
            break;
        yes = write_all(fd, block, BYTES) == 0;
        close(fd);
    }
    while (n-- > 0)
        unlink(tmp[n]);
    return yes;
}

static int remove_one(const char *path, const struct stat *s, int flag, struct FTW *ftw)
{
    (void)s;
    (void)flag;
    (void)ftw;
    return remove(path);
}

void spi_scratch_remove(const char *dir)
{
    if (*dir)
        nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

spi_err spi_scratch_make(size_t longest, char dir[SPI_PATH_MAX])
{
    const char *places[] = {getenv("TMPDIR"), "/tmp", "/var/tmp", "/dev/shm"};

    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        if (!places[i] || !*places[i] ||
            strlen(places[i]) + sizeof "/spinifel-XXXXXX" > longest + 1)
            continue;
        snprintf(dir, SPI_PATH_MAX, "%s/spinifel-XXXXXX", places[i]);
        if (!mkdtemp(dir))
            continue;
        if (takes_files(dir))
            return SPI_OK;
        spi_scratch_remove(dir);
    }
    *dir = 0;
    return spi_fail(SPI_EIO,
                    "no folder for temporary files: nothing can be written in %s%s/tmp, "
                    "/var/tmp and /dev/shm; set TMPDIR to a folder with a short name",
                    places[0] ? places[0] : "", places[0] ? ", " : "");
}

/* ---- locks -------------------------------------------------------------------------- */

/* Who holds the lock, as that process noted; 0 if it has not got there yet. */
static long lock_holder(int fd)
{
    char text[32] = "";

    return pread(fd, text, sizeof text - 1, 0) > 0 ? strtol(text, NULL, 10) : 0;
}

/* The lock file, made if need be: a file of its own, never one that a link leads to.
 * *writable: false when it belongs to somebody else; it can be locked all the same. */
static spi_err open_lock(const char *dir, const char *path, int *fd, bool *writable)
{
    struct stat s;

    *writable = true;
    *fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (*fd < 0 && errno == EEXIST)
        *fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (*fd < 0 && (errno == EACCES || errno == EPERM)) {
        *writable = false;
        *fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    }
    if (*fd < 0 && errno != ELOOP)
        return spi_fail(SPI_EIO, "%s: cannot make the lock %s: %s", dir, path,
                        strerror(errno));
    if (*fd < 0 || fstat(*fd, &s) != 0 || !S_ISREG(s.st_mode) || s.st_nlink > 1) {
        if (*fd >= 0)
            close(*fd);
        *fd = -1;
        return spi_fail(SPI_EIO,
                        "%s: the lock %s is a link or no file; remove it, or give another "
                        "directory",
                        dir, path);
    }
    return SPI_OK;
}

spi_err spi_dir_lock(const char *dir, int *fd)
{
    char path[SPI_PATH_MAX], text[32];
    bool writable;
    spi_err err;
    int code, n;

    *fd = -1;
    if (snprintf(path, sizeof path, "%s/.lock", dir) >= (int)sizeof path)
        return spi_fail(SPI_EINVAL, "%s: this name is too long", dir);
    SPI_TRY(err = open_lock(dir, path, fd, &writable), out);
    if (flock(*fd, LOCK_EX | LOCK_NB) == 0) {
        n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
        if (!writable || (ftruncate(*fd, 0) == 0 && pwrite(*fd, text, (size_t)n, 0) == n))
            return SPI_OK;
    }
    code = errno;
    long pid = lock_holder(*fd);

    close(*fd);
    *fd = -1;
    if (code == EWOULDBLOCK)
        return spi_fail(SPI_EIO, "%s: another spinifel (process %ld) is writing there", dir,
                        pid);
    err = spi_fail(SPI_EIO, "%s: cannot lock %s: %s", dir, path, strerror(code));
out:
    return err;
}

void spi_dir_unlock(int fd)
{
    if (fd < 0)
        return;
    /* Emptied, so that an old number is never taken for a living process; should that
     * fail, the next owner writes its own number over it. */
    (void)!ftruncate(fd, 0);
    close(fd);
}
