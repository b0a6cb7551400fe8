#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# The JSON lines of bench_nufft as a table: millions of points a second, ratios above 1 are ours.
#   make bench-nufft | benches/table.sh
awk '
function get(key,    v) {
	if (!match($0, "\"" key "\": *[^,}]*")) return "-"
	v = substr($0, RSTART, RLENGTH)
	sub("^[^:]*: *", "", v)
	gsub("\"", "", v)
	return v
}
function millions(v) { return v == "-" ? v : sprintf("%.2f", v / 1e6) }
BEGIN {
	form = "%-7s %4s %6s %3s %6s %3s %5s %9s %9s %5s %7s %7s %6s %4s  %9s %9s %4s %6s  %s\n"
	printf form, "op", "M", "tol", "thr", "images", "w", "fine", "Mpts/s", "error", "fft", \
		"ns/pt", "bound", "share", "cpu", "Mpts/s", "error", "cpu", "ratio", "rival"
}
/"op": "machine"/ {
	gsub("[{}\"]", "")
	print "# one core: " $0
	next
}
/^{/ {
	printf form, get("op"), get("M"), get("tol"), get("threads"), get("images"), get("width"), \
		get("fine"), millions(get("points_per_s")), get("error"), get("fft_share"), \
		get("ns_per_point"), get("bound_ns_per_point"), get("share_of_bound"), get("cpu_share"), \
		millions(get("rival_points_per_s")), get("rival_error"), \
		get("rival_cpu_share"), get("ratio"), get("rival")
	fflush()
}'
