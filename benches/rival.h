/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * The libraries and programs beside which the benches measure. */
#ifndef SPI_BENCHES_RIVAL_H
#define SPI_BENCHES_RIVAL_H

#include <complex.h>
#include <stdbool.h>
#include <stdint.h>

/** One transform of single precision: type 1 c -> f, type 2 f -> c, positive exponent, m^3
 *  centred modes, n points in radians. */
struct rival_job {
    int type, m, n_threads;
    bool cpu_time; /* see clock_s */
    double tol;
    int64_t n;
    float *const *x; /* [3][n] */
    float complex *c, *f;
};

/** How many builds of FINUFFT there are, and their names; says why not on standard error.
 */
int finufft_count(void);
const char *finufft_name(int i);
/** What a transform took: all of it, without the plan, without plan and sort. */
enum { RIVAL_ALL, RIVAL_KEPT_PLAN, RIVAL_EXECUTE, RIVAL_TIMES };

/** Plan, sort, transform; false (and a word on standard error) if it fails. */
bool finufft_run(int i, const struct rival_job *job, double seconds[RIVAL_TIMES]);

/** `bart nufft`, forward (type 2, but with the negative exponent) or adjoint; even m only,
 *  its tolerance is fixed.  `seconds`: of the program, with the files that it reads and
 *  writes.  False (and a word on standard error) if there is none. */
bool bart_run(const struct rival_job *job, double *seconds);

#endif
