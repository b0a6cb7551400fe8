/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "math/positive.h"

/* LAPACK, which OpenBLAS holds and its header does not declare. */
extern void dposv_(const char *uplo, const int *n, const int *nrhs, double *a,
                   const int *lda, double *b, const int *ldb, int *info);

bool spi_positive_solve(int n, double *F, int columns, double *b)
{
    int info;

    if (n == 0)
        return true;
    dposv_("L", &n, &columns, F, &n, b, &n, &info);
    return info == 0;
}
