/* SPDX-License-Identifier: GPL-3.0-or-later */
/* nubrick_avx2.c, of kernel/nubrick.h: the variant for AVX2. */
#include "kernel/nubrick.h"

#ifdef SPI_KERNEL_X86
#include <stddef.h>

#include "kernel/clones.h"

static bool available(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

/* After the headers: what follows is compiled for this instruction set. */
#pragma GCC target("arch=x86-64-v3")
#define VECTOR_MAX 32
#include "kernel/nubrick_isa.h"

const struct spi_nu_kernels spi_nu_kernels_avx2 = {"avx2", available, SPI_NU_TABLE};
#endif
