/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The table of likelihoods: every row is found, runs may ask for those that work on rings,
 * and what is fast says the same as (B4) term by term.  Matching and refinement by every row:
 * tests/match, tests/slice. */
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "base/settings.h"
#include "likelihood/likelihood.h"
#include "tap.h"

enum { N = 500 };
static float K[N], T[N], g[N], v[N];

static void names(void)
{
    char all[256] = "", on_rings[256] = "auto";
    const struct spi_setting *setting = spi_setting_find("algorithm", "score");
    int automatic[2] = {0};

    for (int i = 0; spi_likelihoods[i]; i++) {
        const struct spi_likelihood *like = spi_likelihoods[i];

        OK(spi_likelihood_named(like->name, SPI_PHOTONS) == like, "%s is found",
           like->name);
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i ? "|" : "",
                 like->name);
        if (like->rings)
            snprintf(on_rings + strlen(on_rings), sizeof on_rings - strlen(on_rings), "|%s",
                     like->name);
        OK(!like->weighted == !like->inv_var, "its weights are made if they are read");
        OK(!like->automatic || (like->rings && like->precisions && like->fluence_weights),
           "a run can use it, and it tells the noise, if auto may mean it");
        for (int kind = 0; kind < 2; kind++)
            automatic[kind] += (like->automatic & 1 << kind) != 0;
    }
    OK(strcmp(all, spi_likelihood_names) == 0, "the choices of an option: %s", all);
    OK(setting && strcmp(on_rings, setting->unit) == 0, "those of algorithm.score: %s",
       on_rings);
    OK(automatic[SPI_PHOTONS] == 1 && automatic[SPI_INTENSITIES] == 1,
       "auto means one row for each kind of images");
    OK(strcmp(spi_likelihood_named("auto", SPI_PHOTONS)->name, "poisson") == 0 &&
           strcmp(spi_likelihood_named("auto", SPI_INTENSITIES)->name, "gaussian") == 0,
       "photons: poisson, intensities: gaussian");
    OK(!spi_likelihood_named("chi2", SPI_PHOTONS), "another name is none");
}

/* ---- brute force: the pixels of an orientation -------------------------------------- */

/* LL of image `image` (K from there on, cyclically) by the fast form; size: what rounding
 * may be a part of. */
static double fast_value(const struct spi_likelihood *like, int image, double *size)
{
    float row[N];
    double S = 0, fit = 0, count = 0, K2 = 0, table, LL;

    *size = 0;
    for (int p = 0; p < N; p++) {
        row[p] = T[p];
        S += (double)(g[p] * T[p]);
    }
    table = like->pixels(N, g, v, S, row);
    for (int p = 0; p < N; p++) {
        double k = (double)K[(p + image) % N];

        fit += k * (double)row[p];
        count += k;
        K2 += k * k;
        *size += k * (1 + fabs((double)row[p]));
    }
    LL = like->pair(fit, table, count, K2);
    *size += fabs(LL) + K2;
    return LL;
}

/* Rounding: a logarithm 2 and its argument 2, a square 3, of twice in x^2 / (2 t). */
static void pixels(const struct spi_likelihood *like)
{
    struct spi_likelihood_terms sums = {0};
    double size, LL = fast_value(like, 0, &size), other, bound = gamma_f32(8) * size;

    for (int p = 0; p < N; p++)
        spi_likelihood_add(like, (double)K[p], (double)T[p], (double)g[p], (double)v[p],
                           &sums);
    OK(fabs(LL - spi_likelihood_value(like, &sums)) <= bound,
       "%s: brute force, error / bound = %.3f", like->name,
       fabs(LL - spi_likelihood_value(like, &sums)) / bound);
    other = fast_value(like, 1, &size);
    OK(fabs(other - spi_likelihood_value(like, &sums)) > bound,
       "another image is told apart");
}

/* ---- rings -------------------------------------------------------------------------- */

static void rings(const struct spi_likelihood *like)
{
    bool logs = like->form == SPI_FORM_DIFFERENCE;
    float unit = logs ? 0.25F : 1, f[N], h[N], table[N];
    double worst = 0, wrong = 0;

    like->ring_f(N, T, v[0], unit, f);
    memcpy(h, T, sizeof h);
    if (like->ring_h)
        like->ring_h(N, T, v[0], h);
    like->ring_table(N, h, unit, table);
    for (int i = 0; i < N; i++) {
        double t = (double)T[i], v0 = (double)v[0], u = (double)unit;
        double want[3] = {like->f(t * u, 1, v0), like->h(t, 1, v0),
                          like->table((double)h[i] * u)};
        double got[3] = {(double)f[i], (double)h[i], (double)table[i]};

        for (int c = 0; c < 3; c++) {
            double bound =
                gamma_f32(4) * (1 + fabs(want[c])); /* two products, a logarithm */

            worst = fmax(worst, fabs(got[c] - want[c]) / bound);
            wrong = fmax(wrong, fabs(got[c] - want[(c + 1) % 3]) / bound);
        }
    }
    OK(worst <= 1, "%s: on rings, error / bound = %.3f", like->name, worst);
    OK(wrong > 1, "what is exchanged is noticed");
}

/* An image of phi times the model has the fluence phi, also by the weights of the misfit. */
static void fluence(const struct spi_likelihood *like)
{
    const double phi = 1.7;
    struct spi_likelihood_terms sums = {0};
    double top = 0, bottom = 0, found;

    for (int p = 0; p < N; p++) {
        double M = (double)g[p] * (double)T[p], at = (double)v[p], w;

        spi_likelihood_add(like, phi * M, (double)T[p], (double)g[p], (double)v[p], &sums);
        like->fluence_weights(1, &M, &at, &w);
        top += w * phi * M;
        bottom += w * M;
    }
    found = like->fluence(sums.fit, sums.norm, sums.N);
    OK(fabs(found / phi - 1) < 1e-12 &&
           fabs(top / bottom / phi - 1) < 1e-12, /* N doubles */
       "%s: fluence %.3f, of the misfit %.3f", like->name, found, top / bottom);
}

int main(void)
{
    struct spi_rng rng = spi_rng_stream(1, SPI_RNG_TEST, 0);

    for (int p = 0; p < N; p++) {
        T[p] = (float)(0.05 - 2 * log(1e-9 + spi_rng_uniform(&rng)));
        g[p] = 0.5F + (float)spi_rng_uniform(&rng);
        v[p] = 0.1F + (float)spi_rng_uniform(&rng);
        K[p] = (float)spi_rng_poisson(&rng, (double)(g[p] * T[p]));
    }
    names();
    for (int i = 0; spi_likelihoods[i]; i++) {
        pixels(spi_likelihoods[i]);
        if (!spi_likelihoods[i]->rings)
            continue;
        rings(spi_likelihoods[i]);
        fluence(spi_likelihoods[i]);
    }
    return tap_done();
}
