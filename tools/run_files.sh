#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# The files of a run and their kinds, "half1.mrc result" a line, from the table of src/report/run_files.c.
#   tools/run_files.sh ROOT
sed -n 's/^    {"\([^"]*\)", *SPI_FILE_\([A-Z]*\),.*/\1 \2/p' "${1:-.}/src/report/run_files.c" |
	awk '{ print $1, tolower($2) }'
