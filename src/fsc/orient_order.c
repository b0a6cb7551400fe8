/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fsc/orient_order.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/mem.h"
#include "fsc/orient_error.h"

static const double agree_most = 0.2; /* more: the convention is right */
static const double agree_least =
    0.5; /* of another convention; by chance 0.02 of all agree */

static const struct {
    bool scalar_last, inverse;
    const char *words;
} conventions[] = {{true, false, "(x, y, z, w)"},
                   {false, true, "of the inverse rotation, laboratory -> molecule"},
                   {true, true, "(x, y, z, w) of the inverse rotation"}};

static void convert(int64_t n, const double *from, bool scalar_last, bool inverse,
                    double *to)
{
    for (int64_t i = 0; i < n; i++) {
        const double *q = from + 4 * i;
        double *r = to + 4 * i, sign = inverse ? -1 : 1;

        r[0] = scalar_last ? q[3] : q[0];
        for (int k = 0; k < 3; k++)
            r[1 + k] = sign * (scalar_last ? q[k] : q[1 + k]);
    }
}

spi_err spi_orient_order_find(int64_t n, const double *est, const double *truth,
                              const double *group, int n_group, double inliers,
                              struct spi_orient_order *out)
{
    enum { CONVENTIONS = sizeof conventions / sizeof *conventions };
    double *other = NULL, best = agree_least;
    spi_err err = SPI_OK;

    *out = (struct spi_orient_order){0};
    if (inliers >= agree_most)
        return SPI_OK;
    SPI_TRY(err = SPI_NEW(other, 4 * n, "orientations"), out);
    for (int k = 0; k < 2 * CONVENTIONS; k++) {
        const int c = k % CONVENTIONS, of_truth = k < CONVENTIONS;
        struct spi_orient_error e;

        convert(n, of_truth ? truth : est, conventions[c].scalar_last,
                conventions[c].inverse, other);
        SPI_TRY(err =
                    spi_orient_error_compute(n, of_truth ? est : other,
                                             of_truth ? other : truth, group, n_group, &e),
                out);
        if (e.inliers > best) {
            best = e.inliers;
            *out = (struct spi_orient_order){conventions[c].words, of_truth, e.median_deg};
        }
        spi_orient_error_clear(&e);
    }
out:
    free(other);
    return err;
}
