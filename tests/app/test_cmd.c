/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Option tables: values, defaults, and the message of every kind of mistake. */
#include <string.h>

#include "app/cmd.h"
#include "app/help.h"
#include "tap.h"

struct args {
    bool json, positive;
    int rounds;
    int64_t seed;
    double beta, free_real;
    const char *out, *note, *mode;
    int size[2];
    struct spi_texts set;
    struct spi_reals parts;
};
static const struct args defaults = {
    .positive = true, .rounds = 4, .beta = 0.3, .mode = "fast", .size = {128, 128}};
static const struct spi_opt opts[] = {
    {'o', "output", SPI_PATH(args, out), 0, 0, "FILE", "result", .required = true},
    SPI_HEADING("Numbers"),
    {'b', "beta", SPI_REAL(args, beta), 0, 1, "A", "feedback"},
    {0, "free", SPI_REAL(args, free_real), 0, 0, "", "any number", .absent = "a guess"},
    {'r', "rounds", SPI_INT(args, rounds), 1, 1e9, "", "rounds"},
    {0, "seed", SPI_COUNT(args, seed), 0, 0, "", "seed"},
    {0, "size", SPI_SIZE(args, size), 8, 4096, "pixels", "size"},
    {0, "parts", SPI_REALS(args, parts), 0, 1, "", "parts"},
    SPI_HEADING("Words"),
    {0, "note", SPI_TEXT(args, note), 0, 0, "", "a note"},
    {0, "mode", SPI_CHOICE(args, mode), 0, 0, "fast|good", "how"},
    {0, "set", SPI_TEXTS(args, set), 0, 0, "S.K=V", "change"},
    {'j', "json", SPI_FLAG(args, json), 0, 0, "", "JSON"},
    {0, "positive", SPI_FLAG(args, positive), 0, 0, "", "no negative density"},
    {0},
};

static spi_err run(const struct spi_call *call)
{
    (void)call;
    return SPI_OK;
}

static const struct spi_cmd cmd = {
    .name = "blur",
    .operands = "IN.mrc [MORE.mrc]",
    .min_operands = 1,
    .max_operands = 2,
    .brief = "blur a map",
    .about = "Blurs. It is simple.\n\nWrites a map.",
    .examples = {{"spinifel blur a -o b", "an example"}},
    .may_not_converge = true,
    .opts = opts,
    .defaults = &defaults,
    .size = sizeof defaults,
    .run = run,
};
static const struct spi_cmd other = {
    .name = "merge", .operands = "", .brief = "b", .about = "c"};
static const struct spi_cmd *const cmds[] = {&cmd, &other, NULL};
static const struct spi_program program = {"spinifel", "brief", "About.", cmds};

enum { WORDS = 32 };

/* The words of `line`, separated by blanks; '~' stands for an empty word. */
static int split(char *line, char *word[WORDS])
{
    int n = 0;

    for (char *w = strtok(line, " "); w && n < WORDS; w = strtok(NULL, " "))
        word[n++] = strcmp(w, "~") == 0 ? w + 1 : w;
    return n;
}

static spi_err parse(const char *line, char *buffer, struct spi_call *call)
{
    char *word[WORDS];

    strcpy(buffer, line);
    return spi_call_parse(&cmd, split(buffer, word), word, call);
}

static void values(void)
{
    char buffer[256];
    struct spi_call c;
    spi_err err = parse("a.mrc -o x.mrc", buffer, &c);
    const struct args *a = c.args;

    OK(err == SPI_OK && a->beta == defaults.beta && a->rounds == 4 && a->positive &&
           !strcmp(a->mode, "fast") && a->size[1] == 128 && !a->json && a->set.n == 0,
       "defaults: %s", spi_err_message());
    OK(spi_call_given(&c, "output") && !spi_call_given(&c, "beta"),
       "what was given is known");
    spi_call_clear(&c);

    err = parse("-jvb 0.5 --rounds=1e3 a.mrc --seed 9007199254740993 --size 64x96 b.mrc "
                "--parts 0.7,0.3 -ox.mrc",
                buffer, &c);
    a = c.args;
    OK(err == SPI_OK && a->json && c.common.verbose && a->beta == 0.5 && a->rounds == 1000,
       "clusters and values: %s", spi_err_message());
    OK(a->seed == 9007199254740993, "a count is exact beyond 2^53");
    OK(a->size[0] == 64 && a->size[1] == 96 && a->parts.n == 2 && a->parts.x[1] == 0.3 &&
           !strcmp(a->out, "x.mrc"),
       "sizes and lists");
    OK(c.n_operands == 2 && !strcmp(c.operand[0], "a.mrc") &&
           !strcmp(c.operand[1], "b.mrc"),
       "operands between options");
    spi_call_clear(&c);

    err =
        parse("--no-positive --no-json --size 32 --mode good --free -7 --set a=1 --set b=2 "
              "--beta .1 --beta .2 --output=--odd -- -x --beta",
              buffer, &c);
    a = c.args;
    OK(err == SPI_OK && !a->positive && !a->json && a->size[0] == 32 && a->size[1] == 32,
       "negation, square size: %s", spi_err_message());
    OK(a->free_real == -7 && a->beta == 0.2 && !strcmp(a->mode, "good"),
       "negative numbers are values; the last one counts");
    OK(a->set.n == 2 && !strcmp(a->set.item[1], "b=2") && !strcmp(a->out, "--odd"),
       "repeated texts; a value behind '='");
    OK(c.n_operands == 2 && !strcmp(c.operand[1], "--beta"), "'--' ends the options");
    spi_call_clear(&c);

    err = parse("--help", buffer, &c);
    OK(err == SPI_OK && c.common.help, "--help asks for nothing else");
    spi_call_clear(&c);
    err = parse("- -o ~ ", buffer, &c);
    OK(err == SPI_EUSAGE && c.n_operands == 1, "'-' is an operand");
    spi_call_clear(&c);
}

static const struct {
    const char *line, *says;
} bad[] = {
    {"a -o b --beta 3", "blur: --beta: 3 is outside 0..1 A"},
    {"a -o b --beta=-0.1", "--beta: -0.1 is outside 0..1 A"},
    {"a -o b --beta 0.1x", "--beta: '0.1x' is not a number"},
    {"a -o b --beta ~", "--beta: '' is not a number"},
    {"a -o b --beta nan", "--beta: 'nan' is not a number"},
    {"a -o b --beta inf", "--beta: 'inf' is not a number"},
    {"a -o b --beta", "--beta: needs a value"},
    {"a -o b -b", "--beta: needs a value"},
    {"a --output --json", "--output: needs a value; '--json' looks like an option (write "
                          "--output=--json)"},
    {"a -o b --rounds 1.5", "--rounds: '1.5' is not a whole number"},
    {"a -o b --rounds 0", "--rounds: 0 is outside 1..1000000000"},
    {"a -o b --rounds 99999999999", "--rounds: 99999999999 is outside 1.."},
    {"a -o b --seed 99999999999999999999", "--seed: '99999999999999999999' is not a whole"},
    {"a -o b --size 12x", "--size: need a size such as 128x128"},
    {"a -o b --size x12", "--size: need a size such as 128x128"},
    {"a -o b --size 12x13x14", "--size: '13x14' is not a size such as 128x128"},
    {"a -o b --size 4x9", "--size: 4 is outside 8..4096 pixels"},
    {"a -o b --parts 0.5,", "--parts: need numbers separated by commas"},
    {"a -o b --parts 0.5,2", "--parts: 2 is outside 0..1"},
    {"a -o b --parts 0.5,z", "--parts: 'z' is not a number"},
    {"a -o b --mode slow", "--mode: 'slow' is none of fast|good"},
    {"a -o b --json=1", "--json: is a switch and takes no value; found '1'"},
    {"a -o b --jsn", "blur: unknown option '--jsn'; the nearest is '--json'"},
    {"a -o b --no-beta", "unknown option '--no-beta'"},
    {"a -o b --no-help", "unknown option '--no-help'"},
    {"a -o b --zzzz", "blur: unknown option '--zzzz'"},
    {"a -o b --bet=3", "unknown option '--bet'; the nearest is '--beta'"},
    {"a -o b --betas=3", "unknown option '--betas'; the nearest is '--beta'"},
    {"a -o b --=3", "'--=3' is not an option"},
    {"a -o b -x", "blur: unknown option '-x'"},
    {"a -o b -jx", "blur: unknown option '-x'"},
    {"a -o ~", "--output: the name of the file is empty"},
    {"a", "blur: --output: is needed (result)"},
    {"-o b", "blur: IN.mrc [MORE.mrc]: found 0 of these, need at least 1"},
    {"a b c -o d", "blur: 'c' is one operand too many; need IN.mrc [MORE.mrc]"},
    {"a -o b -q -v", "--quiet and --verbose exclude each other"},
};

static void mistakes(void)
{
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char buffer[256];
        struct spi_call c;
        spi_err err = parse(bad[i].line, buffer, &c);

        OK(err == SPI_EUSAGE && strstr(spi_err_message(), bad[i].says), "'%s': %s",
           bad[i].line, spi_err_message());
        spi_call_clear(&c);
    }
    /* The check can fail: the same words without the mistake are accepted. */
    char buffer[256];
    struct spi_call c;

    OK(parse("a -o b --beta 1", buffer, &c) == SPI_OK, "a range includes its ends");
    spi_call_clear(&c);
}

static void names(void)
{
    OK(spi_cmd_find(&program, "merge") == &other && !spi_cmd_find(&program, "mer"),
       "commands are found by their whole name");
    OK(spi_cmd_unknown(&program, "megre") == SPI_EUSAGE &&
           strstr(spi_err_message(), "unknown subcommand 'megre'; the nearest is 'merge'"),
       "%s", spi_err_message());
    OK(spi_exit_code(SPI_OK) == 0 && spi_exit_code(SPI_EIO) == 1 &&
           spi_exit_code(SPI_ECANCEL) == 1 && spi_exit_code(SPI_EUSAGE) == 2 &&
           spi_exit_code(SPI_ENOCONV) == 3,
       "exit codes");

    struct spi_call c = {.cmd = &cmd};

    OK(spi_call_fail(&c, "beta", "is %d", 3) == SPI_EUSAGE &&
           strcmp(spi_err_message(), "blur: --beta: is 3") == 0,
       "a check of a command's own names the option: %s", spi_err_message());
}

static void settings(void)
{
    const char *set[] = {"algorithm.rlambda=0.5", "score=poisson"};
    struct spi_settings_args a = {.set = {2, set}};
    struct spi_settings s;

    OK(spi_settings_from_args(&a, &s) == SPI_OK && s.rlambda == 0.5 &&
           !strcmp(s.score, "poisson"),
       "--set changes settings");
    set[1] = "algorithm.scor=poisson";
    OK(spi_settings_from_args(&a, &s) == SPI_EUSAGE &&
           strstr(spi_err_message(),
                  "--set: unknown setting 'algorithm.scor'; the nearest is "
                  "'algorithm.score'"),
       "%s", spi_err_message());
    a.file = "/nonexistent/settings.toml";
    OK(spi_settings_from_args(&a, &s) == SPI_EIO, "%s", spi_err_message());
}

/* Each text that the tables make holds every option, and help also defaults and ranges. */
static void texts(void)
{
    static char text[3][16384];
    static const char *const must[] = {
        "-b, --beta X",
        "feedback, 0..1 A [0.3 A]",
        "[a guess]",
        "--size NxN",
        "[128x128 pixels]",
        "--mode fast|good",
        "--[no-]positive",
        "(needed)",
        "usage: spinifel blur IN.mrc [MORE.mrc] --output FILE",
        "Numbers:",
        "spinifel blur a -o b",
        "did not converge",
        "-q, --quiet"};

    for (int i = 0; i < 3; i++) {
        FILE *f = fmemopen(text[i], sizeof text[i], "w");

        if (i == 0)
            spi_help_cmd(&program, &cmd, f);
        else if (i == 1)
            OK(spi_man_page(&program, "blur", f) == SPI_OK, "man page");
        else
            spi_completion_bash(&program, f);
        fclose(f);
        for (const struct spi_opt *o = opts; o->kind; o++)
            if (o->kind != SPI_OPT_HEADING)
                OK(strstr(text[i], o->name), "text %d names %s", i, o->name);
    }
    for (size_t i = 0; i < sizeof must / sizeof *must; i++)
        OK(strstr(text[0], must[i]), "help has '%s'", must[i]);
    OK(!strstr(text[0], "--betas"), "what is not in the table is not in the help");
    OK(strstr(text[2], "fast good"), "completion knows the words of a choice");

    int column = 0, widest = 0;

    for (const char *p = text[0]; *p; p++) {
        column = *p == '\n' ? 0 : column + 1;
        widest = column > widest ? column : widest;
    }
    OK(widest <= 79, "help fits 80 columns: %d", widest);
    OK(spi_man_page(&program, "nothing", stdout) == SPI_EUSAGE, "%s", spi_err_message());
}

int main(void)
{
    values();
    mistakes();
    names();
    settings();
    texts();
    return tap_done();
}
