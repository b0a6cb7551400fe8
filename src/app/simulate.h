/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * What the files of `spinifel simulate` share.  Layer: app; only cmd_simulate.c and
 * simulate_experiment.c. */
#ifndef SPI_APP_SIMULATE_H
#define SPI_APP_SIMULATE_H

#include <jansson.h>

#include "app/cmd.h"
#include "sim/detector.h"
#include "sim/simulate.h"

enum { SPI_STRUCTURES_MAX = 64 };

struct spi_simulate_args {
    const char *out, *mask, *proportions, *models;
    int64_t images, seed;
    int detector[2], panels[2], assembly, workers;
    double energy_eV, resolution_A, pixel_um, distance_m, beam_stop_px, beam_stop_invA;
    double photons, fluence, spread, views_deg, background_spread, distance_error,
        panel_error;
    const char *background, *centre_error, *centre_drift, *missing, *focus;
    struct spi_texts rectangles, junk, gaps;
    struct spi_response_options response;
    bool corner, polarisation, solid_angle, waters, hydrogens, use_b, noise_free,
        pure_noise;
    bool json;
};

/* What a run owns. */
struct spi_simulate_job {
    const struct spi_call *call;
    const struct spi_simulate_args *args;
    int n; /* structures */
    struct spi_model *model[SPI_STRUCTURES_MAX];
    json_t *inputs; /* one object per file */
    struct spi_detector_options geometry;
    struct spi_detector detector, told; /* where it is; where the file says that it is */
    bool displaced;                     /* these differ */
    struct spi_detector *drift;         /* [n_drift], owned; NULL: the beam stays */
    double (*drift_px)[2];              /* [n_drift], owned */
    int n_drift;
    double (*panel_px)[2]; /* owned; NULL: every panel is in its place */
    uint8_t *mask;
    struct spi_junk_shares junk;
    int n_others;                          /* the last models: structures that are junk */
    const char *other[SPI_STRUCTURES_MAX]; /* files, in junk_text */
    char junk_text[SPI_STRUCTURES_MAX][512];
    float *background; /* owned; NULL: none */
    double background_ratio;
    struct spi_response response;
    bool responds;
    double proportion[SPI_STRUCTURES_MAX];
    struct spi_simulator *simulator;
    const volatile int *stop;
    char *provenance;
    double t0;
};

/** What options say of an experiment, but for its detector: junk, faults that they contradict.
 * SPI_EUSAGE. */
SPI_MUSTUSE spi_err spi_experiment_check(struct spi_simulate_job *j);
/** Where the beam really is, for the detector that is made next.  SPI_EUSAGE. */
SPI_MUSTUSE spi_err spi_experiment_centre(const struct spi_call *call,
                                          const struct spi_simulate_args *a,
                                          double centre_px[2]);
/** Where the panels really are, for the same; j->geometry has their number.  SPI_EUSAGE,
 * SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_experiment_panels(struct spi_simulate_job *j);
/** The detectors of a beam that drifts; j->geometry is that of the middle.  SPI_EUSAGE,
 * SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_experiment_drift(struct spi_simulate_job *j);
/** The background and the faults of j->detector.  SPI_EUSAGE, SPI_EFORMAT, SPI_EIO. */
SPI_MUSTUSE spi_err spi_experiment_make(struct spi_simulate_job *j);
/** Release what the two make. */
void spi_experiment_clear(struct spi_simulate_job *j);
/** Fill what `opt` says of it. */
void spi_experiment_options(const struct spi_simulate_job *j,
                            struct spi_simulate_options *opt);
/** What provenance says of it; NULL: no memory. */
json_t *spi_experiment_json(const struct spi_simulate_job *j);

#endif
