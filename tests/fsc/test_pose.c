/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Spectra between the nodes and maps moved: against direct sums and formulas. */
#include <complex.h>
#include <math.h>
#include <string.h>

#include "blobs.h"
#include "fsc/spectrum.h"
#include "tap.h"

/* F(q) = sum_x map(x) exp(-2 pi i q.x), literally. */
static double complex direct(const struct spi_volume *v, const double q[3])
{
    double complex sum = 0;

    for (int z = 0; z < v->n; z++)
        for (int y = 0; y < v->n; y++)
            for (int x = 0; x < v->n; x++) {
                double x_A = (x - v->n / 2) * v->step, y_A = (y - v->n / 2) * v->step;
                double phase = q[0] * x_A + q[1] * y_A + q[2] * (z - v->n / 2) * v->step;

                sum += (double)v->data[spi_volume_index(v, z, y, x)] *
                       cexp(-2 * SPI_PI * (double complex)I * phase);
            }
    return sum;
}

/* A box full of noise is the worst map: it reaches the faces. */
static void spectrum(int n, double q_max, int parts)
{
    enum { POINTS = 60 };
    struct spi_volume v, W;
    struct spi_spectrum s;
    struct spi_rng rng = spi_rng_stream(5, SPI_RNG_TEST, 3);
    struct spi_pose turn = random_pose(4, 0);
    double worst = 0, wrong = 0, largest = 0;

    NEED(!spi_volume_init(&v, n, 2));
    add_noise(&v, 1, 6);
    if (parts ==
        1) { /* an even map: W of it is that of v(x) + v(-x), planes -n/2 left out */
        for (int z = 0; z < n; z++)
            for (int y = 0; y < n; y++)
                for (int x = 0; x < n; x++) {
                    size_t i = spi_volume_index(&v, z, y, x);

                    if (!x || !y || !z)
                        v.data[i] = 0;
                    else
                        v.data[spi_volume_index(&v, n - z, n - y, n - x)] = v.data[i];
                }
        NEED(
            !(spi_volume_fourier_even(&v, &W) || spi_spectrum_of_intensity(&W, q_max, &s)));
        spi_volume_clear(&W);
    } else {
        NEED(!spi_spectrum_of_density(&v, q_max, &s));
    }
    for (int i = 0; i < POINTS; i++) {
        double q[3], Rq[3], r = q_max * cbrt(spi_rng_uniform(&rng));
        double z = 2 * spi_rng_uniform(&rng) - 1, phi = 2 * SPI_PI * spi_rng_uniform(&rng);
        float point[1][3], out[2] = {0};
        double complex want, got;

        q[0] = r * sqrt(1 - z * z) * cos(phi), q[1] = r * sqrt(1 - z * z) * sin(phi);
        q[2] = r * z;
        for (int k = 0; k < 3; k++)
            point[0][k] = (float)q[k];
        spi_rot_apply_t(turn.R, q, Rq);
        want = direct(&v, Rq);
        spi_spectrum_sample(&s, turn.R, 1, (const float(*)[3])point, out);
        got = (double)out[0] + (double complex)I * (double)out[1];
        worst = fmax(worst, cabs(got - want));
        wrong = fmax(wrong, cabs(got - direct(&v, q)));
        largest = fmax(largest, cabs(want));
    }
    /* 1e-3: the bound that the header states for this worst map */
    OK(worst < 1e-3 * largest, "%d voxels, %d parts: error %.1e of the largest |F|", n,
       parts, worst / largest);
    OK(wrong > 0.1 * largest, "without the turn: %.1e", wrong / largest);
    spi_spectrum_clear(&s);
    spi_volume_clear(&v);
}

static double relative_error(const struct spi_volume *a, const struct spi_volume *b)
{
    double sum = 0;

    for (size_t i = 0; i < spi_volume_count(a); i++) {
        double d = (double)a->data[i] - (double)b->data[i];

        sum += d * d;
    }
    return sqrt(sum / (double)spi_volume_count(a)) / rms(b);
}

/* A sum of Gaussians of 1.7 voxels: on the grid it aliases by exp(-2 pi^2 1.7^2 / 4) =
 * 6e-7, so that its formula is the trigonometric interpolant. */
static void moved(uint64_t seed, int n_to, double step_to, double sigma)
{
    const int n = 40;
    const double step = 3;
    struct blobs b = blobs_random(seed, 20, 24, sigma), c;
    struct spi_pose pose = random_pose(seed, 7.3);
    struct spi_volume map, want, got;

    c = blobs_move(&b, &pose);
    NEED(!(blobs_density(&b, n, step, &map) || blobs_density(&c, n_to, step_to, &want) ||
           spi_pose_apply(&map, &pose, n_to, step_to, &got)));
    /* 1e-4: the bound that the header states */
    OK(relative_error(&got, &want) < 1e-4,
       "%d voxels of %g A, hand %d: error %.1e of the rms", n_to, step_to,
       (int)pose.inverted, relative_error(&got, &want));
    spi_volume_clear(&got);
    pose.shift_A[1] += 0.002 * step;
    NEED(!spi_pose_apply(&map, &pose, n_to, step_to, &got));
    OK(relative_error(&got, &want) > 1e-4, "a shift of 0.002 voxel is noticed: %.1e",
       relative_error(&got, &want));
    spi_volume_clear(&got);
    spi_volume_clear(&want);
    spi_volume_clear(&map);
}

static void identity_and_bad(void)
{
    struct spi_pose pose = {.R = {1, 0, 0, 0, 1, 0, 0, 0, 1}};
    struct spi_volume v, out;

    NEED(!spi_volume_init(&v, 16, 1));
    add_noise(&v, 1, 1);
    OK(spi_pose_apply(&v, &pose, 16, 1, &out) == SPI_OK &&
           memcmp(v.data, out.data, spi_volume_count(&v) * sizeof *v.data) == 0,
       "the identity copies");
    spi_volume_clear(&out);
    pose.shift_A[0] = 1000;
    OK(spi_pose_apply(&v, &pose, 16, 1, &out) == SPI_OK && rms(&out) == 0,
       "moved out of sight: nothing, and no wrap-around");
    spi_volume_clear(&out);
    pose.shift_A[0] = NAN;
    OK(spi_pose_apply(&v, &pose, 16, 1, &out) == SPI_EINVAL && !out.data, "NaN is refused");
    pose.shift_A[0] = 0, pose.R[0] = 2;
    OK(spi_pose_apply(&v, &pose, 16, 1, &out) == SPI_EINVAL &&
           strstr(spi_err_message(), "no rotation"),
       "what is no rotation is refused");
    OK(spi_pose_apply(&v, &pose, 15, 1, &out) == SPI_EINVAL, "an odd side is refused");
    OK(spi_pose_apply(&v, &pose, 16, 0, &out) == SPI_EINVAL, "a step of 0 is refused");
    spi_volume_clear(&v);
}

int main(void)
{
    spectrum(20, 0.25, 2);
    spectrum(20, 0.25, 1);
    spectrum(24, 0.2, 2);
    for (uint64_t seed = 1; seed <= 3; seed++)
        moved(seed, 40, 3, 5.1);
    moved(4, 48, 2.5, 5.1);
    moved(5, 30, 4, 6.8);
    identity_and_bad();
    return tap_done();
}
