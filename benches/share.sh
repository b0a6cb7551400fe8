#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Of the matching of whole runs, what share is not scores: softmax, the search for beta, turning
# images and adding them to averages, candidates.  By sampling: needs perf (Debian: linux-perf).
#   benches/share.sh [IMAGES ...]      files of images; without: 3,000 of 1I3Q, made here
# Every sample is counted by the first line below that names a function on its stack.
# Slicing, spreading, solving, phasing and refinement are not matching.  Environment: OUT
# (directory; the program is built there once more, with frame pointers).
here=$(cd "$(dirname "$0")/.." && pwd)
out=${OUT:-$here/bench-out}
mkdir -p "$out" || exit 1
if [ ! -d "$out/build-share" ]; then
	meson setup "$out/build-share" "$here" \
		-Dc_args="-fno-omit-frame-pointer -mno-omit-leaf-frame-pointer" > /dev/null || exit 1
fi
ninja -C "$out/build-share" --quiet spinifel || exit 1
spinifel=$out/build-share/spinifel
if [ $# -eq 0 ]; then
	$spinifel simulate "$here/data/structures/1I3Q.pdb.gz" -o "$out/share.h5" --images 3000 \
		--detector 128x128 --resolution 12 --energy 1600 --photons 10000 --seed 1 --quiet \
		> /dev/null || exit 1
	set -- "$out/share.h5"
fi

for images; do
	rm -rf "$out/share-run"
	perf record -o "$out/share.perf" -e cpu-clock -F 499 --call-graph fp "$spinifel" \
		reconstruct "$images" -o "$out/share-run" --force --seed 7 --quiet > "$out/share.log" 2>&1 ||
		{ cat "$out/share.log" >&2; exit 1; }
	echo "$images"
	perf script -i "$out/share.perf" -F comm,ip,sym 2> /dev/null | awk '
	# stack: innermost function first, each with a ";" before it and one behind the last
	function part(stack)
	{
		if (stack ~ /;(weights_|spi_posterior_make|spi_posterior_soft)/)
			return "softmax"
		if (stack ~ /;spi_posterior_beta/)
			return "search for beta"
		if (stack ~ /;spi_views_merge;/)
			return stack ~ spreading ? "" : "averages of pairs"
		if (stack ~ /;(average_block|spi_average_)/)
			return "averages of all"
		if (stack ~ /;spi_task_index/)
			return "sorting of pairs"
		if (stack ~ /;spi_best_directions/)
			return "candidates"
		if (stack ~ /;spi_score_all/) # and the first images of a generation that keeps pairs
			return "scores for beta"
		if (stack ~ /;spi_task_match/)
			return stack ~ scoring ? "scores" : "others"
		return ""
	}
	BEGIN {
		spreading = ";(spi_nufft_|spi_ring_(synth|points)|spreader_|put_direction|"
		spreading = spreading "__memmove|exc_page|cblas_|sgemv)"
		scoring = ";(spi_score_|block_input|spi_band_pack|spi_data_|unpack)"
	}
	/^$/ {
		total++
		of[part(stack ";")]++
		stack = ""
	}
	/^[ \t]/ { stack = stack ";" $2 }
	END {
		for (p in of)
			if (p != "") {
				printf "  %-18s %5.2f %% of the run\n", p, 100 * of[p] / total
				if (p == "scores") scores += of[p]; else if (p != "scores for beta") rest += of[p]
			}
		beta = of["scores for beta"]
		all = scores + rest + beta
		printf "  matching %.2f %%; of it not scores: %.3f (scores for beta among it: %.3f)\n",
			100 * all / total, rest / all, (rest + beta) / all
	}'
done
