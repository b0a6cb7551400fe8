/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Included by lanes_body.h: what the machine can do at most. */

static float NAME(peak)(long n)
{
    vec a[12], x = {0}, y = {0};

    x += 0.999F;
    y += 0.1F;
#pragma GCC unroll 12
    for (int i = 0; i < 12; i++)
        a[i] = x;
    for (long k = 0; k < n; k++) {
#pragma GCC unroll 12
        for (int i = 0; i < 12; i++)
            a[i] = a[i] * x + y;
    }
    for (int i = 1; i < 12; i++)
        a[0] += a[i];
    return a[0][0];
}
