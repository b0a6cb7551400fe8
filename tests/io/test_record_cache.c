/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Equal records, in memory and in a scratch file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/record_cache.h"
#include "tap.h"

enum { RECORDS = 1000, LENGTH = 37 };

static int record[RECORDS][LENGTH];

static void check(const char *path, size_t memory_bytes)
{
    struct spi_record_cache *s;
    int same = 1, zero = 1;

    OK(spi_record_cache_create(path, sizeof record[0], RECORDS, memory_bytes, &s) == SPI_OK,
       "created");
    OK(access(path, F_OK) != 0, "it has no name");
    OK(spi_record_cache_write(s, 600, 300, record[600]) == SPI_OK &&
           spi_record_cache_write(s, 0, 600, record[0]) == SPI_OK,
       "written out of order");
    OK(spi_record_cache_finish(s) == SPI_OK, "can be read");
    for (int i = 0; i < 900; i++)
        same &= memcmp(spi_record_cache_record(s, i), record[i], sizeof record[i]) == 0;
    for (int i = 900; i < RECORDS; i++)
        zero &= ((const int *)spi_record_cache_record(s, i))[LENGTH - 1] == 0;
    OK(same, "records come back");
    OK(zero, "what was not written is zero");
    OK(memcmp(spi_record_cache_record(s, 3), record[4], sizeof record[4]) != 0,
       "another is noticed");
    spi_record_cache_free(s);
}

int main(void)
{
    const char *dir = getenv("SPI_TEST_TMP");
    char path[4000], longer[5000];
    struct spi_record_cache *s;

    snprintf(path, sizeof path, "%s/store.%ld", dir ? dir : ".", (long)getpid());
    for (int i = 0; i < RECORDS; i++)
        for (int j = 0; j < LENGTH; j++)
            record[i][j] = 1000 * i + j;
    OK(spi_memory_bytes() > (size_t)1 << 20 && spi_memory_bytes() < (size_t)1 << 50,
       "%zu bytes of memory are free", spi_memory_bytes());
    check(path, sizeof record);
    check(path, sizeof record - 1);
    spi_record_cache_free(NULL);
    OK(spi_record_cache_create("/nowhere/rings.bin", 8, 8, 64, &s) == SPI_OK,
       "no file is made where memory will do");
    spi_record_cache_free(s);
    OK(spi_record_cache_create("/nowhere/rings.bin", 8, 8, 63, &s) == SPI_EIO && !s, "%s",
       spi_err_message());
    OK(spi_record_cache_create(path, SIZE_MAX / 2, 8, 0, &s) == SPI_ENOMEM && !s, "%s",
       spi_err_message());
    OK(spi_record_cache_create(path, (size_t)1 << 62, 1, SIZE_MAX, &s) == SPI_EIO && !s,
       "%s", spi_err_message());
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    OK(spi_record_cache_create(longer, 8, 8, 0, &s) == SPI_EIO && !s,
       "a path that is too long");
    return tap_done();
}
