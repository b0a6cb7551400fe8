/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "match/centre.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { ROUNDS = 20, FIRST_RING = 2, RINGS_LEAST = 4 };
static const double complete = 0.8, partial = 0.3; /* share of a circle that has pixels */
static const double converged_px = 1e-3;
static const double uneven = 0.01; /* relative, of the profile's interpolation */
static const double most_px = SPI_CENTRE_MOST_PX;
/* what is off: by the mean image alone, and by single images */
static const double sigmas[2] = {6, 4}, least_px[2] = {0.15, 0.08};
static const double unlike_px = 0.3, unlike_part = 0.2; /* of the shift */
static const double left_most = 0.03; /* of the power of the shift, (J12) */
static const double pairs_floor_px = 0.015,
                    poor_floor_px = 0.1; /* (J15) errors of method */
static const double both_enough = 0.7;   /* share of the weight that has its mate */
static const double drift_ratio = 0.8, drift_least_px = 0.15; /* (J16) */

struct ring {
    double n, y, radius, c, s, slope;
    bool used;
};

/* What a ring says of the shift: sums of its pixels. */
struct normal {
    double A[3], b[2];
};

struct fit {
    const struct spi_detector *det;
    double (*t)[2];           /* [n_pixels] (J10) */
    double bow[2];            /* of the geometry factor's logarithm along x^2 and y^2 */
    double dq, images, cover; /* cover: share of a circle that a ring needs */
    enum spi_image_kind kind;
    const double *mean; /* [n_pixels] over geometry; < 0: not used */
    int n_rings;
    struct ring *ring;     /* [n_rings] */
    struct normal *normal; /* [n_rings] */
    int used;
};

/* Place of a pixel about an origin: its ring, radius and direction. */
static int place(const struct fit *f, int64_t p, const double at[2], double *radius,
                 double u[2])
{
    double x = f->t[p][0] - at[0], y = f->t[p][1] - at[1];
    int r;

    *radius = hypot(x, y);
    r = (int)(*radius / f->dq);
    if (f->mean[p] < 0 || r >= f->n_rings || !(*radius > 0))
        return -1;
    u[0] = x / *radius;
    u[1] = y / *radius;
    return r;
}

static void make_rings(struct fit *f, const double at[2])
{
    memset(f->ring, 0, (size_t)f->n_rings * sizeof *f->ring);
    for (int64_t p = 0; p < f->det->n_pixels; p++) {
        double radius, u[2];
        int r = place(f, p, at, &radius, u);

        if (r < 0)
            continue;
        f->ring[r].n += 1;
        f->ring[r].y += f->mean[p];
        f->ring[r].radius += radius;
        f->ring[r].c += u[0];
        f->ring[r].s += u[1];
    }
    for (int r = 0; r < f->n_rings; r++) {
        struct ring *g = &f->ring[r];

        if (!(g->n > 0))
            continue;
        g->used = r >= FIRST_RING && g->n > f->cover * 2 * 3.14159265 * (r + 0.5);
        g->y /= g->n, g->radius /= g->n, g->c /= g->n, g->s /= g->n;
    }
    f->used = 0;
    for (int r = 1; r + 1 < f->n_rings; r++) {
        struct ring *g = &f->ring[r];

        g->used = g->used && g[-1].n > 0 && g[1].n > 0 && g->y > 0;
        if (g->used)
            g->slope = (g[1].y - g[-1].y) / (g[1].radius - g[-1].radius);
        f->used += g->used;
    }
    f->ring[0].used = f->ring[f->n_rings - 1].used = false;
}

static bool solve(const struct normal *n, double x[2])
{
    double det = n->A[0] * n->A[2] - n->A[1] * n->A[1];

    if (!(det > 0))
        return false;
    x[0] = (n->A[2] * n->b[0] - n->A[1] * n->b[1]) / det;
    x[1] = (n->A[0] * n->b[1] - n->A[1] * n->b[0]) / det;
    return isfinite(x[0]) && isfinite(x[1]);
}

static void add_normal(const struct normal *part, struct normal *to)
{
    for (int i = 0; i < 3; i++)
        to->A[i] += part->A[i];
    for (int i = 0; i < 2; i++)
        to->b[i] += part->b[i];
}

/* What a pixel is beyond its ring, and the variance of that. */
static double beyond_ring(const struct fit *f, int64_t p, const struct ring *g,
                          double radius, double *variance)
{
    *variance = pow(uneven * g->y, 2);
    if (f->cover < complete) /* few orientations are uneven where a pixel has no mate */
        *variance += g->y * g->y / f->images;
    if (f->kind == SPI_PHOTONS)
        *variance += g->y / f->images / (double)f->det->geometry[p];
    return f->mean[p] - g->y - g->slope * (radius - g->radius);
}

/* (J10): the normal equations of each ring for the shift that is left about the origin
 * `at`; n [n_rings]. */
static void normals(struct fit *f, const double at[2], struct normal *n)
{
    make_rings(f, at);
    memset(n, 0, (size_t)f->n_rings * sizeof *n);
    for (int64_t p = 0; p < f->det->n_pixels; p++) {
        double radius, u[2], c, s, y, variance;
        int r = place(f, p, at, &radius, u);
        const struct ring *g = &f->ring[r < 0 ? 0 : r];

        if (r < 0 || !g->used)
            continue;
        c = u[0] - g->c, s = u[1] - g->s;
        y = beyond_ring(f, p, g, radius, &variance);
        n[r].A[0] += g->slope * g->slope * c * c / variance;
        n[r].A[1] += g->slope * g->slope * c * s / variance;
        n[r].A[2] += g->slope * g->slope * s * s / variance;
        n[r].b[0] -= g->slope * c * y / variance;
        n[r].b[1] -= g->slope * s * y / variance;
    }
}

static bool step_of(struct fit *f, const double at[2], double step[2])
{
    struct normal all = {{0}, {0}};

    normals(f, at, f->normal);
    for (int r = 0; r < f->n_rings; r++)
        add_normal(&f->normal[r], &all);
    return f->used >= RINGS_LEAST && solve(&all, step);
}

/* Whether the inner and the outer rings, which know equally much, agree: a wrong centre
 * shifts all of them, a hot pixel or a shadow only some. */
static bool rings_agree(struct fit *f, const double at[2])
{
    struct normal part[2] = {{{0}, {0}}, {{0}, {0}}};
    double x[2][2], total = 0, sum = 0;

    normals(f, at, f->normal);
    for (int r = 0; r < f->n_rings; r++)
        total += f->normal[r].A[0] + f->normal[r].A[2];
    for (int r = 0; r < f->n_rings; r++) {
        add_normal(&f->normal[r], &part[sum >= total / 2]);
        sum += f->normal[r].A[0] + f->normal[r].A[2];
    }
    return solve(&part[0], x[0]) && solve(&part[1], x[1]) &&
           hypot(x[0][0] - x[1][0], x[0][1] - x[1][1]) <=
               fmax(unlike_px * f->dq, unlike_part * hypot(at[0], at[1]));
}

/* (J12): about the right origin little is left of what the mean image has on its rings.  A
 * shadow, an arm, a streak on one side leaves harmonics 3 and 5, a panel or a half that is
 * out of place harmonic 2 too.  at: the origin that was found, which the rings are about.
 */
static bool only_a_shift(struct fit *f, const double at[2])
{
    enum { HARMONICS = 6 };
    double sigma;
    double(*sum)[HARMONICS][2] = NULL, left[HARMONICS] = {0}, moved = 0;

    if (SPI_NEW(sum, f->n_rings, "centre"))
        return false;
    for (int64_t p = 0; p < f->det->n_pixels; p++) {
        double radius, u[2], y, variance, phi;
        int r = place(f, p, at, &radius, u);

        if (r < 0 || !f->ring[r].used)
            continue;
        y = beyond_ring(f, p, &f->ring[r], radius, &variance);
        phi = atan2(u[1], u[0]);
        for (int k = 0; k < HARMONICS; k++) {
            sum[r][k][0] += y / sqrt(variance) * cos(k * phi);
            sum[r][k][1] += y / sqrt(variance) * sin(k * phi);
        }
        moved += pow(f->ring[r].slope * (u[0] * at[0] + u[1] * at[1]), 2) / variance;
    }
    for (int r = 0; r < f->n_rings; r++)
        for (int k = 0; k < HARMONICS && f->ring[r].used; k++)
            /* 2 on average for noise alone, with a variance of 4 */
            left[k] += 2 / f->ring[r].n * (pow(sum[r][k][0], 2) + pow(sum[r][k][1], 2)) - 2;
    sigma = sqrt(4.0 * f->used);
    free(sum);
    /* of few images or views harmonics 2 and 4 are left in equal measure */
    return left[1] + left[3] + left[5] <= left_most * moved + 3 * sqrt(3) * sigma &&
           left[2] <= left_most * moved + 3 * fmax(left[4], 0) + 3 * sigma;
}

/* log g = constant + bow_x x^2 + bow_y y^2, least squares: solid angle and polarisation are
 * those of the beam, so that they move with its place. */
static void find_bow(struct fit *f)
{
    double n = 0, m[2] = {0}, A[3] = {0}, b[2] = {0}, mean = 0;
    struct normal normal = {{0}, {0}};

    for (int pass = 0; pass < 2; pass++)
        for (int64_t p = 0; p < f->det->n_pixels; p++) {
            double g = (double)f->det->geometry[p], x = f->t[p][0] * f->t[p][0],
                   y = f->t[p][1] * f->t[p][1];

            if (f->det->bad[p] || !(g > 0))
                continue;
            if (pass == 0) {
                n += 1, m[0] += x, m[1] += y, mean += log(g);
                continue;
            }
            x -= m[0] / n, y -= m[1] / n, g = log(g) - mean / n;
            A[0] += x * x, A[1] += x * y, A[2] += y * y;
            b[0] += x * g, b[1] += y * g;
        }
    memcpy(normal.A, A, sizeof A);
    memcpy(normal.b, b, sizeof b);
    if (!solve(&normal, f->bow))
        f->bow[0] = f->bow[1] = 0;
}

/* Mean of some parts of the images over the geometry about an origin. */
static void mean_of(const struct fit *f, int parts, const float *sum, double n,
                    const double at[2], double *mean)
{
    const struct spi_detector *det = f->det;

    for (int64_t p = 0; p < det->n_pixels; p++) {
        double all = 0, moved = 0;

        for (int k = 0; k < parts; k++)
            all += (double)sum[k * det->n_pixels + p];
        for (int c = 0; c < 2; c++)
            moved += f->bow[c] * at[c] * (at[c] - 2 * f->t[p][c]);
        mean[p] = det->bad[p] || !(all > 0)
                      ? -1
                      : all / n / ((double)det->geometry[p] * exp(moved));
    }
}

static spi_err estimate(struct fit *f, int64_t n, int parts, const float *sum, double *mean,
                        struct spi_centre *out)
{
    double at[2] = {0, 0}, step[2], total[2] = {0}, squares[2] = {0};

    f->mean = mean;
    f->images = (double)n;
    out->partial = f->cover < complete;
    for (int i = 0; i < ROUNDS; i++) {
        mean_of(f, parts, sum, (double)n, at, mean);
        if (!step_of(f, at, step))
            return SPI_OK;
        at[0] += step[0], at[1] += step[1];
        if (hypot(at[0], at[1]) > most_px * f->dq)
            return SPI_OK;
        if (hypot(step[0], step[1]) < converged_px * f->dq)
            break;
    }
    out->agree = rings_agree(f, at) && (out->partial || only_a_shift(f, at));
    f->images = (double)n / parts;
    for (int k = 0; k < parts; k++) {
        mean_of(f, 1, sum + k * f->det->n_pixels, f->images, at, mean);
        if (!step_of(f, at, step))
            return SPI_OK;
        for (int c = 0; c < 2; c++)
            total[c] += step[c], squares[c] += step[c] * step[c];
    }
    for (int c = 0; c < 2; c++) {
        double variance = squares[c] / parts - pow(total[c] / parts, 2);

        out->shift_invA[c] = at[c];
        out->shift_px[c] = at[c] / f->dq;
        out->sigma_px[c] = sqrt(fmax(0, variance) / (parts - 1)) / f->dq;
    }
    out->known = true;
    return SPI_OK;
}

spi_err spi_centre_estimate(const struct spi_detector *det, enum spi_image_kind kind,
                            int64_t n, int parts, const float *sum, struct spi_centre *out)
{
    struct fit f = {.det = det, .kind = kind};
    double *mean = NULL, far = 0;
    spi_err err;

    *out = (struct spi_centre){0};
    SPI_TRY(err = SPI_NEW(f.t, det->n_pixels, "centre"), out);
    for (int64_t p = 0; p < det->n_pixels; p++) {
        if (!spi_detector_flat(det, p, f.t[p]))
            goto out; /* such a detector is not flat */
        far = fmax(far, det->bad[p] ? 0 : hypot(f.t[p][0], f.t[p][1]));
    }
    SPI_TRY(err = spi_friedel_pixel(det, f.t, &f.dq), out);
    if (!(f.dq > 0) || n < parts)
        goto out;
    f.n_rings = (int)fmin(far / f.dq, 1e5) + 1;
    SPI_TRY(err = SPI_NEW(mean, det->n_pixels, "centre"), out);
    SPI_TRY(err = SPI_NEW(f.ring, f.n_rings, "centre"), out);
    SPI_TRY(err = SPI_NEW(f.normal, f.n_rings, "centre"), out);
    find_bow(&f);
    f.cover = complete;
    SPI_TRY(err = estimate(&f, n, parts, sum, mean, out), out);
    if (!(out->known && out->agree)) {
        struct spi_centre more = {0};
        bool few = f.used < RINGS_LEAST;

        f.cover = partial;
        SPI_TRY(err = estimate(&f, n, parts, sum, mean, &more), out);
        if (more.known && more.agree) {
            more.agree = few; /* else complete rings say that more is wrong */
            *out = more;
        }
    }
out:
    free(f.t);
    free(mean);
    free(f.ring);
    free(f.normal);
    return err;
}

/* ---- single images ------------------------------------------------------------------ */

/* (J16): blocks that follow each other differ less than all of them do. */
static double drift(int n, const double (*at)[2])
{
    enum { NEAR = 3 };
    double mean[2] = {0}, all = 0, steps = 0, most = 0;

    for (int b = 0; b < n; b++)
        for (int c = 0; c < 2; c++)
            mean[c] += at[b][c] / n;
    for (int b = 0; b < n; b++)
        for (int c = 0; c < 2; c++) {
            all += pow(at[b][c] - mean[c], 2);
            steps += b > 0 ? pow(at[b][c] - at[b - 1][c], 2) : 0;
        }
    if (n < 3 * NEAR || steps >= drift_ratio * all)
        return 0;
    for (int a = 0; a + NEAR <= n; a++)
        for (int b = 0; b < a; b++) {
            double far[2] = {0};

            for (int k = 0; k < NEAR; k++)
                for (int c = 0; c < 2; c++)
                    far[c] += (at[a + k][c] - at[b + k][c]) / NEAR;
            most = fmax(most, hypot(far[0], far[1]));
        }
    return most >= drift_least_px ? most : 0;
}

/* The place of two measurements, each with the weight of its variance. */
static void weighted(struct spi_centre *c, const double at_px[2], const double sigma_px[2],
                     double dq)
{
    for (int k = 0; k < 2; k++) {
        double a = 1 / (pow(c->sigma_px[k], 2) + pow(pairs_floor_px, 2)),
               b = 1 / pow(sigma_px[k], 2);

        c->shift_px[k] = (a * c->shift_px[k] + b * at_px[k]) / (a + b);
        c->sigma_px[k] = sqrt(1 / (a + b));
        c->shift_invA[k] = c->shift_px[k] * dq;
    }
    c->agree = true;
    c->by = SPI_CENTRE_BY_BOTH;
}

void spi_centre_combine(struct spi_centre *c, const struct spi_friedel_result *pairs)
{
    bool good = pairs->both >= both_enough;
    double at_px[2], sigma_px[2], apart, error;

    if (!pairs->known)
        return;
    for (int k = 0; k < 2; k++) {
        at_px[k] = pairs->at[k] / pairs->pixel;
        sigma_px[k] =
            hypot(pairs->sigma[k] / pairs->pixel, good ? pairs_floor_px : poor_floor_px);
    }
    c->n_blocks = pairs->n_blocks;
    for (int b = 0; b < c->n_blocks; b++)
        for (int k = 0; k < 2; k++)
            c->block_px[b][k] = pairs->block[b][k] / pairs->pixel;
    c->drift_px = drift(c->n_blocks, c->block_px);
    apart = hypot(at_px[0] - c->shift_px[0], at_px[1] - c->shift_px[1]);
    error = hypot(hypot(sigma_px[0], sigma_px[1]), hypot(c->sigma_px[0], c->sigma_px[1]));
    if (c->known && (good ? c->agree && !c->partial : c->agree || c->partial) &&
        apart <= 3 * error + (good ? 0.03 : 0.3)) {
        weighted(c, at_px, sigma_px, pairs->pixel);
        return;
    }
    c->known = c->agree = true;
    c->by = SPI_CENTRE_BY_PAIRS;
    c->partial = false;
    memcpy(c->shift_px, at_px, sizeof at_px);
    memcpy(c->sigma_px, sigma_px, sizeof sigma_px);
    memcpy(c->shift_invA, pairs->at, sizeof pairs->at);
    c->far = hypot(at_px[0], at_px[1]) > most_px;
}

bool spi_centre_is_off(const struct spi_centre *c)
{
    double far = hypot(c->shift_px[0], c->shift_px[1]);
    int single = c->by != SPI_CENTRE_BY_MEAN;

    return c->known && far > least_px[single] &&
           far > sigmas[single] * hypot(c->sigma_px[0], c->sigma_px[1]);
}
