/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The line of the progress bar: it never exceeds the terminal, whatever stands in it. */
#define _XOPEN_SOURCE 700 /* posix_openpt */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "app/progress.h"
#include "base/log.h"
#include "tap.h"

static int columns(const char *s)
{
    int n = 0;

    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

/* What a terminal of 60 columns gets from a stage with a line of log in it; -1: none here.
 */
static int on_terminal(char *got, int size)
{
    const struct winsize columns60 = {.ws_row = 24, .ws_col = 60};
    int master = posix_openpt(O_RDWR | O_NOCTTY), saved = dup(STDERR_FILENO), n;

    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0)
        return -1;

    int slave = open(ptsname(master), O_RDWR | O_NOCTTY);

    if (slave < 0)
        return -1;
    setenv("TERM", "xterm", 1);
    ioctl(slave, TIOCSWINSZ, &columns60);
    dup2(slave, STDERR_FILENO);
    spi_progress_begin("merging", 100, "images");
    for (int i = 0; i < 1000; i++)
        spi_progress_update(50, "within a tenth of a second");
    usleep(120000);
    spi_progress_update(60, "second");
    spi_info("a line of log");
    spi_progress_end();
    dup2(saved, STDERR_FILENO);
    fcntl(master, F_SETFL, O_NONBLOCK);
    n = 0;
    for (ssize_t more;
         n < size - 1 && (more = read(master, got + n, (size_t)(size - 1 - n))) > 0;)
        n += (int)more;
    got[n] = 0;
    close(slave);
    close(master);
    close(saved);
    return n;
}

static void terminal(void)
{
    static char got[65536];
    int n = on_terminal(got, sizeof got), lines = 0, widest = 0;

    if (n < 0) {
        NOTE("no pseudo-terminal here");
        return;
    }
    OK(strstr(got, "\rmerging") && strstr(got, "60 %"), "the bar is drawn");
    OK(strstr(got, "\r\033[Ka line of log\r\n"), "a line of log takes the bar's place");
    for (char *p = strtok(got, "\r\n"); p; p = strtok(NULL, "\r\n")) {
        char *end = strstr(p, "\033[K");

        if (end && end != p) {
            *end = 0;
            lines++;
            widest = columns(p) > widest ? columns(p) : widest;
        }
    }
    /* begin, then one update: the thousand in between came within 0.1 s; a slow machine may
     * see a few more tenths pass */
    OK(lines >= 2 && lines <= 12, "at most ten a second: %d times drawn for 1001 updates",
       lines);
    OK(widest <= 59, "fits the terminal: %d columns", widest);

    spi_log_set_level(SPI_LOG_QUIET);
    n = on_terminal(got, sizeof got);
    spi_log_set_level(SPI_LOG_NORMAL);
    OK(n == 0, "nothing with --quiet");
}

int main(void)
{
    char line[1024];
    struct spi_progress_view v = {.stage = "matching",
                                  .unit = "images",
                                  .text = "q_max 0.04 1/\xc3\x85",
                                  .generation = 7,
                                  .generations = 80,
                                  .done = 512,
                                  .total = 3000,
                                  .elapsed_s = 2,
                                  .width = 120};

    spi_progress_line(&v, line, sizeof line);
    NOTE("%s", line);
    OK(strstr(line, "matching  gen 7/80 [") && strstr(line, " 17 %") &&
           strstr(line, "256 images/s") && strstr(line, "10 s left") &&
           strstr(line, "q_max"),
       "all parts");
    v.utf8 = 1;
    spi_progress_line(&v, line, sizeof line);
    NOTE("%s", line);
    OK(strstr(line, "\xe2\x96\x88") && strstr(line, "\xe2\x96\x91") && !strchr(line, '['),
       "blocks where the terminal has them");

    int worst = 0, cut_inside = 0;

    for (v.width = 1; v.width <= 200; v.width++)
        for (v.utf8 = 0; v.utf8 < 2; v.utf8++) {
            size_t n;

            spi_progress_line(&v, line, sizeof line);
            n = strlen(line);
            worst = columns(line) - (v.width - 1) > worst ? columns(line) - (v.width - 1)
                                                          : worst;
            cut_inside += n >= 1 && (unsigned char)line[n - 1] >= 0xc0;
        }
    OK(worst == 0 && cut_inside == 0, "fits widths 1..200 and cuts between characters");
    v.width = 201;
    spi_progress_line(&v, line, sizeof line);
    OK(columns(line) > 60, "the check can fail: a wide line is long, %d columns",
       columns(line));

    v.width = 80;
    v.utf8 = 0;
    v.text = "a\nb\033[31m";
    spi_progress_line(&v, line, sizeof line);
    OK(!strchr(line, '\n') && !strchr(line, '\033'), "no control characters: %s", line);

    v.text = NULL;
    v.total = 0;
    v.generation = -1;
    spi_progress_line(&v, line, sizeof line);
    OK(!strchr(line, '%') && !strstr(line, "gen") && strstr(line, "images/s"),
       "unknown total: %s", line);
    v.total = 1000;
    v.done = 600, v.from = 500, v.elapsed_s = 10;
    v.unit = "";
    spi_progress_line(&v, line, sizeof line);
    OK(strstr(line, "60 %") && strstr(line, "40 s left") && !strstr(line, "/s"),
       "gone on at 500, without a unit: %s", line);
    v.unit = "images";
    v.from = 0;
    v.total = 3000;
    v.elapsed_s = 0;
    spi_progress_line(&v, line, sizeof line);
    OK(!strstr(line, "/s") && !strstr(line, "nan") && !strstr(line, "inf"), "at time 0: %s",
       line);
    v.elapsed_s = 1e7;
    v.done = 3;
    spi_progress_line(&v, line, sizeof line);
    OK(strstr(line, "days"), "long: %s", line);

    spi_progress_end(); /* without a stage: nothing happens */
    spi_progress_begin("merge", 10, "images");
    spi_progress_update(3, "half 1");
    spi_progress_end();
    OK(1, "calls without a terminal");
    terminal();
    return tap_done();
}
