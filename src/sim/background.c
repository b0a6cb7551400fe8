/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sim/background.h"

#include <math.h>
#include <string.h>

#include "io/mask.h"

const char spi_background_shapes[] = "flat|gas|streak|panels";

/* (S16): x, y are q_x and q_y over |q| at the detector's edge; g the geometry factor. */
static double flat(double x, double y, double g)
{
    (void)x;
    (void)y;
    (void)g;
    return 1;
}

static double gas(double x, double y, double g)
{
    return g / (1 + 16 * (x * x + y * y));
}

/* On the detector of unit half width both halves of it have about as much light. */
static double streak(double x, double y, double g)
{
    const double width = 0.03;

    return gas(x, y, g) + 6 * g * exp(-y * y / (2 * width * width)) / (1 + 4 * fabs(x));
}

static double panels(double x, double y, double g)
{
    static const double level[2][2] = {{1, 0.5}, {1.6, 0.8}};

    (void)g;
    return level[y >= 0][x >= 0];
}

static const struct shape {
    const char *name;
    double (*value)(double x, double y, double g);
} shapes[] = {{"flat", flat}, {"gas", gas}, {"streak", streak}, {"panels", panels}};

static const struct shape *shape_named(const char *name)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (strcmp(shapes[i].name, name) == 0)
            return &shapes[i];
    return NULL;
}

spi_err spi_background_make(const char *shape, const struct spi_detector *det, float *B)
{
    const struct shape *s = shape_named(shape);
    double edge = spi_detector_q_edge(det), sum = 0;

    if (s) {
        for (int64_t p = 0; p < det->n_pixels; p++)
            B[p] = (float)s->value(det->q[3 * p] / edge, det->q[3 * p + 1] / edge,
                                   (double)det->geometry[p]);
    } else {
        spi_err err = spi_weights_read(shape, det->panels, det->ny, det->nx, B);

        if (err)
            return strchr(shape, '.') || strchr(shape, '/')
                       ? err
                       : spi_fail(SPI_EUSAGE,
                                  "'%s' is no shape of a background: need %s, "
                                  "or a file",
                                  shape, spi_background_shapes);
    }
    for (int64_t p = 0; p < det->n_pixels; p++)
        sum += det->bad[p] ? 0 : (double)B[p];
    if (!(sum > 0 && isfinite(sum)))
        return spi_fail(SPI_EFORMAT, "%s: the background is zero on all usable pixels",
                        shape);
    for (int64_t p = 0; p < det->n_pixels; p++)
        B[p] = (float)((double)B[p] / sum);
    return SPI_OK;
}
