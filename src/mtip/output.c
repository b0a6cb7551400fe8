/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The files of a finished run. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/version.h"
#include "io/file.h"
#include "io/mrc.h"
#include "mtip/finish.h"
#include "plot/plot.h"

static void path_in(char path[SPI_PATH_MAX], const char *dir, const char *name)
{
    snprintf(path, SPI_PATH_MAX, "%s/%s", dir, name);
}

static spi_err write_map(const char *dir, const char *name, const struct spi_volume *v,
                         const char *what, const struct spi_run *r)
{
    char path[SPI_PATH_MAX], label[3][81];
    const char *labels[4] = {label[0], label[1], label[2], NULL};

    path_in(path, dir, name);
    snprintf(label[0], sizeof label[0], "SpiniFEL %s (%s): %s", SPI_VERSION, SPI_REVISION,
             what);
    snprintf(label[1], sizeof label[1], "seed %llu, %lld images, diameter %.1f A",
             (unsigned long long)r->seed,
             (long long)(r->half[0].n_images + r->half[1].n_images),
             r->data->rings.diameter_A);
    snprintf(label[2], sizeof label[2],
             "settings and input hashes: settings.toml, run.json");
    return spi_mrc_write(path, v, labels);
}

/* A number of a table; nothing where there is none. */
static void cell(FILE *f, double value)
{
    if (isfinite(value))
        fprintf(f, ",%.6f", value);
    else
        fputc(',', f);
}

static spi_err write_fsc(const char *dir, const struct spi_result *res)
{
    const struct spi_agreement *a = &res->agreement;
    char path[SPI_PATH_MAX], *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    spi_err err;

    if (!f)
        return spi_no_memory("fsc.csv", 0);
    fprintf(f, "q_invA,resolution_A,fsc,voxels,prtf_half1,prtf_half2,intensity_cc,contrast,"
               "reproduced_half1,reproduced_half2\n");
    for (int i = 0; i < res->fsc.n_shells; i++) {
        double q = res->fsc.q[i];

        fprintf(f, "%.6g,%.6g,%.6f,%.0f", q, 1 / q, res->fsc.fsc[i], res->fsc.count[i]);
        for (int h = 0; h < 2; h++)
            cell(f, i < res->phase[h].n_shells ? res->phase[h].prtf[i] : (double)NAN);
        cell(f, spi_agreement_at(a, a->shells.cc, q));
        cell(f, spi_agreement_at(a, a->shells.contrast, q));
        for (int h = 0; h < 2; h++)
            cell(f, spi_agreement_at(a, res->own[h], q));
        fputc('\n', f);
    }
    fclose(f);
    path_in(path, dir, "fsc.csv");
    err = spi_file_write_text(path, text, len);
    free(text);
    return err;
}

/* Structure in the images and in the model, shell by shell of the detector. */
static spi_err write_inspection(const char *dir, const struct spi_result *res)
{
    const struct spi_inspection *in = &res->inspection;
    char path[SPI_PATH_MAX], *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    spi_err err;

    if (!f)
        return spi_no_memory("images.csv", 0);
    fprintf(f, "q_invA,images_contrast2,model_contrast2,cross_contrast2,unexplained\n");
    for (int s = 0; s < in->n_shells; s++) {
        const struct spi_misfit *m = in->shell + s;

        fprintf(f, "%.6g", in->q[s]);
        cell(f, m->image2 / m->even2);
        cell(f, m->model2 / m->even2);
        cell(f, m->cross / m->even2);
        cell(f, spi_misfit_share(m));
        fputc('\n', f);
    }
    fclose(f);
    path_in(path, dir, "images.csv");
    err = spi_file_write_text(path, text, len);
    free(text);
    return err;
}

static spi_err plot_fsc(const char *dir, const struct spi_result *res)
{
    static const double levels[] = {0.143, 0.5};
    char path[SPI_PATH_MAX], note[128];
    int n = res->fsc.n_shells;
    struct spi_curve curve[4] = {
        {.name = "half maps", .n = n, .x = res->fsc.q, .y = res->fsc.fsc},
        {.name = "their intensities",
         .n = res->agreement.shells.n,
         .x = res->agreement.shells.q,
         .y = res->agreement.shells.cc},
        {.name = "PRTF half 1",
         .n = res->phase[0].n_shells,
         .x = res->phase[0].shell_q,
         .y = res->phase[0].prtf},
        {.name = "PRTF half 2",
         .n = res->phase[1].n_shells,
         .x = res->phase[1].shell_q,
         .y = res->phase[1].prtf}};
    struct spi_plot p = {.title = "Fourier shell correlation of the half maps",
                         .x_label = "|q| (1/A)",
                         .y_label = "correlation",
                         .note = note,
                         .curves = curve,
                         .n_curves = 4,
                         .h_lines = levels,
                         .n_h_lines = 2,
                         .x_is_q = true,
                         .y_min = -0.1,
                         .y_max = 1.05};

    path_in(path, dir, "fsc.png");
    snprintf(note, sizeof note, "0.143 at %.1f A, 0.5 at %.1f A; the images reach %.1f A",
             res->resolution_A, res->resolution05_A, res->validation.resolution.edge_A);
    return spi_plot_curves(path, &p);
}

static spi_err write_lcurve(const char *dir, const struct spi_merging_lcurve *c)
{
    char path[SPI_PATH_MAX], *text = NULL;
    spi_err err;

    path_in(path, dir, "lcurve.png");
    SPI_TRY(err = spi_merging_lcurve_plot(c, path, "L-curve of the last merge (half 1)"),
            out);
    SPI_TRY(err = spi_lcurve_csv(c->n, c->points, &c->choice, &text), out);
    path_in(path, dir, "lcurve.csv");
    err = spi_file_write_text(path, text, strlen(text));
out:
    free(text);
    return err;
}

/* Pixels of the detector in their places in the picture. */
spi_err spi_plot_mean_image(const struct spi_detector *det, enum spi_image_kind kind,
                            const float *mean, const char *dir)
{
    char path[SPI_PATH_MAX];
    float *picture = NULL;
    int64_t n = (int64_t)det->rows * det->columns;
    spi_err err;

    SPI_TRY(err = SPI_NEW(picture, n, "mean image"), out);
    for (int64_t i = 0; i < n; i++)
        picture[i] = NAN;
    for (int64_t p = 0; p < det->n_pixels; p++)
        if (!det->bad[p])
            picture[(int64_t)det->index_map[2 * p] * det->columns +
                    det->index_map[2 * p + 1]] = mean[p];
    path_in(path, dir, "mean_image.png");
    err = spi_plot_image(path, det->rows, det->columns, picture, 5,
                         kind == SPI_PHOTONS ? "Mean of all images (photons)"
                                             : "Mean of all images (scaled)");
out:
    free(picture);
    return err;
}

spi_err spi_data_pictures(const struct spi_data *d, const char *dir)
{
    char path[SPI_PATH_MAX];
    double *sigma = NULL;
    spi_err err;

    SPI_TRY(err = spi_plot_mean_image(d->det, d->kind, d->mean_image, dir), out);
    SPI_TRY(err = SPI_NEW(sigma, d->rings.R, "pictures"), out);
    for (int r = 0; r < d->rings.R; r++)
        sigma[r] = sqrt(d->ring_var[r]);

    struct spi_curve curve[2] = {
        {.name = "mean", .n = d->rings.R, .x = d->rings.q, .y = d->ring_mean},
        {.name = "standard deviation on the ring",
         .n = d->rings.R,
         .x = d->rings.q,
         .y = sigma}};
    struct spi_plot p = {.title = "Radial intensity of the images",
                         .x_label = "|q| (1/A)",
                         .y_label = d->kind == SPI_PHOTONS ? "photons per pixel"
                                                           : "scaled intensity per pixel",
                         .log_y = true,
                         .curves = curve,
                         .n_curves = 2,
                         .x_is_q = true};

    path_in(path, dir, "radial.png");
    err = spi_plot_curves(path, &p);
out:
    free(sigma);
    return err;
}

const char *const spi_result_names[] = {"half1.mrc",
                                        "half2.mrc",
                                        "autocorrelation.mrc",
                                        "intensity.mrc",
                                        "orientations.h5",
                                        "coverage.png",
                                        "fsc.csv",
                                        "fsc.png",
                                        "lcurve.png",
                                        "lcurve.csv",
                                        "density.png",
                                        "images.csv",
                                        "density.mrc",
                                        NULL};

spi_err spi_result_write(const struct spi_run *r, const struct spi_result *res,
                         const char *dir, const char *provenance_json)
{
    char path[SPI_PATH_MAX];
    spi_err err;

    SPI_TRY(err = write_map(dir, "half1.mrc", &res->half[0], "density, half set 1", r),
            out);
    SPI_TRY(err = write_map(dir, "half2.mrc", &res->half[1],
                            "density, half set 2 superposed on half 1", r),
            out);
    SPI_TRY(err = write_map(dir, "autocorrelation.mrc", &res->A,
                            "autocorrelation of all images", r),
            out);
    SPI_TRY(
        err = write_map(dir, "intensity.mrc", &res->W, "intensity; voxel in 1/A, not A", r),
        out);
    path_in(path, dir, "orientations.h5");
    SPI_TRY(err = spi_orientations_write(path, &res->orientations, provenance_json), out);
    path_in(path, dir, "coverage.png");
    SPI_TRY(err = spi_coverage_plot(&res->coverage,
                                    spi_orientations_count(&res->orientations), path),
            out);
    SPI_TRY(err = write_fsc(dir, res), out);
    SPI_TRY(err = write_inspection(dir, res), out);
    SPI_TRY(err = plot_fsc(dir, res), out);
    SPI_TRY(err = write_lcurve(dir, &res->lcurve), out);
    path_in(path, dir, "density.png");
    SPI_TRY(err = spi_plot_slices(path, &res->density, "Electron density, central slices",
                                  "arbitrary units"),
            out);
    err = write_map(dir, "density.mrc", &res->density,
                    "electron density, mean of the half sets", r);
out:
    return err;
}
