/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The general transform in double precision. */
#define REAL       double
#define REAL_BYTES 8
#define COORD      double
#define TOL_MIN    1e-13
#define SPI(x)     x##_f64
#include "nufft/general_body.h"
