#!/bin/sh
# No result takes the place of what it was made from: every command refuses (exit code 2), and
# the input keeps its bytes.  Directories, devices, pipes and links are no results either.
dir=$(mktemp -d "${SPI_TEST_TMP:-/tmp}/outputs.XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
n=0 failed=0
ok() { # status, words
	n=$((n + 1))
	if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; failed=1; fi
}
sums() { find . -type f ! -name out ! -name sums.\* ! -name .lock -exec sha256sum {} + | sort; }
# refused: code, text, words, arguments...: nothing changes, nothing is left behind
refused() {
	code=$1 text=$2 words=$3
	shift 3
	sums > sums.before
	$SPINIFEL "$@" > out 2>&1
	[ $? = "$code" ] && grep -q -- "$text" out
	ok $? "$words: $(head -n 1 out | cut -c 1-160)"
	sums > sums.after
	cmp sums.before sums.after > out 2>&1
	ok $? "$words: every file is as it was"
}

for f in a.h5 b.mrc c.pdb d.csv e.h5 s.toml w.h5; do
	echo "contents of $f" > $f
done
ln -s a.h5 symlink.h5
ln a.h5 hardlink.h5
ln b.mrc hardlink.mrc
mkdir folder && cp a.h5 folder/
echo "stale name of an input" > .result.mrc.spinifel-tmp
input="it is the input"

refused 2 "$input" "merge onto its images" merge a.h5 --orientations truth -o a.h5
refused 2 "$input" "merge onto its images by another path" merge a.h5 --orientations truth -o folder/../a.h5
refused 2 "$input" "merge onto its images by a link" merge a.h5 --orientations truth -o symlink.h5
refused 2 "$input" "merge from a link onto the images" merge symlink.h5 --orientations truth -o a.h5
refused 2 "$input" "merge onto a hard link of its images" merge a.h5 --orientations truth -o hardlink.h5
refused 2 "$input" "merge onto its orientations" merge a.h5 --orientations e.h5 -o e.h5
refused 2 "$input" "merge: L-curve onto the weights" merge a.h5 --orientations truth -o m.mrc \
	--weights w.h5:/weights --lcurve-csv w.h5
refused 2 "$input" "merge onto its prior" merge a.h5 --orientations truth -o m.mrc --prior b.mrc \
	--intensity hardlink.mrc
refused 2 "$input" "merge onto its settings" merge a.h5 --orientations truth -o s.toml --settings s.toml
refused 2 "$input" "an input has the temporary name" phase .result.mrc.spinifel-tmp -o result.mrc
refused 2 "$input" "match onto its images" match a.h5 --model b.mrc -o a.h5
refused 2 "$input" "match onto its model" match a.h5 --model b.mrc -o b.mrc
refused 2 "$input" "slice onto its geometry" slice b.mrc --orientations e.h5 --geometry a.h5 -o a.h5
refused 2 "$input" "phase onto its autocorrelation" phase b.mrc -o hardlink.mrc
refused 2 "$input" "phase: PRTF onto it" phase b.mrc -o p.mrc --prtf b.mrc
refused 2 "$input" "simulate onto its structure" simulate c.pdb -o c.pdb
refused 2 "$input" "simulate onto its mask" simulate c.pdb -o w.h5 --mask w.h5:/mask
refused 2 "$input" "compare: table onto the map" compare b.mrc --truth c.pdb --fsc b.mrc
refused 2 "$input" "compare: picture onto the truth" compare b.mrc --truth c.pdb --plot c.pdb
refused 2 "$input" "compare: aligned map onto the map" compare b.mrc --truth c.pdb --aligned hardlink.mrc
refused 2 "$input" "plot onto its table" plot d.csv -o d.csv
refused 2 "is the file of" "two outputs in one file" merge a.h5 --orientations truth -o m.mrc \
	--intensity ./m.mrc
mkdir run && cp a.h5 run/orientations.h5
refused 2 "$input" "reconstruct: the images have the name of a result" reconstruct run/orientations.h5 -o run
mkdir byhand && printf '# written by hand\n[runtime]\nseed = 3\n' > byhand/settings.toml
refused 2 "another name" "reconstruct: settings that the run would write over" \
	reconstruct a.h5 -o byhand --settings byhand/settings.toml

refused 2 "a directory" "simulate onto a directory" simulate c.pdb -o folder
refused 2 "a directory" "phase onto a directory" phase b.mrc -o folder
refused 2 "device or a pipe" "merge onto a device" merge a.h5 --orientations truth -o /dev/null
[ -c /dev/null ]
ok $? "the device is still one"
mkfifo pipe
refused 2 "device or a pipe" "phase onto a pipe" phase b.mrc -o pipe
[ -p pipe ]
ok $? "the pipe is still one"
echo other > other.mrc && ln -s other.mrc link.mrc
refused 2 "a link" "phase onto a link" phase b.mrc -o link.mrc
[ -h link.mrc ]
ok $? "the link is still one"
refused 1 "No such file" "a folder that is not there" simulate c.pdb -o no/such/x.h5
refused 1 "cannot create" "a name that is too long" phase b.mrc \
	-o "$(printf '%0253d' 0)"

# what is no input may be replaced, also where a killed run or a planted link has left the
# temporary name
pdb=$SPI_TEST_DATA/structures/1aki.pdb
echo victim > victim
make() { $SPINIFEL simulate "$pdb" -o images.h5 --images 3 --detector 16x16 --resolution 20 --quiet \
	> out 2>&1; }
make && make
ok $? "a result is written, and written again"
ln -s victim .images.h5.spinifel-tmp
make && [ "$(cat victim)" = victim ] && [ ! -e .images.h5.spinifel-tmp ]
ok $? "a link that was planted as .images.h5.spinifel-tmp is not followed"
ln victim .images.h5.spinifel-tmp
make && [ "$(cat victim)" = victim ] && [ ! -e .images.h5.spinifel-tmp ]
ok $? "nor is a hard link written through"
echo "left by a killed run" > .images.h5.spinifel-tmp
make && [ ! -e .images.h5.spinifel-tmp ]
ok $? "what a killed run left is replaced"
(
	flock 9
	make
	echo $? > code
) 9> .images.h5.spinifel-tmp
[ "$(cat code)" = 1 ] && grep -q "another process is writing it" out && [ -e .images.h5.spinifel-tmp ]
ok $? "but not what another process is writing: $(head -n 1 out | cut -c 1-160)"
rm -f .images.h5.spinifel-tmp
mkfifo .images.h5.spinifel-tmp
make
[ $? = 1 ] && [ -p .images.h5.spinifel-tmp ]
ok $? "nor a pipe of that name: $(head -n 1 out | cut -c 1-160)"

echo "1..$n"
exit $failed
