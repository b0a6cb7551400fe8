/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Up to which resolution a result stands, what limits it, what more images would bring, and
 * what speaks against there being a result. */
#include <math.h>
#include <string.h>

#include "mtip/validation.h"
#include "tap.h"

enum { SHELLS = 10 };
static const double D = 100, q_max = 0.052; /* shells at 0.005 ... 0.05 */
static const double eps = 1e-9;             /* some roundings of double, 1e-16 each */
static double q[SHELLS], cc[SHELLS], contrast[SHELLS], fsc[SHELLS], own[SHELLS];

static void reset(void)
{
    for (int i = 0; i < SHELLS; i++) {
        q[i] = (i + 1) / (2 * D);
        cc[i] = fsc[i] = own[i] = contrast[i] = 1;
    }
}

static void curves(void)
{
    double y[SHELLS];

    reset();
    for (int i = 0; i < SHELLS; i++)
        y[i] = 1 - 0.1 * i;
    OK(fabs(spi_curve_end_A(SHELLS, q, y, 0.45, 0, q_max) * 0.0325 - 1) < eps,
       "linear between shells");
    OK(fabs(spi_curve_end_A(SHELLS, q, cc, 0.5, 0, q_max) * q_max - 1) < eps,
       "a curve that stays above reaches the edge, not the last shell");
    for (int i = 0; i < SHELLS; i++)
        y[i] = i < SHELLS - 1 ? 0.8 : 0.54;
    /* falls by 0.26 a shell: 0.5 is 0.04 / 0.26 of a shell beyond the last */
    OK(fabs(spi_curve_end_A(SHELLS, q, y, 0.5, 0, q_max) * (0.05 + 0.005 * 0.04 / 0.26) -
            1) < eps,
       "a curve that would fall below before the edge ends there");
    for (int i = 0; i < SHELLS; i++)
        y[i] = i == 4 ? 0.2 : 0.9;
    OK(fabs(spi_curve_end_A(SHELLS, q, y, 0.5, 0, q_max) * q_max - 1) < eps,
       "one low shell between good ones is passed over");
    y[5] = 0.2;
    OK(spi_curve_end_A(SHELLS, q, y, 0.5, 0, q_max) > 1 / q[4], "two are not");
    y[0] = y[1] = 0;
    OK(isinf(spi_curve_end_A(SHELLS, q, y, 0.5, 0, q_max)), "it begins below");
    OK(isfinite(spi_curve_end_A(SHELLS, q, y, 0.5, 0.014, q_max)),
       "shells below the first that counts are not looked at");
    OK(isinf(spi_curve_end_A(SHELLS, q, y, 0.5, 0, 0.001)), "no shell");
}

static double image2[SHELLS];

static struct spi_resolution found(void)
{
    const struct spi_contrast c = {.n = SHELLS, .q = q, .square = image2};
    struct spi_agreement a = {
        .q_min = q[0],
        .q_max = q_max,
        .shells = {.n = SHELLS, .q = q, .cc = cc, .contrast = contrast}};
    struct spi_fsc f = {.n_shells = SHELLS, .q = q, .fsc = fsc};
    const double *const both[2] = {own, own};
    struct spi_resolution r = {0};

    if (spi_resolution_find(&a, &f, both, &c, D, &r))
        NOTE("%s", spi_err_message());
    return r;
}

static void resolutions(void)
{
    struct spi_resolution r;

    reset();
    r = found();
    OK(r.limit == SPI_LIMIT_EDGE && fabs(r.claimed_A * q_max - 1) < eps,
       "all agrees: the edge, %.2f A", r.claimed_A);
    for (int i = 6; i < SHELLS; i++)
        cc[i] = fsc[i] = 0.1;
    r = found();
    OK(r.limit == SPI_LIMIT_IMAGES && r.claimed_A > 1 / q[6] && r.claimed_A < 1 / q[5],
       "intensities and maps end together: the images, %.2f A", r.claimed_A);
    reset();
    for (int i = 6; i < SHELLS; i++)
        fsc[i] = 0.1;
    r = found();
    OK(r.limit == SPI_LIMIT_PHASES && r.claimed_A > 1 / q[6] && r.intensities_A < 1 / q[9],
       "maps end where intensities are good: the phases, %.2f A", r.claimed_A);
    reset();
    for (int i = 6; i < SHELLS; i++)
        own[i] = 0.1;
    r = found();
    OK(r.limit == SPI_LIMIT_PHASES && r.claimed_A > 1 / q[6],
       "maps that do not reproduce their intensities: the phases, %.2f A", r.claimed_A);
    reset();
    for (int i = 6; i < SHELLS; i++)
        contrast[i] = 0.3;
    r = found();
    OK(r.limit == SPI_LIMIT_BACKGROUND && r.claimed_A > 1 / q[6] && r.claimed_A < 1 / q[5],
       "much of the intensity the same in all directions: a background, %.2f A",
       r.claimed_A);
}

static void isotropic(void)
{
    struct spi_agreement a = {
        .q_min = 0.005,
        .q_max = q_max,
        .shells = {.n = SHELLS, .q = q, .cc = cc, .contrast = contrast}};
    double at;
    const struct spi_contrast c = {.n = SHELLS, .q = q, .square = image2};

    reset();
    for (int i = 0; i < SHELLS; i++)
        image2[i] = 0.9;
    contrast[0] = contrast[1] = 0.1; /* nearly a ball */
    image2[0] = image2[1] = 0.01;
    OK(fabs(spi_isotropic_share(&a, &c, D, q_max, &at)) < eps,
       "a particle, also where it is nearly a ball");
    contrast[5] = 0.3;
    OK(spi_isotropic_share(&a, &c, D, q_max, &at) < 0.1,
       "blurred in the merge, but not in the images");
    image2[5] = 0.16;
    OK(fabs(spi_isotropic_share(&a, &c, D, q_max, &at) - 0.6) < eps && at == q[5],
       "0.6 of one shell is the same in all directions");
    OK(spi_isotropic_share(&a, &c, D, q[4], &at) < 0.1,
       "beyond the resolution of the result");
    cc[5] = 0.1;
    OK(spi_isotropic_share(&a, &c, D, q_max, &at) < 0.1,
       "a shell that is noise is not asked");
}

static void outlook(void)
{
    struct spi_intensity_shells all = {.n = SHELLS, .q = q, .cc = cc}, fewer = all;
    double half[SHELLS];
    struct spi_outlook o;

    reset();
    fewer.cc = half;
    for (int i = 0; i < SHELLS; i++) { /* S / N of 32, 16, ...; noise falls as 1 / N */
        double s = 32 * pow(0.5, i);

        cc[i] = s / (1 + s);
        half[i] = s / (2 + s);
    }
    OK(spi_outlook_find(&all, &fewer, D, q_max, &o) == SPI_OK, "outlook");
    /* c falls from 1/3 to 1/5 between the shells around 1/4, the level */
    OK(o.known && fabs(1 / o.half_A - 0.033125) < eps &&
           fabs(1 / o.twice_A - 0.043125) < eps &&
           fabs(1 / o.four_times_A - 0.048125) < eps,
       "half %.2f, twice %.2f, four times %.2f A: a shell more each", o.half_A, o.twice_A,
       o.four_times_A);
    for (int i = 0; i < SHELLS; i++)
        half[i] = cc[i];
    OK(spi_outlook_find(&all, &fewer, D, q_max, &o) == SPI_OK, "outlook");
    OK(fabs(o.twice_A / o.half_A - 1) < eps && fabs(o.four_times_A / o.half_A - 1) < eps,
       "where more images brought nothing, more will bring nothing");
}

/* ---- the verdict -------------------------------------------------------------------- */

static struct spi_validation good(void)
{
    return (struct spi_validation){.resolution = {.edge_A = 10,
                                                  .intensities_A = 10,
                                                  .maps_A = 10,
                                                  .background_A = 10,
                                                  .claimed_A = 10},
                                   .diameter_A = D,
                                   .phase_consistency = 0.98,
                                   .phase_rounds = 1,
                                   .coverage = 1,
                                   .unexplained_variance = 0.02,
                                   .outlier_images = 0.01,
                                   .isotropic = 0.1,
                                   .isotropic_q = 0.05};
}

static bool refused(struct spi_validation v, const char *begins, const char *holds)
{
    struct spi_settings set;
    spi_err err;

    spi_settings_default(&set);
    err = spi_validation_check(&v, &set);
    NOTE("%s", err ? spi_err_message() : "stands");
    return err == SPI_ENOCONV && strstr(spi_err_message(), holds) &&
           strncmp(spi_err_message() + strlen("the result fails its validation: "), begins,
                   strlen(begins)) == 0;
}

static void verdicts(void)
{
    struct spi_validation v = good();
    struct spi_settings set;

    spi_settings_default(&set);
    OK(spi_validation_check(&v, &set) == SPI_OK, "a good result stands");
    v.resolution = (struct spi_resolution){.edge_A = 10,
                                           .intensities_A = 21,
                                           .maps_A = 21,
                                           .background_A = 10,
                                           .claimed_A = 21};
    OK(spi_validation_check(&v, &set) == SPI_OK,
       "so does one that is coarser than the detector reaches");
    v.resolution.claimed_A = v.resolution.maps_A = INFINITY;
    OK(refused(v, "the intensities of the half sets agree", "their maps nowhere"),
       "no agreement");
    v.resolution = (struct spi_resolution){.edge_A = 10,
                                           .intensities_A = 24,
                                           .maps_A = 26,
                                           .background_A = 10,
                                           .claimed_A = 26};
    OK(refused(v, "the intensities of the half sets agree", "need 25.0 A"),
       "agreement like that of balls");
    v.resolution.edge_A = 24;
    OK(spi_validation_check(&v, &set) == SPI_OK,
       "where the detector reaches no further it is one");
    v = good();
    v.coverage = (double)NAN;
    OK(refused(v, "the images cross only", "too few directions"), "a number that is none");
    v = good();
    v.isotropic = 0.8;
    v.resolution.background_A = v.resolution.claimed_A = 24;
    OK(spi_validation_check(&v, &set) == SPI_OK, "a background that leaves a resolution");
    v.resolution.background_A = v.resolution.claimed_A = 30;
    OK(refused(v, "beyond 30.0 A more than 40 % of the intensity", "80 % at 20.0 A"),
       "a background");
    v = good();
    v.coverage = 0.3;
    OK(refused(v, "the images cross only 30 %", "too few directions"), "one side");
    v = good();
    v.unexplained_variance = 0.5;
    OK(refused(v, "the map leaves 50 %", "another particle"), "unexplained");
    v = good();
    v.unexplained_shells = 0.5;
    OK(spi_validation_check(&v, &set) == SPI_OK,
       "shells are asked where images are left out");
    v.left_out = 4;
    OK(refused(v, "4 images are left out", "leaves 50 % unexplained"), "which they are");
    v.left_out_least = 30;
    OK(spi_validation_check(&v, &set) == SPI_OK, "but so few may be, with an uneven light");
    v.left_out = 31;
    OK(refused(v, "31 images are left out", "more than one particle"), "not so many");
    v = good();
    v.outlier_images = 0.7;
    OK(refused(v, "the map leaves", "70 % of the images"), "outliers");
    v = good();
    v.unexplained_variance = NAN;
    v.outlier_images = 1;
    OK(refused(v, "100 % of the images are outliers", "explains none of them"),
       "nothing but outliers");
    v = good();
    v.phase_consistency = 0.5;
    OK(refused(v, "where the intensities", "phases are wrong"), "phases");
    v.resolution.background_A = INFINITY;
    OK(refused(v, "beyond 40.0 A more than", "phases are wrong"),
       "the likelier cause comes first");
}

static void limits(void)
{
    struct spi_validation v = good();
    char text[512];

    spi_validation_limit(&v, text, sizeof text);
    OK(strstr(text, "edge of the detector (10.0 A)"), "%s", text);
    v.resolution.limit = SPI_LIMIT_IMAGES;
    v.outlook = (struct spi_outlook){true, 24, 18, 15};
    spi_validation_limit(&v, text, sizeof text);
    OK(strstr(text, "the images") &&
           strstr(text, "twice as many: 18.0 A, four times: 15.0 A"),
       "%s", text);
    v.resolution.limit = SPI_LIMIT_PHASES;
    spi_validation_limit(&v, text, 30);
    OK(strlen(text) == 29, "cut where there is no room: %s", text);
}

/* What takes resolution away: more than a trifle, largest first. */
static void losses(void)
{
    struct spi_validation v = good();
    struct spi_loss loss[SPI_LOSSES_MAX];
    char text[1024];
    int n;

    v.resolution.limit = SPI_LIMIT_IMAGES;
    v.conditions = (struct spi_conditions){.images = 1000,
                                           .blank = 100,
                                           .repeated = 20,
                                           .round = 30,
                                           .doublets = 40,
                                           .unexplained = 10,
                                           .masked = 0.2,
                                           .background_ratio = 0.3,
                                           .moved_px = 1,
                                           .panels_px = 1,
                                           .drift_px = 0.5};
    spi_validation_limit(&v, text, sizeof text);
    OK(spi_validation_losses(&v, loss) == 0 && !strstr(text, "takes resolution away"),
       "at every level nothing is named: %s", text);
    v.conditions = (struct spi_conditions){.images = 1000,
                                           .blank = 200,
                                           .round = 99,
                                           .doublets = 4,
                                           .unexplained = 1,
                                           .masked = 0.25,
                                           .masked_found = 0.125,
                                           .background_ratio = 1.2,
                                           .moved_px = 1.5,
                                           .panels_px = 1.2,
                                           .drift_px = 0.7};
    n = spi_validation_losses(&v, loss);
    /* in multiples of 0.3, 0.2, 1, 0.5, 0.2, 1: 4, 1.52, 1.5, 1.4, 1.25, 1.2 */
    OK(n == 6 && strcmp(loss[0].what, "background") == 0 &&
           strcmp(loss[1].what, "images") == 0 && strcmp(loss[2].what, "centre") == 0 &&
           strcmp(loss[3].what, "drift") == 0 && strcmp(loss[4].what, "pixels") == 0 &&
           strcmp(loss[5].what, "panels") == 0,
       "largest first");
    OK(fabs(loss[0].value - 1.2) < eps && fabs(loss[1].value - 0.304) < eps &&
           fabs(loss[4].value - 0.25) < eps,
       "with their values");
    spi_validation_limit(&v, text, sizeof text);
    OK(strncmp(text, "the images: ", 12) == 0 &&
           strstr(text, "; what takes resolution away: a background of 1.2 times the "
                        "counts of the particle, 30 % of the images left out (20 % without "
                        "signal, 10 % without structure along their rings), a beam centre "
                        "1.5 pixels from that of the file, which was corrected, a beam "
                        "centre that moves by 0.7 pixels over the file, 25 % of the pixels "
                        "masked (12 % found by the program), panels up to 1.2 pixels from "
                        "where the file says, which was corrected"),
       "%s", text);
    v.conditions = (struct spi_conditions){
        .images = 10, .repeated = 3, .doublets = 2, .unexplained = 1};
    v.resolution.limit = SPI_LIMIT_PHASES;
    spi_validation_limit(&v, text, sizeof text);
    OK(strstr(text, "60 % of the images left out (30 % that repeat others, 20 % doublets, "
                    "10 % that the map does not explain)"),
       "%s", text);
    v.conditions.masked = 0.5;
    v.resolution.limit = SPI_LIMIT_BACKGROUND;
    spi_validation_limit(&v, text, sizeof text);
    OK(strstr(text, "still contain") && strstr(text, "50 % of the pixels masked") &&
           !strstr(text, "found by the program"),
       "%s", text);
    v.resolution.limit = SPI_LIMIT_EDGE;
    spi_validation_limit(&v, text, sizeof text);
    OK(spi_validation_losses(&v, loss) == 0 &&
           strcmp(text, "the edge of the detector (10.0 A)") == 0,
       "at the edge nothing was taken away");
}

int main(void)
{
    curves();
    resolutions();
    isotropic();
    outlook();
    verdicts();
    limits();
    losses();
    return tap_done();
}
