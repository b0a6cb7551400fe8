/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/rundir.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "report/run_files.h"

/* `former`: the name that `apart` had once; a folder of that name becomes `apart`. */
static const char apart[] = "failed_validation", former[] = "unconfirmed",
                  before[] = "previous";

/* settings.toml of the directory itself is not among them: the settings may come from it
 * (spi_rundir_check_settings). */
bool spi_rundir_writes(int i, char name[SPI_OPT_NAME_MAX])
{
    static const struct {
        const char *folder;
        enum spi_run_file_kind kind;
    } lists[] = {
        {"", SPI_FILE_RESULT},
        {"", SPI_FILE_PROGRESS},
        {"", SPI_FILE_ORIGIN},
        {"", SPI_FILE_PRIVATE},
        {"failed_validation/", SPI_FILE_RESULT},
        {"unconfirmed/", SPI_FILE_RESULT},
        {"previous/", SPI_FILE_RESULT},
        {"previous/", SPI_FILE_PROGRESS},
        {"previous/", SPI_FILE_ORIGIN},
        {"previous/failed_validation/", SPI_FILE_RESULT},
        {"previous/unconfirmed/", SPI_FILE_RESULT},
    };

    for (size_t l = 0; l < sizeof lists / sizeof *lists; l++)
        for (const struct spi_run_file *f = spi_run_file_next(lists[l].kind, NULL); f;
             f = spi_run_file_next(lists[l].kind, f))
            if ((*lists[l].folder || strcmp(f->name, "settings.toml") != 0) && i-- == 0) {
                snprintf(name, SPI_OPT_NAME_MAX, "%s%s", lists[l].folder, f->name);
                return true;
            }
    return false;
}

spi_err spi_rundir_check_settings(const struct spi_call *call, const char *dir,
                                  const char *file)
{
    char path[SPI_PATH_MAX], got[sizeof SPI_SETTINGS_HEAD] = "";
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
    if (strcmp(got, SPI_SETTINGS_HEAD) == 0)
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

/* The first file of a kind that the directory has; NULL: none. */
static const char *first_there(const char *dir, enum spi_run_file_kind kind)
{
    const struct spi_run_file *f = spi_run_file_next(kind, NULL);

    while (f && !is_there(dir, f->name))
        f = spi_run_file_next(kind, f);
    return f ? f->name : NULL;
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
        is_there(dir, "density.mrc") ? "density.mrc" : first_there(dir, SPI_FILE_RESULT);

    return found                        ? found
           : is_there(dir, apart)       ? apart
           : holds_former(dir)          ? former
           : is_there(dir, "state.bin") ? "state.bin"
                                        : NULL;
}

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
    for (const struct spi_run_file *f = spi_run_files; f->name; f++) {
        const struct spi_run_file_mark *m = &f->mark;

        if (!m->bytes)
            continue;
        assert(m->n <= sizeof got);
        spi_rundir_path(dir, f->name, path);
        if (lstat(path, &s) != 0 || (S_ISREG(s.st_mode) && s.st_size == 0))
            continue;
        n = S_ISREG(s.st_mode) ? bytes_of(path, m->at, m->n, got) : 0;
        if (n == 0 || (n < m->n && !m->grows) || memcmp(got, m->bytes, n) != 0)
            return f->name;
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
    return what_is_there(old) || first_there(old, SPI_FILE_PROGRESS) ||
           first_there(old, SPI_FILE_ORIGIN);
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

static void remove_kind(const char *dir, enum spi_run_file_kind kind)
{
    for (const struct spi_run_file *f = spi_run_file_next(kind, NULL); f;
         f = spi_run_file_next(kind, f)) {
        char path[SPI_PATH_MAX];

        spi_rundir_path(dir, f->name, path);
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

static spi_err move_kind(const char *dir, const char *to, enum spi_run_file_kind kind)
{
    spi_err err = SPI_OK;

    for (const struct spi_run_file *f = spi_run_file_next(kind, NULL); f && !err;
         f = spi_run_file_next(kind, f))
        err = move_one(dir, to, f->name);
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
    for (const struct spi_run_file *f = spi_run_file_next(SPI_FILE_RESULT, NULL); f;
         f = spi_run_file_next(SPI_FILE_RESULT, f))
        if (strcmp(f->name, "density.mrc") != 0)
            SPI_TRY(err = move_one(dir, to, f->name), out);
    if (!keep_state)
        SPI_TRY(err = move_kind(dir, to, SPI_FILE_PROGRESS), out);
    SPI_TRY(err = move_one(dir, to, apart), out);
    SPI_TRY(err = move_one(dir, to, "density.mrc"), out);
    SPI_TRY(err = move_kind(dir, to, SPI_FILE_ORIGIN), out);
out:
    return err;
}

static void remove_results(const char *dir)
{
    char path[SPI_PATH_MAX];

    spi_rundir_path(dir, apart, path);
    if (!spi_dir_is_foreign(path)) {
        remove_kind(path, SPI_FILE_RESULT);
        spi_dir_remove_own(path);
    }
    remove_kind(dir, SPI_FILE_RESULT);
}

/* All that a run writes there, and nothing else. */
static void remove_run(const char *dir)
{
    remove_results(dir);
    remove_kind(dir, SPI_FILE_PROGRESS);
    remove_kind(dir, SPI_FILE_ORIGIN);
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
                   ? move_kind(dir, old, SPI_FILE_ORIGIN)
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
