/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Orientation matching: kernels, exhaustive and coarse-to-fine search against brute force.
 *
 *   bench_match kernels | search [IMAGES] | anneal | equal [IMAGES] | all
 *
 * JSON lines.  One thread, its CPU time (other work on the machine does not count, but does
 * take cache and clock).  A particle of 149 A made of blobs, curved Ewald sphere (7.75 A),
 * noise-free images of 128 x 128 pixels to 12 A at the edge. */
#include "bench_match.h"

#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "all";
    int64_t n = argc > 2 ? atoll(argv[2]) : 0;
    bool all = strcmp(what, "all") == 0;

    openblas_set_num_threads(1);
    spi_keep_memory();
    if (!all && strcmp(what, "kernels") && strcmp(what, "search") &&
        strcmp(what, "anneal") && strcmp(what, "equal")) {
        fprintf(stderr,
                "usage: bench_match [kernels | search | anneal | equal | all] [IMAGES]\n");
        return 2;
    }
    if (all || strcmp(what, "kernels") == 0)
        all_kernels();
    if (all || strcmp(what, "search") == 0)
        search(n > 0 ? n : 10000);
    if (all || strcmp(what, "anneal") == 0) {
        static const double share[] = {0.03, 1e-3, 2e-4, 0};

        for (int i = 0; i < 4; i++)
            for (int k = 0; k < 4; k++)
                anneal(share[i], k < 2, k % 2 == 0);
    }
    if (all || strcmp(what, "equal") == 0) {
        for (int on_grid = 1; on_grid >= 0; on_grid--) {
            equal(n > 0 ? n : 1000, &spi_likelihood_poisson, on_grid);
            equal(n > 0 ? n : 1000, &spi_likelihood_euclid, on_grid);
        }
    }
    return 0;
}
