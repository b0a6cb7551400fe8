/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The origin of q from the two sides of single images: (J13), (J14). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "match/friedel.h"
#include "tap.h"

enum { SIDE = 32, PIXELS = SIDE * SIDE, IMAGES = 400, SPECKLES = 60 };
static const double pixel = 1e-3;
static float images[IMAGES * PIXELS], mean[PIXELS];

static spi_err detector(struct spi_detector *d, int bin)
{
    spi_err err = spi_detector_init(d, 1, SIDE * bin, SIDE * bin);

    for (int p = 0; p < d->n_pixels && !err; p++) {
        d->q[3 * p] = pixel * (p % d->nx - (d->nx - 1) / 2.0);
        d->q[3 * p + 1] = pixel * (p / d->nx - (d->ny - 1) / 2.0);
    }
    return err;
}

/* What an image shows at (x, y) pixels from the beam: waves of random phase at places
 * within 4 pixels^-1 of a particle, |sum|^2 of a real density; the same at -x, -y. */
struct view {
    double place[SPECKLES][2];
};

static double intensity(const struct view *v, double x, double y)
{
    double re = 0, im = 0;

    for (int s = 0; s < SPECKLES; s++) {
        double phase = v->place[s][0] * x + v->place[s][1] * y;

        re += cos(phase);
        im += sin(phase);
    }
    return (re * re + im * im) / SPECKLES * exp(-(x * x + y * y) / 128);
}

/* Photons of 400 views about (x, y), drifting by `drift` along x over them; still [PIXELS]:
 * what all images show besides, or NULL. */
static void make_images(double photons, double x, double y, double drift,
                        const double *still)
{
    struct spi_rng r = spi_rng_stream(3, SPI_RNG_TEST, 1);

    memset(mean, 0, sizeof mean);
    for (int k = 0; k < IMAGES; k++) {
        struct view v;
        double at = x + drift * ((double)k / IMAGES - 0.5);

        for (int s = 0; s < SPECKLES; s++)
            for (int c = 0; c < 2; c++)
                v.place[s][c] = 0.5 * (spi_rng_uniform(&r) - 0.5);
        for (int p = 0; p < PIXELS; p++) {
            double u = intensity(&v, p % SIDE - (SIDE - 1) / 2.0 - at,
                                 p / SIDE - (SIDE - 1) / 2.0 - y);

            u = photons * u + (still ? still[p] : 0);
            images[k * PIXELS + p] = (float)spi_rng_poisson(&r, u);
            mean[p] += images[k * PIXELS + p] / IMAGES;
        }
    }
}

static spi_err find(const struct spi_detector *d, struct spi_friedel_result *out)
{
    spi_friedel *f = NULL;
    spi_err err = spi_friedel_new(d, SPI_PHOTONS, mean, &f);
    int each = IMAGES / SPI_FRIEDEL_BLOCKS;

    for (int b = 0; b < SPI_FRIEDEL_BLOCKS && !err; b++)
        err = spi_friedel_add(f, b, each, images + b * each * PIXELS);
    err = err ? err : spi_friedel_find(f, out);
    spi_friedel_free(f);
    return err;
}

/* (J13), (J14) of n images of one block term by term, in double, added to c. */
static void add_ref(int n, const float *block, const unsigned char *bad, double *c)
{
    double total = 0, block_total = 0, used = 0;
    double *x = calloc(PIXELS, sizeof *x), *m = calloc(PIXELS, sizeof *m);

    for (int p = 0; p < PIXELS && m; p++) {
        if (bad[p] || !(mean[p] > 0))
            continue;
        total += (double)mean[p], used++;
        for (int k = 0; k < n; k++)
            m[p] += (double)block[k * PIXELS + p] / n;
        block_total += m[p];
    }
    for (int k = 0; k < n && x && m; k++) {
        const float *K = block + k * PIXELS;
        double sum = 0;

        for (int p = 0; p < PIXELS; p++)
            sum += bad[p] || !(mean[p] > 0) ? 0 : (double)K[p];
        for (int p = 0; p < PIXELS; p++) {
            double all = (double)mean[p], most = 6 * sqrt(all) + 3,
                   v = (double)K[p] - sum / block_total * m[p];

            v = v > most ? most : v < -most ? -most : v;
            x[p] = bad[p] || !(all > 0) ? 0 : v / sqrt(0.4 * total / used + all);
        }
        for (int p = 0; p < PIXELS; p++)
            for (int q = 0; q < PIXELS; q++)
                if (p != q)
                    c[(p / SIDE + q / SIDE) * (2 * SIDE - 1) + p % SIDE + q % SIDE] +=
                        x[p] * x[q];
    }
    free(x);
    free(m);
}

static void literal(void)
{
    enum { FEW = 5, PLACES = (2 * SIDE - 1) * (2 * SIDE - 1) };
    static double want[PLACES], got[PLACES];
    struct spi_detector d;
    spi_friedel *f = NULL;
    double worst = 0, most = 0;
    spi_err err = detector(&d, 1);

    make_images(20, 1, 0.5, 0, NULL);
    for (int p = 0; p < PIXELS && !err; p++)
        d.bad[p] = p % 7 == 0;
    err = err ? err : spi_friedel_new(&d, SPI_PHOTONS, mean, &f);
    err = err ? err : spi_friedel_add(f, 0, 3, images); /* three, and two: in pairs */
    err = err ? err : spi_friedel_add(f, 4, FEW - 3, images + 3 * PIXELS);
    err = err ? err : spi_friedel_sums(f, got);
    add_ref(3, images, d.bad, want);
    add_ref(FEW - 3, images + 3 * PIXELS, d.bad, want);
    for (int i = 0; i < PLACES; i++) {
        worst = fmax(worst, fabs(got[i] - want[i]));
        most = fmax(most, fabs(want[i]));
    }
    /* float transforms of 64 x 64 points: the error of a sum is some ten roundings of the
     * sum of all squares, which the largest sum is a third of */
    OK(!err && spi_friedel_cells(f) == SIDE && worst < 100 * 0x1p-24 * most,
       "sums over pairs, by transforms and term by term: %.1e of %.1e", worst, most);
    spi_friedel_free(f);
    spi_detector_clear(&d);
}

static void finds(double photons, double x, double y, const double *still, const char *what)
{
    struct spi_detector d;
    struct spi_friedel_result r = {0};
    spi_err err = detector(&d, 1);
    double far, sigma;

    make_images(photons, x, y, 0, still);
    err = err ? err : find(&d, &r);
    far = hypot(r.at[0] / pixel - x, r.at[1] / pixel - y);
    sigma = hypot(r.sigma[0], r.sigma[1]) / pixel;
    /* 0.05: half of what is asked for; and 4 standard errors */
    OK(!err && r.known && r.pixel == pixel && far < 0.05 + 4 * sigma && sigma < 0.1,
       "%s, %g: %.3f %.3f px (+- %.3f), in truth %g %g; %.0f times the noise, %.2f on both "
       "sides",
       what, photons, r.at[0] / pixel, r.at[1] / pixel, sigma, x, y, r.stands_out, r.both);
    spi_detector_clear(&d);
}

/* Half of the detector alone has no pairs; a hundredth of a photon says nothing; nor do images
 * of chance. */
static void not_known(void)
{
    struct spi_detector d;
    struct spi_friedel_result r = {.known = true};
    spi_err err = detector(&d, 1);

    make_images(5, 0, 0, 0, NULL);
    for (int p = 0; p < PIXELS && !err; p++)
        d.bad[p] = p % SIDE < SIDE / 2;
    err = err ? err : find(&d, &r);
    OK(!err && !r.known, "half of a detector: not known (%.2f on both sides)", r.both);
    for (int p = 0; p < PIXELS; p++)
        d.bad[p] = 0;
    make_images(1e-3, 0, 0, 0, NULL);
    err = err ? err : find(&d, &r);
    OK(!err && !r.known, "too few photons: not known (%.1f times the noise)", r.stands_out);
    static double still[PIXELS];
    for (int p = 0; p < PIXELS; p++)
        still[p] = 10 * exp(-hypot(p % SIDE - 10, p / SIDE - 20) / 8);
    make_images(0, 0, 0, 0, still);
    err = err ? err : find(&d, &r);
    OK(!err && !r.known, "one picture and noise: not known (%.1f times the noise)",
       r.stands_out);
    spi_detector_clear(&d);
}

/* Each of the blocks says where the beam is. */
static void moves(void)
{
    struct spi_detector d;
    struct spi_friedel_result r = {0};
    spi_err err = detector(&d, 1);

    make_images(20, 0, 0, 2, NULL);
    err = err ? err : find(&d, &r);
    NEED(!err && r.known && r.n_blocks == SPI_FRIEDEL_BLOCKS);
    /* between the middles of the first and last blocks: 2 px by 19/20; 0.45: a fifth of the
     * way, as the weights are those of all blocks, and noise of 0.03 */
    OK(fabs((r.block[19][0] - r.block[0][0]) / pixel - 1.9) < 0.45 &&
           fabs((r.block[19][1] - r.block[0][1]) / pixel) < 0.15,
       "a beam that moves by 1.9 px from the first block to the last: %.2f %.2f",
       (r.block[19][0] - r.block[0][0]) / pixel, (r.block[19][1] - r.block[0][1]) / pixel);
    spi_detector_clear(&d);
}

int main(void)
{
    static double panels[PIXELS], streak[PIXELS];

    for (int p = 0; p < PIXELS; p++) {
        panels[p] = (p % SIDE < SIDE / 2 ? 4 : 1) * (p / SIDE < SIDE / 2 ? 2 : 1);
        streak[p] = p / SIDE > 13 && p / SIDE < 17 && p % SIDE > 15 ? 20 : 0.1;
    }
    literal();
    finds(20, 0, 0, NULL, "right");
    finds(20, 0.5, -0.25, NULL, "half a pixel");
    finds(20, -5, 2, NULL, "five pixels");
    finds(1, 1, 1, NULL, "few photons");
    finds(20, 1, -1, panels, "a background that differs from quarter to quarter");
    finds(20, 1, -1, streak, "a streak to one side");
    not_known();
    moves();
    return tap_done();
}
