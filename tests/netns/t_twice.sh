#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# side-by-side
# A second start, and a third, on the run directory of a running service: each is refused in one
# line and leaves socket, lock, safety net, programs and traffic alone. One with another run directory
# lives beside it, says whose the ports are, and leaves nothing when it stops or is killed. After a stop
# the next one starts over the same lock file.
. "$(dirname "$0")/lib.sh"
xe_only

again() { # NAME: refused, in one line that names the pid of who runs
	local rc=0

	on h timeout 10 "$BUILD/xegressd" -c "$T/xegress.yaml" --run-dir "$T/run" \
		>"$T/again.log" 2>&1 || rc=$?
	same "$1: exit code" $rc 1
	same "$1: one line" "$(wc -l <"$T/again.log")" 1
	same "$1: names who runs" \
		"$(grep -c "another xegressd (pid ${PIDS[xegressd.1]})" "$T/again.log")" 1
}

state() { # of all that belongs to the running one
	on h nft -s list ruleset
	stat -c '%n %i' "$T/run/lock" "$T/run/ctl.sock"
	cat "$T/run/lock"
	on h ip -d link show | grep -o 'prog/xdp id [0-9]*'
}

topo_up
judge_start
serve_many w $SRV1 9000
xe_start
bg flows c1 "$TCP_MANY" client -c 6 -t 60 -g 10 -u 20000 -d 20000 -i 6 $SRV1 9000
state >"$T/state.txt"
for n in second third; do
	again "$n start"
	same "$n start: nothing has changed" "$(state | diff "$T/state.txt" -)" ""
	check "$n start: the control socket answers" xe_ctl status
done
# Another run directory, the same ports.
beside() { "$BUILD/xegressctl" --run-dir "$T/other" "$@"; }
mkdir "$T/other"
for end in TERM KILL; do
	bg beside h "$BUILD/xegressd" -c "$T/xegress.yaml" --run-dir "$T/other"
	check "another run directory ($end): it says that the ports are another's" within 5000 \
		eval '[ "$(beside status 2>&1 | grep -c "port .*: failed: .*another process.* has one there")" = 3 ]'
	bg_stop beside $end
	[ $end = TERM ] || on h "$BUILD/xegressd" --clean --run-dir "$T/other" >"$T/clean.log" 2>&1 ||
		fail "--clean of the other run directory" "$(tail -n 1 "$T/clean.log")"
	same "another run directory ($end): nothing is left of it, or has changed" \
		"$(state | diff "$T/state.txt" -)" ""
	same "another run directory ($end): only its lock" "$(ls -A "$T/other" | tr '\n' ' ')" "lock "
done
carried_begin
check "new flows" on c2 "$TCP_MANY" client -c 5 -u 20000 -d 20000 $SRV1 9000
carried_end "new flows"
check "flows lived through it, every byte" bg_stop flows

xe_conserve
xe_stop
xe_left_as_found
xe_start
check "a start over the old lock: flows" on c1 "$TCP_MANY" client -c 5 -u 20000 -d 20000 $SRV1 9000
same "the lock names the new one" "$(cat "$T/run/lock")" "${PIDS[xegressd.2]}"
finish
