/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/parallel.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/cores.h"
#include "base/mem.h"

enum {
    STACK_BYTES = 2 << 20, /* of a thread: items are small functions */
    LOOKS = 200            /* some microseconds */
};

/* ---- how many may work -------------------------------------------------------------- */

/* Of the process (atomic). */
static struct {
    int admitted; /* threads that may work at once; 0: nobody counts */
    int idle;     /* of these, those that do not; below 0: too many work */
    int teams;    /* loops that run on threads, or would */
    int hungry;   /* of these, those with less than their share, and nobody is idle */
} all;

static int load(const int *x)
{
    return __atomic_load_n(x, __ATOMIC_RELAXED);
}

static void add(int *x, int n)
{
    __atomic_add_fetch(x, n, __ATOMIC_RELAXED);
}

void spi_threads_admit(int n)
{
    add(&all.admitted, n);
    add(&all.idle, n);
}

void spi_threads_begin(void)
{
    add(&all.idle, -1);
}

void spi_threads_end(void)
{
    add(&all.idle, 1);
}

/* Of the machine, asked once. */
static int cores(void)
{
    static int known;
    int n = load(&known);

    if (n == 0)
        __atomic_store_n(&known, n = spi_cores(), __ATOMIC_RELAXED);
    return n;
}

int spi_parallel_ranks(int n_threads)
{
    int most = load(&all.admitted);

    if (most == 0) /* who asks for what there is gets the cores */
        most = n_threads < SPI_THREADS_MAX ? n_threads : cores();
    most = most < SPI_THREADS_MAX ? most : SPI_THREADS_MAX;
    return n_threads < 1 ? 1 : n_threads < most ? n_threads : most;
}

/* Threads of a loop, if all loops get the same. */
static int share(void)
{
    int teams = load(&all.teams), admitted = load(&all.admitted);

    return admitted == 0 ? SPI_THREADS_MAX
                         : (admitted + teams - 1) / (teams > 0 ? teams : 1);
}

/* ---- notes -------------------------------------------------------------------------- */

static _Thread_local struct spi_note *noted;

struct spi_note *spi_note_begin(struct spi_note *note)
{
    struct spi_note *before = noted;

    noted = note;
    return before;
}

int spi_noted(void)
{
    return noted != NULL;
}

void spi_note_alone(double cpu_s)
{
    if (noted)
        noted->alone_s += cpu_s;
}

double spi_cpu_s(void)
{
    struct timespec t;

    return clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == 0
               ? (double)t.tv_sec + 1e-9 * (double)t.tv_nsec
               : 0;
}

/* How long n items last on k threads: each, in order, by the first thread that is free. */
static double dealt(int k, int64_t n, const double *item_s)
{
    double end[1 << SPI_NOTED] = {0}, last = 0;

    for (int64_t i = 0; i < n; i++) {
        int first = 0;

        for (int t = 1; t < k; t++)
            first = end[t] < end[first] ? t : first;
        end[first] += item_s[i];
        last = end[first] > last ? end[first] : last;
    }
    return last;
}

/* At most `threads` work. */
static void note_loop(struct spi_note *note, int threads, int n_phases,
                      const int64_t *first, const double *item_s, double own_s)
{
    double sum = 0;

    for (int64_t i = 0; i < first[n_phases] - first[0]; i++)
        sum += item_s[i];
    note->loops++;
    note->loops_s += sum;
    note->helped_s += sum - own_s;
    for (int p = 0; p < n_phases; p++)
        note->meets += first[p + 1] > first[p];
    for (int p = 0; p < n_phases; p++)
        for (int i = 0; i < SPI_NOTED; i++)
            note->on_s[i] += dealt(threads < 2 << i ? threads : 2 << i,
                                   first[p + 1] - first[p], item_s + first[p] - first[0]);
}

/* ---- a loop ------------------------------------------------------------------------- */

struct team;

struct member {
    struct team *team;
    int rank;
    pthread_t thread;
    bool started; /* by the caller; to be joined */
    bool left;    /* (atomic) it works no longer */
};

struct team {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int size;    /* (lock) threads that meet at the end of a phase */
    int arrived; /* (lock) at the end of the present phase */
    int phase;   /* (lock; looked at without) */
    int n_phases;
    const int64_t *first;
    int64_t next; /* item to hand out (atomic) */
    spi_parallel_fn *work;
    void *ctx;
    double *item_s; /* CPU seconds of the items, or NULL: not noted */

    int at_work;           /* threads, the caller's included (atomic) */
    int most;              /* threads, at most */
    bool hungry;           /* the caller's thread knows: counted in all.hungry */
    bool full;             /* the system starts no more threads */
    struct member *member; /* [most] rank 0: the caller */
};

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/* (lock) The last to arrive opens the next phase. */
static void open_next(struct team *t)
{
    int phase = t->phase + 1;

    t->arrived = 0;
    __atomic_store_n(&t->next, t->first[phase], __ATOMIC_RELAXED);
    __atomic_store_n(&t->phase, phase, __ATOMIC_RELEASE);
    pthread_cond_broadcast(&t->changed);
}

/* Returns the phase that is open.  The others are expected soon: to sleep and to wake takes
 * longer than most items. */
static int meet(struct team *t)
{
    pthread_mutex_lock(&t->lock);
    int phase = t->phase;

    if (++t->arrived == t->size)
        open_next(t);
    pthread_mutex_unlock(&t->lock);
    for (int i = 0; i < LOOKS && load(&all.idle) >= 0; i++)
        if (__atomic_load_n(&t->phase, __ATOMIC_ACQUIRE) != phase)
            break;
        else
            relax();
    pthread_mutex_lock(&t->lock);
    while (t->phase == phase)
        pthread_cond_wait(&t->changed, &t->lock);
    phase = t->phase;
    pthread_mutex_unlock(&t->lock);
    return phase;
}

/* x + by, if it is so that x goes towards `limit` and not beyond. */
static bool step(int *x, int by, int limit)
{
    int now = load(x);

    while (by > 0 ? now < limit : now > limit)
        if (__atomic_compare_exchange_n(x, &now, now + by, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
            return true;
    return false;
}

/* One of those that are idle. */
static bool borrow(void)
{
    return load(&all.admitted) == 0 || step(&all.idle, -1, 0);
}

static void give_back(void)
{
    if (load(&all.admitted) > 0)
        add(&all.idle, 1);
}

/* Whether this thread should leave: too many work, or this loop has more threads than its
 * share and another has fewer.  Then it counts no longer. */
static bool called_off(struct team *t)
{
    if (step(&all.idle, 1, 0)) {
        add(&t->at_work, -1);
        return true;
    }
    if (load(&all.hungry) > 0 && step(&t->at_work, -1, share())) {
        give_back();
        return true;
    }
    return false;
}

static void leave(struct team *t, struct member *m)
{
    pthread_mutex_lock(&t->lock);
    if (--t->size == t->arrived)
        open_next(t);
    pthread_mutex_unlock(&t->lock);
    __atomic_store_n(&m->left, true, __ATOMIC_RELEASE);
}

static void one_item(struct team *t, int rank, int64_t item)
{
    double t0 = t->item_s ? spi_cpu_s() : 0;

    t->work(t->ctx, rank, item);
    if (t->item_s)
        t->item_s[item - t->first[0]] = spi_cpu_s() - t0;
}

static void *help(void *arg)
{
    struct member *m = arg;
    struct team *t = m->team;
    int phase;

    pthread_mutex_lock(&t->lock);
    phase = t->phase;
    pthread_mutex_unlock(&t->lock);
    while (phase < t->n_phases) {
        int64_t item;

        while ((item = __atomic_fetch_add(&t->next, 1, __ATOMIC_RELAXED)) <
               t->first[phase + 1]) {
            one_item(t, m->rank, item);
            if (called_off(t)) {
                leave(t, m);
                return NULL;
            }
        }
        phase = meet(t);
    }
    give_back();
    return NULL;
}

static void note_hunger(struct team *t, bool hungry)
{
    if (hungry != t->hungry)
        add(&all.hungry, hungry ? 1 : -1);
    t->hungry = hungry;
}

static struct member *free_rank(struct team *t)
{
    for (int i = 1; i < t->most; i++) {
        struct member *m = &t->member[i];

        if (m->started && __atomic_load_n(&m->left, __ATOMIC_ACQUIRE)) {
            pthread_join(m->thread, NULL);
            m->started = m->left = false;
        }
        if (!m->started)
            return m;
    }
    return NULL;
}

static bool start(struct team *t, struct member *m)
{
    pthread_attr_t attr;
    bool started = false;

    pthread_mutex_lock(&t->lock);
    t->size++; /* the caller has not arrived: the phase is open until then */
    pthread_mutex_unlock(&t->lock);
    add(&t->at_work, 1);
    *m = (struct member){.team = t, .rank = (int)(m - t->member)};
    if (pthread_attr_init(&attr) == 0) {
        started = pthread_attr_setstacksize(&attr, STACK_BYTES) == 0 &&
                  pthread_create(&m->thread, &attr, help, m) == 0;
        pthread_attr_destroy(&attr);
    }
    m->started = started;
    if (started)
        return true;
    pthread_mutex_lock(&t->lock);
    t->size--;
    pthread_mutex_unlock(&t->lock);
    add(&t->at_work, -1);
    return false;
}

/* The caller's thread, before each of its items: others that are idle join in, as long as
 * there are items for them; beyond its share a loop takes only what no other wants. */
static void recruit(struct team *t, int phase)
{
    int64_t left = t->first[phase + 1] - __atomic_load_n(&t->next, __ATOMIC_RELAXED);
    bool wants = false;

    for (; left > 1; left--) {
        int at_work = load(&t->at_work);
        struct member *m;

        if (t->full || at_work >= t->most || (at_work >= share() && load(&all.hungry) > 0))
            break;
        if (!borrow()) {
            wants = at_work < share();
            break;
        }
        m = free_rank(t);
        if (!m || !start(t, m)) {
            t->full = m != NULL; /* without m: one is about to leave */
            give_back();
            break;
        }
    }
    note_hunger(t, wants);
}

/* The caller's part; returns the CPU seconds of its own items. */
static double lead(struct team *t)
{
    double own_s = 0;

    for (int phase = 0; phase < t->n_phases; phase = meet(t)) {
        int64_t item;

        for (;;) {
            recruit(t, phase);
            item = __atomic_fetch_add(&t->next, 1, __ATOMIC_RELAXED);
            if (item >= t->first[phase + 1])
                break;
            one_item(t, 0, item);
            own_s += t->item_s ? t->item_s[item - t->first[0]] : 0;
        }
    }
    note_hunger(t, false);
    for (int i = 1; i < t->most; i++)
        if (t->member[i].started)
            pthread_join(t->member[i].thread, NULL);
    return own_s;
}

void spi_parallel_phases(int n_threads, int n_phases, const int64_t *first,
                         spi_parallel_fn *work, void *ctx)
{
    int64_t items = first[n_phases] - first[0];
    int ranks = spi_parallel_ranks(n_threads);
    struct member m[SPI_THREADS_MAX];
    struct spi_note *note = n_threads > 1 ? spi_note_begin(NULL) : NULL;
    struct team t = {.lock = PTHREAD_MUTEX_INITIALIZER,
                     .changed = PTHREAD_COND_INITIALIZER,
                     .size = 1,
                     .n_phases = n_phases,
                     .first = first,
                     .next = first[0],
                     .work = work,
                     .ctx = ctx,
                     .at_work = 1,
                     .most = items < ranks ? (int)items : ranks,
                     .member = m};
    double own_s;

    for (int i = 0; i < t.most; i++)
        m[i] = (struct member){.started = false};
    if (note && items > 0) /* without memory the loop is not noted */
        t.item_s = malloc((size_t)items * sizeof *t.item_s);
    add(&all.teams, t.most > 1);
    own_s = lead(&t);
    add(&all.teams, -(t.most > 1));
    if (t.item_s)
        note_loop(note, n_threads, n_phases, first, t.item_s, own_s);
    if (n_threads > 1)
        spi_note_begin(note);
    free(t.item_s);
    pthread_mutex_destroy(&t.lock);
    pthread_cond_destroy(&t.changed);
}

void spi_parallel_for(int n_threads, int64_t n, spi_parallel_fn *work, void *ctx)
{
    const int64_t first[2] = {0, n};

    spi_parallel_phases(n_threads, 1, first, work, ctx);
}

/* ---- failures ----------------------------------------------------------------------- */

void spi_failure_note(struct spi_failure *f, spi_err err)
{
    spi_err none = SPI_OK;

    if (err && __atomic_compare_exchange_n(&f->err, &none, err, false, __ATOMIC_RELAXED,
                                           __ATOMIC_RELAXED))
        snprintf(f->message, sizeof f->message, "%s", spi_err_message());
}

spi_err spi_failure_end(const struct spi_failure *f)
{
    return f->err ? spi_fail(f->err, "%s", f->message) : SPI_OK;
}

/* ---- scratch ------------------------------------------------------------------------ */

spi_err spi_rooms_init(struct spi_rooms *r, int n_threads, size_t bytes, const char *what)
{
    *r = (struct spi_rooms){
        .n = spi_parallel_ranks(n_threads), .bytes = bytes, .what = what};
    return SPI_NEW(r->at, r->n, what);
}

void *spi_rooms_of(const struct spi_rooms *r, int rank)
{
    if (!r->at[rank])
        r->at[rank] = spi_alloc(1, r->bytes, r->what);
    return r->at[rank];
}

void spi_rooms_clear(struct spi_rooms *r)
{
    for (int i = 0; i < r->n && r->at; i++)
        free(r->at[i]);
    free(r->at);
    *r = (struct spi_rooms){0};
}
