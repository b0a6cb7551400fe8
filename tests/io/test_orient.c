/* SPDX-License-Identifier: GPL-3.0-or-later */
/* orientations.h5 and the quaternions of image files. */
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/rng.h"
#include "h5_test.h"
#include "io/orient.h"
#include "io_test.h"
#include "math/rot.h"
#include "tap.h"

enum { N = 37 };

static double quat[N][4];
static float score[N], margin[N], fluence[N], entropy[N], misfit[N];
static uint8_t half[N];

static void make_content(void)
{
    struct spi_rng r = spi_rng_stream(1, SPI_RNG_TEST, 0);

    for (int i = 0; i < N; i++) {
        spi_rot_random(&r, quat[i]);
        score[i] = (float)spi_rng_normal(&r);
        margin[i] = (float)spi_rng_uniform(&r);
        fluence[i] = (float)spi_rng_uniform(&r);
        entropy[i] = (float)spi_rng_uniform(&r);
        misfit[i] = (float)spi_rng_normal(&r);
        half[i] = (uint8_t)(1 + i % 2);
    }
}

static void round_trip(void)
{
    double shift[2][2] = {{1, 0}, {-0.25, 2}};
    static double drift[N][2] = {{0, 0}, {0.5, -1}};
    const struct spi_orientations o = {.n = N,
                                       .quat = quat[0],
                                       .score = score,
                                       .margin = margin,
                                       .fluence = fluence,
                                       .half = half,
                                       .entropy = entropy,
                                       .misfit = misfit,
                                       .moved = {true, {1e-3, -2e-3}, {1.5, -3}, "ab12"},
                                       .places = {2, 0.125, shift, 0.5, "cd34"},
                                       .drift = drift};
    const struct spi_orientations few = {.n = N, .quat = quat[0]};
    struct spi_orientations back;
    const char *path = in_tmp("o.h5");
    double worst = 0;

    spi_err err = spi_orientations_write(path, &o, "{\"seed\": 3}");
    OK(err == SPI_OK && spi_orientations_read(path, &back) == SPI_OK && back.n == N,
       "written and read %s", err ? spi_err_message() : "");
    for (int i = 0; i < 4 * N; i++)
        worst = fmax(worst, fabs(back.quat[i] - quat[i / 4][i % 4]));
    OK(worst <= 4 * 0x1p-53, "quaternions, made unit again (%.2g)",
       worst); /* ~4 roundings */
    OK(!memcmp(back.score, score, sizeof score) &&
           !memcmp(back.margin, margin, sizeof margin) &&
           !memcmp(back.fluence, fluence, sizeof fluence) && !memcmp(back.half, half, N) &&
           !memcmp(back.entropy, entropy, sizeof entropy) &&
           !memcmp(back.misfit, misfit, sizeof misfit),
       "score, margin, fluence, half, entropy, misfit");
    OK(back.moved.yes && back.moved.shift_invA[0] == 1e-3 &&
           back.moved.shift_invA[1] == -2e-3 && back.moved.shift_px[0] == 1.5 &&
           back.moved.shift_px[1] == -3 && strcmp(back.moved.positions_sha256, "ab12") == 0,
       "how far the centre was moved");
    OK(back.places.panels == 2 && back.places.stretch == 0.125 &&
           back.places.pixel_invA == 0.5 && back.places.shift_invA[1][0] == -0.25 &&
           back.places.shift_invA[1][1] == 2 &&
           strcmp(back.places.positions_sha256, "cd34") == 0,
       "where the panels were placed");
    OK(back.drift && !memcmp(back.drift, drift, sizeof drift), "where the beam was");
    OK(back.quat[4] != quat[0][0], "images are not mixed up (the check can fail)");
    spi_orientations_clear(&back);
    OK(spi_orientations_write(path, &few, NULL) == SPI_OK &&
           spi_orientations_read(path, &back) == SPI_OK && !back.score && !back.margin &&
           !back.fluence && !back.half && !back.entropy && !back.moved.yes &&
           !back.places.panels && !back.drift,
       "optional parts stay away");
    OK(access(in_tmp(".o.h5.spinifel-tmp"), F_OK) != 0, "no temporary file stays");
    spi_orientations_clear(&back);
}

static void image_files(void)
{
    struct spi_orientations a, b, c;
    struct spi_detector d;
    const char *path = in_tmp("images.h5");
    spi_err err = flat_detector(&d, 1, 3, 4);

    err = err ? err : good_images(path, 5, &d);
    spi_detector_clear(&d);
    OK(!err && spi_orientations_read(path, &a) == SPI_OK && a.n == 5 && !a.score,
       "ours: (5,1,4)");
    OK(fabs(a.quat[4 * 3] - cos(0.3)) < 1e-15, "the fourth image"); /* a few roundings */
    OK(spi_orientations_read(in_data("skopi_2cex_cmtip_layout_4.h5"), &b) == SPI_OK &&
           b.n == 4,
       "cmtip: (4,4)");
    OK(spi_orientations_read(in_data("skopi_2cex_spinifel_layout_4.h5"), &c) == SPI_OK &&
           !memcmp(b.quat, c.quat, 16 * sizeof(double)),
       "skopi: (4,1,4), the same");
    spi_orientations_clear(&a);
    spi_orientations_clear(&b);
    spi_orientations_clear(&c);
}

static void bad_files(void)
{
    static const hsize_t five[2] = {N, 5}, flat[1] = {4 * N}, short_dim[1] = {N - 1},
                         full[1] = {N}, right[2] = {N, 4}, pairs[2] = {N, 2};
    static double shift[N][2];
    const struct spi_orientations o = {.n = N,
                                       .quat = quat[0],
                                       .score = score,
                                       .margin = margin,
                                       .fluence = fluence,
                                       .half = half,
                                       .entropy = entropy,
                                       .misfit = misfit,
                                       .moved = {true, {1e-3, -2e-3}, {1.5, -3}, "ab12"},
                                       .places = {N, 0.125, shift, 0.5, "cd34"},
                                       .drift = shift};
    const char *path = in_tmp("bad.h5");
    struct spi_orientations back;
    double value[5 * N];
    const struct {
        const char *name;
        int rank;
        const hsize_t *dim;
        double value;
        const char *says;
    } bad[] = {
        {"orientations", 2, five, 0.5,
         "has shape (37, 5); need (n, 4) or (n, particles, 4)"},
        {"orientations", 1, flat, 0.5, "has shape (148); need (n, 4)"},
        {"orientations", 2, right, 0, "quaternion 0 has norm 0; need 1"},

        {"score", 1, short_dim, 1, "'score' has shape (36); need (37)"},
        {"half", 1, full, 3, "half of image 0 is 3; need 0 to 2"},
        {"panel_shift", 2, five, 1, "panel_shift is not of the shape (panels, 2)"},
        {"centre_drift", 2, pairs, (double)NAN,
         "centre_drift of image 0 is no finite number"},
        {"centre_drift", 2, five, 1, "'centre_drift' has shape (37, 5); need (37, 2)"},
        {"panel_shift", 2, pairs, (double)NAN,
         "panel_shift of panel 0 is no finite number"},
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        for (int k = 0; k < 5 * N; k++)
            value[k] = bad[i].value;
        spi_err err = spi_orientations_write(path, &o, NULL);
        hid_t file = to_change(path);
        replace(file, bad[i].name, H5T_IEEE_F64LE, bad[i].rank, bad[i].dim, value);
        H5Fclose(file);
        OK(!err && spi_orientations_read(path, &back) == SPI_EFORMAT && says(bad[i].says),
           "%s", spi_err_message());
        spi_orientations_clear(&back);
    }
    hid_t file = to_change(path);
    H5Ldelete(file, "orientations", H5P_DEFAULT);
    H5Fclose(file);
    OK(spi_orientations_read(path, &back) == SPI_EFORMAT &&
           says("no dataset 'orientations'; it has: centre_drift, entropy, fluence, half, "
                "margin, "
                "misfit, panel_shift, score"),
       "%s", spi_err_message());
    OK(spi_orientations_read(in_tmp("absent.h5"), &back) == SPI_EIO, "%s",
       spi_err_message());
}

/* An image without an orientation: four NaN, half 0, and why. */
static void without(void)
{
    const char *path = in_tmp("without.h5");
    uint8_t aside[N] = {0};
    struct spi_orientations o = {.n = N,
                                 .quat = quat[0],
                                 .score = score,
                                 .margin = margin,
                                 .fluence = fluence,
                                 .half = half,
                                 .entropy = entropy,
                                 .aside = aside},
                            back;
    double kept[4], one = quat[7][0];
    spi_err err;

    memcpy(kept, quat[7], sizeof kept);
    spi_orientations_none(&o, 7);
    aside[7] = 2;
    err = spi_orientations_write(path, &o, NULL);
    OK(!err && spi_orientations_read(path, &back) == SPI_OK && back.n == N &&
           spi_orientations_count(&back) == N - 1 && !spi_orientations_has(&back, 7) &&
           spi_orientations_has(&back, 8),
       "one image of %d without an orientation is read as such", N);
    OK(isnan(back.score[7]) && isnan(back.margin[7]) && isnan(back.entropy[7]) &&
           back.fluence[7] == 0 && back.half[7] == 0 && back.aside[7] == 2 &&
           back.aside[8] == 0 && !isnan(back.score[8]),
       "its score is not a number, its fluence and its half are 0");
    spi_orientations_clear(&back);
    quat[7][0] = one; /* one number and three NaN are damage */
    OK(spi_orientations_write(path, &o, NULL) == SPI_EINVAL, "%s", spi_err_message());
    memcpy(quat[7], kept, sizeof kept);
    err = spi_orientations_write(path, &o, NULL);
    OK(!err && spi_orientations_read(path, &back) == SPI_EFORMAT &&
           says("half of image 7 is 0, but it has an orientation"),
       "%s", spi_err_message());
}

static void bad_writes(void)
{
    const struct spi_orientations none = {.quat = quat[0]};
    struct spi_orientations o = {.n = N, .quat = quat[0], .score = score};
    const char *path = in_tmp("bad_write.h5");
    struct rlimit old, small;
    int told = 0, n = 0;

    unlink(path);
    OK(spi_orientations_write(path, &none, NULL) == SPI_EINVAL, "%s", spi_err_message());
    quat[5][0] += 0.1;
    OK(spi_orientations_write(path, &o, NULL) == SPI_EINVAL && says("quaternion 5"), "%s",
       spi_err_message());
    quat[5][0] -= 0.1;
    OK(spi_orientations_write(in_tmp("no/o.h5"), &o, NULL) == SPI_EIO, "%s",
       spi_err_message());
    getrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_IGN);
    for (rlim_t limit = 0; limit < 9000; limit += 300, n++) { /* stands for a full disk */
        small = (struct rlimit){limit, old.rlim_max};
        setrlimit(RLIMIT_FSIZE, &small);
        spi_err err = spi_orientations_write(path, &o, NULL);
        setrlimit(RLIMIT_FSIZE, &old);
        told += err == SPI_EIO && says("File too large") && access(path, F_OK) &&
                access(in_tmp(".bad_write.h5.spinifel-tmp"), F_OK);
        if (err == SPI_OK)
            unlink(path);
    }
    OK(told > 5 && told == (8192 + 299) / 300, "disk full: %d of %d sizes, with the reason",
       told, n);
}

int main(void)
{
    make_tmp("orient");
    make_content();
    round_trip();
    image_files();
    bad_files();
    without();
    make_content();
    bad_writes();
    return tap_done();
}
