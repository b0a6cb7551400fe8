/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Atomic files, locks and fingerprints. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/file.h"
#include "io/hash.h"
#include "io_test.h"
#include "tap.h"

static void write_and_replace(void)
{
    const char *path = in_tmp("text.txt"), *tmp = in_tmp(".text.txt.spinifel-tmp");
    char back[64];

    OK(spi_file_write_text(path, "first", 5) == SPI_OK, "written");
    OK(spi_file_write_text(path, "second\n", 7) == SPI_OK, "replaced");
    OK(slurp(path, back, sizeof back) == 7 && memcmp(back, "second\n", 7) == 0,
       "read back");
    OK(access(tmp, F_OK) != 0, "no temporary file stays");

    OK(spi_file_write_text("", "x", 1) == SPI_EINVAL, "empty name: %s", spi_err_message());
    OK(spi_file_write_text(in_tmp("no/such/dir"), "x", 1) == SPI_EIO &&
           says("no/such does not exist"),
       "no directory: %s", spi_err_message());
}

/* All that the system allows: names of 255 bytes, paths of 4095. */
static void long_names(void)
{
    char name[300], path[5000], back[16];
    size_t n = (size_t)snprintf(path, sizeof path, "%s", in_tmp("long")), first = n;

    memset(name, 'n', sizeof name);
    name[255] = 0;
    memcpy(path + n, "-", 2);
    OK(spi_file_write_text(in_tmp(name), "x", 1) == SPI_OK &&
           slurp(in_tmp(name), back, sizeof back) == 1 && unlink(in_tmp(name)) == 0,
       "a name of 255 bytes");
    name[255] = 'n', name[256] = 0;
    OK(spi_file_write_text(in_tmp(name), "x", 1) == SPI_EINVAL && says("need at most 255"),
       "256: %s", spi_err_message());
    name[200] = 0;
    path[n] = 0;
    mkdir(path, 0777);
    while (n + 1 + 200 < 4095 - 30) {
        n += (size_t)snprintf(path + n, sizeof path - n, "/%s", name);
        mkdir(path, 0777);
    }
    memset(path + n, 'f', 4095 - n);
    path[n] = '/', path[4095] = 0;
    OK(strlen(path) == 4095 && spi_file_write_text(path, "x", 1) == SPI_OK &&
           slurp(path, back, sizeof back) == 1 && unlink(path) == 0,
       "a path of 4095 bytes: its name has %zu", 4095 - n - 1);
    path[4095] = 'f', path[4096] = 0;
    OK(spi_file_write_text(path, "x", 1) == SPI_EINVAL && says("need at most 4095"),
       "4096: %s", spi_err_message());
    path[first] = 0;
    spi_scratch_remove(path);
}

/* Only what the program made and marked is its own. */
static void own_directories(void)
{
    const char *dir = in_tmp("own"), *file = in_tmp("own/file"), *link = in_tmp("own-link");

    OK(!spi_dir_is_foreign(dir), "what is not there is nobody's");
    mkdir(dir, 0777);
    OK(!spi_dir_is_foreign(dir), "an empty directory");
    spi_dir_remove_own(dir);
    OK(access(dir, F_OK) == 0, "it is not removed without the mark");
    close(open(file, O_CREAT | O_WRONLY, 0666));
    OK(spi_dir_is_foreign(dir), "a directory with a file");
    OK(spi_dir_make_own(dir) == SPI_EIO && says("did not make"), "%s", spi_err_message());
    unlink(file);
    OK(spi_dir_make_own(dir) == SPI_OK && spi_dir_make_own(dir) == SPI_OK, "marked");
    OK(symlink(dir, link) == 0 && spi_dir_is_foreign(link), "a link to it is foreign");
    unlink(link);
    close(open(file, O_CREAT | O_WRONLY, 0666));
    OK(!spi_dir_is_foreign(dir), "with a file");
    spi_dir_remove_own(dir);
    OK(access(file, F_OK) == 0 && !spi_dir_is_foreign(dir),
       "a file keeps it, and its mark");
    unlink(file);
    spi_dir_remove_own(dir);
    OK(access(dir, F_OK) != 0, "removed");
}

static void directory_in_the_way(void)
{
    const char *dir = in_tmp("taken"), *tmp = in_tmp(".taken.spinifel-tmp");

    mkdir(dir, 0777);
    OK(spi_file_write_text(dir, "x", 1) == SPI_EIO && says("cannot give it its name"),
       "a directory has the name: %s", spi_err_message());
    OK(access(tmp, F_OK) != 0, "the temporary file is removed");
    rmdir(dir);
}

/* A limit on the file size stands for a full disk: write() fails in the same place. */
static void disk_full(void)
{
    const char *path = in_tmp("full.txt"), *tmp = in_tmp(".full.txt.spinifel-tmp");
    static char big[100000];
    struct rlimit old, small;

    getrlimit(RLIMIT_FSIZE, &old);
    small = (struct rlimit){4096, old.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    spi_err err = spi_file_write_text(path, big, sizeof big);
    setrlimit(RLIMIT_FSIZE, &old);

    OK(err == SPI_EIO && says("File too large"), "disk full: %s", spi_err_message());
    OK(access(tmp, F_OK) != 0 && access(path, F_OK) != 0, "nothing is left");
}

static void checks(void)
{
    const char *empty = in_tmp("empty");

    OK(spi_file_check(in_tmp("absent")) == SPI_EIO && says("No such file"), "absent");
    OK(spi_file_check(in_tmp("")) == SPI_EIO && says("is a directory"), "directory");
    close(open(empty, O_CREAT | O_WRONLY, 0666));
    OK(spi_file_check(empty) == SPI_EIO && says("is empty"), "empty");
    OK(spi_file_check("/dev/null") == SPI_EIO && says("not a regular file"), "device");
    unlink(empty);
}

static void directories(void)
{
    const char *dir = in_tmp("run"), *file = in_tmp("file");

    rmdir(dir);
    OK(spi_dir_make(dir) == SPI_OK, "made");
    OK(spi_dir_make(dir) == SPI_OK, "made again");
    spi_err err = spi_file_write_text(file, "x", 1);
    OK(err == SPI_OK && spi_dir_make(file) == SPI_EIO &&
           says("is a file; need a directory"),
       "a file in the way: %s", spi_err_message());
    OK(spi_dir_make(in_tmp("a/b/c")) == SPI_EIO && says("b does not exist"),
       "no parent: %s", spi_err_message());
    OK(spi_dir_make("") == SPI_EINVAL, "no name");
    if (geteuid() != 0) {
        chmod(dir, 0555);
        OK(spi_dir_make(dir) == SPI_EIO && says("cannot write"), "%s", spi_err_message());
        chmod(dir, 0777);
    }
}

static void lock(void)
{
    const char *dir = in_tmp("locked");
    char want[64];
    int fd, fd2, status;

    OK(spi_dir_make(dir) == SPI_OK && spi_dir_lock(dir, &fd) == SPI_OK, "locked");
    snprintf(want, sizeof want, "another spinifel (process %ld)", (long)getpid());
    OK(spi_dir_lock(dir, &fd2) == SPI_EIO && fd2 == -1 && says(want), "taken: %s",
       spi_err_message());
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        _exit(spi_dir_lock(dir, &fd2) == SPI_EIO && says(want) ? 0 : 1);
    OK(waitpid(child, &status, 0) == child && status == 0, "another process is refused");

    spi_dir_unlock(fd);
    OK(spi_dir_lock(dir, &fd) == SPI_OK, "free again");
    spi_dir_unlock(fd);
    spi_dir_unlock(-1);
    OK(spi_dir_lock(in_tmp("absent"), &fd) == SPI_EIO, "no directory: %s",
       spi_err_message());
}

/* The temporary file is a new one, whatever has its name. */
static void temporary_files(void)
{
    const char *path = in_tmp("new.txt"), *victim = in_tmp("victim");
    char want[SPI_PATH_MAX], tmp[SPI_PATH_MAX], back[64];
    struct stat s, v;
    int fd = -1, fd2 = -1;

    snprintf(want, sizeof want, "%s", in_tmp(".new.txt.spinifel-tmp"));
    OK(spi_file_write_text(victim, "victim", 6) == SPI_OK, "a file to be spared");
    OK(symlink(victim, want) == 0 && spi_file_create(path, tmp, &fd) == SPI_OK &&
           strcmp(tmp, want) == 0 && lstat(tmp, &s) == 0 && S_ISREG(s.st_mode) &&
           stat(victim, &v) == 0 && s.st_ino != v.st_ino,
       "a symbolic link is replaced by a file");
    OK(spi_file_create(path, tmp, &fd2) == SPI_EIO && fd2 == -1 &&
           says("another process is writing it"),
       "not while it is written: %s", spi_err_message());
    OK(write(fd, "stale", 5) == 5 && close(fd) == 0 &&
           spi_file_create(path, tmp, &fd) == SPI_OK && fstat(fd, &v) == 0 &&
           v.st_size == 0,
       "what a killed process left is replaced");
    close(fd);
    unlink(tmp);
    OK(link(victim, want) == 0 && spi_file_write_text(path, "x", 1) == SPI_OK &&
           slurp(victim, back, sizeof back) == 6 && memcmp(back, "victim", 6) == 0,
       "a hard link is not written through");
    OK(mkdir(want, 0777) == 0 && spi_file_write_text(path, "x", 1) == SPI_EIO &&
           says("is no file"),
       "a directory stays: %s", spi_err_message());
    rmdir(want);
    OK(mkfifo(want, 0666) == 0 && spi_file_write_text(path, "x", 1) == SPI_EIO &&
           says("is no file"),
       "so does a pipe: %s", spi_err_message());
    unlink(want);
}

static void planted_locks(void)
{
    const char *dir = in_tmp("planted"), *lock = in_tmp("planted/.lock");
    const char *victim = in_tmp("victim");
    char back[64];
    int fd;

    unlink(lock); /* of an earlier run of this test */
    OK(spi_dir_make(dir) == SPI_OK && spi_file_write_text(victim, "victim", 6) == SPI_OK &&
           symlink(victim, lock) == 0 && spi_dir_lock(dir, &fd) == SPI_EIO && fd == -1 &&
           says(".lock"),
       "a lock that is a link: %s", spi_err_message());
    unlink(lock);
    OK(link(victim, lock) == 0 && spi_dir_lock(dir, &fd) == SPI_EIO && says(".lock"),
       "a hard link: %s", spi_err_message());
    unlink(lock);
    OK(mkfifo(lock, 0666) == 0 && spi_dir_lock(dir, &fd) == SPI_EIO && says(".lock"),
       "a pipe: %s", spi_err_message());
    unlink(lock);
    OK(slurp(victim, back, sizeof back) == 6 && memcmp(back, "victim", 6) == 0,
       "the file behind is as it was");
    OK(spi_dir_lock(dir, &fd) == SPI_OK, "a lock of its own");
    spi_dir_unlock(fd);
}

static void scratch(void)
{
    char dir[SPI_PATH_MAX], other[SPI_PATH_MAX], deep[SPI_PATH_MAX];
    spi_err err;

    setenv("TMPDIR", in_tmp(""), 1);
    err = spi_scratch_make(SPI_PATH_MAX, dir);
    OK(!err && strncmp(dir, in_tmp(""), strlen(in_tmp("")) - 1) == 0 &&
           access(dir, W_OK) == 0,
       "in TMPDIR: %s", dir);
    err = spi_scratch_make(strlen("/var/tmp/spinifel-XXXXXX"), other);
    OK(!err && strlen(other) <= strlen("/var/tmp/spinifel-XXXXXX"), "a short name: %s",
       other);
    snprintf(deep, sizeof deep, "%.1000s/a", dir);
    OK(mkdir(deep, 0777) == 0 && spi_file_write_text(strcat(deep, "/b"), "x", 1) == SPI_OK,
       "used");
    spi_scratch_remove(dir);
    spi_scratch_remove(other);
    spi_scratch_remove("");
    OK(access(dir, F_OK) != 0 && access(other, F_OK) != 0, "gone with all that was in it");
    OK(spi_scratch_make(4, dir) == SPI_EIO && !*dir, "no place: %s", spi_err_message());
}

/* FIPS 180-4 examples: "abc", and one million letters a. */
static void sha256(void)
{
    static char million[1000000];
    const char *path = in_tmp("hash");
    char hex[65];

    memset(million, 'a', sizeof million);
    spi_err err = spi_file_write_text(path, "abc", 3);
    OK(err == SPI_OK && spi_file_sha256(path, hex) == SPI_OK &&
           !strcmp(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
       "abc: %s", hex);
    err = spi_file_write_text(path, million, sizeof million);
    OK(err == SPI_OK && spi_file_sha256(path, hex) == SPI_OK &&
           !strcmp(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
       "a million letters: %s", hex);
    million[999999] = 'b'; /* the check can fail */
    err = spi_file_write_text(path, million, sizeof million);
    OK(err == SPI_OK && spi_file_sha256(path, hex) == SPI_OK && strncmp(hex, "cdc76e5c", 8),
       "another last letter: %s", hex);
    OK(spi_file_sha256(in_tmp("absent"), hex) == SPI_EIO, "%s", spi_err_message());
    OK(spi_file_sha256(in_tmp(""), hex) == SPI_EIO && says("Is a directory"), "%s",
       spi_err_message());
}

int main(void)
{
    make_tmp("file");
    write_and_replace();
    directory_in_the_way();
    long_names();
    own_directories();
    disk_full();
    checks();
    directories();
    lock();
    temporary_files();
    planted_locks();
    scratch();
    sha256();
    return tap_done();
}
