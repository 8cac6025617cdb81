#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# In make check-long: 70 s of load, most of it waiting for silence to end.
#
# A takeover that fails leaves the old process the service, with nothing lost: the new one dies at
# each stage, is killed at any moment, falls silent; the old one answers late.
. "$(dirname "$0")/lib.sh"
XE_STALLS=1 # of our making
. "$(dirname "$0")/takeover.sh"
xe_only
STALL=$(tool stall) || die "the tool \`stall\` does not build"

programs() { # ids of the programs in the ports' links
	on h ip -d link show | grep -o 'xdp[a-z]*/id:[0-9]*' | sort | uniq -c | tr -s ' \n' ' '
}

# Started, and killed so many ms later.
kill_new_after() { # MS
	local pid

	nsenter --net="/run/netns/$ID-h" "$BUILD/xegressd" -c "$T/xegress.yaml" --run-dir "$T/run" \
		--takeover >"$T/killed.log" 2>&1 &
	pid=$!
	sleep "$(printf '0.%03d' "$1")"
	kill -KILL $pid 2>/dev/null
	{ wait $pid; } 2>/dev/null
}

# The killed one may have been the service already: then this is a crash, and not of interest here.
killed_too_late() { grep -q "took the service over" "$T/killed.log"; }

# The old one stands still when it is asked, for longer than the new one waits.
old_is_late() {
	local old=${PIDS[xegressd.$XE_RUN]} rc=0 pid

	kill -STOP "$old"
	nsenter --net="/run/netns/$ID-h" "$BUILD/xegressd" -c "$T/xegress.yaml" --run-dir "$T/run" \
		--takeover >"$T/late.log" 2>&1 &
	pid=$!
	sleep $1
	kill -CONT "$old"
	{ wait $pid; } 2>/dev/null || rc=$?
	echo "exit code $rc"
}

all_running() { [ "$(xe_ctl status --json | json "$(cat)" "{w['state'] for w in j['workers']}")" = "{'running'}" ]; }

topo_up
judge_start
load_servers
xe_start
before=$(programs)

load_begin $((12 * XE_SLOW))
sleep 0.3
check "what nobody asked for is refused" "$PY" "$HERE/taker.py" "$T/run" garbage
for stage in hello begin port copy freeze links; do
	check "the new process dies after $stage" "$PY" "$HERE/taker.py" "$T/run" $stage
	within 2000 xe_ctl status
	same "every port has its program again ($stage)" "$(programs)" "$before"
done
load_end 5000 # a foreign program in the links is the kernel's way until they are put back
check "the log says how each of them ended" \
	test "$(grep -c 'it has gone: this service goes on' "$T/xegressd.1.log")" -ge 6

# What the end of a stall asks for changes ports and flows: whoever is being told of them comes again.
bg taker h env BUILD="$BUILD" "$PY" "$HERE/taker.py" "$T/run" stall
within 5000 grep -q "is told of flows" "$T/taker.log"
bg held h "$STALL" "${PIDS[xegressd.$XE_RUN]}" xe-worker/0 2000
check "a worker stands still meanwhile: the new process is sent away" bg_wait taker
sed 's/^/# /' "$T/taker.log"
bg_wait held
check "and the worker goes on" within 2000 grep -q "worker 0: goes on" "$T/xegressd.1.log"
check "in the fast path" within 2000 all_running

# And one that has been stopped just now is not waited for, whatever it is that is asked.
check "a worker that has just been stopped: the new process is sent away at once" \
	env BUILD="$BUILD" STALL="$STALL" "$PY" "$HERE/taker.py" "$T/run" held
check "and the worker goes on" within 3000 all_running

# Half a second of silence is nothing; five end it. Meanwhile the kernel has the packets, which
# drops what is in the middle of a connection: nothing is lost but time.
bg streams c1 "$TCP_MANY" client -c 10 -t $((25 * XE_SLOW)) -g 50 -i 60 $SRV1 7001
for stage in freeze links; do
	check "the new process falls silent after $stage" \
		"$PY" "$HERE/taker.py" "$T/run" $stage-silent
	within 2000 xe_ctl status
	same "every port has its program again ($stage, silent)" "$(programs)" "$before"
done
same "the old process was late: the new one gives up" "$(old_is_late 7)" "exit code 1"
check "and says so" grep -q "it does not answer" "$T/late.log"
check "the old process goes on" within 3000 xe_ctl status
bg_wait streams
same "no stream failed" "$(json "$T/streams.log" "'%d failed %d reset %d corrupt' % (j['failed'],
	j['reset'], j['corrupt'])")" "0 failed 0 reset 0 corrupt"

# Anywhere, with the real program.
load_begin $((10 * XE_SLOW))
killed=0
for ms in 20 60 100 140 170 200 220 240 260 280 300 330 360 400; do
	kill_new_after $ms
	if killed_too_late; then
		echo "# after $ms ms it is the service"
		break
	fi
	killed=$((killed + 1))
	running "xegressd.$XE_RUN" || break
done
if killed_too_late; then
	bg_stop streams
	bg_stop udp
	bg_stop connects
	bg_stop "xegressd.1" KILL # it may wait for the word of a dead one
	XE_RUN=$((XE_RUN + 1))
	bg "xegressd.$XE_RUN" h "$BUILD/xegressd" -c "$T/xegress.yaml" --run-dir "$T/run"
	within 5000 xe_ctl status
	check "killed when it was the service: a new one starts" xe_ctl status
else
	check "killed at $killed moments: the old process goes on" xe_ctl status
	load_end 200
fi
finish
