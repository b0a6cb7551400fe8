#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# No result takes the place of what it was made from: every command refuses (exit code 2), and
# the input keeps its bytes.  Directories, devices, pipes and links are no results either.
. "$(dirname "$0")/tap.sh"
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
refused 2 "$input" "match onto its background" match a.h5 --model b.mrc -o w.h5 --background w.h5
refused 2 "$input" "match onto the file of its background" match a.h5 --model b.mrc -o w.h5 \
	--background w.h5:/misses
refused 2 "$input" "match onto its mask" match a.h5 --model b.mrc -o w.h5 --mask w.h5
refused 2 "$input" "slice onto its geometry" slice b.mrc --orientations e.h5 --geometry a.h5 -o a.h5
refused 2 "$input" "phase onto its autocorrelation" phase b.mrc -o hardlink.mrc
refused 2 "$input" "phase: PRTF onto it" phase b.mrc -o p.mrc --prtf b.mrc
refused 2 "$input" "simulate onto its structure" simulate c.pdb -o c.pdb
refused 2 "$input" "simulate onto its mask" simulate c.pdb -o w.h5 --mask w.h5:/mask
refused 2 "$input w.h5; give" "simulate onto its background" simulate c.pdb -o w.h5 --background w.h5:0.3
refused 2 "$input w.h5:/light; give" "simulate onto the file of its background" simulate c.pdb -o ./w.h5 \
	--background w.h5:/light:0.3
refused 2 "$input b.mrc; give" "simulate onto its junk" simulate c.pdb -o b.mrc --junk blank:0.1 --junk b.mrc:0.2
refused 2 "$input" "simulate onto a hard link of its junk" simulate c.pdb -o hardlink.mrc --junk b.mrc:0.2
refused 2 "$input" "the temporary name is that of junk" simulate c.pdb -o result.mrc \
	--junk .result.mrc.spinifel-tmp:0.2
refused 2 "$input" "compare: table onto the map" compare b.mrc --truth c.pdb --fsc b.mrc
refused 2 "$input" "compare: picture onto the truth" compare b.mrc --truth c.pdb --plot c.pdb
refused 2 "$input" "compare: aligned map onto the map" compare b.mrc --truth c.pdb --aligned hardlink.mrc
refused 2 "$input" "plot onto its table" plot d.csv -o d.csv
refused 2 "is the file of" "two outputs in one file" merge a.h5 --orientations truth -o m.mrc \
	--intensity ./m.mrc
mkdir run && cp a.h5 run/orientations.h5
refused 2 "$input" "reconstruct: the images have the name of a result" reconstruct run/orientations.h5 -o run
for o in "--background run/mask.h5" "--background run/mask.h5:/misses" "--mask run/mask.h5" \
	"--mask run/mask.h5:/mask"; do
	cp w.h5 run/mask.h5
	refused 2 "$input" "reconstruct: $o has the name of a result" reconstruct a.h5 -o run $o
done
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
refused 1 "directory no/such does not exist" "a folder that is not there" simulate c.pdb -o no/such/x.h5
refused 1 "need at most 255" "a name that is too long" phase b.mrc -o "$(printf '%0256d' 0)"
refused 1 "directory no/such does not exist" "a run in a folder that is not there, before all else" \
	reconstruct c.pdb -o no/such/run

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

echo mine > images.h5.tmp
rm -f .images.h5.spinifel-tmp
make && [ "$(cat images.h5.tmp)" = mine ]
ok $? "a file of the user whose name ends in .tmp stays"

# what an input leads to: sources of virtual datasets, targets of links, raw files
$SPINIFEL simulate "$pdb" -o set.h5 --images 20 --detector 16x16 --resolution 20 --photons 1000 \
	--quiet > out 2>&1
"$python" - << 'END'
import h5py, shutil
with h5py.File("set.h5") as f:
    photons, quat = f["photons"][...], f["truth/orientations"][...]
n = len(photons)
def change(name, make):
    shutil.copy("set.h5", name)
    with h5py.File(name, "a") as f:
        del f["photons"]
        make(f)
def virtual(f):
    v = h5py.VirtualLayout((n,) + photons.shape[1:], photons.dtype)
    for i in range(n):
        with h5py.File(f"vp{i}.h5", "w") as g:
            g["photons"] = photons[i:i + 1]
        v[i:i + 1] = h5py.VirtualSource(f"vp{i}.h5", "photons", (1,) + photons.shape[1:])
    f.create_virtual_dataset("photons", v)
def linked(name):
    def make(f):
        f["photons"] = h5py.ExternalLink(name, "photons")
    return make
def raw(f):
    photons.tofile("pixels.raw")
    c = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    c.set_external(b"pixels.raw", 0, photons.nbytes)
    h5py.h5d.create(f.id, b"photons", h5py.h5t.py_create(photons.dtype),
                    h5py.h5s.create_simple(photons.shape), c)
change("virtual.h5", virtual)
with h5py.File("target.h5", "w") as g:
    g["photons"] = photons
    g["orientations"] = quat.reshape(n, 4)
    g["mask"] = photons[0] * 0
with h5py.File("middle.h5", "w") as g:
    linked("target.h5")(g)
change("linked.h5", linked("target.h5"))
change("chain.h5", linked("middle.h5"))
change("raw.h5", raw)
with h5py.File("part.h5", "w") as g:
    g["p"] = h5py.ExternalLink("target.h5", "photons")
def far(f):
    v = h5py.VirtualLayout(photons.shape, photons.dtype)
    v[:] = h5py.VirtualSource("part.h5", "p", photons.shape)
    f.create_virtual_dataset("photons", v)
change("far.h5", far)
with h5py.File("rotated.h5", "w") as g:
    g["orientations"] = h5py.ExternalLink("target.h5", "orientations")
with h5py.File("hide.h5", "w") as g:
    g["mask"] = h5py.ExternalLink("target.h5", "mask")
END
ok $? "images in several files"
to="an input takes values from this file"
merge="--orientations truth --diameter 50 --quiet"
for f in virtual.h5 linked.h5 chain.h5 far.h5 "raw.h5 --follow-external"; do
	$SPINIFEL merge $f $merge -o merged.mrc > out 2>&1
	ok $? "merge $f: $(head -n 1 out | cut -c 1-100)"
done
refused 2 "$to" "merge onto a source of a virtual dataset" merge virtual.h5 $merge -o vp1.h5
refused 2 "$to" "merge: the L-curve onto one" merge virtual.h5 $merge -o x.mrc --lcurve-csv vp0.h5
refused 2 "$to" "merge onto the target of a link" merge linked.h5 $merge -o ./target.h5
refused 2 "$to" "merge onto the target of a link to a link" merge chain.h5 $merge -o target.h5
refused 2 "$to" "merge onto the link between" merge chain.h5 $merge -o middle.h5
refused 2 "$to" "merge onto the target of a link in a source" merge far.h5 $merge -o target.h5
refused 2 "$to" "merge onto raw pixels" merge raw.h5 --follow-external $merge -o pixels.raw
refused 2 "$to" "merge onto what its orientations lead to" merge set.h5 --diameter 50 \
	--orientations rotated.h5 -o target.h5
refused 2 "$to" "match onto what its background leads to" match set.h5 --model merged.mrc -o target.h5 \
	--background linked.h5
refused 2 "$to" "simulate onto what its background leads to" simulate "$pdb" -o target.h5 --detector 16x16 \
	--resolution 20 --photons 1000 --background hide.h5:/mask:0.3
refused 2 "$to" "merge onto what its mask leads to" merge set.h5 $merge --mask hide.h5 -o target.h5
refused 2 "$to" "match onto a source of a virtual dataset" match virtual.h5 --model merged.mrc -o vp2.h5
refused 2 "$to" "slice onto the target of a link" slice merged.mrc --geometry linked.h5 \
	--orientations truth -o target.h5
refused 2 "$to" "slice onto a source of a virtual dataset" slice merged.mrc --geometry virtual.h5 \
	--orientations truth -o vp0.h5
mkdir linkrun && cp target.h5 linkrun/rings.bin
ln -sf linkrun/rings.bin target.link && mv target.h5 target.kept && mv target.link target.h5
refused 2 "$to" "reconstruct: a link leads to the name of a result" reconstruct linked.h5 -o linkrun \
	--diameter 50
[ "$(ls -A linkrun)" = rings.bin ]
ok $? "the directory holds what it held"

# names that a run moves or removes in folders of its directory
for f in previous/state.bin previous/density.mrc previous/settings.toml failed_validation/half1.mrc \
	previous/failed_validation/density.mrc; do
	mkdir -p "kept/${f%/*}" && cp set.h5 "kept/$f"
	refused 2 "$input" "reconstruct: the images are $f" reconstruct "kept/$f" -o kept --force \
		--diameter 50
	rm -r kept
done

# previous/ alone is a run, and a refused run changes no picture
for f in density.mrc fsc.csv run.json failed_validation/density.mrc; do
	mkdir -p "earlier/previous/$(dirname $f)" && echo result > earlier/previous/$f
	refused 2 "not made by this program" "reconstruct: previous/$f is there, by hand" reconstruct \
		set.h5 -o earlier --diameter 50 --force
	: > earlier/previous/.spinifel
	refused 2 "--force begins anew" "reconstruct: only previous/$f is there" reconstruct set.h5 \
		-o earlier --diameter 50
	refused 2 "no state.bin to resume" "reconstruct --resume: only previous/$f is there" \
		reconstruct set.h5 -o earlier --diameter 50 --resume
	rm -r earlier
done
$SPINIFEL simulate "$pdb" -o seventy.h5 --images 70 --detector 48x48 --resolution 10 --photons 1000 \
	--seed 1 --quiet > out 2>&1
mkdir finished && echo map > finished/density.mrc && echo picture > finished/mean_image.png
refused 1 "images" "reconstruct --force of too few images for a diameter" reconstruct seventy.h5 \
	-o finished --force
$SPINIFEL reconstruct seventy.h5 -o fresh > out 2>&1
[ $? = 1 ] && [ -s fresh/mean_image.png ]
ok $? "into a new directory, the mean image of a refused run is written"

# a file of the user's own, where no run is, is not written over
mkdir own
for f in settings.toml run.json metrics.jsonl radial.png mean_image.png .lock; do
	echo "my own $f" > own/$f
	for option in --no-force --force; do
		refused 2 "own/$f was not made by this program" "reconstruct $option: $f of the user" \
			reconstruct seventy.h5 -o own --diameter 50 $option
		[ "$(cat own/$f)" = "my own $f" ]
		ok $? "$f keeps its contents"
	done
	rm own/$f
done
# but what this program made is: a run that was killed before its first state
cp fresh/mean_image.png own/
printf '{\n "program": "spinifel",\n' > own/run.json
printf '# spinifel 0\n' > own/settings.toml
printf '{"gener' > own/metrics.jsonl # the disk was full
printf '123\n' > own/.lock
$SPINIFEL reconstruct seventy.h5 -o own --diameter 50 --set algorithm.N_generations=1 --quiet > out 2>&1
[ $? = 3 ] && [ -s own/state.bin ]
ok $? "what an earlier run left is written over: $(head -n 1 out)"
# c2 and C02 are one group
for g in c2 C02; do
	$SPINIFEL reconstruct seventy.h5 -o "group '2'" --diameter 50 --symmetry $g --resume --quiet \
		--set algorithm.N_generations=1 > out 2>&1
	[ $? = 3 ]
	ok $? "--symmetry $g: $(head -n 1 out)"
done
$SPINIFEL reconstruct seventy.h5 -o "group '2'" --diameter 50 --symmetry C2 --resume > out 2>&1 &
pid=$!
i=0
while [ $i -lt 6000 ] && [ "$(wc -l < "group '2'/metrics.jsonl")" -lt 2 ]; do
	sleep 0.1
	i=$((i + 1))
done
kill -INT $pid
wait $pid
grep -qF "seventy.h5 -o 'group '\\''2'\\''' --resume" out
ok $? "the words that say how to go on can be copied: $(grep 'to go on' out)"
# a refused run leaves no new directory
for o in --diameter=9000 --set=particle.q_max_invA=0.03 --set=particle.q_min_invA=0.095; do
	$SPINIFEL reconstruct seventy.h5 -o never --diameter 50 "$o" --quiet > out 2>&1
	[ $? = 2 ] && [ ! -e never ]
	ok $? "$o: exit code 2, and no directory: $(head -n 1 out)"
done

finish
