/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What mean images show beyond their rings: nothing for a radial one, a streak and panels of
 * another level where they are there, each within the noise. */
#include <math.h>
#include <stdlib.h>

#include "base/rng.h"
#include "mtip/uneven.h"
#include "tap.h"

enum { SIDE = 64, N = SIDE * SIDE, IMAGES = 1000 };
static const double edge = 0.08, lambda = 2, D = 150;

struct means {
    struct spi_detector det;
    double true_uneven[N]; /* what is added to the rings */
    float mean[2][N];
};

static double length(const double q[3])
{
    return sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2]);
}

enum shape { RADIAL, STREAK, PANELS };

/* Counts of an image: rings, and `level` of them more on a streak or on half the detector;
 * pixels of both parts are means of IMAGES / 2 images of Poisson noise. */
static spi_err make(struct means *m, enum shape shape, double level, bool masked)
{
    spi_err err = spi_detector_init(&m->det, 1, SIDE, SIDE);
    struct spi_rng rng = spi_rng_stream(11, SPI_RNG_TEST, (uint64_t)shape);

    if (err)
        return err;
    for (int p = 0; p < N; p++) {
        double *q = m->det.q + 3 * p, ring;

        q[0] = (p % SIDE - (SIDE - 1) / 2.0) * edge / (SIDE / 2);
        q[1] = (p / SIDE - (SIDE - 1) / 2.0) * edge / (SIDE / 2);
        q[2] = -lambda * (q[0] * q[0] + q[1] * q[1]) / 2;
        m->det.geometry[p] = (float)(1 - 0.3 * q[0] / edge);
        m->det.bad[p] = masked && p / SIDE < SIDE / 4;
        ring = (0.05 + 2 * exp(-length(q) / 0.012)) * (double)m->det.geometry[p];
        m->true_uneven[p] = shape == STREAK   ? level * exp(-q[0] * q[0] / (0.006 * 0.006))
                            : shape == PANELS ? (p % SIDE < SIDE / 2 ? level : 0)
                                              : 0;
        for (int h = 0; h < 2; h++)
            m->mean[h][p] = (float)((ring + m->true_uneven[p]) +
                                    sqrt((ring + m->true_uneven[p]) / (IMAGES / 2.0)) *
                                        spi_rng_normal(&rng));
    }
    return SPI_OK;
}

static void look(enum shape shape, const char *name, double level, bool masked, bool there)
{
    static struct means m;
    float out[N], truth[N], given[N];
    double left = 0, before = 0, ring = 0;
    bool found;

    NEED(!make(&m, shape, level, masked));
    for (int p = 0; p < N; p++)
        given[p] = (float)m.true_uneven[p];
    NEED(!spi_uneven_of(&m.det, given, truth));
    NEED(!spi_uneven_find(&m.det, (const float *const[2]){m.mean[0], m.mean[1]},
                          (const double[2]){IMAGES / 2.0, IMAGES / 2.0}, 2.5 / D, edge, out,
                          &found));
    OK(found == there, "%s of level %g%s: %s", name, level,
       masked ? ", a quarter masked" : "", found ? "found" : "not found");
    for (int p = 0; p < N && found; p++) {
        if (m.det.bad[p] || length(m.det.q + 3 * p) > edge)
            continue;
        left += pow((double)out[p] - (double)truth[p], 2);
        before += pow((double)truth[p], 2);
        ring += (double)out[p] / (double)m.det.geometry[p];
    }
    if (!found)
        goto out;
    /* a streak of two pixels' width is blurred over three: 1/4 of its energy stays at most */
    OK(left < 0.25 * before, "%s: %.3f of its energy is left", name, left / before);
    OK(fabs(ring) < 1e-3 * sqrt(before * N), "%s: its mean over rings is %.1e of its rms",
       name, ring / sqrt(before * N));
out:
    spi_detector_clear(&m.det);
}

/* Pixels that a mask hides get their ring's mean. */
static void fill(void)
{
    static struct means m;
    float value[N];
    double worst = 0;

    NEED(!make(&m, RADIAL, 0, true));
    for (int p = 0; p < N; p++) /* a plain profile, 0 where nobody looks */
        value[p] =
            m.det.bad[p]
                ? 0
                : (float)(exp(-length(m.det.q + 3 * p) / 0.03) * (double)m.det.geometry[p]);
    NEED(!spi_uneven_fill(&m.det, value));
    for (int p = 0; p < N; p++)
        if (length(m.det.q + 3 * p) < 0.9 * edge)
            worst =
                fmax(worst, fabs((double)value[p] / (exp(-length(m.det.q + 3 * p) / 0.03) *
                                                     (double)m.det.geometry[p]) -
                                 1));
    /* linear between rings a pixel, w = edge / 32, apart: w^2 / 8 of the curvature, the
     * mean of a ring w^2 / 24, and pixels that do not lie evenly in it as much once more */
    OK(worst < pow(edge / 32 / 0.03, 2) / 5, "filled pixels: off by %.1e", worst);
    spi_detector_clear(&m.det);
}

int main(void)
{
    look(RADIAL, "rings only", 0, false, false);
    look(RADIAL, "rings only", 0, true, false);
    look(STREAK, "a streak", 0.2, false, true);
    look(STREAK, "a streak", 0.2, true, true);
    look(STREAK, "a streak", 0.001, false, false);
    look(PANELS, "two halves", 0.05, false, true);
    look(PANELS, "two halves", 0.05, true, true);
    fill();
    return tap_done();
}
