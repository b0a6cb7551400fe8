# SPDX-License-Identifier: GPL-3.0-or-later
# What the end-to-end tests share: TAP, a folder of their own, the program and what it answers.
#     . "$(dirname "$0")/tap.sh"
# SPINIFEL: the program.  PYTHON: an interpreter with numpy, h5py and mrcfile.  SPI_TEST_DATA: data/.
# SPI_TEST_TMP: where the folder is made.  A test runs in this folder, $dir, which is removed when the
# test ends; "finish" is the last line of a test.
spinifel=${SPINIFEL:?}
python=${PYTHON:-/usr/bin/python3}
dir=$(mktemp -d "${SPI_TEST_TMP:-/tmp}/$(basename "$0" .sh).XXXXXX") || exit 1
clean() { rm -rf "$dir"; }
trap clean EXIT
cd "$dir" || exit 1

n=0 failed=0
ok() { # status, words: one line of TAP; where it fails, what the program said last follows
	n=$((n + 1))
	[ "$1" = 0 ] && echo "ok $n - $2" && return
	echo "not ok $n - $2"
	failed=1
	for said in out err; do
		[ ! -s $said ] || head -n 40 $said | sed "s/^/# $said: /"
	done
}
skip() { # words, why
	n=$((n + 1))
	echo "ok $n - $1 # SKIP $2"
}
finish() {
	echo "1..$n"
	exit $failed
}

# ---- the program, whose answers go to the files out and err
run() { # exit code, arguments...
	code=$1
	shift
	"$spinifel" "$@" > out 2> err
	[ $? = "$code" ]
	ok $? "exit $code: spinifel $*"
}
refuse() { # exit code, text of the message, arguments...: and nothing on standard output
	code=$1 text=$2
	shift 2
	"$spinifel" "$@" > out 2> err
	[ $? = "$code" ] && grep -qF -- "$text" err && [ ! -s out ]
	ok $? "refused: $text"
}

# ---- what files say
is() { # found, needed, words
	[ "$1" = "$2" ]
	ok $? "$3: $1"
}
says() { # file, pattern, words (without: the pattern): a line of the file has it
	grep -q -- "$2" "$1"
	ok $? "${3:-$2}: $({ grep -- "$2" "$1" || tail -n 1 "$1"; } | head -n 1 | cut -c 1-200)"
}
lacks() { # file, pattern, words: the file is there, and no line has it
	[ -e "$1" ] && ! grep -q -- "$2" "$1"
	ok $? "$3"
}
json() { # words, an expression on v, the object in the file out
	"$python" -c "import json, math, sys
v = json.load(open('out'))
sys.exit(not ($2))" 2>> err
	ok $? "$1"
}
key() { # JSON file, name: the first number of this name
	sed -n "s/.*\"$2\": *\([-0-9.eE+]*\).*/\1/p" "$1" | head -n 1
}
word() { # JSON file, name: the first text of this name
	sed -n "s/.*\"$2\": *\"\([^\"]*\)\".*/\1/p" "$1" | head -n 1
}

# ---- numbers; one that is missing is in no range
within() { awk -v a="$1" -v x="$2" -v b="$3" 'BEGIN { exit !(x != "" && a + 0 <= x + 0 && x + 0 <= b + 0) }'; }
below() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a != "" && a + 0 < b + 0) }'; }
