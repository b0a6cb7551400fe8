#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# The headers of src/ are what `make api` shows: each begins with a \file comment that says what it is and its
# layer (the folder's name), and each function in it stands below a comment /** ... */ of its own.
# Bodies that other files include several times (*_body.h, *_isa.h) and the table of form factors need neither.
#   tools/check_api.sh ROOT
cd "${1:-.}/src" || exit 2
find . -name '*.h' ! -name '*_body.h' ! -name '*_isa.h' ! -name formfactor_table.h | sed 's,^\./,,' | sort | xargs awk '
	function report(text) { print "src/" name ":" text; bad = 1 }
	function close_file() {
		if (name == "") return
		folder = name
		sub(/\/.*/, "", folder)
		if (file !~ /\/\*\* \\file/) report(" does not begin with /** \\file")
		else if (file !~ ("Layer:[ \t*]*" folder "[ .;,]")) report(" its \\file comment does not say \"Layer: " folder "\"")
	}
	function declared(   text) { # a declaration or definition at the level of the file has ended
		text = decl
		gsub(/__attribute__\(\([^)]*(\([^)]*\))?[^)]*\)\)/, "", text)
		gsub(/SPI_MUSTUSE/, "", text)
		if (text !~ /^[ \t]*(typedef|_Static_assert|struct [a-z_0-9]* *\{|enum|extern)/ && match(text, /[a-z_0-9]+\(/) && !documented) {
			text = substr(text, RSTART, RLENGTH - 1)
			report(at ": " text " has no comment /** ... */ of its own")
		}
		decl = ""
		documented = 0
	}
	FNR == 1 { close_file(); name = FILENAME; file = decl = ""; depth = comment = documented = first = inline = 0 }
	!first && FNR > 1 { file = file " " $0; if (/\*\//) first = 1 }
	/^[ \t]*#/ || continued { continued = /\\$/; next } # the preprocessor
	{
		line = $0
		if (!comment && depth == 0 && decl == "" && line ~ /^[ \t]*\/\*/) { # a comment between declarations
			documented = line ~ /^[ \t]*\/\*\*/
			comment = 1
		} else if (line ~ /^[ \t]*$/ && depth == 0 && decl == "") documented = 0
		if (comment) {
			if (line !~ /\*\//) next
			comment = 0
			sub(/^.*\*\//, "", line)
		}
		gsub(/\/\*.*\*\//, "", line)
		if (sub(/\/\*.*/, "", line)) comment = 1
		if (line ~ /^[ \t]*$/) next
		if (depth == 0 && decl == "" && line ~ /^[A-Z_0-9]+\([^)]*\)[ \t]*$/) next # a macro that declares
		if (depth == 0 && decl == "") at = FNR
		if (depth == 0) decl = decl " " line
		opened = gsub(/\{/, "{", line)
		depth += opened - gsub(/\}/, "}", line)
		if (depth == 0 && line ~ /[;}][ \t]*$/) declared()
	}
	END { close_file(); exit bad }'
