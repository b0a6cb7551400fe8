/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Quaternions in another order, or of inverse rotations, are noticed; right and random ones
 * are not. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "fsc/orient_error.h"
#include "fsc/orient_order.h"
#include "math/rot.h"
#include "tap.h"

enum { N = 400 };

static double est[4 * N], truth[4 * N], other[4 * N];

static const char *found(const double *a, const double *b, struct spi_orient_order *o)
{
    struct spi_orient_error e;

    *o = (struct spi_orient_order){0};
    if (spi_orient_error_compute(N, a, b, NULL, 0, &e) ||
        spi_orient_order_find(N, a, b, NULL, 0, e.inliers, o))
        return spi_err_message();
    spi_orient_error_clear(&e);
    return o->words ? o->words : "none";
}

static void rewrite(const double *from, int last, double sign, double *to)
{
    for (int i = 0; i < N; i++) {
        const double *q = from + 4 * i;
        double r[4] = {q[0], sign * q[1], sign * q[2], sign * q[3]};

        for (int k = 0; k < 4; k++)
            to[4 * i + k] = last ? r[(k + 1) % 4] : r[k];
    }
}

int main(void)
{
    struct spi_rng rng = spi_rng_stream(5, SPI_RNG_TEST, 0);
    struct spi_orient_order o;
    double G[4];
    const char *w;

    /* est = error of about a degree, truth, one global rotation */
    spi_rot_random(&rng, G);
    for (int i = 0; i < N; i++) {
        double e[4] = {1, 0, 0, 0}, q[4];

        for (int k = 1; k < 4; k++)
            e[k] = 0.01 * spi_rng_normal(&rng);
        e[0] = sqrt(1 - e[1] * e[1] - e[2] * e[2] - e[3] * e[3]);
        spi_rot_random(&rng, truth + 4 * i);
        spi_quat_mul(e, truth + 4 * i, q);
        spi_quat_mul(q, G, est + 4 * i);
    }
    w = found(est, truth, &o);
    OK(!strcmp(w, "none"), "agreeing lists: %s", w);
    rewrite(truth, 1, 1, other);
    w = found(est, other, &o);
    OK(!strcmp(w, "(x, y, z, w)") && o.of_truth && o.median_deg < 3,
       "scalar last: %s, then %.2f degrees", w, o.median_deg);
    rewrite(truth, 0, -1, other);
    w = found(est, other, &o);
    OK(!strncmp(w, "of the inverse", 14) && o.median_deg < 3, "inverse: %s", w);
    rewrite(truth, 1, -1, other);
    w = found(est, other, &o);
    OK(!strncmp(w, "(x, y, z, w) of the inverse", 27) && o.of_truth, "both: %s", w);
    rewrite(est, 1, 1, other);
    w = found(other, truth, &o);
    OK(!strcmp(w, "(x, y, z, w)") && !o.of_truth, "scalar last in the other list: %s", w);
    for (int i = 0; i < N; i++)
        spi_rot_random(&rng, other + 4 * i);
    w = found(est, other, &o);
    OK(!strcmp(w, "none"), "random orientations: %s", w);
    return tap_done();
}
