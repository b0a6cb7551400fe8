/* Masks in HDF5: both shapes, any integer, and what is refused. */
#include <hdf5.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/mask.h"
#include "tap.h"

static char path[512], named[600];

static void write_file(void)
{
    hsize_t two[2] = {3, 4}, three[3] = {1, 3, 4};
    const int flags[12] = {0, 1, 0, 0, 512, 0, 0, 0, 0, 0, 0, 3};
    const double numbers[12] = {0};
    hid_t f = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    const struct {
        const char *name;
        int rank;
        hid_t type, memory;
        const void *data;
    } set[] = {{"mask", 2, H5T_STD_U16LE, H5T_NATIVE_INT, flags},
               {"cube", 3, H5T_STD_I32BE, H5T_NATIVE_INT, flags},
               {"real", 2, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, numbers}};

    for (int i = 0; i < 3; i++) {
        hid_t space = H5Screate_simple(set[i].rank, set[i].rank == 2 ? two : three, NULL);
        hid_t d = H5Dcreate2(f, set[i].name, set[i].type, space, H5P_DEFAULT, H5P_DEFAULT,
                             H5P_DEFAULT);

        H5Dwrite(d, set[i].memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, set[i].data);
        H5Dclose(d);
        H5Sclose(space);
    }
    H5Fclose(f);
}

static const char *dataset(const char *name)
{
    snprintf(named, sizeof named, "%s:/%s", path, name);
    return named;
}

int main(void)
{
    static const uint8_t want[12] = {1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1};
    uint8_t mask[12] = {1}; /* what was masked before stays */

    snprintf(path, sizeof path, "%s/mask.h5", getenv("SPI_TEST_TMP"));
    write_file();
    OK(spi_mask_read(path, 3, 4, mask) == SPI_OK && memcmp(mask, want, 12) == 0,
       "dataset mask, (ny, nx)");
    memset(mask, 0, 12);
    mask[0] = 1;
    OK(spi_mask_read(dataset("cube"), 3, 4, mask) == SPI_OK && memcmp(mask, want, 12) == 0,
       "a named dataset, (1, ny, nx)");
    OK(spi_mask_read(path, 4, 3, mask) == SPI_EFORMAT, "%s", spi_err_message());
    OK(spi_mask_read(dataset("real"), 3, 4, mask) == SPI_EFORMAT, "%s", spi_err_message());
    OK(spi_mask_read(dataset("none"), 3, 4, mask) == SPI_EFORMAT, "%s", spi_err_message());
    unlink(path);
    OK(spi_mask_read(path, 3, 4, mask) == SPI_EIO, "%s", spi_err_message());
    return tap_done();
}
