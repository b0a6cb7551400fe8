/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Pixels that cannot be signal are masked and named; signal is not. */
#include <hdf5.h>
#include <unistd.h>

#include "base/log.h"
#include "base/rng.h"
#include "h5_test.h"
#include "io/survey.h"
#include "io_test.h"
#include "tap.h"

enum { SIDE = 40, NP = SIDE * SIDE, MOST = 300 };

static struct spi_detector det;
static float image[MOST][NP];

/* Expected counts fall from the middle to the edge by a factor of 10^4; speckles four
 * pixels wide, others in each image (fixed: the same in all, as of one orientation). */
static void fill(int n, double photons, bool poisson, bool fixed)
{
    for (int k = 0; k < n; k++) {
        struct spi_rng rng = spi_rng_stream(7, SPI_RNG_TEST, (uint64_t)(fixed ? 0 : k));
        double wave[12][3], sum = 0;
        static double mean[NP];

        for (int w = 0; w < 12; w++)
            for (int i = 0; i < 3; i++)
                wave[w][i] = spi_rng_uniform(&rng);
        for (int p = 0; p < NP; p++) {
            double y = p / SIDE - (SIDE - 1) / 2.0, x = p % SIDE - (SIDE - 1) / 2.0, re = 0,
                   im = 0;

            for (int w = 0; w < 12; w++) {
                double a =
                    2 * M_PI *
                    ((wave[w][0] - 0.5) * x / 4 + (wave[w][1] - 0.5) * y / 4 + wave[w][2]);
                re += cos(a);
                im += sin(a);
            }
            mean[p] = (re * re + im * im) * pow(1 + (x * x + y * y) / 4, -1.9);
            sum += mean[p];
        }
        if (fixed) /* other photons of the same speckles */
            rng = spi_rng_stream(8, SPI_RNG_TEST, (uint64_t)k);
        for (int p = 0; p < NP; p++) {
            double m = mean[p] * photons / sum;

            image[k][p] = (float)(poisson ? (double)spi_rng_poisson(&rng, m) : m);
        }
    }
}

/* Write images 0 ... n-1 as `type` into `name`, open, survey. */
static spi_err survey(int n, const char *name, hid_t type, struct spi_survey *s,
                      struct spi_images **im)
{
    const hsize_t dim[4] = {(hsize_t)n, 1, SIDE, SIDE};
    const char *path = in_tmp("survey.h5");
    spi_err err = good_images(path, n, &det);
    hid_t file = to_change(path);

    *im = NULL;
    H5Ldelete(file, "photons", H5P_DEFAULT);
    H5Ldelete(file, "intensities", H5P_DEFAULT);
    if (!err)
        err = spi_h5_write(file, path, name, type, H5T_NATIVE_FLOAT, 4, dim, image);
    H5Fclose(file);
    if (!err)
        err = spi_images_open(path, im);
    return err ? err : spi_survey(*im, s);
}

static int64_t found(const struct spi_survey *s)
{
    return s->n[SPI_SURVEY_INVALID] + s->n[SPI_SURVEY_FULL] + s->n[SPI_SURVEY_HOT];
}

/* ---- nothing is wrong --------------------------------------------------------------- */

static void clean(void)
{
    static const struct {
        int n;
        double photons;
        bool poisson, fixed;
    } c[] = {{300, 3, true, false},   {300, 30, true, false},    {200, 1e3, true, false},
             {100, 1e6, true, false}, {100, 1e-9, false, false}, {40, 30, true, true},
             {40, 1e3, true, true},   {40, 1e6, true, true},     {9, 1e4, true, true},
             {9, 1, false, true},     {8, 2, true, false}};

    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct spi_survey s;
        struct spi_images *im;

        fill(c[i].n, c[i].photons, c[i].poisson, c[i].fixed);
        spi_err err = survey(c[i].n, c[i].poisson ? "photons" : "intensities",
                             c[i].poisson ? H5T_STD_U32LE : H5T_IEEE_F32LE, &s, &im);

        OK(!err && found(&s) == 0 && s.n_dead == 0 && s.not_whole == 0,
           "%d %s images of %g %s: nothing is masked", c[i].n,
           c[i].fixed ? "equal" : "different", c[i].photons,
           c[i].poisson ? "photons" : "(noise-free)");
        spi_images_close(im);
    }
}

/* ---- one thing is wrong ------------------------------------------------------------- */

static void set_pixel(int n, int pixel, double value)
{
    for (int k = 0; k < n; k++)
        image[k][pixel] = (float)value;
}

static void gaps(void)
{
    static const struct {
        double value;
        enum spi_survey_kind kind;
        const char *name;
        bool real; /* as floats */
    } c[] = {{-1, SPI_SURVEY_INVALID, "-1", true},
             {NAN, SPI_SURVEY_INVALID, "NaN", true},
             {65535, SPI_SURVEY_FULL, "65535", false},
             {65535, SPI_SURVEY_FULL, "65535 as a float", true},
             {4294967295.0, SPI_SURVEY_FULL, "2^32 - 1", true}};
    const int n = 200, row = 22;

    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct spi_survey s;
        struct spi_images *im;
        static float back[NP];

        fill(n, 300, true, false);
        for (int p = row * SIDE; p < (row + 2) * SIDE; p++)
            set_pixel(n, p, c[i].value);
        spi_err err =
            survey(n, "photons", c[i].real ? H5T_IEEE_F32LE : H5T_STD_U16LE, &s, &im);
        OK(!err && s.n[c[i].kind] == 2 * SIDE && found(&s) == 2 * SIDE &&
               s.listed[0].pixel == row * SIDE && s.n_listed == SPI_SURVEY_LISTED &&
               spi_images_read(im, 150, 1, back) == SPI_OK && back[row * SIDE] == 0 &&
               back[0] == image[150][0],
           "a gap that holds %s: %lld pixels", c[i].name, (long long)found(&s));
        spi_images_close(im);
    }
}

static void hot(void)
{
    static const struct {
        int n_pixels, pixel[3];
        double photons, value;
        const char *name;
        bool noise;
    } c[] = {{1, {205}, 300, 500, "one pixel of 500", false},
             {1, {205}, 1, 3, "one of 3 where there is next to nothing", false},
             {1, {205}, 300, 200, "one with noise", true},
             {1, {0}, 300, 900, "a corner", false},
             {2, {205, 206}, 300, 5000, "two neighbours", false},
             {3, {205, 206, 245}, 300, 5000, "three neighbours", false},
             {1, {20 * SIDE + 21}, 300, 1e5, "one beside the middle", false}};
    const int n = 200;

    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct spi_survey s;
        struct spi_images *im;
        struct spi_rng rng = spi_rng_stream(9, SPI_RNG_TEST, 0);

        fill(n, c[i].photons, true, false);
        for (int j = 0; j < c[i].n_pixels; j++)
            for (int k = 0; k < n; k++)
                image[k][c[i].pixel[j]] =
                    (float)(c[i].noise ? (double)spi_rng_poisson(&rng, c[i].value)
                                       : c[i].value);
        spi_err err = survey(n, "photons", H5T_STD_U32LE, &s, &im);
        OK(!err && s.n[SPI_SURVEY_HOT] == c[i].n_pixels && found(&s) == c[i].n_pixels &&
               s.listed[0].pixel == c[i].pixel[0] &&
               fabs(s.listed[0].mean / c[i].value - 1) < 0.1,
           "%s: %lld hot", c[i].name, (long long)s.n[SPI_SURVEY_HOT]);
        spi_images_close(im);
    }
}

/* What is not so in every image is not the detector's. */
static void doubtful(void)
{
    const int n = 100;
    struct spi_survey s;
    struct spi_images *im;
    spi_err err;

    fill(n, 300, true, false);
    for (int k = 0; k < n; k += 2)
        image[k][205] = 60000;
    err = survey(n, "photons", H5T_STD_U16LE, &s, &im);
    OK(!err && found(&s) == 0, "bright in half of the images: not masked");
    spi_images_close(im);

    fill(n, 300, true, false);
    image[33][205] = NAN;
    image[35][206] = -2;
    err = survey(n, "photons", H5T_IEEE_F32LE, &s, &im);
    OK(err == SPI_EFORMAT && says("2 pixels (panel 0, row 5, column 5, the first) are") &&
           says("2 times in the 100 looked at"),
       "%s", err ? spi_err_message() : "read");
    spi_images_close(im);

    fill(n, 300, true, false);
    for (int k = 0; k < n; k++)
        for (int p = 0; p < NP; p++)
            image[k][p] -= 0.3F * (float)(p % 3);
    err = survey(n, "intensities", H5T_IEEE_F32LE, &s, &im);
    OK(err == SPI_EFORMAT && says("a pedestal seems to be subtracted"), "%s",
       err ? spi_err_message() : "read");
    spi_images_close(im);

    fill(n, 300, true, false);
    image[3][417] = 1.5F;
    err = survey(n, "photons", H5T_IEEE_F32LE, &s, &im);
    OK(!err && s.not_whole > 0 && s.not_whole < 1e-4 && s.not_whole_image == 3 &&
           s.not_whole_pixel == 417 && s.not_whole_value == 1.5,
       "a fraction of a photon is named");
    spi_images_close(im);

    for (int kind = 0; kind < 2; kind++) { /* also where a hot pixel is no multiple */
        fill(n, 300, true, false);
        for (int k = 0; k < n; k++)
            for (int p = 0; p < NP; p++)
                image[k][p] *= 37.5F;
        set_pixel(n, 205, 3001.7);
        err = survey(n, kind ? "photons" : "intensities", H5T_IEEE_F32LE, &s, &im);
        OK(!err && s.gain == 37.5 && s.n[SPI_SURVEY_HOT] == 1, "multiples of %g", s.gain);
        spi_images_close(im);
    }
    fill(n, 300, true, false);
    err = survey(n, "photons", H5T_STD_U16LE, &s, &im);
    OK(!err && s.gain == 0, "photons are no multiples of another unit");
    spi_images_close(im);

    fill(n, 3e4, true, false);
    for (int p = 15 * SIDE; p < 17 * SIDE; p++)
        set_pixel(n, p, 0);
    err = survey(n, "photons", H5T_STD_U32LE, &s, &im);
    OK(!err && found(&s) == 0 && s.n_dead > 60 && s.n_dead <= 2 * SIDE &&
           s.dead / SIDE == 15, /* rings in the corners are too small to tell */
       "a gap of zeros is told (%lld pixels), not masked", (long long)s.n_dead);
    spi_images_close(im);

    fill(7, 300, true, false);
    set_pixel(7, 205, 65535);
    err = survey(7, "photons", H5T_STD_U16LE, &s, &im);
    OK(!err && found(&s) == 0, "seven images are too few to tell");
    spi_images_close(im);

    fill(8, 300, true, false);
    for (int p = 0; p < NP; p++)
        set_pixel(8, p, 65535);
    err = survey(8, "photons", H5T_STD_U16LE, &s, &im);
    OK(err == SPI_EFORMAT && says("nothing can be used"), "%s",
       err ? spi_err_message() : "read");
    spi_images_close(im);
}

/* The same pixels masked: the same fingerprint of the mask. */
static void fingerprints(void)
{
    struct spi_survey s;
    struct spi_images *im;
    char hex[3][65];

    for (int k = 0; k < 3; k++) {
        hex[k][0] = '\0';
        fill(50, 300 + k, true, false);
        set_pixel(50, 205 + (k == 2), 65535);
        if (survey(50, "photons", H5T_STD_U16LE, &s, &im) == SPI_OK)
            spi_images_mask_sha256(im, hex[k]);
        spi_images_close(im);
    }
    OK(strlen(hex[0]) == 64 && strcmp(hex[0], hex[1]) == 0 && strcmp(hex[0], hex[2]) != 0,
       "the fingerprint of a mask is that of its pixels");
}

int main(void)
{
    make_tmp("survey");
    spi_log_set_level(SPI_LOG_QUIET);
    if (flat_detector(&det, 1, SIDE, SIDE))
        return 1;
    clean();
    gaps();
    hot();
    doubtful();
    fingerprints();
    spi_detector_clear(&det);
    return tap_done();
}
