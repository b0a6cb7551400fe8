/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "kernel/nubrick.h"

#include <stddef.h>
#include <string.h>

#include "kernel/clones.h"

#ifdef __SANITIZE_ADDRESS__
#pragma GCC optimize("O2") /* at -O3 the checks are unrolled for many minutes */
#endif
#define VECTOR_MAX 16
#include "kernel/nubrick_isa.h"

static bool always(void)
{
    return true;
}

const struct spi_nu_kernels spi_nu_kernels_plain = {"plain", always, SPI_NU_TABLE};

const struct spi_nu_kernels *const spi_nu_kernels[] = {
#ifdef SPI_KERNEL_X86
    &spi_nu_kernels_avx512,
    &spi_nu_kernels_avx2,
#endif
    &spi_nu_kernels_plain,
    NULL,
};

const struct spi_nu_kernels *spi_nu_kernels_best(void)
{
    const struct spi_nu_kernels *const *k = spi_nu_kernels;

    while (!(*k)->available())
        k++;
    return *k;
}

static int padded(int w)
{
    return w <= 2 ? 2 : w <= 4 ? 4 : w <= 8 ? 8 : 16;
}

void spi_nu_taps_f32(const struct spi_kaiser *win, struct spi_nu_taps_f32 *taps)
{
    memset(taps, 0, sizeof *taps);
    for (int p = 0; p <= win->degree; p++)
        for (int a = 0; a < win->w; a++) {
            float v = (float)win->coef[p][a];

            taps->x[p][2 * a] = taps->x[p][2 * a + 1] = v;
            taps->yz[p][a] = taps->yz[p][padded(win->w) + a] = v;
        }
}

void spi_nu_taps_f64(const struct spi_kaiser *win, struct spi_nu_taps_f64 *taps)
{
    memset(taps, 0, sizeof *taps);
    for (int p = 0; p <= win->degree; p++)
        for (int a = 0; a < win->w; a++) {
            double v = win->coef[p][a];

            taps->x[p][2 * a] = taps->x[p][2 * a + 1] = v;
            taps->yz[p][a] = taps->yz[p][padded(win->w) + a] = v;
        }
}
