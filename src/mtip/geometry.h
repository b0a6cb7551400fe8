/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Where the detector's panels are, and how far the detector, as the images say beside the
 * models of the half sets.  Layer: mtip.  doc/math.md (Q28) to (Q31). */
#ifndef SPI_MTIP_GEOMETRY_H
#define SPI_MTIP_GEOMETRY_H

#include "io/orient.h"
#include "match/drift.h"
#include "match/geometry.h"
#include "mtip/run.h"

/** What was found. */
struct spi_geometry {
    int64_t images; /* that were looked at; 0: none */
    int panels;     /* of the detector */
    int rounds; /* after how many the detector was where the images show it; 0: at once */
    struct spi_geometry_fit first; /* of the places of the file, owned */
    struct spi_geometry_fit last;  /* of those that are used, owned */
    struct spi_places places;      /* that are used, owned */
    struct spi_drift drift;   /* of the beam that the file has, or that is left of it */
    double drift_px;          /* its range before anything was corrected */
    double drift_left_px;     /* that which the result has */
    double (*drift_px_of)[2]; /* [images of the file] that is corrected, owned; NULL:
                                    * nothing is */
    double drift_pixel_invA;  /* its unit */
};

/** Look at images beside A[half - 1] of their half set, 300 to 2,000 of them, none that the
 * models do not explain (outlier [n], of spi_inspection): g->last, and g->first, where nothing
 * has been found before.  better: whether `places` (or, where it is to be corrected, the drift)
 * has been changed, because every half set is more likely with what the other one says, and
 * it matters.  Runs as tasks; does not depend on the number of workers. */
SPI_MUSTUSE spi_err spi_geometry_look(const struct spi_run *r,
                                      const struct spi_volume *const A[2],
                                      const struct spi_orientations *o,
                                      const uint8_t *outlier, struct spi_geometry *g,
                                      bool *better);
/** o->places and o->drift become those that are used.  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_geometry_tell(const struct spi_geometry *g,
                                      struct spi_orientations *o);
/** How far the farthest panel is from where the file says, pixels; 0: all are there. */
double spi_geometry_far_px(const struct spi_geometry *g);
/** Release what the struct owns. */
void spi_geometry_clear(struct spi_geometry *g);

#endif
