/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "report/pictures.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/survey.h"
#include "plot/plot.h"

/* ---- of images ---------------------------------------------------------------------- */

spi_err spi_picture_mean_image(const struct spi_detector *det, enum spi_image_kind kind,
                               const float *mean, const char *path)
{
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
    err = spi_plot_image(path, det->rows, det->columns, picture, 5,
                         kind == SPI_PHOTONS ? "Mean of all images (photons)"
                                             : "Mean of all images (scaled)");
out:
    free(picture);
    return err;
}

spi_err spi_picture_mask(const struct spi_detector *det, const uint8_t *reason,
                         const char *path)
{
    float *picture = NULL;
    char title[200] = "Used (0) and not used:";
    size_t at = strlen(title);
    int64_t n = (int64_t)det->rows * det->columns;
    bool there[SPI_REASONS] = {false};
    spi_err err;

    SPI_TRY(err = SPI_NEW(picture, n, "mask"), out);
    for (int64_t i = 0; i < n; i++)
        picture[i] = NAN;
    for (int64_t p = 0; p < det->n_pixels; p++) {
        there[reason[p]] = true;
        picture[(int64_t)det->index_map[2 * p] * det->columns + det->index_map[2 * p + 1]] =
            (float)reason[p];
    }
    for (int r = SPI_REASON_MASK; r < SPI_REASONS; r++)
        if (there[r])
            at += (size_t)snprintf(title + at, sizeof title - at, " %s (%d)",
                                   spi_reason_name((enum spi_pixel_reason)r), r);
    err = spi_plot_image(path, det->rows, det->columns, picture, 0, title);
out:
    free(picture);
    return err;
}

spi_err spi_picture_radial(const struct spi_data *d, const char *path)
{
    double *sigma = NULL;
    spi_err err;

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

    err = spi_plot_curves(path, &p);
out:
    free(sigma);
    return err;
}

/* ---- of results --------------------------------------------------------------------- */

spi_err spi_picture_lcurve(const struct spi_merging_lcurve *c, const char *path,
                           const char *title)
{
    const struct spi_lcurve_point *best = &c->points[c->choice.index];
    double *x = NULL, *y = NULL;
    char note[128];
    spi_err err;

    SPI_TRY(err = SPI_NEW(x, c->n, "L-curve"), out);
    SPI_TRY(err = SPI_NEW(y, c->n, "L-curve"), out);

    struct spi_curve curve[2] = {
        {.name = "lambda from small to large", .n = c->n, .x = x, .y = y},
        {.name = "chosen", .n = 1, .x = &best->residual, .y = &best->norm, .points = true}};
    struct spi_plot p = {.title = title,
                         .x_label = "misfit |W b - H x|",
                         .y_label = "norm of the autocorrelation",
                         .note = note,
                         .log_x = true,
                         .log_y = true,
                         .curves = curve,
                         .n_curves = 2};

    for (int i = 0; i < c->n; i++)
        x[i] = c->points[i].residual, y[i] = c->points[i].norm;
    snprintf(note, sizeof note, "lambda = %.3g of the trace (%s)", best->lambda,
             spi_lcurve_how_text(c->choice.how));
    err = spi_plot_curves(path, &p);
out:
    free(x);
    free(y);
    return err;
}

spi_err spi_picture_coverage(const struct spi_coverage *c, int64_t n_images,
                             const char *path)
{
    char note[200];

    snprintf(note, sizeof note,
             "%lld images in %lld equal patches: chi\u00b2 per degree of freedom %.2f "
             "(random and even: 1 \u00b1 %.2f); %.1f %% of the Shannon cells seen (%.1f %% "
             "expected)",
             (long long)n_images, (long long)c->patches.n, c->chi2, c->chi2_sigma,
             100 * c->seen, 100 * c->expected);
    return spi_plot_sphere(path, &c->patches, c->density, "View directions of the images",
                           note, "images / even spread");
}

spi_err spi_report_fsc_picture(const struct spi_report *r, const char *path)
{
    const struct spi_result *res = r->result;
    static const double levels[] = {0.143, 0.5};
    char note[128];
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

    snprintf(note, sizeof note, "0.143 at %.1f A, 0.5 at %.1f A; the images reach %.1f A",
             res->resolution_A, res->resolution05_A, res->validation.resolution.edge_A);
    return spi_plot_curves(path, &p);
}

spi_err spi_report_coverage_picture(const struct spi_report *r, const char *path)
{
    const struct spi_result *res = r->result;

    return spi_picture_coverage(&res->coverage, spi_orientations_count(&res->orientations),
                                path);
}

spi_err spi_report_lcurve_picture(const struct spi_report *r, const char *path)
{
    return spi_picture_lcurve(&r->result->lcurve, path,
                              "L-curve of the last merge (half 1)");
}

/* Rows of examples: an image is shown as means over blocks of its pixels. */
enum { EXAMPLES = 6, TILE = 150, GAP = 4 };

struct examples {
    const struct spi_detector *det;
    int block, th, tw, rows, columns; /* detector pixels a side; of a tile; of all */
    float *picture;                   /* [rows][columns] */
};

/* Mean of the usable pixels of each block, as log(1 + mean) over the largest of these: few
 * photons are seen beside many. */
static void place(const struct examples *x, const float *image, int row, int column)
{
    const struct spi_detector *d = x->det;
    float *to = x->picture + (int64_t)row * (x->th + GAP) * x->columns +
                (int64_t)column * (x->tw + GAP);
    int n[TILE * TILE] = {0};
    float sum[TILE * TILE] = {0}, most = 1e-30F;

    for (int64_t p = 0; p < d->n_pixels; p++) {
        int y = (int)d->index_map[2 * p] / x->block,
            at = y * x->tw + (int)d->index_map[2 * p + 1] / x->block;

        if (d->bad[p])
            continue;
        sum[at] += image[p];
        n[at]++;
    }
    for (int i = 0; i < x->th * x->tw; i++) {
        sum[i] = n[i] > 0 ? log1pf(fmaxf(0, sum[i] / (float)n[i])) : NAN;
        most = fmaxf(most, sum[i]);
    }
    for (int i = 0; i < x->th * x->tw; i++)
        to[(int64_t)(i / x->tw) * x->columns + i % x->tw] = sum[i] / most;
}

/* Images with this reason, evenly over the file. */
static spi_err row_of(const struct spi_report *r, enum spi_aside reason, int64_t count,
                      int row, float *image, const struct examples *x)
{
    const struct spi_orientations *o = &r->result->orientations;
    int64_t wanted = count < EXAMPLES ? count : EXAMPLES, seen = 0, shown = 0;
    spi_err err = SPI_OK;

    for (int64_t k = 0; k < o->n && shown < wanted && !err; k++) {
        if (o->aside[k] != reason)
            continue;
        if (seen++ < shown * count / wanted)
            continue;
        err = spi_images_read(r->images, k, 1, image);
        if (!err)
            place(x, image, row, (int)shown++);
    }
    return err;
}

spi_err spi_report_images_picture(const struct spi_report *r, const char *path)
{
    static const struct {
        enum spi_aside reason;
        const char *name;
    } kinds[] = {{SPI_ASIDE_NO, "map"},
                 {SPI_ASIDE_BLANK, "blank"},
                 {SPI_ASIDE_ROUND, "round"},
                 {SPI_ASIDE_DOUBLET, "doublet"},
                 {SPI_ASIDE_OTHER, "other"}};
    enum { KINDS = sizeof kinds / sizeof *kinds };
    const struct spi_orientations *o = &r->result->orientations;
    struct examples x = {.det = spi_images_detector(r->images)};
    int64_t count[SPI_ASIDE_KINDS] = {0};
    char title[256] = "Images, from above:";
    size_t at = strlen(title);
    float *image = NULL;
    int row = 0;
    spi_err err;

    for (int64_t k = 0; k < o->n; k++)
        count[o->aside[k]]++;
    for (int i = 0; i < KINDS; i++)
        row += count[kinds[i].reason] > 0;
    x.block = (x.det->rows > x.det->columns ? x.det->rows : x.det->columns) / TILE + 1;
    x.th = (x.det->rows + x.block - 1) / x.block;
    x.tw = (x.det->columns + x.block - 1) / x.block;
    x.rows = row * (x.th + GAP) - GAP;
    x.columns = EXAMPLES * (x.tw + GAP) - GAP;
    SPI_TRY(err = SPI_NEW(image, x.det->n_pixels, "pictures"), out);
    SPI_TRY(err = SPI_NEW_UNSET(x.picture, (int64_t)x.rows * x.columns, "pictures"), out);
    for (int64_t i = 0; i < (int64_t)x.rows * x.columns; i++)
        x.picture[i] = NAN;
    row = 0;
    for (int i = 0; i < KINDS; i++) {
        int64_t n = count[kinds[i].reason];

        if (n == 0)
            continue;
        at += (size_t)snprintf(title + at, sizeof title - at, "%s %s %lld", row ? "," : "",
                               kinds[i].name, (long long)n);
        SPI_TRY(err = row_of(r, kinds[i].reason, n, row++, image, &x), out);
    }
    err = spi_plot_image(path, x.rows, x.columns, x.picture, 0, title);
out:
    free(image);
    free(x.picture);
    return err;
}

spi_err spi_report_density_picture(const struct spi_report *r, const char *path)
{
    return spi_plot_slices(path, &r->result->density, "Electron density, central slices",
                           "arbitrary units");
}
