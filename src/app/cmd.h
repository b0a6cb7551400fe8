/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Subcommands and their options, as tables.  Layer: app.
 *
 * One table of a command makes its parsing, range checks, `--help`, man page and shell
 * completion.  How to add a command: two edits.
 *
 *  1. src/app/cmd_NAME.c (here: blur):
 *
 *         struct args {
 *             const char *out;
 *             double sigma_A;
 *             int rounds;
 *             bool json;
 *         };
 *         static const struct args defaults = {.sigma_A = 3, .rounds = 1};
 *         static const struct spi_opt opts[] = {
 *             {'o', "output", SPI_OUT(args, out), 0, 0, "FILE", "where the map goes",
 *              .required = true},
 *             {'s', "sigma", SPI_REAL(args, sigma_A), 0, 1e3, "A", "width of the blur"},
 *             {0, "rounds", SPI_INT(args, rounds), 1, 100, "", "how many times"},
 *             {0, "json", SPI_FLAG(args, json), 0, 0, "", "print JSON"},
 *             {0},
 *         };
 *         static spi_err run(const struct spi_call *call)
 *         {
 *             const struct args *a = call->args;   // filled, every number in its range
 *             return blur(call->operand[0], a->sigma_A, a->out);
 *         }
 *         const struct spi_cmd spi_cmd_blur = {
 *             .name = "blur",
 *             .operands = "MAP.mrc",
 *             .min_operands = 1,
 *             .max_operands = 1,
 *             .brief = "blur a map",
 *             .about = "What it does.\n\nSecond paragraph: what it writes.",
 *             .examples = {{"spinifel blur a.mrc -o b.mrc -s 4", "a blur of 4 A"}},
 *             .opts = opts,
 *             .defaults = &defaults,
 *             .size = sizeof defaults,
 *             .run = run,
 *         };
 *
 *  2. its name in the list `commands` of src/app/meson.build.
 *
 * run() prints results on stdout (main checks that they arrived) and words for people with
 * base/log.h; it returns SPI_OK (exit code 0), SPI_ENOCONV (3), SPI_EUSAGE (2; the message
 * names the option) or any other error (1) whose message is printed by main.
 *
 * Before run() begins, spi_outputs_check has made sure that no output takes the place of an
 * input; that is all a command needs, as long as its table tells one from the other and it
 * opens its inputs before it writes (a dataset may lie in yet another file).
 *
 * Strings and lists of a call live as long as the call. */
#ifndef SPI_APP_CMD_H
#define SPI_APP_CMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/settings.h"

/** A repeatable text option: item[0 .. n-1]. */
struct spi_texts {
    int n;
    const char **item; /* owned by the call; the strings are borrowed from argv */
};

/** A comma-separated list of numbers. */
struct spi_reals {
    int n;
    double *x; /* owned by the call */
};

enum spi_opt_kind {
    SPI_OPT_END,
    SPI_OPT_HEADING, /* help: title of the options that follow (help texts only) */
    SPI_OPT_FLAG,    /* bool; --name, --no-name */
    SPI_OPT_INT,     /* int */
    SPI_OPT_COUNT,   /* int64_t */
    SPI_OPT_REAL,    /* double, finite */
    SPI_OPT_TEXT,    /* const char *; NULL when not given and no default */
    SPI_OPT_PATH,    /* const char *; a file that is read */
    SPI_OPT_OUT,     /* const char *; a file that is written, see outputs.h */
    SPI_OPT_OUT_DIR, /* const char *; a directory that is written to; `writes` says what */
    SPI_OPT_CHOICE,  /* const char *; `unit` lists the words: "a|b" */
    SPI_OPT_SIZE,    /* int[2]; "128x96", or "128" for both */
    SPI_OPT_TEXTS,   /* struct spi_texts; may be given many times */
    SPI_OPT_REALS,   /* struct spi_reals; "0.7,0.3" */
};

/* clang-format off */
/* Kind and place of an option in `struct T`; the compiler checks the member's type. */
#define SPI_PLACE(is, ctype, T, member) \
    .kind = (is),                       \
    .at = (offsetof(struct T, member) + \
           0 * sizeof((__typeof__(ctype) *)0 == &((struct T *)0)->member))
/* clang-format on */
#define SPI_FLAG(T, member)    SPI_PLACE(SPI_OPT_FLAG, bool, T, member)
#define SPI_INT(T, member)     SPI_PLACE(SPI_OPT_INT, int, T, member)
#define SPI_COUNT(T, member)   SPI_PLACE(SPI_OPT_COUNT, int64_t, T, member)
#define SPI_REAL(T, member)    SPI_PLACE(SPI_OPT_REAL, double, T, member)
#define SPI_TEXT(T, member)    SPI_PLACE(SPI_OPT_TEXT, const char *, T, member)
#define SPI_PATH(T, member)    SPI_PLACE(SPI_OPT_PATH, const char *, T, member)
#define SPI_OUT(T, member)     SPI_PLACE(SPI_OPT_OUT, const char *, T, member)
#define SPI_OUT_DIR(T, member) SPI_PLACE(SPI_OPT_OUT_DIR, const char *, T, member)
#define SPI_CHOICE(T, member)  SPI_PLACE(SPI_OPT_CHOICE, const char *, T, member)
#define SPI_SIZE(T, member)    SPI_PLACE(SPI_OPT_SIZE, int[2], T, member)
#define SPI_TEXTS(T, member)   SPI_PLACE(SPI_OPT_TEXTS, struct spi_texts, T, member)
#define SPI_REALS(T, member)   SPI_PLACE(SPI_OPT_REALS, struct spi_reals, T, member)

enum { SPI_OPT_NAME_MAX = 64 }; /* of a file below a SPI_OPT_OUT_DIR */

/** One option: {letter or 0, "name", KIND(struct, member), lowest, highest, unit, help}. */
struct spi_opt {
    char letter;
    const char *name;
    enum spi_opt_kind kind;
    size_t at;     /* offset in the command's struct */
    double lo, hi; /* allowed range of a number, both ends included; lo == hi: any */
    const char
        *unit; /* of a number; the words of a choice; how help calls a text ("FILE") */
    const char *help;   /* one clause, no full stop */
    const char *absent; /* printed as the default when none is set ("from the file") */
    bool required;
    /** The i-th file that is written, moved or removed in a SPI_OPT_OUT_DIR; false: no
     * more. */
    bool (*writes)(int i, char name[SPI_OPT_NAME_MAX]);
    bool
        names_file; /* SPI_OPT_TEXT, _TEXTS: what is before the last colon may be a file that
                      * is read ("FILE:0.2") */
    bool alone;     /* a flag as --help: nothing else is asked for, no operand, no option */
};

/** A line "-- Title:" between options in help. */
#define SPI_HEADING(title)                                   \
    {                                                        \
        .name = "", .kind = SPI_OPT_HEADING, .help = (title) \
    }

struct spi_call;

struct spi_example {
    const char *line, *says;
};
enum { SPI_EXAMPLES_MAX = 4 };

struct spi_cmd {
    const char *name;
    const char *operands;           /* as in the usage line: "MAP.mrc", "FILE..." */
    int min_operands, max_operands; /* max < 0: any number */
    const char *brief;              /* one line for the list of commands */
    const char *about;              /* paragraphs, separated by empty lines */
    struct spi_example examples[SPI_EXAMPLES_MAX];
    bool may_not_converge;      /* exit code 3 exists */
    const struct spi_opt *opts; /* ends with {0}; NULL: none */
    const void *defaults;       /* the command's struct; NULL: all zero */
    size_t size;                /* of that struct */
    spi_err (*run)(const struct spi_call *call);
};

/** The program: its commands, for help and man pages. */
struct spi_program {
    const char *name, *brief, *about;
    const struct spi_cmd *const *cmds; /* ends with NULL */
};
extern const struct spi_program spi_program; /* commands.c; not in the library */

/** Options of every command. */
struct spi_common_args {
    bool quiet, verbose, help;
};
extern const struct spi_opt spi_common_opts[];

/** One command line, parsed. */
struct spi_call {
    const struct spi_cmd *cmd;
    struct spi_common_args common;
    void *args; /* the command's struct, owned */
    int n_operands;
    const char **operand; /* [n_operands], the array owned, strings borrowed from argv */
    bool *given;          /* [options of the command] owned; see spi_call_given */
};

/** Parse argv[0 .. argc-1], the words after the subcommand.  Options may stand before,
 *  between and after operands; "--" ends them; a later value replaces an earlier one.
 *  With --help, or a flag that is `alone`, what is missing is not asked for.
 *  SPI_EUSAGE: the message is "SUB: --option: what, found, needed".  Call spi_call_clear in
 *  every case. */
SPI_MUSTUSE spi_err spi_call_parse(const struct spi_cmd *cmd, int argc, char *const argv[],
                                   struct spi_call *call);
/** Release what the struct owns. */
void spi_call_clear(struct spi_call *call);

/** Was the option of this name on the command line?  (The name must be in the table.) */
bool spi_call_given(const struct spi_call *call, const char *name);
/** "phase: --beta: message" with SPI_EUSAGE, for checks of a command's own. */
SPI_MUSTUSE __attribute__((format(printf, 3, 4))) spi_err
spi_call_fail(const struct spi_call *call, const char *option, const char *fmt, ...);

/** The command of this name, or NULL. */
const struct spi_cmd *spi_cmd_find(const struct spi_program *program, const char *name);
/** SPI_EUSAGE with the nearest command. */
SPI_MUSTUSE spi_err spi_cmd_unknown(const struct spi_program *program, const char *name);

/** Exit code of an error: 0, 1, 2 (SPI_EUSAGE) or 3 (SPI_ENOCONV). */
int spi_exit_code(spi_err err);

/** Row of the option --voxel of commands that read maps, for a struct that has a `double`
 *  named `member`. */
#define SPI_VOXEL_OPT(T, member)                             \
    {                                                        \
        0, "voxel", SPI_REAL(T, member), 1e-3, 1e4, "A",     \
            "side of a voxel of maps whose header has none", \
            .absent = "such maps are refused"                \
    }

/** --settings FILE and --set section.key=value, for commands that take settings. */
struct spi_settings_args {
    const char *file;
    struct spi_texts set;
};
/** Their rows, for a struct that has a `struct spi_settings_args` named `member`. */
#define SPI_SETTINGS_OPTS(T, member)                                   \
    {0,                                                                \
     "settings",                                                       \
     SPI_PATH(T, member.file),                                         \
     0,                                                                \
     0,                                                                \
     "FILE",                                                           \
     "settings to begin with, see spinifel.toml(5)"},                  \
    {                                                                  \
        0, "set", SPI_TEXTS(T, member.set), 0, 0, "SECTION.KEY=VALUE", \
            "change one setting, after --settings; may be repeated"    \
    }
/** Defaults, then the file, then each --set in order.  SPI_EUSAGE: a wrong --set;
 *  other errors: the file (spi_settings_read). */
SPI_MUSTUSE spi_err spi_settings_from_args(const struct spi_settings_args *args,
                                           struct spi_settings *out);

#endif
