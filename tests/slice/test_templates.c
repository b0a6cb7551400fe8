/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Templates for every row of the table of likelihoods, of a particle whose W is known in
 * closed form, on the curved sphere, behind a mask that is not round: harmonics, expected
 * counts and tables against their sums in double. */
#include <complex.h>
#include <string.h>

#include "math/sphere.h"
#include "nufft/nufft.h"
#include "scene.h"
#include "slice/templates.h"
#include "tap.h"

enum { ND = 5 };

static struct spi_rings g;
static struct spi_detector det;
static struct spi_ring_map map;
static struct spi_band band;

/* Relative error allowed of T: the transform was asked for 1e-6, its taps and float sums
 * add as much (tests/nufft: 2 tol + 2e-6 of the rms of W, and W varies by a factor of 30
 * over the rings here); aliases of the scene 7e-7 / W; positions rounded to float: 3 u |u|
 * dlogT/du < 1e-5. */
static const double tol = 30 * (2 * 1e-6 + 2e-6) + 1e-5;

/* What a ring of the model is multiplied by, and what is added to it. */
static const float *ring_scale, *ring_add;

static double model(const double Rn[9], int r, double phi)
{
    double p[3] = {g.qp[r] * cos(phi), g.qp[r] * sin(phi), g.qz[r]}, q[3];

    spi_rot_apply(Rn, p, q);
    return scene_W(q) * (ring_scale ? (double)ring_scale[r] : 1) +
           (ring_add ? (double)ring_add[r] : 0);
}

static double itself(double W, double unused, double v)
{
    (void)unused;
    (void)v;
    return W;
}

static double weight(const float *inv_var, int r)
{
    return inv_var ? (double)inv_var[r] : 1;
}

/* sum_rj d_rj h(W(r, phi_j + a)) */
static double live_sum(const double Rn[9], double a, double (*h)(double, double, double),
                       const float *inv_var)
{
    double sum = 0;

    for (int r = 0; r < band.R; r++)
        for (int j = 0; j < g.n[r]; j++) {
            double W = model(Rn, r, 2 * SPI_PI * j / g.n[r] + a);

            sum += (double)map.live[g.at[r] + j] * h(W, 1, weight(inv_var, r));
        }
    return sum;
}

/* Largest gap between a record and the harmonics (1/n) sum_j f(unit T_j) exp(-i m phi_j),
 * over its bound (R5). */
static double record_gap(const struct spi_likelihood *like, const double Rn[9],
                         const float *record, double unit, const float *inv_var,
                         double *wrong)
{
    double worst = 0;

    *wrong = 0;
    for (int r = 0; r < band.R; r++)
        for (int m = 0; m <= g.m_max[r]; m++) {
            int at = spi_band_at(&band, r, m);
            double complex h = 0,
                           got = CMPLX((double)record[at], (double)record[at + SPI_LANES]);
            double size = 0;

            for (int j = 0; j < g.n[r]; j++) {
                double W = model(Rn, r, 2 * SPI_PI * j / g.n[r]);
                double f = like->f(W * unit, 1, weight(inv_var, r));

                h += f * cexp(CMPLX(0, -2 * SPI_PI * m * j / g.n[r])) / g.n[r];
                size = fmax(size, fabs(f));
            }
            /* a change of T by tol changes log T by tol, v T by tol of itself; the FFT in
             * float adds 4 log2(n) u of the ring's size */
            double bound = (like->form == SPI_FORM_RATIO ? size : 1) * tol +
                           4 * log2(g.n[r]) * 0x1p-24 * size;

            worst = fmax(worst, cabs(got - h) / bound);
            *wrong = fmax(*wrong, cabs(conj(got) - h) / bound);
        }
    return worst;
}

static void check_row(const struct spi_likelihood *like, const spi_nufft *plan,
                      const float *grid)
{
    const char *name = like->name;
    bool logs = like->form == SPI_FORM_DIFFERENCE;
    struct spi_views views = spi_views_for(&g, &band, 1);
    int Na = views.Na;
    int32_t list[ND + 2] = {0, 0, 3, 77, 250, 400, 600};
    double ring_mean[64], variance[64];
    float values[64], *inv_var = like->weighted ? values : NULL,
                      *record = spi_alloc((size_t)(ND * band.floats), 4, "r");
    float *table = spi_alloc((size_t)(ND * Na), 4, "t"),
          *S = spi_alloc((size_t)(ND * Na), 4, "S");
    struct spi_template_spec spec = {.rings = &g,
                                     .band = &band,
                                     .map = &map,
                                     .views = views,
                                     .like = like,
                                     .ring_scale = ring_scale,
                                     .ring_add = ring_add,
                                     .inv_var = inv_var};
    double worst = 0, worst_S = 0, worst_table = 0, wrong = 0, wrong_S = 0;

    for (int r = 0; r < 64; r++)
        ring_mean[r] = 1, variance[r] = 1 / (1 + (double)r / 8);
    if (like->weighted)
        like->inv_var(64, ring_mean, variance, values);
    for (int i = 0; i < ND * Na; i++)
        table[i] = NAN; /* a table that is not made is noticed */
    OK(spi_templates_make(&spec, plan, grid, list, 2, ND, record, table, S) == SPI_OK,
       "made");
    for (int d = 0; d < ND; d++) {
        double dir[3], Rn[9], sbar = 0, w;

        spi_sphere_point(views.nd, list[2 + d], dir);
        spi_rot_to_direction(dir, Rn);
        for (int r = 0; r < band.R; r++) {
            double mean = 0, live = 0;

            for (int j = 0; j < g.n[r]; j++) {
                mean += model(Rn, r, 2 * SPI_PI * j / g.n[r]) / g.n[r];
                live += (double)map.live[g.at[r] + j];
            }
            sbar += mean * live;
        }
        worst = fmax(worst, record_gap(like, Rn, record + d * band.floats,
                                       logs ? 1 / sbar : 1, inv_var, &w));
        wrong = fmax(wrong, w);
        for (int a = 0; a < Na; a++) {
            double at = 2 * SPI_PI * a / Na, s = live_sum(Rn, at, itself, NULL), t, gap;
            /* |d| adds to at most 1.25^2 n_live, T is within a factor 3 of its mean */
            double bound = 3 * 1.5625 * tol * s;

            worst_S = fmax(worst_S, fabs((double)S[d * Na + a] - s) / bound);
            wrong_S = fmax(wrong_S, fabs((double)S[d * Na + (Na - a) % Na] - s) / bound);
            t = like->table(live_sum(Rn, at, like->h, inv_var) * (logs ? 1 / sbar : 1));
            gap = fabs((double)table[d * Na + a] - t) /
                  (logs ? 2 * 3 * 1.5625 * tol : 2 * 3 * 3 * 1.5625 * tol * t);
            worst_table = gap <= worst_table ? worst_table : gap; /* NAN stays */
        }
    }
    OK(worst <= 1, "%s: harmonics, error / bound = %.3f", name, worst);
    OK(wrong > 1, "%s: mirrored harmonics are noticed", name);
    OK(worst_S <= 1, "%s: expected counts, error / bound = %.3f", name, worst_S);
    OK(wrong_S > 1, "%s: the other sense of turning is noticed", name);
    OK(worst_table <= 1, "%s: table, error / bound = %.3f", name, worst_table);
    free(record);
    free(table);
    free(S);
}

/* W(q) = W(-q): what slicing reads at q and at -q, though it visits only one of them, but
 * for the place of the patches' centres: |t| <= 13 is known to 7 roundings, times the slope
 * of a value, at most pi of its range per fine-grid point, on three axes, and sums of 8^3.
 */
static void check_friedel(const spi_nufft *plan, const float *grid)
{
    static const double identity[1][9] = {{1, 0, 0, 0, 1, 0, 0, 0, 1}};
    float q[200][3], minus[200][3], W[200], V[200];
    spi_points *points[2] = {NULL, NULL};
    struct spi_rng rng = spi_rng_stream(2, SPI_RNG_TEST, 0);
    double most = 0, differ = 0, other = 0;

    for (int i = 0; i < 200; i++)
        for (int c = 0; c < 3; c++)
            minus[i][c] =
                -(q[i][c] = (float)((spi_rng_uniform(&rng) - 0.5) * 0.5 / scene_dx));
    if (spi_points_new(plan, 200, (const float(*)[3])q, &points[0]) ||
        spi_points_new(plan, 200, (const float(*)[3])minus, &points[1]) ||
        spi_nufft_slice(points[0], grid, 1, identity, W) ||
        spi_nufft_slice(points[1], grid, 1, identity, V))
        OK(0, "%s", spi_err_message());
    for (int i = 0; i < 200; i++) {
        most = fmax(most, fabs((double)W[i]));
        differ = fmax(differ, fabs((double)W[i] - (double)V[i]));
        other = fmax(other, fabs((double)W[i] - (double)V[199 - i]));
    }
    spi_points_free(points[0]);
    spi_points_free(points[1]);

    double bound = most * (3 * 7 * 13 * 0x1p-24 * SPI_PI + gamma_f32(8 * 8 * 8));

    OK(differ <= bound, "Friedel: the same at q and -q: difference / bound = %.3f",
       differ / bound);
    OK(other > bound, "other points are noticed");
}

static void check_means(const spi_nufft *plan, const float *grid)
{
    enum { DIRS = 20 };
    double mean[64], worst = 0;

    OK(spi_ring_means_of_model(&g, band.R, plan, grid, DIRS, mean) == SPI_OK, "means");
    for (int r = 0; r < band.R; r++) {
        double want = 0;

        for (int d = 0; d < DIRS; d++) {
            double dir[3], Rn[9];

            spi_sphere_point(DIRS, d, dir);
            spi_rot_to_direction(dir, Rn);
            for (int j = 0; j < g.n[r]; j++)
                want += model(Rn, r, 2 * SPI_PI * j / g.n[r]) / g.n[r] / DIRS;
        }
        worst = fmax(worst, fabs(mean[r] / want - 1) / tol);
    }
    OK(worst <= 1, "ring means of a model: error / bound = %.3f", worst);
}

static void check_views(const spi_nufft *plan, const float *grid)
{
    enum { DIRS = 40 };
    double dir[DIRS][3], mean[DIRS][64], worst = 0, other = 0;
    spi_points *points = NULL;

    for (int d = 0; d < DIRS; d++)
        spi_sphere_point(DIRS, d, dir[d]);
    OK(spi_ring_points(&g, band.R, plan, &points) == SPI_OK &&
           spi_ring_means_of_views(&g, band.R, points, grid, DIRS, (const double(*)[3])dir,
                                   mean[0]) == SPI_OK,
       "ring means of views");
    for (int d = 0; d < DIRS; d++)
        for (int r = 0; r < band.R; r++) {
            double want = 0, Rn[9], got = mean[0][d * band.R + r];

            spi_rot_to_direction(dir[d], Rn);
            for (int j = 0; j < g.n[r]; j++)
                want += model(Rn, r, 2 * SPI_PI * j / g.n[r]) / g.n[r];
            worst = fmax(worst, fabs(got / want - 1) / tol);
            other =
                fmax(other, fabs(mean[0][(d + 1) % DIRS * band.R + r] / want - 1) / tol);
        }
    OK(worst <= 1, "ring means of views: error / bound = %.3f", worst);
    OK(other > 1, "another view is noticed");
    spi_points_free(points);
}

/* A model that is negative somewhere is floored; nothing is infinite. */
static void check_floor(const spi_nufft *plan, const float *A)
{
    float *B = spi_alloc(SCENE_N * SCENE_N * SCENE_N, 4, "B"), *grid, *record, *table, *S;
    struct spi_views views = spi_views_for(&g, &band, 1);
    struct spi_template_spec spec = {.rings = &g,
                                     .band = &band,
                                     .map = &map,
                                     .views = views,
                                     .like = spi_likelihood_of(SPI_PHOTONS)};
    int finite = 1;

    if (spi_nufft_grid_new(plan, 1, &grid))
        OK(0, "%s", spi_err_message());
    memcpy(B, A, SCENE_N * SCENE_N * SCENE_N * sizeof *B);
    B[(SCENE_N / 2 * SCENE_N + SCENE_N / 2) * SCENE_N + SCENE_N / 2] -= 1; /* W - 1 */
    record = spi_alloc((size_t)band.floats, 4, "r");
    table = spi_alloc((size_t)views.Na, 4, "t");
    S = spi_alloc((size_t)views.Na, 4, "S");
    if (spi_nufft_prepare(plan, B, grid) ||
        spi_templates_make(&spec, plan, grid, NULL, 3, 1, record, table, S))
        OK(0, "%s", spi_err_message());
    for (int i = 0; i < band.floats; i++)
        finite &= isfinite(record[i]) != 0;
    for (int a = 0; a < views.Na; a++)
        finite &= isfinite(table[a]) && isfinite(S[a]);
    OK(finite, "negative intensities are floored");
    free(B), free(grid), free(record), free(table), free(S);
}

int main(void)
{
    static float scale[64], add[64];
    spi_nufft *plan;
    float *A = scene_A(SCENE_N, scene_dx), *grid;

    if (scene_detector(&det) || scene_rings(&g) || spi_ring_map_init(&map, &g, &det) ||
        spi_band_init(&band, &g, g.R - 1) ||
        spi_nufft_new(SCENE_N, scene_dx, 1e-6, &plan) ||
        spi_nufft_grid_new(plan, 1, &grid) || spi_nufft_prepare(plan, A, grid)) {
        OK(0, "%s", spi_err_message());
        return tap_done();
    }
    for (int i = 0; spi_likelihoods[i]; i++)
        if (spi_likelihoods[i]->rings)
            check_row(spi_likelihoods[i], plan, grid);
    for (int r = 0; r < 64; r++) {
        scale[r] = 1 - 0.01F * (float)r;
        add[r] = 0.001F * (float)r;
    }
    ring_scale = scale, ring_add = add;
    check_row(spi_likelihood_of(SPI_PHOTONS), plan, grid);
    ring_scale = ring_add = NULL;
    check_friedel(plan, grid);
    check_means(plan, grid);
    check_views(plan, grid);
    check_floor(plan, A);
    free(A);
    free(grid);
    spi_nufft_free(plan);
    spi_band_clear(&band);
    spi_ring_map_clear(&map);
    spi_rings_clear(&g);
    spi_detector_clear(&det);
    return tap_done();
}
