/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Merging images at given orientations, pixel by pixel, as tasks.  Layer: mtip.
 * doc/math.md (V3)-(V13).
 *
 *     spread   blocks of images -> partial sums (fixed partials); read once, never kept
 *     collect  sums -> right-hand side and Toeplitz kernel
 *     solve    conjugate gradients; each product is made of tasks
 *
 * Memory: the partials, whatever the number of images; of each image its orientation and
 * fluence.  The bits depend on neither the number of workers nor the engine. */
#ifndef SPI_MTIP_MERGING_H
#define SPI_MTIP_MERGING_H

#include "base/settings.h"
#include "io/images.h"
#include "merge/direct.h"
#include "merge/normal.h"
#include "merge/view_sums.h"
#include "mtip/beside.h"
#include "task/graph.h"

struct spi_merging_spec {
    struct spi_graph *graph; /* borrowed, like all that follows */
    struct spi_images *images;
    const struct spi_pixel_list *pixels;
    const double (*quat)[4];  /* [images of the file] molecule -> laboratory */
    const float *fluence;     /* [images of the file]; 0: takes no part */
    double scale;             /* image value -> counts */
    struct spi_beside beside; /* counts to be taken from each image */
    double diameter_A, tol;   /* of a transform */
    bool f64;                 /* double precision from points to solution */
    bool direct;              /* H* w H point by point in every step, not Toeplitz */
    double corner_weight;     /* (V10); 0: none */
    const float *prior;       /* A0 [n^3] or NULL */
    double average; /* > 0: sum images by view direction first, this many Shannon cells
                       apart (V14); 0: pixel by pixel */
    const volatile int *stop;
    void (*progress)(int64_t done, int64_t total, void *user); /* images; may be NULL */
    void (*stepped)(int64_t products, void *user);             /* may be NULL */
    void *user;
};

enum { SPI_MERGING_PARTIALS_MAX = 8, SPI_MERGING_SETS_MAX = 2 };

/** What a partial sums besides its grid. */
struct spi_merging_sums {
    double weight, norm2, noise2; /* of w, of w b^2, of its expected misfit (V12) */
    double read_s, spread_s;
    int64_t merged; /* images */
};

struct spi_merging {
    struct spi_merging_spec spec;
    int n; /* voxels per axis of A, dx apart */
    double dx;
    int64_t n_images, block;      /* of the file; in a task */
    int64_t n_merged;             /* images that took part */
    double weight, norm2, noise2; /* of spi_merging_sums, all partials */
    struct spi_normal normal;
    double read_s, spread_s, collect_s, solve_s; /* wall clock */
    int64_t products;                            /* by H* w H while solving */

    spi_nufft *plan;    /* float: of n (direct) or 2 n modes */
    spi_points *points; /* float: the pixels */
    struct spi_modes modes;
    int n_partials;
    struct spi_array *partial[SPI_MERGING_PARTIALS_MAX]; /* float: fine grids of two
                                                          * components; double: modes */
    struct spi_array *sums;                              /* [n_partials] */
    struct spi_array *x; /* direct: the vector, as fine grid or as modes */
    int64_t done;        /* images, for progress */
};

/** Spread all images and set up the normal equations.  m is filled in place and must not
 *  move; clear it in any case.  SPI_EINVAL: nothing has weight, or a grid too large. */
SPI_MUSTUSE spi_err spi_merging_init(struct spi_merging *m,
                                     const struct spi_merging_spec *spec);
/** The same for several sets of the images (the half sets) at once, each image read once:
 *  m[n_sets]; fluence[i][images of the file] takes the place of spec->fluence for set i.
 *  The sets share the memory of the partials: sums are those of spi_merging_init but for
 *  rounding.  spec->average: one set only. */
SPI_MUSTUSE spi_err spi_merging_init_sets(struct spi_merging *m,
                                          const struct spi_merging_spec *spec, int n_sets,
                                          const float *const *fluence);
/** Release what the struct owns. */
void spi_merging_clear(struct spi_merging *m);

/** When CG ends, from the settings: cg_tol, discrepancy; at most n_iter steps. */
struct spi_cg_options spi_merging_rules(const struct spi_merging *m,
                                        const struct spi_settings *set, int n_iter);

/** One lambda: A [n^3], start on input. */
SPI_MUSTUSE spi_err spi_merging_solve(struct spi_merging *m, double lambda,
                                      const struct spi_cg_options *opt, float *A,
                                      struct spi_cg_report *report);

struct spi_merging_lcurve {
    int n;                           /* lambdas */
    struct spi_lcurve_point *points; /* [n], owned */
    struct spi_lcurve_choice choice;
    struct spi_cg_report report; /* of the chosen */
};

/** algorithm.N_lambda lambdas from lambda_min to lambda_max, from one Krylov sequence, or
 *  independently, as published: one CG each, as tasks.  SPI_EINVAL: the range. */
SPI_MUSTUSE spi_err spi_merging_solve_lcurve(struct spi_merging *m,
                                             const struct spi_settings *set,
                                             bool independent,
                                             const struct spi_cg_options *opt, float *A,
                                             struct spi_merging_lcurve *curve);
/** The same for several sets side by side; opt, A, curve: [n_sets]. */
SPI_MUSTUSE spi_err spi_merging_solve_lcurves(
    struct spi_merging *m, int n_sets, const struct spi_settings *set, bool independent,
    const struct spi_cg_options *opt, float *const *A, struct spi_merging_lcurve *curve);
/** Release what the struct owns. */
void spi_merging_lcurve_clear(struct spi_merging_lcurve *c);

#endif
