/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Rows that several threads unpack are those that HDF5 converts: types, filters, chunks of
 * one and more rows, chunks that were never written, damage. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/h5.h"
#include "tap.h"

enum { N = 22, NY = 3, NX = 5, ROW = NY * NX };

static char path[4096];

static double value(int type, int i)
{
    static const double largest[] = {255, 127, 65535, 32767, 4294967295, 2147483647};

    if (i % 7 == 0)
        return type < 6 ? largest[type] : 1e30;
    if (i % 7 == 1)
        return type % 2 || type > 5 ? -100 - i % 3 : 0;
    return type < 6 ? i % 100 : i / 7.0;
}

struct file_type {
    hid_t type;
    const char *name;
};

/* A dataset whose chunks hold `rows` rows; without the chunk of row 4. */
static hid_t make(hid_t type, int number, hsize_t rows, int filters, hid_t *file)
{
    const hsize_t dim[3] = {N, NY, NX}, chunk[3] = {rows, NY, NX};
    hid_t how = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(3, dim, NULL);
    hid_t memory, set;
    const double fill = 9;

    *file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    H5Pset_chunk(how, 3, chunk);
    if (filters & 1)
        H5Pset_shuffle(how);
    if (filters & 2)
        H5Pset_deflate(how, 1);
    H5Pset_fill_value(how, H5T_NATIVE_DOUBLE, &fill);
    set = H5Dcreate2(*file, "x", type, space, H5P_DEFAULT, how, H5P_DEFAULT);
    for (hsize_t row = 0; row < N; row++) {
        const hsize_t at[3] = {row, 0, 0}, one[3] = {1, NY, NX};
        double x[ROW];

        if (row / rows == 4 / rows)
            continue; /* never written */
        for (int i = 0; i < ROW; i++)
            x[i] = value(number, (int)row * ROW + i);
        memory = H5Screate_simple(3, one, NULL);
        H5Sselect_hyperslab(space, H5S_SELECT_SET, at, NULL, one, NULL);
        H5Dwrite(set, H5T_NATIVE_DOUBLE, memory, space, H5P_DEFAULT, x);
        H5Sclose(memory);
    }
    H5Pclose(how);
    H5Sclose(space);
    return set;
}

/* The file as another program finds it. */
static hid_t again(hid_t file, hid_t set)
{
    H5Dclose(set);
    H5Fclose(file);
    return H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
}

/* Ranges in which the two ways differ; -1: an error. */
static int differences(hid_t file)
{
    static float one[N * ROW], other[N * ROW];
    struct spi_h5_rows *r = NULL;
    int wrong = 0;

    spi_h5_lock();
    if (spi_h5_rows_open(file, path, "x", H5T_NATIVE_FLOAT, &r) != SPI_OK)
        wrong = -1;
    spi_h5_unlock();
    for (hsize_t first = 0; first < N && wrong >= 0; first++)
        for (hsize_t n = 1; first + n <= N && wrong >= 0; n++) {
            spi_h5_lock();
            spi_err err = spi_h5_rows_read(r, first, n, one);
            spi_h5_unlock();
            memset(other, 0xff, sizeof other);
            if (err || spi_h5_rows_read_unlocked(r, first, n, other) != SPI_OK)
                wrong = -1;
            else
                wrong += memcmp(one, other, n * ROW * sizeof *one) != 0;
        }
    spi_h5_lock();
    spi_h5_rows_close(r);
    spi_h5_unlock();
    return wrong;
}

static void check_types(void)
{
    const struct file_type types[] = {
        {H5T_STD_U8LE, "u8"},    {H5T_STD_I8LE, "i8"},    {H5T_STD_U16LE, "u16"},
        {H5T_STD_I16LE, "i16"},  {H5T_STD_U32LE, "u32"},  {H5T_STD_I32LE, "i32"},
        {H5T_IEEE_F32LE, "f32"}, {H5T_IEEE_F64LE, "f64"}, {H5T_STD_U16BE, "u16, big end"}};
    static const hsize_t rows[] = {1, 2, 5};

    for (size_t k = 0; k < sizeof types / sizeof *types; k++)
        for (int filters = 1; filters < 4; filters++) {
            int wrong = 0;

            for (size_t i = 0; i < 3; i++) {
                hid_t file, set = make(types[k].type, (int)k, rows[i], filters, &file);
                int found;

                file = again(file, set);
                found = differences(file);
                wrong = wrong < 0 || found < 0 ? -1 : wrong + found;
                H5Fclose(file);
            }
            OK(wrong == 0,
               "%s, filters %d, chunks of 1, 2 and 5 rows: %d of all ranges differ%s",
               types[k].name, filters, wrong, wrong < 0 ? spi_err_message() : "");
        }
}

/* A chunk in the middle that is no deflated data, and one that is too short. */
static void check_damage(void)
{
    static const struct {
        size_t bytes;
        uint32_t skipped;
        const char *says;
    } c[] = {{20, 0, "cannot be inflated"}, {7, 2, "at (6, 0, 0) holds 7 bytes; need 30"}};

    for (size_t k = 0; k < 2; k++) {
        static float out[N * ROW];
        const hsize_t at[3] = {6, 0, 0};
        const char bad[20] = {1, 2, 3};
        struct spi_h5_rows *r = NULL;
        hid_t file, set = make(H5T_STD_U16LE, 2, 1, 3, &file);
        spi_err err;

        H5Dwrite_chunk(set, H5P_DEFAULT, c[k].skipped, at, c[k].bytes, bad);
        file = again(file, set);
        spi_h5_lock();
        err = spi_h5_rows_open(file, path, "x", H5T_NATIVE_FLOAT, &r);
        spi_h5_unlock();
        OK(err == SPI_OK && spi_h5_rows_read_unlocked(r, 0, 6, out) == SPI_OK &&
               spi_h5_rows_read_unlocked(r, 0, N, out) == SPI_EFORMAT &&
               strstr(spi_err_message(), c[k].says),
           "%s", spi_err_message());
        spi_h5_lock();
        spi_h5_rows_close(r);
        spi_h5_unlock();
        H5Fclose(file);
    }
}

int main(void)
{
    const char *tmp = getenv("SPI_TEST_TMP");

    snprintf(path, sizeof path, "%s/rows.%ld.h5", tmp ? tmp : "/tmp", (long)getpid());
    check_types();
    check_damage();
    unlink(path);
    return tap_done();
}
