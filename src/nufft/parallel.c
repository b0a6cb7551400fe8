/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "nufft/parallel.h"

#include <limits.h>
#include <pthread.h>

enum { THREADS_MAX = 256 };

struct team {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int size; /* threads that meet at the end of a phase; INT_MAX until all are started */
    int arrived; /* at the end of the present phase */
    int phase, n_phases;
    const int64_t *first;
    int64_t next; /* task to hand out (atomic) */
    spi_parallel_fn *work;
    void *ctx;
};

struct member {
    struct team *team;
    int rank;
    pthread_t thread;
};

/* The last to arrive opens the next phase. */
static void meet(struct team *t)
{
    pthread_mutex_lock(&t->lock);
    int phase = t->phase;

    if (++t->arrived == t->size) {
        t->arrived = 0;
        t->phase++;
        __atomic_store_n(&t->next, t->first[t->phase], __ATOMIC_RELAXED);
        pthread_cond_broadcast(&t->changed);
    }
    while (t->phase == phase)
        pthread_cond_wait(&t->changed, &t->lock);
    pthread_mutex_unlock(&t->lock);
}

static void *run(void *arg)
{
    const struct member *m = arg;
    struct team *t = m->team;

    for (int p = 0; p < t->n_phases; p++) {
        int64_t task;

        while ((task = __atomic_fetch_add(&t->next, 1, __ATOMIC_RELAXED)) < t->first[p + 1])
            t->work(t->ctx, m->rank, task);
        meet(t);
    }
    return NULL;
}

void spi_parallel_phases(int n_threads, int n_phases, const int64_t *first,
                         spi_parallel_fn *work, void *ctx)
{
    struct team t = {.lock = PTHREAD_MUTEX_INITIALIZER,
                     .changed = PTHREAD_COND_INITIALIZER,
                     .size = INT_MAX,
                     .n_phases = n_phases,
                     .first = first,
                     .next = first[0],
                     .work = work,
                     .ctx = ctx};
    struct member m[THREADS_MAX];
    int n = 1;
    int64_t tasks = first[n_phases] - first[0];

    m[0] = (struct member){.team = &t, .rank = 0};
    while (n < n_threads && n < THREADS_MAX && n < tasks) {
        m[n] = (struct member){.team = &t, .rank = n};
        if (pthread_create(&m[n].thread, NULL, run, &m[n]))
            break;
        n++;
    }
    pthread_mutex_lock(&t.lock);
    t.size = n; /* this thread has not arrived yet: nobody can have missed it */
    pthread_mutex_unlock(&t.lock);
    run(&m[0]);
    for (int i = 1; i < n; i++)
        pthread_join(m[i].thread, NULL);
    pthread_mutex_destroy(&t.lock);
    pthread_cond_destroy(&t.changed);
}

void spi_parallel_for(int n_threads, int64_t n, spi_parallel_fn *work, void *ctx)
{
    const int64_t first[2] = {0, n};

    spi_parallel_phases(n_threads, 1, first, work, ctx);
}
