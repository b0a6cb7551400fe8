/** \file
 * How much of an image its model explains.  Layer: match.  doc/math.md (Q9), (Q10).
 *
 * Of what makes an image different from a plain set of rings, the part that the model at
 * the image's best orientation leaves over, noise not counted: 0 for the right model at the
 * right orientation, 1 or more for an image of something else. */
#ifndef SPI_MATCH_MISFIT_H
#define SPI_MATCH_MISFIT_H

#include <stdint.h>

/** Sums over the pixels of one image or of many (they add up). */
struct spi_misfit {
    double left;     /* sum v ((K - phi g T)^2 - K) (photons), sum v (K - phi g T)^2 */
    double all;      /* sum v phi^2 g^2 (T - mean)^2 */
    double variance; /* of `left` by photon noise: sum v^2 2 (phi g T)^2 */
};

/** Image K against model values T at the same n pixels; g: geometry factors, mean: the
 * model's mean on the pixel's ring (> 0), inv_var: NULL for photons (v = 1 / (phi g mean)),
 * else v of each pixel; phi is the fluence of greatest likelihood.  Adds to *m. */
void spi_misfit_add(int64_t n, const float *K, const float *T, const float *g,
                    const float *mean, const float *inv_var, struct spi_misfit *m);

/** left / all, and the standard deviation of it by photon noise; 0 when all is 0. */
double spi_misfit_share(const struct spi_misfit *m);
double spi_misfit_sigma(const struct spi_misfit *m);

#endif
