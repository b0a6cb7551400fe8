/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Where the detector's panels are, as the images beside their model say.  Layer: match.
 * doc/math.md (Q28), (Q29).
 *
 * Unknowns are the detector's distance (the share by which it is farther), and of each panel
 * its place along q_x and q_y, in pixels.  A model that was made with a wrong detector has
 * taken up what all pixels of a shell move alike, in or out: how wide each shell of the
 * model is, is unknown as well, and eliminated.  Each image brings the gradient of its
 * log-likelihood and its Fisher matrix, after its rotation and its fluence have been
 * eliminated: all of them are sums over images. */
#ifndef SPI_MATCH_GEOMETRY_H
#define SPI_MATCH_GEOMETRY_H

#include "match/refine.h"

/** The unknowns: shells (linear between SPI_GEOMETRY_SHELLS widths), distance, and two for
 * each panel. */
enum {
    SPI_GEOMETRY_SHELLS = 12,
    SPI_GEOMETRY_STRETCH = SPI_GEOMETRY_SHELLS,
    SPI_GEOMETRY_PANELS
};

enum { SPI_GEOMETRY_BINS = 48 };
/** How the pixels of a list move with the unknowns. */
struct spi_geometry_moves {
    int64_t n;            /* pixels of the list */
    int panels, unknowns; /* unknowns = SPI_GEOMETRY_PANELS + 2 panels */
    double pixel_invA;    /* of a flat detector (spi_detector_flat), between neighbours */
    int32_t *panel;       /* [list's n], owned */
    float (*by)[3][3]; /* [list's n] dq by the distance, and by the panel's place along q_x
                           * and q_y; 1/A, owned */
    float *shell;      /* [list's n] 0 ... SPI_GEOMETRY_SHELLS - 1, in |q|; owned */
};
/** Pixels that spi_detector_flat cannot place do not move.  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_geometry_moves_init(struct spi_geometry_moves *m,
                                            const struct spi_detector *det,
                                            const struct spi_pixel_list *list);
/** Release what the struct owns. */
void spi_geometry_moves_clear(struct spi_geometry_moves *m);

/** How steep the model is along |q| on average, weighted as the likelihood weighs it: sums
 * over orientations (Q29). */
struct spi_geometry_slopes {
    double weight[SPI_GEOMETRY_BINS], slope[SPI_GEOMETRY_BINS]; /* in m->shell */
};
/** Add an orientation M (detector -> object). */
void spi_geometry_slopes_add(const struct spi_refine *r, const struct spi_geometry_moves *m,
                             const double M[9], struct spi_geometry_slopes *sums);
/** slope [m's list]: at each pixel. */
void spi_geometry_slopes_at(const struct spi_geometry_slopes *sums,
                            const struct spi_geometry_moves *m, float *slope);

/** What images say of the beam's centre alone (all panels together). */
struct spi_geometry_centre {
    double gradient[2], fisher[3]; /* per pixel of the beam's place; xx, xy, yy */
};

/** Add an image that lies at M (detector -> object): gradient [unknowns], fisher
 * [unknowns][unknowns], in the likelihood of r; K: [r->pixels->n] the pixels of the list;
 * mean_slope: of spi_geometry_slopes_at, which tells nothing (Q29).
 * centre: of this image alone.  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_geometry_add(const struct spi_refine *r,
                                     const struct spi_geometry_moves *m, const float *K,
                                     const float *mean_slope, const double M[9],
                                     double *gradient, double *fisher,
                                     struct spi_geometry_centre *centre);

/** Sums over the images of each half set. */
struct spi_geometry_sums {
    int unknowns;
    double *gradient[2], *fisher[2]; /* borrowed */
};
/** What the sums say. */
struct spi_geometry_fit {
    double stretch, stretch_sigma;
    double (*panel_px)[2]; /* [panels], owned */
    double sigma_px;       /* of a panel's place, the worst */
    double far_px;         /* the farthest panel */
    double gain; /* of log-likelihood, each half set at what the other one says (Q29) */
};
/** Solve for distance (where `distance`) and panels (where `panels`); what is not asked for
 * is 0.  Release with spi_geometry_fit_clear.  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_geometry_solve(const struct spi_geometry_sums *sums, bool distance,
                                       bool panels, struct spi_geometry_fit *fit);
/** Release what the struct owns. */
void spi_geometry_fit_clear(struct spi_geometry_fit *fit);

#endif
