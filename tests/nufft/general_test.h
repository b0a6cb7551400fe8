/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Points, values and errors for the tests of the general transform. */
#ifndef SPI_TESTS_GENERAL_TEST_H
#define SPI_TESTS_GENERAL_TEST_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "nufft/general.h"

static const double two_pi = 6.283185307179586477;

/* All in double; every number is a float too, so that both precisions do the same sum. */
struct problem {
    struct spi_nu_spec spec;
    int64_t n, n_modes;
    double *x[3];
    double complex *c, *f;
};

enum points { RANDOM, CLUSTER, ON_GRID, SPHERE, ONE, POINT_SETS };
static const char *const point_names[] = {"random", "cluster", "grid points", "sphere",
                                          "one point"};

/* volatile: gcc 12 at -O2 skips the rounding of (double)(float) in complex numbers */
static inline double complex random_value(struct spi_rng *rng)
{
    volatile float re = (float)spi_rng_normal(rng), im = (float)spi_rng_normal(rng);

    return CMPLX((double)re, (double)im);
}

static inline void make_points(struct problem *p, enum points set, struct spi_rng *rng)
{
    for (int64_t j = 0; j < p->n; j++) {
        double v[3], r = 0;

        for (int d = 0; d < 3; d++) {
            v[d] = spi_rng_normal(rng);
            r += v[d] * v[d];
        }
        for (int d = 0; d < 3; d++) {
            double u = spi_rng_uniform(rng);

            if (set == RANDOM || set == ONE) /* three periods to either side */
                v[d] = 6 * (u - 0.5) * two_pi;
            else if (set == CLUSTER) /* across the edge of the period */
                v[d] = two_pi / 2 + 1e-2 * (u - 0.5);
            else if (set == ON_GRID) /* 0 and the edges of the period among them */
                v[d] = two_pi * (floor(12 * u) - 6) / 12;
            else
                v[d] *= 0.95 * two_pi / 2 / sqrt(r);
            p->x[d][j] = (double)(float)v[d];
        }
    }
}

static inline struct problem problem_new(const struct spi_nu_spec *spec, int64_t n,
                                         enum points set, uint64_t seed)
{
    struct problem p = {.spec = *spec, .n = set == ONE ? 1 : n, .n_modes = 1};
    struct spi_rng rng = spi_rng_stream(seed, SPI_RNG_TEST, (uint64_t)set);

    for (int d = 0; d < spec->dim; d++)
        p.n_modes *= spec->modes[d];
    for (int d = 0; d < 3; d++)
        p.x[d] = malloc((size_t)p.n * sizeof *p.x[d]);
    p.c = malloc((size_t)p.n * sizeof *p.c);
    p.f = malloc((size_t)p.n_modes * sizeof *p.f);
    make_points(&p, set, &rng);
    for (int64_t j = 0; j < p.n; j++)
        p.c[j] = random_value(&rng);
    for (int64_t k = 0; k < p.n_modes; k++)
        p.f[k] = random_value(&rng);
    return p;
}

static inline void problem_free(struct problem *p)
{
    for (int d = 0; d < 3; d++)
        free(p->x[d]);
    free(p->c);
    free(p->f);
}

static inline double norm(int64_t n, const double complex *a)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++)
        sum += creal(a[i]) * creal(a[i]) + cimag(a[i]) * cimag(a[i]);
    return sqrt(sum);
}

static inline double relative(int64_t n, const double complex *got,
                              const double complex *want)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++)
        sum += pow(cabs(got[i] - want[i]), 2);
    return sqrt(sum) / norm(n, want);
}

/* What general.h promises for points here and there. */
static inline double promise(double tol, bool single)
{
    return 2 * tol + 16 * (single ? 0x1p-24 : 0x1p-53);
}

/* One transform by the library: type 1 c -> out, type 2 f -> out. */
static inline spi_err transform64(const struct problem *p, int type, int s,
                                  const double complex *in, double complex *out)
{
    spi_err err;
    spi_nuplan_f64 *plan = NULL;

    SPI_TRY(err = spi_nuplan_new_f64(&p->spec, &plan), out);
    SPI_TRY(err = spi_nuplan_points_f64(plan, p->n, p->x[0], p->x[1], p->x[2]), out);
    err = type == 1 ? spi_nuplan_type1_f64(plan, s, 1, in, out)
                    : spi_nuplan_type2_f64(plan, s, 1, in, out);
out:
    spi_nuplan_free_f64(plan);
    return err;
}

static inline spi_err transform32(const struct problem *p, int type, int s,
                                  const double complex *in, double complex *out)
{
    spi_err err;
    spi_nuplan_f32 *plan = NULL;
    int64_t n_in = type == 1 ? p->n : p->n_modes, n_out = type == 1 ? p->n_modes : p->n;
    float *x[3];
    float complex *a = malloc((size_t)n_in * sizeof *a);
    float complex *b = malloc((size_t)n_out * sizeof *b);

    for (int d = 0; d < 3; d++) {
        x[d] = malloc((size_t)p->n * sizeof *x[d]);
        for (int64_t j = 0; j < p->n; j++)
            x[d][j] = (float)p->x[d][j];
    }
    for (int64_t i = 0; i < n_in; i++)
        a[i] = (float complex)in[i];
    SPI_TRY(err = spi_nuplan_new_f32(&p->spec, &plan), out);
    SPI_TRY(err = spi_nuplan_points_f32(plan, p->n, x[0], x[1], x[2]), out);
    err = type == 1 ? spi_nuplan_type1_f32(plan, s, 1, a, b)
                    : spi_nuplan_type2_f32(plan, s, 1, a, b);
    for (int64_t i = 0; i < n_out && !err; i++)
        out[i] = CMPLX(crealf(b[i]), cimagf(b[i]));
out:
    spi_nuplan_free_f32(plan);
    for (int d = 0; d < 3; d++)
        free(x[d]);
    free(a);
    free(b);
    return err;
}

#endif
