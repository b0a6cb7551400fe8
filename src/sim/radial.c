/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sim/radial.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "sim/formfactor.h"

/* B to 0.01 A^2, the last digit of files: few classes, and no error worth the name. */
static struct spi_radial_class class_of(const struct spi_atom *a, bool use_b)
{
    struct spi_radial_class c = {a->element, 0, 0};

    if (use_b)
        c.b_A2 = round((double)a->b_A2 * 100) / 100;
    return c;
}

static int by_class(const void *pa, const void *pb)
{
    const struct spi_radial_class *a = pa, *b = pb;

    if (a->z != b->z)
        return a->z - b->z;
    return (a->b_A2 > b->b_A2) - (a->b_A2 < b->b_A2);
}

static double form(const struct spi_radial_class *c, double q)
{
    return spi_formfactor(c->z, q) * spi_debye_waller(c->b_A2, q);
}

static spi_err find_classes(const struct spi_structure *s, bool use_b, struct spi_radial *r)
{
    spi_err err = SPI_NEW(r->cls, s->n, "atom classes");

    if (err)
        return err;
    for (int64_t i = 0; i < s->n; i++)
        r->cls[i] = class_of(&s->atom[i], use_b);
    qsort(r->cls, (size_t)s->n, sizeof *r->cls, by_class);
    for (int64_t i = 0; i < s->n; i++) {
        if (i == 0 || by_class(&r->cls[i], &r->cls[r->n_classes - 1]) != 0)
            r->cls[r->n_classes++] = r->cls[i];
        r->cls[r->n_classes - 1].atoms++;
    }
    return SPI_OK;
}

static double dot(const double *a, const double *b)
{
    double sum = 0;

    for (int i = 0; i < SPI_RADIAL_SAMPLES; i++)
        sum += a[i] * b[i];
    return sum;
}

/* The class worst expressed so far; *sum is the squared misfit of all atoms. */
static int64_t worst_class(const struct spi_radial *r,
                           const double (*left)[SPI_RADIAL_SAMPLES], double *sum)
{
    int64_t worst = 0;
    double most = -1;

    *sum = 0;
    for (int64_t c = 0; c < r->n_classes; c++) {
        double m = (double)r->cls[c].atoms * dot(left[c], left[c]);

        *sum += m;
        if (m > most) {
            most = m;
            worst = c;
        }
    }
    return worst;
}

/* g_b: what is left of class c, normalised; T follows from left_c = f_c - sum alpha_cb g_b.
 */
static void add_function(struct spi_radial *r, int64_t c, const double *left_c, double *g)
{
    int b = r->rank++;
    double len = sqrt(dot(left_c, left_c));

    r->pivot[b] = r->cls[c];
    for (int i = 0; i < SPI_RADIAL_SAMPLES; i++)
        g[i] = left_c[i] / len;
    for (int k = 0; k < b; k++)
        for (int l = 0; l <= k; l++)
            r->T[b][l] -= r->alpha[c][k] * r->T[k][l] / len;
    r->T[b][b] = 1 / len;
}

static void fit(struct spi_radial *r, double (*left)[SPI_RADIAL_SAMPLES])
{
    double all = 0;

    for (;;) {
        double g[SPI_RADIAL_SAMPLES], sum;
        int64_t worst = worst_class(r, (const double(*)[SPI_RADIAL_SAMPLES])left, &sum);

        if (r->rank == 0)
            all = sum;
        r->misfit = sqrt(sum / all);
        if (r->misfit < SPI_RADIAL_TOL || r->rank == SPI_RADIAL_MAX)
            break;
        add_function(r, worst, left[worst], g);
        for (int64_t c = 0; c < r->n_classes; c++) {
            double a = dot(left[c], g);

            r->alpha[c][r->rank - 1] = a;
            for (int i = 0; i < SPI_RADIAL_SAMPLES; i++)
                left[c][i] -= a * g[i];
        }
    }
}

spi_err spi_radial_init(const struct spi_structure *s, bool use_b, double q_max,
                        struct spi_radial *out)
{
    double(*left)[SPI_RADIAL_SAMPLES] = NULL;
    spi_err err;

    memset(out, 0, sizeof *out);
    SPI_TRY(err = find_classes(s, use_b, out), end);
    SPI_TRY(err = SPI_NEW(left, out->n_classes, "form factors"), end);
    SPI_TRY(err = SPI_NEW(out->alpha, out->n_classes, "form factors"), end);
    for (int64_t c = 0; c < out->n_classes; c++)
        for (int i = 0; i < SPI_RADIAL_SAMPLES; i++)
            left[c][i] = form(&out->cls[c], q_max * i / (SPI_RADIAL_SAMPLES - 1));
    fit(out, left);
end:
    free(left);
    if (err)
        spi_radial_clear(out);
    return err;
}

void spi_radial_clear(struct spi_radial *r)
{
    free(r->cls);
    free(r->alpha);
    memset(r, 0, sizeof *r);
}

const double *spi_radial_alpha(const struct spi_radial *r, const struct spi_atom *a,
                               bool use_b)
{
    struct spi_radial_class c = class_of(a, use_b);
    const struct spi_radial_class *at =
        bsearch(&c, r->cls, (size_t)r->n_classes, sizeof c, by_class);

    return r->alpha[at - r->cls];
}

void spi_radial_values(const struct spi_radial *r, double q, double *g)
{
    double f[SPI_RADIAL_MAX];

    for (int k = 0; k < r->rank; k++)
        f[k] = form(&r->pivot[k], q);
    for (int b = 0; b < r->rank; b++) {
        g[b] = 0;
        for (int k = 0; k <= b; k++)
            g[b] += r->T[b][k] * f[k];
    }
}
