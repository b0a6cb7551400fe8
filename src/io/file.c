#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

spi_err spi_tmp_path(const char *path, char tmp[SPI_PATH_MAX])
{
    size_t n = strlen(path);

    if (n == 0)
        return spi_fail(SPI_EINVAL, "the name of an output file is empty");
    if (n + sizeof ".tmp" > SPI_PATH_MAX)
        return spi_fail(SPI_EINVAL, "a file name has %zu characters; need at most %zu", n,
                        SPI_PATH_MAX - sizeof ".tmp");
    snprintf(tmp, SPI_PATH_MAX, "%s.tmp", path);
    return SPI_OK;
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
    int fd = open(tmp, O_RDONLY | O_CLOEXEC), code;

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

    SPI_TRY(err = spi_tmp_path(path, tmp), out);
    fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return spi_fail(SPI_EIO, "%s: cannot create it: %s", path, strerror(errno));
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
        return spi_fail(SPI_EIO, "%s: cannot make this directory: %s", dir,
                        strerror(errno));
    if (stat(dir, &s) != 0)
        return spi_fail(SPI_EIO, "%s: %s", dir, strerror(errno));
    if (!S_ISDIR(s.st_mode))
        return spi_fail(SPI_EIO, "%s: is a file; need a directory", dir);
    if (access(dir, W_OK | X_OK) != 0)
        return spi_fail(SPI_EIO, "%s: cannot write in this directory: %s", dir,
                        strerror(errno));
    return SPI_OK;
}

/* Who holds the lock, as that process noted; 0 if it has not got there yet. */
static long lock_holder(int fd)
{
    char text[32] = "";

    return pread(fd, text, sizeof text - 1, 0) > 0 ? strtol(text, NULL, 10) : 0;
}

spi_err spi_dir_lock(const char *dir, int *fd)
{
    char path[SPI_PATH_MAX], text[32];
    int code, n;

    *fd = -1;
    if (snprintf(path, sizeof path, "%s/.lock", dir) >= (int)sizeof path)
        return spi_fail(SPI_EINVAL, "%s: this name is too long", dir);
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (*fd < 0)
        return spi_fail(SPI_EIO, "%s: cannot make the lock %s: %s", dir, path,
                        strerror(errno));
    if (flock(*fd, LOCK_EX | LOCK_NB) == 0) {
        n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
        if (ftruncate(*fd, 0) == 0 && pwrite(*fd, text, (size_t)n, 0) == n)
            return SPI_OK;
    }
    code = errno;
    long pid = lock_holder(*fd);

    close(*fd);
    *fd = -1;
    if (code == EWOULDBLOCK)
        return spi_fail(SPI_EIO, "%s: another spinifel (process %ld) is writing there", dir,
                        pid);
    return spi_fail(SPI_EIO, "%s: cannot lock %s: %s", dir, path, strerror(code));
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
