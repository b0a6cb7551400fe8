#include "kernel/refine.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernel/clones.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize( \
    "fp-contract=fast") /* -std=c17 alone would forbid fused multiply-add */
#endif

/* ---- interpolation ------------------------------------------------------------------- */

/* Eight floats at any float's address; the compiler makes of it what the processor has. */
typedef float v8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef float v4 __attribute__((vector_size(16), aligned(4), may_alias));

#define LOAD8(from) (*(const v8 *)(const void *)(from))
#define LOAD4(from) (*(const v4 *)(const void *)(from))

enum { V_MAX = 8, TERMS = SPI_KAISER_DEGREE(SPI_TAPS_MAX) + 1 };

/* The taps of a coordinate: tap c is sum_p coef[p][c] z^p; 0 beyond w. */
struct window {
    int w, degree;
    float coef[TERMS][SPI_TAPS_MAX];
};

static void window_of(const struct spi_taps *taps, struct window *win)
{
    *win = (struct window){.w = taps->w, .degree = taps->window.degree};
    for (int p = 0; p <= win->degree; p++)
        for (int c = 0; c < win->w; c++)
            win->coef[p][c] = (float)taps->window.coef[p][c];
}

/* Taps t and their derivatives d of the three coordinates by Horner's rule for both; at[]:
 * first grid index, ceil(u - w/2).  f = at + w/2 - u and z = 2 f - 1, so d/du = -2 d/dz. */
SPI_INLINE void taps(const struct window *win, const float u[3], v8 t[3], v8 d[3],
                     ptrdiff_t at[3])
{
    const float odd = (float)(win->w % 2);
    float z[3];

    for (int k = 0; k < 3; k++) {
        float c = ceilf(u[k] - 0.5F * odd);

        at[k] = (ptrdiff_t)c - win->w / 2;
        z[k] = 2 * (c - u[k]) - 1 + odd;
        t[k] = LOAD8(win->coef[win->degree]);
        d[k] = (v8){0};
    }
    for (int p = win->degree - 1; p >= 0; p--) {
        v8 coef = LOAD8(win->coef[p]);

        for (int k = 0; k < 3; k++) {
            d[k] = d[k] * z[k] + t[k];
            t[k] = t[k] * z[k] + coef;
        }
    }
    for (int k = 0; k < 3; k++)
        d[k] *= -2;
}

typedef int i8 __attribute__((vector_size(32)));

/* The taps of y for vector i of a plane: L = 4 holds two rows in a vector, L = 8 one. */
SPI_INLINE void rows(const int L, const v8 *tap, int i, v8 *out)
{
    int a = L == 4 ? 2 * i : i, b = L == 4 ? 2 * i + 1 : i;

    *out = __builtin_shuffle(*tap, (i8){a, a, a, a, b, b, b, b});
}

/* The taps of x, for L = 4 twice. */
SPI_INLINE void columns(const int L, const v8 *tap, v8 *out)
{
    *out = L == 4 ? __builtin_shuffle(*tap, (i8){0, 1, 2, 3, 0, 1, 2, 3}) : *tap;
}

/* out[i] = sum of the eight numbers of p[i]. */
SPI_INLINE void sums_of_8(const v8 p[4], v4 *out)
{
    v4 h[4];

    for (int i = 0; i < 4; i++)
        h[i] = __builtin_shufflevector(p[i], p[i], 0, 1, 2, 3) +
               __builtin_shufflevector(p[i], p[i], 4, 5, 6, 7);

    v4 a = __builtin_shufflevector(h[0], h[1], 0, 4, 1, 5) +
           __builtin_shufflevector(h[0], h[1], 2, 6, 3, 7);
    v4 b = __builtin_shufflevector(h[2], h[3], 0, 4, 1, 5) +
           __builtin_shufflevector(h[2], h[3], 2, 6, 3, 7);

    *out = __builtin_shufflevector(a, b, 0, 1, 4, 5) +
           __builtin_shufflevector(a, b, 2, 3, 6, 7);
}

/* Vectors of a plane: W rows, each read L wide; for L = 4 and odd W one row more, whose tap
 * is 0. */
#define VECTORS(W, L) (((W) * (L) + 7) / 8)

/* acc and dcc: the sums over W planes with the taps of z and with their derivatives. */
SPI_INLINE void gather(const int W, const int L, const float *corner,
                       const struct spi_rows_in *grid, const float *tz, const float *dz,
                       v8 *acc, v8 *dcc)
{
    const int V = VECTORS(W, L);

    for (int i = 0; i < V; i++)
        acc[i] = dcc[i] = (v8){0};
    for (int a = 0; a < W; a++)
        for (int i = 0; i < V; i++) {
            const float *row = corner + a * grid->plane + (L == 4 ? 2 * i : i) * grid->row;
            v8 r;

            if (L == 4) {
                r = __builtin_shufflevector(LOAD4(row), LOAD4(row + grid->row), 0, 1, 2, 3,
                                            4, 5, 6, 7);
            } else {
                r = LOAD8(row);
            }
            acc[i] += tz[a] * r;
            dcc[i] += dz[a] * r;
        }
}

SPI_INLINE void interp_grad(const int W, const int L, const struct window *win,
                            const struct spi_rows_in *grid, int n,
                            const float (*restrict u)[SPI_POINTS],
                            float (*restrict out)[SPI_POINTS])
{
    const int V = VECTORS(W, L);

    for (int j = 0; j < n; j++) {
        float p[3] = {u[0][j], u[1][j], u[2][j]}, tz[8], dz[8];
        v8 t[3], d[3], acc[V_MAX], dcc[V_MAX], s0 = {0}, sy = {0}, sz = {0}, x, dx;
        v4 sum;
        ptrdiff_t at[3];

        taps(win, p, t, d, at);
        memcpy(tz, &t[2], sizeof tz);
        memcpy(dz, &d[2], sizeof dz);
        gather(W, L, grid->at + at[2] * grid->plane + at[1] * grid->row + at[0], grid, tz,
               dz, acc, dcc);
        for (int i = 0; i < V; i++) {
            v8 y, dy;

            rows(L, &t[1], i, &y);
            rows(L, &d[1], i, &dy);
            s0 += acc[i] * y;
            sy += acc[i] * dy;
            sz += dcc[i] * y;
        }
        columns(L, &t[0], &x);
        columns(L, &d[0], &dx);
        sums_of_8((v8[4]){s0 * x, s0 * dx, sy * x, sz * x}, &sum);
        for (int c = 0; c < 4; c++)
            out[c][j] = sum[c];
    }
}

SPI_CLONES void spi_interp_grad(const struct spi_taps *t, const struct spi_rows_in *grid,
                                int n, const float u[3][SPI_POINTS],
                                float out[4][SPI_POINTS])
{
    struct window win;

    assert(n <= SPI_POINTS);
    window_of(t, &win);
    switch (t->w) {
    case 2:
        interp_grad(2, 4, &win, grid, n, u, out);
        break;
    case 3:
        interp_grad(3, 4, &win, grid, n, u, out);
        break;
    case 4:
        interp_grad(4, 4, &win, grid, n, u, out);
        break;
    case 5:
        interp_grad(5, 8, &win, grid, n, u, out);
        break;
    case 6:
        interp_grad(6, 8, &win, grid, n, u, out);
        break;
    case 7:
        interp_grad(7, 8, &win, grid, n, u, out);
        break;
    default:
        interp_grad(8, 8, &win, grid, n, u, out);
        break;
    }
}

/* ---- sums of the likelihood ---------------------------------------------------------- */

/* log x, x > 0 and normal: x = 2^e m, sqrt(1/2) <= m < sqrt 2, and with s = (m - 1)/(m +
 * 1), |s| < 0.1716, log m = 2 (s + s^3/3 + s^5/5 + s^7/7 + ...): the next term is below
 * 3e-8. */
SPI_INLINE float log_of(float x)
{
    int32_t bits, e, m_bits;
    float m;

    memcpy(&bits, &x, sizeof bits);
    e = (bits - 0x3f3504f3) >> 23; /* 0x3f3504f3: sqrt(1/2) */
    m_bits = bits - e * (1 << 23);
    memcpy(&m, &m_bits, sizeof m);

    float s = (m - 1) / (m + 1), s2 = s * s;

    return (float)e * 0.693147181F +
           2 * s * (1 + s2 * (1.0F / 3 + s2 * (1.0F / 5 + s2 * (1.0F / 7))));
}

/* What is added over pixels: the weights of K, of g with one y, of g with two. */
SPI_INLINE void add_sums(const bool poisson, int n, const float *restrict K,
                         const float *restrict g, const float *restrict least,
                         const float *restrict v, const float (*restrict u)[SPI_POINTS],
                         const float (*restrict W)[SPI_POINTS],
                         struct spi_likelihood_sums *sums)
{
    float fit = 0, model = 0, kx = 0, ky = 0, kz = 0, gx = 0, gy = 0, gz = 0;
    float xx = 0, xy = 0, xz = 0, yy = 0, yz = 0, zz = 0;

#pragma omp simd reduction(+ : fit, model, kx, ky, kz, gx, gy, gz, xx, xy, xz, yy, yz, zz)
    for (int j = 0; j < n; j++) {
        float T = W[0][j] > least[j] ? W[0][j] : least[j];
        float live = W[0][j] > least[j] ? 1 : 0;
        float y0 = live * (u[1][j] * W[3][j] - u[2][j] * W[2][j]);
        float y1 = live * (u[2][j] * W[1][j] - u[0][j] * W[3][j]);
        float y2 = live * (u[0][j] * W[2][j] - u[1][j] * W[1][j]);
        float a = poisson ? 1 / T : v[j]; /* of K y and of g y y' */
        float b = poisson ? 1 : T * v[j]; /* of g y */
        float wk = K[j] * a, wg = g[j] * b, w2 = g[j] * a;

        fit += K[j] * (poisson ? log_of(T) : b);
        model += wg * T;
        kx += wk * y0, ky += wk * y1, kz += wk * y2;
        gx += wg * y0, gy += wg * y1, gz += wg * y2;
        xx += w2 * y0 * y0, xy += w2 * y0 * y1, xz += w2 * y0 * y2;
        yy += w2 * y1 * y1, yz += w2 * y1 * y2, zz += w2 * y2 * y2;
    }
    sums->fit += (double)fit, sums->model += (double)model;
    sums->K1[0] += (double)kx, sums->K1[1] += (double)ky, sums->K1[2] += (double)kz;
    sums->g1[0] += (double)gx, sums->g1[1] += (double)gy, sums->g1[2] += (double)gz;
    sums->g2[0] += (double)xx, sums->g2[1] += (double)xy, sums->g2[2] += (double)xz;
    sums->g2[3] += (double)yy, sums->g2[4] += (double)yz, sums->g2[5] += (double)zz;
}

SPI_CLONES void spi_likelihood_sums(int n, const float *K, const float *g,
                                    const float *least, const float *v,
                                    const float u[3][SPI_POINTS],
                                    const float W[4][SPI_POINTS],
                                    struct spi_likelihood_sums *sums)
{
    assert(n <= SPI_POINTS);
    if (v)
        add_sums(false, n, K, g, least, v, u, W, sums);
    else
        add_sums(true, n, K, g, least, g, u, W, sums);
}
