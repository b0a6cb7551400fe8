/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/stage.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "base/mem.h"
#include "fsc/orient_error.h"
#include "fsc/orient_order.h"
#include "io/mrc.h"
#include "math/symmetry.h"
#include "phase/phase.h"
#include "ring/ring.h"

int64_t spi_stage_block(const struct spi_detector *det)
{
    int64_t n = (int64_t)(1 << 23) / det->n_pixels; /* floats in 32 MiB */

    return n < 1 ? 1 : n > 1024 ? 1024 : n;
}

spi_err spi_stage_check_rings(const char *path, double diameter_A, double q_min,
                              double q_max, double oversampling, const char *setting)
{
    double count = spi_rings_count(diameter_A, q_min, q_max, oversampling);

    if (count >= SPI_RINGS_LEAST)
        return SPI_OK;
    return spi_fail(
        setting ? SPI_EUSAGE : SPI_EFORMAT,
        "%s: |q| from %g to %g 1/A leaves %.0f rings of a particle of %g A; need "
        "%d%s%s",
        path, q_min, q_max, count, diameter_A, SPI_RINGS_LEAST, setting ? ": change " : "",
        setting ? setting : "");
}

double spi_stage_lowest_q(const struct spi_detector *det)
{
    double least = INFINITY;

    for (int64_t p = 0; p < det->n_pixels; p++) {
        const double *v = det->q + 3 * p;

        if (!det->bad[p])
            least = fmin(least, sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]));
    }
    return isfinite(least) ? least : 0;
}

static spi_err check_recipe(const struct spi_settings *set)
{
    enum spi_phase_method *steps = NULL;
    char recipe[SPI_TEXT_MAX];
    int n;
    spi_err err;

    spi_settings_recipe(set, recipe);
    err = spi_phase_recipe_parse(recipe, &steps, &n);
    free(steps);
    return err;
}

static spi_err check_symmetry(const struct spi_settings *set)
{
    double(*ops)[9] = NULL;
    int n;
    spi_err err = SPI_OK;

    if (strcmp(set->symmetry, "auto") != 0)
        err = spi_symmetry_parse(set->symmetry, &ops, &n);
    free(ops);
    return err;
}

spi_err spi_stage_check_settings(const struct spi_settings *set)
{
    spi_err err;

    if ((err = check_recipe(set)) != SPI_OK || (err = check_symmetry(set)) != SPI_OK ||
        (err = spi_graph_check_engine(set->backend)) != SPI_OK)
        return err == SPI_ENOMEM ? err : SPI_EUSAGE; /* the message names what is wrong */
    if (!(set->lambda_min > 0 && set->lambda_min < set->lambda_max))
        return spi_fail(SPI_EUSAGE,
                        "algorithm.lambda_min is %g, lambda_max %g; need 0 < min < max",
                        set->lambda_min, set->lambda_max);
    if (set->q_max_invA > 0 && !(set->q_min_invA < set->q_max_invA))
        return spi_fail(SPI_EUSAGE,
                        "particle.q_min_invA is %g, q_max_invA %g; need min < max",
                        set->q_min_invA, set->q_max_invA);
    return SPI_OK;
}

spi_err spi_stage_graph(const struct spi_settings *set, const volatile int *stop,
                        struct spi_graph **graph)
{
    return spi_graph_new(set->backend, set->workers, stop, graph);
}

/* ---- orientations ------------------------------------------------------------------- */

static spi_err from_truth(const char *path, struct spi_images *images,
                          struct spi_orientations *o)
{
    struct spi_image_truth t = {0};
    spi_err err = spi_images_truth(images, &t);

    if (err)
        return err;
    *o = (struct spi_orientations){.n = spi_images_count(images)};
    if (!t.quat)
        SPI_TRY(err = spi_fail(SPI_EFORMAT,
                               "%s: has no true orientations; give a file of orientations",
                               path),
                out);
    if (t.fluence) {
        SPI_TRY(err = SPI_NEW(o->fluence, o->n, "fluences"), out);
        for (int64_t k = 0; k < o->n; k++)
            o->fluence[k] = (float)t.fluence[k];
    }
    o->quat = t.quat;
    t.quat = NULL;
out:
    spi_truth_clear(&t);
    return err;
}

static spi_err check_fluence(const char *path, const struct spi_orientations *o)
{
    for (int64_t k = 0; o->fluence && k < o->n; k++)
        if (!(o->fluence[k] >= 0 && isfinite(o->fluence[k])))
            return spi_fail(SPI_EFORMAT, "%s: fluence of image %lld is %g; need 0 or more",
                            path, (long long)k, (double)o->fluence[k]);
    return SPI_OK;
}

/* Of many images some have w < 0 unless it was made positive; where only the last number
 * never is negative, it is w. */
static bool seems_scalar_last(const struct spi_orientations *o)
{
    enum { LEAST = 32 }; /* by chance: once in 2^32 files */
    int64_t n = 0, below[4] = {0};

    for (int64_t k = 0; k < o->n; k++) {
        if (!spi_orientations_has(o, k))
            continue;
        n++;
        for (int c = 0; c < 4; c++)
            below[c] += o->quat[4 * k + c] < 0;
    }
    return n >= LEAST && below[3] == 0 && below[0] > n / 5 && below[1] > n / 5 &&
           below[2] > n / 5;
}

/* Would they agree with the true ones, which the images hold, in another convention? */
static spi_err find_order(const struct spi_orientations *o, struct spi_images *images,
                          struct spi_orient_order *other)
{
    enum { MOST = 500 }; /* tell enough */
    struct spi_image_truth t = {0};
    struct spi_orient_error now = {0};
    double *est = NULL, *truth = NULL;
    int64_t n = 0, step = (o->n + MOST - 1) / MOST;
    spi_err err;

    SPI_TRY(err = spi_images_truth(images, &t), out);
    if (!t.quat)
        goto out;
    SPI_TRY(err = SPI_NEW(est, 4 * MOST, "orientations"), out);
    SPI_TRY(err = SPI_NEW(truth, 4 * MOST, "orientations"), out);
    for (int64_t k = 0; k < o->n; k += step) {
        if (!spi_orientations_has(o, k) || isnan(t.quat[4 * k]))
            continue;
        memcpy(est + 4 * n, o->quat + 4 * k, 4 * sizeof *est);
        memcpy(truth + 4 * n, t.quat + 4 * k, 4 * sizeof *truth);
        n++;
    }
    if (n < 8) /* too few to tell from chance */
        goto out;
    SPI_TRY(err = spi_orient_error_compute(n, truth, est, NULL, 0, &now), out);
    /* `est` in the place of the truth, for there the fault is sought first */
    err = spi_orient_order_find(n, truth, est, NULL, 0, now.inliers, other);
out:
    spi_orient_error_clear(&now);
    spi_truth_clear(&t);
    free(est);
    free(truth);
    return err;
}

static spi_err tell_order(const char *path, const char *images_path, bool from_truth,
                          struct spi_images *images, const struct spi_orientations *o)
{
    struct spi_orient_order other = {0};
    spi_err err = SPI_OK;

    if (!from_truth && o->n == spi_images_count(images))
        err = find_order(o, images, &other);
    if (other.words)
        spi_warn("%s: the quaternions seem to be %s: then they agree with the true ones of "
                 "%s (median error %.2f degrees); need (w, x, y, z) of molecule -> "
                 "laboratory",
                 other.of_truth ? path : images_path, other.words,
                 other.of_truth ? images_path : path, other.median_deg);
    else if (!err && seems_scalar_last(o))
        spi_warn("%s: the quaternions seem to be (x, y, z, w), for only the last number is "
                 "never negative; need (w, x, y, z) of molecule -> laboratory",
                 path);
    return err;
}

spi_err spi_stage_orientations(const char *path, const char *images_path,
                               struct spi_images *images, int64_t n,
                               struct spi_orientations *o)
{
    bool truth = strcmp(path, "truth") == 0;
    spi_err err;

    *o = (struct spi_orientations){0};
    err = truth ? from_truth(images_path, images, o) : spi_orientations_read(path, o);
    if (!err && n > 0 && o->n != n)
        err = spi_fail(SPI_EFORMAT, "%s: %lld orientations, but %s has %lld images",
                       truth ? images_path : path, (long long)o->n, images_path,
                       (long long)n);
    if (!err)
        err = check_fluence(truth ? images_path : path, o);
    if (!err)
        err = tell_order(truth ? images_path : path, images_path, truth, images, o);
    if (err)
        spi_orientations_clear(o);
    return err;
}

/* ---- model -------------------------------------------------------------------------- */

static const char need_autocorrelation[] =
    "need an autocorrelation, such as merge writes or autocorrelation.mrc of a run";

/* What a map of this program is by its labels; NULL: an autocorrelation, or not ours. */
static const char *other_than_autocorrelation(const struct spi_mrc_info *info)
{
    static const struct {
        const char *words, *what;
    } kind[] = {{"): density", "a density"},
                {"): electron density", "a density"},
                {" phase, seed ", "a density"},
                {"intensity; voxel", "an intensity"}};

    if (info->n_labels < 1 || strncasecmp(info->labels[0], "spinifel ", 9) != 0)
        return NULL;
    for (size_t k = 0; k < sizeof kind / sizeof *kind; k++)
        for (int i = 0; i < info->n_labels && i < 2; i++)
            if (strstr(info->labels[i], kind[k].words))
                return kind[k].what;
    return NULL;
}

/* Share of the odd part in the norm of a map about its centre, and how much of it the
 * number type can make: half a step of whole numbers, 2^-11 of half floats. */
static void odd_part(const struct spi_volume *A, int mode, double *odd, double *rounding)
{
    double odd2 = 0, all2 = 0, count = 0;

    for (int z = 1; z < A->n; z++) /* plane 0 of an even side has no partner */
        for (int y = 1; y < A->n; y++)
            for (int x = 1; x < A->n; x++) {
                double a = (double)A->data[spi_volume_index(A, z, y, x)],
                       b = (double)
                               A->data[spi_volume_index(A, A->n - z, A->n - y, A->n - x)];

                odd2 += (a - b) * (a - b) / 4;
                all2 += a * a;
                count++;
            }
    *odd = all2 > 0 ? sqrt(odd2 / all2) : 0;
    *rounding = mode == 2    ? 0
                : mode == 12 ? 0x1p-11
                             : (all2 > 0 ? sqrt(count / 4 / all2) : 0);
}

/* Even about voxel n/2, and largest there. */
static spi_err check_autocorrelation(const char *path, const struct spi_volume *A,
                                     const struct spi_mrc_info *info)
{
    static const double odd_most =
        0.01; /* what the cosine transform leaves out is 1e-4 of the power */
    const char *what = other_than_autocorrelation(info);
    int c = A->n / 2;
    float middle = A->data[spi_volume_index(A, c, c, c)], largest = -INFINITY;
    double odd, rounding;

    if (what)
        return spi_fail(SPI_EFORMAT, "%s: is %s, as its label says; %s", path, what,
                        need_autocorrelation);
    odd_part(A, info->mode, &odd, &rounding);
    if (odd > odd_most + rounding)
        return spi_fail(
            SPI_EFORMAT,
            "%s: is not even about its middle voxel (odd part %.2g of the norm, "
            "at most %.2g is rounding), as of a density or a map with another "
            "centre; %s",
            path, odd, odd_most + rounding, need_autocorrelation);
    for (size_t i = 0; i < spi_volume_count(A); i++)
        largest = fmaxf(largest, A->data[i]);
    if (largest > middle)
        return spi_fail(SPI_EFORMAT,
                        "%s: its middle voxel is %g, another one %g; an autocorrelation is "
                        "largest in the middle; %s",
                        path, (double)middle, (double)largest, need_autocorrelation);
    return SPI_OK;
}

spi_err spi_stage_autocorrelation(const char *path, double voxel_A, struct spi_volume *A)
{
    struct spi_mrc_info info;
    spi_err err = spi_mrc_read_voxel(path, voxel_A, A, &info);

    if (!err)
        err = check_autocorrelation(path, A, &info);
    if (err)
        spi_volume_clear(A);
    return err;
}

spi_err spi_stage_model(const char *path, double voxel_A, struct spi_volume *A,
                        double *q_max)
{
    spi_err err = spi_stage_autocorrelation(path, voxel_A, A);
    double norm2 = 0;

    if (err)
        return err;
    for (size_t i = 0; i < spi_volume_count(A); i++)
        norm2 += (double)A->data[i] * (double)A->data[i];
    *q_max = 1 / (2.08 * A->step);
    if (!(norm2 > 0))
        err =
            spi_fail(SPI_EFORMAT, "%s: all voxels are zero; need an autocorrelation", path);
    else if (A->n < 4 || A->n > 512)
        err = spi_fail(SPI_EFORMAT, "%s: %d voxels an axis; need 4..512", path, A->n);
    if (err)
        spi_volume_clear(A);
    return err;
}

spi_err spi_stage_prepare(const struct spi_volume *A, double tol, spi_nufft **plan,
                          float **grid)
{
    spi_err err;

    *grid = NULL;
    SPI_TRY(err = spi_nufft_new(A->n, A->step, tol, plan), fail);
    SPI_TRY(err = spi_nufft_grid_new(*plan, 1, grid), fail);
    SPI_TRY(err = spi_nufft_prepare(*plan, A->data, *grid), fail);
    return SPI_OK;
fail:
    free(*grid);
    spi_nufft_free(*plan);
    *grid = NULL;
    *plan = NULL;
    return err;
}
