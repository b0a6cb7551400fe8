/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Maps that do not stand at zero at their border, or fill their box: level, scale and a
 * motion that is known exactly. */
#include "fsc/border.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/rng.h"
#include "blobs.h"
#include "correlation.h"
#include "tap.h"

#ifdef __SANITIZE_ADDRESS__
enum { SEEDS = 1 }; /* slow there, and about memory only */
#else
enum { SEEDS = 2 };
#endif

enum { N = 24 };

static const double step = 5;
static const int whole[3] = {N, N, N};

static double worst_difference(const struct spi_volume *a, double scale,
                               const struct spi_volume *b)
{
    double worst = 0;

    for (size_t i = 0; i < spi_volume_count(a); i++)
        worst = fmax(worst, fabs(scale * (double)a->data[i] - (double)b->data[i]));
    return worst;
}

static double largest(const struct spi_volume *v)
{
    double most = 0;

    for (size_t i = 0; i < spi_volume_count(v); i++)
        most = fmax(most, fabs((double)v->data[i]));
    return most;
}

static void change(struct spi_volume *v, double scale, double constant)
{
    for (size_t i = 0; i < spi_volume_count(v); i++)
        v->data[i] = (float)(scale * (double)v->data[i] + constant);
}

/* A constant and a scale change the level, not what is left. */
static void level_and_scale(const char *what, double radius, bool cut)
{
    static const double scale[] = {1, 1e-6, 2500, 3}, constant[] = {0, 2e-6, -4e4, 1000};
    struct blobs b = blobs_random(5, 60, radius, 7);
    struct spi_volume first = {0};
    struct spi_border border;

    for (int i = 0; i < 4; i++) {
        struct spi_volume v = {0};
        double most, bound;
        spi_err err = blobs_density(&b, N, step, &v);

        most = largest(&v);
        change(&v, scale[i], constant[i]);
        /* values and constant are rounded once each, and the difference */
        bound = 3 * 0x1p-24 * (scale[i] * most + fabs(constant[i]));
        err = err ? err : spi_border_take_off("map", whole, &v, &border);
        if (i == 0)
            err = err ? err : spi_volume_copy(&v, &first);
        OK(!err && border.cut == cut && worst_difference(&first, scale[i], &v) <= bound,
           "%s times %g plus %g: level %g, %s", what, scale[i], constant[i], border.level,
           border.cut ? "cut" : "not cut");
        OK(cut || fabs(border.level - constant[i]) <= bound,
           "%s: the level is the constant", what);
        spi_volume_clear(&v);
    }
    spi_volume_clear(&first);
}

/* A slab of data in the middle of a cube, as spi_mrc_read puts it: what is around is no
 * data. */
static void slab(void)
{
    static const int sides[3] = {N, N, N / 2};
    struct blobs b = blobs_random(6, 20, 8, 5);
    struct spi_volume v = {0}, want = {0};
    struct spi_border border = {0};
    spi_err err = blobs_density(&b, N, step, &v);

    err = err ? err : spi_volume_copy(&v, &want);
    if (err)
        exit(1);
    change(&v, 1, 5);
    for (int z = 0; z < N; z++)
        if (z < N / 4 || z >= 3 * N / 4)
            for (int i = 0; i < N * N; i++)
                v.data[z * N * N + i] = want.data[z * N * N + i] = 0;
    err = spi_border_take_off("slab", sides, &v, &border);
    /* the faces hold tails of blobs: 3 sigma from the outermost, below 1 % of a blob each
     */
    OK(!err && !border.cut && worst_difference(&want, 1, &v) < 0.01,
       "a slab: level %g, around it stays zero", border.level);
    spi_volume_clear(&v);
    spi_volume_clear(&want);
}

static void nothing_there(void)
{
    struct spi_volume v = {0};
    struct spi_border border;
    spi_err err = spi_volume_init(&v, N, step);

    if (err)
        exit(1);
    err = spi_border_take_off("e.mrc", whole, &v, &border);
    OK(err == SPI_EFORMAT && strstr(spi_err_message(), "e.mrc: is empty"), "%s",
       spi_err_message());
    change(&v, 0, 0.1);
    err = spi_border_take_off("c.mrc", whole, &v, &border);
    OK(err == SPI_EFORMAT &&
           strstr(spi_err_message(), "c.mrc: is constant: all voxels are 0.1"),
       "%s", spi_err_message());
    v.data[spi_volume_index(&v, N / 2, N / 2, N / 2)] = 1;
    err = spi_border_take_off("v.mrc", whole, &v, &border);
    OK(err == SPI_OK && !border.cut, "one voxel is some structure");
    change(&v, 0, 0.1);
    v.data[0] = 1;
    err = spi_border_take_off("k.mrc", whole, &v, &border);
    OK(err == SPI_EFORMAT && strstr(spi_err_message(), "k.mrc: is constant within"), "%s",
       spi_err_message());
    spi_volume_clear(&v);
}

static double fsc_lowest(const struct spi_volume *a, const struct spi_volume *b, int shells)
{
    struct spi_fsc f;
    double low = 1;

    if (spi_fsc_compute(a, b, &f))
        return -1;
    for (int i = 0; i < shells; i++)
        low = fmin(low, f.fsc[i]);
    spi_fsc_clear(&f);
    return low;
}

/* Blobs far beyond the box, seen through it before and after a motion: the rest of what
 * each map holds is not in the other. */
static void full_box(uint64_t seed, bool moves)
{
    struct blobs b = blobs_random(seed, 300, 105, 7), moved;
    struct spi_pose pose = random_pose(seed, 10), got = {0};
    struct spi_volume ref = {0}, map = {0}, laid = {0};
    struct spi_border ref_border = {0}, map_border = {0};
    static const double one[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    double cc = 0, low = 0, raw = 0, off = 0, q_max = 0.5 / step;
    spi_err err;

    if (!moves)
        pose = (struct spi_pose){.R = {1, 0, 0, 0, 1, 0, 0, 0, 1}};
    moved = blobs_move(&b, &pose);
    SPI_TRY(err = blobs_density(&moved, N, step, &ref), out);
    SPI_TRY(err = blobs_density(&b, N, step, &map), out);
    change(&map, 2, 9);

    /* as it was: the raw maps at the true pose */
    SPI_TRY(err = spi_pose_apply(&map, &pose, N, step, &laid), out);
    raw = fsc_lowest(&ref, &laid, N / 4);
    spi_volume_clear(&laid);

    SPI_TRY(err = spi_border_take_off("ref", whole, &ref, &ref_border), out);
    SPI_TRY(err = spi_border_take_off("map", whole, &map, &map_border), out);
    SPI_TRY(err = spi_border_align(&ref, &ref_border, &map, &map_border, N * step, q_max,
                                   &got, &cc),
            out);
    SPI_TRY(err = spi_pose_apply(&map, &got, N, step, &laid), out);
    spi_border_cut(&map_border, &got, &ref);
    spi_border_cut(&ref_border, NULL, &laid);
    low = fsc_lowest(&ref, &laid, moves ? N / 4 : N / 2);
    for (int k = 0; k < 3; k++)
        off = fmax(off, fabs(got.shift_A[k] - pose.shift_A[k]) / step);
    if (!moves) {
        OK(ref_border.cut && memcmp(got.R, one, sizeof one) == 0 && off == 0 &&
               cc > 1 - 1e-6 &&
               low > 1 - 1e-6, /* rounding of the constant 9 in single precision */
           "seed %d: not moved: correlation %.7f, lowest FSC %.7f", (int)seed, cc, low);
        goto out;
    }
    /* blobs of 1.4 voxels have exp(-2 (pi 1.4 / 4)^2) = 9 % of their amplitude left at a
     * quarter of the sampling rate: there the alignment's 0.2 degrees and 0.05 voxels are
     * nothing */
    OK(ref_border.cut && got.inverted == pose.inverted &&
           spi_rot_angle_between(got.R, pose.R) < 1 * SPI_PI / 180 && off < 0.2 &&
           low > 0.95,
       "seed %d: a full box, moved: off by %.2f degrees, %.3f voxels; lowest FSC %.3f",
       (int)seed, spi_rot_angle_between(got.R, pose.R) * 180 / SPI_PI, off, low);
    OK(raw < 0.9, "and as they are they have %.3f at the true pose", raw);
out:
    if (err)
        OK(false, "%s", spi_err_message());
    spi_volume_clear(&ref);
    spi_volume_clear(&map);
    spi_volume_clear(&laid);
}

int main(void)
{
    level_and_scale("a particle", 25, false);
    level_and_scale("a full box", 105, true);
    slab();
    nothing_there();
    full_box(1, false);
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        full_box(seed, true);
    return tap_done();
}
