/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The transforms of convolve.c in one precision: included once for float, once for double,
 * with REAL, FFTW(function) and NAMED(function) defined.  No header of its own right. */

/* Rows of one plane, real <-> half complex; columns of [N][h] in place, both ways.
 * ESTIMATE: two runs use the same algorithm (math/fft.h). */
static spi_err NAMED(make_plans)(spi_convolve *c)
{
    int n = c->n, N = c->N, h = c->h;
    REAL *rows = NULL;
    FFTW(complex) *work = c->work;
    spi_err err = SPI_NEW(rows, (size_t)n * (size_t)N, "convolution");

    if (err)
        return err;
    pthread_mutex_lock(&lock);
    c->plan[X_THERE] = FFTW(plan_many_dft_r2c)(1, &N, n, rows, NULL, 1, N, work, NULL, 1, h,
                                               FFTW_ESTIMATE);
    c->plan[X_BACK] = FFTW(plan_many_dft_c2r)(1, &N, n, work, NULL, 1, h, rows, NULL, 1, N,
                                              FFTW_ESTIMATE);
    for (int axis = Y_THERE; axis <= Y_BACK; axis++)
        c->plan[axis] = FFTW(plan_many_dft)(1, &N, h, work, NULL, h, 1, work, NULL, h, 1,
                                            axis <= Z_THERE ? FFTW_FORWARD : FFTW_BACKWARD,
                                            FFTW_ESTIMATE);
    pthread_mutex_unlock(&lock);
    free(rows);
    for (int i = 0; i < 6; i++)
        if (!c->plan[i])
            return spi_no_memory("plan of a convolution", 0);
    return SPI_OK;
}

/* Q is even, so its transform is real; plane by plane, then along z for each y. */
static spi_err NAMED(make_symbol)(spi_convolve *c, const double *Q)
{
    size_t n = (size_t)c->n, N = (size_t)c->N, h = (size_t)c->h, plane = N * h;
    REAL *symbol, *rows = NULL, scale = (REAL)(1 / ((double)N * (double)N * (double)N));
    FFTW(complex) *all = NULL, *column = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(symbol, N * plane, "convolution"), out);
    c->symbol = symbol;
    if (!Q)
        return SPI_OK;
    SPI_TRY(err = SPI_NEW(rows, N * N, "convolution"), out);
    SPI_TRY(err = SPI_NEW(all, N * plane, "convolution"), out);
    SPI_TRY(err = SPI_NEW(column, plane, "convolution"), out);
    for (size_t z = 0; z < N; z++) {
        const double *from = Q + (z + n) % N * N * N;
        FFTW(complex) *to = all + z * plane;

        for (size_t y = 0; y < N; y++)
            for (size_t x = 0; x < N; x++)
                rows[y * N + x] = (REAL)from[(y + n) % N * N + (x + n) % N];
        for (int part = 0; part < 2; part++) { /* the plan is one of n rows */
            memcpy(column, rows + (size_t)part * n * N, n * N * sizeof *rows);
            FFTW(execute_dft_r2c)(c->plan[X_THERE], (REAL *)column, c->work);
            memcpy(to + (size_t)part * n * h, c->work, n * h * sizeof *to);
        }
        memcpy(column, to, plane * sizeof *to);
        FFTW(execute_dft)(c->plan[Y_THERE], column, column);
        memcpy(to, column, plane * sizeof *to);
    }
    for (size_t y = 0; y < N; y++) {
        for (size_t z = 0; z < N; z++)
            memcpy(column + z * h, all + (z * N + y) * h, h * sizeof *column);
        FFTW(execute_dft)(c->plan[Z_THERE], column, column);
        for (size_t i = 0; i < plane; i++)
            symbol[y * plane + i] = scale * column[i][0];
    }
out:
    free(column);
    free(all);
    free(rows);
    return err;
}

static spi_err NAMED(planes)(spi_convolve *c, const double *x, int from, int to)
{
    size_t n = (size_t)c->n, N = (size_t)c->N, h = (size_t)c->h;
    REAL *rows;
    spi_err err = SPI_NEW(rows, n * N, "convolution");

    for (int z = from; z < to && !err; z++) {
        FFTW(complex) *work = (FFTW(complex) *)c->work + (size_t)z * c->plane;

        for (size_t y = 0; y < n; y++) {
            const double *row = x + ((size_t)z * n + y) * n;

            for (size_t i = 0; i < n; i++)
                rows[y * N + i] = (REAL)row[i];
            memset(rows + y * N + n, 0, n * sizeof *rows);
        }
        FFTW(execute_dft_r2c)(c->plan[X_THERE], rows, work);
        memset(work + n * h, 0, n * h * sizeof *work);
        FFTW(execute_dft)(c->plan[Y_THERE], work, work);
    }
    free(rows);
    return err;
}

static spi_err NAMED(columns)(spi_convolve *c, int from, int to)
{
    size_t n = (size_t)c->n, N = (size_t)c->N, h = (size_t)c->h;
    FFTW(complex) * column, *work = c->work;
    spi_err err = SPI_NEW(column, N * h, "convolution");

    for (int y = from; y < to && !err; y++) {
        const REAL *symbol = (const REAL *)c->symbol + (size_t)y * N * h;

        for (size_t z = 0; z < n; z++)
            memcpy(column + z * h, work + z * c->plane + (size_t)y * h, h * sizeof *column);
        memset(column + n * h, 0, n * h * sizeof *column);
        FFTW(execute_dft)(c->plan[Z_THERE], column, column);
        for (size_t i = 0; i < N * h; i++) {
            column[i][0] *= symbol[i];
            column[i][1] *= symbol[i];
        }
        FFTW(execute_dft)(c->plan[Z_BACK], column, column);
        for (size_t z = 0; z < n; z++)
            memcpy(work + z * c->plane + (size_t)y * h, column + z * h, h * sizeof *column);
    }
    free(column);
    return err;
}

static spi_err NAMED(back)(spi_convolve *c, double *y, int from, int to)
{
    size_t n = (size_t)c->n, N = (size_t)c->N;
    REAL *rows;
    spi_err err = SPI_NEW(rows, n * N, "convolution");

    for (int z = from; z < to && !err; z++) {
        FFTW(complex) *work = (FFTW(complex) *)c->work + (size_t)z * c->plane;

        FFTW(execute_dft)(c->plan[Y_BACK], work, work);
        FFTW(execute_dft_c2r)(c->plan[X_BACK], work, rows);
        for (size_t j = 0; j < n; j++)
            for (size_t i = 0; i < n; i++)
                y[((size_t)z * n + j) * n + i] = (double)rows[j * N + i];
    }
    free(rows);
    return err;
}
