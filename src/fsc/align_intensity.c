/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Rotation between two intensity maps, doc/math.md (F6)-(F9). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "fsc/align.h"
#include "fsc/fit.h"
#include "fsc/rotfun.h"
#include "math/rot.h"

enum {
    POINTS_MAX = 40000,
    PEAKS = 24,
    FINALISTS = 4,
    TRY_STEPS = 4, /* enough to tell a wrong start, which would wander on */
    STEPS = 12
};

/* q D of the exhaustive search and of the first local level; ratio between levels.  A level
 * may start one of its Shannon angles off; the level below ends far inside that. */
static const double search_qD = 6, first_qD = 4, ratio = 1.6;

struct job {
    struct spi_spectrum ref, map;
    struct spi_shells shells;
    struct spi_fit fit;
    double D, q_min, q_max;
};

static void job_clear(struct job *j)
{
    spi_fit_clear(&j->fit);
    spi_shells_clear(&j->shells);
    spi_spectrum_clear(&j->ref);
    spi_spectrum_clear(&j->map);
}

static spi_err check(const struct spi_volume *W_ref, const struct spi_volume *W, double D,
                     double q_min, double *q_max)
{
    double reach = fmin(W_ref->n / 2 * W_ref->step, W->n / 2 * W->step);
    double box_A = fmin(1 / W_ref->step, 1 / W->step);

    *q_max = fmin(*q_max, reach);
    if (!(D > 0 && D <= 2 * box_A) || !(q_min < *q_max) || !(*q_max * D >= 1))
        return spi_fail(
            SPI_EINVAL,
            "align intensities: diameter %g A (box %g A), q from %g to %g 1/A; need "
            "a diameter within the box, q_min < q_max and q_max D of 1 at least",
            D, box_A, q_min, *q_max);
    return SPI_OK;
}

static spi_err job_init(const struct spi_volume *W_ref, const struct spi_volume *W,
                        double D, double q_min, double q_max, struct job *j)
{
    spi_err err;
    double power = 0;

    *j = (struct job){.D = D, .q_max = q_max};
    SPI_TRY(err = check(W_ref, W, D, q_min, &j->q_max), out);
    /* below 1/D a particle of diameter D is nearly a ball */
    j->q_min = fmin(fmax(q_min, 1 / D), j->q_max);
    SPI_TRY(err = spi_spectrum_of_intensity(W_ref, j->q_max, &j->ref), out);
    SPI_TRY(err = spi_spectrum_of_intensity(W, j->q_max, &j->map), out);
    SPI_TRY(err = spi_shells_init(D, j->q_min, j->q_max, POINTS_MAX, &j->shells), out);
    SPI_TRY(err = spi_fit_init(SPI_FIT_REAL, &j->ref, &j->map, &j->shells, D, &j->fit),
            out);
    for (int k = 0; k < j->shells.n; k++)
        power += j->fit.ref_norm[k];
    if (!(power > 0))
        err = spi_fail(SPI_EINVAL, "align intensities: the reference is the same in all "
                                   "directions; need some structure to align to");
out:
    return err;
}

/* From q D = first_qD to q_max; the last step with weights of maximum likelihood. */
static double frequency_march(struct job *j, double q, struct spi_pose *pose)
{
    int last = 0;

    for (; last < j->shells.n; q *= ratio) {
        int n = spi_shells_up_to(&j->shells, q);

        if (n > last)
            spi_fit_refine(&j->fit, n, STEPS, n == j->shells.n ? 0.01 : 0.05, pose);
        last = n;
    }
    return spi_fit_score(&j->fit, j->shells.n, pose);
}

static void final_refinement(struct job *j, struct spi_pose *pose, double *cc)
{
    spi_fit_weigh(&j->fit, j->shells.n, pose);
    spi_fit_refine(&j->fit, j->shells.n, STEPS, 0.002, pose);
    spi_fit_unweigh(&j->fit);
    *cc = spi_fit_score(&j->fit, j->shells.n, pose);
}

struct candidate {
    struct spi_pose pose;
    double score;
};

static int by_score(const void *a, const void *b)
{
    double x = ((const struct candidate *)a)->score,
           y = ((const struct candidate *)b)->score;

    return (x < y) - (x > y);
}

/* Refine each at the search level, drop those that run into a better one. */
static int distinct(struct job *j, int n_shells, int n, struct candidate *c)
{
    double apart = 0.25 / (2 * j->D * j->shells.q[n_shells - 1]);
    int kept = 0;

    for (int i = 0; i < n; i++)
        c[i].score = spi_fit_refine(&j->fit, n_shells, TRY_STEPS, 0.05, &c[i].pose);
    qsort(c, (size_t)n, sizeof *c, by_score);
    for (int i = 0; i < n; i++) {
        bool twin = false;

        for (int k = 0; k < kept && !twin; k++)
            twin = spi_rot_angle_between(c[i].pose.R, c[k].pose.R) < apart;
        if (!twin)
            c[kept++] = c[i];
    }
    return kept;
}

static spi_err global(struct job *j, struct spi_pose *pose)
{
    double q = fmin(j->q_max, search_qD / j->D), R[PEAKS][9];
    struct candidate c[PEAKS] = {0};
    struct spi_rotfun f;
    int n, n_shells = spi_shells_up_to(&j->shells, q);
    spi_err err = spi_rotfun_init(&j->ref, &j->map, j->D, j->q_min, q, &f);

    if (err)
        return err;
    err = spi_rotfun_peaks(&f, 0.7 / (2 * j->D * q), PEAKS, R, &n);
    spi_rotfun_clear(&f);
    if (err)
        return err;
    for (int i = 0; i < n; i++)
        memcpy(c[i].pose.R, R[i], sizeof R[i]);
    n = distinct(j, n_shells, n, c);
    n = n < FINALISTS ? n : FINALISTS;
    for (int i = 0; i < n; i++)
        c[i].score = frequency_march(j, q, &c[i].pose);
    qsort(c, (size_t)n, sizeof *c, by_score);
    *pose = c[0].pose;
    return SPI_OK;
}

spi_err spi_align_intensities(const struct spi_volume *W_ref, const struct spi_volume *W,
                              double diameter_A, double q_min, double q_max,
                              const double *initial, double R[9], double *cc)
{
    struct job j;
    struct spi_pose pose = {.R = {1, 0, 0, 0, 1, 0, 0, 0, 1}};
    spi_err err = job_init(W_ref, W, diameter_A, q_min, q_max, &j);

    if (err)
        goto out;
    if (initial) {
        SPI_TRY(err = spi_fit_check_pose("align intensities", initial, NULL), out);
        memcpy(pose.R, initial, sizeof pose.R);
        frequency_march(&j, first_qD / j.D, &pose);
    } else {
        SPI_TRY(err = global(&j, &pose), out);
    }
    final_refinement(&j, &pose, cc);
    memcpy(R, pose.R, sizeof pose.R);
out:
    job_clear(&j);
    return err;
}

/* (F14) of shell k, at the last score. */
static double contrast(const struct spi_fit *f, int k)
{
    int64_t n = f->shells->first[k + 1] - f->shells->first[k];
    double mean2 = f->ref_mean[k] * f->v_mean[k] * (double)n;

    return mean2 > 0 ? sqrt(fmax(f->rho[k], 0) * f->ref_norm[k] * f->v_norm[k] / mean2) : 0;
}

spi_err spi_intensity_compare(const struct spi_volume *W_ref, const struct spi_volume *W,
                              double diameter_A, double q_min, double q_max,
                              const double R[9], struct spi_intensity_shells *out)
{
    struct job j;
    struct spi_pose pose = {0};
    spi_err err;

    *out = (struct spi_intensity_shells){0};
    SPI_TRY(err = job_init(W_ref, W, diameter_A, q_min, q_max, &j), out);
    SPI_TRY(err = SPI_NEW(out->q, j.shells.n, "shell correlation"), out);
    SPI_TRY(err = SPI_NEW(out->cc, j.shells.n, "shell correlation"), out);
    SPI_TRY(err = SPI_NEW(out->contrast, j.shells.n, "shell correlation"), out);
    SPI_TRY(err = spi_fit_check_pose("shell correlation", R, NULL), out);
    memcpy(pose.R, R, sizeof pose.R);
    spi_fit_score(&j.fit, j.shells.n, &pose);
    out->n = j.shells.n;
    for (int k = 0; k < out->n; k++) {
        out->q[k] = j.shells.q[k];
        out->cc[k] = j.fit.rho[k];
        out->contrast[k] = contrast(&j.fit, k);
    }
out:
    job_clear(&j);
    if (err)
        spi_intensity_shells_clear(out);
    return err;
}

void spi_intensity_shells_clear(struct spi_intensity_shells *s)
{
    free(s->q);
    free(s->cc);
    free(s->contrast);
    *s = (struct spi_intensity_shells){0};
}
