/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/sort.h"

#include <stdlib.h>

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

void spi_sort(int64_t n, double *x)
{
    qsort(x, (size_t)n, sizeof *x, by_value);
}

double spi_median(int64_t n, double *x)
{
    spi_sort(n, x);
    return n > 0 ? x[n / 2] : 0;
}
