#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Do the checks of the style suite find what they look for?  Each is run on a small tree with one fault
# and must name it, and on the same tree without the fault and must be silent.
#   tests/style_control.sh SOURCE_ROOT SCRATCH
root=$1 scratch=$2 n=0 failed=0
ok() {
	n=$((n + 1))
	[ "$1" = 0 ] && echo "ok $n - $2" || { echo "not ok $n - $2"; failed=1; }
}
fresh() {
	rm -rf "$scratch"
	mkdir -p "$scratch/src/base" "$scratch/src/io" "$scratch/src/task" "$scratch/src/app" "$scratch/tests"
	grep -v '^circle' "$root/src/LAYERS" > "$scratch/src/LAYERS"
	echo '#include "base/log.h"' > "$scratch/src/io/right.c"
	echo '#include <starpu.h>' > "$scratch/src/task/right.c"
	echo 'int main(void) { puts("x"); exit(1); }' > "$scratch/src/app/right.c"
	printf 'static void f(void)\n{\n    NEED(1);\n    if (1) {\n        OK(0, "a",\n           1);\n        return;\n    }\n}\n' \
		> "$scratch/tests/right.c"
}
layers() { "$root/tools/check_layers.sh" "$scratch" > "$scratch/out" 2>&1; }
finds() { # file, text, what
	fresh
	echo "$2" > "$scratch/src/$1"
	layers
	[ $? != 0 ] && grep -q "${1##*/}" "$scratch/out"
	ok $? "$3 is found"
}

fresh
layers
ok $? "a tree without a fault passes"
finds base/up.c '#include "io/images.h"' "an include that goes up"
finds io/lost.c '#include "nowhere/x.h"' "a folder without a rank"
finds io/runtime.c '#include <starpu.h>' "StarPU outside task/"
finds io/mpi.c '#include <mpi.h>' "MPI outside task/"
finds io/speaks.c 'void f(void) { printf("x"); }' "output below app/"
finds io/ends.c 'void f(void) { exit(1); }' "an exit below app/"

circle() { # what io/one includes, the circle that src/LAYERS lets pass
	fresh
	echo '#include "io/one.h"' > "$scratch/src/io/one.c"
	echo '#include "io/other.h"' > "$scratch/src/io/other.c"
	echo '#include "io/one.h"' > "$scratch/src/io/other.h"
	echo "#include \"io/$1.h\"" > "$scratch/src/io/one.h"
	echo '#include "io/other.h"' > "$scratch/src/io/between.h"
	[ -z "$2" ] || echo "circle $2" >> "$scratch/src/LAYERS"
	layers
}
circle one
ok $? "a module that uses another one, which does not use it, passes"
circle other
[ $? != 0 ] && grep -q '^io/one: includes io/other' "$scratch/out"
ok $? "two modules that include each other are found"
circle between
[ $? != 0 ] && grep -q '^io/one: includes io/other' "$scratch/out"
ok $? "and where one does it over a header without a source"
circle other 'io/one io/other'
ok $? "a circle that src/LAYERS names passes"
circle one 'io/one io/other'
[ $? != 0 ] && grep -q 'there is no circle io/one io/other' "$scratch/out"
ok $? "a circle that src/LAYERS names and that is none is found"

fresh
"$root/tools/check_tests.sh" "$scratch/tests" > "$scratch/out" 2>&1
ok $? "a test that reports before it returns passes"
printf 'static void f(int err)\n{\n    OK(1, "a");\n    if (err)\n        return;\n}\n' > "$scratch/tests/silent.c"
"$root/tools/check_tests.sh" "$scratch/tests" > "$scratch/out" 2>&1
[ $? != 0 ] && grep -q 'silent.c:5' "$scratch/out"
ok $? "a test that returns without a word is found"

fresh
for f in io task app; do
	sed -i '1i /* SPDX-License-Identifier: GPL-3.0-or-later */\n/* right.c, of the control: a source. */' "$scratch/src/$f/right.c"
done
sed -i '1i /* SPDX-License-Identifier: GPL-3.0-or-later */\n/* A test. */' "$scratch/tests/right.c"
printf '/* SPDX-License-Identifier: GPL-3.0-or-later */\n/** \\file\n * A room. */\n' > "$scratch/src/io/room.h"
printf '/* SPDX-License-Identifier: GPL-3.0-or-later */\n#include "io/room.h"\n' > "$scratch/src/io/room.c"
"$root/tools/check_sources.sh" "$scratch" > "$scratch/out" 2>&1
ok $? "sources that name their licence and say what they are pass"
echo 'int x;' > "$scratch/src/io/bare.c"
"$root/tools/check_sources.sh" "$scratch" > "$scratch/out" 2>&1
[ $? != 0 ] && grep -q 'bare.c: no SPDX' "$scratch/out"
ok $? "a source that does not is found"
rm "$scratch/src/io/bare.c"
printf '/* SPDX-License-Identifier: GPL-3.0-or-later */\n#include "io/room.h"\n' > "$scratch/src/io/silent.c"
"$root/tools/check_sources.sh" "$scratch" > "$scratch/out" 2>&1
[ $? != 0 ] && grep -q 'silent.c: does not begin with what it is' "$scratch/out" && [ "$(wc -l < "$scratch/out")" = 1 ]
ok $? "a source without a header that does not say what it is is found"

api() { "$root/tools/check_api.sh" "$scratch" > "$scratch/out" 2>&1; }
api_finds() { # declaration, what
	fresh
	printf '/* SPDX */\n/** \\file\n * A room.  Layer: io. */\n/** Opens it. */\nint spi_open(int a,\n             int b);\n' > "$scratch/src/io/room.h"
	api
	ok $? "a header whose functions have comments passes"
	printf '%b' "$1" >> "$scratch/src/io/room.h"
	api
	[ $? != 0 ] && grep -q 'src/io/room.h:7: spi_shut has no comment' "$scratch/out" && [ "$(wc -l < "$scratch/out")" = 1 ]
	ok $? "$2 is found"
}
api_finds 'void spi_shut(void);\n' "a function without a comment"
api_finds '/* Shuts it. */ static inline int spi_shut(void)\n{\n    return 1;\n}\n' "an inline function with a plain comment"
api_finds 'SPI_MUSTUSE spi_err spi_shut(int a,\n    int b);\n/** More. */\nint spi_more(void);\n' "a function between two others"
fresh
printf '/* SPDX */\n/** \\file\n * A room.  Layer: base. */\nstruct spi_room {\n    int (*open)(int a);\n};\n' > "$scratch/src/io/room.h"
api
[ $? != 0 ] && grep -q 'does not say "Layer: io"' "$scratch/out" && [ "$(wc -l < "$scratch/out")" = 1 ]
ok $? "a header of another layer than its folder is found"

docs() { "$root/tools/check_docs.sh" "$scratch" > "$scratch/out" 2>&1; }
docs_fresh() {
	rm -rf "$scratch"
	mkdir -p "$scratch"
	cp -r "$root/doc" "$root/benches" "$root/meson.build" "$root"/*.md "$root/CITATION.cff" "$root/Makefile" "$scratch/"
	ln -s "$root/src" "$root/tests" "$root/tools" "$root/data" "$scratch/"
}
docs_finds() { # file, sed expression, what the message says, lines of it (1)
	docs_fresh
	case $1 in src/*) rm "$scratch/src" && cp -r "$root/src" "$scratch/" ;; esac # not the source itself
	sed -i "$2" "$scratch/$1"
	docs
	[ $? != 0 ] && grep -q -- "$3" "$scratch/out" && [ "$(wc -l < "$scratch/out")" = "${4:-1}" ]
	ok $? "$1: $3"
}
docs_fresh
docs
ok $? "documents without a fault pass"
docs_finds doc/math.md '1s/$/ x/' 'doc/math.md is not up to date'
docs_finds benches/results/speed.jsonl '$s/"cpu_s": [0-9.]*/"cpu_s": 7/' 'doc/performance.md is not up to date'
docs_finds CITATION.cff 's/^version: .*/version: 9.9/' 'CITATION.cff does not have version'
docs_finds CHANGELOG.md '0,/^## /s/^## .*/## 9.9/' 'CHANGELOG.md does not begin with version'
docs_finds doc/man/spinifel-images.5 's/^.It Pa mask /.It Pa masque /' 'masque is no dataset'
docs_finds README.md '1s/$/ `src\/io\/nowhere.c`/' 'README.md:1: src/io/nowhere.c does not exist'
docs_finds README.md '1s/$/ `io\/nowhere.h`/' 'README.md:1: io/nowhere.h does not exist'
docs_finds README.md '1s/$/ (doc\/decisions\/999)/' 'doc/decisions/999-\*.md does not exist'
docs_finds CONTRIBUTING.md '1s/$/ (Z99)/' '(Z99) is not in doc/math.md'
docs_finds doc/design.md '1s/$/ (section 99)/' 'doc/design.md has no section 99'
docs_finds doc/design.md '1s/$/ `doc\/limits.md`, "Nothing"/' 'doc/limits.md has no section "Nothing"'
docs_finds README.md '1s/$/ `algorithm.lamda`/' 'algorithm.lamda is no setting'
docs_finds README.md '1s/$/ `--nonsense`/' '--nonsense is an option of no program here'
docs_finds doc/results.md '1s/$/ test_nothing/' 'there is no test test_nothing'
docs_finds src/report/run_files.c 's/"rings.bin", /"disks.bin", /' 'doc/formats.d/run.md lacks a file of src/report/run_files.c: disks.bin' 3
docs_finds src/report/run_files.c '/"rings.bin"/d' 'src/report/run_files.c lacks a file of doc/formats.d/run.md: rings.bin' 2
docs_finds src/report/run_files.c '/"state.bin"/s/PROGRESS/RESULT/' 'lacks a file of .*: state.bin result' 2
docs_finds README.md 's/^| `density.mrc`/| `densities.mrc`/' 'README.md: densities.mrc is no file'
docs_finds src/app/reconstruct_print.c 's/ half1.mrc/ half3.mrc/' 'half3.mrc is no file'
rm -rf "$scratch"
echo "1..$n"
exit $failed
