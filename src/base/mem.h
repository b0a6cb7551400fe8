/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Checked, aligned, zeroed memory.  Layer: base.
 *
 * The environment variable SPI_FAIL_ALLOC=n makes the n-th allocation of the process fail
 * (counted from 1): tests walk n over a whole command (tests/faults/memory.sh). */
#ifndef SPI_BASE_MEM_H
#define SPI_BASE_MEM_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/** SPI_ENOMEM: "WHAT: out of memory: ...", how much was asked for (0: not known), how much
 * there is, and what to do. */
SPI_MUSTUSE __attribute__((cold)) spi_err spi_no_memory(const char *what, size_t bytes);

/** 64-byte aligned, zeroed array of n elements of `size` bytes; NULL with a
 *  message when there is no memory or n * size overflows.  Release: free(). */
SPI_MUSTUSE void *spi_alloc(size_t n, size_t size, const char *what);

/** The same without the zeros: for large arrays that several threads fill at once. */
SPI_MUSTUSE void *spi_alloc_unset(size_t n, size_t size, const char *what);

/** p = n elements of its own type; the value is a spi_err. */
#define SPI_NEW(p, n, what) \
    (((p) = spi_alloc((size_t)(n), sizeof *(p), (what))) != NULL ? SPI_OK : SPI_ENOMEM)

/** The same without the zeros: for large arrays that are filled at once. */
#define SPI_NEW_UNSET(p, n, what)                                               \
    (((p) = spi_alloc_unset((size_t)(n), sizeof *(p), (what))) != NULL ? SPI_OK \
                                                                       : SPI_ENOMEM)

/** A copy of a text; NULL with a message.  Release: free(). */
SPI_MUSTUSE char *spi_text_copy(const char *text, const char *what);

/** Grow an array that holds `have` elements (capacity *cap) so that it takes
 *  `need`; new elements are zero.  The value is a spi_err. */
SPI_MUSTUSE spi_err spi_grow(void **p, size_t size, int64_t have, int64_t need,
                             int64_t *cap, const char *what);

/** Keep freed memory instead of returning it page by page: the large arrays of a generation
 * are allocated again in the next, and fresh pages cost more than the work on them.  Once,
 * early. */
void spi_keep_memory(void);

/** Memory that can be had now without taking it from others, bytes: what the system calls
 *  available, at most what this container may use; 0 if it does not say. */
size_t spi_memory_bytes(void);

/** What the limit on the address space (ulimit -v) still leaves, bytes; SIZE_MAX: no limit.
 */
size_t spi_address_space_left(void);

/** Peak resident memory of this process so far, bytes. */
int64_t spi_peak_rss_bytes(void);

#endif
