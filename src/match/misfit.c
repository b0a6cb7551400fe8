#include "match/misfit.h"

#include <math.h>

/* Fluence: N / sum g T for photons, else of least squares. */
static double fluence(int64_t n, const float *K, const float *T, const float *g,
                      const float *inv_var)
{
    double top = 0, bottom = 0;

    for (int64_t p = 0; p < n; p++) {
        double model = (double)g[p] * (double)T[p];
        double v = inv_var ? (double)inv_var[p] * model : 1;

        top += v * (double)K[p];
        bottom += v * model;
    }
    return bottom > 0 && top > 0 ? top / bottom : 0;
}

void spi_misfit_add(int64_t n, const float *K, const float *T, const float *g,
                    const float *mean, const float *inv_var, struct spi_misfit *m)
{
    double phi = fluence(n, K, T, g, inv_var);

    for (int64_t p = 0; p < n; p++) {
        double light = phi * (double)g[p];
        double expected = light * (double)T[p], even = light * (double)mean[p];
        double v = inv_var ? (double)inv_var[p] : even > 0 ? 1 / even : 0;
        double left = (double)K[p] - expected, all = expected - even;
        double noise = inv_var ? 0 : fmax(expected, 0);

        m->left += v * (left * left - (inv_var ? 0 : (double)K[p]));
        m->all += v * all * all;
        m->variance += 2 * v * v * noise * noise;
    }
}

double spi_misfit_share(const struct spi_misfit *m)
{
    return m->all > 0 ? m->left / m->all : 0;
}

double spi_misfit_sigma(const struct spi_misfit *m)
{
    return m->all > 0 ? sqrt(m->variance) / m->all : 0;
}
