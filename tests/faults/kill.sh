#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# kill -9 at N moments of a run (default 20), start-up included: --resume ends with the same map.
#     tests/faults/kill.sh [N]
. "$(dirname "$0")/common.sh"
moments=${1:-20}
small_images
ok $? "simulate"
t0=$(date +%s%N)
small -o whole > whole.out 2>&1
status=$?
t1=$(date +%s%N)
ended $status && [ -n "$(map_of whole)" ]
ok $? "a run that nothing disturbs"
whole=$(map_of whole)

i=0
while [ $i -lt "$moments" ]; do
	i=$((i + 1))
	# the first quarter within 0.4 s, where libraries, locks and the task engine start
	delay=$(awk -v i=$i -v n="$moments" -v t=$((t1 - t0)) 'BEGIN {
		q = int((n + 3) / 4); t /= 1e9
		printf "%.3f", i <= q ? 0.4 * i / (q + 1) : t * (i - q) / (n - q + 1) }')
	rm -rf run
	launch=exec
	small -o run > killed.out 2>&1 &
	launch=
	pid=$!
	sleep "$delay"
	kill -9 $pid 2> /dev/null
	wait $pid 2> /dev/null
	status=$?
	done_=$(cat run/metrics.jsonl 2> /dev/null | wc -l)
	[ $status = 137 ] || ended $status
	ok $? "killed after $delay s, $done_ generations (status $status)"
	rm -rf tmp/* # kill -9 while StarPU starts leaves its folder there
	if [ $status = 137 ]; then
		small -o run --resume > resumed.out 2>&1
		status=$?
	fi
	ended $status && [ "$(map_of run)" = "$whole" ]
	ok $? "after $delay s: --resume ends with the same map"
	nothing_left run && cmp -s run/settings.toml whole/settings.toml &&
		[ "$(wc -l < run/metrics.jsonl)" = "$(wc -l < whole/metrics.jsonl)" ]
	ok $? "after $delay s: nothing temporary is left, each generation has its line"
done
finish
