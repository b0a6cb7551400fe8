/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "kernel/nugrid.h"

#include <float.h>
#include <math.h>

#include "kernel/clones.h"
#include "kernel/nubrick.h"

#define REAL   float
#define COORD  int32_t
#define UNIT   (1 << SPI_NU_FRACTION)
#define SPI(x) x##_f32
#include "kernel/nugrid_body.h"

#define REAL   double
#define COORD  double
#define UNIT   1
#define SPI(x) x##_f64
#include "kernel/nugrid_body.h"
