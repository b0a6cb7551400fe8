#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# The program as a user meets it: help, exit codes, messages, output that cannot be written.
. "$(dirname "$0")/tap.sh"

# expect CODE PATTERN ARGUMENTS...: exit code, and a line of stderr that holds the text;
# results never mix with failures: stdout is empty unless the code is 0.
expect() {
	code=$1 says=$2
	shift 2
	"$spinifel" "$@" > out 2> err
	got=$?
	[ $got = "$code" ] && { [ -z "$says" ] || grep -qF -- "$says" err; } &&
		{ [ "$code" = 0 ] || [ ! -s out ]; }
	ok $? "exit $got: spinifel $*"
}

commands=$("$spinifel" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
: > err
[ "$(echo $commands | wc -w)" -ge 3 ]
ok $? "commands: $(echo $commands)"

"$spinifel" --completion bash > completion
: > err
if bash -n completion 2> err; then ok 0 "completion is bash"; else ok 1 "completion is bash"; fi
for c in $commands; do
	expect 0 '' "$c" --help
	[ ! -s err ]
	ok $? "$c --help says nothing on stderr"
	"$spinifel" help "$c" | cmp -s - out
	ok $? "help $c is $c --help"
	missing=
	for o in $(sed -n "/^  $c)/,/;;\$/s/ *words='\(.*\)';;/\1/p" completion); do
		grep -qE -- "--(\[no-\])?${o#--}( |\$)" out ||
			grep -qE -- "--\[no-\]${o#--no-}( |\$)" out || missing="$missing $o"
	done
	[ -z "$missing" ]
	ok $? "help of $c has every option$missing"
	grep -q '^usage: spinifel '"$c" out && grep -q '^Exit status:' out &&
		[ "$(awk '{print length}' out | sort -n | tail -1)" -le 79 ]
	ok $? "help of $c has usage and exit codes and fits 80 columns"
	expect 2 "$c: unknown option '--hepl'; the nearest is '--help'" "$c" --hepl
done

if command -v mandoc > /dev/null; then
	for page in spinifel spinifel.toml $commands; do
		# The other pages may not be installed here.
		"$spinifel" --man "$page" | mandoc -Tlint 2>&1 | grep -v 'referenced manual not found' > err
		[ ! -s err ]
		ok $? "mandoc has nothing against $page"
	done
	printf '.Dd x\n.Sh NAME\n' | mandoc -Tlint > err 2>&1
	[ -s err ]
	ok $? "mandoc can complain"
else
	echo "# no mandoc here: man pages are not checked"
fi

completions() { # completions WORDS...: what bash would offer for the last word
	bash -c '. ./completion; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); compopt() { :; }; _spinifel
		echo "${COMPREPLY[@]}"' - "$@"
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
! grep -q nearest err
ok $? "nothing is near 'frobnicate'"
expect 2 "unknown setting 'algorithm.foo'; 'spinifel settings' lists all" settings --set algorithm.foo=1
expect 2 "8 is outside 10..1000000 eV; is it in keV? then multiply by 1000" simulate x.pdb -o x.h5 --energy 8
expect 2 "'--json' stands in the place of a command" --json
expect 2 "is one operand too many" version 3
expect 0 '' --version
expect 0 '' version
grep -q '^spinifel [0-9]*\.[0-9]*\.[0-9]* (' out && grep -q hdf5 out
ok $? "version names itself and libraries"
expect 0 '' version --json
"$python" -c '
import json, sys
v = json.load(sys.stdin)
assert {"name", "version", "revision", "compiler", "libraries"} <= set(v), v' < out 2> err
ok $? "version --json is JSON"

expect 0 '' settings
cp out a.toml
expect 0 '' settings --settings a.toml
cmp -s out a.toml
ok $? "settings survive a round trip"
"$python" -c '
import sys
try:
    import tomllib
except ImportError:
    sys.exit(0)
assert tomllib.load(open(sys.argv[1], "rb"))["algorithm"]["rlambda"] == 0.01' a.toml 2> err
ok $? "Python reads them as TOML"
expect 0 '' settings --settings a.toml --set algorithm.rlambda=0.25
grep -q '^rlambda = 0.25 ' out
ok $? "--set changes one"
expect 2 "--set: unknown setting 'algorithm.rlamda'; the nearest is 'algorithm.rlambda'" \
	settings --set algorithm.rlamda=1
expect 1 "none.toml: cannot open" settings --settings none.toml
printf '[algorithm]\n\nrlambda = 2e9\n' > b.toml
expect 2 "b.toml:3: algorithm.rlambda is 2e9; need 0..1000" settings --settings b.toml
head -c 2000 /dev/urandom > c.toml
expect 2 "c.toml:" settings --settings c.toml
expect 2 "no point group" settings --set algorithm.symmetry=Q7
expect 2 "phasing recipe" phase none.mrc -o x.mrc --recipe XX
expect 2 "phasing recipe" phase none.mrc -o x.mrc --set phasing.recipe=XX

if [ -w /dev/full ]; then
	"$spinifel" settings > /dev/full 2> err
	[ $? = 1 ] && grep -q '^spinifel: standard output: No space left' err
	ok $? "a full disk behind stdout is an error"
fi
"$spinifel" settings >&- 2> err
[ $? = 1 ] && grep -q '^spinifel: standard output: ' err
ok $? "a closed stdout is an error"
{ "$spinifel" settings 2> err; echo $? > code; } | :
sleep 0.2
# The reader may be gone before or after: then 1, with a message; all written before: 0.
case $(cat code) in
0) ok 0 "a closed pipe came too late" ;;
1) grep -q 'standard output: Broken pipe' err; ok $? "a closed pipe is an error" ;;
*) ok 1 "a closed pipe is an error" ;;
esac

finish
