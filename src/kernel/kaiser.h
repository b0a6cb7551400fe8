/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * The window of the general nonuniform transform.  Layer: kernel.  doc/math.md (U2), (U3).
 *
 *     phi(x) = I0(beta sqrt(1 - (2x/w)^2)) / I0(beta),  |x| <= w/2  (fine-grid units)
 *
 * (Kaiser and Bessel).  Its transform is elementary, and its l2 aliasing error at the best
 * beta is below that of the exponential of a semicircle at every width. */
#ifndef SPI_KERNEL_KAISER_H
#define SPI_KERNEL_KAISER_H

enum { SPI_KAISER_W_MIN = 2, SPI_KAISER_W_MAX = 16, SPI_KAISER_DEGREE_MAX = 15 };

/** Degree of the polynomials that stand for the taps of a window of w points. */
#define SPI_KAISER_DEGREE(w) ((w) <= 8 ? (w) + 1 : (w) <= 10 ? (w) : (w)-1)

struct spi_kaiser {
    int w, degree;
    double beta;
    /* tap a at phi(f + a - w/2), 0 < f <= 1: sum_p coef[p][a] z^p with z = 2 f - 1 */
    double coef[SPI_KAISER_DEGREE_MAX + 1][SPI_KAISER_W_MAX];
};

/** w: SPI_KAISER_W_MIN..SPI_KAISER_W_MAX. */
void spi_kaiser_init(struct spi_kaiser *win, int w, double beta);
/** The window itself, phi(x). */
double spi_kaiser_value(const struct spi_kaiser *win, double x);
/** Integral of phi(x) cos(2 pi xi x), xi in cycles per fine-grid point. */
double spi_kaiser_transform(int w, double beta, double xi);

/** Mean over the modes of an axis (m modes on n fine points) of the squared aliasing error,
 * (U6); of many modes over the outermost and samples of the others. */
double spi_kaiser_error2(int w, double beta, int m, int n);
/** Quick estimate of its root for long axes, (U7): where to begin the search for sigma. */
double spi_kaiser_estimate(int w, double sigma);

#endif
