/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Rotation, translation and hand between two density maps, doc/math.md (F5)-(F9). */
#include <complex.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "fsc/align.h"
#include "fsc/fit.h"
#include "fsc/rotfun.h"
#include "math/fft.h"
#include "math/rot.h"

enum {
    POINTS_MAX = 40000,
    POLISH_POINTS = 60000,
    PEAKS = 40,
    ROTATIONS = 12,
    POSES = 2 * (ROTATIONS + 1), /* and none at all */
    SHIFT_RADIUS_MAX = 80,
    TRY_STEPS = 4, /* enough to tell a wrong start, which would wander on */
    STEPS = 12
};

/* As for intensities (align_intensity.c); a map has half the band limit of its intensity,
 * so a level may start two Shannon angles off. */
static const double search_qD = 6, first_qD = 4, ratio = 1.6;

struct job {
    struct spi_spectrum ref, map;
    struct spi_shells shells;
    struct spi_fit fit;
    double D, q_max, q_search;
    double box_A; /* shifts are searched within +- box/2 */
};

struct candidate {
    struct spi_pose pose;
    double score;
};

static void job_clear(struct job *j)
{
    spi_fit_clear(&j->fit);
    spi_shells_clear(&j->shells);
    spi_spectrum_clear(&j->ref);
    spi_spectrum_clear(&j->map);
}

static spi_err job_init(const struct spi_volume *ref, const struct spi_volume *map,
                        double D, double q_max, struct job *j)
{
    spi_err err;
    double power = 0, q = fmin(q_max, fmin(0.5 / ref->step, 0.5 / map->step));

    *j = (struct job){.D = D,
                      .q_max = q,
                      .q_search = fmin(q, search_qD / D),
                      .box_A = fmax(ref->n * ref->step, map->n * map->step)};
    if (!(D > 0 && D <= 2 * j->box_A) || !(q * D >= 1))
        return spi_fail(
            SPI_EINVAL,
            "align maps: diameter %g A (box %g A), q up to %g 1/A; need a diameter "
            "within the box and q D of 1 at least",
            D, j->box_A, q);
    SPI_TRY(err = spi_spectrum_of_density(ref, q, &j->ref), out);
    SPI_TRY(err = spi_spectrum_of_density(map, q, &j->map), out);
    SPI_TRY(err = spi_shells_init(D, 0, q, POINTS_MAX, &j->shells), out);
    SPI_TRY(err = spi_fit_init(SPI_FIT_COMPLEX, &j->ref, &j->map, &j->shells, D, &j->fit),
            out);
    for (int k = 0; k < j->shells.n; k++)
        power += j->fit.ref_norm[k];
    if (!(power > 0))
        err = spi_fail(SPI_EINVAL,
                       "align maps: the reference is empty; need some density to align to");
out:
    return err;
}

static int by_score(const void *a, const void *b)
{
    double x = ((const struct candidate *)a)->score,
           y = ((const struct candidate *)b)->score;

    return (x < y) - (x > y);
}

/* Rotations from |F|^2: peaks of the rotation function, refined, the best distinct ones. */
static spi_err rotations(struct job *j, double (*out)[9], int *n_out)
{
    spi_err err;
    double R[PEAKS][9], apart = 0.25 / (2 * j->D * j->q_search);
    struct candidate c[PEAKS] = {0};
    struct spi_rotfun f = {0};
    struct spi_shells shells = {0};
    struct spi_fit fit = {0};
    int n = 0;

    *n_out = 0;
    SPI_TRY(err = spi_rotfun_init(&j->ref, &j->map, j->D, 1 / j->D, j->q_search, &f), out);
    SPI_TRY(err = spi_rotfun_peaks(&f, 0.7 / (2 * j->D * j->q_search), PEAKS, R, &n), out);
    SPI_TRY(err = spi_shells_init(j->D, 1 / j->D, j->q_search, POINTS_MAX, &shells), out);
    SPI_TRY(err = spi_fit_init(SPI_FIT_POWER, &j->ref, &j->map, &shells, j->D, &fit), out);
    for (int i = 0; i < n; i++) {
        memcpy(c[i].pose.R, R[i], sizeof R[i]);
        c[i].score = spi_fit_refine(&fit, shells.n, TRY_STEPS, 0.05, &c[i].pose);
    }
    qsort(c, (size_t)n, sizeof *c, by_score);
    for (int i = 0; i < n && *n_out < ROTATIONS; i++) {
        bool twin = false;

        for (int k = 0; k < *n_out && !twin; k++)
            twin = spi_rot_angle_between(c[i].pose.R, out[k]) < apart;
        if (!twin)
            memcpy(out[(*n_out)++], c[i].pose.R, sizeof out[0]);
    }
out:
    spi_fit_clear(&fit);
    spi_shells_clear(&shells);
    spi_rotfun_clear(&f);
    return err;
}

/* The Fourier grid of a box on which shifts are found, up to q_search. */
struct grid {
    int side, half, n_shells;
    double dq;
    int64_t n;                /* nodes with 0 < |q| <= q_search, half of them (Friedel) */
    int64_t *at;              /* [n] place in the half spectrum, owned */
    int *shell;               /* [n], owned */
    float (*q)[3];            /* [n], owned */
    float complex *ref, *map; /* [n], owned */
    float complex *product;   /* [side][side][half], owned */
    float *c;                 /* [side]^3, owned */
};

static void grid_clear(struct grid *g)
{
    free(g->at);
    free(g->shell);
    free(g->q);
    free(g->ref);
    free(g->map);
    free(g->product);
    free(g->c);
}

/* Each shell to unit power: no shell decides alone. */
static void whiten(const struct grid *g, double *power, float complex *f)
{
    memset(power, 0, (size_t)g->n_shells * sizeof *power);
    for (int64_t i = 0; i < g->n; i++)
        power[g->shell[i]] +=
            (double)(crealf(f[i]) * crealf(f[i]) + cimagf(f[i]) * cimagf(f[i]));
    for (int64_t i = 0; i < g->n; i++)
        f[i] *= power[g->shell[i]] > 0 ? (float)(1 / sqrt(power[g->shell[i]])) : 0;
}

static spi_err grid_init(const struct job *j, double *power, struct grid *g)
{
    static const double identity[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    spi_err err;
    /* a box of more than 13 diameters: coarser shifts, still good to D/20 */
    int r = (int)fmin(floor(j->q_search * j->box_A), SHIFT_RADIUS_MAX);
    size_t most = (size_t)(2 * r + 1) * (size_t)(2 * r + 1) * (size_t)(r + 1);

    /* 2 (2r + 1): the correlation itself is sampled twice as finely as it must be */
    *g = (struct grid){
        .side = spi_fft_good_size(4 * r + 2), .dq = 1 / j->box_A, .n_shells = r + 2};
    g->half = g->side / 2 + 1;
    SPI_TRY(err = SPI_NEW(g->at, most, "shift search"), out);
    SPI_TRY(err = SPI_NEW(g->shell, most, "shift search"), out);
    SPI_TRY(err = SPI_NEW(g->q, most, "shift search"), out);
    SPI_TRY(err = SPI_NEW(g->ref, most, "shift search"), out);
    SPI_TRY(err = SPI_NEW(g->map, most, "shift search"), out);
    SPI_TRY(err = SPI_NEW(g->product, g->side * g->side * g->half, "shift search"), out);
    SPI_TRY(err = SPI_NEW(g->c, (size_t)g->side * (size_t)g->side * (size_t)g->side,
                          "shift search"),
            out);
    for (int z = -r; z <= r; z++)
        for (int y = -r; y <= r; y++)
            for (int x = 0; x <= r; x++) {
                double k = sqrt((double)z * z + (double)y * y + (double)x * x);
                int64_t i = g->n;

                if (k == 0 || k > r + 0.5 || k * g->dq > j->q_search)
                    continue;
                g->at[i] = ((int64_t)((z + g->side) % g->side) * g->side +
                            (y + g->side) % g->side) *
                               g->half +
                           x;
                g->shell[i] = (int)lround(k);
                g->q[i][0] = (float)(x * g->dq);
                g->q[i][1] = (float)(y * g->dq);
                g->q[i][2] = (float)(z * g->dq);
                g->n++;
            }
    spi_spectrum_sample(&j->ref, identity, g->n, (const float(*)[3])g->q, (float *)g->ref);
    whiten(g, power, g->ref);
out:
    return err;
}

/* The best shift for a hand: c(t) = sum_q ref conj(map) exp(2 pi i q.t) by FFT, (F5). */
static spi_err best_shift(struct grid *g, bool inverted, double box_A, double t[3])
{
    size_t count = (size_t)g->side * (size_t)g->side * (size_t)g->side, best = 0;
    int n = g->side;
    spi_err err;

    memset(g->product, 0, (size_t)(n * n * g->half) * sizeof *g->product);
    for (int64_t i = 0; i < g->n; i++)
        g->product[g->at[i]] = g->ref[i] * (inverted ? g->map[i] : conjf(g->map[i]));
    err = spi_fft3_c2r(n, g->product, g->c);
    if (err)
        return err;
    for (size_t i = 1; i < count; i++)
        if (g->c[i] > g->c[best])
            best = i;

    size_t m = (size_t)n;
    int at[3] = {(int)(best % m), (int)(best / m % m), (int)(best / m / m)};

    for (int k = 0; k < 3; k++)
        t[k] = (at[k] < n / 2 ? at[k] : at[k] - n) * box_A / n;
    return SPI_OK;
}

/* Both hands of each rotation, each with its best shift, refined at the search level. */
static spi_err poses(struct job *j, int n, double (*R)[9], struct candidate *c)
{
    spi_err err;
    struct grid g = {0};
    double *power = NULL;
    int n_shells = spi_shells_up_to(&j->shells, j->q_search);

    SPI_TRY(err = SPI_NEW(power, (int)(j->q_search * j->box_A) + 3, "shift search"), out);
    SPI_TRY(err = grid_init(j, power, &g), out);
    for (int i = 0; i < n; i++) {
        spi_spectrum_sample(&j->map, R[i], g.n, (const float(*)[3])g.q, (float *)g.map);
        whiten(&g, power, g.map);
        for (int hand = 0; hand < 2; hand++) {
            struct candidate *one = c + 2 * i + hand;

            memcpy(one->pose.R, R[i], sizeof R[i]);
            one->pose.inverted = hand;
            SPI_TRY(err = best_shift(&g, hand, j->box_A, one->pose.shift_A), out);
            one->score = spi_fit_refine(&j->fit, n_shells, TRY_STEPS, 0.05, &one->pose);
        }
    }
    qsort(c, (size_t)(2 * n), sizeof *c, by_score);
out:
    grid_clear(&g);
    free(power);
    return err;
}

/* From level q to q_max; the field of candidates is halved at each level. */
static void frequency_march(struct job *j, double q, int n, struct candidate *c)
{
    for (int last = 0; last < j->shells.n; q *= ratio, n = (n + 1) / 2) {
        int n_shells = spi_shells_up_to(&j->shells, q);

        if (n_shells == last)
            continue;
        last = n_shells;
        for (int i = 0; i < n; i++)
            c[i].score = spi_fit_refine(&j->fit, n_shells, STEPS,
                                        n_shells == j->shells.n ? 0.01 : 0.05, &c[i].pose);
        qsort(c, (size_t)n, sizeof *c, by_score);
    }
}

/* The last steps, with weights of maximum likelihood.  Noise fills the box, not only the
 * particle: to average it well the points are as dense as the box asks for (twice the
 * particle's density at most).  The correlation at the end is the plain one. */
static spi_err final_refinement(struct job *j, struct spi_pose *pose, double *cc)
{
    double D = fmin(fmax(j->D, 0.9 * j->box_A), 2 * j->D);
    struct spi_shells shells = {0};
    struct spi_fit fit = {0};
    spi_err err;

    SPI_TRY(err = spi_shells_init(D, 0, j->q_max, POLISH_POINTS, &shells), out);
    SPI_TRY(err = spi_fit_init(SPI_FIT_COMPLEX, &j->ref, &j->map, &shells, D, &fit), out);
    spi_fit_weigh(&fit, shells.n, pose);
    spi_fit_refine(&fit, shells.n, STEPS, 0.004, pose);
    *cc = spi_fit_plain(&fit, shells.n);
out:
    spi_fit_clear(&fit);
    spi_shells_clear(&shells);
    return err;
}

/* Maps that are superposed already: no rotation at all is a candidate. */
static void add_identity(int *n, double (*R)[9])
{
    static const double one[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};

    memcpy(R[(*n)++], one, sizeof one);
}

/* No motion at all, if that is as good to rounding: then nothing need be interpolated. */
static void prefer_none(struct job *j, struct spi_pose *pose, double *cc)
{
    static const double rounding = 1e-6; /* of samples in single precision */
    const struct spi_pose none = {.R = {1, 0, 0, 0, 1, 0, 0, 0, 1}};
    double cc_none;

    spi_fit_score(&j->fit, j->shells.n, &none);
    cc_none = spi_fit_plain(&j->fit, j->shells.n);
    spi_fit_score(&j->fit, j->shells.n, pose);
    if (cc_none >= spi_fit_plain(&j->fit, j->shells.n) - rounding) {
        *pose = none;
        *cc = cc_none;
    }
}

static spi_err check_shift(const struct job *j, const struct spi_pose *pose)
{
    for (int k = 0; k < 3; k++)
        if (fabs(pose->shift_A[k]) > j->box_A)
            return spi_fail(
                SPI_EINVAL,
                "align maps: the start is shifted by %g A; need a shift within the "
                "box, %g A",
                pose->shift_A[k], j->box_A);
    return SPI_OK;
}

static spi_err align(const struct spi_volume *ref, const struct spi_volume *map, double D,
                     double q_max, const struct spi_pose *initial, const double *rotation,
                     struct spi_pose *pose, double *cc)
{
    struct job j;
    struct candidate c[POSES] = {0};
    double R[ROTATIONS + 1][9];
    int n = 1;
    spi_err err = job_init(ref, map, D, q_max, &j);

    if (err)
        goto out;
    if (initial) {
        SPI_TRY(err = spi_fit_check_pose("align maps", initial->R, initial->shift_A), out);
        SPI_TRY(err = check_shift(&j, initial), out);
        c[0].pose = *initial;
        frequency_march(&j, first_qD / D, 1, c);
    } else {
        if (rotation) {
            SPI_TRY(err = spi_fit_check_pose("align maps", rotation, NULL), out);
            memcpy(R[0], rotation, sizeof R[0]);
        } else {
            SPI_TRY(err = rotations(&j, R, &n), out);
            add_identity(&n, R);
        }
        SPI_TRY(err = poses(&j, n, R, c), out);
        frequency_march(&j, j.q_search * ratio,
                        2 * n < SPI_FINALISTS ? 2 * n : SPI_FINALISTS, c);
    }
    SPI_TRY(err = final_refinement(&j, &c[0].pose, cc), out);
    if (!initial && !rotation)
        prefer_none(&j, &c[0].pose, cc);
    *pose = c[0].pose;
out:
    job_clear(&j);
    return err;
}

spi_err spi_align_finalists(const struct spi_volume *ref, const struct spi_volume *map,
                            double diameter_A, double q_max,
                            struct spi_pose pose[SPI_FINALISTS], int *n)
{
    struct job j;
    struct candidate c[POSES] = {0};
    double R[ROTATIONS + 1][9];
    spi_err err = job_init(ref, map, diameter_A, q_max, &j);

    *n = 0;
    SPI_TRY(err, out);
    SPI_TRY(err = rotations(&j, R, n), out);
    add_identity(n, R);
    SPI_TRY(err = poses(&j, *n, R, c), out);
    *n = 2 * *n < SPI_FINALISTS ? 2 * *n : SPI_FINALISTS;
    for (int i = 0; i < *n; i++)
        pose[i] = c[i].pose;
out:
    job_clear(&j);
    return err;
}

spi_err spi_align_densities(const struct spi_volume *ref, const struct spi_volume *map,
                            double diameter_A, double q_max, const struct spi_pose *initial,
                            struct spi_pose *pose, double *cc)
{
    return align(ref, map, diameter_A, q_max, initial, NULL, pose, cc);
}

spi_err spi_align_half_maps(const struct spi_volume *half1, const struct spi_volume *half2,
                            double diameter_A, double q_max, const struct spi_pose *initial,
                            const double *rotation, struct spi_pose *pose, double *cc,
                            struct spi_volume *mean, struct spi_fsc *fsc,
                            struct spi_volume *moved2)
{
    struct spi_volume moved = {0};
    size_t count = spi_volume_count(half1);
    spi_err err;

    *mean = (struct spi_volume){0};
    *fsc = (struct spi_fsc){0};
    if (moved2)
        *moved2 = (struct spi_volume){0};
    SPI_TRY(err = align(half1, half2, diameter_A, q_max, initial, rotation, pose, cc), out);
    SPI_TRY(err = spi_pose_apply(half2, pose, half1->n, half1->step, &moved), out);
    SPI_TRY(err = spi_fsc_compute(half1, &moved, fsc), out);
    SPI_TRY(err = spi_volume_copy(half1, mean), out);
    for (size_t i = 0; i < count; i++)
        mean->data[i] = 0.5F * (half1->data[i] + moved.data[i]);
    if (moved2) {
        *moved2 = moved;
        moved = (struct spi_volume){0};
    }
out:
    spi_volume_clear(&moved);
    if (err) {
        spi_volume_clear(mean);
        spi_fsc_clear(fsc);
    }
    return err;
}
