/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Included by fft_many.c for each precision: REAL, FFTW(name), SPI(name). */

struct SPI(spi_fft_many) {
    FFTW(plan) plan;
};

static spi_err SPI(make)(int n, int columns, int stride, int dist, int sign, bool in_place,
                         struct SPI(spi_fft_many) * *out)
{
    spi_err err;
    size_t size = ((size_t)(n - 1) * (size_t)stride + (size_t)columns);
    FFTW(complex) *a = NULL, *b = NULL;
    int fftw_sign = sign < 0 ? FFTW_FORWARD : FFTW_BACKWARD;

    *out = NULL;
    SPI_TRY(err = SPI_NEW(*out, 1, "fft plan"), out);
    SPI_TRY(err = SPI_NEW(a, size, "fft plan"), out);
    if (!in_place)
        SPI_TRY(err = SPI_NEW(b, size, "fft plan"), out);
    spi_fft_lock();
    (*out)->plan = FFTW(plan_many_dft)(
        1, &n, columns, a, NULL, stride, dist, in_place ? a : b, NULL, stride, dist,
        fftw_sign, FFTW_ESTIMATE | (in_place ? 0 : FFTW_PRESERVE_INPUT));
    spi_fft_unlock();
    if (!(*out)->plan)
        err = spi_no_memory("plan of an FFT", 0);
out:
    free(b);
    free(a);
    if (err && *out) {
        free(*out);
        *out = NULL;
    }
    return err;
}

spi_err SPI(spi_fft_many_row)(int n, int sign, struct SPI(spi_fft_many) * *out)
{
    return SPI(make)(n, 1, 1, n, sign, false, out);
}

spi_err SPI(spi_fft_many_columns)(int n, int columns, int stride, int sign,
                                  struct SPI(spi_fft_many) * *out)
{
    return SPI(make)(n, columns, stride, 1, sign, true, out);
}

void SPI(spi_fft_many_run)(const struct SPI(spi_fft_many) * lines, REAL complex *in,
                           REAL complex *out)
{
    FFTW(execute_dft)(lines->plan, (FFTW(complex) *)in, (FFTW(complex) *)out);
}

void SPI(spi_fft_many_free)(struct SPI(spi_fft_many) * lines)
{
    if (!lines)
        return;
    spi_fft_lock();
    FFTW(destroy_plan)(lines->plan);
    spi_fft_unlock();
    free(lines);
}

#undef REAL
#undef FFTW
#undef SPI
