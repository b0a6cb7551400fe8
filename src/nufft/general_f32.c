/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The general transform in single precision. */
#define REAL       float
#define REAL_BYTES 4
#define COORD      int32_t
#define TOL_MIN    1e-6
#define SPI(x)     x##_f32
#include "nufft/general_body.h"
