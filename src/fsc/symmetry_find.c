/* Which point group an intensity has, doc/math.md (G5), (G6). */
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

/* Mean correlation of W with its copies turned by 2 pi (k + shift) / n about the z axis of
 * U; the identity is left out. */
static double turned(struct job *j, int n, double shift, const double U[9])
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
    return sum / count;
}

/* A copy turned by an element is as alike as those of the best axis, or nearly. */
static bool as_good(double score, double best)
{
    return 1 - score <= 1.5 * (1 - best) + 0.01;
}

struct axis {
    int fold;
    double U[9], score, between;
};

/* The n-fold axis, and whether all turns about it are alike (`smooth`). */
static spi_err fit_axis(struct job *j, int n, struct axis *a, bool *smooth)
{
    char name[8];
    spi_err err;

    *a = (struct axis){.fold = n};
    *smooth = false;
    snprintf(name, sizeof name, "C%d", n);
    err = spi_symmetry_fit_intensity(name, j->W, j->D, j->q_max, j->level, a->U, &a->score);
    if (err || a->score < j->level)
        return err;
    a->between = turned(j, n, 0.5, a->U);
    *smooth = turned(j, GENERIC, 0, a->U) >= j->level;
    return SPI_OK;
}

/* All axes that reach the level: primes first, then multiples of those. */
static spi_err all_axes(struct job *j, int *n_axes, struct axis *axis, struct axis *smooth)
{
    static const int prime[] = {2, 3, 5, 7, 11, 13, 17, 19, 23};
    int most = (int)(j->q_max * j->D / qD_of_fold);

    most = most < FOLD_MAX ? most : FOLD_MAX;
    *n_axes = 0;
    for (size_t i = 0; i < sizeof prime / sizeof *prime; i++)
        for (int n = prime[i]; n <= most; n += prime[i]) {
            bool is_smooth, known = false;
            struct axis a;
            spi_err err;

            for (int k = 0; k < *n_axes; k++)
                known = known || axis[k].fold == n;
            if (known)
                continue;
            if ((err = fit_axis(j, n, &a, &is_smooth)))
                return err;
            if (a.score < j->level && n == prime[i])
                break;
            if (a.score >= j->level)
                axis[(*n_axes)++] = a;
            if (is_smooth && !smooth->fold)
                *smooth = a;
        }
    return SPI_OK;
}

/* The largest fold that is as good as the best axis and differs from what lies between its
 * turns.  About a body of revolution any perpendicular axis is twofold: those do not count.
 */
static const struct axis *main_axis(int n, const struct axis *axis,
                                    const struct axis *smooth)
{
    const struct axis *best = NULL;
    double top = -1;

    for (int i = 0; i < n; i++)
        top = fmax(top, axis[i].score);
    for (int i = 0; i < n; i++) {
        const double *U = axis[i].U, *V = smooth->U;
        double along = fabs(U[2] * V[2] + U[5] * V[5] + U[8] * V[8]);

        if ((smooth->fold && along < cos(0.2)) || !as_good(axis[i].score, top) ||
            1 - axis[i].between < 3 * (1 - axis[i].score) + 0.01)
            continue;
        if (!best || axis[i].fold > best->fold)
            best = axis + i;
    }
    return best;
}

/* A larger group that has the main axis, if its copies are as alike. */
static spi_err try_group(struct job *j, const char *name, double axis_score,
                         struct spi_symmetry_found *found)
{
    double U[9], score;
    spi_err err = spi_symmetry_fit_intensity(name, j->W, j->D, j->q_max, j->level, U, &score);

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
    struct axis axis[FOLD_MAX], smooth = {0};
    const struct axis *a;
    int n;
    char name[8];
    spi_err err = all_axes(j, &n, axis, &smooth);

    if (err || !(a = main_axis(n, axis, &smooth)))
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
