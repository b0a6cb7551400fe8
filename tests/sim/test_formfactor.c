/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The compiled table against the CSV of the source, read here independently. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sim/formfactor.h"
#include "tap.h"

/* f0 of one CSV row: label,element,Z,charge,state,a1..a5,b1..b5,c */
static double from_csv(const char *line, double s)
{
    double v[11];

    for (int k = 0; k < 5; k++)
        line = strchr(line, ',') + 1;
    for (int k = 0; k < 11; k++) {
        char *end;

        v[k] = strtod(line, &end);
        line = end + 1;
    }

    double f = v[10];

    for (int k = 0; k < 5; k++)
        f += v[k] * exp(-v[5 + k] * s * s);
    return f;
}

int main(void)
{
    char path[512], line[512];
    double worst = 0, worst_zero = 0;
    int n = 0, ions_alike = 0;

    snprintf(path, sizeof path, "%s/scattering/f0_WK1995.csv", getenv("SPI_TEST_DATA"));

    FILE *f = fopen(path, "r");

    while (f && fgets(line, sizeof line, f)) {
        char label[16], element[8];
        int z, charge, used = 0;

        if (sscanf(line, "%15[^,],%7[^,],%d,%d,%n", label, element, &z, &charge, &used) !=
            4)
            continue;
        if (strcmp(label, element) != 0) { /* an ion or a valence state */
            ions_alike += fabs(from_csv(line, 0.1) - spi_formfactor(z, 0.2)) < 1e-9;
            continue;
        }
        n++;
        for (double s = 0; s <= 6; s += 0.05)
            worst = fmax(worst, fabs(from_csv(line, s) - spi_formfactor(z, 2 * s)));
        worst_zero = fmax(worst_zero, fabs(spi_formfactor(z, 0) / z - 1));
    }
    if (f)
        fclose(f);
    OK(n == 98, "%d neutral atoms", n);
    OK(worst < 98 * 1e-15 * 12, "largest difference %.1e",
       worst);             /* 12 roundings of f <= 98 */
    OK(worst_zero < 0.003, /* the fit's own misfit at s = 0, worst for H */
       "f0(0) = Z to %.2f %%", 100 * worst_zero);
    OK(ions_alike == 0,
       "ions differ from the neutral atoms, so that the comparison can fail");
    OK(fabs(spi_debye_waller(20, 0.5) - exp(-20 * 0.25 * 0.25)) < 1e-15, /* one rounding */
       "exp(-B s^2) with s = q/2");
    return tap_done();
}
