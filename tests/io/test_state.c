/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The state file: what is written comes back; everything else is refused with its message.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/state.h"
#include "tap.h"

static char path[4096];

static long file_bytes(char **data)
{
    FILE *f = fopen(path, "rb");
    long n;

    *data = malloc(100000);
    n = (long)fread(*data, 1, 100000, f);
    fclose(f);
    return n;
}

static void write_bytes(const char *data, long n)
{
    FILE *f = fopen(path, "wb");

    if (fwrite(data, 1, (size_t)n, f) != (size_t)n)
        OK(0, "cannot write %s", path);
    fclose(f);
}

/* The state must be refused, or hold what was written: a changed byte is never believed. */
static int refused(const char *key)
{
    struct spi_state *st;
    spi_err err = spi_state_read(path, key, &st);

    if (!err)
        spi_state_free(st);
    return (err == SPI_EFORMAT || err == SPI_EINVAL) && st == NULL &&
           strstr(spi_err_message(), path) != NULL;
}

static void check_damage(void)
{
    char *data;
    long n = file_bytes(&data);
    int caught = 0, tried = 0, cut = 0;

    for (long i = 0; i < n; i++) { /* every byte, one bit */
        data[i] ^= (char)(1 << (i % 8));
        write_bytes(data, n);
        caught += refused("key 1");
        tried++;
        data[i] ^= (char)(1 << (i % 8));
    }
    OK(caught == tried, "%d of %d damaged bytes are noticed", caught, tried);
    tried = 0;
    for (long i = 1; i < n; i++, tried++) {
        write_bytes(data, i);
        cut += refused("key 1");
    }
    OK(cut == tried, "%d of %d truncated states are refused", cut, tried);
    NOTE("%s", spi_err_message());
    write_bytes(data, n);
    OK(!refused("key 1"), "the whole state is not");
    free(data);
}

int main(void)
{
    const char *dir = getenv("SPI_TEST_TMP");
    double a[3] = {1, 2, 3}, b[3];
    int x = 7, y = 0;
    struct spi_state_item item[] = {
        {"a", sizeof a, a}, {"ab", sizeof x, &x}, {"empty", 0, NULL}};
    struct spi_state *st;

    snprintf(path, sizeof path, "%s/state.%ld", dir ? dir : ".", (long)getpid());
    OK(spi_state_read(path, "key 1", &st) == SPI_EIO && !st, "%s", spi_err_message());
    OK(spi_state_write(path, "key 1", 3, item) == SPI_OK, "written");
    OK(spi_state_read(path, "key 1", &st) == SPI_OK, "read");
    OK(spi_state_get(st, "ab", sizeof y, &y) == SPI_OK && y == 7 &&
           spi_state_get(st, "a", sizeof b, b) == SPI_OK && memcmp(a, b, sizeof a) == 0 &&
           spi_state_get(st, "empty", 0, b) == SPI_OK,
       "the same bytes");
    OK(spi_state_get(st, "ab", 8, b) == SPI_EFORMAT, "%s", spi_err_message());
    OK(spi_state_get(st, "b", 8, b) == SPI_EFORMAT, "%s", spi_err_message());
    spi_state_free(st);
    OK(spi_state_read(path, "key 2", &st) == SPI_EINVAL && !st, "%s", spi_err_message());
    OK(spi_state_write(path, "a = 1\nb = 2  # x\n[s]\nc = 3\nd = 4\n", 0, item) == SPI_OK &&
           refused("a = 1\nb = 5  # x\n[s]\nc = 3\nd = 44\n") &&
           strstr(spi_err_message(),
                  "seed: b is 2 there and 5 here, s.d is 4 there and 44 here;"),
       "it says what differs: %s", spi_err_message());
    OK(spi_state_write(path, "key 1", 3, item) == SPI_OK, "written again");
    OK(refused("key 10") && refused("key"), "a longer or shorter key");
    check_damage();
    OK(spi_state_write(path, "key 1", 0, item) == SPI_OK && !refused("key 1"),
       "no items at all");
    remove(path);
    OK(spi_state_write("/nowhere/state", "k", 3, item) == SPI_EIO, "%s", spi_err_message());
    OK(spi_state_read("/", "k", &st) == SPI_EIO, "%s", spi_err_message());
    spi_state_free(NULL);
    return tap_done();
}
