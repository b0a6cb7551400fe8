/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "task/copies.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"

enum { UNSET = 0xff, SLACK = 0xa5, ALIGN = 64 };

/* ---- pages -------------------------------------------------------------------------- */

/* Data lie between two closed pages; they end, but for the alignment, at the second. */

static size_t page(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static size_t rounded(size_t bytes, size_t to)
{
    return (bytes + to - 1) / to * to;
}

/* Bytes between the closed pages. */
static size_t body(size_t bytes)
{
    return rounded(bytes ? bytes : 1, page());
}

static spi_err pages_new(size_t bytes, const char *name, void **data)
{
    size_t length = 2 * page() + body(bytes), used = rounded(bytes, ALIGN);
    char *at =
        mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    *data = NULL;
    if (at == MAP_FAILED)
        return spi_no_memory(name, length);
    *data = at + page() + body(bytes) - used;
    memset((char *)*data + bytes, SLACK, used - bytes);
    mprotect(at, page(), PROT_NONE);
    mprotect(at + length - page(), page(), PROT_NONE);
    return SPI_OK;
}

/* The first of the two closed pages. */
static char *front_of(void *data, size_t bytes)
{
    return (char *)data + rounded(bytes, ALIGN) - body(bytes) - page();
}

static void pages_protect(void *data, size_t bytes, int how)
{
    mprotect(front_of(data, bytes) + page(), body(bytes), how);
}

static void pages_free(void *data, size_t bytes)
{
    if (data)
        munmap(front_of(data, bytes), 2 * page() + body(bytes));
}

static bool pages_hold(void *data, size_t bytes, const void *address)
{
    const char *p = address;

    return data && p >= front_of(data, bytes) &&
           p < front_of(data, bytes) + 2 * page() + body(bytes);
}

static bool slack_is_whole(const void *data, size_t bytes)
{
    const unsigned char *p = data;

    for (size_t i = bytes; i < rounded(bytes, ALIGN); i++)
        if (p[i] != SLACK)
            return false;
    return true;
}

static size_t bytes_of(const struct spi_array *a)
{
    return (size_t)spi_array_elements(a, SPI_WHOLE, NULL) * a->shape.item;
}

static size_t piece_bytes(const struct spi_array *a, int part)
{
    return (size_t)a->piece[part].n * a->shape.item;
}

/* ---- what is found ------------------------------------------------------------------ */

/* A copy that the running task has. */
struct copy {
    const struct spi_array *array;
    int part;
    void *data;
    size_t bytes;
    bool writes;
};

/* The task that runs: one at a time in a process. */
static struct {
    const char *name;
    struct spi_graph *g;
    int n;
    struct copy *copy;
    struct sigaction before;
} running;

static void say(const char *text)
{
    if (write(STDERR_FILENO, text, strlen(text)) < 0)
        return;
}

static void found(const char *verb, const char *array, const char *rest)
{
    say("spinifel: task ");
    say(running.name);
    say(verb);
    say(array);
    say(rest);
    say("\n");
    abort();
}

static bool holds(const struct spi_array *a, const void *address)
{
    if (!a->ragged)
        return pages_hold(a->base, bytes_of(a), address);
    for (int i = 0; i < a->shape.parts; i++)
        if (pages_hold(a->piece[i].data, piece_bytes(a, i), address))
            return true;
    return false;
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
    const void *at = info->si_addr;

    (void)signal;
    (void)context;
    for (int i = 0; i < running.n; i++) {
        const struct copy *c = &running.copy[i];

        if (!pages_hold(c->data, c->bytes, at))
            continue;
        if ((const char *)at >= (const char *)c->data &&
            (const char *)at < (const char *)c->data + c->bytes)
            found(" writes array ", c->array->shape.name, ", which it names only to read");
        found(" reaches beyond array ", c->array->shape.name, "");
    }
    for (const struct spi_array *a = *spi_graph_arrays(running.g); a; a = a->next)
        if (holds(a, at))
            found(" reaches array ", a->shape.name, ", which it does not name");
    found(" reaches memory that is not there", "", "");
}

static void watch(bool on)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};

    if (on)
        sigaction(SIGSEGV, &action, &running.before);
    else
        sigaction(SIGSEGV, &running.before, NULL);
}

/* ---- memory of arrays --------------------------------------------------------------- */

spi_err spi_copies_master(size_t bytes, const char *name, void **data)
{
    spi_err err = pages_new(bytes, name, data);

    if (!err)
        pages_protect(*data, bytes, PROT_NONE);
    return err;
}

spi_err spi_copies_wrap(struct spi_array *a)
{
    size_t bytes = bytes_of(a);
    void *own;
    spi_err err = pages_new(bytes, a->shape.name, &own);

    if (err)
        return err;
    a->callers = a->base;
    if (bytes) {
        memcpy(own, a->callers, bytes);
        memset(a->callers, UNSET, bytes);
    }
    a->base = own;
    pages_protect(own, bytes, PROT_NONE);
    return SPI_OK;
}

static void protect(struct spi_array *a, int part, int how)
{
    if (!a->ragged) {
        pages_protect(a->base, bytes_of(a), how);
        return;
    }
    for (int i = 0; i < a->shape.parts; i++)
        if (a->piece[i].data && (part == SPI_WHOLE || part == i))
            pages_protect(a->piece[i].data, piece_bytes(a, i), how);
}

void spi_copies_open(struct spi_array *a)
{
    if (!a->open)
        protect(a, SPI_WHOLE, PROT_READ | PROT_WRITE);
    a->open = true;
}

void spi_copies_free(struct spi_array *a)
{
    for (int i = 0; i < a->shape.parts && a->piece; i++)
        pages_free(a->piece[i].data, piece_bytes(a, i));
    if (a->ragged || !a->base)
        return;
    if (a->callers) {
        const unsigned char *p = a->callers;
        size_t bytes = bytes_of(a);

        for (size_t i = 0; i < bytes; i++)
            if (p[i] != UNSET) {
                say("spinifel: array ");
                say(a->shape.name);
                say(": the caller's memory was changed while tasks had it\n");
                abort();
            }
        spi_copies_open(a);
        if (bytes)
            memcpy(a->callers, a->base, bytes);
    }
    pages_free(a->base, bytes_of(a));
}

/* ---- a task ------------------------------------------------------------------------- */

/* The master of a part. */
static void *master_of(const struct spi_array *a, int part, size_t *bytes)
{
    size_t at;

    if (a->ragged) {
        *bytes = piece_bytes(a, part);
        return a->piece[part].data;
    }
    *bytes = (size_t)spi_array_elements(a, part, &at) * a->shape.item;
    return (char *)a->base + at;
}

static spi_err copy_in(struct copy *c, const struct spi_access *access, int part)
{
    struct spi_array *a = access->array;
    size_t bytes;
    const void *from = master_of(a, part, &bytes);
    spi_err err = pages_new(bytes, a->shape.name, &c->data);

    if (err)
        return err;
    c->array = a;
    c->part = part;
    c->bytes = bytes;
    c->writes = access->privilege != SPI_READ;
    if (access->privilege == SPI_WRITE)
        memset(c->data, UNSET, bytes);
    else if (bytes) {
        protect(a, part, PROT_READ);
        memcpy(c->data, from, bytes);
        protect(a, part, PROT_NONE);
    }
    if (!c->writes)
        pages_protect(c->data, bytes, PROT_READ);
    return SPI_OK;
}

static void copy_out(const struct copy *c)
{
    struct spi_array *a = (struct spi_array *)(uintptr_t)c->array;
    size_t bytes;
    void *to = master_of(a, c->part, &bytes);

    if (!slack_is_whole(c->data, c->bytes))
        found(" reaches beyond array ", a->shape.name, "");
    if (!c->writes || a->ragged || !bytes)
        return;
    protect(a, c->part, PROT_READ | PROT_WRITE);
    memcpy(to, c->data, bytes);
    protect(a, c->part, PROT_NONE);
}

/* What a task gave to a ragged part. */
static spi_err take(struct spi_array *a, int part, struct spi_piece *given)
{
    size_t bytes = (size_t)given->n * a->shape.item;
    void *own;
    spi_err err;

    if (!given->data)
        return SPI_OK;
    if ((err = pages_new(bytes, a->shape.name, &own)) != SPI_OK)
        return err;
    memcpy(own, given->data, bytes);
    pages_protect(own, bytes, PROT_NONE);
    pages_free(a->piece[part].data, piece_bytes(a, part));
    a->piece[part] = (struct spi_piece){own, given->n};
    return SPI_OK;
}

/* Room for the copies of n accesses. */
struct stage {
    struct copy *copy;
    struct spi_piece *piece; /* of whole ragged arrays; what is given to parts of them */
    struct spi_view view[SPI_ACCESSES_MAX];
    int n;
};

static spi_err stage_init(struct stage *s, int n, const struct spi_access *access)
{
    int64_t most = 0;
    spi_err err;

    *s = (struct stage){0};
    for (int i = 0; i < n; i++)
        most += access[i].array->ragged ? access[i].array->shape.parts : 1;
    SPI_TRY(err = SPI_NEW(s->copy, most + 1, "copies"), out);
    SPI_TRY(err = SPI_NEW(s->piece, most + 1, "copies"), out);
    most = 0;
    for (int i = 0; i < n; i++) {
        struct spi_array *a = access[i].array;
        bool whole = a->ragged && access[i].part == SPI_WHOLE;
        int from = whole ? 0 : access[i].part, to = whole ? a->shape.parts : from + 1;

        if (whole)
            s->view[i].piece = s->piece + most;
        else if (a->ragged)
            s->view[i].given = s->piece + most;
        for (int part = from; part < to; part++, most++) {
            SPI_TRY(err = copy_in(&s->copy[s->n], &access[i], part), out);
            if (whole)
                s->piece[most] = (struct spi_piece){s->copy[s->n].data, a->piece[part].n};
            else {
                s->view[i].data = s->copy[s->n].data;
                s->view[i].n = (int64_t)(s->copy[s->n].bytes / a->shape.item);
            }
            s->n++;
        }
    }
out:
    return err;
}

static void stage_clear(struct stage *s)
{
    for (int i = 0; i < s->n; i++)
        pages_free(s->copy[i].data, s->copy[i].bytes);
    free(s->copy);
    free(s->piece);
}

spi_err spi_copies_run(struct spi_graph *g, const char *task, spi_task_fn *fn,
                       const void *arg, const volatile int *stop, int n,
                       const struct spi_access *access)
{
    struct stage s;
    spi_err err;

    for (struct spi_array *a = *spi_graph_arrays(g); a; a = a->next)
        if (a->open) {
            protect(a, SPI_WHOLE, PROT_NONE);
            a->open = false;
        }
    SPI_TRY(err = stage_init(&s, n, access), out);
    running.name = task;
    running.g = g;
    running.n = s.n;
    running.copy = s.copy;
    watch(true);
    err = fn(s.view, arg, stop);
    watch(false);
    for (int i = 0; i < s.n; i++)
        copy_out(&s.copy[i]);
    for (int i = 0; i < n; i++)
        if (s.view[i].given) {
            spi_err late =
                err ? SPI_OK : take(access[i].array, access[i].part, s.view[i].given);

            free(s.view[i].given->data);
            err = err ? err : late;
        }
out:
    stage_clear(&s);
    return err;
}
