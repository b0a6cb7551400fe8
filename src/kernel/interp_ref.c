#include "kernel/interp.h"

#include <math.h>
#include <stddef.h>

/* Calls body(grid index, weight) for the w^3 taps of point j. */
#define FOR_TAPS(win, side, pos_j, body)                                 \
    for (int a_ = 0; a_ < (win)->w; a_++)                                \
        for (int b_ = 0; b_ < (win)->w; b_++)                            \
            for (int c_ = 0; c_ < (win)->w; c_++) {                      \
                const int d_[3] = {c_, b_, a_};                          \
                size_t at = 0;                                           \
                double weight = 1;                                       \
                for (int axis = 2; axis >= 0; axis--) {                  \
                    double u = (double)(pos_j)[axis];                    \
                    int i = (int)floor(u) - (win)->w / 2 + 1 + d_[axis]; \
                    weight *= spi_window_value((win), i - u);            \
                    at = at * (size_t)(side) + (size_t)(i + (side) / 2); \
                }                                                        \
                body                                                     \
            }

void spi_interp_ref(const struct spi_window *win, int side, int comp, const float *grid,
                    int64_t n, const float (*pos)[3], double *out, double *mag)
{
    for (int64_t j = 0; j < n; j++)
        for (int c = 0; c < comp; c++) {
            double sum = 0, abs_sum = 0;

            FOR_TAPS(win, side, pos[j], {
                double v = weight * (double)grid[at * (size_t)comp + (size_t)c];

                sum += v;
                abs_sum += fabs(v);
            })
            out[j * comp + c] = sum;
            if (mag)
                mag[j * comp + c] = abs_sum;
        }
}

void spi_spread_ref(const struct spi_window *win, int side, int comp, double *grid,
                    int64_t n, const float (*pos)[3], const float *val)
{
    for (int64_t j = 0; j < n; j++)
        for (int c = 0; c < comp; c++)
            FOR_TAPS(win, side, pos[j], {
                grid[at * (size_t)comp + (size_t)c] += weight * (double)val[j * comp + c];
            })
}
