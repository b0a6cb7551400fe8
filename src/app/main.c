/* SPDX-License-Identifier: GPL-3.0-or-later */
/* spinifel COMMAND ...: find the command, run it, say what went wrong, exit. */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/cmd.h"
#include "app/help.h"
#include "app/output.h"
#include "app/outputs.h"
#include "app/progress.h"
#include "app/start.h"
#include "base/log.h"
#include "base/mem.h"
#include "math/fft.h"

/* A file opened while descriptor 0, 1 or 2 is closed would take its number and get what is
 * meant for the terminal; a closed one is opened the other way round, so that its use
 * fails. */
static void occupy_standard_files(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) == -1 && errno == EBADF &&
            open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
            _exit(1);
}

/* Results that did not arrive are a failure: full disk, closed pipe. */
static spi_err close_output(spi_err err)
{
    int failed = ferror(stdout);

    errno = 0;
    if ((fclose(stdout) != 0 || failed) && (err == SPI_OK || err == SPI_ENOCONV))
        return spi_fail(SPI_EIO, "standard output: %s",
                        errno ? strerror(errno) : "write failed");
    return err;
}

static spi_err run_command(const struct spi_cmd *cmd, int argc, char *const argv[])
{
    struct spi_call call;
    spi_err err = spi_call_parse(cmd, argc, argv, &call);

    if (err == SPI_OK && call.common.help)
        spi_help_cmd(&spi_program, cmd, stdout);
    else if (err == SPI_OK) {
        spi_log_set_level(call.common.quiet     ? SPI_LOG_QUIET
                          : call.common.verbose ? SPI_LOG_VERBOSE
                                                : SPI_LOG_NORMAL);
        err = spi_outputs_check(&call);
        err = err ? err : cmd->run(&call);
        spi_outputs_forget();
        spi_progress_end();
        spi_fft_cleanup();
    }
    spi_call_clear(&call);
    return err;
}

/* Options that stand in the place of a command. */
static spi_err run_option(int argc, char *const argv[])
{
    const char *value = argc == 3 ? argv[2] : NULL;

    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        spi_help_program(&spi_program, stdout);
        return SPI_OK;
    }
    if (strcmp(argv[1], "--version") == 0)
        return run_command(spi_cmd_find(&spi_program, "version"), 0, NULL);
    if (strcmp(argv[1], "--man") == 0 && value)
        return spi_man_page(&spi_program, value, stdout);
    if (strcmp(argv[1], "--completion") == 0 && value) {
        if (strcmp(value, "bash") != 0)
            return spi_fail(SPI_EUSAGE, "--completion: '%s' is none of bash", value);
        spi_completion_bash(&spi_program, stdout);
        return SPI_OK;
    }
    return spi_fail(SPI_EUSAGE, "'%s' stands in the place of a command; options follow it",
                    argv[1]);
}

static spi_err dispatch(int argc, char *const argv[])
{
    if (argc < 2) {
        spi_help_program(&spi_program, stderr);
        return spi_fail(SPI_EUSAGE, "no command given");
    }
    if (argv[1][0] == '-')
        return run_option(argc, argv);

    const struct spi_cmd *cmd = spi_cmd_find(&spi_program, argv[1]);

    return cmd ? run_command(cmd, argc - 2, argv + 2)
               : spi_cmd_unknown(&spi_program, argv[1]);
}

int main(int argc, char *argv[])
{
    occupy_standard_files();
    spi_output_guard();

    spi_err err = spi_start();

    spi_keep_memory();
    signal(SIGPIPE, SIG_IGN); /* so that a closed pipe is an error with a message, */
    signal(SIGXFSZ, SIG_IGN); /* and a limit on the size of files too */
    setlocale(LC_CTYPE, "");  /* progress.c asks for the character set; numbers stay "C" */

    err = close_output(err ? err : dispatch(argc, argv));

    if (err != SPI_OK)
        fprintf(stderr, "spinifel: %s\n",
                *spi_err_message() ? spi_err_message() : spi_err_text(err));
    if (err == SPI_EUSAGE && argc >= 2) {
        const struct spi_cmd *cmd = spi_cmd_find(&spi_program, argv[1]);

        fprintf(stderr, "Try 'spinifel %s%s--help'.\n", cmd ? cmd->name : "",
                cmd ? " " : "");
    }
    return spi_exit_code(err);
}
