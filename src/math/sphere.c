#include "math/sphere.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

void spi_sphere_point(int64_t n, int64_t i, double dir[3])
{
    static const double golden = 2.39996322972865332; /* pi (3 - sqrt 5) */
    double z = 1 - (2 * (double)i + 1) / (double)n, s = sqrt(fmax(0, 1 - z * z));
    double phi = fmod(golden * (double)i, 2 * pi);

    dir[0] = s * cos(phi);
    dir[1] = s * sin(phi);
    dir[2] = z;
}

int64_t spi_sphere_count(double cell)
{
    double n = ceil(4 * pi / (cell * cell));

    return n < 12 ? 12 : (int64_t)n;
}

int spi_sphere_near(int64_t n, const double dir[3], double radius, int max, int32_t *index)
{
    double theta = acos(fmax(-1, fmin(1, dir[2])));
    double z_hi = theta - radius <= 0 ? 1 : cos(theta - radius);
    double z_lo = theta + radius >= pi ? -1 : cos(theta + radius);
    int64_t first = (int64_t)floor((1 - z_hi) * (double)n / 2 - 0.5) - 1;
    int64_t last = (int64_t)ceil((1 - z_lo) * (double)n / 2 - 0.5) + 1;
    double least = cos(radius);
    int found = 0;

    for (int64_t i = first < 0 ? 0 : first; i <= last && i < n; i++) {
        double p[3];

        spi_sphere_point(n, i, p);
        if (p[0] * dir[0] + p[1] * dir[1] + p[2] * dir[2] < least)
            continue;
        if (found < max)
            index[found] = (int32_t)i;
        found++;
    }
    return found;
}
