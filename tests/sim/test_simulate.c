/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The simulator: independence of workers and blocks, photon statistics, the physical scale,
 * labels and fluences, the negative control, and files. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "math/rot.h"
#include "sim/detector.h"
#include "sim/simulate.h"
#include "tap.h"

enum { SIDE = 48, NP = SIDE * SIDE, N = 300 };

static struct spi_structure particle, small;
static struct spi_model *models[2];
static struct spi_detector detector;
static struct spi_detector_options detector_options = {
    .ny = SIDE, .nx = SIDE, .energy_eV = 3000, .resolution_A = 8, .beam_stop_px = 2.5};
static float *images, *others;
static struct spi_image_truth truth, truth2;

static spi_err set_up(void)
{
    struct spi_structure_options opt = {.assembly = 0, .waters = false, .hydrogens = true};
    struct spi_model_options model = {0};
    char path[512];
    spi_err err;

    snprintf(path, sizeof path, "%s/structures/1aki.pdb", getenv("SPI_TEST_DATA"));
    SPI_TRY(err = spi_structure_read(path, &opt, &particle), out);
    SPI_TRY(err = spi_structure_read(path, &opt, &small), out);
    small.n /= 2; /* half of the chain: another particle */
    SPI_TRY(err = spi_detector_make(&detector_options, &detector), out);
    model.q_max_invA = spi_detector_q_corner(&detector);
    SPI_TRY(err = spi_model_new(&particle, &model, &models[0]), out);
    SPI_TRY(err = spi_model_new(&small, &model, &models[1]), out);
    SPI_TRY(err = SPI_NEW(images, N * NP, "images"), out);
    SPI_TRY(err = SPI_NEW(others, N * NP, "images"), out);
    SPI_TRY(err = SPI_NEW(truth.quat, 4 * N, "truth"), out);
    SPI_TRY(err = SPI_NEW(truth.label, N, "truth"), out);
    SPI_TRY(err = SPI_NEW(truth.fluence, N, "truth"), out);
    SPI_TRY(err = SPI_NEW(truth2.quat, 4 * N, "truth"), out);
    SPI_TRY(err = SPI_NEW(truth2.label, N, "truth"), out);
    SPI_TRY(err = SPI_NEW(truth2.fluence, N, "truth"), out);
    SPI_TRY(err = SPI_NEW(truth.class, N, "truth"), out);
    SPI_TRY(err = SPI_NEW(truth.background, N, "truth"), out);
    SPI_TRY(err = SPI_NEW(truth2.class, N, "truth"), out);
    SPI_TRY(err = SPI_NEW(truth2.background, N, "truth"), out);
out:
    return err;
}

static struct spi_simulator *simulator(int n_models, struct spi_simulate_options opt)
{
    struct spi_simulator *s = NULL;

    opt.n_images = N;
    opt.seed = 11;
    opt.workers = opt.workers ? opt.workers : 2;
    if (spi_simulator_new(&detector, n_models, models, &opt, &s))
        NOTE("%s", spi_err_message());
    return s;
}

/* Simulate all N images and let the simulator go; the value is its scale. */
static double run(int n_models, struct spi_simulate_options opt, float *to,
                  const struct spi_image_truth *t)
{
    struct spi_simulator *s = simulator(n_models, opt);
    double scale = s ? spi_simulator_scale(s) : (double)NAN;

    if (!s || spi_simulator_images(s, 0, N, to, t))
        NOTE("%s", spi_err_message());
    spi_simulator_free(s);
    return scale;
}

static void workers(void)
{
    struct spi_simulate_options opt = {.photons = 500, .fluence_spread = 0.3, .workers = 1};

    run(2, opt, images, &truth);
    opt.workers = 3;
    run(2, opt, others, &truth2);
    OK(memcmp(images, others, sizeof(float) * N * NP) == 0 &&
           memcmp(truth.quat, truth2.quat, sizeof(double) * 4 * N) == 0 &&
           memcmp(truth.fluence, truth2.fluence, sizeof(double) * N) == 0 &&
           memcmp(truth.label, truth2.label, sizeof(int32_t) * N) == 0,
       "1 and 3 workers give the same bits");

    struct spi_simulator *s = simulator(2, opt);

    if (spi_simulator_images(s, 17, 1, others, &truth2))
        NOTE("%s", spi_err_message());
    OK(memcmp(images + 17 * NP, others, sizeof(float) * NP) == 0,
       "an image does not depend on those before it");
    OK(memcmp(images, others, sizeof(float) * NP) != 0, "images differ");
    spi_simulator_free(s);
}

static void noise_free(void)
{
    double ref[NP], num = 0, den = 0;

    OK(fabs(run(1, (struct spi_simulate_options){0}, images, &truth) - 1) < 1e-15,
       "noise-free: |F|^2 as it is");
    spi_model_slice_ref(&particle, false, NP, (const double(*)[3])detector.q,
                        truth.quat + 4 * 7, ref);
    for (int p = 0; p < NP; p++) {
        double want = ref[p] * (double)detector.geometry[p];

        num += pow((double)images[7 * NP + p] - want, 2);
        den += want * want;
    }
    OK(sqrt(num / den) < 1e-4, /* the contract of sim/model.h */
       "image 7 is geometry x |sum over atoms|^2 at its quaternion: %.1e", sqrt(num / den));

    struct spi_rng r = spi_rng_stream(11, SPI_RNG_ORIENTATION, 7);
    double quat[4];

    spi_rot_random(&r, quat);
    OK(memcmp(quat, truth.quat + 4 * 7, sizeof quat) == 0, "orientation stream of image 7");
}

static double usable_sum(const float *image)
{
    double sum = 0;

    for (int p = 0; p < NP; p++)
        sum += detector.bad[p] ? 0 : (double)image[p];
    return sum;
}

/* Photons against the expected numbers of the same images. */
static void photons(void)
{
    struct spi_simulate_options opt = {.photons = 2000};
    double mean = 0, mean2 = 0, chi2 = 0, dev = 0, lambda = 0, pixels = 0, most = 0;
    bool whole = true;
    struct spi_simulator *s = simulator(1, opt);

    if (spi_simulator_images(s, 0, N, images, &truth))
        NOTE("%s", spi_err_message());
    opt.noise_free = true;
    run(1, opt, others, &truth2);
    for (int k = 0; k < N; k++) {
        double sum = usable_sum(others + k * NP) / N;

        mean += sum;
        mean2 += sum * sum * N;
        for (int p = 0; p < NP; p++) {
            double e = (double)others[k * NP + p], n = (double)images[k * NP + p];

            whole =
                whole && n >= 0 && fabs(n - rint(n)) <= 0 && (!detector.bad[p] || n <= 0);
            most = fmax(most, n);
            if (detector.bad[p])
                continue;
            dev += n - e;
            lambda += e;
            if (e > 0.05) {
                chi2 += (n - e) * (n - e) / e - 1;
                pixels += 2 + 1 / e; /* variance of a term, Poisson's fourth moment */
            }
        }
    }

    double spread = sqrt((mean2 - mean * mean) / N);

    OK(whole, "whole numbers, none in bad pixels");
    OK(fabs(mean - 2000) < 5 * spread + 2000 * 1e-3, /* the profile's own error */
       "mean of the expected sums: %.1f +- %.1f of 2000", mean, spread);
    OK(fabs(dev) < 5 * sqrt(lambda), "sum of deviations: %.2f sigma", dev / sqrt(lambda));
    OK(fabs(chi2) < 5 * sqrt(pixels), "chi squared: %.2f sigma", chi2 / sqrt(pixels));
    OK(most <= (double)spi_simulator_max_photons(s) &&
           (double)spi_simulator_max_photons(s) < 10 * most,
       "largest count %.0f, bound %lld", most, (long long)spi_simulator_max_photons(s));
    OK(spi_simulator_kind(s) == SPI_PHOTONS, "photons are photons");
    spi_simulator_free(s);
}

/* (S11) by hand: r_e^2 in A^2, 1 um^2 = 1e8 A^2. */
static void fluence(void)
{
    struct spi_simulate_options opt = {.fluence_ph_um2 = 1e12};
    double re = 2.8179403e-5, omega = spi_detector_solid_angle(&detector);
    double scale = run(1, opt, images, &truth);

    OK(fabs(scale / (1e12 / 1e8 * re * re * omega) - 1) < 1e-12,
       "scale %.3g at 1e12 ph/um^2", scale);
    opt.fluence_spread = 0.5;
    opt.noise_free = true;
    run(1, opt, images, &truth);

    double mean = 0, log_mean = 0, log_var = 0;

    for (int k = 0; k < N; k++) {
        mean += truth.fluence[k] / N;
        log_mean += log(truth.fluence[k]) / N;
    }
    for (int k = 0; k < N; k++)
        log_var += pow(log(truth.fluence[k]) - log_mean, 2) / (N - 1);
    OK(fabs(mean - 1) < 5 * 0.533 / sqrt(N), /* sd = sqrt(exp(0.25) - 1) */
       "mean fluence %.3f", mean);
    OK(fabs(sqrt(log_var) - 0.5) < 5 * 0.5 / sqrt(2 * N), "spread %.3f of 0.5",
       sqrt(log_var));
    opt.fluence_spread = 0;
    run(1, opt, others, &truth2);
    OK(fabs((double)images[5 * NP + 9] / (double)others[5 * NP + 9] - truth.fluence[5]) <
           1e-6 * truth.fluence[5], /* three float roundings */
       "an image scales with its fluence");
}

static void labels(void)
{
    double proportion[2] = {2, 1}, want = N / 3.0;
    struct spi_simulate_options opt = {.proportion = proportion};
    double ref[NP];
    int n = 0, k = 0;

    run(2, opt, images, &truth);
    for (int i = 0; i < N; i++) {
        n += truth.label[i];
        k = truth.label[i] ? i : k;
    }
    OK(fabs(n - want) < 5 * sqrt(N * 2 / 9.0), "%d of %d images are of the second", n, N);
    spi_model_slice_ref(&small, false, NP, (const double(*)[3])detector.q,
                        truth.quat + 4 * k, ref);
    OK(fabs((double)images[k * NP + 600] / ((double)detector.geometry[600] * ref[600]) -
            1) < 1e-2, /* one pixel, perhaps a dark one */
       "the label names the structure");
}

/* Sum over pixels of the squared deviation from the mean image, in units of its Poisson
 * value; 1 for pure noise. */
static double excess(void)
{
    double sum = 0, n = 0;

    for (int p = 0; p < NP; p++) {
        double mean = 0, var = 0;

        for (int k = 0; k < N; k++)
            mean += (double)images[k * NP + p] / N;
        for (int k = 0; k < N; k++)
            var += pow((double)images[k * NP + p] - mean, 2) / (N - 1);
        if (!detector.bad[p] && mean > 0.2) {
            sum += var / mean;
            n++;
        }
    }
    return sum / n;
}

static void pure_noise(void)
{
    struct spi_simulate_options opt = {.photons = 2000, .pure_noise = true};
    double mean = 0, noise, signal;

    run(1, opt, images, &truth);
    for (int k = 0; k < N; k++)
        mean += usable_sum(images + k * NP) / N;
    noise = excess();
    OK(fabs(mean - 2000) < 5 * sqrt(2000.0 / N), "pure noise: mean sum %.1f", mean);
    /* var/mean of N counts has the standard deviation sqrt(2/N) = 0.08, of hundreds of
     * pixels */
    OK(fabs(noise - 1) < 0.02, "pure noise: variance / mean = %.3f", noise);
    opt.pure_noise = false;
    run(1, opt, images, &truth);
    signal = excess();
    OK(signal > 1.05, "images of particles: variance / mean = %.3f", signal);
}

/* All views within a cap: its mean direction is cos^2(c / 2) long, and nothing lies farther
 * than 2 c from the first; in-plane angles are even. */
static void view_cone(void)
{
    double cap = 0.35, mean[3] = {0}, spin[2] = {0}, first[3], farthest = 1, length = 0;
    struct spi_simulate_options opt = {.view_cone_rad = cap};

    run(1, opt, images, &truth);
    for (int k = 0; k < N; k++) {
        double R[9], cosine = 0;

        spi_rot_matrix(truth.quat + 4 * k, R);
        for (int c = 0; c < 3; c++) {
            first[c] = k == 0 ? R[6 + c] : first[c];
            mean[c] += R[6 + c] / N;
            cosine += first[c] * R[6 + c];
        }
        farthest = fmin(farthest, cosine);
        for (int c = 0; c < 2; c++) /* the laboratory's x and y of one molecular axis */
            spin[c] += R[3 * c] / N;
    }
    for (int c = 0; c < 3; c++)
        length += mean[c] * mean[c];
    OK(farthest > cos(2 * cap) && farthest < cos(cap), "views spread over %.2f rad",
       acos(farthest));
    /* the cosine to the axis is even in [cos c, 1]: its sd is (1 - cos c) / sqrt(12) */
    OK(fabs(sqrt(length) - (1 + cos(cap)) / 2) <
           5 * (1 - cos(cap)) / sqrt(12.0 * N) + sin(cap) * sin(cap) / N,
       "mean view %.4f long, %.4f expected", sqrt(length), (1 + cos(cap)) / 2);
    OK(hypot(spin[0], spin[1]) < 5 / sqrt(2.0 * N), "rotated evenly about the beam: %.3f",
       hypot(spin[0], spin[1]));
}

static spi_err stop_at_once(void *ctx, int64_t done)
{
    *(int64_t *)ctx = done;
    return spi_fail(SPI_ECANCEL, "stopped");
}

static void files(void)
{
    char path[512], tmp[520];
    struct spi_simulate_options opt = {.photons = 500};
    struct spi_simulator *s = simulator(2, opt);
    struct spi_images *im = NULL;
    struct spi_image_truth back = {0};
    int64_t done = 0;

    snprintf(path, sizeof path, "%s/simulate.h5", getenv("SPI_TEST_TMP"));
    snprintf(tmp, sizeof tmp, "%s/.simulate.h5.spinifel-tmp", getenv("SPI_TEST_TMP"));
    unlink(path);
    OK(spi_simulator_write(s, path, "{}", stop_at_once, &done) == SPI_ECANCEL && done > 0 &&
           access(path, F_OK) != 0 && access(tmp, F_OK) != 0,
       "stopped on request: no file is left");
    run(2, opt, images, &truth);
    if (spi_simulator_write(s, path, "{\"seed\": 11}", NULL, NULL) ||
        spi_images_open(path, &im) || spi_images_read(im, 0, N, others) ||
        spi_images_truth(im, &back))
        NOTE("%s", spi_err_message());
    OK(im && spi_images_count(im) == N && spi_images_kind(im) == SPI_PHOTONS &&
           memcmp(images, others, sizeof(float) * N * NP) == 0,
       "a file holds the same photons");

    double off = back.quat && back.label ? 0 : 1;

    for (int i = 0; off < 1 && i < 4 * N; i++)
        off = fmax(off, fabs(back.quat[i] - truth.quat[i]));
    OK(off < 1e-15 && /* the reader normalises: one rounding */
           memcmp(back.label, truth.label, sizeof(int32_t) * N) == 0,
       "and the same truth");
    spi_truth_clear(&back);
    spi_images_close(im);
    OK(spi_simulator_write(s, "/nonexistent/x.h5", "{}", NULL, NULL) == SPI_EIO, "%s",
       spi_err_message());
    spi_simulator_free(s);
    unlink(path);
}

static void refused(void)
{
    double none[2] = {0, 0};
    struct spi_simulate_options both = {
        .n_images = 1, .workers = 1, .photons = 1, .fluence_ph_um2 = 1};
    struct spi_simulate_options bright = {.n_images = 1, .workers = 1, .photons = 1e15};
    struct spi_simulate_options zero = {.n_images = 1, .workers = 1, .proportion = none};
    struct spi_simulate_options good = {.n_images = 1, .workers = 1};
    struct spi_simulator *s;

    OK(spi_simulator_new(&detector, 1, models, &both, &s) == SPI_EINVAL && !s, "%s",
       spi_err_message());
    OK(spi_simulator_new(&detector, 1, models, &bright, &s) == SPI_EINVAL && !s, "%s",
       spi_err_message());
    OK(spi_simulator_new(&detector, 2, models, &zero, &s) == SPI_EINVAL && !s, "%s",
       spi_err_message());
    memset(detector.bad, 1, NP);
    OK(spi_simulator_new(&detector, 1, models, &good, &s) == SPI_EINVAL && !s, "%s",
       spi_err_message());
}

int main(void)
{
    if (set_up()) {
        OK(false, "%s", spi_err_message());
        return tap_done();
    }
    workers();
    noise_free();
    photons();
    fluence();
    labels();
    pure_noise();
    view_cone();
    files();
    refused();
    spi_model_free(models[0]);
    spi_model_free(models[1]);
    spi_structure_clear(&particle);
    spi_structure_clear(&small);
    spi_detector_clear(&detector);
    spi_truth_clear(&truth);
    spi_truth_clear(&truth2);
    free(images);
    free(others);
    return tap_done();
}
