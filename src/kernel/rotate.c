/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "kernel/rotate.h"

#include "kernel/clones.h"

enum { BLOCK = 8 }; /* complex numbers of a vector, re and im by turns */

typedef float vec __attribute__((vector_size(64), aligned(4), may_alias));
typedef int ivec __attribute__((vector_size(64)));

/* Block by block of m, the rings inside: few loops, long ones, and a block of the phasor
 * stays in registers.  x rotated is re(t) x + im(t) i x, where i x is x with its parts
 * exchanged and the first of them negative. */
SPI_CLONES void spi_add_rotated(int R, const int *at, const float complex *phasor,
                                const float complex *h, float complex *to)
{
    const ivec re = {0, 0, 2, 2, 4, 4, 6, 6, 8, 8, 10, 10, 12, 12, 14, 14}, im = re + 1;
    const ivec exchanged = {1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14};
    const vec sign = {-1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1};
    int first = 0;

    for (int m = 0; first < R; m += BLOCK) {
        vec t = *(const vec *)(phasor + m), a = SPI_SHUFFLE(t, re);
        vec b = SPI_SHUFFLE(t, im) * sign;
        int r = first;

        for (; r + 1 < R; r += 2) { /* two at once: one alone would wait for itself */
            const vec x = *(const vec *)(h + at[r] + m),
                      y = *(const vec *)(h + at[r + 1] + m);
            vec *p = (vec *)(to + at[r] + m), *q = (vec *)(to + at[r + 1] + m);
            vec u = *p + a * x, v = *q + a * y;

            *p = u + b * SPI_SHUFFLE(x, exchanged);
            *q = v + b * SPI_SHUFFLE(y, exchanged);
        }
        if (r < R) {
            const vec x = *(const vec *)(h + at[r] + m);

            *(vec *)(to + at[r] + m) += a * x + b * SPI_SHUFFLE(x, exchanged);
        }
        while (first < R && at[first + 1] - at[first] <= m + BLOCK)
            first++;
    }
}
