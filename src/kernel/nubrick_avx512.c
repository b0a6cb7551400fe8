/* SPDX-License-Identifier: GPL-3.0-or-later */
/* nubrick_avx512.c, of kernel/nubrick.h: the variant for AVX-512. */
#include "kernel/nubrick.h"

#ifdef SPI_KERNEL_X86
#include <stddef.h>

#include "kernel/clones.h"

static bool available(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512cd");
}

/* After the headers: what follows is compiled for this instruction set. */
#pragma GCC target("arch=x86-64-v4")
#define VECTOR_MAX 64
#include "kernel/nubrick_isa.h"

const struct spi_nu_kernels spi_nu_kernels_avx512 = {"avx512", available, SPI_NU_TABLE};
#endif
