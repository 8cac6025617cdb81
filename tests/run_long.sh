#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# run_long.sh - what takes longer than `make check` may: ThreadSanitizer over the threaded parts, the
# fuzzers, the whole matrix of the conformance suite, all faults, and other kernels under QEMU. One line each, then `N passed, N failed`.
#
#	LONG_FUZZ_SECONDS         per target (default 600; .ci/run, which has a time budget, takes 20)
#	LONG_CONFORMANCE_SECONDS  no cell of the matrix begins after so long, and that fails (default: all run)
#	LONG_MATRIX               cells of the conformance matrix (default: all; .ci/run takes three, which with
#	                          the one of make check show each pair of settings)
#	LONG_CELLS                of the differential run and the soak (default: all; .ci/run takes two)
#	LONG_SOAK_PACKETS         checksums looked at (default 10,000,000)
#	LONG_INJECT               system calls that get an error (default 200)
#	LONG_FAULTS               options of tests/faults/run.py (default none: all faults)
#	LONG_BUDGET               seconds for all of it: what does not fit is named, and neither passed nor failed
#	                          (default: none)
set -u
cd "$(dirname "$0")/.." || exit 1
BUILD=${BUILD:-build}
LONG_FUZZ_SECONDS=${LONG_FUZZ_SECONDS:-600}
LOGS=$BUILD/test-logs
PASSED=0
FAILED=0
mkdir -p "$LOGS"

CUT=() # by the budget

left() { # seconds of the budget
	echo $((${LONG_BUDGET:-1000000} - SECONDS))
}

once() { # NAME LIMIT COMMAND...: rc; cut: the budget ended it, not its own limit
	local name=$1 limit=$2 budget

	shift 2
	budget=$(left)
	rc=0
	timeout -k 10 $((limit < budget ? limit : budget)) "$@" >"$log" 2>&1 </dev/null || rc=$?
	cut=0
	[ $rc != 124 ] && [ $rc != 137 ] || [ "$budget" -ge "$limit" ] || cut=1
}

run() { # NAME LIMIT COMMAND...
	local name=$1 log=$LOGS/long-$1.log start=$SECONDS rc=0 cut=0

	rm -f "$log.first"
	if [ "$(left)" -lt 20 ]; then
		CUT+=("$name")
		return
	fi
	once "$@"
	if [ $rc != 0 ] && [ $cut = 0 ] && [ "${XE_RETRY:-0}" != 0 ]; then
		echo "# $name failed (exit $rc), tried again; first log: $log.first"
		grep -hE '^not ok|FAIL|SUMMARY|ERROR|WARNING: Thread' "$log" | head -n 4 | sed 's/^/#     /'
		mv "$log" "$log.first"
		once "$@"
	fi
	if [ $rc = 0 ]; then
		PASSED=$((PASSED + 1))
		echo "ok $name ($((SECONDS - start)) s)"
	elif [ $cut = 1 ] && [ ! -e "$log.first" ]; then
		CUT+=("$name")
	else
		FAILED=$((FAILED + 1))
		echo "not ok $name: exit $rc after $((SECONDS - start)) s ($log)"
		grep -hE '^not ok|FAIL|SUMMARY|ERROR|WARNING: Thread' "$log" | head -n 8 | sed 's/^/    /'
	fi
}

run tsan-build 300 make -j2 SAN=thread build-thread/xegressd build-thread/xegressctl \
	build-thread/tests/unit/test_nexthop build-thread/tests/unit/test_handoff build-thread/tests/unit/test_worker_call \
	build-thread/tests/unit/test_outside \
	build-thread/tests/unit/test_natpool \
	build-thread/tests/tools/tcp_many build-thread/tests/tools/udp_echo build-thread/tests/tools/udp_send \
	build-thread/tests/takeover_driver
# What is not installed is a failure here, not a skip.
export XE_STRICT=1
export TSAN_OPTIONS=halt_on_error=1:exitcode=66
run tsan-nexthop 120 build-thread/tests/unit/test_nexthop
run tsan-tcp 240 env BUILD=build-thread XE_SLOW=4 tests/netns/t_tcp.sh
run tsan-handoff 120 build-thread/tests/unit/test_handoff
run tsan-outside 120 build-thread/tests/unit/test_outside
run tsan-natpool 240 build-thread/tests/unit/test_natpool
run tsan-workers 300 env BUILD=build-thread XE_SLOW=4 tests/netns/t_workers.sh
run tsan-takeover 240 env BUILD=build-thread XE_SLOW=4 tests/netns/t_takeover.sh
run tsan-route 240 env BUILD=build-thread XE_SLOW=4 tests/netns/t_route.sh
run tsan-worker-call 60 build-thread/tests/unit/test_worker_call
for name in stall stall_stop crash handback foreign; do
	run "tsan-$name" 200 env BUILD=build-thread XE_SLOW=4 tests/netns/t_$name.sh
done
run conformance-differential 600 tests/conformance/differential.py --cells "${LONG_CELLS:-all}" --step 7 --count 300
run conformance-clients 200 tests/conformance/clients.py --cells native-off-2
run conformance-soak 600 tests/conformance/soak.py --cells "${LONG_CELLS:-all}" --packets "${LONG_SOAK_PACKETS:-10000000}" --seconds 60
run conformance-reasons 200 tests/conformance/reasons.py --cells native-off-2
run long-scenarios 500 tests/run.sh --only netns/t_route6 --only netns/t_ra6 --only netns/t_icmp_workers \
	--only conformance/t_clients
run survive-scenarios 1000 tests/run.sh --only netns/t_crash_refused --only netns/t_fallback_dnat \
	--only netns/t_foreign_long --only netns/t_reuse --only netns/t_handback_whole --only netns/t_stall_long \
	--only netns/t_stall_syn --only netns/t_systemd --only netns/t_takeover_syn --only netns/t_takeover_fail --only netns/t_takeover_four \
	--only netns/t_takeover_many --only netns/t_takeover_workers --only netns/t_takeover_versions --only netns/t_net_many --only netns/t_uplink_native
run faults-inject 600 env XE_INJECT="${LONG_INJECT:-200}" tests/faults/t_inject.sh
# shellcheck disable=SC2086
run faults 900 tests/faults/run.py --json "$LOGS/faults.json" ${LONG_FAULTS:-}
run limit-workers 200 env XE_WORKERS=2 tests/netns/t_limit.sh
run syn-flood-workers 120 env XE_WORKERS=2 tests/netns/t_synflood.sh
run syn-flood-million 200 env XE_FLOOD=1000000 XE_FLOOD_SECONDS=10 tests/netns/t_synflood.sh
for target in tests/fuzz/fuzz_*.c; do
	name=$(basename "$target" .c)
	run "$name" $((LONG_FUZZ_SECONDS + 240)) tests/fuzz/run.sh "$LONG_FUZZ_SECONDS" "$name"
done
run meddled-frames 400 env XE_FRAMES=10000000 tests/netns/t_meddled.sh
run meddled-frames-native 120 env XE_FRAMES=2000000 XE_WORKERS=2 XE_XDP=native tests/netns/t_meddled.sh
run qemu-two-programs 200 tests/qemu/run.sh tests/qemu/two_programs.sh
for series in 6.1 6.12; do
	run qemu-confine-$series 300 env XE_SLOW=4 tests/qemu/run.sh --kernel $series tests/netns/t_confine.sh
done
run qemu-dispatcher 300 tests/qemu/run.sh tests/qemu/dispatcher.sh
run qemu-dispatcher-frags 300 tests/qemu/run.sh tests/qemu/dispatcher.sh frags
# The longest last: a time budget leaves it out first.
run conformance-matrix 1200 tests/conformance/run.py --cells "${LONG_MATRIX:-all}" --budget "${LONG_CONFORMANCE_SECONDS:-0}" \
	--json "$LOGS/conformance.json"
[ ${#CUT[@]} = 0 ] || echo "# not run, or not to their end, for the budget of $LONG_BUDGET s: ${CUT[*]}"
echo "$PASSED passed, $FAILED failed"
[ $FAILED = 0 ]
