#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# A disk that is full at N sizes (default 10): one line, exit code 1, and --resume ends with the
# same map when there is room again.  Whoever may mount gets a small file system; others get a
# limit on the size of a file, which fails in the same places.
#     tests/faults/disk.sh [N]
. "$(dirname "$0")/common.sh"
sizes=${1:-10}
small_images
ok $? "simulate"
small -o whole > whole.out 2>&1
ended $? && [ -n "$(map_of whole)" ]
ok $? "a run on a disk with room"
whole=$(map_of whole)
kilobytes=$(du -sk whole | cut -f 1)

mkdir disk
mount -t tmpfs -o size=64k spinifel-faults disk 2> mount.err && mounted=$dir/disk
[ -n "$mounted" ] || echo "# no file system can be mounted: limits on the size of a file instead"

# limited: blocks of 1 kB, then small's arguments
limited() {
	blocks=$1
	shift
	if [ -n "$mounted" ]; then
		mount -o "remount,size=${blocks}k" disk
		small "$@"
	else
		(
			ulimit -f $((blocks * 2)) # of 512 bytes in sh
			small "$@"
		)
	fi
}
largest=$(find whole -type f -exec du -k {} + | sort -n | tail -n 1 | cut -f 1)
[ -n "$mounted" ] && top=$kilobytes || top=$largest
i=0
while [ $i -lt "$sizes" ]; do
	room=$((top * i / sizes + 4))
	i=$((i + 1))
	rm -rf disk/run
	limited $room -o disk/run > full.out 2>&1
	status=$?
	[ $status = 1 ] && one_line full.out
	ok $? "room for $room of $top kB: $(tail -n 1 full.out | cut -c 1-120)"
	[ ! -e disk/run/density.mrc ] && nothing_left disk
	ok $? "room for $room kB: no density, nothing temporary is left"
	if [ -n "$mounted" ]; then
		mount -o remount,size=64m disk
	fi
	small -o disk/run --resume > resumed.out 2>&1
	ended $? && [ "$(map_of disk/run)" = "$whole" ]
	ok $? "room for $room kB, then more: --resume ends with the same map"
done

# no room where temporary files go: another place is taken
if [ -n "$mounted" ]; then
	rm -rf disk/run
	mount -o remount,size=16k disk
	head -c 20000 /dev/zero > disk/filler 2> /dev/null
	mkdir disk/tmp
	TMPDIR=$dir/disk/tmp small -o run > run.out 2>&1
	ended $? && [ "$(map_of run)" = "$whole" ] && [ -z "$(ls -A disk/tmp)" ]
	ok $? "no room in TMPDIR: another place is taken"
else
	skip "no room in TMPDIR" "needs a file system of its own"
fi
finish
