/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Included by lanes.c once for each instruction set: LANES floats in a vector, IMAGES of a
 * group at once (2 IMAGES accumulators must fit the registers), NAME(function).  The
 * kernels stand in a file each; the later ones use functions of the earlier ones. */
/* clang-format off */
#define vec NAME(vec)
#define uvec NAME(uvec)
#define ivec NAME(ivec)
#define bvec NAME(bvec)
#define hvec NAME(hvec)
/* clang-format on */
typedef float vec __attribute__((vector_size(4 * LANES), may_alias));
typedef int32_t ivec __attribute__((vector_size(4 * LANES)));
typedef uint32_t bvec __attribute__((vector_size(4 * LANES)));
typedef uint16_t hvec __attribute__((vector_size(2 * LANES), may_alias));
typedef float uvec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

#define V(p)  (*(vec *)(p))
#define CV(p) (*(const vec *)(p))
#define UV(p) (*(const uvec *)(p))
/* a where the comparison holds, else 0 */
#define WHERE(condition, a) ((vec)((ivec)(a) & (condition)))
#define STEP                (2 * SPI_LANES) /* floats from one complex number of a lane to the next */

/* clang-format off */
#include "kernel/lanes_columns_body.h"
#include "kernel/lanes_correlate_body.h"
#include "kernel/lanes_angular_body.h"
#include "kernel/lanes_score_body.h"
#include "kernel/lanes_weights_body.h"
#include "kernel/lanes_spectrum_body.h"
#include "kernel/lanes_gather_body.h"
#include "kernel/lanes_peak_body.h"
/* clang-format on */

#undef STEP
#undef WHERE
#undef V
#undef CV
#undef UV
#undef vec
#undef uvec
#undef ivec
#undef bvec
#undef hvec
#undef MAX
#undef LANES
#undef IMAGES
#undef SIDE
#undef SCALE_BY_POWER
#undef ABOVE_FLOOR
#undef NAME
