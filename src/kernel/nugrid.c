#include "kernel/nugrid.h"

#include <float.h>
#include <math.h>

#include "kernel/clones.h"

#define REAL   float
#define SPI(x) x##_f32
#include "kernel/nugrid_body.h"

#define REAL   double
#define SPI(x) x##_f64
#include "kernel/nugrid_body.h"
