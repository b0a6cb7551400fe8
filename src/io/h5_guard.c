/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Damaged files that let HDF5 crash, or loop for ever, while their objects are opened:
 * headers of the format before 1.8 and the sources of virtual datasets have no checksum
 * that HDF5 (1.10.8) looks at first.  So all objects are opened in a child process before.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/h5.h"
#include "io/h5_priv.h"

enum { MEGABYTES_MOST = 1024, TOO_MUCH_MEMORY = 3 }; /* the latter: the child's code */
enum { DEPTH_MOST = 4, OBJECTS_MOST = 1000, ATTRIBUTES_MOST = 64, SECONDS_MOST = 3 };

static void visit_dataset(hid_t data)
{
    hid_t type = H5Dget_type(data), space = H5Dget_space(data),
          create = H5Dget_create_plist(data);

    if (type >= 0)
        H5Tclose(type);
    if (space >= 0)
        H5Sclose(space);
    if (create >= 0)
        H5Pclose(create);
}

static void visit_attributes(hid_t object)
{
    for (hsize_t i = 0; i < ATTRIBUTES_MOST; i++) {
        hid_t type, a = H5Aopen_by_idx(object, ".", H5_INDEX_NAME, H5_ITER_INC, i,
                                       H5P_DEFAULT, H5P_DEFAULT);

        if (a < 0)
            return;
        type = H5Aget_type(a);
        if (type >= 0)
            H5Tclose(type);
        H5Aclose(a);
    }
}

static void visit(hid_t group, int depth, int *left)
{
    H5G_info_t info;

    if (H5Gget_info(group, &info) < 0)
        return;
    for (hsize_t i = 0; i<info.nlinks && * left> 0; i++) {
        char name[SPI_H5_NAME_MAX];
        hid_t object;

        if (H5Lget_name_by_idx(group, ".", H5_INDEX_NAME, H5_ITER_INC, i, name, sizeof name,
                               H5P_DEFAULT) < 0)
            return;
        object = H5Oopen(group, name, H5P_DEFAULT);
        (*left)--;
        if (object < 0)
            continue;
        if (H5Iget_type(object) == H5I_DATASET)
            visit_dataset(object);
        else if (H5Iget_type(object) == H5I_GROUP && depth < DEPTH_MOST)
            visit(object, depth + 1, left);
        H5Oclose(object);
    }
}

/* Never returns. */
__attribute__((noreturn)) static void child(const char *path)
{
    const struct rlimit no_core = {0, 0}, cpu = {SECONDS_MOST, SECONDS_MOST + 1};
    int null = open("/dev/null", O_RDWR), left = OBJECTS_MOST;
    struct rusage before = {0}, used;
    hid_t file;

    getrusage(RUSAGE_SELF, &before); /* the pages of the parent count as well */
    setrlimit(RLIMIT_CORE, &no_core);
    setrlimit(RLIMIT_CPU, &cpu);
    for (int s = 1; s < NSIG; s++)
        signal(s, SIG_DFL);
    if (null >= 0) {
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
    }
    file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (file >= 0) {
        visit_attributes(file);
        visit(file, 0, &left);
        H5Fclose(file);
    }
    if (getrusage(RUSAGE_SELF, &used) == 0 &&
        used.ru_maxrss - before.ru_maxrss > MEGABYTES_MOST * 1024L)
        _exit(TOO_MUCH_MEMORY);
    _exit(0);
}

spi_err spi_h5_guard(const char *path)
{
    int status = 0;
    pid_t pid = fork(), got;

    if (pid < 0)
        return SPI_OK; /* no guard: the file is most likely good */
    if (pid == 0)
        child(path);
    do
        got = waitpid(pid, &status, 0);
    while (got < 0 && errno == EINTR);
    if (got != pid || (WIFEXITED(status) && WEXITSTATUS(status) == 0))
        return SPI_OK;
    if (WIFEXITED(status) && WEXITSTATUS(status) == TOO_MUCH_MEMORY)
        return spi_fail(
            SPI_EFORMAT,
            "%s: a damaged HDF5 file: the HDF5 library needs more than %d MB to "
            "open what is in it",
            path, MEGABYTES_MOST);
    if (WIFSIGNALED(status))
        switch (WTERMSIG(status)) {
        case SIGINT:
        case SIGTERM:
        case SIGHUP:
        case SIGQUIT:
        case SIGKILL: /* sent to both of us, or want of memory */
            return SPI_OK;
        case SIGXCPU:
            return spi_fail(SPI_EFORMAT,
                            "%s: a damaged HDF5 file: the HDF5 library does not come to an "
                            "end with it (%d s)",
                            path, SECONDS_MOST);
        default:
            break;
        }
    return spi_fail(
        SPI_EFORMAT,
        "%s: a damaged HDF5 file: the HDF5 library crashes when it opens what is "
        "in it",
        path);
}
