/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Wrong maps: each must give its message, and no byte of a header may crash the reader. */
#include <math.h>
#include <stdint.h>
#include <unistd.h>

#include "base/rng.h"
#include "io/mrc.h"
#include "io_test.h"
#include "tap.h"

enum { SIDE = 6, SIZE = 1024 + 4 * SIDE * SIDE * SIDE };

static uint8_t good[SIZE];

static spi_err make_good(void)
{
    struct spi_volume v;
    spi_err err = spi_volume_init(&v, SIDE, 2);

    for (int i = 0; !err && i < SIDE * SIDE * SIDE; i++)
        v.data[i] = (float)i;
    err = err ? err : spi_mrc_write(in_tmp("good.mrc"), &v, NULL);
    spi_volume_clear(&v);
    return err ? err : slurp(in_tmp("good.mrc"), good, SIZE) == SIZE ? SPI_OK : SPI_EIO;
}

static uint32_t bits(float f)
{
    uint32_t w;

    memcpy(&w, &f, 4);
    return w;
}

static spi_err read_bytes(const uint8_t *file, size_t size)
{
    const char *path = in_tmp("bad.mrc");
    struct spi_volume v;
    spi_err err;

    spill(path, file, size);
    err = spi_mrc_read(path, &v, NULL);
    spi_volume_clear(&v);
    return err;
}

static void one_wrong_word(void)
{
    const struct {
        int word;
        uint32_t value;
        size_t size;
        const char *says;
    } bad[] = {
        {1, 0, SIZE, "word 1 (NX) is 0; need 1..4096"},
        {2, (uint32_t)-3, SIZE, "word 2 (NY) is -3"},
        {3, 4097, SIZE, "word 3 (NZ) is 4097"},
        {3, 4096, SIZE, "truncated: 6 x 6 x 4096 voxels"},
        {4, 3, SIZE, "word 4 (MODE) is 3; 0, 1, 2, 6 and 12 are read"},
        {4, 4, SIZE, "word 4 (MODE) is 4"},
        {8, 0, SIZE, "word 8 (MX) is 0"},
        {8, 7, SIZE, "need equal sides"},
        {9, (uint32_t)-6, SIZE, "word 9 (MY) is -6"},
        {11, 0, SIZE, "word 11 (CELLA x) is 0"},
        {12, bits(-1), SIZE, "word 12 (CELLA y) is -1"},
        {13, bits(NAN), SIZE, "word 13 (CELLA z) is nan"},
        {13, bits(INFINITY), SIZE, "word 13 (CELLA z) is inf"},
        {14, bits(60), SIZE, "word 14 (CELLB) is 60 degrees"},
        {16, bits(120), SIZE, "word 16 (CELLB) is 120 degrees"},
        {17, 0, SIZE, "word 17 (MAPC) is 0"},
        {18, 1, SIZE, "word 18 (MAPR) is 1; need each of 1, 2, 3 once"},
        {19, 4, SIZE, "word 19 (MAPS) is 4"},
        {23, 401, SIZE, "word 23 (ISPG) is 401"},
        {24, (uint32_t)-80, SIZE, "word 24 (NSYMBT) is -80"},
        {24, 80, SIZE, "truncated"},
        {24, 0x7fffffff, SIZE, "truncated"},
        {53, 0, SIZE, "word 53 is not 'MAP '"},
        {54, 0, SIZE, "word 54 (MACHST) is 0x00 0x00"},
        {54, 0x1111, SIZE, "word 4 (MODE) is 33554432"},
        {1, 0x00008b1f, SIZE, "compressed by gzip"},
        {257 + 43, bits(NAN), SIZE, "voxel (x 1, y 1, z 1) is nan"},
        {4, 2, SIZE - 1,
         "truncated: 6 x 6 x 6 voxels of mode 2 after 1024 bytes of header "
         "need 1888 bytes; the file has 1887"},
        {4, 2, 1023, "the header has 1023 of 1024 bytes"},
        {4, 2, 0, "is empty"},
    };

    OK(read_bytes(good, SIZE) == SPI_OK, "the unspoilt file is read");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint8_t file[SIZE];

        memcpy(file, good, SIZE);
        for (int b = 0; b < 4; b++)
            file[4 * (bad[i].word - 1) + b] = (uint8_t)(bad[i].value >> 8 * b);
        spi_err err = read_bytes(file, bad[i].size);
        OK((err == SPI_EFORMAT || err == SPI_EIO) && says(bad[i].says), "%s",
           err ? spi_err_message() : "read without a word");
    }
}

static void thin_map(void)
{
    uint8_t file[SIZE];

    memcpy(file, good, SIZE);
    file[0] = 216; /* the same 216 voxels in one row */
    file[4] = file[8] = 1;
    file[28] = 216;
    file[32] = file[36] = 1;
    memcpy(file + 40, &(float[3]){432, 2, 2}, 12);
    OK(read_bytes(file, SIZE) == SPI_EFORMAT && says("216 x 1 x 1 voxels"), "%s",
       spi_err_message());
}

static void other_files(void)
{
    struct spi_volume v;

    OK(spi_mrc_read(in_tmp("absent.mrc"), &v, NULL) == SPI_EIO && says("No such file"),
       "%s", spi_err_message());
    OK(spi_mrc_read(in_tmp(""), &v, NULL) == SPI_EIO && says("is a directory"), "%s",
       spi_err_message());
    spill(in_tmp("text.mrc"), "hello\n", 6);
    OK(spi_mrc_read(in_tmp("text.mrc"), &v, NULL) == SPI_EIO && says("6 of 1024"), "%s",
       spi_err_message());
}

/* 20,000 files with 1 to 4 bytes changed, most of them in the used part of the header.
 * Whatever they hold, the answer is a map or a message. */
static void fuzz(void)
{
    struct spi_rng rng = spi_rng_stream(1, SPI_RNG_TEST, 0);
    int n_ok = 0, n_silent = 0;

    for (int i = 0; i < 20000; i++) {
        uint8_t file[SIZE];
        uint32_t changes = 1 + spi_rng_below(&rng, 4);

        memcpy(file, good, SIZE);
        for (uint32_t c = 0; c < changes; c++)
            file[spi_rng_below(&rng, i % 4 ? 232 : SIZE)] = (uint8_t)spi_rng_u32(&rng);
        spi_note("%s", "");
        spi_err err = read_bytes(file, i % 7 ? SIZE : spi_rng_below(&rng, SIZE));

        n_ok += err == SPI_OK;
        n_silent += err != SPI_OK && *spi_err_message() == '\0';
    }
    OK(n_silent == 0, "20000 changed files, seed 1: every refusal has a message");
    OK(n_ok > 1000 && n_ok < 19000, "%d of them were still maps", n_ok);
}

int main(void)
{
    make_tmp("bad_mrc");
    OK(make_good() == SPI_OK, "a good map");
    one_wrong_word();
    thin_map();
    other_files();
    fuzz();
    return tap_done();
}
