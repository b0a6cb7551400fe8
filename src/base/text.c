#include "base/text.h"

#include <ctype.h>
#include <string.h>

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
