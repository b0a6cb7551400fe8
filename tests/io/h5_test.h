/* SPDX-License-Identifier: GPL-3.0-or-later */
/* h5_test.h - small HDF5 files for the tests of io, right ones and wrong ones. */
#ifndef SPI_TESTS_H5_TEST_H
#define SPI_TESTS_H5_TEST_H

#include <math.h>
#include <stdlib.h>

#include "io/h5.h"
#include "io/images.h"

/* A flat detector: pixel (y, x) of each panel looks along (x, y, 1), pixel pitch 1/100 of
 * the distance; panels beside each other in x; wavelength 2 A; corner at about 0.02 1/A. */
static inline spi_err flat_detector(struct spi_detector *d, int panels, int ny, int nx)
{
    const double wavelength = 2;
    spi_err err = spi_detector_init(d, panels, ny, nx);

    d->wavelength_A = wavelength;
    d->distance_m = 0.25;
    for (int64_t i = 0; !err && i < d->n_pixels; i++) {
        int64_t panel = i / (ny * nx), y = i / nx % ny, x = i % nx + panel * nx;
        double a = 0.01 * ((double)x - (panels * nx - 1) / 2.0);
        double b = 0.01 * ((double)y - (ny - 1) / 2.0), r = sqrt(a * a + b * b + 1);

        d->q[3 * i] = a / r / wavelength;
        d->q[3 * i + 1] = b / r / wavelength;
        d->q[3 * i + 2] = (1 / r - 1) / wavelength;
    }
    return err;
}

/* n photon images: pixel p of image k holds (7 k + p) % 50. */
static inline spi_err good_images(const char *path, int64_t n, const struct spi_detector *d)
{
    struct spi_images_spec spec = {.n_images = n,
                                   .kind = SPI_PHOTONS,
                                   .max_photons = 50,
                                   .detector = d,
                                   .provenance_json = "{\"seed\": 1}"};
    struct spi_images_writer *w = NULL;
    float *pixel = calloc((size_t)d->n_pixels, sizeof *pixel);
    spi_err err = spi_images_create(path, &spec, &w);

    for (int64_t k = 0; !err && k < n; k++) {
        double quat[4] = {cos(0.1 * (double)k), 0, 0, sin(0.1 * (double)k)}, fluence = 1;
        int32_t label = (int32_t)k;
        struct spi_image_truth truth = {.quat = quat, .label = &label, .fluence = &fluence};

        for (int64_t p = 0; p < d->n_pixels; p++)
            pixel[p] = (float)((7 * k + p) % 50);
        err = spi_images_append(w, 1, pixel, &truth);
    }
    free(pixel);
    if (err) {
        spi_images_abandon(w);
        return err;
    }
    return spi_images_finish_take(w);
}

/* Open an existing file to change it. */
static inline hid_t to_change(const char *path)
{
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);

    return file;
}

/* Put a dataset of doubles (stored as `type`) in place of what has that name. */
static inline void replace(hid_t file, const char *name, hid_t type, int rank,
                           const hsize_t *dim, const double *value)
{
    H5E_BEGIN_TRY
    {
        H5Ldelete(file, name, H5P_DEFAULT);
    }
    H5E_END_TRY
    if (spi_h5_write(file, "test", name, type, H5T_NATIVE_DOUBLE, rank, dim, value))
        printf("# %s\n", spi_err_message());
}

static inline void replace_attribute(hid_t file, const char *name, double value)
{
    H5Adelete(file, name);
    if (spi_h5_put_number(file, "test", name, value))
        printf("# %s\n", spi_err_message());
}

#endif
