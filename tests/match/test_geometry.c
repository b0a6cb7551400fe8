/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Where panels and detector are, beside a model: images of a detector whose panels and
 * distance are not those of the list. */
#include "match/geometry.h"

#include <string.h>

#include "slice/slice_pixels.h"
#include "stage_test.h"
#include "tap.h"

/* As in test_refine.c. */
enum { N = 24, SIDE = 25, NP = SIDE * SIDE, IMAGES = 60, PANELS = 5 };
static const double tol = 1e-4, dx = 6, diameter = 62, q_min = 0.012, q_max = 0.06,
                    wavelength = 7.75, counts = 5e4;

struct scene {
    struct spi_detector told, true_one;
    struct spi_rings rings;
    spi_nufft *plan;
    float *grid, A[N * N * N], images[IMAGES][NP], inv_var[64];
    double quat[IMAGES][4], mean[64], pixel;
};

/* What is wrong with the detector. */
struct fault {
    double px[PANELS][2], stretch;
};

static spi_err detectors_init(struct scene *s, const struct fault *fault)
{
    double at[2], next[2];
    spi_err err;

    SPI_TRY(err = curved_detector(&s->told, SIDE, 0.95 * q_max, wavelength), out);
    SPI_TRY(err = curved_detector(&s->true_one, SIDE, 0.95 * q_max, wavelength), out);
    (void)spi_detector_flat(&s->told, 0, at);
    (void)spi_detector_flat(&s->told, 1, next);
    s->pixel = next[0] - at[0];
    for (int p = 0; p < NP; p++) {
        (void)spi_detector_flat(&s->told, p, at);
        for (int c = 0; c < 2; c++)
            at[c] =
                (at[c] + s->pixel * fault->px[p / (NP / PANELS)][c]) / (1 + fault->stretch);
        spi_flat_q(wavelength, at, s->true_one.q + (ptrdiff_t)3 * p);
    }
    s->told.panels = PANELS;
    s->told.ny = SIDE / PANELS;
out:
    return err;
}

static spi_err scene_init(struct scene *s, const struct fault *fault)
{
    struct spi_pixel_list l = {0};
    double sum = 0;
    spi_packed *kept = NULL;
    spi_err err;

    random_quats(21, IMAGES, s->quat);
    blob_autocorrelation(N, dx, 4, 1, s->A);
    SPI_TRY(err = detectors_init(s, fault), out);
    SPI_TRY(err = spi_rings_init(&s->rings, diameter, wavelength, q_min, q_max, 1.3), out);
    SPI_TRY(err = spi_pixel_list_init(&l, &s->true_one, 0, q_max * 1.3), out);
    SPI_TRY(err = spi_nufft_new(N, dx, tol, &s->plan), out);
    SPI_TRY(err = spi_nufft_grid_new(s->plan, 1, &s->grid), out);
    SPI_TRY(err = spi_nufft_prepare(s->plan, s->A, s->grid), out);
    SPI_TRY(err = spi_packed_new(s->plan, s->grid, &kept), out);
    SPI_TRY(err = spi_slice_pixels(&l, IMAGES, NP, (const double(*)[4])s->quat, NULL,
                                   s->plan, kept, s->images[0]),
            out);
    for (int p = 0; p < NP; p++)
        sum += (double)s->images[0][p];
    for (int k = 0; k < IMAGES; k++)
        for (int p = 0; p < NP; p++)
            s->images[k][p] *= (float)(counts / sum);
    for (int r = 0; r < s->rings.R; r++) {
        s->mean[r] = 1e-6; /* no floor */
        s->inv_var[r] = (float)(s->rings.q[r] * s->rings.q[r] / q_max / q_max);
    }
out:
    spi_packed_free(kept);
    spi_pixel_list_clear(&l);
    return err;
}

static void scene_clear(struct scene *s)
{
    free(s->grid);
    spi_nufft_free(s->plan);
    spi_rings_clear(&s->rings);
    spi_detector_clear(&s->told);
    spi_detector_clear(&s->true_one);
}

/* The equations of all images, every other one in each half set, each turned by about
 * `turn` rad from where it lies. */
static spi_err look(const struct scene *s, const struct spi_likelihood *like, double turn,
                    bool distance, bool panels, struct spi_geometry_fit *fit)
{
    enum { UNKNOWNS = SPI_GEOMETRY_PANELS + 2 * PANELS };
    static double gradient[2][UNKNOWNS], fisher[2][UNKNOWNS * UNKNOWNS];
    struct spi_geometry_sums sums = {
        UNKNOWNS, {gradient[0], gradient[1]}, {fisher[0], fisher[1]}};
    struct spi_refine_set set = {.r = {0}};
    struct spi_geometry_moves moves = {0};
    struct spi_rng rng = spi_rng_stream(5, SPI_RNG_TEST, 0);
    static float K[NP], slope[NP]; /* of a mean that is not told apart: 0 */
    spi_err err;

    memset(gradient, 0, sizeof gradient);
    memset(fisher, 0, sizeof fisher);
    SPI_TRY(err = spi_refine_set_init(&set, &s->told, &s->rings, s->rings.R, s->mean, NULL,
                                      like, s->inv_var, s->plan, s->grid),
            out);
    SPI_TRY(err = spi_geometry_moves_init(&moves, &s->told, &set.pixels), out);
    for (int k = 0; k < IMAGES; k++) {
        double R[9], E[9], M[9], w[3];
        struct spi_geometry_centre centre;

        for (int c = 0; c < 3; c++)
            w[c] = turn * spi_rng_normal(&rng);
        for (int64_t p = 0; p < set.pixels.n; p++)
            K[p] = s->images[k][set.pixels.pixel[p]];
        spi_rot_matrix(s->quat[k], R);
        spi_rot_from_vector(w, E);
        spi_rot_mul_nt(E, R, M);
        SPI_TRY(err = spi_geometry_add(&set.r, &moves, K, slope, M, gradient[k % 2],
                                       fisher[k % 2], &centre),
                out);
    }
    err = spi_geometry_solve(&sums, distance, panels, fit);
out:
    spi_geometry_moves_clear(&moves);
    spi_refine_set_clear(&set);
    return err;
}

static double worst_px(const struct spi_geometry_fit *fit, const struct fault *fault)
{
    double worst = 0;

    for (int p = 0; p < PANELS; p++)
        worst = fmax(worst, hypot(fit->panel_px[p][0] - fault->px[p][0],
                                  fit->panel_px[p][1] - fault->px[p][1]));
    return worst;
}

static const struct fault
    none = {{{0}}, 0},
    panels = {{{0.2, 0.1}, {-0.1, 0.15}, {0, 0}, {0.1, -0.2}, {0.05, 0}}, 0},
    far = {{{0}}, 0.01};

/* One step from a fault of size x leaves what is of its square: x = 0.25 pixels of the 5
 * across a speckle, (0.05)^2 of a speckle or 0.0125 pixels, four times allowed for. */
static void finds_panels(const struct spi_likelihood *like, double turn)
{
    struct scene s = {.pixel = 0};
    struct spi_geometry_fit fit = {0};
    spi_err err = scene_init(&s, &panels);

    if (!err)
        err = look(&s, like, turn, false, true, &fit);
    if (err) {
        OK(0, "%s", spi_err_message());
    } else {
        double worst = worst_px(&fit, &panels);

        OK(worst <= 0.05, "%s, turned by %g: panels within %.4f pixels", like->name, turn,
           worst);
        OK(worst_px(&fit, &none) > 0.2, "they are not where the file says");
        OK(fit.gain > 20, "each half set gains by what the other one says: %.0f", fit.gain);
    }
    spi_geometry_fit_clear(&fit);
    scene_clear(&s);
}

static void finds_distance(const struct spi_likelihood *like)
{
    struct scene s = {.pixel = 0};
    struct spi_geometry_fit fit = {0};
    spi_err err = scene_init(&s, &far);

    if (!err)
        err = look(&s, like, 0, true, false, &fit);
    if (err)
        OK(0, "%s", spi_err_message());
    else
        OK(fabs(fit.stretch - far.stretch) < 0.2 * far.stretch,
           "%s: the detector is %.4f farther", like->name, fit.stretch);
    spi_geometry_fit_clear(&fit);
    scene_clear(&s);
}

/* Nothing is wrong: the transform's error alone. */
static void finds_nothing(const struct spi_likelihood *like)
{
    struct scene s = {.pixel = 0};
    struct spi_geometry_fit fit = {0};
    spi_err err = scene_init(&s, &none);

    if (!err)
        err = look(&s, like, 0, true, true, &fit);
    if (err)
        OK(0, "%s", spi_err_message());
    else
        OK(fit.far_px < 0.01 && fabs(fit.stretch) < 0.001,
           "%s: nothing is wrong, found %.4f pixels, distance %+.5f", like->name,
           fit.far_px, fit.stretch);
    spi_geometry_fit_clear(&fit);
    scene_clear(&s);
}

int main(void)
{
    for (int i = 0; spi_likelihoods[i]; i++) {
        if (!spi_likelihoods[i]->sums)
            continue;
        finds_panels(spi_likelihoods[i], 0);
        finds_panels(spi_likelihoods[i], 0.01);
        finds_distance(spi_likelihoods[i]);
        finds_nothing(spi_likelihoods[i]);
    }
    return tap_done();
}
