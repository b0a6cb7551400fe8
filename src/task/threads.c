/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The engine `threads`: as many threads as are asked for, one of them the caller's.
 *
 * Each region has a queue of the tasks that name it, in the order of submission.  A task at
 * the front of all its queues may run; reads stand at the front together.  No task can wait
 * in a circle, for the earliest unfinished task is at the front of every queue.  One lock
 * guards queues and the list of tasks that may run: a task of this program takes a hundred
 * times as long as the lock is held for it (doc/decisions/020).
 *
 * Tasks run inside wait (or region_free) only; in between all threads sleep. */
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/mem.h"
#include "task/engine.h"

struct job;

/* The place of a task in the queue of one region. */
struct place {
    struct job *job;
    struct region *region;
    struct place *next; /* in the queue */
    bool writes;
};

struct region {
    int front;    /* tasks at the front: they run, or may as far as this region goes */
    bool writing; /* the one task at the front writes */
    struct place *head, *tail; /* tasks behind them */
};

struct job {
    struct spi_task *task;
    struct job *next; /* of those that may run */
    int blocked;      /* regions at whose front it is not */
    int n;
    struct place place[];
};

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t work;       /* something may run, or all is over */
    pthread_cond_t mine;       /* the same for the caller's thread; or nothing is left */
    struct job *head, *tail;   /* what may run, first come first served */
    int64_t ready, unfinished; /* tasks in that list; tasks submitted and not ended */
    int asleep;                /* threads that wait for `work` */
    bool caller_sleeps, open, over; /* open: tasks run */
    int n_threads;
    pthread_t *thread; /* [n_threads], owned: all but the caller's */
};

/* ---- queues (the lock is held) ------------------------------------------------------- */

static void make_ready(struct pool *p, struct job *j)
{
    j->next = NULL;
    if (p->head)
        p->tail->next = j;
    else
        p->head = j;
    p->tail = j;
    p->ready++;
}

static bool fits_front(const struct region *r, bool writes)
{
    return r->front == 0 || (!writes && !r->writing);
}

static void to_front(struct region *r, const struct place *at)
{
    r->front++;
    r->writing = at->writes;
}

static void enter(struct place *at)
{
    struct region *r = at->region;

    if (!r->head && fits_front(r, at->writes)) {
        to_front(r, at);
        return;
    }
    at->job->blocked++;
    if (r->head)
        r->tail->next = at;
    else
        r->head = at;
    r->tail = at;
}

/* The task of a place at the front has ended: those behind it move up. */
static void leave(struct pool *p, struct region *r)
{
    r->front--;
    while (r->head && fits_front(r, r->head->writes)) {
        struct place *at = r->head;

        r->head = at->next;
        to_front(r, at);
        if (--at->job->blocked == 0)
            make_ready(p, at->job);
    }
}

/* Threads for n more tasks that may run. */
static void wake(struct pool *p, int64_t n)
{
    if (n > 0 && p->caller_sleeps) {
        pthread_cond_signal(&p->mine);
        p->caller_sleeps = false;
        n--;
    }
    for (int64_t i = 0; i < n && i < p->asleep; i++)
        pthread_cond_signal(&p->work);
}

static void run_first(struct pool *p)
{
    struct job *j = p->head;
    int64_t before;

    p->head = j->next;
    p->ready--;
    pthread_mutex_unlock(&p->lock);
    spi_task_run(j->task);
    pthread_mutex_lock(&p->lock);
    before = p->ready;
    for (int i = 0; i < j->n; i++)
        leave(p, j->place[i].region);
    wake(p, p->ready - before - 1); /* this thread takes one of them itself */
    if (--p->unfinished == 0 && p->caller_sleeps) {
        pthread_cond_signal(&p->mine);
        p->caller_sleeps = false;
    }
    free(j);
}

/* ---- threads ------------------------------------------------------------------------ */

static void *work(void *self)
{
    struct pool *p = self;

    pthread_mutex_lock(&p->lock);
    while (!p->over)
        if (p->open && p->head)
            run_first(p);
        else {
            p->asleep++;
            pthread_cond_wait(&p->work, &p->lock);
            p->asleep--;
        }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static void wait_all(void *self)
{
    struct pool *p = self;

    pthread_mutex_lock(&p->lock);
    p->open = true;
    wake(p, p->ready - 1);
    while (p->unfinished > 0)
        if (p->head)
            run_first(p);
        else {
            p->caller_sleeps = true;
            while (p->caller_sleeps)
                pthread_cond_wait(&p->mine, &p->lock);
        }
    p->open = false;
    pthread_mutex_unlock(&p->lock);
}

static void stop(void *self)
{
    struct pool *p = self;

    pthread_mutex_lock(&p->lock);
    p->over = true;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->n_threads; i++)
        pthread_join(p->thread[i], NULL);
    pthread_cond_destroy(&p->work);
    pthread_cond_destroy(&p->mine);
    pthread_mutex_destroy(&p->lock);
    free(p->thread);
    free(p);
}

/* Threads whose stacks fill half of what a limit on the address space leaves: the other
 * half is for the tasks. */
static int most_threads(void)
{
    size_t left = spi_address_space_left(), stack = 0;
    pthread_attr_t attr;

    if (pthread_attr_init(&attr) == 0) {
        if (pthread_attr_getstacksize(&attr, &stack) != 0)
            stack = 0;
        pthread_attr_destroy(&attr);
    }
    left = left / 2 / (stack > 0 ? stack : 8 << 20);
    return left < INT_MAX ? (int)left : INT_MAX;
}

static spi_err start(int workers, void **self, int *got, const char **why)
{
    struct pool *p = NULL;
    int most = most_threads();
    spi_err err = SPI_NEW(p, 1, "worker threads");

    if (err)
        return err;
    if ((err = SPI_NEW(p->thread, workers, "worker threads")) != SPI_OK) {
        free(p);
        return err;
    }
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->mine, NULL);
    while (p->n_threads < workers - 1 && p->n_threads < most &&
           pthread_create(&p->thread[p->n_threads], NULL, work, p) == 0)
        p->n_threads++;
    *self = p;
    *got = p->n_threads + 1;
    *why = "no more threads are started (limits of processes and of address space, ulimit "
           "-u and -v)";
    return SPI_OK;
}

/* ---- regions and tasks -------------------------------------------------------------- */

static spi_err region_new(void *self, void **region)
{
    struct region *r = NULL;
    spi_err err = SPI_NEW(r, 1, "region");

    (void)self;
    *region = r;
    return err;
}

static void region_free(void *self, void *region)
{
    struct region *r = region;

    if (r->front > 0)
        wait_all(self);
    free(r);
}

static spi_err submit(void *self, struct spi_task *t, int n,
                      const struct spi_engine_access *access)
{
    struct pool *p = self;
    struct job *j = spi_alloc(1, sizeof *j + (size_t)n * sizeof *j->place, "task");

    if (!j)
        return SPI_ENOMEM;
    j->task = t;
    j->n = n;
    pthread_mutex_lock(&p->lock);
    for (int i = 0; i < n; i++) {
        j->place[i] = (struct place){.job = j,
                                     .region = access[i].region,
                                     .writes = access[i].privilege != SPI_READ};
        enter(&j->place[i]);
    }
    p->unfinished++;
    if (j->blocked == 0)
        make_ready(p, j);
    pthread_mutex_unlock(&p->lock);
    return SPI_OK;
}

const struct spi_engine spi_engine_threads = {.name = "threads",
                                              .start = start,
                                              .stop = stop,
                                              .region_new = region_new,
                                              .region_free = region_free,
                                              .submit = submit,
                                              .wait = wait_all};
