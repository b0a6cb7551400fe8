#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Long paths, folders that cannot be written, files of others, planted links, and signals: one
# line and exit code 1, or a run as ever.
. "$(dirname "$0")/common.sh"
small_images
ok $? "simulate"
small -o whole > whole.out 2>&1
ended $?
ok $? "a run that nothing disturbs"
whole=$(map_of whole)
same() { # status, directory, words
	ended "$1" && [ "$(map_of "$2")" = "$whole" ] && nothing_left "$2"
	ok $? "$3: the same map, nothing temporary is left"
}
refused() { # status, output, text, words
	[ "$1" = 1 ] && one_line "$2" && grep -q -- "$3" "$2"
	ok $? "$4: $(head -n 1 "$2" | cut -c 1-160)"
}

# paths of more than 231 and 1,000 characters
part=$(printf 'a%.0s' 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30)
long=long/$part$part$part$part/$part$part$part$part
mkdir -p "$long"
small -o "$long/run" > out 2>&1
same $? "$long/run" "a path of ${#long} characters"
longer=$long/$part$part$part$part/$part$part$part$part/$part$part$part$part/$part$part$part$part
longer=$longer/$part$part$part$part/$part$part$part$part
mkdir -p "$longer"
small -o "$longer/run" > out 2>&1
same $? "$longer/run" "a path of ${#longer} characters"
name=$(printf '%0300d' 0)
small -o "$name" > out 2>&1
refused $? out "too long" "a name of 300 characters"

# where temporary files go, and what else the environment says: StarPU has files of its own
starpu=starpu
"$SPINIFEL" version | grep -q starpu || starpu=threads # this program was built without it
TMPDIR=$dir/$longer small -o run --set runtime.backend=$starpu > out 2>&1
same $? run "a long TMPDIR"
rm -rf run
TMPDIR=$dir/absent STARPU_HOME=/proc/none STARPU_PERF_MODEL_DIR=/proc/none HOME=/proc/none \
	small -o run --set runtime.backend=$starpu > out 2>&1
same $? run "no TMPDIR, no HOME, a STARPU_HOME that cannot be"
rm -rf run

# what an earlier version or another user left
mkdir -p run/.starpu && chmod 000 run/.starpu
small -o run --set runtime.backend=$starpu > out 2>&1
same $? run "a .starpu that cannot be read"
chmod 700 run/.starpu
rm -rf run

# links that are planted are not followed
echo victim > victim
mkdir run && ln -s "$dir/victim" run/.lock
small -o run > out 2>&1
refused $? out "lock" "a link in place of the lock"
rm run/.lock && ln victim run/.lock
small -o run > out 2>&1
[ $? = 2 ] && grep -q "run/.lock was not made by this program" out && [ "$(cat victim)" = victim ]
ok $? "a hard link in place of the lock: $(tail -n 1 out)"
rm run/.lock && mkfifo run/.lock
small -o run > out 2>&1
refused $? out "lock" "a pipe in place of the lock"
rm run/.lock
for f in state.bin settings.toml run.json metrics.jsonl mean_image.png radial.png; do
	ln -s "$dir/victim" run/.$f.spinifel-tmp
done
small -o run > out 2>&1
same $? run "links in place of temporary files"
[ "$(cat victim)" = victim ]
ok $? "what the links led to is as it was"
rm -rf run

# folders that cannot be written: as another user when this is root
as_other=
if [ "$(id -u)" = 0 ]; then
	if setpriv --reuid 65534 --regid 65534 --clear-groups true 2> /dev/null &&
		chmod 755 "$dir" && setpriv --reuid 65534 --regid 65534 --clear-groups test -r images.h5; then
		as_other="setpriv --reuid 65534 --regid 65534 --clear-groups"
	fi
fi
if [ "$(id -u)" = 0 ] && [ -z "$as_other" ]; then
	skip "folders that cannot be written" "root may write everywhere"
else
	chmod 777 tmp
	mkdir readonly && chmod 555 readonly
	real=$SPINIFEL
	SPINIFEL=$dir/other
	printf '#!/bin/sh\nexec %s %s "$@"\n' "$as_other" "$real" > other && chmod 755 other
	small -o readonly > out 2>&1
	refused $? out "cannot write in this directory" "a directory that cannot be written"
	small -o readonly/run > out 2>&1
	refused $? out "cannot make this directory" "a parent that cannot be written"
	t0=$(date +%s)
	"$SPINIFEL" simulate "$data/structures/1aki.pdb" -o readonly/x.h5 --images 1000000 > out 2>&1
	status=$?
	[ $(($(date +%s) - t0)) -lt 20 ] # a million images take many minutes
	ok $? "simulate: before any work"
	refused $status out "Permission denied" "simulate into a directory that cannot be written"
	mkdir common && chmod 777 common && cp -r whole common/run && chmod 777 common/run
	chmod 644 common/run/.lock
	[ ! -d common/run/failed_validation ] || chmod 777 common/run/failed_validation
	small -o common/run --resume > out 2>&1
	status=$?
	ended $status && [ "$(map_of common/run)" = "$whole" ]
	ok $? "a run of another user in a common directory: --resume finishes it"
	SPINIFEL=$real
	chmod 755 readonly
fi

# signals: a state to go on from, nothing temporary, the same map in the end
for signal in HUP TERM INT; do
	rm -rf run
	# a job in the background of sh ignores SIGINT: python gives it back
	real=$SPINIFEL
	printf '#!/bin/sh\nexec /usr/bin/python3 -c "import os, signal, sys\n' > default
	printf 'for s in signal.SIGINT, signal.SIGHUP: signal.signal(s, signal.SIG_DFL)\n' >> default
	printf 'os.execv(sys.argv[1], sys.argv[1:])" %s "$@"\n' "$real" >> default
	chmod 755 default
	SPINIFEL=$dir/default
	small -o run > out 2>&1 &
	i=0
	while [ $i -lt 6000 ] && [ "$(cat run/metrics.jsonl 2> /dev/null | wc -l)" -lt 2 ]; do
		sleep 0.1
		i=$((i + 1))
	done
	pid=$(tr -d '\n' < run/.lock)
	kill -$signal "$pid"
	wait $!
	status=$?
	SPINIFEL=$real
	[ $status = 1 ] && [ -s run/state.bin ] && nothing_left run && one_line out
	ok $? "SIG$signal: exit code $status, a state, nothing temporary: $(head -n 1 out)"
	small -o run --resume > out 2>&1
	same $? run "SIG$signal, then --resume"
done

# nohup: a terminal that closes is nothing
rm -rf run
small_nohup() {
	trap '' HUP
	small -o run > out 2>&1
}
(small_nohup) &
sub=$!
i=0
while [ $i -lt 6000 ] && [ ! -s run/.lock ]; do
	sleep 0.1
	i=$((i + 1))
done
kill -HUP "$(tr -d '\n' < run/.lock)"
wait $sub
same $? run "SIGHUP where it is ignored (nohup)"
finish
