/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * The window of the simulator, doc/math.md (N2); the nonuniform transforms use
 * kernel/kaiser.h.  Layer: kernel.
 *
 *     phi(t) = exp(beta (sqrt(1 - t^2) - 1)), |t| <= 1, t = 2 x / w, x in fine-grid units
 *
 * ("exponential of semicircle", Barnett, Magland and af Klinteberg, SIAM J. Sci. Comput.
 * 41 (2019) C479).  The taps of one coordinate are polynomials in its fraction. */
#ifndef SPI_KERNEL_WINDOW_H
#define SPI_KERNEL_WINDOW_H

enum { SPI_W_MAX = 8, SPI_WINDOW_DEGREE_MAX = 11 };

struct spi_window {
    int w;      /* taps per axis: 4, 6 or 8 */
    int degree; /* of the polynomials */
    double beta;
    /* tap c at fraction f: sum_p coef[p][c] z^p, z = 2 f - 1; taps c >= w are zero */
    float coef[SPI_WINDOW_DEGREE_MAX + 1][SPI_W_MAX];
};

/** Window for an asked relative error tol of a transform on a grid of twice the modes:
 *  w = 4 for tol >= 1e-3, 6 for tol >= 1e-5, else 8. */
void spi_window_init(struct spi_window *win, double tol);
/** phi at x fine-grid units from the centre. */
double spi_window_value(const struct spi_window *win, double x);
/** Integral of phi(x) cos(2 pi k x / nf) over the window: doc/math.md (N3). */
double spi_window_transform(const struct spi_window *win, double k, int nf);

#endif
