/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Settings files: what is read, the message of every mistake, round trip, broken bytes. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "io/settings_file.h"
#include "tap.h"

static char path[512];

static void write_file(const char *text, size_t n)
{
    FILE *f = fopen(path, "wb");

    if (!f || fwrite(text, 1, n, f) != n || fclose(f) != 0) {
        perror(path);
        exit(1);
    }
}

static spi_err read_text(const char *text, struct spi_settings *s)
{
    write_file(text, strlen(text));
    spi_settings_default(s);
    return spi_settings_read(path, s);
}

static void good(void)
{
    struct spi_settings s, d;

    spi_settings_default(&d);
    OK(read_text("", &s) == SPI_OK && memcmp(&s, &d, sizeof s) == 0,
       "an empty file changes nothing");
    OK(read_text("\xef\xbb\xbf# comment\r\n"
                 "  [algorithm]\r\n"
                 "\tN_generations = 1_000   # a comment\r\n"
                 "    rlambda=1e-3\r\n"
                 "match_phased = true\r\n"
                 "score = 'poisson' # 'quoted' comment\r\n"
                 "\r\n"
                 "[phasing]\r\n"
                 "recipe = \"3*(2 ER ; \\\"x\\\" \\u0041 # 5 HIO)\"\r\n"
                 "[runtime]\nseed = +2147483647",
                 &s) == SPI_OK,
       "BOM, CRLF, indentation, comments: %s", spi_err_message());
    OK(s.N_generations == 1000 && s.rlambda == 1e-3 && s.match_phased &&
           !strcmp(s.score, "poisson") && s.seed == 2147483647,
       "values");
    OK(!strcmp(s.recipe, "3*(2 ER ; \"x\" A # 5 HIO)"), "a string keeps ; and #: %s",
       s.recipe);
    OK(s.rlambda_init == d.rlambda_init, "others keep their values");
    OK(read_text("[algorithm]\nrlambda = 1_0.2_5e+0_1\n", &s) == SPI_OK &&
           s.rlambda == 102.5,
       "underscores in a number: %g %s", s.rlambda, spi_err_message());
    OK(read_text("\xef\xbb\xbf[algorithm]\rrlambda = 2\r\r[runtime]\rseed = 9\r", &s) ==
               SPI_OK &&
           s.rlambda == 2 && s.seed == 9,
       "lines that end in CR: %s", spi_err_message());
    OK(read_text("[algorithm]\rrlambda = 2\r\rno = 3\r", &s) != SPI_OK &&
           strstr(spi_err_message(), ":4: "),
       "their numbers: %s", spi_err_message());
}

static const struct {
    const char *text;
    int line;
    const char *says;
} bad[] = {
    {"[algorithm]\nrlambd = 1\n", 2,
     "unknown setting 'algorithm.rlambd'; the nearest is 'algorithm.rlambda'"},
    {"[phasing]\nN_inits = 1\n", 2,
     "unknown setting 'phasing.N_inits'; the nearest is 'algorithm.N_inits'"},
    {"\n[algoritm]\n", 2, "unknown section [algoritm]; the nearest is [algorithm]"},
    {"[algorithm] x\n", 1, "need [section] alone on its line"},
    {"[algorithm\n", 1, "need [section] alone on its line"},
    {"[]\n", 1, "unknown section []"},
    {"[[algorithm]]\n", 1, "unknown section [[algorithm]]"},
    {"rlambda = 1\n", 1, "'rlambda' stands before the first [section]"},
    {"[algorithm]\nrlambda = 1\n\nrlambda = 2\n", 4,
     "algorithm.rlambda stands twice; first in line 2"},
    {"[algorithm]\n[phasing]\n[algorithm]\n", 3,
     "section [algorithm] stands twice; first in line 1"},
    {"[algorithm]\nrlambda\n", 2, "need [section], key = value or # comment"},
    {"[algorithm]\nrlambda : 1\n", 2, "need [section], key = value or # comment"},
    {"[algorithm]\nrlambda:x = 1\n", 2, "need [section], key = value or # comment"},
    {"[algorithm]\n= 1\n", 2, "need [section], key = value or # comment"},
    {"[algorithm]\nrlambda =\n", 2, "algorithm.rlambda has no value"},
    {"[algorithm]\nrlambda = # none\n", 2, "algorithm.rlambda has no value"},
    {"[algorithm]\nrlambda = [1, 2]\n", 2,
     "algorithm.rlambda is a list or table; need one value"},
    {"[algorithm]\nrlambda = {a = 1}\n", 2, "is a list or table"},
    {"[algorithm]\nrlambda = \"1\"\n", 2, "need a value without quotes"},
    {"[algorithm]\nrlambda = 1 2\n", 2, "algorithm.rlambda is '1 2'; need a number"},
    {"[algorithm]\nrlambda = 0x10\n", 2, "need a number"},
    {"[algorithm]\nrlambda = 1__0\n", 2, "need a number"},
    {"[algorithm]\nrlambda = _1\n", 2, "need a number"},
    {"[algorithm]\nrlambda = nan\n", 2, "need a number"},
    {"[algorithm]\nrlambda = 1e999\n", 2, "need a number"},
    {"[algorithm]\nrlambda = -1\n", 2, "algorithm.rlambda is -1; need 0..1000"},
    {"[algorithm]\nN_inits = 1.5\n", 2, "need a whole number"},
    {"[algorithm]\nN_inits = 65\n", 2, "algorithm.N_inits is 65; need 1..64"},
    {"[algorithm]\nmatch_phased = 1\n", 2, "need true or false"},
    {"[algorithm]\nmatch_phased = True\n", 2, "need true or false"},
    {"[algorithm]\nscore = poisson\n", 2, "need a text in quotes"},
    {"[algorithm]\nscore = \"poison\"\n", 2, "need one of auto|poisson|gaussian"},
    {"[algorithm]\nscore = \"poisson\n", 2, "the string has no closing quote"},
    {"[algorithm]\nscore = \"poisson\" x\n", 2, "' x' stands after the closing quote"},
    {"[algorithm]\nscore = \"\"\"poisson\"\"\"\n", 2,
     "strings over several lines are not read"},
    {"[algorithm]\nscore = \"\\q\"\n", 2, "unknown escape '\\q'"},
    {"[algorithm]\nscore = \"\\ud800\"\n", 2, "unknown escape '\\u'"},
    {"[algorithm]\nscore = \"\\u0000\"\n", 2, "unknown escape '\\u'"},
    {"[algorithm]\nscore = \"\\", 2, "unknown escape"},
    {"[algorithm]\nrl\001ambda = 1\n", 2, "holds a control character"},
};

static void mistakes(void)
{
    struct spi_settings s, d;

    spi_settings_default(&d);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char where[600];
        spi_err err = read_text(bad[i].text, &s);

        snprintf(where, sizeof where, "%s:%d: ", path, bad[i].line);
        OK(err != SPI_OK && !strncmp(spi_err_message(), where, strlen(where)) &&
               strstr(spi_err_message(), bad[i].says) && memcmp(&s, &d, sizeof s) == 0,
           "line %d: %s", bad[i].line, bad[i].says);
        if (!strstr(spi_err_message(), bad[i].says))
            NOTE("%s", spi_err_message());
    }

    static char text[8192];

    sprintf(text, "[algorithm]\nscore = \"%06000d\"\n", 1);
    OK(read_text(text, &s) == SPI_EFORMAT &&
           strstr(spi_err_message(), ":2: line is too long"),
       "%s", "too long a line");
    sprintf(text, "[phasing]\nrecipe = \"%0300d\"\n", 1);
    OK(read_text(text, &s) == SPI_EINVAL && strstr(spi_err_message(), "has 300 characters"),
       "%s", spi_err_message());
    sprintf(text, "[phasing]\n%0300d = 1\n", 1);
    OK(read_text(text, &s) == SPI_EFORMAT && strstr(spi_err_message(), "key is too long"),
       "%s", spi_err_message());
    OK(spi_settings_read("/nonexistent/x.toml", &s) == SPI_EIO &&
           strstr(spi_err_message(), "/nonexistent/x.toml: cannot open: No such file"),
       "%s", spi_err_message());
    OK(spi_settings_read("/", &s) == SPI_EIO, "%s", spi_err_message());
    write_file("[algorithm]\nN_st\0rts = 2\n", 25);
    OK(spi_settings_read(path, &s) == SPI_EFORMAT, "a zero byte: %s", spi_err_message());
}

/* Settings of random values within their ranges, written and read again. */
static void fill(struct spi_rng *r, struct spi_settings *s)
{
    spi_settings_default(s);
    for (const struct spi_setting *row = spi_setting_table; row->key; row++) {
        void *at = (char *)s + row->offset;
        double u = spi_rng_uniform(r);

        switch (row->type) {
        case SPI_SET_int:
            *(int *)at = (int)(row->lo + u * (row->hi - row->lo));
            break;
        case SPI_SET_double:
            *(double *)at = row->lo + u * (row->hi - row->lo);
            break;
        case SPI_SET_bool:
            *(bool *)at = u < 0.5;
            break;
        case SPI_SET_text:
            if (*row->unit) /* the last of the words */
                strcpy(at, strrchr(row->unit, '|') + 1);
            else
                for (int i = 0; i < SPI_TEXT_MAX - 1; i++)
                    ((char *)at)[i] = (char)(1 + spi_rng_below(r, 127));
        }
    }
}

static void dump(const struct spi_settings *s)
{
    FILE *f = fopen(path, "w");

    spi_settings_dump(s, f);
    fclose(f);
}

/* Same values; padding and bytes after a text's end do not count. */
static bool same(const struct spi_settings *a, const struct spi_settings *b)
{
    for (const struct spi_setting *row = spi_setting_table; row->key; row++) {
        char va[SPI_VALUE_MAX], vb[SPI_VALUE_MAX];

        spi_settings_value(a, row, va, sizeof va);
        spi_settings_value(b, row, vb, sizeof vb);
        if (strcmp(va, vb) != 0)
            return false;
    }
    return true;
}

static void round_trip(void)
{
    struct spi_rng r = spi_rng_stream(5, SPI_RNG_TEST, 1);
    struct spi_settings s, back;

    for (int i = 0; i < 20; i++) {
        spi_err err;

        fill(&r, &s);
        dump(&s);
        spi_settings_default(&back);
        err = spi_settings_read(path, &back);
        OK(err == SPI_OK && same(&s, &back), "round trip %d: %s", i,
           err ? spi_err_message() : "");
    }
    back.rlambda = nextafter(back.rlambda, 0);
    OK(!same(&s, &back), "one bit of one number is noticed");
}

/* Random bytes of a good file changed, removed or doubled: read or refused with path and
 * line, never more. */
static void fuzz(void)
{
    struct spi_rng r = spi_rng_stream(5, SPI_RNG_TEST, 2);
    static char good_text[1 << 16], text[1 << 16];
    struct spi_settings s;
    int refused = 0, silent = 0;
    enum { ROUNDS = 600 };

    spi_settings_default(&s);
    dump(&s);

    FILE *f = fopen(path, "r");
    size_t n_good = fread(good_text, 1, sizeof good_text - 8, f);

    fclose(f);
    for (int i = 0; i < ROUNDS; i++) {
        size_t n = n_good;

        memcpy(text, good_text, n);
        for (uint32_t k = 0, m = 1 + spi_rng_below(&r, 4); k < m; k++) {
            size_t at = spi_rng_below(&r, (uint32_t)n - 1);
            static const char special[] = "\"'\\#[]=\n\r\t {}:;\xff\x7f_.e-";

            switch (spi_rng_below(&r, 4)) {
            case 0:
                text[at] = (char)spi_rng_below(&r, 256);
                break;
            case 1:
                text[at] = special[spi_rng_below(&r, sizeof special - 1)];
                break;
            case 2:
                memmove(text + at, text + at + 1, n - at - 1);
                n--;
                break;
            case 3:
                n = at + 1;
            }
            if (n < 2)
                break;
        }
        write_file(text, n);
        spi_settings_default(&s);
        if (spi_settings_read(path, &s) != SPI_OK) {
            refused++;
            silent += strncmp(spi_err_message(), path, strlen(path)) != 0;
        }
    }
    OK(refused > ROUNDS / 10 && refused < ROUNDS, "%d of %d broken files refused", refused,
       ROUNDS);
    OK(silent == 0, "each message begins with the path");
}

static const struct {
    const char *assignment;
    bool ok;
    const char *says;
} sets[] = {
    {"algorithm.rlambda=0.5", true, ""},
    {"rlambda=1e-3", true, ""},
    {"algorithm.score=poisson", true, ""},
    {"algorithm.score=\"poisson\"", true, ""},
    {"phasing.recipe=3 ER, 2.5 x=y", true, ""},
    {"phasing.recipe=", true, ""},
    {"algorithm.match_phased=true", true, ""},
    {"algorithm.N_generations=1_000", true, ""},
    {"algorithm.rlambda", false, "--set: 'algorithm.rlambda' is not section.key=value"},
    {"=3", false, "is not section.key=value"},
    {"algorithm.=3", false, "unknown setting"},
    {".rlambda=3", false, "unknown setting"},
    {"algoritm.rlambda=3", false, "the nearest is 'algorithm.rlambda'"},
    {"algorithm.rlambda=", false, "need a number"},
    {"algorithm.rlambda=-3", false, "need 0..1000"},
    {"algorithm.match_phased=yes", false, "need true or false"},
    {"algorithm.score=\"poisson", false, "no closing quote"},
};

static void assignments(void)
{
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        struct spi_settings s;

        spi_settings_default(&s);

        spi_err err = spi_settings_apply("--set", sets[i].assignment, &s);

        OK((err == SPI_OK) == sets[i].ok &&
               (sets[i].ok || strstr(spi_err_message(), sets[i].says)),
           "'%s': %s", sets[i].assignment, err ? spi_err_message() : "");
    }

    struct spi_settings s;

    spi_settings_default(&s);
    OK(spi_settings_apply("--set", "phasing.recipe=3 ER, 2.5 x=y", &s) == SPI_OK &&
           !strcmp(s.recipe, "3 ER, 2.5 x=y"),
       "a text without quotes: %s", s.recipe);
}

int main(void)
{
    const char *tmp = getenv("SPI_TEST_TMP");

    snprintf(path, sizeof path, "%s/test_settings_file.toml", tmp ? tmp : "/tmp");
    good();
    mistakes();
    round_trip();
    fuzz();
    assignments();
    remove(path);
    return tap_done();
}
