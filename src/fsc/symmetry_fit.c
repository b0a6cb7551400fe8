/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fsc/symmetry_fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/parallel.h"
#include "fsc/fit.h"
#include "math/rot.h"
#include "math/symmetry.h"

enum { COARSE_POINTS = 1500, FINE_POINTS = 8000, AXES = 12, FINALISTS = 4, ELEMENTS = 12 };

/* All axes are compared at SCAN_POINTS, which leaves 1 / sqrt(SCAN_POINTS) = 0.05 of doubt:
 * one in KEPT, the best, go on to COARSE_POINTS. */
enum { SCAN_POINTS = 400, KEPT = 8 };

/* An element of order n about an axis changes the map from q = n / (2 pi r), r ~ 0.4 D, on:
 * q D = 0.4 n; the search goes a third beyond, from 5 to 10. */
static const double search_qD = 5, end_qD = 10;

struct search {
    enum spi_fit_kind kind; /* of the map: a density's |F|^2, or an intensity */
    struct spi_spectrum f;
    struct spi_shells shells;
    struct spi_fit fit;
    double cell; /* a Shannon angle of the last shell */
    int n;       /* elements that are tried, the identity left out */
    double op[ELEMENTS][9];
    double axis[3]; /* the main axis in the standard frame */
    int fold;
    double least; /* a coarse score below it is not refined */
    int n_power;  /* powers of the main element that are tried */
    double power_angle[ELEMENTS];
};

struct candidate {
    double U[9];
    double score;
};

static void search_clear(struct search *s)
{
    spi_fit_clear(&s->fit);
    spi_shells_clear(&s->shells);
}

/* Order of a rotation that is an element of a group of at most 128. */
static int order_of(const double R[9])
{
    static const double identity[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    double angle = spi_rot_angle_between(identity, R), turns = angle / (2 * SPI_PI);

    for (int n = 1; n <= 128; n++)
        if (fabs(turns * n - round(turns * n)) < 1e-6 * n)
            return n;
    return 1;
}

/* The main axis (highest order), its powers, and a fair choice of elements. */
static void choose_elements(int n_ops, double (*ops)[9], struct search *s)
{
    int best = 0;

    s->fold = 1;
    for (int i = 0; i < n_ops; i++)
        if (order_of(ops[i]) > s->fold) {
            s->fold = order_of(ops[i]);
            best = i;
        }
    double q[4], len;

    spi_rot_quat(ops[best], q);
    len = sqrt(q[1] * q[1] + q[2] * q[2] + q[3] * q[3]);
    for (int k = 0; k < 3; k++)
        s->axis[k] = len > 0 ? q[1 + k] / len : k == 2;
    s->n = n_ops - 1 < ELEMENTS ? n_ops - 1 : ELEMENTS;
    for (int i = 0; i < s->n; i++)
        memcpy(s->op[i], ops[1 + i * (n_ops - 1) / s->n], sizeof s->op[i]);
    /* powers j and fold - j correlate alike */
    s->n_power = s->fold / 2 < 4 ? s->fold / 2 : 4;
    for (int i = 0; i < s->n_power; i++)
        s->power_angle[i] = 2 * SPI_PI / s->fold * (1 + i * (s->fold / 2) / s->n_power);
}

static spi_err search_level(struct search *s, double D, double q, int64_t points)
{
    spi_err err;

    search_clear(s);
    SPI_TRY(err = spi_shells_init(D, 1 / D, q, points, &s->shells), out);
    SPI_TRY(err = spi_fit_init(s->kind, &s->f, &s->f, &s->shells, D, &s->fit), out);
    s->cell = 1 / (2 * D * s->shells.q[s->shells.n - 1]);
out:
    return err;
}

/* Mean self-correlation under the elements rotated by U, (Y2).  fit: of the search, with
 * the scratch of this thread. */
static double self_score(const struct search *s, struct spi_fit *fit, const double U[9])
{
    struct spi_pose pose = {0};
    double sum = 0;

    for (int i = 0; i < s->n; i++) {
        double US[9];

        spi_rot_mul(U, s->op[i], US);
        spi_rot_mul_nt(US, U, pose.R);
        sum += spi_fit_score(fit, s->shells.n, &pose);
    }
    return s->n ? sum / s->n : 1;
}

/* The same for the powers of the main element about a direction. */
static double axis_score(const struct search *s, struct spi_fit *fit, const double u[3])
{
    struct spi_pose pose = {0};
    double sum = 0;

    for (int i = 0; i < s->n_power; i++) {
        double v[3];

        for (int k = 0; k < 3; k++)
            v[k] = s->power_angle[i] * u[k];
        spi_rot_from_vector(v, pose.R);
        sum += spi_fit_score(fit, s->shells.n, &pose);
    }
    return sum;
}

/* A rotation that takes the unit vector a to b. */
static void rotation_between(const double a[3], const double b[3], double R[9])
{
    double A[9], B[9];

    spi_rot_to_direction(a, A);
    spi_rot_to_direction(b, B);
    spi_rot_mul_nt(B, A, R);
}

static int by_score(const void *a, const void *b)
{
    double x = ((const struct candidate *)a)->score,
           y = ((const struct candidate *)b)->score;

    return (x < y) - (x > y);
}

/* What is done with each of some candidates, an item each. */
struct each {
    const struct search *s;
    struct candidate *c;
    void (*work)(const struct search *s, struct spi_fit *fit, struct candidate *c);
    struct spi_rooms scratch;
    struct spi_failure failure;
};

static void each_item(void *ctx, int rank, int64_t i)
{
    struct each *e = ctx;
    void *scratch = spi_rooms_of(&e->scratch, rank);
    struct spi_fit fit;

    if (!scratch) {
        spi_failure_note(&e->failure, SPI_ENOMEM);
        return;
    }
    fit = spi_fit_with(&e->s->fit, scratch);
    e->work(e->s, &fit, &e->c[i]);
}

/* Sorted afterwards, the best first. */
static spi_err each(const struct search *s, int n, struct candidate *c,
                    void (*work)(const struct search *s, struct spi_fit *fit,
                                 struct candidate *c))
{
    struct each e = {.s = s, .c = c, .work = work};
    spi_err err = spi_rooms_init(&e.scratch, SPI_THREADS_MAX,
                                 spi_fit_scratch_bytes(&s->fit), "symmetry axes");

    if (err)
        return err;
    spi_parallel_for(SPI_THREADS_MAX, n, each_item, &e);
    spi_rooms_clear(&e.scratch);
    qsort(c, (size_t)n, sizeof *c, by_score);
    return spi_failure_end(&e.failure);
}

/* Of the main axis along U, a direction. */
static void score_axis(const struct search *s, struct spi_fit *fit, struct candidate *c)
{
    c->score = axis_score(s, fit, c->U);
}

/* The best directions of the main axis up to q, at least 1.5 cells apart; U takes the axis
 * there. */
static spi_err axes(struct search *s, double D, double q, struct candidate *out, int *n_out)
{
    double(*u)[3] = NULL, spacing;
    struct candidate *all = NULL;
    int n, found = 0;
    spi_err err;

    SPI_TRY(err = search_level(s, D, q, SCAN_POINTS), out);
    spacing = 0.7 * s->cell;
    n = (int)ceil(2 * SPI_PI / (spacing * spacing));
    SPI_TRY(err = SPI_NEW(all, n, "symmetry axes"), out);
    SPI_TRY(err = SPI_NEW(u, AXES, "symmetry axes"), out);
    for (int i = 0; i < n; i++) {
        double z = (i + 0.5) / n, r = sqrt(1 - z * z), phi = SPI_PI * (3 - sqrt(5)) * i;
        double *d = all[i].U; /* first a direction, then a frame */

        d[0] = r * cos(phi), d[1] = r * sin(phi), d[2] = z;
    }
    SPI_TRY(err = each(s, n, all, score_axis), out);
    SPI_TRY(err = search_level(s, D, q, COARSE_POINTS), out);
    n = (n + KEPT - 1) / KEPT;
    SPI_TRY(err = each(s, n, all, score_axis), out);
    for (int i = 0; i < n && found < AXES; i++) {
        const double *d = all[i].U;
        bool taken = false;

        for (int k = 0; k < found && !taken; k++)
            taken =
                fabs(d[0] * u[k][0] + d[1] * u[k][1] + d[2] * u[k][2]) > cos(1.5 * s->cell);
        if (taken)
            continue;
        memcpy(u[found], d, sizeof u[found]);
        rotation_between(s->axis, d, out[found].U);
        out[found].score = all[i].score;
        found++;
    }
    *n_out = found;
out:
    free(u);
    free(all);
    return err;
}

/* Best azimuth about the main axis for one candidate; one period is 2 pi / fold. */
static void azimuth(const struct search *s, struct spi_fit *fit, struct candidate *c)
{
    double period = 2 * SPI_PI / s->fold, U[9];
    int n = s->n > s->fold - 1 ? (int)ceil(period / (0.5 * s->cell)) : 1;

    memcpy(U, c->U, sizeof U);
    c->score = -2;
    for (int i = 0; i < n; i++) {
        double v[3], Ra[9], R[9], score;

        for (int k = 0; k < 3; k++)
            v[k] = period * i / n * s->axis[k];
        spi_rot_from_vector(v, Ra);
        spi_rot_mul(U, Ra, R);
        score = self_score(s, fit, R);
        if (score > c->score) {
            c->score = score;
            memcpy(c->U, R, sizeof R);
        }
    }
}

/* Pattern search: a step along each axis and back, halved when none is better. */
static void climb(const struct search *s, struct spi_fit *fit, double first, double last,
                  struct candidate *c)
{
    c->score = self_score(s, fit, c->U);
    for (double step = first; step > last; step /= 2)
        for (bool better = true; better;) {
            better = false;
            for (int k = 0; k < 6; k++) {
                double v[3] = {0, 0, 0}, dR[9], R[9], score;

                v[k / 2] = k % 2 ? -step : step;
                spi_rot_from_vector(v, dR);
                spi_rot_mul(dR, c->U, R);
                score = self_score(s, fit, R);
                if (score > c->score + 1e-9) {
                    c->score = score;
                    memcpy(c->U, R, sizeof R);
                    better = true;
                }
            }
        }
}

static void climb_coarse(const struct search *s, struct spi_fit *fit, struct candidate *c)
{
    climb(s, fit, 0.35 * s->cell, 0.05 * s->cell, c);
}

static spi_err fit(struct search *s, double D, double q_max, struct candidate *best)
{
    struct candidate c[AXES] = {0};
    double q_end = fmin(q_max, end_qD / D), q = fmax(search_qD, 0.55 * s->fold) / D;
    int n;
    spi_err err;

    SPI_TRY(err = axes(s, D, fmin(q, q_end), c, &n), out);
    SPI_TRY(err = each(s, n, c, azimuth), out);
    n = n < FINALISTS ? n : FINALISTS;
    SPI_TRY(err = each(s, n, c, climb_coarse), out);
    if (c[0].score >= s->least) {
        SPI_TRY(err = search_level(s, D, q_end, FINE_POINTS), out);
        climb(s, &s->fit, 0.1 * s->cell, 0.005 * s->cell, &c[0]);
    }
    *best = c[0];
out:
    return err;
}

/* The map's spectrum is there: find the axes. */
static spi_err fit_group(const char *group, struct search *s, double D, double q_max,
                         double U[9], double *self_cc)
{
    struct candidate best = {.U = {1, 0, 0, 0, 1, 0, 0, 0, 1}, .score = 1};
    double(*ops)[9] = NULL;
    int n_ops = 0;
    spi_err err = spi_symmetry_parse(group, &ops, &n_ops);

    if (err)
        return err;
    if (n_ops > 1) {
        choose_elements(n_ops, ops, s);
        SPI_TRY(err = fit(s, D, q_max, &best), out);
    }
    spi_rot_nearest(best.U, U);
    *self_cc = best.score;
out:
    free(ops);
    return err;
}

static spi_err check(double D, double box_A, double q)
{
    if (D > 0 && D <= 2 * box_A && q * D >= SPI_SYMMETRY_QD_LEAST)
        return SPI_OK;
    return spi_fail(SPI_EINVAL,
                    "symmetry fit: diameter %g A (box %g A), q up to %g 1/A; need a "
                    "diameter within the box and q D of 2 at least",
                    D, box_A, q);
}

spi_err spi_symmetry_fit_map(const char *group, const struct spi_volume *map,
                             double diameter_A, double q_max, double U[9], double *self_cc)
{
    struct search s = {.kind = SPI_FIT_POWER, .least = -1};
    double q = fmin(q_max, 0.5 / map->step);
    spi_err err;

    SPI_TRY(err = check(diameter_A, map->n * map->step, q), out);
    SPI_TRY(err = spi_spectrum_of_density(map, fmin(q, end_qD / diameter_A), &s.f), out);
    err = fit_group(group, &s, diameter_A, q, U, self_cc);
out:
    search_clear(&s);
    spi_spectrum_clear(&s.f);
    return err;
}

spi_err spi_symmetry_fit_intensity(const char *group, const struct spi_volume *W,
                                   double diameter_A, double q_max, double least,
                                   double U[9], double *self_cc)
{
    struct search s = {.kind = SPI_FIT_REAL, .least = least};
    double q = fmin(q_max, W->n / 2 * W->step);
    spi_err err;

    SPI_TRY(err = check(diameter_A, 1 / W->step, q), out);
    SPI_TRY(err = spi_spectrum_of_intensity(W, fmin(q, end_qD / diameter_A), &s.f), out);
    err = fit_group(group, &s, diameter_A, q, U, self_cc);
out:
    search_clear(&s);
    spi_spectrum_clear(&s.f);
    return err;
}
