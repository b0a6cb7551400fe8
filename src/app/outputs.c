/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/outputs.h"

#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/h5.h"

/* A file that is there, and how the user or the input that leads to it calls it. */
struct known {
    const char *name;
    int length;  /* of the name, characters */
    bool led_to; /* values of a dataset of an input lie in it */
    dev_t device;
    ino_t inode;
};

struct files {
    int n;
    struct known *item; /* owned */
};

static bool look(const char *path, struct known *k)
{
    struct stat s;

    if (stat(path, &s) != 0)
        return false;
    k->device = s.st_dev;
    k->inode = s.st_ino;
    return true;
}

static bool same(const struct known *a, const struct known *b)
{
    return a->device == b->device && a->inode == b->inode;
}

/* The first `length` characters of a name are that of a file that is there. */
static bool look_at_part(const char *name, size_t length, struct known *k)
{
    char path[SPI_PATH_MAX];

    if (length >= SPI_PATH_MAX)
        return false;
    snprintf(path, sizeof path, "%.*s", (int)length, name);
    return look(path, k);
}

/* Add an input, the first `length` characters of `name`; "FILE:/DATASET" is the file.  Words
 * that name no file ("truth", "gas") are none. */
static void add_input(struct files *f, const char *name, size_t length)
{
    const char *colon = strstr(name, ":/");
    struct known *k = &f->item[f->n];

    k->name = name;
    k->length = (int)length;
    f->n +=
        look_at_part(name, length, k) ||
        (colon && colon < name + length && look_at_part(name, (size_t)(colon - name), k));
}

/* "FILE:NUMBER": what is before the last colon. */
static void add_text(struct files *f, const char *text)
{
    const char *colon = strrchr(text, ':');

    if (colon)
        add_input(f, text, (size_t)(colon - text));
}

static const char *value_of(const struct spi_call *call, const struct spi_opt *o)
{
    return *(const char *const *)((const char *)call->args + o->at);
}

static bool is_kind(const struct spi_call *call, const struct spi_opt *o,
                    enum spi_opt_kind kind)
{
    return o->kind == kind && value_of(call, o) != NULL;
}

static spi_err refuse_input(const struct spi_call *call, const struct spi_opt *o,
                            const char *path, const struct files *inputs)
{
    struct known k;

    if (!look(path, &k))
        return SPI_OK;
    for (int i = 0; i < inputs->n; i++)
        if (same(&k, &inputs->item[i]))
            return spi_call_fail(call, o->name,
                                 "%s would be overwritten, and %s %.*s; give the result "
                                 "another name",
                                 path,
                                 inputs->item[i].led_to
                                     ? "an input takes values from this file, as"
                                     : "it is the input",
                                 inputs->item[i].length, inputs->item[i].name);
    return SPI_OK;
}

/* What has the name already must be a file, for the result takes its place. */
static spi_err refuse_special(const struct spi_call *call, const struct spi_opt *o,
                              const char *path)
{
    struct stat s;

    if (lstat(path, &s) != 0 || S_ISREG(s.st_mode))
        return SPI_OK;
    return spi_call_fail(call, o->name, "%s is %s; need the name of a file", path,
                         S_ISDIR(s.st_mode) ? "a directory"
                         : S_ISLNK(s.st_mode)
                             ? "a link, which the result would replace"
                             : "a device or a pipe, which the result would replace");
}

/* Neither the name of a result nor its temporary name may be an input. */
static spi_err refuse_both(const struct spi_call *call, const struct spi_opt *o,
                           const char *path, const struct files *inputs)
{
    char tmp[SPI_PATH_MAX];
    spi_err err = spi_tmp_path(path, tmp);

    if (!err)
        err = refuse_input(call, o, path, inputs);
    return err ? err : refuse_input(call, o, tmp, inputs);
}

static spi_err check_file(const struct spi_call *call, const struct spi_opt *o,
                          const char *path, const struct files *inputs)
{
    char tmp[SPI_PATH_MAX];
    spi_err err;
    int fd;

    SPI_TRY(err = refuse_both(call, o, path, inputs), out);
    SPI_TRY(err = refuse_special(call, o, path), out);
    SPI_TRY(err = spi_file_create(path, tmp, &fd), out);
    unlink(tmp); /* while it is locked: never that of another process */
    close(fd);
out:
    return err;
}

/* None of the files that the command writes, moves or removes in its directory may be an
 * input. */
static spi_err check_directory(const struct spi_call *call, const struct spi_opt *o,
                               const char *dir, const struct files *inputs)
{
    enum { LONGEST = SPI_PATH_MAX - 2 * SPI_OPT_NAME_MAX }; /* the names below it fit */
    char name[SPI_OPT_NAME_MAX], path[SPI_PATH_MAX];
    spi_err err = SPI_OK;

    if (strlen(dir) > LONGEST)
        return spi_call_fail(call, o->name, "the name has %zu characters; need at most %d",
                             strlen(dir), LONGEST);
    err = spi_dir_parent_check(dir);
    for (int i = 0; !err && o->writes(i, name); i++) {
        snprintf(path, sizeof path, "%s/%s", dir, name);
        err = refuse_both(call, o, path, inputs);
    }
    return err;
}

/* The same place, whether a file is there yet or not. */
static bool same_place(const char *a, const char *b)
{
    char one[2][SPI_PATH_MAX], two[2][SPI_PATH_MAX];
    struct known k, l;

    for (int i = 0; i < 2; i++) /* dirname and basename write into their argument */
        if (snprintf(one[i], SPI_PATH_MAX, "%s", a) >= SPI_PATH_MAX ||
            snprintf(two[i], SPI_PATH_MAX, "%s", b) >= SPI_PATH_MAX)
            return false;
    if (look(a, &k) && look(b, &l))
        return same(&k, &l);
    return look(dirname(one[0]), &k) && look(dirname(two[0]), &l) && same(&k, &l) &&
           strcmp(basename(one[1]), basename(two[1])) == 0;
}

static spi_err check_pairs(const struct spi_call *call)
{
    const struct spi_opt *opts = call->cmd->opts;

    for (const struct spi_opt *o = opts; o->kind != SPI_OPT_END; o++)
        for (const struct spi_opt *p = opts; is_kind(call, o, SPI_OPT_OUT) && p < o; p++)
            if (is_kind(call, p, SPI_OPT_OUT) &&
                same_place(value_of(call, o), value_of(call, p)))
                return spi_call_fail(call, o->name,
                                     "%s is the file of --%s as well; give each its own",
                                     value_of(call, o), p->name);
    return SPI_OK;
}

/* A file that an input leads to: it is known when a dataset of the input is opened. */
static spi_err refuse_source(const char *path, const void *user)
{
    const struct spi_call *call = user;
    struct known source = {.name = path, .length = (int)strlen(path), .led_to = true};
    const struct files one = {1, &source};
    spi_err err = SPI_OK;

    if (!look(path, &source))
        return SPI_OK;
    for (const struct spi_opt *o = call->cmd->opts; o->kind != SPI_OPT_END && !err; o++)
        if (is_kind(call, o, SPI_OPT_OUT))
            err = refuse_both(call, o, value_of(call, o), &one);
        else if (is_kind(call, o, SPI_OPT_OUT_DIR))
            err = check_directory(call, o, value_of(call, o), &one);
    return err;
}

/* The values of an option that may name files that are read. */
static const struct spi_texts *texts_of(const struct spi_call *call,
                                        const struct spi_opt *o)
{
    return (const void *)((const char *)call->args + o->at);
}

static spi_err find_inputs(const struct spi_call *call, struct files *inputs)
{
    const struct spi_opt *opts = call->cmd->opts;
    int n = call->n_operands + 1;
    spi_err err;

    for (const struct spi_opt *o = opts; o->kind != SPI_OPT_END; o++)
        n += o->kind == SPI_OPT_TEXTS ? texts_of(call, o)->n : 1;
    err = SPI_NEW(inputs->item, n, "inputs");
    for (int i = 0; i < call->n_operands && !err; i++)
        add_input(inputs, call->operand[i], strlen(call->operand[i]));
    for (const struct spi_opt *o = opts; o->kind != SPI_OPT_END && !err; o++) {
        if (is_kind(call, o, SPI_OPT_PATH))
            add_input(inputs, value_of(call, o), strlen(value_of(call, o)));
        if (o->names_file && is_kind(call, o, SPI_OPT_TEXT))
            add_text(inputs, value_of(call, o));
        if (o->names_file && o->kind == SPI_OPT_TEXTS)
            for (int i = 0; i < texts_of(call, o)->n; i++)
                add_text(inputs, texts_of(call, o)->item[i]);
    }
    return err;
}

spi_err spi_outputs_check(const struct spi_call *call)
{
    const struct spi_opt *opts = call->cmd->opts;
    struct files inputs = {0};
    spi_err err;

    if (!opts)
        return SPI_OK;
    SPI_TRY(err = find_inputs(call, &inputs), out);
    for (const struct spi_opt *o = opts; o->kind != SPI_OPT_END; o++) {
        if (is_kind(call, o, SPI_OPT_OUT))
            SPI_TRY(err = check_file(call, o, value_of(call, o), &inputs), out);
        if (is_kind(call, o, SPI_OPT_OUT_DIR))
            SPI_TRY(err = check_directory(call, o, value_of(call, o), &inputs), out);
    }
    spi_h5_watch(refuse_source, call);
    err = check_pairs(call);
out:
    free(inputs.item);
    return err;
}

void spi_outputs_forget(void)
{
    spi_h5_watch(NULL, NULL);
}
