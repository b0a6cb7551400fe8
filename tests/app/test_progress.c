/* The line of the progress bar: it never exceeds the terminal, whatever stands in it. */
#include <string.h>

#include "app/progress.h"
#include "tap.h"

static int columns(const char *s)
{
    int n = 0;

    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
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
    return tap_done();
}
