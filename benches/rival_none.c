/* SPDX-License-Identifier: GPL-3.0-or-later */
/* rival_none.c, of benches/rival.h: no other library was built in; every call says so. */
#include <stdio.h>

#include "rival.h"

int finufft_count(void)
{
    fputs("finufft: not found when this was configured (meson -Dfinufft=PREFIX); skipped\n",
          stderr);
    return 0;
}

const char *finufft_name(int i)
{
    (void)i;
    return "";
}

bool finufft_run(int i, const struct rival_job *job, double seconds[RIVAL_TIMES])
{
    (void)i, (void)job;
    for (int k = 0; k < RIVAL_TIMES; k++)
        seconds[k] = 0;
    return false;
}
