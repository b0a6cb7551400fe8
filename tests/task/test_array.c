/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Arrays in parts on every engine: the same bits as one task after another; ragged parts;
 * and the engine `copies` finds what a task reaches without naming it. */
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"
#include "tap.h"
#include "task/engine.h"

enum { ROWS = 103, COLUMNS = 3, PARTS = 7, TASKS = 600 };

static struct spi_array_shape shape_of(int parts, int64_t part_rows)
{
    return (struct spi_array_shape){SPI_ARRAY_OF(float, "test"), .rows = ROWS,
                                    .columns = COLUMNS, .parts = parts,
                                    .part_rows = part_rows};
}

/* ---- geometry ----------------------------------------------------------------------- */

static void check_shape(void)
{
    static const int64_t part_rows[] = {0, 16, 1};
    struct spi_graph *g;

    NEED(spi_graph_new("serial", 1, NULL, &g) == SPI_OK);
    for (int i = 0; i < 3; i++) {
        int parts = part_rows[i] ? (int)((ROWS + part_rows[i] - 1) / part_rows[i]) : PARTS;
        struct spi_array_shape shape = shape_of(parts, part_rows[i]);
        struct spi_array *a;
        int64_t next = 0, first, n;
        bool good = true;
        const float *data;

        NEED(spi_array_new(g, &shape, &a) == SPI_OK);
        data = spi_array_data(a, SPI_WHOLE, &n);
        for (int p = 0; p < parts; p++) {
            int64_t rows = spi_array_part_rows(a, p, &first), elements;

            good =
                good && first == next && rows > 0 &&
                (const float *)spi_array_data(a, p, &elements) == data + first * COLUMNS &&
                elements == rows * COLUMNS;
            next += rows;
        }
        OK(good && next == ROWS && n == ROWS * COLUMNS,
           "%d parts follow one another and hold all rows", parts);
        OK(data[0] == 0 && data[n - 1] == 0, "they are zero");
        spi_array_free(g, a);
    }
    spi_array_free(g, NULL);
    spi_graph_free(g);
}

/* ---- memory that goes early --------------------------------------------------------- */

static spi_err task_fill(struct spi_view *v, const void *arg, const volatile int *stop)
{
    (void)arg;
    (void)stop;
    for (int64_t i = 0; i < v[0].n; i++)
        ((float *)v[0].data)[i] = (float)i;
    return SPI_OK;
}

/* v: what is read, the sum. */
static spi_err task_total(struct spi_view *v, const void *arg, const volatile int *stop)
{
    double sum = 0;

    (void)arg;
    (void)stop;
    for (int64_t i = 0; i < v[0].n; i++)
        sum += (double)((const float *)v[0].data)[i];
    *(double *)v[1].data = sum;
    return SPI_OK;
}

static void check_release(const char *engine)
{
    enum { N = ROWS * COLUMNS };
    struct spi_array_shape shape = shape_of(PARTS, 0),
                           one = {SPI_ARRAY_OF(double, "sum"), .rows = 1, .columns = 1};
    struct spi_array *a, *sum;
    struct spi_access all[2];
    struct spi_graph *g;
    double found;

    NEED(spi_graph_new(engine, 3, NULL, &g) == SPI_OK);
    NEED(spi_array_new(g, &shape, &a) == SPI_OK && spi_array_new(g, &one, &sum) == SPI_OK);
    all[0] = (struct spi_access){a, SPI_WHOLE, SPI_WRITE};
    NEED(spi_graph_submit(g, "fill", task_fill, NULL, 0, 1, all) == SPI_OK);
    all[0].privilege = SPI_READ;
    all[1] = (struct spi_access){sum, 0, SPI_WRITE};
    NEED(spi_graph_submit(g, "total", task_total, NULL, 0, 2, all) == SPI_OK);
    OK(spi_array_release(g, a) == SPI_OK && spi_graph_wait(g) == SPI_OK, "%s: released",
       engine);
    found = *(const double *)spi_array_data(sum, SPI_WHOLE, NULL);
    OK(fabs(found - N * (N - 1) / 2.0) < 0.5, "... after the tasks that name it: %g",
       found);
    OK(strcmp(engine, "copies") == 0 || !spi_array_data(a, SPI_WHOLE, NULL),
       "... and its memory is gone");
    spi_array_free(g, a);
    spi_array_free(g, sum);
    spi_graph_free(g);
}

/* ---- any order would give other bits ------------------------------------------------ */

/* v[0] is changed by v[1]. */
static spi_err mix(struct spi_view *v, const void *arg, const volatile int *stop)
{
    float *to = v[0].data;
    const float *from = v[1].data;
    int number = *(const int *)arg;

    (void)stop;
    for (int64_t i = 0; i < v[0].n; i++)
        to[i] = 0.7F * to[i] + 0.31F * from[(i + number) % v[1].n] + 1e-3F;
    return SPI_OK;
}

static spi_err fill(struct spi_view *v, const void *arg, const volatile int *stop)
{
    float *to = v[0].data;

    (void)stop;
    for (int64_t i = 0; i < v[0].n; i++)
        to[i] = (float)(i + *(const int *)arg);
    return SPI_OK;
}

/* Parts and wholes of two arrays, in an order that the seed gives. */
static void run(const char *engine, int workers, float out[2][ROWS * COLUMNS])
{
    struct spi_rng rng = spi_rng_stream(3, SPI_RNG_TEST, 0);
    struct spi_array_shape shape[2] = {shape_of(PARTS, 0), shape_of(PARTS, 16)};
    struct spi_array *a[2];
    struct spi_graph *g;
    spi_err err = SPI_OK;

    NEED(spi_graph_new(engine, workers, NULL, &g) == SPI_OK);
    for (int i = 0; i < 2; i++) {
        float *x;

        NEED(spi_array_new(g, &shape[i], &a[i]) == SPI_OK);
        x = spi_array_data(a[i], SPI_WHOLE, NULL);
        for (int k = 0; k < ROWS * COLUMNS; k++)
            x[k] = (float)spi_rng_normal(&rng);
    }
    for (int t = 0; t < TASKS && !err; t++) {
        int to = (int)spi_rng_below(&rng, 2), what = (int)spi_rng_below(&rng, 20);
        int p = (int)spi_rng_below(&rng, PARTS), q = (int)spi_rng_below(&rng, PARTS);
        struct spi_access access[2] = {{a[to], p, SPI_READ_WRITE},
                                       {a[1 - to], q, SPI_READ}};

        if (what < 3)
            access[1].part = SPI_WHOLE;
        if (what == 3)
            access[0].part = SPI_WHOLE;
        if (what == 4 && p != q)
            access[1] = (struct spi_access){a[to], q, SPI_READ};
        if (what == 5) {
            access[0].privilege = SPI_WRITE;
            err = spi_graph_submit(g, "fill", fill, &t, sizeof t, 1, access);
        } else {
            err = spi_graph_submit(g, "mix", mix, &t, sizeof t, 2, access);
        }
    }
    OK(!err && spi_graph_wait(g) == SPI_OK, "%s, %d workers: %s", engine, workers,
       err ? spi_err_message() : "all tasks");
    for (int i = 0; i < 2; i++)
        memcpy(out[i], spi_array_data(a[i], SPI_WHOLE, NULL), sizeof out[i]);
    spi_graph_free(g);
}

static void check_bits(const char *engine)
{
    static float serial[2][ROWS * COLUMNS], other[2][ROWS * COLUMNS];
    static const int workers[] = {1, 2, 5, 16};

    run("serial", 1, serial);
    for (size_t i = 0; i < sizeof workers / sizeof *workers; i++) {
        run(engine, workers[i], other);
        OK(memcmp(serial, other, sizeof serial) == 0, "%s, %d workers: the same bits",
           engine, workers[i]);
    }
}

/* ---- ragged arrays ------------------------------------------------------------------ */

static spi_err count_up(struct spi_view *v, const void *arg, const volatile int *stop)
{
    int n = *(const int *)arg;
    int32_t *x;
    spi_err err = SPI_NEW(x, n, "test");

    (void)stop;
    for (int i = 0; i < n && !err; i++)
        x[i] = n * 100 + i;
    if (!err)
        spi_view_give(&v[0], x, n);
    return err;
}

static spi_err add_up(struct spi_view *v, const void *arg, const volatile int *stop)
{
    int64_t *sum = v[1].data;

    (void)stop;
    *sum = 0;
    for (int p = 0; p < *(const int *)arg; p++)
        for (int64_t i = 0; i < v[0].piece[p].n; i++)
            *sum += ((const int32_t *)v[0].piece[p].data)[i];
    return SPI_OK;
}

static void check_ragged(const char *engine)
{
    struct spi_array_shape shape = {SPI_ARRAY_OF(int32_t, "ragged"), .parts = PARTS};
    struct spi_array_shape one = {SPI_ARRAY_OF(int64_t, "sum"), .rows = 1, .columns = 1};
    struct spi_array *a, *sum;
    struct spi_graph *g;
    int parts = PARTS;
    int64_t want = 0, n;
    spi_err err = SPI_OK;

    NEED(spi_graph_new(engine, 3, NULL, &g) == SPI_OK);
    NEED(spi_array_ragged(g, &shape, &a) == SPI_OK);
    NEED(spi_array_new(g, &one, &sum) == SPI_OK);
    for (int round = 0; round < 2; round++) { /* the second replaces what the first gave */
        want = 0;
        for (int p = 0; p < PARTS && !err; p++) {
            struct spi_access access = {a, p, SPI_WRITE};
            int size = 3 * p + round;

            err = spi_graph_submit(g, "give", count_up, &size, sizeof size, 1, &access);
            for (int i = 0; i < size; i++)
                want += size * 100 + i;
        }
        struct spi_access access[2] = {{a, SPI_WHOLE, SPI_READ}, {sum, 0, SPI_WRITE}};

        if (!err)
            err = spi_graph_submit(g, "add", add_up, &parts, sizeof parts, 2, access);
    }
    NEED(!err && spi_graph_wait(g) == SPI_OK);
    OK(*(const int64_t *)spi_array_data(sum, 0, NULL) == want,
       "%s: the sum of what tasks gave", engine);
    OK(((const int32_t *)spi_array_data(a, 2, &n))[6] == 706 && n == 7, "%s: a part",
       engine);
    spi_graph_free(g);
}

/* ---- what `copies` finds ------------------------------------------------------------ */

enum { GOOD, UNNAMED, WRITES_READ, BEYOND, SLACK, WRAPPED, UNFILLED, FAULTS };

struct breach {
    int what;
    float *other; /* memory of an array that is not named */
};

static spi_err breach(struct spi_view *v, const void *arg, const volatile int *stop)
{
    const struct breach *b = arg;
    volatile float *to = v[0].data;
    const volatile float *from = v[1].data;

    (void)stop;
    for (int64_t i = 0; i < v[0].n; i++)
        to[i] = from[i % v[1].n];
    if (b->what == UNNAMED || b->what == WRAPPED)
        to[0] = *(volatile float *)b->other;
    if (b->what == WRAPPED)
        *(volatile float *)b->other = 1;
    if (b->what == WRITES_READ)
        *(volatile float *)v[1].data = 1;
    if (b->what == BEYOND)
        to[0] = from[v[1].n + 16];
    if (b->what == SLACK)
        to[v[0].n] = 1;
    if (b->what == UNFILLED)
        to[0] = ((const volatile float *)v[2].data)[0];
    return SPI_OK;
}

/* In a process of its own, for what is found ends it.  Leaves `to` in *out. */
static int attempt(int what, char *text, size_t size, float *out)
{
    int pipe_of[2], status = -1;
    ssize_t n, have = 0;

    if (pipe(pipe_of) != 0)
        return -1;
    fflush(stdout);

    pid_t child = fork();

    if (child == 0) {
        struct spi_array_shape shape = {SPI_ARRAY_OF(float, "to"), .rows = 5, .columns = 1};
        struct spi_array *to, *from, *third;
        struct spi_graph *g;
        static float memory[5] = {1, 2, 3, 4, 5};
        spi_err err;

        dup2(pipe_of[1], 2);
        close(pipe_of[0]);
        err = spi_graph_new("copies", 1, NULL, &g) || spi_array_new(g, &shape, &to);
        shape.name = "from";
        err = err || spi_array_new(g, &shape, &from);
        shape.name = "third";
        err = err || (what == WRAPPED ? spi_array_wrap(g, &shape, memory, &third)
                                      : spi_array_new(g, &shape, &third));
        if (err)
            _exit(9);

        struct spi_access access[3] = {
            {to, 0, SPI_WRITE}, {from, 0, SPI_READ}, {third, 0, SPI_WRITE}};
        struct breach b = {what, what == WRAPPED ? memory : spi_array_data(third, 0, NULL)};

        if (spi_graph_submit(g, "breach", breach, &b, sizeof b, what == UNFILLED ? 3 : 2,
                             access) ||
            spi_graph_wait(g))
            _exit(9);
        if (write(2, spi_array_data(to, 0, NULL), sizeof(float)) < 0)
            _exit(9);
        spi_array_free(g, third);
        _exit(0);
    }
    close(pipe_of[1]);
    while ((n = read(pipe_of[0], text + have, size - 1 - (size_t)have)) > 0)
        have += n;
    close(pipe_of[0]);
    text[have] = '\0';
    memcpy(out, text, sizeof *out);
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void check_copies(void)
{
    static const char *const want[FAULTS] = {
        [UNNAMED] = "task breach reaches array third, which it does not name\n",
        [WRITES_READ] = "task breach writes array from, which it names only to read\n",
        [BEYOND] = "task breach reaches beyond array from\n",
        [SLACK] = "task breach reaches beyond array to\n",
        [WRAPPED] = "array third: the caller's memory was changed while tasks had it\n"};
    char text[256];
    float to;

    for (int what = 0; what < FAULTS; what++) {
        int end = attempt(what, text, sizeof text, &to);

        if (want[what])
            OK(end == -SIGABRT && strstr(text, want[what]), "found: %s",
               strstr(text, want[what]) ? want[what] : text);
        else if (what == GOOD)
            OK(end == 0 && to == 0, "nothing where there is nothing");
        else
            OK(end == 0 && to != to, "what a task does not fill is not a number");
    }
}

int main(void)
{
    check_shape();
    for (int i = 0; spi_engine_table[i]; i++) {
        const struct spi_engine *e = spi_engine_table[i];

        if (e->why_not)
            continue;
        if (e != &spi_engine_serial)
            check_bits(e->name);
        check_ragged(e->name);
        check_release(e->name);
    }
    check_copies();
    return tap_done();
}
