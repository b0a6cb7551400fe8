/** \file
 * What speaks against a result, without knowing the truth.  Layer: mtip.  doc/math.md
 * (Q9)...(Q11), doc/decisions/013. */
#ifndef SPI_MTIP_TRUST_H
#define SPI_MTIP_TRUST_H

#include "io/orient.h"
#include "mtip/mtip.h"

struct spi_trust {
    int64_t images;     /* that were looked at */
    double unexplained; /* (Q9) of all of them together */
    double strangers;   /* share of them that the model leaves half unexplained (Q10) */
    double covered;     /* directions at q_max that some image crosses (Q11) */
    double evenness;    /* (Q7): view directions seen, of those that random ones see */
    double final_cc; /* correlation of the half sets' intensities, mean over all shells */
    double resolution_A, resolution05_A; /* of the half maps, FSC 0.143 and 0.5 */
    double start_A;                      /* resolution of the starts */
};

/** A sample of the images, even over the file, each against the model of its half set,
 *  A[half - 1], at its orientation in the frame of that model. */
SPI_MUSTUSE spi_err spi_trust_images(const struct spi_run *r,
                                     const struct spi_volume *const A[2],
                                     const struct spi_orientations *o, struct spi_trust *t);

/** (Q11) for slices with view directions R^T z of all orientations; wavelength in A. */
SPI_MUSTUSE spi_err spi_trust_covered(const struct spi_orientations *o, double diameter_A,
                                      double q_max, double wavelength_A, double *covered);

/** SPI_ENOCONV with a sentence that says all that is wrong, or SPI_OK. */
SPI_MUSTUSE spi_err spi_trust_verdict(const struct spi_trust *t,
                                      const struct spi_settings *set, double q_max);

#endif
