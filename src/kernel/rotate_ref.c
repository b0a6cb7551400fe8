/* SPDX-License-Identifier: GPL-3.0-or-later */
/* rotate_ref.c, of kernel/rotate.h: the formula in double. */
#include "kernel/rotate.h"

void spi_add_rotated_ref(int R, const int *at, const float complex *phasor,
                         const float complex *h, double complex *to)
{
    for (int r = 0; r < R; r++)
        for (int m = 0; m < at[r + 1] - at[r]; m++)
            to[at[r] + m] += (double complex)phasor[m] * (double complex)h[at[r] + m];
}
