#include "kernel/correlate.h"

#include "kernel/clones.h"

SPI_CLONES void spi_correlate(int M, const int *off, const float *c, const float *L,
                              long stride, float *re, float *im)
{
    for (int m = 0; m < M; m++) {
        int k = (off[m + 1] - off[m]) / 2;
        const float *cr = c + off[m], *ci = cr + k, *lr = L + off[m], *li = lr + k;
        float sr = 0, si = 0;

#pragma omp simd reduction(+ : sr, si)
        for (int i = 0; i < k; i++) {
            sr += cr[i] * lr[i] + ci[i] * li[i];
            si += cr[i] * li[i] - ci[i] * lr[i];
        }
        re[m * stride] = sr;
        im[m * stride] = si;
    }
}
