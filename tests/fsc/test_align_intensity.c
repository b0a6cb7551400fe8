/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The rotation between two intensity maps whose motion is known exactly. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "blobs.h"
#include "tap.h"

#ifdef __SANITIZE_ADDRESS__
enum { SEEDS = 4 }; /* slow there, and about memory only */
#else
enum { SEEDS = 20 };
#endif

enum { N = 40 };

static const double D = 100, q_max = 8.0 / 100, dq = 1.0 / 215;

/* Reference moved by `pose`, map as it is. */
static spi_err make(uint64_t seed, const struct spi_pose *pose, struct spi_volume *ref,
                    struct spi_volume *map)
{
    struct blobs b = blobs_random(seed, 30, 44, 3), moved = blobs_move(&b, pose);
    spi_err err = blobs_intensity(&moved, N, dq, ref);

    return err ? err : blobs_intensity(&b, N, dq, map);
}

/* Even noise, a given fraction of each voxel's own value: what a merge leaves. */
static void spoil(struct spi_volume *W, double fraction, uint64_t seed)
{
    struct spi_rng rng = spi_rng_stream(seed, SPI_RNG_TEST, 5);

    for (int z = 1; z < N; z++)
        for (int y = 1; y < N; y++)
            for (int x = 1; x < N; x++) {
                size_t i = spi_volume_index(W, z, y, x);
                size_t mate = spi_volume_index(W, N - z, N - y, N - x);

                if (i < mate) {
                    W->data[i] *= (float)(1 + fraction * spi_rng_normal(&rng));
                    W->data[mate] = W->data[i];
                }
            }
}

struct outcome {
    double worst_deg, lowest_cc, seconds;
};

static void align(const struct spi_volume *ref, const struct spi_volume *map,
                  const struct spi_pose *pose, const double *initial, struct outcome *o)
{
    double R[9], cc = 0, t = spi_now_s();

    if (spi_align_intensities(ref, map, D, 1 / D, q_max, initial, R, &cc))
        exit(1);
    o->seconds += (spi_now_s() - t) / SEEDS;
    o->worst_deg = fmax(o->worst_deg, degrees_between(R, pose->R));
    o->lowest_cc = fmin(o->lowest_cc, cc);
}

static void poses(void)
{
    struct outcome global = {.lowest_cc = 1}, local = global, noisy = global;

    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct spi_pose pose = random_pose(seed, 0);
        struct spi_volume ref, map;
        double start[9], v[3] = {0.04, -0.04, 0.04}, dR[9]; /* 4 degrees off */

        if (make(seed, &pose, &ref, &map))
            exit(1);
        spi_rot_from_vector(v, dR);
        spi_rot_mul(dR, pose.R, start);
        align(&ref, &map, &pose, NULL, &global);
        align(&ref, &map, &pose, start, &local);
        spoil(&ref, 0.2, 2 * seed); /* a fifth of each voxel's own value, in both maps */
        spoil(&map, 0.2, 2 * seed + 1);
        align(&ref, &map, &pose, NULL, &noisy);
        spi_volume_clear(&ref);
        spi_volume_clear(&map);
    }
    /* 0.2 degrees is the promise of the header; noise-free it must be far better: 0.01 */
    OK(global.worst_deg < 0.01, "global: worst of %d is %.4f degrees, %.2f s each", SEEDS,
       global.worst_deg, global.seconds);
    OK(global.lowest_cc > 0.999, "correlation %.5f", global.lowest_cc);
    OK(local.worst_deg < 0.01, "local from 4 degrees off: %.4f degrees, %.2f s each",
       local.worst_deg, local.seconds);
    OK(noisy.worst_deg < 0.2, "noise: worst of %d is %.3f degrees", SEEDS, noisy.worst_deg);
    OK(noisy.lowest_cc < 0.99 && noisy.lowest_cc > 0.3, "correlation from %.3f",
       noisy.lowest_cc);
}

static void unrelated(void)
{
    struct spi_pose pose = random_pose(1, 0);
    struct spi_volume a, b, c, d;
    struct spi_intensity_shells s;
    double R[9], cc;

    NEED(!(make(1, &pose, &a, &b) || make(2, &pose, &c, &d) ||
           spi_align_intensities(&a, &d, D, 1 / D, q_max, NULL, R, &cc)));
    OK(cc < 0.5, "two different particles: the best correlation is only %.3f", cc);
    NEED(!spi_intensity_compare(&a, &b, D, 1 / D, q_max, pose.R, &s));
    double lowest = 1;

    for (int k = 0; k < s.n; k++)
        lowest = fmin(lowest, s.cc[k]);
    OK(s.n == 15 && fabs(s.q[0] * D - 1) < 1e-12 && fabs(s.q[14] / q_max - 1) < 1e-12,
       "15 shells from 1/D to 8/D");
    OK(lowest > 0.999, "each shell correlates at the true rotation: %.5f", lowest);
    spi_intensity_shells_clear(&s);
    spi_volume_clear(&a);
    spi_volume_clear(&b);
    spi_volume_clear(&c);
    spi_volume_clear(&d);
}

static void bad(void)
{
    struct spi_pose pose = random_pose(1, 0);
    struct spi_volume a, b;
    double R[9], cc, zero[9] = {0};

    NEED(!make(1, &pose, &a, &b));
    OK(spi_align_intensities(&a, &b, 0, 0, q_max, NULL, R, &cc) == SPI_EINVAL, "D = 0");
    OK(spi_align_intensities(&a, &b, 1e9, 0, q_max, NULL, R, &cc) == SPI_EINVAL &&
           strstr(spi_err_message(), "box 215 A"),
       "D beyond the box: the message has both");
    OK(spi_align_intensities(&a, &b, D, 0.2, q_max, NULL, R, &cc) == SPI_EINVAL,
       "q_min above q_max");
    OK(spi_align_intensities(&a, &b, D, NAN, q_max, NULL, R, &cc) == SPI_EINVAL, "NaN");
    OK(spi_align_intensities(&a, &b, D, 0, q_max, zero, R, &cc) == SPI_EINVAL,
       "a start that is no rotation");
    b.data[7] = NAN;
    OK(spi_align_intensities(&a, &b, D, 0, q_max, NULL, R, &cc) == SPI_EINVAL &&
           strstr(spi_err_message(), "voxel 7 is nan"),
       "NaN in a map is named");
    memset(b.data, 0, spi_volume_count(&b) * sizeof *b.data);
    OK(spi_align_intensities(&b, &a, D, 0, q_max, NULL, R, &cc) == SPI_EINVAL,
       "an empty map");
    OK(spi_align_intensities(&a, &b, D, 0, q_max, NULL, R, &cc) == SPI_EINVAL || cc == 0,
       "an empty second map correlates with nothing");
    spi_volume_clear(&a);
    spi_volume_clear(&b);
}

int main(void)
{
    poses();
    unrelated();
    bad();
    return tap_done();
}
