#include <stdio.h>

#include "base/settings.h"

int main(void)
{
    struct spi_settings s;

    spi_settings_default(&s);
    spi_settings_dump(&s, stdout);
    return 0;
}
