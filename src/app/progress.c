/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/progress.h"

#include <langinfo.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"

enum { LINE_BYTES = 1024, BAR_MAX = 30, BAR_MIN = 6 };
static const double REDRAW_S = 0.1, LOG_EVERY_S = 30, LOG_AFTER_S = 1;

/* The one bar of the process: base/log.h calls its hook without an argument. */
static struct {
    pthread_mutex_t lock;
    bool active, on_terminal, drawn;
    char stage[64], unit[32], text[256];
    int generation, generations;
    int64_t from, done, total;
    double begun_s, drawn_s, logged_s;
} bar = {.lock = PTHREAD_MUTEX_INITIALIZER, .generation = -1};

/* ------------------------------------------------------------------ the line */

/* Columns of a UTF-8 text: bytes that do not continue a character. */
static int columns(const char *text)
{
    int n = 0;

    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

/* Keep the first `width` columns. */
static void cut(char *text, int width)
{
    int n = 0;

    for (; *text; text++) {
        n += ((unsigned char)*text & 0xc0) != 0x80;
        if (n > width) {
            *text = 0;
            return;
        }
    }
}

/* "8 s", "3 min 20 s", "2 h 5 min". */
static void duration(double s, char *out, size_t size)
{
    if (s < 60)
        snprintf(out, size, "%.0f s", ceil(s));
    else if (s < 3600)
        snprintf(out, size, "%d min %02d s", (int)(s / 60), (int)fmod(s, 60));
    else if (s < 100 * 3600)
        snprintf(out, size, "%d h %02d min", (int)(s / 3600), (int)fmod(s / 60, 60));
    else
        snprintf(out, size, "%.0f days", s / 86400);
}

static void append(char *out, size_t size, const char *text)
{
    size_t n = strlen(out);

    snprintf(out + n, size - n, "%s", text);
}

/* Percentage, rate and remaining time. */
static void numbers(const struct spi_progress_view *v, char *out, size_t size)
{
    double rate = v->elapsed_s > 0 ? (double)(v->done - v->from) / v->elapsed_s : 0;
    char part[96];

    *out = 0;
    if (v->total > 0) {
        snprintf(part, sizeof part, " %3d %%",
                 (int)(100.0 * (double)v->done / (double)v->total));
        append(out, size, part);
    }
    if (rate > 0 && *v->unit) {
        snprintf(part, sizeof part, rate < 10 ? "  %.2g %s/s" : "  %.0f %s/s", rate,
                 v->unit);
        append(out, size, part);
    }
    if (rate > 0 && v->total > v->done) {
        append(out, size, "  ");
        duration((double)(v->total - v->done) / rate, part, sizeof part);
        append(out, size, part);
        append(out, size, " left");
    }
}

static void draw_bar(const struct spi_progress_view *v, int width, char *out, size_t size)
{
    double fraction = fmin(1, (double)v->done / (double)v->total);
    int full = (int)(fraction * width);

    append(out, size, v->utf8 ? " " : " [");
    for (int i = 0; i < width; i++)
        append(out, size,
               i < full   ? v->utf8 ? "\xe2\x96\x88" : "="
               : v->utf8  ? "\xe2\x96\x91"
               : i > full ? " "
                          : ">");
    append(out, size, v->utf8 ? "" : "]");
}

void spi_progress_line(const struct spi_progress_view *v, char *out, size_t size)
{
    char tail[LINE_BYTES], text[LINE_BYTES], generation[48] = "";

    if (v->generation >= 0 && v->generations > 0)
        snprintf(generation, sizeof generation, "  gen %d/%d", v->generation,
                 v->generations);
    else if (v->generation >= 0)
        snprintf(generation, sizeof generation, "  gen %d", v->generation);
    snprintf(out, size, "%s%s", spi_text_printable(v->stage, text, sizeof text),
             generation);
    numbers(v, tail, sizeof tail);
    if (v->text && *v->text) {
        append(tail, sizeof tail, "  ");
        append(tail, sizeof tail, spi_text_printable(v->text, text, sizeof text));
    }

    int room = v->width - 1 - columns(out) - columns(tail) - 3;

    if (v->total > 0 && room >= BAR_MIN)
        draw_bar(v, room < BAR_MAX ? room : BAR_MAX, out, size);
    append(out, size, tail);
    cut(out, v->width - 1);
}

/* ------------------------------------------------------------------ the terminal */

static int terminal_width(void)
{
    struct winsize w;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0)
        return w.ws_col;
    return 80;
}

static bool is_terminal(void)
{
    const char *term = getenv("TERM");

    return isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
}

static struct spi_progress_view view_now(double now)
{
    return (struct spi_progress_view){
        .stage = bar.stage,
        .unit = bar.unit,
        .text = bar.text,
        .generation = bar.generation,
        .generations = bar.generations,
        .from = bar.from,
        .done = bar.done,
        .total = bar.total,
        .elapsed_s = now - bar.begun_s,
    };
}

static void draw(double now)
{
    struct spi_progress_view v = view_now(now);
    char line[LINE_BYTES];

    v.width = terminal_width();
    v.utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    spi_progress_line(&v, line, sizeof line);
    fprintf(stderr, "\r%s\033[K", line); /* erase what a longer line left */
    fflush(stderr);
    bar.drawn = true;
    bar.drawn_s = now;
}

static void erase(void)
{
    if (bar.drawn)
        fputs("\r\033[K", stderr);
    bar.drawn = false;
}

/* Hook of base/log.c: a line of log is about to be printed.  The bar comes back with the
 * next update, REDRAW_S later at the earliest: by then the line is out. */
static void before_line(void)
{
    pthread_mutex_lock(&bar.lock);
    erase();
    bar.drawn_s = spi_now_s();
    pthread_mutex_unlock(&bar.lock);
}

/* ------------------------------------------------------------------ calls */

void spi_progress_begin(const char *stage, int64_t total, const char *unit)
{
    spi_progress_end();
    spi_log_set_hook(before_line);
    pthread_mutex_lock(&bar.lock);
    snprintf(bar.stage, sizeof bar.stage, "%s", stage);
    snprintf(bar.unit, sizeof bar.unit, "%s", unit);
    bar.text[0] = 0;
    bar.from = bar.done = 0;
    bar.total = total;
    bar.active = spi_log_level() >= SPI_LOG_NORMAL;
    bar.on_terminal = bar.active && is_terminal();
    bar.begun_s = bar.logged_s = spi_now_s();
    if (bar.on_terminal)
        draw(bar.begun_s);
    pthread_mutex_unlock(&bar.lock);
}

void spi_progress_from(int64_t done)
{
    pthread_mutex_lock(&bar.lock);
    bar.from = bar.done = done;
    pthread_mutex_unlock(&bar.lock);
}

void spi_progress_generation(int number, int of)
{
    pthread_mutex_lock(&bar.lock);
    bar.generation = number;
    bar.generations = of;
    pthread_mutex_unlock(&bar.lock);
}

/* One line of log in words: "matching  gen 3/80: 512 images  17 %  410 images/s  6 s left",
 * at the end "matching  gen 3/80: 3000 images  410 images/s  in 8 s". */
static void log_view(const struct spi_progress_view *v, bool ended)
{
    const struct spi_progress_view head = {.stage = v->stage,
                                           .generation = v->generation,
                                           .generations = v->generations,
                                           .unit = "",
                                           .width = LINE_BYTES};
    struct spi_progress_view rest = *v;
    char line[LINE_BYTES], tail[LINE_BYTES / 2], count[64] = "", took[64] = "";

    spi_progress_line(&head, line, sizeof line);
    if (ended)
        rest.total = 0; /* neither percentage nor remaining time */
    numbers(&rest, tail, sizeof tail);
    if (v->done > 0 && *v->unit)
        snprintf(count, sizeof count, " %lld %s", (long long)v->done, v->unit);
    if (ended) {
        char time[32];

        duration(v->elapsed_s, time, sizeof time);
        snprintf(took, sizeof took, "%s in %s", *count ? " " : "", time);
    }
    spi_info("%s:%s%s%s%s%s", line, count, tail, took, *v->text ? "  " : "", v->text);
}

void spi_progress_update(int64_t done, const char *text)
{
    double now = spi_now_s();
    struct spi_progress_view v;
    char stage[sizeof bar.stage], unit[sizeof bar.unit], words[sizeof bar.text];
    bool log = false;

    pthread_mutex_lock(&bar.lock);
    bar.done = done;
    snprintf(bar.text, sizeof bar.text, "%s", text ? text : "");
    if (bar.on_terminal && now - bar.drawn_s >= REDRAW_S)
        draw(now);
    else if (bar.active && !bar.on_terminal && now - bar.logged_s >= LOG_EVERY_S) {
        bar.logged_s = now;
        log = true;
    }
    v = view_now(now);
    v.stage = memcpy(stage, bar.stage, sizeof stage);
    v.unit = memcpy(unit, bar.unit, sizeof unit);
    v.text = memcpy(words, bar.text, sizeof words);
    pthread_mutex_unlock(&bar.lock);
    if (log)
        log_view(&v, false); /* outside of the lock: the hook takes it */
}

void spi_progress_end(void)
{
    double now = spi_now_s();
    bool log;
    char stage[sizeof bar.stage], unit[sizeof bar.unit], words[sizeof bar.text];

    pthread_mutex_lock(&bar.lock);

    struct spi_progress_view v = view_now(now);

    erase();
    fflush(stderr);
    log = bar.active && !bar.on_terminal && v.elapsed_s >= LOG_AFTER_S;
    v.stage = memcpy(stage, bar.stage, sizeof stage);
    v.unit = memcpy(unit, bar.unit, sizeof unit);
    v.text = memcpy(words, bar.text, sizeof words);
    bar.active = bar.on_terminal = false;
    pthread_mutex_unlock(&bar.lock);
    if (log)
        log_view(&v, true);
}
