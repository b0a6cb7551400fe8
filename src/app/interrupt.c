/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/interrupt.h"

#include <signal.h>
#include <stddef.h>

/* A signal handler has no other way to say that it was called. */
static volatile sig_atomic_t caught;

_Static_assert(_Generic(caught, int : 1, default : 0), "sig_atomic_t is int here");

static void take(int signal_number)
{
    (void)signal_number;
    caught = 1;
}

const volatile int *spi_interrupt_catch(void)
{
    /* SA_RESETHAND: the next one ends the process, in case it does not listen. */
    struct sigaction on = {.sa_handler = take, .sa_flags = SA_RESETHAND};

    struct sigaction hangup;

    sigaction(SIGINT, &on, NULL);
    sigaction(SIGTERM, &on, NULL);
    /* a terminal that closes; nohup has asked that this be nothing */
    if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN)
        sigaction(SIGHUP, &on, NULL);
    return &caught;
}
