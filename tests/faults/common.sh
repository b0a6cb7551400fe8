# SPDX-License-Identifier: GPL-3.0-or-later
# What the fault tests share beside tests/app/tap.sh: a small set of images, a small run.
# SPINIFEL: the program, without: that of build/; SPI_TEST_DATA: data/.
root=$(cd "$(dirname "$0")/../.." && pwd)
SPINIFEL=${SPINIFEL:-$root/build/spinifel}
data=${SPI_TEST_DATA:-$root/data}
. "$root/tests/app/tap.sh"
mounted=
clean() {
	[ -n "$mounted" ] && umount "$mounted" 2> /dev/null
	chmod -R u+w "$dir" 2> /dev/null
	rm -rf "$dir"
}
trap 'exit 1' INT TERM HUP
mkdir tmp && export TMPDIR="$dir/tmp"
# A failure is exit code 1 and one line on standard error (in the file $1).
one_line() { [ "$(wc -l < "$1")" = 1 ] && grep -q '^spinifel: ' "$1"; }
# Nothing temporary is left in a folder or among the temporary files.
nothing_left() {
	[ -z "$(find "$1" -name '*.spinifel-tmp' -o -name rings.bin)" ] && [ -z "$(ls -A "$TMPDIR")" ]
}
# What a run came to: its map, whether or not the verdict lets it stand.
map_of() {
	for f in "$1/density.mrc" "$1/failed_validation/density.mrc"; do
		[ -s "$f" ] && sha256sum < "$f" && return
	done
}
small_images() {
	"$SPINIFEL" simulate "$data/structures/1aki.pdb" -o images.h5 --images 100 --detector 24x24 \
		--resolution 14 --energy 3000 --photons 30000 --beam-stop 1 --seed 1 --quiet > sim.out 2>&1
}
# reconstruct the small set: all stages in seconds, whatever the verdict is
# (launch=exec small ... &: $! is the program's own process)
launch=
small() {
	$launch "$SPINIFEL" reconstruct images.h5 --seed 3 --diameter 50 --quiet --set algorithm.N_inits=1 \
		--set algorithm.N_inits_max=1 --set algorithm.N_generations_init=6 \
		--set algorithm.N_images_init=40 --set algorithm.N_refine=0 --set algorithm.N_lambda=3 \
		--set phasing.N_phase_starts=1 --set phasing.N_phase_rounds=1 \
		--set 'phasing.recipe=2*(20 RAAR, 5 ER, 1 SW), 10 ER' \
		--set converge.halves_cc=0 --set converge.halves_cc_stop=0 "$@"
}
ended() { [ "$1" = 0 ] || [ "$1" = 3 ]; } # a run that came to its end
