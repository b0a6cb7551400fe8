/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Masks in HDF5: shapes, types, bits, and what is refused. */
#include <hdf5.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/mask.h"
#include "tap.h"

static char path[512], named[600];

static void put(hid_t f, const char *name, int rank, const hsize_t *dim, hid_t type,
                hid_t memory, const void *data)
{
    hid_t space = H5Screate_simple(rank, dim, NULL);
    hid_t d = H5Dcreate2(f, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);

    H5Dwrite(d, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, data);
    H5Dclose(d);
    H5Sclose(space);
}

static void write_file(void)
{
    static const hsize_t two[2] = {3, 4}, three[3] = {1, 3, 4}, stack[3] = {2, 3, 2},
                         tall[2] = {6, 2}, each[4] = {5, 1, 3, 4};
    const int flags[12] = {0, 1, 0, 0, 512, 0, 0, 0, 0, 0, 0, 3};
    const int8_t yes[12] = {0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1};
    const double whole[12] = {0, 1, 0, 0, 512, 0, 0, 0, 0, 0, 0, -1};
    const double half[12] = {0, 1, 0, 0, 0.5}, nan[12] = {[7] = (double)NAN};
    const int many[60] = {0};
    hid_t f = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    hid_t boolean = H5Tenum_create(H5T_STD_I8LE);

    H5Tenum_insert(boolean, "FALSE", &(int8_t){0}); /* as numpy does */
    H5Tenum_insert(boolean, "TRUE", &(int8_t){1});
    put(f, "mask", 2, two, H5T_STD_U16LE, H5T_NATIVE_INT, flags);
    put(f, "cube", 3, three, H5T_STD_I32BE, H5T_NATIVE_INT, flags);
    put(f, "stack", 3, stack, H5T_STD_I32BE, H5T_NATIVE_INT, flags);
    put(f, "tall", 2, tall, H5T_STD_I32BE, H5T_NATIVE_INT, flags);
    put(f, "bool", 2, two, boolean, boolean, yes);
    put(f, "bits", 2, two, H5T_STD_B8LE, H5T_NATIVE_B8, yes);
    put(f, "whole", 2, two, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, whole);
    put(f, "half", 2, two, H5T_IEEE_F32LE, H5T_NATIVE_DOUBLE, half);
    put(f, "nan", 2, two, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, nan);
    put(f, "each", 4, each, H5T_STD_I8LE, H5T_NATIVE_INT, many);
    H5Tclose(boolean);
    H5Fclose(f);
}

static const char *dataset(const char *name)
{
    snprintf(named, sizeof named, "%s:/%s", path, name);
    return named;
}

static bool says(const char *text)
{
    return strstr(spi_err_message(), text) != NULL;
}

int main(void)
{
    static const uint8_t want[12] = {1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1};
    static const struct {
        const char *name;
        int panels, ny, nx;
    } good[] = {{"mask", 1, 3, 4}, {"cube", 1, 3, 4},  {"bool", 1, 3, 4},
                {"bits", 1, 3, 4}, {"whole", 1, 3, 4}, {"stack", 2, 3, 2},
                {"tall", 2, 3, 2}};
    static const struct {
        const char *name, *says;
    } bad[] = {{"half", "half' holds 0.5 (panel 0, row 1, column 0)"},
               {"nan", "nan' holds nan (panel 0, row 1, column 3)"},
               {"each", "has shape (5, 1, 3, 4); need (1, 3, 4) or without its first axis"},
               {"tall", "has shape (6, 2); need (1, 3, 4)"},
               {"none", "has no dataset"}};
    uint8_t mask[12], bits[12] = {0};
    hid_t file = -1;

    snprintf(path, sizeof path, "%s/mask.h5", getenv("SPI_TEST_TMP"));
    write_file();
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        memset(mask, 0, 12);
        mask[0] = 1; /* what was masked before stays */
        OK(spi_mask_read(dataset(good[i].name), good[i].panels, good[i].ny, good[i].nx,
                         mask) == SPI_OK &&
               memcmp(mask, want, 12) == 0,
           "%s for %d panels of (%d, %d)", good[i].name, good[i].panels, good[i].ny,
           good[i].nx);
    }
    memset(mask, 0, 12);
    mask[0] = 1;
    OK(spi_mask_read(path, 1, 3, 4, mask) == SPI_OK && memcmp(mask, want, 12) == 0,
       "the dataset 'mask' when none is named");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        OK(spi_mask_read(dataset(bad[i].name), 1, 3, 4, mask) == SPI_EFORMAT &&
               says(bad[i].says),
           "%s", spi_err_message());
    OK(spi_mask_read(path, 1, 4, 3, mask) == SPI_EFORMAT, "%s", spi_err_message());

    spi_h5_lock();
    OK(spi_h5_open(path, &file) == SPI_OK &&
           spi_mask_dataset(file, path, "mask", 1, 3, 4, 2, bits) == SPI_OK &&
           bits[1] == 0 && bits[4] == 0 && bits[11] == 1,
       "only the bits that hide: 2 hides 3, not 1 or 512");
    H5Fclose(file);
    spi_h5_unlock();
    unlink(path);
    OK(spi_mask_read(path, 1, 3, 4, mask) == SPI_EIO, "%s", spi_err_message());
    return tap_done();
}
