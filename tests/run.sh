#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# run.sh - runs the tests: unit, bpf, conformance, faults, netns; one line each, then `N passed, N failed`.
#
#	tests/run.sh [--kernel] [--only PATTERN] [--list]
#	  --only PATTERN  tests whose name (unit/test_rule, netns/t_tcp) contains it; may be repeated
#	  --kernel        netns scenarios with nft masquerade instead of xegressd: proves the harness
#	  --list          names only
#
# BUILD is the build folder (default build); a sanitizer build is tested by BUILD=build-asan. Logs
# go to $BUILD/test-logs, one a test. XE_RETRY=1 (.ci/run sets it) gives a failed netns or faults scenario a
# second try, and says so. Exit 1 when a test failed or a whole suite was not there.

set -u
cd "$(dirname "$0")/.." || exit 1
BUILD=$(realpath -m "${BUILD:-build}")
LOGS=$BUILD/test-logs
ONLY=()
XE_KERNEL=${XE_KERNEL:-0}
LIST=0
PASSED=0
FAILED=0
SKIPPED=0
RUNNING=

while [ $# -gt 0 ]; do
	case $1 in
	--kernel) XE_KERNEL=1 ;;
	--only) ONLY+=("${2:?--only needs a pattern}") && shift ;;
	--list) LIST=1 ;;
	*) sed -n '3,15s/^# \{0,1\}//p' "$0" && exit 2 ;;
	esac
	shift
done
# Sanitizers cost a factor of about 3 in time; a name says it is one.
case $(basename "$BUILD") in
*san* | *address* | *undefined* | *thread* | *debug*) XE_SLOW=${XE_SLOW:-3} ;;
*) XE_SLOW=${XE_SLOW:-1} ;;
esac
# A leak is a failure like any other; no core files of 20 TB of shadow memory.
ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:disable_coredump=1:exitcode=99}
UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1:halt_on_error=1:exitcode=99}
export BUILD XE_KERNEL XE_SLOW ASAN_OPTIONS UBSAN_OPTIONS

stop() { # Ctrl-C: the test's own trap removes its namespaces
	trap '' INT TERM
	[ -z "$RUNNING" ] || { kill -TERM "$RUNNING" 2>/dev/null && wait "$RUNNING"; }
	echo "stopped"
	echo "$PASSED passed, $((FAILED + 1)) failed"
	exit 1
}
trap stop INT TERM

wanted() { # NAME
	local p

	[ ${#ONLY[@]} -gt 0 ] || return 0
	for p in "${ONLY[@]}"; do
		[[ $1 != *$p* ]] || return 0
	done
	return 1
}

verdict() { # NAME EXIT-CODE SECONDS LOG
	local checks

	case $2 in
	0)
		PASSED=$((PASSED + 1))
		checks=$(grep -cE '^ok |^\[ +OK \]' "$4")
		echo "ok $1 ($checks checks, $3 s)"
		;;
	77)
		SKIPPED=$((SKIPPED + 1))
		echo "skip $1: $(sed -n 's/^skip: //p' "$4" | tail -n 1)"
		;;
	*)
		FAILED=$((FAILED + 1))
		case $2 in 124 | 137) echo "not ok $1: timed out after $3 s ($4)" ;;
		*) echo "not ok $1: exit $2 after $3 s ($4)" ;;
		esac
		grep -hE '^not ok |^\[  FAILED  \]|^\[   LINE   \]|Sanitizer|runtime error' "$4" |
			head -n 8 | sed 's/^/    /'
		;;
	esac
}

attempt() { # LOG TIMEOUT COMMAND...
	local log=$1 limit=$2 rc=0

	shift 2
	# In the background and waited for, so that a signal reaches our trap at once.
	timeout -k 10 $((limit * XE_SLOW)) "$@" >"$log" 2>&1 </dev/null &
	RUNNING=$!
	wait $RUNNING || rc=$?
	RUNNING=
	return $rc
}

run_one() { # NAME TIMEOUT COMMAND...
	local name=$1 limit=$2 log start rc=0

	shift 2
	wanted "$name" || return 0
	FOUND=$((FOUND + 1))
	[ $LIST = 0 ] || { echo "$name"; return 0; }
	log=$LOGS/${name//\//-}.log
	start=$(date +%s%N)
	attempt "$log" "$limit" "$@" || rc=$?
	# What fails by the noise of a shared machine passes a second time; what is broken does not.
	if [ $rc != 0 ] && [ $rc != 77 ] && [ "${XE_RETRY:-0}" != 0 ] && [[ $name == netns/* || $name == faults/* ]]; then
		mv "$log" "$log.first"
		echo "# $name failed (exit $rc), tried again; first log: $log.first"
		grep -hE '^not ok ' "$log.first" | head -n 4 | sed 's/^/#     /'
		rc=0
		attempt "$log" "$limit" "$@" || rc=$?
	fi
	verdict "$name" $rc "$(awk -v ns=$(($(date +%s%N) - start)) \
		'BEGIN { printf "%.1f", ns / 1e9 }')" "$log"
}

suite() { # NAME TIMEOUT FILE...
	local name=$1 limit=$2 f

	shift 2
	FOUND=0
	for f in "$@"; do
		[ -x "$f" ] && [ ! -d "$f" ] || continue
		# By name it runs whatever it says of itself.
		[ ${#ONLY[@]} -gt 0 ] || [ "${f%.sh}" = "$f" ] || ! grep -q '^# In make check-long' "$f" || continue
		run_one "$name/$(basename "$f" .sh)" "$limit" "$f"
	done
	# A suite that is not there is not a suite that passes.
	if [ $FOUND = 0 ] && [ ${#ONLY[@]} = 0 ]; then
		FAILED=$((FAILED + 1))
		echo "not ok $name: no test found"
	fi
}

mkdir -p "$LOGS"
if [ "$XE_KERNEL" = 0 ]; then
	suite unit 120 "$BUILD"/tests/unit/test_*
	suite bpf 60 "$BUILD"/tests/bpf/test_*
	suite bench 60 tests/bench/t_*.sh
	suite conformance 240 tests/conformance/t_*.sh
	suite faults 120 tests/faults/t_*.sh
fi
SECONDS=0
suite netns 90 tests/netns/t_*.sh
[ $LIST = 0 ] || exit 0
echo "netns: $SECONDS s, skipped: $SKIPPED, logs: $LOGS"
echo "$PASSED passed, $FAILED failed"
[ $FAILED -eq 0 ] && [ $((PASSED + SKIPPED)) -gt 0 ]
