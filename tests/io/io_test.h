/* SPDX-License-Identifier: GPL-3.0-or-later */
/* io_test.h - what the tests of io share: files of the repository, files of their own. */
#ifndef SPI_TESTS_IO_TEST_H
#define SPI_TESTS_IO_TEST_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

static char test_dir[512];

/* A folder of this test's own in the build directory. */
static inline void make_tmp(const char *name)
{
    const char *base = getenv("SPI_TEST_TMP");

    snprintf(test_dir, sizeof test_dir, "%s/io_%s", base ? base : "/tmp", name);
    mkdir(test_dir, 0777);
}

/* Path of a file there; eight of them live at once. */
static inline const char *in_tmp(const char *name)
{
    static char path[8][1024];
    static int next;

    next = (next + 1) % 8;
    snprintf(path[next], sizeof path[next], "%s/%s", test_dir, name);
    return path[next];
}

/* Path of a file in data/ of the repository. */
static inline const char *in_data(const char *name)
{
    static char path[8][1024];
    static int next;
    const char *base = getenv("SPI_TEST_DATA");

    next = (next + 1) % 8;
    snprintf(path[next], sizeof path[next], "%s/%s", base ? base : "data", name);
    return path[next];
}

static inline bool says(const char *text)
{
    return strstr(spi_err_message(), text) != NULL;
}

/* Up to `size` bytes of a file; how many, or -1. */
static inline long slurp(const char *path, void *to, size_t size)
{
    FILE *fp = fopen(path, "rb");
    long n = -1;

    if (fp) {
        n = (long)fread(to, 1, size, fp);
        fclose(fp);
    }
    return n;
}

/* A new file: cutting an old one to nothing makes ext4 wait for the disk when it is closed.
 */
static inline bool spill(const char *path, const void *from, size_t size)
{
    unlink(path);

    FILE *fp = fopen(path, "wb");
    bool ok = fp && fwrite(from, 1, size, fp) == size;

    return fp ? fclose(fp) == 0 && ok : false;
}

#endif
