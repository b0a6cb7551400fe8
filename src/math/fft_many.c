/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "math/fft_many.h"

#include <fftw3.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/mem.h"
#include "math/fft.h"

#define REAL    float
#define FFTW(x) fftwf_##x
#define SPI(x)  x##_f32
#include "math/fft_many_body.h"

#define REAL    double
#define FFTW(x) fftw_##x
#define SPI(x)  x##_f64
#include "math/fft_many_body.h"
