/** \file
 * Small text tools.  Layer: base. */
#ifndef SPI_BASE_TEXT_H
#define SPI_BASE_TEXT_H

#include <stdbool.h>

/** Levenshtein distance without regard to case; words longer than 63 are cut. */
int spi_edit_distance(const char *a, const char *b);
/** Is `word` one of "a|b|c"? */
bool spi_word_in_list(const char *word, const char *list);

#endif
