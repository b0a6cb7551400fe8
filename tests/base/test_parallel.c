/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Loops on threads: each item once, phases in turn, no rank twice at a time; threads that
 * come when they are idle and go when they are needed; what a note says. */
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/cores.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "tap.h"

/* What waits for another thread gives up after this: 10 s, for a machine that does other
 * work. */
enum { PATIENCE = 10000, TICK_US = 1000 };

static int load(const int *x)
{
    return __atomic_load_n(x, __ATOMIC_SEQ_CST);
}

static int add(int *x, int n)
{
    return __atomic_add_fetch(x, n, __ATOMIC_SEQ_CST);
}

/* ---- items, phases, ranks ----------------------------------------------------------- */

enum { ITEMS = 1501, PHASES = 4, ASKED = 4 };
static const int64_t first[PHASES + 1] = {0, 1000, 1001, 1001, ITEMS};

struct counted {
    int done[ITEMS], in_phase[PHASES], rank_busy[SPI_THREADS_MAX];
    int too_early, rank_twice, rank_beyond;
};

static void count_item(void *ctx, int rank, int64_t item)
{
    struct counted *c = ctx;
    int phase = 0;

    add(&c->rank_beyond, rank < 0 || rank >= ASKED);
    add(&c->rank_twice, add(&c->rank_busy[rank], 1) != 1);
    while (item >= first[phase + 1])
        phase++;
    for (int p = 0; p < phase; p++)
        add(&c->too_early, load(&c->in_phase[p]) != first[p + 1] - first[p]);
    add(&c->done[item], 1);
    add(&c->in_phase[phase], 1);
    add(&c->rank_busy[rank], -1);
}

static void check_items(int admitted, int threads)
{
    static struct counted c;
    int wrong = 0;

    memset(&c, 0, sizeof c);
    spi_threads_admit(admitted);
    spi_parallel_phases(threads, PHASES, first, count_item, &c);
    spi_threads_admit(-admitted);
    for (int i = 0; i < ITEMS; i++)
        wrong += c.done[i] != 1;
    OK(wrong == 0, "%d admitted, %d asked: each item once (%d were not)", admitted, threads,
       wrong);
    OK(c.too_early == 0, "a phase begins after the one before (%d times not)", c.too_early);
    OK(c.rank_twice == 0 && c.rank_beyond == 0, "no rank twice at a time, none beyond");
}

/* ---- who works ---------------------------------------------------------------------- */

enum { ADMITTED = 4 };

struct stage {
    int at_work, most; /* items at once */
    int item;          /* begun */
    int gate;          /* items below it wait until so many ... */
    int want;          /* ... are at work */
    int failed;        /* waits in vain */
};

static void stand(void *ctx, int rank, int64_t item)
{
    struct stage *s = ctx;
    int now = add(&s->at_work, 1);

    (void)rank;
    add(&s->item, 1);
    for (int most = load(&s->most); now > most;)
        if (__atomic_compare_exchange_n(&s->most, &most, now, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST))
            break;
    if (item < load(&s->gate))
        for (int i = 0; i < PATIENCE && load(&s->most) < load(&s->want); i++)
            usleep(TICK_US);
    add(&s->failed, item < load(&s->gate) && load(&s->most) < load(&s->want));
    usleep(TICK_US);
    add(&s->at_work, -1);
}

/* As many as are admitted, and no more, whoever asks for more. */
static void check_admitted(void)
{
    struct stage s = {.gate = ADMITTED, .want = ADMITTED};

    spi_threads_admit(ADMITTED);
    spi_threads_begin();
    OK(spi_parallel_ranks(SPI_THREADS_MAX) == ADMITTED && spi_parallel_ranks(2) == 2,
       "ranks: what is asked for, at most %d", ADMITTED);
    spi_parallel_for(SPI_THREADS_MAX, 40, stand, &s);
    OK(s.most == ADMITTED && s.failed == 0, "%d admitted: %d work at once", ADMITTED,
       s.most);
    for (int i = 1; i < ADMITTED; i++)
        spi_threads_begin(); /* tasks elsewhere */
    s = (struct stage){.gate = 0};
    spi_parallel_for(SPI_THREADS_MAX, 40, stand, &s);
    OK(s.most == 1, "%d tasks elsewhere: %d works", ADMITTED - 1, s.most);
    for (int i = 0; i < ADMITTED; i++)
        spi_threads_end();
    spi_threads_admit(-ADMITTED);
    OK(spi_parallel_ranks(SPI_THREADS_MAX) == spi_cores() && spi_parallel_ranks(9) == 9,
       "nobody counts: a thread for each core, or as many as are asked for");
}

/* A loop of many items, on a thread of its own that counts as a task. */
struct long_loop {
    struct stage s;
    int over; /* the rest of the items is nothing to do */
    pthread_t thread;
};

static void stay(void *ctx, int rank, int64_t item)
{
    struct long_loop *l = ctx;

    (void)rank;
    (void)item;
    if (!load(&l->over)) {
        add(&l->s.at_work, 1);
        usleep(TICK_US);
        add(&l->s.at_work, -1);
    }
}

static void *run_long(void *ctx)
{
    struct long_loop *l = ctx;

    spi_threads_begin();
    spi_parallel_for(SPI_THREADS_MAX, 1000000, stay, l);
    spi_threads_end();
    return NULL;
}

/* Highest number at work in the next 100 items or so. */
static int at_work_now(struct long_loop *l)
{
    int most = 0;

    for (int i = 0; i < 100; i++) {
        int now = load(&l->s.at_work);

        most = now > most ? now : most;
        usleep(TICK_US / 4);
    }
    return most;
}

/* Whether it settles at n; threads come and go with the next item of each. */
static bool settles(struct long_loop *l, int n)
{
    for (int i = 0; i < PATIENCE / 25; i++)
        if (at_work_now(l) == n)
            return true;
    return false;
}

static void check_come_and_go(void)
{
    struct long_loop a = {.over = 0}, b = {.over = 0};

    spi_threads_admit(ADMITTED);
    NEED(pthread_create(&a.thread, NULL, run_long, &a) == 0);
    OK(settles(&a, ADMITTED), "one loop: all %d", ADMITTED);
    for (int i = 0; i < 2; i++)
        spi_threads_begin();
    OK(settles(&a, ADMITTED - 2), "two tasks begin: two threads leave the loop");
    for (int i = 0; i < 2; i++)
        spi_threads_end();
    OK(settles(&a, ADMITTED), "they end: the threads come back");
    NEED(pthread_create(&b.thread, NULL, run_long, &b) == 0);
    OK(settles(&b, ADMITTED / 2) && settles(&a, ADMITTED / 2),
       "two loops: half of the threads each");
    add(&a.over, 1);
    pthread_join(a.thread, NULL);
    OK(settles(&b, ADMITTED), "one of them ends: the other has all");
    add(&b.over, 1);
    pthread_join(b.thread, NULL);
    spi_threads_admit(-ADMITTED);
}

/* ---- failures and scratch ----------------------------------------------------------- */

static void fail_some(void *ctx, int rank, int64_t item)
{
    spi_err err = item == 7 ? spi_fail(SPI_EFORMAT, "item 7 is wrong") : SPI_OK;

    (void)rank;
    spi_failure_note(ctx, err);
}

static void check_failure(void)
{
    struct spi_failure f = {.err = SPI_OK};

    spi_note("before");
    spi_parallel_for(3, 5, fail_some, &f);
    OK(spi_failure_end(&f) == SPI_OK && strcmp(spi_err_message(), "before") == 0,
       "no failure");
    spi_parallel_for(3, 20, fail_some, &f);
    OK(spi_failure_end(&f) == SPI_EFORMAT &&
           strcmp(spi_err_message(), "item 7 is wrong") == 0,
       "the failure of a thread is the caller's: %s", spi_err_message());
}

static void check_rooms(void)
{
    struct spi_rooms r = {0};
    char *at;

    NEED(spi_rooms_init(&r, 5, 100, "test") == SPI_OK);
    OK(r.n == 5 && !r.at[4], "no memory before it is asked for");
    at = spi_rooms_of(&r, 4);
    NEED(at != NULL);
    OK((uintptr_t)at % 64 == 0 && at[0] == 0 && at[99] == 0, "aligned, zeros");
    at[0] = 1;
    OK(spi_rooms_of(&r, 4) == at && at[0] == 1, "the same each time");
    spi_rooms_clear(&r);
}

/* ---- notes -------------------------------------------------------------------------- */

static const double spin_s = 0.004;

/* As long as the clock of the note says. */
static void spin(void *ctx, int rank, int64_t item)
{
    double until = spi_cpu_s() + spin_s;

    (void)ctx;
    (void)rank;
    (void)item;
    while (spi_cpu_s() < until)
        ;
}

/* An item lasts spin_s and, where the thread loses its core at the end, a little more. */
static bool lasts(double s, int items)
{
    return s >= items * spin_s && s < 1.25 * items * spin_s;
}

static void check_notes(void)
{
    static const int64_t two_phases[] = {0, 8, 10};
    struct spi_note note = {0};
    double cpu, own;

    OK(!spi_noted() && spi_note_begin(&note) == NULL && spi_noted(), "a note begins");
    spi_parallel_for(1, 3, spin, NULL);
    OK(note.loops == 0 && note.loops_s == 0, "a loop for one thread is not noted");
    cpu = spi_cpu_s();
    spi_parallel_phases(4, 2, two_phases, spin, NULL);
    cpu = spi_cpu_s() - cpu;
    OK(note.loops == 1 && note.meets == 2 && lasts(note.loops_s, 10),
       "10 items: %.1f ms of %.1f", 1e3 * note.loops_s, 1e4 * spin_s);
    own = note.loops_s - note.helped_s;
    OK(note.helped_s >= 0 && own <= cpu && own > cpu - spin_s, /* to start threads: less */
       "of these %.1f by others, %.1f by this thread, which took %.1f", 1e3 * note.helped_s,
       1e3 * own, 1e3 * cpu);
    OK(lasts(note.on_s[0], 5) && lasts(note.on_s[1], 3),
       "8 items, then 2: %.1f ms on 2 threads, %.1f on 4", 1e3 * note.on_s[0],
       1e3 * note.on_s[1]);
    OK(note.on_s[5] == note.on_s[1], "the loop asks for 4: no more on 64");
    note = (struct spi_note){0};
    spi_parallel_for(SPI_THREADS_MAX, 8, spin, NULL);
    OK(lasts(note.on_s[2], 1) && note.on_s[5] == note.on_s[2],
       "8 items: %.1f ms on 8 threads, the same on 64", 1e3 * note.on_s[2]);
    spi_note_alone(0.5);
    OK(note.alone_s == 0.5, "what one thread may do at a time");
    OK(spi_note_begin(NULL) == &note && !spi_noted(), "it ends");
    spi_parallel_for(4, 2, spin, NULL);
    spi_note_alone(0.5);
    OK(note.loops == 1 && note.alone_s == 0.5, "nothing is noted afterwards");
}

int main(void)
{
    check_items(0, ASKED);
    check_items(0, 1);
    check_items(2, ASKED);
    check_items(7, ASKED);
    check_admitted();
    check_come_and_go();
    check_failure();
    check_rooms();
    check_notes();
    return tap_done();
}
