/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/text.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static int least(int a, int b)
{
    return a < b ? a : b;
}

int spi_edit_distance(const char *a, const char *b)
{
    enum { MAX = 63 };
    int na = (int)strnlen(a, MAX), nb = (int)strnlen(b, MAX), row[MAX + 1];

    for (int j = 0; j <= nb; j++)
        row[j] = j;
    for (int i = 1; i <= na; i++) {
        int diagonal = row[0];

        row[0] = i;
        for (int j = 1; j <= nb; j++) {
            int differ =
                tolower((unsigned char)a[i - 1]) != tolower((unsigned char)b[j - 1]);
            int d = least(least(row[j], row[j - 1]) + 1, diagonal + differ);

            diagonal = row[j];
            row[j] = d;
        }
    }
    return row[nb];
}

int spi_text_near(const char *name, const char *word)
{
    enum { WRONG_MOST = 2, BEGINNING_LEAST = 2 };
    int d = spi_edit_distance(name, word), n = (int)strlen(name);
    size_t m = strlen(word);

    if (d <= 1 && d < n)
        return d;
    if (m >= BEGINNING_LEAST && strncasecmp(name, word, m) == 0)
        return 2;
    return d <= WRONG_MOST && 2 * d <= n ? 1 + d : -1;
}

bool spi_word_in_list(const char *word, const char *list)
{
    size_t len = strlen(word);

    for (const char *p = list; len && *p;) {
        size_t n = strcspn(p, "|");

        if (n == len && strncmp(p, word, n) == 0)
            return true;
        p += n + (p[n] == '|');
    }
    return false;
}

/* Bytes of the UTF-8 character that begins with c, and the least code point that needs
 * them; 0: c begins none. */
static int utf8_bytes(unsigned char c, uint32_t *least)
{
    static const uint32_t first[5] = {0, 0, 0x80, 0x800, 0x10000};
    int n = c < 0x80 ? 1 : c < 0xc0 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf8 ? 4 : 0;

    *least = first[n];
    return n;
}

/* Characters that turn or break the line they stand in: marks, embeddings, overrides and
 * isolates of the bidirectional algorithm, line and paragraph separators. */
static bool turns_line(uint32_t code)
{
    return code == 0x61c || code == 0x200e || code == 0x200f ||
           (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

int spi_text_character(const char *s, size_t n)
{
    unsigned char c = (unsigned char)*s;
    uint32_t least, code;
    int bytes = utf8_bytes(c, &least);

    if (bytes <= 1)
        return bytes == 1 && c >= ' ' && c != 127;
    code = c & (0x7fU >> bytes);
    for (int i = 1; i < bytes; i++) {
        if ((size_t)i == n)
            return -1;
        if (((unsigned char)s[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | ((unsigned char)s[i] & 0x3f);
    }
    if (code < least || code < 0xa0 || (code >= 0xd800 && code < 0xe000) ||
        code > 0x10ffff || turns_line(code))
        return 0;
    return bytes;
}

void spi_text_escape(char byte, char out[SPI_ESCAPE_MAX])
{
    if (byte == '\n' || byte == '\t' || byte == '\r')
        snprintf(out, SPI_ESCAPE_MAX, "\\%c",
                 byte == '\n'   ? 'n'
                 : byte == '\t' ? 't'
                                : 'r');
    else
        snprintf(out, SPI_ESCAPE_MAX, "\\x%02x", (unsigned char)byte);
}

char *spi_text_printable(const char *from, char *to, size_t size)
{
    size_t left = strlen(from), used = 0;

    while (left) {
        int n = spi_text_character(from, left);
        char escape[SPI_ESCAPE_MAX];
        const char *piece = from;
        size_t length = n > 0 ? (size_t)n : 1;

        left -= length;
        from += length;
        if (n <= 0) {
            spi_text_escape(*piece, escape);
            piece = escape;
            length = strlen(escape);
        }
        if (used + length >= size)
            break;
        memcpy(to + used, piece, length);
        used += length;
    }
    to[used] = 0;
    return to;
}

char *spi_text_quoted(const char *from, char *to, size_t size)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789_./+,:@%-";
    size_t n = 0;

    if (*from && from[strspn(from, plain)] == 0) {
        snprintf(to, size, "%s", from);
        return to;
    }
    to[n++] = '\'';
    for (; *from && n + 6 < size; from++)
        if (*from == '\'')
            n += (size_t)snprintf(to + n, size - n, "'\\''");
        else
            to[n++] = *from;
    to[n++] = '\'';
    to[n] = 0;
    return to;
}

/* The longest run without a space. */
static char *longest_word(char *text, size_t *length)
{
    char *word = text;

    *length = 0;
    for (char *p = text; *p;) {
        size_t n = strcspn(p, " ");

        if (n > *length)
            word = p, *length = n;
        p += n + strspn(p + n, " ");
    }
    return word;
}

void spi_text_shorten(char *text, size_t size)
{
    static const char gap[] = "...";
    enum { GAP = sizeof gap - 1, LEAST = 64 };

    for (size_t length = strlen(text), n; length >= size; length = strlen(text)) {
        char *word = longest_word(text, &n), *end = word + n;
        size_t over = length - size + 1 + GAP, keep;

        if (n <= LEAST) { /* no word alone makes it long */
            text[size - 1] = 0;
            return;
        }
        keep = n > over + LEAST ? n - over : LEAST - GAP;
        memcpy(word + keep / 2, gap, GAP);
        memmove(word + keep / 2 + GAP, end - (keep - keep / 2),
                strlen(end - (keep - keep / 2)) + 1);
    }
}
