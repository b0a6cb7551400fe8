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
static const struct spi_survey_options *options; /* NULL: nothing is known */
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
    return err ? err : spi_survey(*im, options, s);
}

static const char *counts_of(const struct spi_survey *s)
{
    static char text[256];

    spi_survey_counts(s, text);
    return text;
}

static int64_t found(const struct spi_survey *s)
{
    return spi_survey_masked(s);
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

        OK(!err && found(&s) == 0 && s.replaced == 0 && s.not_whole == 0 &&
               s.electronics.gain == 0 && s.saturation == 0,
           "%d %s images of %g %s: nothing is masked (%s)", c[i].n,
           c[i].fixed ? "equal" : "different", c[i].photons,
           c[i].poisson ? "photons" : "(noise-free)", counts_of(&s));
        spi_survey_clear(&s);
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
        enum spi_pixel_reason reason;
        const char *name;
        bool real; /* as floats */
    } c[] = {{-1, SPI_REASON_INVALID, "-1", true},
             {NAN, SPI_REASON_INVALID, "NaN", true},
             {65535, SPI_REASON_FULL, "65535", false},
             {65535, SPI_REASON_FULL, "65535 as a float", true},
             {4294967295.0, SPI_REASON_FULL, "2^32 - 1", true}};
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
        OK(!err && s.n[c[i].reason] == 2 * SIDE && found(&s) == 2 * SIDE &&
               s.listed[0].pixel == row * SIDE && s.n_listed == SPI_SURVEY_LISTED &&
               spi_images_read(im, 150, 1, back) == SPI_OK && back[row * SIDE] == 0 &&
               back[0] == image[150][0],
           "a gap that holds %s: %s", c[i].name, counts_of(&s));
        spi_survey_clear(&s);
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
             {1, {205}, 300, 2, "a weak one", true},
             {2, {205, 206}, 300, 5000, "two neighbours", false},
             {3, {205, 206, 245}, 300, 5000, "three neighbours", false},
             {3, {205, 206, 245}, 300, 50, "three with noise", true},
             {1, {20 * SIDE + 21}, 300, 1e5, "one beside the middle", true}};
    const int n = 200;

    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        enum spi_pixel_reason as = c[i].noise ? SPI_REASON_HOT : SPI_REASON_CONSTANT;
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
        OK(!err && s.n[as] == c[i].n_pixels && found(&s) == c[i].n_pixels &&
               s.listed[0].pixel == c[i].pixel[0] &&
               fabs(s.listed[0].mean / c[i].value - 1) <
                   0.3, /* 400 +- 20 counts, or more */
           "%s: %s", c[i].name, counts_of(&s));
        spi_survey_clear(&s);
        spi_images_close(im);
    }
}

/* Too bright in a tenth of the images; no photon; half of what should be; noise. */
static void odd(void)
{
    static const struct {
        enum spi_pixel_reason reason;
        double photons;
        int pixel;
    } c[] = {{SPI_REASON_FLICKERING, 300, 205},
             {SPI_REASON_DEAD, 3000, 12 * SIDE + 13},
             {SPI_REASON_DARK, 30000, 12 * SIDE + 13},
             {SPI_REASON_NOISY, 3000, 12 * SIDE + 13}};
    const int n = 300;

    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct spi_survey s;
        struct spi_images *im;
        spi_err err;

        fill(n, c[i].photons, true, false);
        for (int k = 0; k < n; k++) {
            float *v = &image[k][c[i].pixel];

            switch (c[i].reason) {
            case SPI_REASON_FLICKERING:
                *v += k % 10 == 3 ? 40.0F : 0.0F;
                break;
            case SPI_REASON_DEAD:
                *v = 0;
                break;
            case SPI_REASON_DARK:
                *v = floorf(*v / 4);
                break;
            default:
                *v *= k % 10 == 1 ? 10.0F : 0.0F;
                break; /* the same mean */
            }
        }
        err = survey(n, "photons", H5T_STD_U32LE, &s, &im);
        OK(!err && s.n[c[i].reason] == 1 && found(&s) == 1 &&
               s.reason[c[i].pixel] == c[i].reason,
           "a %s pixel: %lld of %lld", spi_reason_name(c[i].reason),
           (long long)s.n[c[i].reason], (long long)found(&s));
        spi_survey_clear(&s);
        spi_images_close(im);
    }
}

/* The line beside a gap collects half as much again. */
static void border(void)
{
    const int n = 300, row = 8;
    struct spi_rng rng = spi_rng_stream(10, SPI_RNG_TEST, 0);
    struct spi_survey s;
    struct spi_images *im;
    spi_err err;

    fill(n, 3e4, true, false);
    for (int p = row * SIDE; p < (row + 2) * SIDE; p++)
        set_pixel(n, p, NAN);
    for (int k = 0; k < n; k++)
        for (int p = (row + 2) * SIDE; p < (row + 3) * SIDE; p++)
            image[k][p] += (float)spi_rng_poisson(&rng, 0.5 * (double)image[k][p]);
    err = survey(n, "photons", H5T_IEEE_F32LE, &s, &im);
    OK(!err && s.n[SPI_REASON_INVALID] == 2 * SIDE && s.n[SPI_REASON_BORDER] == SIDE &&
           found(&s) == 3 * SIDE && s.reason[(row + 2) * SIDE] == SPI_REASON_BORDER,
       "a line beside a gap: %lld pixels", (long long)s.n[SPI_REASON_BORDER]);
    spi_survey_clear(&s);
    spi_images_close(im);
}

/* Values of some images only. */
static void replaced(void)
{
    const int n = 100, p = 12 * SIDE + 13;
    const struct spi_survey_options known = {.n_bad = 1, .bad = {777}},
                                    trust = {.trust = true};
    struct spi_survey s;
    struct spi_images *im;
    static float back[NP];
    double sum = 0, mean = 0;
    spi_err err;

    fill(n, 3000, true, false);
    image[33][p] = NAN;
    image[35][p + 1] = -2;
    image[36][p + 2] = 777;
    for (int q = 0; q < NP;
         q++) { /* literally: mean of the pixel, brightness of the image */
        double of = 0;

        for (int k = 0; k < n; k++)
            of += image[k][q] >= 0 && image[k][q] != 777 ? (double)image[k][q] : 0;
        of /= q >= p && q <= p + 2 ? n - 1 : n;
        if (q == p) {
            mean = -of;
            continue;
        }
        sum += (double)image[33][q];
        back[q] = (float)of;
    }
    double others = 0;
    for (int q = 0; q < NP; q++)
        others += q == p ? 0 : (double)back[q];
    options = &known;
    err = survey(n, "photons", H5T_IEEE_F32LE, &s, &im);
    options = NULL;
    OK(!err && found(&s) == 0 && s.replaced == 3 && s.replaced_images == 3 &&
           s.lacking_images == 0,
       "three values are no measurement: %lld in %lld images", (long long)s.replaced,
       (long long)s.replaced_images);
    OK(spi_images_read(im, 33, 1, back) == SPI_OK &&
           fabs((double)back[p] / (-mean * sum / others) - 1) < 1e-5 && /* floats */
           back[p + 1] == image[33][p + 1],
       "the mean of the pixel times the brightness of the image: %g, not %g",
       (double)back[p], -mean * sum / others);
    spi_survey_clear(&s);
    spi_images_close(im);

    options = &trust;
    err = survey(n, "photons", H5T_IEEE_F32LE, &s, &im);
    options = NULL;
    OK(err == SPI_EFORMAT && says("2 pixels (panel 0, row 12, column 13, the first) are") &&
           says("2 times in the 100 looked at") && says("--trust-mask"),
       "%s", err ? spi_err_message() : "read");
    spi_survey_clear(&s);
    spi_images_close(im);

    fill(n, 3000, true, false);
    for (int q = 0; q < NP / 10; q++)
        image[50][q] = NAN;
    err = survey(n, "photons", H5T_IEEE_F32LE, &s, &im);
    OK(!err && s.lacking_images == 1 && s.replaced == 0 &&
           spi_images_read(im, 50, 1, back) == SPI_OK && back[NP / 2] == 0,
       "an image that lacks a tenth of its pixels is one without signal");
    spi_survey_clear(&s);
    spi_images_close(im);
}

/* Values that electronics read. */
static void electronics(void)
{
    static const struct {
        double gain, pedestal, noise;
        bool cut;
    } c[] = {{37.5, 0, 0.3, false},
             {37.5, 37.5, 0.2, false},
             {12, -40, 0.05, false},
             {37.5, 0, 0.2, true},
             {37.5, 75, 0, false}};
    const int n = 300;

    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct spi_rng rng = spi_rng_stream(11, SPI_RNG_TEST, i);
        struct spi_survey s;
        struct spi_images *im;
        static float back[NP];
        double off = 0, missed = 0;
        spi_err err;

        fill(n, 1e4, true, false);
        for (int k = 0; k < n; k++)
            for (int p = 0; p < NP; p++) {
                double v = c[i].pedestal + c[i].gain * ((double)image[k][p] +
                                                        c[i].noise * spi_rng_normal(&rng));

                image[k][p] = (float)(c[i].cut ? fmax(0, v) : v);
            }
        err = survey(n, "intensities", H5T_IEEE_F32LE, &s, &im);
        OK(!err && found(&s) == 0 && fabs(s.electronics.gain / c[i].gain - 1) < 0.01 &&
               fabs(s.electronics.pedestal - c[i].pedestal) < 0.05 * c[i].gain &&
               fabs(s.electronics.noise - c[i].noise) < 0.02 &&
               spi_images_kind(im) == SPI_PHOTONS,
           "gain %g, pedestal %g, noise %g%s: %g, %g, %g, %lld masked", c[i].gain,
           c[i].pedestal, c[i].noise, c[i].cut ? " cut at 0" : "", s.electronics.gain,
           s.electronics.pedestal, s.electronics.noise, (long long)found(&s));
        if (err || spi_images_read(im, 7, 1, back))
            continue;
        fill(n, 1e4, true, false);
        for (int p = 0; p < NP; p++) {
            off += (double)back[p] - (double)image[7][p];
            missed += rintf(back[p]) != image[7][p];
        }
        /* 1.2 sigma^2 of the pixels at 0.3: two tails beyond half a photon are 10 % */
        OK(missed < (c[i].noise > 0.25 ? 0.1 : 0.02) * NP && fabs(off) < 0.01 * 1e4,
           "photons are back: %g of %d pixels are other ones, %g photons too many", missed,
           NP, off);
        spi_survey_clear(&s);
        spi_images_close(im);
    }
}

/* Photons from which a background was subtracted, pixel by pixel: noise below 0, but no
 * electronics.  (Less than half a photon leaves peaks that all pixels have in common.) */
static void subtracted(void)
{
    enum { GAP = 30 };
    const int n = 300;
    static const double strength[] = {1.2, 2.7, 30};

    for (int i = 0; i < 3; i++) {
        struct spi_rng rng = spi_rng_stream(12, SPI_RNG_TEST, (uint64_t)i);
        struct spi_survey s;
        struct spi_images *im;
        spi_err err;

        fill(n, 1e4, true, false);
        for (int p = 0; p < NP; p++) {
            double b = strength[i] * (1 + 0.5 * sin(0.01 * p));

            for (int k = 0; k < n; k++)
                image[k][p] += (float)((double)spi_rng_poisson(&rng, b) - b);
        }
        for (int p = 0; p < GAP; p++) /* so that some pixels are masked before */
            set_pixel(n, p, (double)NAN);
        err = survey(n, "intensities", H5T_IEEE_F32LE, &s, &im);
        OK(!err && found(&s) == GAP && s.analogue && s.electronics.gain == 0,
           "a background of %g subtracted: gain %g, noise %g, %lld masked", strength[i],
           s.electronics.gain, s.electronics.noise, (long long)found(&s));
        spi_survey_clear(&s);
        spi_images_close(im);
    }
}

static void saturated(void)
{
    const int n = 300;
    struct spi_survey s;
    struct spi_images *im;
    spi_err err;
    int64_t often = 0;

    fill(n, 1e4, true, false);
    for (int p = 0; p < NP; p++) {
        int at = 0;

        for (int k = 0; k < n; k++) {
            at += image[k][p] >= 50;
            image[k][p] = fminf(image[k][p], 50);
        }
        often += at > n / 100;
    }
    err = survey(n, "photons", H5T_STD_U16LE, &s, &im);
    OK(!err && s.saturation == 50 &&
           s.n[SPI_REASON_SATURATED] + s.n[SPI_REASON_CONSTANT] == often &&
           found(&s) == often,
       "a detector that counts to 50: %lld pixels are there often, %lld are masked",
       (long long)often, (long long)found(&s));
    spi_survey_clear(&s);
    spi_images_close(im);
}

/* What may be so or otherwise. */
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
    OK(!err && found(&s) == 1 && s.n[SPI_REASON_FLICKERING] == 1,
       "bright in half of the images");
    spi_survey_clear(&s);
    spi_images_close(im);

    fill(n, 300, true, false);
    image[7][205] = 60000;
    err = survey(n, "photons", H5T_STD_U16LE, &s, &im);
    OK(!err && found(&s) == 0, "bright in one image: no fault of the pixel (%s)",
       counts_of(&s));
    spi_survey_clear(&s);
    spi_images_close(im);

    fill(n, 300, true, false);
    for (int k = 0; k < n; k++) { /* more than a photon wide, other in each image */
        struct spi_rng rng = spi_rng_stream(12, SPI_RNG_TEST, (uint64_t)k);
        double under = 2 * spi_rng_uniform(&rng);

        for (int p = 0; p < NP; p++)
            image[k][p] -= (float)under;
    }
    err = survey(n, "intensities", H5T_IEEE_F32LE, &s, &im);
    OK(!err && s.analogue && spi_images_kind(im) == SPI_INTENSITIES && found(&s) == 0,
       "values below 0 after something was subtracted are taken as they are: %s",
       err ? spi_err_message() : counts_of(&s));
    spi_survey_clear(&s);
    spi_images_close(im);

    fill(n, 300, true, false);
    image[3][417] = 1.5F;
    err = survey(n, "photons", H5T_IEEE_F32LE, &s, &im);
    OK(!err && s.not_whole > 0 && s.not_whole < 1e-4 && s.not_whole_image == 3 &&
           s.not_whole_pixel == 417 && s.not_whole_value == 1.5,
       "a fraction of a photon is named");
    spi_survey_clear(&s);
    spi_images_close(im);

    for (int kind = 0; kind < 2; kind++) { /* also where a hot pixel is no multiple */
        fill(n, 300, true, false);
        for (int k = 0; k < n; k++)
            for (int p = 0; p < NP; p++)
                image[k][p] *= 37.5F;
        set_pixel(n, 205, 3001.7);
        err = survey(n, kind ? "photons" : "intensities", H5T_IEEE_F32LE, &s, &im);
        OK(!err && s.gain == 37.5 && s.n[SPI_REASON_CONSTANT] == 1, "multiples of %g",
           s.gain);
        spi_survey_clear(&s);
        spi_images_close(im);
    }
    fill(n, 300, true, false);
    err = survey(n, "photons", H5T_STD_U16LE, &s, &im);
    OK(!err && s.gain == 0, "photons are no multiples of another unit");
    spi_survey_clear(&s);
    spi_images_close(im);

    fill(n, 3e4, true, false);
    for (int p = 15 * SIDE; p < 17 * SIDE; p++)
        set_pixel(n, p, 0);
    err = survey(n, "photons", H5T_STD_U32LE, &s, &im);
    OK(!err && found(&s) == 2 * SIDE && s.n[SPI_REASON_DEAD] == 2 * SIDE,
       "a gap of zeros: %lld pixels", (long long)s.n[SPI_REASON_DEAD]);
    spi_survey_clear(&s);
    spi_images_close(im);

    fill(7, 300, true, false);
    set_pixel(7, 205, 65535);
    err = survey(7, "photons", H5T_STD_U16LE, &s, &im);
    OK(!err && found(&s) == 0, "seven images are too few to tell");
    spi_survey_clear(&s);
    spi_images_close(im);

    fill(8, 300, true, false);
    for (int p = 0; p < NP; p++)
        set_pixel(8, p, 65535);
    err = survey(8, "photons", H5T_STD_U16LE, &s, &im);
    OK(err == SPI_EFORMAT && says("nothing can be used"), "%s",
       err ? spi_err_message() : "read");
    spi_survey_clear(&s);
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
        spi_survey_clear(&s);
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
    odd();
    border();
    replaced();
    electronics();
    subtracted();
    saturated();
    doubtful();
    fingerprints();
    spi_detector_clear(&det);
    return tap_done();
}
