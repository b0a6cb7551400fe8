/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sim/density.h"

#include <cblas.h>
#include <complex.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "math/fft.h"
#include "math/rot.h"
#include "sim/formfactor.h"

enum { BLOCK = 512 }; /* atoms of one matrix product */

/* The box of frequencies |k_i| <= K around the ball, doc/math.md (D2):
 * sums[kz + K][ky + K][kx], kx = 0 .. K; the other half follows from F(-q) = conj F(q). */
struct box {
    int n, K;
    double dq, q_max;
    float complex *sums; /* of the atoms of one element, without f0 */
    float complex *x;    /* [BLOCK][K + 1] occ T exp(-2 pi i kx dq x) */
    float complex *y;    /* [2 K + 1][BLOCK] */
    float complex *z;    /* [2 K + 1][BLOCK] */
    float complex *yz;   /* [2 K + 1][BLOCK] y times one row of z */
    float complex *half; /* [n][n][n / 2 + 1], F of all elements, FFT order */
};

static spi_err box_init(struct box *b, int n, double step, double q_max)
{
    spi_err err;

    *b = (struct box){.n = n, .dq = 1 / (n * step)};
    b->q_max = q_max > 0 && q_max < 0.5 / step ? q_max : 0.5 / step;
    b->K = (int)(b->q_max / b->dq * (1 + 1e-12)); /* a q_max on the grid is inside */
    if (b->K > n / 2 - 1)
        b->K = n / 2 - 1;

    int64_t side = 2 * b->K + 1;

    SPI_TRY(err = SPI_NEW(b->sums, side * side * (b->K + 1), "density"), out);
    SPI_TRY(err = SPI_NEW(b->x, BLOCK * (b->K + 1), "density"), out);
    SPI_TRY(err = SPI_NEW(b->y, BLOCK * side, "density"), out);
    SPI_TRY(err = SPI_NEW(b->z, BLOCK * side, "density"), out);
    SPI_TRY(err = SPI_NEW(b->yz, BLOCK * side, "density"), out);
    SPI_TRY(err = SPI_NEW(b->half, (int64_t)n * n * (n / 2 + 1), "density"), out);
out:
    return err;
}

static void box_clear(struct box *b)
{
    free(b->sums);
    free(b->x);
    free(b->y);
    free(b->z);
    free(b->yz);
    free(b->half);
}

/* exp(-B q^2 / 4) exp(-2 pi i q x) of one axis, q = k dq. */
static float complex axis_factor(const struct box *b, int k, double x, double b_A2)
{
    double q = k * b->dq;
    double T = exp(-b_A2 * q * q / 4), phase = -2 * SPI_PI * q * x;

    return (float)(T * cos(phase)) + I * (float)(T * sin(phase));
}

/* Add the sums over m <= BLOCK atoms: for each kz one product (ky x atoms)(atoms x kx). */
static void add_block(struct box *b, const struct spi_atom *const *atom, int m)
{
    const int K = b->K, side = 2 * K + 1;
    const float complex one = 1;

    for (int a = 0; a < m; a++) {
        for (int k = 0; k <= K; k++)
            b->x[(size_t)a * (K + 1) + k] =
                atom[a]->occupancy * axis_factor(b, k, atom[a]->x, (double)atom[a]->b_A2);
        for (int k = -K; k <= K; k++) {
            b->y[(size_t)(k + K) * BLOCK + a] =
                axis_factor(b, k, atom[a]->y, (double)atom[a]->b_A2);
            b->z[(size_t)(k + K) * BLOCK + a] =
                axis_factor(b, k, atom[a]->z, (double)atom[a]->b_A2);
        }
    }
    for (int kz = 0; kz < side; kz++) {
        const float complex *z = b->z + (size_t)kz * BLOCK;

        for (int ky = 0; ky < side; ky++)
            for (int a = 0; a < m; a++)
                b->yz[(size_t)ky * BLOCK + a] = b->y[(size_t)ky * BLOCK + a] * z[a];
        cblas_cgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, side, K + 1, m, &one, b->yz,
                    BLOCK, b->x, K + 1, &one,
                    b->sums + (size_t)kz * (size_t)side * (size_t)(K + 1), K + 1);
    }
}

/* half += f0(|q|) sums / (n dx)^3 within the ball, doc/math.md (D1). */
static void add_element(struct box *b, int element)
{
    const int K = b->K, side = 2 * K + 1, n = b->n;
    const double per_volume = b->dq * b->dq * b->dq;

    for (int kz = -K; kz <= K; kz++)
        for (int ky = -K; ky <= K; ky++)
            for (int kx = 0; kx <= K; kx++) {
                double q = b->dq * sqrt((double)(kx * kx + ky * ky + kz * kz));
                size_t from = ((size_t)(kz + K) * side + (size_t)(ky + K)) * (K + 1) + kx;
                size_t to = ((size_t)((kz + n) % n) * n + (size_t)((ky + n) % n)) *
                                (size_t)(n / 2 + 1) +
                            (size_t)kx;

                if (q <= b->q_max * (1 + 1e-12))
                    b->half[to] +=
                        (float)(spi_formfactor(element, q) * per_volume) * b->sums[from];
            }
}

static spi_err check(const struct spi_structure *s, int n, double step)
{
    double edge = n * step / 2;

    if (n < 4 || n % 2 || !(step > 0))
        return spi_fail(SPI_EINVAL, "density: grid of %d voxels of %g A; need an even side",
                        n, step);
    for (int64_t i = 0; i < s->n; i++) {
        const struct spi_atom *a = &s->atom[i];

        if (!(fmax(fabs(a->x), fmax(fabs(a->y), fabs(a->z))) < edge))
            return spi_fail(SPI_EINVAL,
                            "density: atom %lld at (%.1f, %.1f, %.1f) A is outside of the "
                            "map's box of %.1f A",
                            (long long)i + 1, a->x, a->y, a->z, 2 * edge);
    }
    return SPI_OK;
}

static spi_err to_real(struct box *b, double step, struct spi_volume *out)
{
    float *fft_order = NULL;
    spi_err err;

    SPI_TRY(err = spi_volume_init(out, b->n, step), out);
    SPI_TRY(err = SPI_NEW(fft_order, spi_volume_count(out), "density"), out);
    SPI_TRY(err = spi_fft3_c2r(b->n, b->half, fft_order), out);
    spi_volume_roll(b->n, fft_order, out->data);
out:
    free(fft_order);
    if (err)
        spi_volume_clear(out);
    return err;
}

spi_err spi_density_from_structure(const struct spi_structure *s, int n, double step,
                                   double q_max, struct spi_volume *out)
{
    struct box b = {0};
    const struct spi_atom *block[BLOCK];
    spi_err err;

    *out = (struct spi_volume){0};
    SPI_TRY(err = check(s, n, step), out);
    SPI_TRY(err = box_init(&b, n, step, q_max), out);
    for (int element = 1; element <= SPI_FORMFACTOR_Z_MAX; element++) {
        size_t side = 2 * (size_t)b.K + 1;
        bool any = false;
        int m = 0;

        for (int64_t i = 0; i < s->n; i++) {
            if (s->atom[i].element != element)
                continue;
            if (!any)
                memset(b.sums, 0, side * side * (size_t)(b.K + 1) * sizeof *b.sums);
            any = true;
            block[m++] = &s->atom[i];
            if (m == BLOCK) {
                add_block(&b, block, m);
                m = 0;
            }
        }
        if (m)
            add_block(&b, block, m);
        if (any)
            add_element(&b, element);
    }
    err = to_real(&b, step, out);
out:
    box_clear(&b);
    return err;
}
