/** \file
 * The orientation of every image at the end of a run: collected from the half sets, refined
 * continuously, brought into one frame.  Layer: mtip.  doc/math.md (Q7). */
#ifndef SPI_MTIP_ORIENTATIONS_H
#define SPI_MTIP_ORIENTATIONS_H

#include "io/orient.h"
#include "mtip/mtip.h"

/** What the last generation stored, in the order of the file; each half in its own frame.
 */
SPI_MUSTUSE spi_err spi_run_orientations(const struct spi_run *r,
                                         struct spi_orientations *o);

/** Refine every image against the model A[h] of its own half, pixel by pixel; rotation,
 *  score and fluence are replaced (fluences of each half divided by their mean).  The
 *  result does not depend on the number of workers. */
SPI_MUSTUSE spi_err spi_run_refine(struct spi_run *r, const struct spi_volume *const A[2],
                                   struct spi_orientations *o);

/** Half 2 into the frame of half 1: M -> G M, so R = M^T -> R G^T. */
void spi_orientations_common_frame(const double G[9], struct spi_orientations *o);

#endif
