/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * What the files of `spinifel reconstruct` share.  Layer: app; only cmd_reconstruct.c and
 * reconstruct_*.c. */
#ifndef SPI_APP_RECONSTRUCT_H
#define SPI_APP_RECONSTRUCT_H

#include <jansson.h>

#include "app/cmd.h"
#include "app/opening.h"
#include "io/file.h"
#include "mtip/finish.h"
#include "mtip/mtip.h"
#include "mtip/preview.h"

struct spi_reconstruct_args {
    const char *out, *symmetry, *trace, *background;
    int64_t seed;
    int workers;
    double diameter_A;
    bool resume, force, json, correct_drift;
    struct spi_opening_args opening;
    struct spi_settings_args settings;
};

/* Everything that lives as long as the command. */
struct spi_reconstruct {
    const struct spi_call *call;
    const struct spi_reconstruct_args *args;
    const char *path;
    struct spi_settings set;
    struct spi_opening opening;
    struct spi_images *images; /* borrowed from it */
    struct spi_graph *graph;
    struct spi_preview preview;
    struct spi_data data;
    struct spi_contrast contrast;
    struct spi_run *run;
    struct spi_result result;
    const volatile int *stop;
    int lock;
    bool made_dir, begun; /* the directory is new; something is written into it */
    bool going_on;        /* from the state of an interrupted or ended run */
    double diameter_A, q_min, q_max;
    bool diameter_given;
    /* that the run has had: the first, then those that the initialisations showed */
    int32_t n_diameters;
    double had_A[SPI_DIAMETERS_MAX];
    float *background; /* [n_pixels] of an image, owned; NULL: none was given */
    char sha256[65], mask_sha256[65], background_sha256[65], *key, *provenance;
    double t0;
};

/** "DIR/NAME". */
void spi_reconstruct_path(const struct spi_reconstruct *j, const char *name,
                          char path[SPI_PATH_MAX]);

/** Diameter and |q| from options, settings and a first look at the images.  SPI_EUSAGE:
 * what was given does not fit the images; SPI_EFORMAT: the images allow no run. */
SPI_MUSTUSE spi_err spi_reconstruct_find_ranges(struct spi_reconstruct *j);
/** |q| that are used with the diameter as it is now.  As above. */
SPI_MUSTUSE spi_err spi_reconstruct_set_range(struct spi_reconstruct *j);

/** Images, directory, ranges, state of a run that goes on, engine, rings. */
SPI_MUSTUSE spi_err spi_reconstruct_prepare(struct spi_reconstruct *j);
/** The images on the rings of the diameter as it is now. */
SPI_MUSTUSE spi_err spi_reconstruct_read_images(struct spi_reconstruct *j);

/** What two runs must share to be the same run. */
SPI_MUSTUSE spi_err spi_reconstruct_key(struct spi_reconstruct *j);
/** What run.json and orientations.h5 say of the run, as far as it is known. */
SPI_MUSTUSE spi_err spi_reconstruct_provenance(struct spi_reconstruct *j);
/** What the images were like, for the words of the result's limit. */
void spi_reconstruct_find_conditions(struct spi_reconstruct *j);
/** What the result is worth; null where there is none. */
void spi_reconstruct_add_validation(json_t *o, const struct spi_reconstruct *j,
                                    bool finished);
/** run.json, from the provenance. */
SPI_MUSTUSE spi_err spi_reconstruct_write_run_json(const struct spi_reconstruct *j);
/** settings.toml and run.json. */
SPI_MUSTUSE spi_err spi_reconstruct_write_settings(const struct spi_reconstruct *j);
/** metrics.jsonl cut back to the lines of the first n generations. */
SPI_MUSTUSE spi_err spi_reconstruct_cut_metrics(const struct spi_reconstruct *j, int n);
/** A line of metrics.jsonl. */
SPI_MUSTUSE spi_err spi_reconstruct_append_metrics(const struct spi_reconstruct *j,
                                                   const struct spi_generation_report *g);

/** Nothing is written into the directory before the state has been accepted. */
SPI_MUSTUSE spi_err spi_reconstruct_begin(struct spi_reconstruct *j);
/** All generations, the final refinement, the files of the result. */
SPI_MUSTUSE spi_err spi_reconstruct_loop(struct spi_reconstruct *j);
/** Release the run and its models. */
void spi_reconstruct_run_free(struct spi_reconstruct *j);

/** The result as text or, with --json, as JSON. */
SPI_MUSTUSE spi_err spi_reconstruct_print(const struct spi_reconstruct *j, bool valid);

#endif
