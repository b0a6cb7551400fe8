/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The diameter's estimate over defects of the images (benches/diameter.sh).
 *   bench_diameter NAME STRUCTURE ASSEMBLY SIDE RESOLUTION_A ENERGY_EV IMAGES STOP_PX
 * One line a case on stdout: name, largest atom distance, pixels, images, photons, defect,
 * estimate, its error, estimate over distance, what it is from, images and pixels left out,
 * or why there is none. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "match/diameter.h"
#include "math/rot.h"
#include "sim/detector.h"
#include "sim/model.h"

enum { FIRST_SEED = 11 };

struct set {
    const char *name;
    struct spi_detector det;
    struct spi_detector whole; /* the same with no pixel marked, for gaps */
    double D, total;           /* mean sum of an image over usable pixels, electrons^2 */
    int n;
    float (*F)[2]; /* [n][pixels] transform of one particle */
};

/* What is wrong with the images. */
struct defect {
    const char *name;
    double doublets, background; /* shares: of the images, of the photons */
    float saturation;            /* counts; 0: none */
    int gap;                     /* unmarked columns of zeros */
    double shift;                /* of the centre, pixels */
    double gain;                 /* 0: photons; else multiplies them */
};

static const struct defect defects[] = {
    {.name = "none"},
    {.name = "doublets 2 %", .doublets = 0.02},
    {.name = "doublets 5 %", .doublets = 0.05},
    {.name = "saturation 50", .saturation = 50},
    {.name = "saturation 20", .saturation = 20},
    {.name = "gap of zeros", .gap = 4},
    {.name = "background 10 %", .background = 0.1},
};
enum { N_DEFECTS = sizeof defects / sizeof *defects };

static spi_err make_set(struct set *s, char **arg)
{
    struct spi_structure atoms = {0};
    struct spi_structure_options how = {.assembly = atoi(arg[3]), .hydrogens = true};
    struct spi_detector_options opt = {.ny = atoi(arg[4]),
                                       .nx = atoi(arg[4]),
                                       .resolution_A = strtod(arg[5], NULL),
                                       .energy_eV = strtod(arg[6], NULL),
                                       .beam_stop_px = strtod(arg[8], NULL)};
    struct spi_model_options mopt = {0};
    struct spi_model_points points = {0};
    struct spi_model *model = NULL;
    float *W = NULL;
    spi_err err;

    s->name = arg[1];
    s->n = atoi(arg[7]);
    SPI_TRY(err = spi_structure_read(arg[2], &how, &atoms), out);
    spi_structure_centre(&atoms);
    SPI_TRY(err = spi_structure_diameter_A(&atoms, &s->D), out);
    SPI_TRY(err = spi_detector_make(&opt, &s->det), out);
    mopt.q_max_invA = spi_detector_q_corner(&s->det);
    SPI_TRY(err = spi_model_new(&atoms, &mopt, &model), out);
    SPI_TRY(err = spi_model_points_init(model, s->det.n_pixels,
                                        (const double(*)[3])s->det.q, &points),
            out);
    SPI_TRY(err = SPI_NEW(s->F, s->n * s->det.n_pixels, "images"), out);
    SPI_TRY(err = SPI_NEW(W, s->det.n_pixels, "images"), out);
    for (int k = 0; k < s->n; k++) {
        struct spi_rng r = spi_rng_stream(FIRST_SEED, SPI_RNG_ORIENTATION, (uint64_t)k);
        double quat[4];

        spi_rot_random(&r, quat);
        spi_model_slice(model, &points, quat, s->F + (size_t)k * (size_t)s->det.n_pixels,
                        W);
        for (int64_t p = 0; p < s->det.n_pixels; p++)
            s->total +=
                s->det.bad[p] ? 0 : (double)(W[p] * s->det.geometry[p]) / (double)s->n;
    }
out:
    free(W);
    spi_model_points_clear(&points);
    spi_model_free(model);
    spi_structure_clear(&atoms);
    return err;
}

/* |F_k|^2, or of two particles that nearly touch: 0.8 to 1.5 diameters apart. */
static void intensities(const struct set *s, const struct defect *d, int k,
                        struct spi_rng *r, float *image)
{
    size_t n = (size_t)s->det.n_pixels;
    const float(*one)[2] = (const float(*)[2])(s->F + (size_t)k * n);
    const float(*two)[2] = (const float(*)[2])(s->F + (size_t)((k + 1) % s->n) * n);
    bool doublet = spi_rng_uniform(r) < d->doublets;
    double apart = s->D * (0.8 + 0.7 * spi_rng_uniform(r)), z = 2 * spi_rng_uniform(r) - 1,
           a = 2 * SPI_PI * spi_rng_uniform(r),
           at[3] = {apart * sqrt(1 - z * z) * cos(a), apart * sqrt(1 - z * z) * sin(a),
                    apart * z};

    for (size_t p = 0; p < n; p++) {
        const double *q = s->det.q + 3 * p;
        double re = (double)one[p][0], im = (double)one[p][1];

        if (doublet) {
            double x = 2 * SPI_PI * (q[0] * at[0] + q[1] * at[1] + q[2] * at[2]);
            double c = cos(x), si = sin(x), re2 = (double)two[p][0],
                   im2 = (double)two[p][1];

            re += c * re2 - si * im2;
            im += c * im2 + si * re2;
        }
        image[p] = (float)((re * re + im * im) * (double)s->det.geometry[p]);
    }
}

static void damage(const struct set *s, const struct defect *d, double photons,
                   struct spi_rng *r, float *image)
{
    double usable = 0, fluence = 0.5 + spi_rng_uniform(r);

    for (int64_t p = 0; p < s->det.n_pixels; p++)
        usable += !s->det.bad[p];
    for (int64_t p = 0; p < s->det.n_pixels; p++) {
        double flat = d->background * s->total / usable / (1 - d->background);
        int x = (int)(p % s->det.nx), middle = s->det.nx / 2;
        double v = fluence * ((double)image[p] + flat);

        if (photons > 0)
            v = (double)spi_rng_poisson(r, v * photons / s->total);
        if (d->saturation > 0)
            v = fmin(v, (double)d->saturation);
        if (x >= middle + 3 && x < middle + 3 + d->gap)
            v = 0;
        image[p] = s->det.bad[p] ? 0 : (float)v;
    }
}

static spi_err estimate(const struct set *s, const struct defect *d, double photons,
                        struct spi_diameter_result *found,
                        struct spi_diameter_pixels *aside)
{
    spi_diameter *e = NULL;
    float *image = NULL;
    spi_err err;

    SPI_TRY(err =
                spi_diameter_new(&s->det, photons > 0 ? SPI_PHOTONS : SPI_INTENSITIES, &e),
            out);
    SPI_TRY(err = SPI_NEW(image, s->det.n_pixels, "image"), out);
    for (int pass = 0; pass < 2; pass++)
        for (int k = 0; k < s->n; k++) {
            struct spi_rng r = spi_rng_stream(FIRST_SEED, SPI_RNG_PHOTONS, (uint64_t)k);

            intensities(s, d, k, &r, image);
            damage(s, d, photons, &r, image);
            SPI_TRY(err = pass ? spi_diameter_add(e, &s->det, 1, image)
                               : spi_diameter_look(e, &s->det, 1, image),
                    out);
        }
    err = spi_diameter_estimate(e, found);
    *aside = spi_diameter_left_out(e);
out:
    spi_diameter_free(e);
    free(image);
    return err;
}

static void tell(const struct set *s, const struct defect *d, double photons)
{
    struct spi_diameter_result r = {0};
    struct spi_diameter_pixels aside = {0};
    spi_err err;

    if (d->saturation > 0 && !(photons > 0))
        return;
    err = estimate(s, d, photons, &r, &aside);
    printf("%s,%.1f,%d,%d,%g,%s,", s->name, s->D, s->det.nx, s->n, photons, d->name);
    if (err)
        printf(",,,,,,,\"%s\"\n", spi_err_message());
    else
        printf("%.1f,%.1f,%.3f,%s,%lld,%lld,%lld,\n", r.diameter_A, r.sigma_A,
               r.diameter_A / s->D, r.from_speckles ? "speckles" : "rings",
               (long long)aside.images, (long long)aside.saturated, (long long)aside.zero);
    fflush(stdout);
    spi_diameter_result_clear(&r);
}

int main(int argc, char **argv)
{
    static const double photons[] = {0, 1e5, 1e4, 1e3, 1e2};
    struct set s = {0};

    if (argc != 9 || make_set(&s, argv)) {
        fprintf(stderr, "bench_diameter: %s\n",
                argc == 9 ? spi_err_message()
                          : "needs NAME STRUCTURE ASSEMBLY SIDE RESOLUTION_A ENERGY_EV "
                            "IMAGES STOP_PX");
        return 1;
    }
    for (size_t i = 0; i < sizeof photons / sizeof *photons; i++)
        for (size_t d = 0; d < N_DEFECTS; d++)
            tell(&s, &defects[d], photons[i]);
    spi_detector_clear(&s.det);
    free(s.F);
    return 0;
}
