/* SPDX-License-Identifier: GPL-3.0-or-later */
/* All widths in both precisions for one vector length; included once by each of
 * nubrick.c, nubrick_avx2.c and nubrick_avx512.c with VECTOR_MAX (bytes) defined. */
#define REAL       float
#define REAL_BYTES 4
#define COORD      int32_t
#define SUFFIX     f32
#define W          2
#include "kernel/nubrick_body.h"
#define W 3
#include "kernel/nubrick_body.h"
#define W 4
#include "kernel/nubrick_body.h"
#define W 5
#include "kernel/nubrick_body.h"
#define W 6
#include "kernel/nubrick_body.h"
#define W 7
#include "kernel/nubrick_body.h"
#define W 8
#include "kernel/nubrick_body.h"
#undef REAL
#undef REAL_BYTES
#undef COORD
#undef SUFFIX

#define REAL       double
#define REAL_BYTES 8
#define COORD      double
#define SUFFIX     f64
#define W          2
#include "kernel/nubrick_body.h"
#define W 3
#include "kernel/nubrick_body.h"
#define W 4
#include "kernel/nubrick_body.h"
#define W 5
#include "kernel/nubrick_body.h"
#define W 6
#include "kernel/nubrick_body.h"
#define W 7
#include "kernel/nubrick_body.h"
#define W 8
#include "kernel/nubrick_body.h"
#define W 9
#include "kernel/nubrick_body.h"
#define W 10
#include "kernel/nubrick_body.h"
#define W 11
#include "kernel/nubrick_body.h"
#define W 12
#include "kernel/nubrick_body.h"
#define W 13
#include "kernel/nubrick_body.h"
#define W 14
#include "kernel/nubrick_body.h"
#define W 15
#include "kernel/nubrick_body.h"
#define W 16
#include "kernel/nubrick_body.h"

#define NARROW(op, s)                                                                   \
    NULL, NULL, op##_2_##s, op##_3_##s, op##_4_##s, op##_5_##s, op##_6_##s, op##_7_##s, \
        op##_8_##s
#define WIDE(op, s)                                                                \
    NARROW(op, s), op##_9_##s, op##_10_##s, op##_11_##s, op##_12_##s, op##_13_##s, \
        op##_14_##s, op##_15_##s, op##_16_##s
#define SPI_NU_TABLE                                                          \
    .spread_f32 = {NARROW(spread, f32)}, .interp_f32 = {NARROW(interp, f32)}, \
    .spread_f64 = {WIDE(spread, f64)}, .interp_f64 = {WIDE(interp, f64)}
