/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * One source, several instruction sets, chosen when the program starts.  Layer: kernel.
 *
 * A hot function marked SPI_CLONES is compiled for plain x86-64, AVX2 + FMA and AVX-512;
 * elsewhere (other processors, other compilers, sanitizers) it is an ordinary function. */
#ifndef SPI_KERNEL_CLONES_H
#define SPI_KERNEL_CLONES_H

#include <stddef.h>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define SPI_KERNEL_X86 1 /* intrinsics with the target attribute may be used, too */
#define SPI_CLONES \
    __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define SPI_CLONES
#endif
/* The numbers of a vector in the order of an index vector, which need not be constant. */
#ifdef __clang__
#define SPI_SHUFFLE(v, index)                                          \
    ({                                                                 \
        __typeof__(+(v)) from_ = (v), to_ = from_;                     \
        __typeof__(+(index)) at_ = (index);                            \
        for (size_t k_ = 0; k_ < sizeof from_ / sizeof from_[0]; k_++) \
            to_[k_] = from_[at_[k_]];                                  \
        to_;                                                           \
    })
#else
#define SPI_SHUFFLE(v, index) __builtin_shuffle(v, index)
#endif
#define SPI_INLINE static inline __attribute__((always_inline))

#endif
