/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Small text tools.  Layer: base. */
#ifndef SPI_BASE_TEXT_H
#define SPI_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/** Levenshtein distance without regard to case; words longer than 63 are cut. */
int spi_edit_distance(const char *a, const char *b);
/** How near `word` is to `name`, the smaller the nearer: the same, one letter wrong, its
 *  beginning, two letters wrong (not in short names); -1: not near. */
int spi_text_near(const char *name, const char *word);
/** Is `word` one of "a|b|c"? */
bool spi_word_in_list(const char *word, const char *list);

/** Length of the character at s (n bytes, n >= 1) if a terminal only shows it: printable
 * ASCII or well-formed UTF-8 above U+009F.  0: its first byte begins a control character
 * (C0, DEL, C1, one that sets the direction of text or ends a line) or no UTF-8.  -1: the n
 * bytes begin a UTF-8 character and do not end it. */
int spi_text_character(const char *s, size_t n);

/** Write the byte as a terminal may see it: "\\n", "\\t", "\\r" or "\\xNN", with its NUL.
 */
enum { SPI_ESCAPE_MAX = 5 };
/** Write the escape of one byte to `out`. */
void spi_text_escape(char byte, char out[SPI_ESCAPE_MAX]);

/** Copy a text that may come from a file, such that a terminal only shows it: each byte of
 * what spi_text_character refuses is escaped.  `to` takes size - 1 bytes at most and never
 * ends inside a character or an escape.  A text that was copied already stays as it is.
 * Returns `to`. */
char *spi_text_printable(const char *from, char *to, size_t size);

/** Cut the longest words (paths, most often) in their middle until the text has fewer than
 * `size` bytes. */
void spi_text_shorten(char *text, size_t size);

/** The text as one word of a shell: as it is where it can be, else in quotes, cut to fit.
 */
char *spi_text_quoted(const char *from, char *to, size_t size);

#endif
