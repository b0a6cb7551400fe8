/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Loops over independent items on several threads.  Layer: base.
 *
 * A loop takes threads that have nothing to do.  How many may work at once is one count for
 * the process: the workers of its task graphs (task/graph.c), of which every task that runs
 * takes one.  While a loop runs it takes more threads when some become free, and gives
 * threads back when tasks or other loops need them.  So results must not depend on how many
 * threads there are, nor on which of them does which item.  Without a graph a loop gets all
 * threads that it asks for; who asks for SPI_THREADS_MAX gets one for each core that the
 * process may use (base/cores.h). */
#ifndef SPI_BASE_PARALLEL_H
#define SPI_BASE_PARALLEL_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { SPI_THREADS_MAX = 256 }; /* of one loop: to ask for it is to ask for what there is */

/** Work of one item.  No two threads that work at once have the same rank (0 ... n - 1, n of
 *  spi_parallel_ranks): for scratch memory. */
typedef void spi_parallel_fn(void *ctx, int rank, int64_t item);

/** Items first[0] ... first[n_phases] - 1, handed out in order; those of phase p
 * (first[p] ... first[p + 1] - 1) begin after all of phase p - 1 have ended.  The caller
 * and at most n_threads - 1 others do the work. */
void spi_parallel_phases(int n_threads, int n_phases, const int64_t *first,
                         spi_parallel_fn *work, void *ctx);
/** Items 0 ... n - 1 in one phase. */
void spi_parallel_for(int n_threads, int64_t n, spi_parallel_fn *work, void *ctx);
/** Ranks of a loop that asks for n_threads: n_threads, or as many as may work at once. */
int spi_parallel_ranks(int n_threads);

/** Scratch memory of each rank, made when the rank first asks for it: many loops of many
 * threads run at once, and few ranks of each ever work. */
struct spi_rooms {
    int n; /* ranks */
    size_t bytes;
    const char *what; /* static text */
    void **at;        /* [n], owned */
};
/** For a loop that asks for n_threads. */
SPI_MUSTUSE spi_err spi_rooms_init(struct spi_rooms *r, int n_threads, size_t bytes,
                                   const char *what);
/** The memory of a rank: 64-byte aligned, zeros at first.  NULL with a message: there is
 * none. */
SPI_MUSTUSE void *spi_rooms_of(const struct spi_rooms *r, int rank);
/** Release what the struct owns. */
void spi_rooms_clear(struct spi_rooms *r);

/** The first failure of the items of a loop. */
struct spi_failure {
    spi_err err;
    char message[SPI_MESSAGE_MAX];
};
/** An item ended with err, this thread's message with it; SPI_OK: nothing is noted. */
void spi_failure_note(struct spi_failure *f, spi_err err);
/** After the loop: what was noted, as the failure of this thread. */
SPI_MUSTUSE spi_err spi_failure_end(const struct spi_failure *f);

/* ---- how many may work -------------------------------------------------------------- */

/** From now on n more threads may work at once (n < 0: fewer). */
void spi_threads_admit(int n);
/** The calling thread begins to work, whether there is room or not. */
void spi_threads_begin(void);
/** The end of what spi_threads_begin began. */
void spi_threads_end(void);

/* ---- what more threads would give --------------------------------------------------- */

enum { SPI_NOTED = 6 }; /* 2, 4, 8, 16, 32, 64 threads */

/** What a thread did since the note was made. */
struct spi_note {
    double loops_s;         /* CPU seconds of all items of its loops, whoever did them */
    double helped_s;        /* of these, by other threads */
    double on_s[SPI_NOTED]; /* how long the loops would last on 2^(i+1) threads */
    int64_t loops, meets;   /* meets: phases of the loops, at whose end threads meet */
    double alone_s;         /* CPU seconds inside what one thread may do at a time */
};

/** Loops of this thread are noted from now on; NULL: they are not.  Returns the note that
 * was kept before.  A noted loop takes a clock's time for each item. */
struct spi_note *spi_note_begin(struct spi_note *note);
/** Add what one thread may do at a time to this thread's note. */
void spi_note_alone(double cpu_s);
/** Whether this thread has a note. */
int spi_noted(void);
/** CPU seconds of this thread. */
double spi_cpu_s(void);

#endif
