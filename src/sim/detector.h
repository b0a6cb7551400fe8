/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * A flat detector behind the particle.  Layer: sim.  doc/math.md (S2)-(S5).
 *
 * ny x nx square pixels, perpendicular to the beam, which hits the point between the middle
 * pixels: pixel (row i, column j) has its centre at x = (j - (nx-1)/2 - cx) p, y = (i -
 * (ny-1)/2 - cy) p (p: pixel size; x along a row; (cx, cy) = centre_px: where the beam is,
 * seen from the middle), z = distance.  q = (r/|r| - z) / lambda lies
 * on the Ewald sphere exactly: q_z = -lambda |q|^2 / 2.
 *
 * It may be cut into panels of equal size, in reading order: the file holds one after another. */
#ifndef SPI_SIM_DETECTOR_H
#define SPI_SIM_DETECTOR_H

#include "io/images.h"

struct spi_detector_options {
    int ny, nx;
    double energy_eV;
    /* Either the resolution d: the outer *edge* of the outermost pixels, n/2 pixels from
     * the beam (n the shorter side), has |q| = 1/d exactly, at the middle of the detector's
     * edge or (corner) in its corner; the distance follows from the pixel size (0: 100 um).
     */
    double resolution_A;
    bool corner;
    /* or pixel size and distance. */
    double pixel_size_m, distance_m;
    double centre_px[2]; /* columns, rows; the resolution is that of a beam in the middle */
    double stretch;      /* the distance becomes so many times as large; 0: 1 */
    int panels[2];       /* rows and columns of panels; 0: 1 */
    const double (*panel_px)[2]; /* [panels] how far each is from its place, columns and
                                  * rows; borrowed; NULL: nowhere */
    bool no_polarisation, no_solid_angle;
    double beam_stop_px;   /* pixels with their centre inside this radius are bad */
    double beam_stop_invA; /* and those below this |q| */
    const uint8_t *mask;   /* [ny][nx], nonzero: bad; borrowed, may be NULL */
};

/** SPI_EINVAL: sizes, energy or resolution out of range (the message says which). */
SPI_MUSTUSE spi_err spi_detector_make(const struct spi_detector_options *opt,
                                      struct spi_detector *out);

/** lambda = hc/E. */
double spi_wavelength_A(double energy_eV);
/** Solid angle of a pixel at the beam, steradian: (p / distance)^2. */
double spi_detector_solid_angle(const struct spi_detector *det);
/** 1/|q| at the middle of the nearer edge and in the corner (outer pixel edges), A. */
void spi_detector_resolution(const struct spi_detector *det, double *edge_A,
                             double *corner_A);
/** Lowest and highest |q| of the usable pixels, 1/A. */
void spi_detector_q_range(const struct spi_detector *det, double *q_min, double *q_max);

/** Mark rows r0..r1-1, columns c0..c1-1 in mask[ny][nx]; text "r0:r1,c0:c1", an empty end
 * is the detector's.  SPI_EUSAGE with the text. */
SPI_MUSTUSE spi_err spi_mask_rectangle(const char *text, int ny, int nx, uint8_t *mask);

#endif
