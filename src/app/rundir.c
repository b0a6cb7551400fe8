/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/rundir.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "mtip/finish.h"
#include "plot/plot.h"

static const char settings_head[] = "# spinifel "; /* as cmd_reconstruct.c begins it */
/* `former`: the name that `apart` had once; a folder of that name becomes `apart`. */
static const char apart[] = "failed_validation", former[] = "unconfirmed",
                  before[] = "previous";

/* Of the loop and of the images; a run that goes on keeps them. */
static const char *const progress_files[] = {"state.bin", "metrics.jsonl", "mean_image.png",
                                             "radial.png", NULL};
/* What says which run the others belong to; run.json moves last. */
static const char *const origin_files[] = {"settings.toml", "run.json", NULL};
static const char *const private_files[] = {"rings.bin", ".lock", NULL};

bool spi_rundir_writes(int i, char name[SPI_OPT_NAME_MAX])
{
    static const char *const run_json[] = {"run.json", NULL};
    static const struct {
        const char *folder;
        const char *const *names;
    } lists[] = {
        {"", spi_result_names},
        {"", progress_files},
        {"", run_json},
        {"", private_files},
        {"failed_validation/", spi_result_names},
        {"unconfirmed/", spi_result_names},
        {"previous/", spi_result_names},
        {"previous/", progress_files},
        {"previous/", origin_files},
        {"previous/failed_validation/", spi_result_names},
        {"previous/unconfirmed/", spi_result_names},
    };

    for (size_t l = 0; l < sizeof lists / sizeof *lists; l++)
        for (const char *const *n = lists[l].names; *n; n++)
            if (i-- == 0) {
                snprintf(name, SPI_OPT_NAME_MAX, "%s%s", lists[l].folder, *n);
                return true;
            }
    return false;
}

spi_err spi_rundir_check_settings(const struct spi_call *call, const char *dir,
                                  const char *file)
{
    char path[SPI_PATH_MAX], got[sizeof settings_head] = "";
    struct stat a, b;
    FILE *f;

    spi_rundir_path(dir, "settings.toml", path);
    if (!file || stat(file, &a) != 0 || stat(path, &b) != 0 || a.st_dev != b.st_dev ||
        a.st_ino != b.st_ino)
        return SPI_OK;
    f = fopen(file, "r");
    if (f) {
        (void)!fgets(got, sizeof got, f);
        fclose(f);
    }
    if (strcmp(got, settings_head) == 0)
        return SPI_OK; /* the same settings are written again, in full */
    return spi_call_fail(
        call, "settings",
        "%s would be overwritten by the settings of this run; give the file "
        "another name",
        path);
}

void spi_rundir_path(const char *dir, const char *name, char path[SPI_PATH_MAX])
{
    snprintf(path, SPI_PATH_MAX, "%s/%s", dir, name);
}

static bool is_there(const char *dir, const char *name)
{
    char path[SPI_PATH_MAX];
    struct stat s;

    spi_rundir_path(dir, name, path);
    return lstat(path, &s) == 0;
}

/* The first of some names that the directory has; NULL: none. */
static const char *first_there(const char *dir, const char *const *names)
{
    while (*names && !is_there(dir, *names))
        names++;
    return *names;
}

/* Does the directory hold a folder of the former name that this program made? */
static bool holds_former(const char *dir)
{
    char path[SPI_PATH_MAX];

    spi_rundir_path(dir, former, path);
    return is_there(dir, former) && !spi_dir_is_foreign(path);
}

/* A name of what the directory itself holds of an earlier run; NULL: nothing. */
static const char *what_is_there(const char *dir)
{
    const char *found =
        is_there(dir, "density.mrc") ? "density.mrc" : first_there(dir, spi_result_names);

    return found                        ? found
           : is_there(dir, apart)       ? apart
           : holds_former(dir)          ? former
           : is_there(dir, "state.bin") ? "state.bin"
                                        : NULL;
}

/* The first bytes of a file that this program would write over. */
struct beginning {
    const char *name;
    size_t at, n; /* where, how many bytes */
    const char *bytes;
    bool grows; /* a full disk may have cut them short */
};
static const char json_head[] = "{\n \"program\": \"spinifel\",";
static const char line_head[] = "{\"generation\":";
static const char png_mark[] = SPI_PNG_MARK;
static const struct beginning made_here[] = {
    {"settings.toml", 0, sizeof settings_head - 1, settings_head, false},
    {"run.json", 0, sizeof json_head - 1, json_head, false},
    {"metrics.jsonl", 0, sizeof line_head - 1, line_head, true},
    {"mean_image.png", SPI_PNG_MARK_AT + 4, sizeof png_mark - 1, png_mark, false},
    {"radial.png", SPI_PNG_MARK_AT + 4, sizeof png_mark - 1, png_mark, false},
};

/* n bytes of a file from `from` on; fewer where it ends. */
static size_t bytes_of(const char *path, size_t from, size_t n, char *to)
{
    FILE *f = fopen(path, "rbe");
    size_t got = 0;

    if (f && fseek(f, (long)from, SEEK_SET) == 0)
        got = fread(to, 1, n, f);
    if (f)
        fclose(f);
    return got;
}

/* A lock holds the number of a process, or nothing. */
static bool is_lock(const char *path)
{
    char text[32];
    size_t n = bytes_of(path, 0, sizeof text, text);

    return n < sizeof text &&
           (n == 0 || (strspn(text, "0123456789") >= n - 1 && text[n - 1] == '\n'));
}

/* The name of a file of the user that a new run would write over; NULL: none. */
static const char *what_is_foreign(const char *dir)
{
    char path[SPI_PATH_MAX], got[64];
    struct stat s;
    size_t n;

    spi_rundir_path(dir, ".lock", path);
    if (lstat(path, &s) == 0 && S_ISREG(s.st_mode) && !is_lock(path))
        return ".lock";
    for (size_t i = 0; i < sizeof made_here / sizeof *made_here; i++) {
        const struct beginning *b = made_here + i;

        spi_rundir_path(dir, b->name, path);
        if (lstat(path, &s) != 0 || (S_ISREG(s.st_mode) && s.st_size == 0))
            continue;
        n = S_ISREG(s.st_mode) ? bytes_of(path, b->at, b->n, got) : 0;
        if (n == 0 || (n < b->n && !b->grows) || memcmp(got, b->bytes, n) != 0)
            return b->name;
    }
    return NULL;
}

bool spi_rundir_holds_run(const char *dir)
{
    return what_is_there(dir) != NULL;
}

/* Is there something in `previous` that a run would remove? */
static bool holds_previous(const char *dir)
{
    char old[SPI_PATH_MAX];

    spi_rundir_path(dir, before, old);
    return what_is_there(old) || first_there(old, progress_files) ||
           first_there(old, origin_files);
}

spi_err spi_rundir_open(const struct spi_call *call, const char *dir, bool resume,
                        bool force, int *lock, bool *state, bool *made)
{
    static const char *const own_folders[] = {before, apart};
    char path[SPI_PATH_MAX];
    const char *found;
    spi_err err;

    *state = false;
    *made = access(dir, F_OK) != 0;
    SPI_TRY(err = spi_dir_make(dir), out);
    found = what_is_there(dir) ? NULL : what_is_foreign(dir);
    if (found)
        return spi_call_fail(call, "output",
                             "%s/%s was not made by this program, and a run would write "
                             "over it; give another directory, or that file another name",
                             dir, found);
    SPI_TRY(err = spi_dir_lock(dir, lock), out);
    *state = resume && is_there(dir, "state.bin");
    for (size_t i = 0; i < sizeof own_folders / sizeof *own_folders; i++) {
        spi_rundir_path(dir, own_folders[i], path);
        if (spi_dir_is_foreign(path))
            return spi_call_fail(
                call, "output",
                "%s was not made by this program, which keeps results under that name and "
                "removes them later; give it another name first",
                path);
    }
    found = what_is_there(dir);
    if (!found && holds_previous(dir))
        found = before;
    if (found && !*state && !force)
        err = spi_call_fail(
            call, "output",
            "%s holds %s of an earlier run; %s, --force begins anew (and keeps the results "
            "in %s/%s until new ones stand), another directory keeps all",
            dir, found,
            is_there(dir, "state.bin") ? "--resume goes on with it"
                                       : "it has no state.bin to resume",
            dir, before);
out:
    return err;
}

void spi_rundir_abandon(const char *dir, bool picture)
{
    char path[SPI_PATH_MAX];

    if (!picture) {
        spi_rundir_path(dir, "mean_image.png", path);
        (void)unlink(path); /* perhaps it was not written yet */
    } else if (is_there(dir, "mean_image.png")) {
        return;
    }
    spi_rundir_path(dir, ".lock", path);
    (void)unlink(path);
    (void)rmdir(dir); /* it stays where somebody else has put something into it */
}

static void remove_names(const char *dir, const char *const *names)
{
    for (; *names; names++) {
        char path[SPI_PATH_MAX];

        spi_rundir_path(dir, *names, path);
        (void)unlink(path); /* most often there is none */
    }
}

static spi_err move_one(const char *dir, const char *to, const char *name)
{
    char a[SPI_PATH_MAX], b[SPI_PATH_MAX];

    spi_rundir_path(dir, name, a);
    spi_rundir_path(to, name, b);
    if (rename(a, b) == 0 || errno == ENOENT)
        return SPI_OK;
    return spi_fail(SPI_EIO, "%s: cannot move it to %s: %s", a, to, strerror(errno));
}

static spi_err move_names(const char *dir, const char *to, const char *const *names)
{
    spi_err err = SPI_OK;

    for (; *names && !err; names++)
        err = move_one(dir, to, *names);
    return err;
}

/* The density is the last file of a result, here and in `failed_validation`. */
enum worth { NOTHING_WHOLE, FAILED_VALIDATION, STANDS };

static enum worth worth_of(const char *dir)
{
    return is_there(dir, "density.mrc")                     ? STANDS
           : is_there(dir, "failed_validation/density.mrc") ? FAILED_VALIDATION
                                                            : NOTHING_WHOLE;
}

static spi_err take_former(const char *dir)
{
    char from[SPI_PATH_MAX], to[SPI_PATH_MAX];

    if (!holds_former(dir) || is_there(dir, apart))
        return SPI_OK;
    spi_rundir_path(dir, former, from);
    spi_rundir_path(dir, apart, to);
    return rename(from, to) == 0 ? SPI_OK
                                 : spi_fail(SPI_EIO, "%s: cannot rename it to %s: %s", from,
                                            to, strerror(errno));
}

/* The density and then run.json are the last to move, so that a move that was cut short
 * goes on where it stopped. */
static spi_err move_run(const char *dir, const char *to, bool keep_state)
{
    spi_err err;

    SPI_TRY(err = spi_dir_make_own(to), out);
    for (const char *const *name = spi_result_names; *name; name++)
        if (strcmp(*name, "density.mrc") != 0)
            SPI_TRY(err = move_one(dir, to, *name), out);
    if (!keep_state)
        SPI_TRY(err = move_names(dir, to, progress_files), out);
    SPI_TRY(err = move_one(dir, to, apart), out);
    SPI_TRY(err = move_one(dir, to, "density.mrc"), out);
    SPI_TRY(err = move_names(dir, to, origin_files), out);
out:
    return err;
}

static void remove_results(const char *dir)
{
    char path[SPI_PATH_MAX];

    spi_rundir_path(dir, apart, path);
    if (!spi_dir_is_foreign(path)) {
        remove_names(path, spi_result_names);
        spi_dir_remove_own(path);
    }
    remove_names(dir, spi_result_names);
}

/* All that a run writes there, and nothing else. */
static void remove_run(const char *dir)
{
    remove_results(dir);
    remove_names(dir, progress_files);
    remove_names(dir, origin_files);
}

spi_err spi_rundir_begin(const char *dir, bool keep_state)
{
    char old[SPI_PATH_MAX];
    enum worth worth;
    spi_err err;

    spi_rundir_path(dir, before, old);
    SPI_TRY(err = take_former(dir), out);
    SPI_TRY(err = take_former(old), out);
    worth = worth_of(dir);
    if (!what_is_there(dir)) /* perhaps a move was cut short before its last files */
        return worth_of(old) != NOTHING_WHOLE && !is_there(old, "run.json")
                   ? move_names(dir, old, origin_files)
                   : SPI_OK;

    bool kept = is_there(old, "run.json");

    if ((kept && worth < worth_of(old)) || (keep_state && worth == NOTHING_WHOLE)) {
        remove_results(dir);
        if (!keep_state)
            remove_run(dir);
        return SPI_OK;
    }
    if (kept)
        spi_rundir_settle(dir);
    SPI_TRY(err = move_run(dir, old, keep_state), out);
    spi_info("%s: what the run before left is in %s until new results stand", dir, old);
out:
    return err;
}

void spi_rundir_settle(const char *dir)
{
    char old[SPI_PATH_MAX];

    spi_rundir_path(dir, before, old);
    if (spi_dir_is_foreign(old))
        return;
    remove_run(old);
    spi_dir_remove_own(old);
}
