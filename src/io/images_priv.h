/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * What the readers of image files share.  Layer: io; only images*.c and layout_*.c. */
#ifndef SPI_IO_IMAGES_PRIV_H
#define SPI_IO_IMAGES_PRIV_H

#include "io/h5.h"
#include "io/images.h"

/** One layout: a row of spi_image_formats[].  All functions are called with the HDF5 lock
 *  held.  `file` is -1 where the file is not HDF5. */
struct spi_image_format {
    const char *name, *says;
    bool (*probe)(const char *path, hid_t file);
    /** Fill kind, n, det (q in 1/A; wavelength_A 0 if the file does not say), data. */
    spi_err (*open)(struct spi_images *im);
    /** Images as floats, not yet checked: of all pixels, what the file holds. */
    spi_err (*read)(struct spi_images *im, int64_t first, int64_t n, float *out);
    spi_err (*truth)(struct spi_images *im, struct spi_image_truth *out);
};

extern const struct spi_image_format spi_image_formats[]; /* ends with a NULL name */

struct spi_text {
    char *name, *value; /* owned */
};

struct spi_images {
    char *path;                            /* owned */
    const struct spi_image_format *format; /* borrowed */
    hid_t file;                            /* -1: not HDF5 */
    struct spi_h5_rows *rows;              /* owned: its images */
    struct spi_h5_sources sources;         /* other files whose contents it shows */
    const char *data_name;                 /* borrowed: "photons" ... */
    char type_on_disk[32];
    enum spi_image_kind kind;
    int64_t n;
    struct spi_detector det;
    bool has_mask;         /* the file has one */
    struct spi_text *text; /* [n_texts] attributes of the root, owned */
    int n_texts;
};

/** "panel 0, row 3, column 7" of a pixel of a detector. */
void spi_pixel_text(const struct spi_detector *d, int64_t pixel, char text[96]);

/* layout_cxi.c */
/** Is it a CXI file? */
bool spi_layout_cxi_probe(const char *path, hid_t file);
/** spi_image_format.open of CXI. */
spi_err spi_layout_cxi_open(struct spi_images *im);
/** spi_image_format.truth of CXI: an experiment knows none. */
spi_err spi_layout_cxi_truth(struct spi_images *im, struct spi_image_truth *out);

/* layout_spinifel.c */
/** Is it a file of SpiniFEL or skopi? */
bool spi_layout_spinifel_probe(const char *path, hid_t file);
/** Is it a file of cmtip? */
bool spi_layout_cmtip_probe(const char *path, hid_t file);
/** spi_image_format.open of SpiniFEL and skopi. */
spi_err spi_layout_spinifel_open(struct spi_images *im);
/** spi_image_format.open of cmtip. */
spi_err spi_layout_cmtip_open(struct spi_images *im);
/** spi_image_format.read of all three. */
spi_err spi_layout_spinifel_read(struct spi_images *im, int64_t first, int64_t n,
                                 float *out);
/** spi_image_format.truth of SpiniFEL, skopi and cmtip. */
spi_err spi_layout_spinifel_truth(struct spi_images *im, struct spi_image_truth *out);

/** Quaternions of shape (n,4) or (n,k,4) (the first of k particles, with a warning),
 * checked and made unit: quat[n][4], new.  n = 0: take n from the dataset.  SPI_EFORMAT. */
SPI_MUSTUSE spi_err spi_read_quaternions(hid_t file, const char *path, const char *name,
                                         int64_t *n, double **quat);

#endif
