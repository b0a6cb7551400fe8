/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a terminal may see of a text that comes from a file. */
#include "base/text.h"

#include <string.h>

#include "base/error.h"
#include "tap.h"

static void printable(void)
{
    static const struct {
        const char *from, *to;
    } want[] = {
        {"", ""},
        {"plain text, 100 %", "plain text, 100 %"},
        {"\033[31mred\007", "\\x1b[31mred\\x07"},
        {"two\nlines\tand\rmore", "two\\nlines\\tand\\rmore"},
        {"gr\xc3\xbc\xc3\x9f, \xe2\x84\xab, \xf0\x9f\x94\xac",
         "gr\xc3\xbc\xc3\x9f, \xe2\x84\xab, \xf0\x9f\x94\xac"},
        {"\xc2\x9b"
         "31m",
         "\\xc2\\x9b31m"}, /* CSI as one character, U+009B */
        {"\x9b"
         "31m",
         "\\x9b31m"},                                /* and as one byte */
        {"\xc2\xa0", "\xc2\xa0"},                    /* U+00A0 is no control character */
        {"\xe2\x80\xaexcod", "\\xe2\\x80\\xaexcod"}, /* U+202E turns what follows it */
        {"\xd8\x9c\xe2\x81\xa6", "\\xd8\\x9c\\xe2\\x81\\xa6"}, /* U+061C, U+2066 */
        {"\xe2\x80\xa8", "\\xe2\\x80\\xa8"},                   /* U+2028 ends a line */
        {"\xe2\x80\xaf", "\xe2\x80\xaf"},                      /* U+202F is a blank */
        {"\x7f", "\\x7f"},
        {"latin \xe9t\xe9", "latin \\xe9t\\xe9"},
        {"cut \xe2\x84", "cut \\xe2\\x84"},
        {"\xc0\x9b", "\\xc0\\x9b"},          /* ESC in two bytes, not well formed */
        {"\xe0\x82\x9b", "\\xe0\\x82\\x9b"}, /* U+009B in three */
        {"\xed\xa0\x80", "\\xed\\xa0\\x80"}, /* a surrogate */
        {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"}, /* beyond U+10FFFF */
        {"\xff\xfe", "\\xff\\xfe"},
    };
    char out[256], again[256];

    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        spi_text_printable(want[i].from, out, sizeof out);
        OK(strcmp(out, want[i].to) == 0, "'%s'", want[i].to);
        spi_text_printable(out, again, sizeof again);
        OK(strcmp(out, again) == 0, "a second time changes nothing");
    }
}

/* Every room: whole characters and escapes only, never beyond the room. */
static void room(void)
{
    static const char from[] = "a\033\xc3\xbc\n\xe2\x84\xab!",
                      all[] = "a\\x1b\xc3\xbc\\n\xe2\x84\xab!";
    int bad = 0;
    bool end[sizeof all] = {[0] = true, [1] = true,  [5] = true, [7] = true,
                            [9] = true, [12] = true, [13] = true};

    for (size_t size = 1; size <= sizeof all; size++) {
        char out[sizeof all + 1];
        size_t n;

        memset(out, '#', sizeof out);
        spi_text_printable(from, out, size);
        n = strlen(out);
        bad += n >= size || out[size] != '#' || !end[n] || memcmp(out, all, n) != 0;
    }
    OK(bad == 0, "no room ends a text inside of a character or an escape");
}

static void messages(void)
{
    spi_err err = spi_fail(SPI_EFORMAT, "%s: has '%s'", "name\033]0;x\007", "a\nb");

    OK(err == SPI_EFORMAT &&
           strcmp(spi_err_message(), "name\\x1b]0;x\\x07: has 'a\\nb'") == 0,
       "a message is one printable line: %s", spi_err_message());
    err = spi_fail(SPI_EIO, "again: %s", spi_err_message());
    OK(strcmp(spi_err_message(), "again: name\\x1b]0;x\\x07: has 'a\\nb'") == 0,
       "a message may be part of the next");
    (void)err;
}

static void long_paths(void)
{
    static char path[4001], text[5000];

    memset(path, 'd', sizeof path - 1);
    memcpy(path, "/first", 6);
    memcpy(path + 3995, "/z.h5", 5);
    (void)!spi_fail(SPI_EIO, "%s: cannot be read; %s", path, "the reason");
    OK(strstr(spi_err_message(), "/z.h5: cannot be read; the reason") &&
           strncmp(spi_err_message(), "/first", 6) == 0 && strstr(spi_err_message(), "..."),
       "a long path does not hide the reason");
    snprintf(text, sizeof text, "%s to %s: the reason", path, "b");
    spi_text_shorten(text, 500);
    OK(strlen(text) == 499 && strstr(text, "/z.h5 to b: the reason"), "cut to fit: %zu",
       strlen(text));
    snprintf(text, sizeof text, "short words stay as they are");
    spi_text_shorten(text, 500);
    OK(strcmp(text, "short words stay as they are") == 0, "what fits stays");
    spi_text_shorten(text, 6);
    OK(strcmp(text, "short") == 0, "nothing to cut in the middle: the end goes");
}

static void quoted(void)
{
    static const char *const want[][2] = {{"a/b-1.h5", "a/b-1.h5"},
                                          {"a b", "'a b'"},
                                          {"it's", "'it'\\''s'"},
                                          {"$x", "'$x'"},
                                          {"", "''"}};
    char to[64];

    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        OK(strcmp(spi_text_quoted(want[i][0], to, sizeof to), want[i][1]) == 0,
           "a word of a shell: %s", to);
}

int main(void)
{
    long_paths();
    quoted();
    printable();
    room();
    messages();
    return tap_done();
}
