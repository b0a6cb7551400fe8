/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Sets of images, read and written by blocks.  Layer: io.  doc/formats.md, "Images".
 *
 * All formats that the program knows are rows of one table (io/source.h); the rest of the
 * program sees only this header.
 *
 * A pixel array is (panels, ny, nx) in the file and a flat list of n_pixels here, in
 * the file's order.  q is in 1/A (files hold 1/m), laboratory frame, z along the beam. */
#ifndef SPI_IO_IMAGES_H
#define SPI_IO_IMAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/** What all images of a set share. */
struct spi_detector {
    int panels, ny, nx;
    int64_t n_pixels;    /* panels * ny * nx */
    double *q;           /* [n_pixels][3], 1/A, owned */
    float *geometry;     /* [n_pixels], owned: solid angle x polarisation relative to the
                          * middle of the detector; 1 where the file does not say */
    uint8_t *bad;        /* [n_pixels], owned: 0 = use it */
    int32_t *index_map;  /* [n_pixels][2], owned: (row, column) in the assembled picture */
    int rows, columns;   /* of the assembled picture */
    double wavelength_A; /* from the file, or from the Ewald sphere on which q lies;
                          * its sign convention: q_z = -wavelength |q|^2 / 2 exactly */
    double distance_m;   /* 0: not in the file */
};

/** What an image shows. */
enum spi_image_class {
    SPI_IS_PARTICLE,
    SPI_IS_BLANK,   /* background alone */
    SPI_IS_SPHERE,  /* a droplet */
    SPI_IS_DOUBLET, /* two particles at once */
    SPI_IS_OTHER    /* another structure */
};
/** What is wrong with a pixel. */
enum spi_pixel_fault {
    SPI_PIXEL_GOOD,
    SPI_PIXEL_DEAD,       /* always 0 */
    SPI_PIXEL_HOT,        /* always too much */
    SPI_PIXEL_FLICKERING, /* too much in some images */
    SPI_PIXEL_GAP,        /* no pixel at all, and no mask says so */
    SPI_PIXEL_MISSING     /* of a part of the detector that is missing */
};

/** Truth that a simulation knows; any pointer may be NULL. */
struct spi_image_truth {
    double *quat; /* [n][4] w x y z, molecule -> laboratory; NaN: no particle, or not one */
    int32_t *label;     /* [n] which structure; -1: none of them */
    double *fluence;    /* [n] relative to the mean */
    uint8_t *class;     /* [n] enum spi_image_class */
    double *background; /* [n] its scale, relative to the mean */
};

/** Truth of the detector and of what all images share. */
struct spi_detector_truth {
    const float *background; /* [n_pixels] expected counts of scale 1, or NULL; borrowed */
    const uint8_t *fault;    /* [n_pixels] enum spi_pixel_fault, or NULL; borrowed */
    double centre_px[2];     /* where the beam is, seen from where the file says: columns,
                               * rows */
    double distance_m;       /* 0: not known */
    const double (*panel_px)[2]; /* [panels] how far each is from where the file says,
                                  * columns and rows; borrowed; NULL: nowhere */
    const double (*drift_px)[2]; /* [n_images] where the beam is, from centre_px; borrowed;
                                  * NULL: there */
};

/** Where the panels of a detector are, beside what the file says. */
struct spi_places {
    int panels;              /* 0: all are where the file says */
    double stretch;          /* the distance is larger by this share of itself */
    double (*shift_invA)[2]; /* [panels], owned: the places of spi_detector_flat are larger
                              * by this, at the distance of the file */
    double pixel_invA;       /* between neighbours there */
    char positions_sha256[65]; /* of all q before, so that no detector is placed twice */
};
/** A copy.  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_places_copy(const struct spi_places *from, struct spi_places *to);
/** Release what the struct owns. */
void spi_places_clear(struct spi_places *p);

struct spi_images; /* an open file */

/** A detector of (panels, ny, nx) pixels with everything allocated: q 0, geometry 1, no bad
 *  pixel, panels stacked downwards in the assembled picture.  SPI_EINVAL, SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_detector_init(struct spi_detector *d, int panels, int ny, int nx);
/** |q| at the detector's edge, 1/A: the default q_max of every command.  Of the middles of
 *  the (up to four) sides it is the farthest at which the ring is filled: just inside it,
 * at least half as many usable pixels lie on a stretch of the circle as on the median ring
 *  below.  A side that is nearer to the beam than the others does not decide alone. */
double spi_detector_q_edge(const struct spi_detector *d);
/** Largest |q| of all pixels, 1/A. */
double spi_detector_q_corner(const struct spi_detector *d);
/** Where on a flat detector across the beam a pixel lies: place on it over the detector's
 * distance and the wavelength, 1/A; near the beam that is (q_x, q_y).  false: the pixel
 * looks along the detector or backwards, more than 84 degrees from the beam. */
bool spi_detector_flat(const struct spi_detector *d, int64_t pixel, double at[2]);
/** q, 1/A, of such a place: on the Ewald sphere. */
void spi_flat_q(double wavelength_A, const double at[2], double q[3]);
/** Least-squares wavelength of q_z = -wavelength |q|^2 / 2 over n points q[n][3], and the
 *  largest distance of a point from that sphere along z, in the units of q. */
double spi_ewald_fit(int64_t n, const double *q, double *worst);

enum spi_image_kind { SPI_PHOTONS, SPI_INTENSITIES };

/** Open for reading.  Checks shapes, q (finite, on an Ewald sphere within 1 % of |q|max),
 *  mask, and that at least one pixel can be used.
 *  SPI_EIO: missing or truncated; SPI_EFORMAT: wrong shape, no known layout. */
SPI_MUSTUSE spi_err spi_images_open(const char *path, struct spi_images **out);

struct spi_images_options {
    const char *mask; /* "FILE" or "FILE:/dataset" (io/mask.h), added to the mask of the
                       * images' own file; NULL: none */
    bool invert_mask; /* `mask`, or without one that of the file, marks good pixels */
};
/** The same with a mask of one's own. */
SPI_MUSTUSE spi_err spi_images_open_with(const char *path,
                                         const struct spi_images_options *opt,
                                         struct spi_images **out);
/** Fingerprint of all that the images, their detector and their truth are read from:
 * SHA-256 of the file; where values lie in other files (external links, virtual datasets,
 * raw files), of the list of the fingerprints of the file and of those.  SPI_EIO. */
SPI_MUSTUSE spi_err spi_images_sha256(const struct spi_images *im, char hex[65]);
/** Close the file and release it; NULL is allowed. */
void spi_images_close(struct spi_images *im);

/** Number of images in the file. */
int64_t spi_images_count(const struct spi_images *im);
enum spi_image_kind spi_images_kind(const struct spi_images *im);
/** The detector; it lives as long as the file is open. */
const struct spi_detector *spi_images_detector(const struct spi_images *im);
/** How far the centre of images was moved (spi_images_move_centre). */
struct spi_moved_centre {
    bool yes;
    double shift_invA[2]; /* of the true origin along q_x and q_y */
    double shift_px[2];
    char positions_sha256[65]; /* of all q before, so that no detector is moved twice */
};
/** Fingerprint of the positions of all pixels as they are now. */
void spi_images_positions_sha256(const struct spi_images *im, char hex[65]);
/** From now on the beam meets the detector at `at` (spi_detector_flat of the old
 * positions): all q are those of a flat detector that is moved so far.  Only for detectors
 * all of whose pixels spi_detector_flat can place. */
void spi_images_move_centre(struct spi_images *im, const double at[2]);
/** From now on the panels are at `places` (of as many panels as the detector has); what was
 * placed before is forgotten.  Pixels that spi_detector_flat cannot place stay.
 * SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_images_place_panels(struct spi_images *im,
                                            const struct spi_places *places);
/** From now on the beam of image k is at[k] [images][2] away from where it meets the detector
 * (spi_images_move_centre); copied.  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_images_set_drift(struct spi_images *im, const double (*at)[2]);
/** The mean of that over n images; false: none was set, and it is 0. */
bool spi_images_drift(const struct spi_images *im, int64_t first, int64_t n, double at[2]);
/** Name of its row: "spinifel", "cmtip", "cxi". */
const char *spi_images_layout(const struct spi_images *im);
/** "; correct X": what corrects a wrong centre in such a file; "": nothing can. */
const char *spi_images_centre_advice(const struct spi_images *im);
/** A text attribute of the root, "convention", "program" or "provenance" ("" if absent),
 * valid until the file is closed. */
const char *spi_images_attribute(const struct spi_images *im, const char *name);
/** Type of the pixels in the file: "uint8", "float32" ... */
const char *spi_images_type(const struct spi_images *im);

/** Images first .. first+n-1 as floats, out[n][n_pixels].  Values of bad pixels are
 *  set to 0.  After a survey (io/survey.h) values that are no measurement are replaced, and
 *  what electronics read becomes photons; before it, SPI_EFORMAT if a usable pixel is
 *  negative, NaN or infinite: the message names image and pixel.  Calls on one file from several threads are serialised inside. */
SPI_MUSTUSE spi_err spi_images_read(struct spi_images *im, int64_t first, int64_t n,
                                    float *out);

/** Truth of all images.  Missing parts stay NULL.  Release with spi_truth_clear. */
SPI_MUSTUSE spi_err spi_images_truth(struct spi_images *im, struct spi_image_truth *out);
/** Release what the struct owns. */
void spi_truth_clear(struct spi_image_truth *t);
/** Release what the struct owns. */
void spi_detector_clear(struct spi_detector *d);

/** Writing: a temporary file (io/file.h) is renamed by _finish. */
struct spi_images_writer;

struct spi_images_spec {
    int64_t n_images;
    enum spi_image_kind kind;
    int64_t max_photons; /* SPI_PHOTONS: no pixel will ever hold more; decides
                          * between uint8, uint16 and uint32 */
    const struct spi_detector *detector; /* borrowed */
    const char *provenance_json; /* one JSON object: version, settings, seed, hashes */
    bool raw; /* any value may come, negative and NaN too: written as float32 */
    const struct spi_detector_truth *truth; /* borrowed until _create returns; or NULL */
};

/** Begin a file; spi_images_finish_take or spi_images_abandon ends it.  SPI_EINVAL,
 *  SPI_EIO, SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_images_create(const char *path, const struct spi_images_spec *spec,
                                      struct spi_images_writer **out);
/** Append n images with their truth (quat needed; label and fluence may be NULL: 0 and 1;
 * class and background are written with spec.truth only).
 *  SPI_EINVAL if a count exceeds spec.max_photons; SPI_EIO (disk full ...). */
SPI_MUSTUSE spi_err spi_images_append(struct spi_images_writer *w, int64_t n,
                                      const float *pixels,
                                      const struct spi_image_truth *truth);
/** Close and rename.  On failure the temporary file is removed. `w` is released. */
SPI_MUSTUSE spi_err spi_images_finish_take(struct spi_images_writer *w);
/** Give up: remove the temporary file, release `w` (NULL allowed). */
void spi_images_abandon(struct spi_images_writer *w);

#endif
