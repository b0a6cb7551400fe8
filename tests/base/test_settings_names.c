/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Former names of settings: each sets the setting that it names now, in a file and by
 * --set, and a line of log says so. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/settings_renamed.h"
#include "io/settings_file.h"
#include "tap.h"

static const struct {
    const char *section, *old, *key;
} renamed[] = {
#define X(section, old, key) {#section, #old, #key},
    SPI_SETTINGS_RENAMED(X)
#undef X
};
enum { N = sizeof renamed / sizeof *renamed };

static char path[512], log_path[512];

static spi_err read_text(const char *text, struct spi_settings *s)
{
    FILE *f = fopen(path, "w");

    if (!f || fputs(text, f) == EOF || fclose(f) != 0) {
        perror(path);
        exit(1);
    }
    spi_settings_default(s);
    return spi_settings_read(path, s);
}

/* A value that is allowed and is not the default. */
static void other_value(const struct spi_setting *row, char *out, size_t size)
{
    struct spi_settings usual;
    char now[SPI_VALUE_MAX];

    spi_settings_default(&usual);
    spi_settings_value(&usual, row, now, sizeof now);
    snprintf(out, size, "%g",
             atof(now) < row->hi ? (row->hi > 2e6 ? 7 : row->hi) : row->lo);
}

static void each_name(void)
{
    int unknown = 0, clash = 0, set_wrong = 0, file_wrong = 0;

    for (int i = 0; i < N; i++) {
        const struct spi_setting *row =
            spi_setting_find(renamed[i].section, renamed[i].key);
        struct spi_settings by_new, by_old, by_file;
        char value[64], text[256];

        if (!row || strcmp(row->key, renamed[i].key) != 0) {
            unknown++;
            continue;
        }
        for (const struct spi_setting *r = spi_setting_table; r->key; r++)
            clash += strcmp(r->key, renamed[i].old) == 0;
        other_value(row, value, sizeof value);
        spi_settings_default(&by_new);
        spi_settings_default(&by_old);
        snprintf(text, sizeof text, "%s.%s=%s", row->section, row->key, value);
        set_wrong += spi_settings_apply("--set", text, &by_new) != SPI_OK;
        snprintf(text, sizeof text, "%s=%s", renamed[i].old, value);
        set_wrong += spi_settings_apply("--set", text, &by_old) != SPI_OK ||
                     memcmp(&by_old, &by_new, sizeof by_old) != 0;
        spi_settings_default(&by_old);
        set_wrong +=
            memcmp(&by_old, &by_new, sizeof by_old) == 0; /* the value is another */
        snprintf(text, sizeof text, "[%s]\n%s = %s\n", row->section, renamed[i].old, value);
        file_wrong += read_text(text, &by_file) != SPI_OK ||
                      memcmp(&by_file, &by_new, sizeof by_file) != 0;
    }
    OK(unknown == 0, "%d former names: %d name no setting", N, unknown);
    OK(clash == 0, "no former name is a name of today: %d", clash);
    OK(set_wrong == 0, "--set with the former name: %d wrong", set_wrong);
    OK(file_wrong == 0, "a file with the former name: %d wrong", file_wrong);
}

static spi_err assign(const char *text, struct spi_settings *s)
{
    spi_settings_default(s);
    return spi_settings_apply("--set", text, s);
}

/* What standard error gets while `take` reads `from`. */
static void said(spi_err (*take)(const char *, struct spi_settings *), const char *from,
                 char *text, size_t size)
{
    struct spi_settings s;
    size_t n = 0;
    FILE *f;

    fflush(stderr);
    if (!freopen(log_path, "w", stderr))
        exit(1);
    if (take(from, &s))
        fprintf(stderr, "refused");
    fflush(stderr);
    if ((f = fopen(log_path, "r"))) {
        n = fread(text, 1, size - 1, f);
        fclose(f);
    }
    text[n] = 0;
    if (n && text[n - 1] == '\n')
        text[n - 1] = 0;
}

static int count_lines(const char *text)
{
    int n = *text != 0;

    for (; *text; text++)
        n += *text == '\n';
    return n;
}

/* A file names all its former names in one line. */
static void file_hints(void)
{
    static char file[8192], text[8192], pair[256];
    const char *section = "";
    int missing = 0;
    size_t n = 0;

    said(read_text, "[algorithm]\nmarch_ratio = 1.5\n", text, sizeof text);
    OK(count_lines(text) == 1 && strncmp(text, path, strlen(path)) == 0 &&
           strstr(text, "1 setting has a former name") &&
           strstr(text, "march_ratio is now marching_ratio"),
       "one former name in a file: %s", text);
    for (int i = 0; i < N; i++) { /* the table names each section once */
        char value[64];

        other_value(spi_setting_find(renamed[i].section, renamed[i].key), value,
                    sizeof value);
        if (strcmp(section, renamed[i].section) != 0)
            n += (size_t)snprintf(file + n, sizeof file - n, "[%s]\n", renamed[i].section);
        section = renamed[i].section;
        n +=
            (size_t)snprintf(file + n, sizeof file - n, "%s = %s\n", renamed[i].old, value);
    }
    said(read_text, file, text, sizeof text);
    for (int i = 0; i < N; i++) {
        snprintf(pair, sizeof pair, " %s is now %s%s", renamed[i].old, renamed[i].key,
                 i == N - 1 ? "" : ",");
        missing += strstr(text, pair) == NULL;
    }
    OK(count_lines(text) == 1 && missing == 0,
       "all %d former names in a file: %d lines, %d names missing", N, count_lines(text),
       missing);
    said(read_text, "[algorithm]\nmarching_ratio = 1.5\n", text, sizeof text);
    OK(!*text, "a file with the names of today needs no word");
    said(read_text, "[algorithm]\nmarch_ratio = 1.5\nN_inits = 0\n", text, sizeof text);
    OK(strcmp(text, "refused") == 0, "a file that is refused has one message: %s", text);
}

static void hints(void)
{
    struct spi_settings s;
    char text[512];

    said(assign, "algorithm.march_ratio=1.5", text, sizeof text);
    OK(strstr(text, "--set: algorithm.march_ratio is the former name of "
                    "algorithm.marching_ratio"),
       "a former name is answered by the new one: %s", text);
    said(assign, "algorithm.marching_ratio=1.5", text, sizeof text);
    OK(!*text, "the name of today needs no word");
    OK(read_text("[algorithm]\nmarch_ratio = 1.5\nmarching_ratio = 1.6\n", &s) ==
               SPI_EFORMAT &&
           strstr(spi_err_message(), ":3: ") && strstr(spi_err_message(), "line 2"),
       "both names in one file: %s", spi_err_message());
    OK(spi_settings_apply("--set", "algorithm.march_rati=1.5", &s) == SPI_EINVAL &&
           strstr(spi_err_message(), "the nearest is 'algorithm.marching_ratio'"),
       "a slip in a former name: %s", spi_err_message());
    OK(spi_setting_find("phasing", "march_ratio") == NULL,
       "a former name belongs to its section");
}

int main(void)
{
    const char *tmp = getenv("SPI_TEST_TMP");

    snprintf(path, sizeof path, "%s/test_settings_names.toml", tmp ? tmp : "/tmp");
    snprintf(log_path, sizeof log_path, "%s/test_settings_names.log", tmp ? tmp : "/tmp");
    each_name();
    hints();
    file_hints();
    remove(path);
    remove(log_path);
    return tap_done();
}
