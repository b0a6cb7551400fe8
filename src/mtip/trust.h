/** \file
 * What speaks against a result, without knowing the truth.  Layer: mtip.  doc/math.md
 * (Q9)...(Q12), doc/decisions/013 and 015. */
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
    double phased;    /* agreement of the half maps, of what the intensities allow (Q12) */
    int phase_rounds; /* of starts that were made for it */
};

/** How well the intensities of the half sets agree: shell by shell, their means removed. */
struct spi_agreement {
    double R[9];         /* turns half 2 upon half 1 */
    double q_min, q_max; /* 1/A */
    int n;
    double *q, *cc; /* [n] 1/A, owned */
};

/** `initial`: a rotation from which the best one is found. */
SPI_MUSTUSE spi_err spi_trust_agreement(const struct spi_run *r,
                                        const struct spi_volume half_A[2],
                                        const double *initial, struct spi_agreement *a);
void spi_agreement_clear(struct spi_agreement *a);
/** A curve over its shells, linear between them; NAN outside q_min..q_max. */
double spi_agreement_at(const struct spi_agreement *a, const double *curve, double q);

/** Correlation of the intensity of a density with that of the autocorrelation from which it
 *  was phased, in the shells of `a`: [a->n], owned by the caller (free). */
SPI_MUSTUSE spi_err spi_trust_faithful(const struct spi_run *r, const struct spi_volume *A,
                                       const struct spi_volume *density,
                                       const struct spi_agreement *a, double **out);
/** (Q12): what the half maps agree to, with each other (f) and with their own intensities
 *  (own), as a share of what noise allows; NAN when the intensities agree nowhere. */
double spi_trust_phased(const struct spi_agreement *a, const struct spi_fsc *f,
                        const double *const own[2]);

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
