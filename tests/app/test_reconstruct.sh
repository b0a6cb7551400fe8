#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# End to end: simulate lysozyme, reconstruct from random orientations, compare with the truth;
# resume after a kill gives the same map; unfinished phases are told; noise does not converge;
# wrong input says so.
# Resolution is kept low (8 A of a 49 A particle) so that a run takes seconds.
. "$(dirname "$0")/tap.sh"

pdb=$SPI_TEST_DATA/structures/1aki.pdb
fast="--diameter 50 --set algorithm.N_inits=1 --set algorithm.N_images_init=120
--set phasing.N_phase_starts=2"

$SPINIFEL simulate "$pdb" -o images.h5 --images 500 --detector 40x40 --resolution 8 \
	--energy 4000 --photons 3000 --beam-stop 2 --seed 1 --quiet > sim.out 2>&1
ok $? "simulate"
$SPINIFEL reconstruct images.h5 -o run1 --seed 3 $fast --json --quiet > run1.json 2> run1.err
ok $? "reconstruct converges (exit code 0)"
# the table of the program's files is the list: all are there, with something in them, and no other
"$SPI_TEST_DATA/../tools/run_files.sh" "$SPI_TEST_DATA/.." | grep -v ' private$' | cut -d ' ' -f 1 | sort > files.want
find run1 -mindepth 1 -size +0 ! -name .lock | sed 's,^run1/,,' | sort > files.are
[ -s files.want ] && diff files.want files.are > files.diff
ok $? "the files of the run are those of the table$(sed -n 's/^[<>]/&/p' files.diff | tr '\n' ' ')"
$SPINIFEL compare run1/density.mrc --truth "$pdb" --orientations run1/orientations.h5 \
	--true images.h5 --json --quiet > compare.json 2> compare.err
ok $? "compare"
median=$(key compare.json orientation_error_deg_median)
# The Shannon angle at 8 A of 49 A is 8 / 98 rad = 4.7 degrees: below it, all that is resolved
# is right.  A wrong start gives 30 degrees and more.
below "$median" 4.7
ok $? "median orientation error $median is below one Shannon angle, 4.7 degrees"
fsc=$(key compare.json fsc05_A)
below "$fsc" 11
ok $? "FSC 0.5 against the truth at $fsc A, needed 11 (edge of the detector: 8)"

# the same seed, other workers and the serial engine: the same bits
$SPINIFEL reconstruct images.h5 -o run2 --seed 3 $fast --workers 1 --quiet > run2.out 2>&1
ok $? "one worker"
cmp run1/density.mrc run2/density.mrc > cmp.out 2>&1
ok $? "one worker gives the same density, bit for bit"
$SPINIFEL reconstruct images.h5 -o run4 --seed 4 $fast --workers 1 --quiet > run4.out 2>&1
cmp run1/density.mrc run4/density.mrc > cmp.out 2>&1
[ $? = 1 ]
ok $? "another seed gives another density"

# a directory that holds a run is left alone; what is refused changes nothing
sums() { find "$1" -type f ! -name .lock -exec sha256sum {} + | sort; }
sums run1 > sums.before
left_alone() { # code, text, words, arguments...
	code=$1 text=$2 words=$3
	shift 3
	$SPINIFEL reconstruct images.h5 -o run1 $fast --quiet "$@" > alone.out 2>&1
	[ $? = "$code" ] && grep -q -- "$text" alone.out
	ok $? "$words: $(head -n 1 alone.out | cut -c 1-200)"
	sums run1 > sums.after
	cmp sums.before sums.after > cmp.out 2>&1
	ok $? "$words: nothing in the directory has changed"
}
left_alone 2 "--force begins anew" "into the directory of a finished run" --seed 3
left_alone 2 "give one of them" "--resume and --force" --seed 3 --resume --force
left_alone 2 "runtime.seed is 3 there and 4 here;" "resume with another seed" --seed 4 --resume
left_alone 2 "seed: diameter_A is 50 there and 51 here," "resume with another diameter" --seed 3 --resume \
	--diameter 51
left_alone 2 "seed: algorithm.N_cg is 40 there and 41 here;" "resume with other settings" --seed 3 --resume \
	--set algorithm.N_cg=41
left_alone 2 "recipe" "a recipe that is none, before the images are read" --seed 3 --resume \
	--set "phasing.recipe=3 XX"
left_alone 2 "lambda_min" "an L-curve that is none" --seed 3 --resume --set algorithm.lambda_min=1

# states that are not of this program or cannot be
cases=$SPI_TEST_DATA/../tests/cases
mkdir foreign && cp "$cases/state_candidate_huge.bin" foreign/state.bin
refuse_state() { # text, words
	$SPINIFEL reconstruct images.h5 -o foreign --seed 3 $fast --resume --quiet > foreign.out 2>&1
	[ $? = 1 ] && grep -q -- "$1" foreign.out && grep -q -- "--force" foreign.out &&
		[ "$(wc -l < foreign.out)" = 1 ] && [ ! -e foreign/run.json ]
	ok $? "$2: $(head -n 1 foreign.out | cut -c 1-200)"
}
refuse_state "was written by another version of spinifel" "a state of an earlier version"
"$python" - run1/state.bin foreign/state.bin << 'END'
import struct, sys, zlib
state = open(sys.argv[1], 'rb').read()[:-8]
n, = struct.unpack_from('<Q', state, 16)
other = b'spinifel 0.0.1 (0000000)'
state = state[:16] + struct.pack('<Q', len(other)) + other + state[24 + n:]
open(sys.argv[2], 'wb').write(state + struct.pack('<Q', zlib.crc32(state)))
END
refuse_state "was written by spinifel 0.0.1" "a state of another version"
head -c 20000 run1/state.bin > foreign/state.bin
refuse_state "damaged" "a state that was cut off"

# kill -9 in the middle, then go on
$SPINIFEL reconstruct images.h5 -o run3 --seed 3 $fast --quiet > run3.out 2>&1 &
pid=$!
i=0
while [ $i -lt 6000 ] && kill -0 $pid 2> /dev/null && [ "$(cat run3/metrics.jsonl 2> /dev/null | wc -l)" -lt 12 ]; do
	sleep 0.1
	i=$((i + 1))
done
kill -9 $pid 2> /dev/null
wait $pid 2> /dev/null
[ -s run3/state.bin ] && [ ! -e run3/density.mrc ]
ok $? "killed after generation $(wc -l < run3/metrics.jsonl)"
$SPINIFEL reconstruct images.h5 -o run3 --seed 5 $fast --resume --quiet > other.out 2>&1
[ $? = 2 ]
ok $? "a state of another seed is refused"
says other.out "belongs to a run of other images" "it says why"
$SPINIFEL reconstruct images.h5 -o run3 --seed 3 $fast --resume --quiet > run3.out 2>&1
ok $? "resumed"
cmp run1/density.mrc run3/density.mrc > cmp.out 2>&1
ok $? "the resumed run gives the same density, bit for bit"
[ "$(wc -l < run1/metrics.jsonl)" = "$(wc -l < run3/metrics.jsonl)" ]
ok $? "each generation has one line in metrics.jsonl"

# Ctrl-C: a state that can be resumed, and words that say how
$SPINIFEL reconstruct images.h5 -o run5 --seed 3 $fast > run5.out 2>&1 &
pid=$!
i=0
while [ $i -lt 6000 ] && kill -0 $pid 2> /dev/null && [ "$(cat run5/metrics.jsonl 2> /dev/null | wc -l)" -lt 3 ]; do
	sleep 0.1
	i=$((i + 1))
done
kill -TERM $pid
wait $pid
[ $? = 1 ] && [ -s run5/state.bin ]
ok $? "stopped on request with exit code 1 and a state"
grep -q -- "--resume" run5.out
ok $? "it says how to go on"

# phases that are unfinished: no density is presented; phased again as usual: the same map
cp -r run1 unphased
cp -r run1 again
$SPINIFEL reconstruct images.h5 -o unphased --seed 3 $fast --resume --json --quiet \
	--set "phasing.recipe=20 RAAR, 10 ER" > unphased.json 2> unphased.err
[ $? = 3 ]
ok $? "unfinished phases: exit code 3"
says unphased.err "phases are wrong or unfinished" "unfinished phases"
[ -s unphased/failed_validation/density.mrc ] && [ ! -e unphased/density.mrc ]
ok $? "unfinished phases: the map is kept apart"
for f in density.mrc orientations.h5 fsc.csv settings.toml run.json; do
	cmp run1/$f unphased/previous/$f || break
done > cmp.out 2>&1
ok $? "unfinished phases: the result that stood is in previous/"
bad=$(key unphased.json phase_consistency) good=$(key run1.json phase_consistency)
below "$bad" 0.8 && below 0.8 "$good" # converge.phase_consistency_min
ok $? "agreement of the phases: $bad, $good when they are finished, needed 0.8"
[ "$(key unphased/run.json phase_rounds)" = 3 ] && [ "$(key run1/run.json phase_rounds)" = 1 ]
ok $? "unfinished phases: all rounds of starts, finished ones: one"
# the folder by its former name, unconfirmed/: it is seen, and removed as failed_validation/ is
mv unphased/failed_validation unphased/unconfirmed
$SPINIFEL reconstruct images.h5 -o unphased --seed 3 $fast --quiet > former.out 2>&1
[ $? = 2 ] && grep -q "unphased holds unconfirmed of an earlier run" former.out
ok $? "a run of the former name: $(head -n 1 former.out | cut -c 1-150)"
$SPINIFEL reconstruct images.h5 -o unphased --seed 3 $fast --resume --quiet > unphased.out 2>&1
ok $? "phased again as usual"
[ ! -e unphased/unconfirmed ]
ok $? "nothing of the former name is left"
cmp run1/density.mrc unphased/density.mrc > cmp.out 2>&1 && [ ! -e unphased/failed_validation ] &&
	[ ! -e unphased/previous ]
ok $? "phased again as usual: the same density, bit for bit, and nothing failed its validation"

# --force: what was there stays until new results stand, and the run may be stopped
$SPINIFEL reconstruct images.h5 -o again --seed 5 $fast --force --quiet \
	--set algorithm.N_generations=2 > again.out 2>&1
[ $? = 3 ] && [ ! -e again/density.mrc ] && cmp run1/density.mrc again/previous/density.mrc &&
	cmp run1/state.bin again/previous/state.bin && cmp run1/run.json again/previous/run.json
ok $? "--force, without a new result: the old one is in previous/"
$SPINIFEL reconstruct images.h5 -o again --seed 3 $fast --force --quiet > again.out 2>&1
ok $? "--force once more"
cmp run1/density.mrc again/density.mrc > cmp.out 2>&1 && [ ! -e again/previous ]
ok $? "--force: the new result stands, the old one is gone"

# a directory that somebody else made is left alone, whatever its name
for name in previous failed_validation; do
	cp -r run1 hand && mkdir hand/$name && cp run1/density.mrc hand/$name/ && sums hand > sums.before
	for how in --resume --force; do
		$SPINIFEL reconstruct images.h5 -o hand --seed 3 $fast $how --quiet > hand.out 2>&1
		[ $? = 2 ] && grep -q "hand/$name was not made by this program" hand.out &&
			sums hand > sums.after && cmp sums.before sums.after > cmp.out 2>&1
		ok $? "$name made by hand, $how: $(head -n 1 hand.out | cut -c 1-150)"
	done
	rm -r hand
done

# kill -9 after --force, before the first state: the only result is in previous/ and stays
cp -r run1 killed
$SPINIFEL reconstruct images.h5 -o killed --seed 5 $fast --force --quiet > killed.out 2>&1 &
pid=$!
i=0
while [ $i -lt 6000 ] && kill -0 $pid 2> /dev/null && [ ! -e killed/previous/run.json ]; do
	sleep 0.1
	i=$((i + 1))
done
kill -9 $pid 2> /dev/null
wait $pid 2> /dev/null
rm -f killed/state.bin # should there be one already
$SPINIFEL reconstruct images.h5 -o killed --seed 5 $fast --quiet > killed.out 2>&1
[ $? = 2 ] && grep -q -- "--force begins anew" killed.out && cmp run1/density.mrc killed/previous/density.mrc
ok $? "killed after --force: a run into it is refused: $(head -n 1 killed.out | cut -c 1-150)"
mv killed/previous/run.json killed/previous/settings.toml killed/ # killed while they moved
$SPINIFEL reconstruct images.h5 -o killed --seed 5 $fast --force --quiet \
	--set algorithm.N_generations=2 > killed.out 2>&1
[ $? = 3 ] && cmp run1/density.mrc killed/previous/density.mrc &&
	cmp run1/run.json killed/previous/run.json && cmp run1/settings.toml killed/previous/settings.toml
ok $? "killed while the run moved: --force moves the rest"

# engines, and many more workers than cores; a trace of the tasks
short="--seed 3 $fast --set algorithm.N_generations=2 --set algorithm.N_generations_init=2 --force --quiet"
state() { # arguments...: the state of a short run, which ends with exit code 3
	rm -rf engine
	$SPINIFEL reconstruct images.h5 -o engine $short "$@" > engine.out 2>&1
	[ $? = 3 ] && sha256sum < engine/state.bin
}
serial=$(state --set runtime.backend=serial)
ok $? "two generations, one task after another"
for engine in "threads --workers 1" "threads --workers 3" "threads --workers 64" copies "starpu --workers 2"; do
	sum=$(state --set runtime.backend=$engine)
	if grep -q "built without the StarPU library" engine.out; then
		ok 0 "# SKIP $(head -n 1 engine.out)"
		continue
	fi
	[ -n "$sum" ] && [ "$sum" = "$serial" ]
	ok $? "$engine: the same state, bit for bit"
done
[ "$sum" != "$(state --seed 4)" ]
ok $? "another seed gives another state"
state --workers 2 --trace trace.jsonl > trace.sum
grep -q '"name": "match"' trace.jsonl && [ "$(cat trace.sum)" = "$serial" ]
ok $? "--trace changes no bit"
"$python" "$1" trace.jsonl > cores.out 2>&1
ok $? "benches/cores.py reads it: $(sed -n 2p cores.out)"
if [ -n "$SPI_ENGINE" ]; then
	skip "1,000 workers in 3 GB of address space" "one engine for all"
elif ldd "$spinifel" | grep -q 'lib[at]san'; then # their shadow memory alone takes terabytes of addresses
	ok 0 "1,000 workers in 3 GB of address space # SKIP a sanitizer"
else
	(ulimit -v 3000000; short=${short% --quiet}; state --workers 1000 > many.sum
	[ "$(cat many.sum)" = "$serial" ] && grep -q "workers are used, not 1000" engine.out)
	ok $? "1,000 workers in 3 GB of address space: the same state: $(grep -m 1 'not 1000' engine.out)"
fi

# nothing but noise: no map
$SPINIFEL simulate "$pdb" -o noise.h5 --images 400 --detector 40x40 --resolution 8 \
	--energy 4000 --photons 3000 --beam-stop 2 --seed 1 --pure-noise --quiet > sim.out 2>&1
$SPINIFEL reconstruct noise.h5 -o noise --seed 3 $fast --set algorithm.N_inits_max=1 \
	--set algorithm.N_generations_init=15 > noise.out 2>&1
[ $? = 3 ]
ok $? "pure noise: exit code 3"
says noise.out "no particle" "pure noise"
[ ! -e noise/density.mrc ]
ok $? "pure noise: no density is presented"

# into the directory of an earlier run: its map does not stay behind
mkdir stale && cp run1/density.mrc stale/
$SPINIFEL reconstruct noise.h5 -o stale --force --seed 3 $fast --set algorithm.N_inits_max=1 \
	--set algorithm.N_generations_init=2 > stale.out 2>&1
[ $? = 3 ] && [ ! -e stale/density.mrc ] && cmp run1/density.mrc stale/previous/density.mrc
ok $? "pure noise where a map lay: it is in previous/"

# images from one side: it says what is wrong and presents no density
$SPINIFEL simulate "$pdb" -o side.h5 --images 400 --detector 40x40 --resolution 8 \
	--energy 4000 --photons 10000 --beam-stop 2 --seed 1 --views 5 --quiet > sim.out 2>&1
ok $? "simulate images from one side"
$SPINIFEL reconstruct side.h5 -o side --seed 3 $fast --set algorithm.N_inits_max=1 \
	--set algorithm.N_generations_init=10 --set converge.halves_cc=0 > side.out 2>&1
[ $? = 3 ]
ok $? "images from one side: exit code 3"
says side.out "cover too few directions" "images from one side"
[ -s side/failed_validation/density.mrc ] && [ ! -e side/density.mrc ]
ok $? "images from one side: the map is kept apart"

# a particle with a fourfold axis: 40 pseudo atoms of a quarter, rotated about z
awk 'BEGIN { s = 12345
	for (i = 0; i < 40; i++) {
		do { for (k = 0; k < 3; k++) { s = s * 16807 % 2147483647; u[k] = s / 2147483647 }
			x = 22 * u[0]; y = 22 * u[1]; z = 30 * u[2] - 12
		} while (x * x + y * y > 484)
		for (k = 0; k < 4; k++) {
			printf "HETATM%5d  C   DUM A%4d    %8.3f%8.3f%8.3f  1.00 20.00           C\n", \
				++n, n, x, y, z
			t = x; x = -y; y = t
		}
	}
	print "END" }' > c4.pdb
$SPINIFEL simulate c4.pdb -o c4.h5 --images 400 --detector 32x32 --resolution 9 --energy 4000 \
	--photons 20000 --beam-stop 2 --seed 1 --quiet > sim.out 2>&1
ok $? "simulate a particle with a fourfold axis"
fourfold="--diameter 55 --set algorithm.N_images_init=100 --set algorithm.N_generations_init=18
--set phasing.N_phase_starts=2"
symmetry() { sed -n 's/.*"symmetry": *"\([^"]*\)".*/\1/p' "$1"; }
for group in auto C4; do
	$SPINIFEL reconstruct c4.h5 -o c4-$group --seed 3 $fourfold --symmetry $group --json \
		> c4.json 2> c4.err
	ok $? "symmetry $group: converges"
	[ "$(symmetry c4.json)" = C4 ] && [ "$(symmetry c4-$group/run.json)" = C4 ]
	ok $? "symmetry $group: the result has $(symmetry c4.json)"
	$SPINIFEL compare c4-$group/density.mrc --truth c4.pdb --symmetry C4 \
		--orientations c4-$group/orientations.h5 --true c4.h5 --json --quiet \
		> compare.json 2> compare.err
	median=$(key compare.json orientation_error_deg_median)
	below "$median" 4.7 # one Shannon angle, 9 / 110 rad
	ok $? "symmetry $group: median orientation error $median modulo C4, needed 4.7 degrees"
done
[ "$(symmetry run1/run.json)" = C1 ]
ok $? "lysozyme has no symmetry: $(symmetry run1/run.json)"

# wrong input: exit code 1 (2 for the command line) and one line that says what
bad() { # code, text, words, arguments...
	code=$1 text=$2 words=$3
	shift 3
	$SPINIFEL reconstruct "$@" --quiet > bad.out 2>&1
	[ $? = "$code" ]
	ok $? "$words: exit code $code"
	says bad.out "$text" "$words"
}
bad 1 "missing.h5" "missing file" missing.h5 -o bad $fast
head -c 3000 images.h5 > short.h5
bad 1 "short.h5" "truncated file" short.h5 -o bad $fast
bad 1 "cannot" "directory that cannot be made" images.h5 -o no/such/place $fast
echo plain > plain
bad 1 "plain" "a file where the directory should be" images.h5 -o plain $fast
bad 2 "nearest" "unknown setting" images.h5 -o bad $fast --set algorithm.N_startz=2
bad 2 "no point group" "a group that is none" images.h5 -o bad $fast --symmetry Q7
bad 2 "need 0..1" "value out of range" images.h5 -o bad $fast --set phasing.beta=3
printf '[algorithm]\nN_cgg = 3\n' > bad.toml
bad 2 "bad.toml:2" "unknown key in a settings file" images.h5 -o bad $fast --settings bad.toml
bad 2 "the detector reaches" "q_max beyond the detector" images.h5 -o bad $fast --set particle.q_max_invA=3
bad 2 "leaves nothing to use" "an empty range of q" images.h5 -o bad $fast --set particle.q_min_invA=0.2
$SPINIFEL simulate "$pdb" -o few.h5 --images 20 --detector 40x40 --resolution 8 --energy 4000 \
	--photons 3000 --quiet > sim.out 2>&1
bad 1 "20 images" "too few images" few.h5 -o bad $fast
$SPINIFEL simulate "$pdb" -o zero.h5 --images 100 --detector 40x40 --resolution 8 --energy 4000 \
	--photons 0.00001 --quiet > sim.out 2>&1
bad 1 "all zero" "images that are all zero" zero.h5 -o bad $fast
bad 1 "give\|--diameter" "a diameter that cannot be estimated" zero.h5 -o bad
$SPINIFEL simulate "$pdb" -o hidden.h5 --images 70 --detector 40x40 --resolution 8 --energy 4000 \
	--photons 3000 --beam-stop-q 0.11 --quiet > sim.out 2>&1
bad 1 "leaves nothing\|rings" "a mask that hides all that is used" hidden.h5 -o bad $fast
(
	flock 9
	$SPINIFEL reconstruct images.h5 -o run1 --seed 3 $fast --resume --quiet > lock.out 2>&1
	echo $? > lock.code
) 9> run1/.lock
[ "$(cat lock.code)" = 1 ]
ok $? "two writers on one directory: exit code 1"
says lock.out "another" "two writers"

finish
