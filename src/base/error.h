/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * One error type for the whole program.  Layer: base.
 *
 * A function that can fail returns spi_err.  A failure is one statement,
 *     return spi_fail(SPI_EFORMAT, "%s: what, found, needed", path);
 * and the message waits, per thread, until app/ prints it. */
#ifndef SPI_BASE_ERROR_H
#define SPI_BASE_ERROR_H

#define SPI_ERR_LIST(X)                                \
    X(SPI_OK, "success")                               \
    X(SPI_ENOMEM, "out of memory")                     \
    X(SPI_EINVAL, "invalid argument")                  \
    X(SPI_EUSAGE, "wrong use of the command line")     \
    X(SPI_EFORMAT, "file is not in the expected form") \
    X(SPI_EIO, "input/output failed")                  \
    X(SPI_ENOCONV, "the iteration did not converge")   \
    X(SPI_ECANCEL, "stopped on request")

typedef enum {
#define X(name, text) name,
    SPI_ERR_LIST(X)
#undef X
} spi_err;

#define SPI_MUSTUSE __attribute__((warn_unused_result))

/** Static text of a code; never NULL. */
const char *spi_err_text(spi_err err);

/** What a message may hold with its NUL; more is cut. */
enum { SPI_MESSAGE_MAX = 2048 };
/** Before long paths in it are cut in their middle. */
enum { SPI_MESSAGE_RAW = 16384 };

/** Store a message for this thread and return `err`.  The message is one line of printable
 *  text: control characters (in names and values that come from files) are escaped. */
SPI_MUSTUSE __attribute__((format(printf, 2, 3), cold)) spi_err
spi_fail(spi_err err, const char *fmt, ...);

/** Store a message only. */
__attribute__((format(printf, 1, 2), cold)) void spi_note(const char *fmt, ...);

/** The last message of this thread ("" if none). */
const char *spi_err_message(void);

/** Both the assignment and the label stay visible at the call site:
 *  SPI_TRY(err = f(x), out); */
#define SPI_TRY(assign, label)  \
    do {                        \
        if ((assign) != SPI_OK) \
            goto label;         \
    } while (0)

#endif
