/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which point group an intensity has, doc/math.md (Y6). */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "fsc/fit.h"
#include "fsc/symmetry_fit.h"
#include "fsc/symmetry_map.h"
#include "math/rot.h"

enum { POINTS = 4000, TURNS = 12, FOLD_MAX = 24, GENERIC = 29 /* no fold */ };

/* An n-fold axis shows from q D = 0.4 n on (fsc/symmetry_fit.c). */
static const double end_qD = 10, qD_of_fold = 0.4;

/* Copies of a noisy map are as alike as two half sets; a particle may be a little less
 * symmetric than its group, and below 0.8 it is not the same body any more. */
static const double slack = 0.05, least = 0.8;

struct job {
    const struct spi_volume *W;
    double D, q_max, level;
    struct spi_spectrum f;
    struct spi_shells shells;
    struct spi_fit fit;
};

static void job_clear(struct job *j)
{
    spi_fit_clear(&j->fit);
    spi_shells_clear(&j->shells);
    spi_spectrum_clear(&j->f);
}

static spi_err job_init(const struct spi_volume *W, double D, double q_max, struct job *j)
{
    spi_err err;

    *j = (struct job){.W = W, .D = D, .q_max = q_max};
    SPI_TRY(err = spi_spectrum_of_intensity(W, q_max, &j->f), out);
    SPI_TRY(err = spi_shells_init(D, 1 / D, q_max, POINTS, &j->shells), out);
    err = spi_fit_init(SPI_FIT_REAL, &j->f, &j->f, &j->shells, D, &j->fit);
out:
    return err;
}

/* Mean correlation of W with its copies rotated by 2 pi (k + shift) / n about the z axis of
 * U; the identity is left out. */
static double rotated(struct job *j, int n, double shift, const double U[9])
{
    double sum = 0;
    int count = 0, most = n < TURNS ? n : TURNS;

    for (int i = 0; i < most; i++) {
        double angle = 2 * SPI_PI * (i * n / most + shift) / n, v[3];
        struct spi_pose pose = {0};

        if (angle == 0)
            continue;
        for (int k = 0; k < 3; k++)
            v[k] = angle * U[3 * k + 2];
        spi_rot_from_vector(v, pose.R);
        sum += spi_fit_score(&j->fit, j->shells.n, &pose);
        count++;
    }
    return count ? sum / count : 1;
}

/* A copy rotated by an element is as alike as those of the best axis, or nearly: GroEL's
 * sevenfold axis is good to 0.02, its twofold axes are exact. */
static bool as_good(double score, double best)
{
    return 1 - score <= 1.5 * (1 - best) + 0.03;
}

struct axis {
    int fold;
    double U[9], score, between;
};

struct axes {
    int n;
    struct axis axis[8 * FOLD_MAX];
    bool smooth;    /* all turns about them are alike */
    double generic; /* how alike */
};

/* The folds n, 2 n, ... about one axis that reach the level. */
static void add_folds(struct job *j, int n, int most, const double U[9], struct axes *a)
{
    for (int fold = n; fold <= most; fold += n) {
        struct axis *x = a->axis + a->n;

        x->fold = fold;
        x->score = rotated(j, fold, 0, U);
        x->between = rotated(j, fold, 0.5, U);
        memcpy(x->U, U, sizeof x->U);
        a->n += x->score >= j->level;
    }
}

/* Axes of every fold.  A multiple of a fold has its axis, except that of 2: the main axis
 * of D4 is not where a twofold axis is found first; but 6, 10, ... are found from 3, 5, ...
 * About a body of revolution there is one axis, and any perpendicular one is twofold. */
static spi_err all_axes(struct job *j, struct axes *a)
{
    static const int base[] = {3, 2, 4, 5, 7, 11, 13, 17, 19, 23};
    int most = (int)(j->q_max * j->D / qD_of_fold);

    most = most < FOLD_MAX ? most : FOLD_MAX;
    for (size_t i = 0; i < sizeof base / sizeof *base && !a->smooth; i++) {
        double U[9], score;
        char name[16];
        spi_err err;

        if (base[i] > most)
            continue;
        snprintf(name, sizeof name, "C%d", base[i]);
        err = spi_symmetry_fit_intensity(name, j->W, j->D, j->q_max, j->level, U, &score);
        if (err)
            return err;
        if (score < j->level)
            continue;
        a->generic = rotated(j, GENERIC, 0, U);
        a->smooth = a->generic >= j->level;
        if (a->smooth)
            a->n = 0;
        add_folds(j, a->smooth ? 1 : base[i], most, U, a);
    }
    return SPI_OK;
}

/* The largest fold that is as good as the best axis and differs from what lies between its
 * turns. */
static const struct axis *main_axis(const struct axes *a)
{
    const struct axis *best = NULL;
    double top = -1;

    for (int i = 0; i < a->n; i++)
        if (a->axis[i].fold > 1)
            top = fmax(top, a->axis[i].score);
    for (int i = 0; i < a->n; i++) {
        const struct axis *x = a->axis + i;

        if (x->fold == 1 || !as_good(x->score, top) ||
            1 - x->between < 3 * (1 - x->score) + 0.01)
            continue;
        if (!best || x->fold > best->fold)
            best = x;
    }
    return best;
}

/* A larger group that has the main axis, if its copies are as alike. */
static spi_err try_group(struct job *j, const char *name, double axis_score,
                         struct spi_symmetry_found *found)
{
    double U[9], score;
    spi_err err =
        spi_symmetry_fit_intensity(name, j->W, j->D, j->q_max, j->level, U, &score);

    if (err || score < j->level || !as_good(score, axis_score))
        return err;
    found->score = score;
    memcpy(found->axes, U, sizeof U);
    snprintf(found->group, sizeof found->group, "%s", name);
    return SPI_OK;
}

static spi_err find(struct job *j, struct spi_symmetry_found *found)
{
    static const char *const cubic[3] = {"T", "O", "I"};
    struct axes all = {0};
    const struct axis *a;
    char name[16];
    spi_err err = all_axes(j, &all);

    found->between = all.smooth ? all.generic : 0;
    if (err || !(a = main_axis(&all)))
        return err;
    found->score = a->score;
    found->between = a->between;
    memcpy(found->axes, a->U, sizeof a->U);
    snprintf(found->group, sizeof found->group, "C%d", a->fold);
    snprintf(name, sizeof name, "D%d", a->fold);
    err = try_group(j, name, a->score, found);
    if (!err && a->fold >= 3 && a->fold <= 5)
        err = try_group(j, cubic[a->fold - 3], a->score, found);
    return err;
}

spi_err spi_symmetry_find(const struct spi_volume *W, double diameter_A, double q_max,
                          double agreement, struct spi_symmetry_found *found)
{
    struct job j;
    spi_err err;

    *found = (struct spi_symmetry_found){.group = "C1",
                                         .axes = {1, 0, 0, 0, 1, 0, 0, 0, 1},
                                         .level = fmax(least, 2 * agreement - 1 - slack)};
    q_max = fmin(fmin(q_max, end_qD / diameter_A), W->n / 2 * W->step);
    SPI_TRY(err = job_init(W, diameter_A, q_max, &j), out);
    j.level = found->level;
    err = find(&j, found);
out:
    job_clear(&j);
    return err;
}
