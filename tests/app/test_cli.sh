#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# The program as a user meets it: help, exit codes, messages, output that cannot be written.
# SPINIFEL: the binary.  SPI_TEST_TMP: a folder for files.
spinifel=${SPINIFEL:?}
tmp=${SPI_TEST_TMP:-/tmp}/test_cli.$$
mkdir -p "$tmp" || exit 1
trap 'rm -rf "$tmp"' EXIT
count=0 failed=0

ok() { # ok STATUS DESCRIPTION
	count=$((count + 1))
	if [ "$1" = 0 ]; then
		echo "ok $count - $2"
	else
		failed=1
		echo "not ok $count - $2"
		sed 's/^/# stderr: /' "$tmp/err"
	fi
}

# expect CODE PATTERN ARGUMENTS...: exit code, and a line of stderr that holds the text;
# results never mix with failures: stdout is empty unless the code is 0.
expect() {
	code=$1 says=$2
	shift 2
	"$spinifel" "$@" > "$tmp/out" 2> "$tmp/err"
	got=$?
	[ $got = "$code" ] && { [ -z "$says" ] || grep -qF -- "$says" "$tmp/err"; } &&
		{ [ "$code" = 0 ] || [ ! -s "$tmp/out" ]; }
	ok $? "exit $got: spinifel $*"
}

commands=$("$spinifel" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
: > "$tmp/err"
[ "$(echo $commands | wc -w)" -ge 3 ]
ok $? "commands: $(echo $commands)"

"$spinifel" --completion bash > "$tmp/completion"
: > "$tmp/err"
if bash -n "$tmp/completion" 2> "$tmp/err"; then ok 0 "completion is bash"; else ok 1 "completion is bash"; fi
for c in $commands; do
	expect 0 '' "$c" --help
	[ ! -s "$tmp/err" ]
	ok $? "$c --help says nothing on stderr"
	"$spinifel" help "$c" | cmp -s - "$tmp/out"
	ok $? "help $c is $c --help"
	missing=
	for o in $(sed -n "/^  $c)/,/;;\$/s/ *words='\(.*\)';;/\1/p" "$tmp/completion"); do
		grep -qE -- "--(\[no-\])?${o#--}( |\$)" "$tmp/out" ||
			grep -qE -- "--\[no-\]${o#--no-}( |\$)" "$tmp/out" || missing="$missing $o"
	done
	[ -z "$missing" ]
	ok $? "help of $c has every option$missing"
	grep -q '^usage: spinifel '"$c" "$tmp/out" && grep -q '^Exit status:' "$tmp/out" &&
		[ "$(awk '{print length}' "$tmp/out" | sort -n | tail -1)" -le 79 ]
	ok $? "help of $c has usage and exit codes and fits 80 columns"
	expect 2 "$c: unknown option '--hepl'; the nearest is '--help'" "$c" --hepl
done

if command -v mandoc > /dev/null; then
	for page in spinifel spinifel.toml $commands; do
		# The other pages may not be installed here.
		"$spinifel" --man "$page" | mandoc -Tlint 2>&1 | grep -v 'referenced manual not found' > "$tmp/err"
		[ ! -s "$tmp/err" ]
		ok $? "mandoc has nothing against $page"
	done
	printf '.Dd x\n.Sh NAME\n' | mandoc -Tlint > "$tmp/err" 2>&1
	[ -s "$tmp/err" ]
	ok $? "mandoc can complain"
else
	echo "# no mandoc here: man pages are not checked"
fi

completions() { # completions WORDS...: what bash would offer for the last word
	bash -c '. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); compopt() { :; }; _spinifel
		echo "${COMPREPLY[@]}"' - "$tmp/completion" "$@"
}
[ "$(completions spinifel vers)" = version ]
ok $? "bash completes commands"
completions spinifel settings --set algorithm.rl | grep -q 'algorithm.rlambda='
ok $? "bash completes settings"
completions spinifel version -- | grep -q -- --json
ok $? "bash completes options"

expect 2 'no command given'
expect 2 "unknown subcommand 'verison'; the nearest is 'version'" verison
expect 2 "unknown subcommand 'verison'; the nearest is 'version'" help verison
expect 2 "unknown subcommand 'frobnicate'" frobnicate
! grep -q nearest "$tmp/err"
ok $? "nothing is near 'frobnicate'"
expect 2 "unknown setting 'algorithm.foo'; 'spinifel settings' lists all" settings --set algorithm.foo=1
expect 2 "8 is outside 10..1000000 eV; is it in keV? then multiply by 1000" simulate x.pdb -o x.h5 --energy 8
expect 2 "'--json' stands in the place of a command" --json
expect 2 "is one operand too many" version 3
expect 0 '' --version
expect 0 '' version
grep -q '^spinifel [0-9]*\.[0-9]*\.[0-9]* (' "$tmp/out" && grep -q hdf5 "$tmp/out"
ok $? "version names itself and libraries"
expect 0 '' version --json
"${PYTHON:-/usr/bin/python3}" -c '
import json, sys
v = json.load(sys.stdin)
assert {"name", "version", "revision", "compiler", "libraries"} <= set(v), v' < "$tmp/out" 2> "$tmp/err"
ok $? "version --json is JSON"

expect 0 '' settings
cp "$tmp/out" "$tmp/a.toml"
expect 0 '' settings --settings "$tmp/a.toml"
cmp -s "$tmp/out" "$tmp/a.toml"
ok $? "settings survive a round trip"
"${PYTHON:-/usr/bin/python3}" -c '
import sys
try:
    import tomllib
except ImportError:
    sys.exit(0)
assert tomllib.load(open(sys.argv[1], "rb"))["algorithm"]["rlambda"] == 0.01' "$tmp/a.toml" 2> "$tmp/err"
ok $? "Python reads them as TOML"
expect 0 '' settings --settings "$tmp/a.toml" --set algorithm.rlambda=0.25
grep -q '^rlambda = 0.25 ' "$tmp/out"
ok $? "--set changes one"
expect 2 "--set: unknown setting 'algorithm.rlamda'; the nearest is 'algorithm.rlambda'" \
	settings --set algorithm.rlamda=1
expect 1 "$tmp/none.toml: cannot open" settings --settings "$tmp/none.toml"
printf '[algorithm]\n\nrlambda = 2e9\n' > "$tmp/b.toml"
expect 2 "$tmp/b.toml:3: algorithm.rlambda is 2e9; need 0..1000" settings --settings "$tmp/b.toml"
head -c 2000 /dev/urandom > "$tmp/c.toml"
expect 2 "$tmp/c.toml:" settings --settings "$tmp/c.toml"
expect 2 "no point group" settings --set algorithm.symmetry=Q7
expect 2 "phasing recipe" phase none.mrc -o x.mrc --recipe XX
expect 2 "phasing recipe" phase none.mrc -o x.mrc --set phasing.recipe=XX

if [ -w /dev/full ]; then
	"$spinifel" settings > /dev/full 2> "$tmp/err"
	[ $? = 1 ] && grep -q '^spinifel: standard output: No space left' "$tmp/err"
	ok $? "a full disk behind stdout is an error"
fi
"$spinifel" settings >&- 2> "$tmp/err"
[ $? = 1 ] && grep -q '^spinifel: standard output: ' "$tmp/err"
ok $? "a closed stdout is an error"
{ "$spinifel" settings 2> "$tmp/err"; echo $? > "$tmp/code"; } | :
sleep 0.2
# The reader may be gone before or after: then 1, with a message; all written before: 0.
case $(cat "$tmp/code") in
0) ok 0 "a closed pipe came too late" ;;
1) grep -q 'standard output: Broken pipe' "$tmp/err"; ok $? "a closed pipe is an error" ;;
*) ok 1 "a closed pipe is an error" ;;
esac

echo "1..$count"
exit $failed
