/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The recipe parser: what it accepts, and that each mistake is named. */
#include <stdlib.h>
#include <string.h>

#include "phase/phase.h"
#include "tap.h"

static void accepts(const char *text, const char *letters)
{
    enum spi_phase_method *step = NULL;
    int n = 0, same;
    spi_err err = spi_phase_recipe_parse(text, &step, &n);

    same = !err && n == (int)strlen(letters);
    for (int i = 0; same && i < n; i++)
        same = spi_phase_methods[step[i]].name[0] == letters[i];
    OK(same, "\"%s\" gives %d steps", text, n);
    free(step);
}

static void refuses(const char *text, const char *message)
{
    enum spi_phase_method *step = NULL;
    int n = 0;
    spi_err err = spi_phase_recipe_parse(text, &step, &n);

    OK(err == SPI_EINVAL && !step && n == 0 && strstr(spi_err_message(), message),
       "\"%.30s\": %s", text, spi_err_message());
    free(step);
}

int main(void)
{
    accepts("3 ER", "EEE");
    accepts(" 1 er , 2HIO,1 Raar ", "EHHR");
    accepts("2*(2 RAAR, 1 SW), 1 ER", "RRSRRSE");
    accepts("2*(1 ER, 2*(1 HIO)), 1 SW", "EHHEHHS");
    accepts("1*(1*(1*(1*(1 ER))))", "E");

    enum spi_phase_method *step = NULL;
    int n = 0;

    OK(!spi_phase_recipe_parse("6*(40 RAAR, 10 ER, 1 SW), 40 ER", &step, &n) && n == 346,
       "the default recipe has %d steps", n);
    free(step);

    refuses("", "at character 1 \"\"; needed a whole number");
    refuses("ER", "needed a whole number");
    refuses("3 XY", "at character 3 \"XY\"; needed one of ER, HIO, RAAR, SW");
    refuses("3 ERR", "needed one of");
    refuses("0 ER", "at least 1");
    refuses("-1 ER", "needed a whole number");
    refuses("3 ER 2 HIO", "at character 6");
    refuses("3 ER,", "needed a whole number");
    refuses("2*(3 ER", "needed \",\" or \")\"");
    refuses("2*3 ER", "needed \"(\"");
    refuses("2*()", "needed a whole number");
    refuses("3 ER)", "needed \",\" or the end");
    refuses("1*(1*(1*(1*(1*(1 ER)))))", "at most 4 deep");
    refuses("100001 ER", "up to 100000");
    refuses("99999999999999999999999999 ER", "up to 100000");
    refuses("100000 ER, 1 ER", "more than 100000 steps");
    refuses("1000*(1000*(1000 ER))", "more than 100000 steps");
    refuses(NULL, "needed a whole number");

    int rows = 0;

    for (const struct spi_phase_method_info *m = spi_phase_methods; m->name; m++)
        rows += m->reference[0] && m->formula[0];
    OK(rows == SPI_PHASE_SHRINKWRAP + 1, "every method has a reference and a formula");
    return tap_done();
}
