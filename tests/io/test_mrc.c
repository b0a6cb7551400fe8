/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Maps: round trip, every mode, byte order and axis order, and one wrong word at a time. */
#include <math.h>
#include <signal.h>
#include <stdint.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"
#include "io/mrc.h"
#include "io_test.h"
#include "tap.h"

enum { SIZE = 1024 + 4 * 24 };

/* ---- a map made by hand: 4 x 3 x 2 columns, rows, sections; value = 1 + index ------- */

static void put(uint8_t *file, int k, int32_t v, bool big)
{
    uint32_t w = (uint32_t)v;

    for (int i = 0; i < 4; i++)
        file[4 * (k - 1) + (big ? 3 - i : i)] = (uint8_t)(w >> 8 * i);
}

static void put_real(uint8_t *file, int k, float v, bool big)
{
    int32_t w;

    memcpy(&w, &v, 4);
    put(file, k, w, big);
}

/* Bytes of one value in its mode, least significant first. */
static int encode(int mode, int v, uint8_t out[4])
{
    float f = (float)v;
    uint32_t w = (uint32_t)v;

    if (mode == 2)
        memcpy(&w, &f, 4); /* the test runs on little-endian machines as on big ones */
    if (mode == 12) {      /* half: v = 2^e (1 + m / 1024), v a small positive integer */
        int e = ilogbf(f);

        w = (uint32_t)(e + 15) << 10 | (uint32_t)(ldexpf(f, 10 - e) - 1024);
    }
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(w >> 8 * i);
    return mode == 0 ? 1 : mode == 2 ? 4 : 2;
}

static size_t make_map(uint8_t *file, int mode, bool big, const int axes[3])
{
    static const int side[3] = {4, 3, 2};
    uint8_t *to = file + 1024, byte[4];

    memset(file, 0, SIZE);
    for (int k = 0; k < 3; k++) {
        put(file, 1 + k, side[k], big);
        put(file, 7 + axes[k], side[k], big);                  /* MX MY MZ */
        put_real(file, 10 + axes[k], 2 * (float)side[k], big); /* voxel 2 A */
        put_real(file, 14 + k, 90, big);
        put(file, 17 + k, axes[k], big);
        put_real(file, 50 + k, (float)(10 * k + 1), big);
    }
    put(file, 4, mode, big);
    put(file, 23, 1, big);
    put(file, 28, 20140, big);
    memcpy(file + 208, "MAP ", 4);
    file[212] = file[213] = big ? 0x11 : 0x44;
    put(file, 56, 1, big);
    memcpy(file + 224, "a label   ", 10);
    for (int i = 0; i < 24; i++) {
        int bytes = encode(mode, i + 1, byte);

        for (int b = 0; b < bytes; b++)
            *to++ = byte[big ? bytes - 1 - b : b];
    }
    return (size_t)(to - file);
}

/* ---- reading ------------------------------------------------------------------------ */

/* Voxels that are not where the header says. */
static int misplaced(const struct spi_mrc_map *m, const int axes[3])
{
    int wrong = 0;

    for (int s = 0; s < 2; s++)
        for (int r = 0; r < 3; r++)
            for (int c = 0; c < 4; c++) {
                int at[3];

                at[axes[0] - 1] = c;
                at[axes[1] - 1] = r;
                at[axes[2] - 1] = s;
                wrong += m->data[(at[2] * m->info.n[1] + at[1]) * m->info.n[0] + at[0]] !=
                         (float)(1 + c + 4 * (r + 3 * s));
            }
    return wrong;
}

static void every_kind(void)
{
    static const int order[6][3] = {{1, 2, 3}, {1, 3, 2}, {2, 1, 3},
                                    {2, 3, 1}, {3, 1, 2}, {3, 2, 1}};
    static const int mode[] = {0, 1, 2, 6, 12};
    static uint8_t file[SIZE];
    const char *path = in_tmp("kind.mrc");
    struct spi_mrc_map m;

    for (int k = 0; k < 5; k++)
        for (int big = 0; big < 2; big++)
            for (int a = 0; a < 6; a++) {
                spill(path, file, make_map(file, mode[k], big, order[a]));
                spi_err err = spi_mrc_read_map(path, &m);

                OK(err == SPI_OK && misplaced(&m, order[a]) == 0 &&
                       m.info.mode == mode[k] && m.info.big_endian == big &&
                       m.info.voxel_A[1] == 2,
                   "mode %d, %s-endian, axes %d,%d,%d%s%s", mode[k], big ? "big" : "little",
                   order[a][0], order[a][1], order[a][2], err ? ": " : "",
                   err ? spi_err_message() : "");
                if (!err && a)
                    OK(misplaced(&m, order[0]) > 0, "axes matter (the check can fail)");
                spi_mrc_map_clear(&m);
            }
}

static void header_fields(void)
{
    static const int plain[3] = {1, 2, 3};
    static uint8_t file[SIZE + 80];
    const char *path = in_tmp("fields.mrc");
    struct spi_mrc_map m;
    spi_err err;

    make_map(file, 2, false, plain);
    memmove(file + 1024 + 80, file + 1024, 96); /* 80 bytes of symmetry in between */
    memset(file + 1024, 'X', 80);
    put(file, 24, 80, false);
    spill(path, file, sizeof file);
    err = spi_mrc_read_map(path, &m);
    OK(err == SPI_OK && misplaced(&m, plain) == 0, "NSYMBT bytes are skipped");
    OK(m.info.n_labels == 1 && !strcmp(m.info.labels[0], "a label"), "label");
    OK(m.info.origin_A[0] == 1 && m.info.origin_A[2] == 21, "origin");
    OK(m.info.minimum == 1 && m.info.maximum == 24 && m.info.mean == 12.5, "statistics");
    /* variance of 1..n is (n^2 - 1) / 12; the bound is a few roundings of a double */
    OK(fabs(m.info.rms - sqrt((24 * 24 - 1) / 12.0)) < 1e-14, "rms about the mean");
    spi_mrc_map_clear(&m);
}

/* binary16: smallest subnormal, largest, negative zero, infinity. */
static void half_values(void)
{
    static const int plain[3] = {1, 2, 3};
    static const uint16_t half[4] = {0x0001, 0x7bff, 0x8000, 0xc000};
    static uint8_t file[SIZE];
    const char *path = in_tmp("half.mrc");
    struct spi_mrc_map m;
    size_t size = make_map(file, 12, false, plain);

    for (int i = 0; i < 4; i++) {
        file[1024 + 2 * i] = (uint8_t)half[i];
        file[1025 + 2 * i] = (uint8_t)(half[i] >> 8);
    }
    spill(path, file, size);
    OK(spi_mrc_read_map(path, &m) == SPI_OK && m.data[0] == 0x1p-24f &&
           m.data[1] == 65504 && m.data[2] == 0 && signbit(m.data[2]) && m.data[3] == -2,
       "half floats: 2^-24, 65504, -0, -2");
    spi_mrc_map_clear(&m);
    file[1024] = 0;
    file[1025] = 0x7c;
    spill(path, file, size);
    OK(spi_mrc_read_map(path, &m) == SPI_EFORMAT && says("voxel (x 0, y 0, z 0) is inf"),
       "%s", spi_err_message());
}

/* ---- cubes, writing ----------------------------------------------------------------- */

static void padding(void)
{
    static const int plain[3] = {1, 2, 3};
    static uint8_t file[SIZE];
    const char *path = in_tmp("pad.mrc");
    struct spi_volume v;
    int wrong = 0, filled = 0;

    spill(path, file, make_map(file, 2, true, plain));
    OK(spi_mrc_read(path, &v, NULL) == SPI_OK && v.n == 4 && v.step == 2,
       "4 x 3 x 2 gives a cube of 4");
    /* voxel floor(n/2) = (2, 1, 1) of the map lies at n/2 = (2, 2, 2) of the cube */
    for (int z = 0; z < 2; z++)
        for (int y = 0; y < 3; y++)
            for (int x = 0; x < 4; x++)
                wrong += v.data[spi_volume_index(&v, z + 1, y + 1, x)] !=
                         (float)(1 + x + 4 * (y + 3 * z));
    for (size_t i = 0; i < 64; i++)
        filled += v.data[i] != 0;
    OK(wrong == 0 && filled == 24, "centres coincide, zeros around");
    spi_volume_clear(&v);

    put_real(file, 11, 8.02F, true); /* 2.005 A: 2.5e-3 more than the others */
    spill(path, file, SIZE);
    OK(spi_mrc_read(path, &v, NULL) == SPI_EFORMAT && says("2.005 x 2 x 2 A"), "%s",
       spi_err_message());
    put_real(file, 11, 8.004F, true); /* 5e-4 more */
    spill(path, file, SIZE);
    OK(spi_mrc_read(path, &v, NULL) == SPI_OK, "voxels equal within 1e-3");
    spi_volume_clear(&v);
    put_real(file, 15, 94, true);
    spill(path, file, SIZE);
    OK(spi_mrc_read(path, &v, NULL) == SPI_EFORMAT && says("word 15 (CELLB) is 94"), "%s",
       spi_err_message());
}

static void round_trip(void)
{
    static const char *const labels[] = {"spinifel test", "caf\xc3\xa9", NULL};
    const char *path = in_tmp("round.mrc");
    struct spi_rng rng = spi_rng_stream(1, SPI_RNG_TEST, 0);
    struct spi_volume v, w;
    struct spi_mrc_info info;
    spi_err err = spi_volume_init(&v, 10, 1.7);

    for (size_t i = 0; i < 1000; i++)
        v.data[i] = (float)spi_rng_normal(&rng) * powf(10, (float)(i % 60) - 30);
    err = err ? err : spi_mrc_write(path, &v, labels);
    OK(err == SPI_OK && spi_mrc_read(path, &w, &info) == SPI_OK, "written and read");
    OK(memcmp(v.data, w.data, 4000) == 0, "every bit of 1000 voxels");
    /* CELLA is a float: half an ulp of n step, and of the division */
    OK(w.n == 10 && fabs(w.step / 1.7 - 1) <= 0x1p-23, "voxel size");
    OK(fabs(info.origin_A[2] + 5 * 1.7) <= 8.5 * 0x1p-24, "origin");
    OK(info.n_labels == 2 && !strcmp(info.labels[1], "caf??"), "labels are ASCII");
    w.data[7] += fabsf(w.data[7]) * 0x1p-22F;
    OK(memcmp(v.data, w.data, 4000) != 0, "the check can fail");
    spi_volume_clear(&w);

    v.data[3] = NAN;
    OK(spi_mrc_write(path, &v, NULL) == SPI_EINVAL && says("voxel 3"), "%s",
       spi_err_message());
    v.data[3] = 0;
    OK(spi_mrc_read(path, &w, NULL) == SPI_OK, "the old file stays");
    spi_volume_clear(&w);
    spi_volume_clear(&v);
}

static void bad_writes(void)
{
    static const char *const many[] = {"1", "2", "3", "4",  "5",  "6",
                                       "7", "8", "9", "10", "11", NULL};
    static const char *const wide[] = {"123456789 123456789 123456789 123456789 123456789 "
                                       "123456789 123456789 123456789 1",
                                       NULL};
    const char *path = in_tmp("bad.mrc");
    struct rlimit old, small;
    struct spi_volume v;

    NEED(!spi_volume_init(&v, 16, 1));
    unlink(path);
    OK(spi_mrc_write(path, &v, many) == SPI_EINVAL, "%s", spi_err_message());
    OK(spi_mrc_write(path, &v, wide) == SPI_EINVAL && says("81 characters"), "%s",
       spi_err_message());
    OK(spi_mrc_write(in_tmp("no/dir.mrc"), &v, NULL) == SPI_EIO, "%s", spi_err_message());
    getrlimit(RLIMIT_FSIZE, &old);
    small = (struct rlimit){4096, old.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small); /* stands for a full disk */
    spi_err err = spi_mrc_write(path, &v, NULL);
    setrlimit(RLIMIT_FSIZE, &old);
    OK(err == SPI_EIO && says("File too large"), "disk full: %s", spi_err_message());
    OK(access(path, F_OK) != 0 && access(in_tmp(".bad.mrc.spinifel-tmp"), F_OK) != 0,
       "nothing is left");
    spi_volume_clear(&v);
}

/* ---- real maps ---------------------------------------------------------------------- */

/* The statistics that EMDB wrote in words 20-22 and 55 are those of what we read.  They are
 * floats summed by another program: 1e-5 of the largest value. */
static void emdb(const char *name, double low, double high, double mean, double rms)
{
    struct spi_mrc_map m;
    spi_err err = spi_mrc_read_map(in_data(name), &m);
    double tol = 1e-5 * fmax(fabs(low), fabs(high));

    OK(err == SPI_OK, "%s: %s", name, err ? spi_err_message() : "read");
    OK(fabs(m.info.minimum - low) <= tol && fabs(m.info.maximum - high) <= tol &&
           fabs(m.info.mean - mean) <= tol && fabs(m.info.rms - rms) <= tol,
       "%g..%g mean %g rms %g", m.info.minimum, m.info.maximum, m.info.mean, m.info.rms);
    spi_mrc_map_clear(&m);
}

static void real_maps(void)
{
    struct spi_volume v;

    emdb("EMD-3197.map", -4.1337457, 5.576737, 0.783612, 2.399953);
    emdb("EMD-3001.map", -0.36814296, 0.72161025, 0.00053297, 0.15705723);
    OK(spi_mrc_read(in_data("EMD-3197.map"), &v, NULL) == SPI_OK && v.n == 20 &&
           fabs(v.step - 11.4) < 1e-12,
       "EMD-3197: 20 voxels of 11.4 A");
    spi_volume_clear(&v);
    OK(spi_mrc_read(in_data("EMD-3001.map"), &v, NULL) == SPI_EFORMAT && says("94.326"),
       "EMD-3001 has an oblique cell: %s", spi_err_message());
}

int main(void)
{
    make_tmp("mrc");
    every_kind();
    header_fields();
    half_values();
    padding();
    round_trip();
    bad_writes();
    real_maps();
    return tap_done();
}
