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
# second try, and says so. XE_LANES=1 runs one test at a time, as --only does; else those that mostly
# wait run beside the others. Exit 1 when a test failed or a whole suite was not there.

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

declare -A NAMES=() LIMITS=() FILES=() LOG_OF=() STARTS=() KINDS=() # of what runs, by pid

stop() { # Ctrl-C: each test's own trap removes its namespaces
	trap '' INT TERM
	[ ${#NAMES[@]} = 0 ] || { kill -TERM "${!NAMES[@]}" 2>/dev/null && wait "${!NAMES[@]}"; }
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
		if [ "${XE_STRICT:-0}" != 0 ]; then # make check-long: what cannot run is not met
			FAILED=$((FAILED + 1))
			echo "not ok $1: skipped: $(sed -n 's/^skip: //p' "$4" | tail -n 1)"
			return
		fi
		SKIPPED=$((SKIPPED + 1))
		echo "skip $1: $(sed -n 's/^skip: //p' "$4" | tail -n 1)"
		;;
	*)
		FAILED=$((FAILED + 1))
		case $2 in
		124 | 137) echo "not ok $1: timed out after $3 s ($4)" ;;
		75) echo "not ok $1: the machine is too busy, a thread stood still; after $3 s ($4)" ;;
		*) echo "not ok $1: exit $2 after $3 s ($4)" ;;
		esac
		grep -hE '^not ok |^\[  FAILED  \]|^\[   LINE   \]|Sanitizer|runtime error' "$4" |
			head -n 8 | sed 's/^/    /'
		;;
	esac
}

# ---- what runs, and beside what

# Three kinds of tests, by a line near the top of the file:
#	(none)          one after the other
#	# side-by-side  mostly waits, and asks for no times: beside one of the others
#	# alone         measures times: beside nothing
# One that failed under XE_RETRY, or on a machine that starved it, runs again alone, at the end.
ORDERED=() BESIDE=() ALONE=() AGAIN=() # "NAME LIMIT FILE"

kind() { # FILE
	case $(sed -n '1,12{/^# side-by-side/p;/^# alone/p}' "$1" | head -n 1) in
	"# side-by-side"*) echo beside ;;
	"# alone"*) echo alone ;;
	*) echo ordered ;;
	esac
}

suite() { # NAME TIMEOUT FILE...
	local name=$1 limit=$2 found=0 f test

	shift 2
	for f in "$@"; do
		[ -x "$f" ] && [ ! -d "$f" ] || continue
		# By name it runs whatever it says of itself.
		[ ${#ONLY[@]} -gt 0 ] || [ "${f%.sh}" = "$f" ] || ! grep -q '^# In make check-long' "$f" || continue
		test=$name/$(basename "$f" .sh)
		wanted "$test" || continue
		found=1
		if [ $LIST = 1 ]; then
			echo "$test"
			continue
		fi
		case $([ "${f%.sh}" = "$f" ] || kind "$f") in
		beside) BESIDE+=("$test $limit $f") ;;
		alone) ALONE+=("$test $limit $f") ;;
		*) ORDERED+=("$test $limit $f") ;;
		esac
	done
	# A suite that is not there is not a suite that passes.
	if [ $found = 0 ] && [ ${#ONLY[@]} = 0 ]; then
		FAILED=$((FAILED + 1))
		echo "not ok $name: no test found"
	fi
}

begin() { # KIND NAME LIMIT FILE
	local log=$LOGS/${2//\//-}.log

	# Waited for in the background, so that a signal reaches our trap at once.
	timeout -k 10 $(($3 * XE_SLOW)) "$4" >"$log" 2>&1 </dev/null &
	KINDS[$!]=$1 NAMES[$!]=$2 LIMITS[$!]=$3 FILES[$!]=$4 LOG_OF[$!]=$log STARTS[$!]=$(date +%s%N)
}

# What fails by the noise of a shared machine passes a second time; what is broken does not.
is_tried_again() { # KIND NAME EXIT-CODE
	[ "$1:$3" = again:75 ] || [ "$3" != 75 ] || return 0
	[ "$3" != 0 ] && [ "$3" != 77 ] && [ "${XE_RETRY:-0}" != 0 ] && [ "$1" != again ] &&
		[[ $2 == netns/* || $2 == faults/* ]]
}

end_one() { # waits for one of those that run, and says how it ended
	local pid='' rc=0 log name

	{ wait -n -p pid "${!NAMES[@]}"; } 2>/dev/null || rc=$?
	if [ -z "$pid" ]; then # ended by a signal while we looked away: `wait -n` forgets those
		for pid in "${!NAMES[@]}"; do
			kill -0 "$pid" 2>/dev/null || break
		done
		rc=0
		{ wait "$pid"; } 2>/dev/null || rc=$?
	fi
	name=${NAMES[$pid]} log=${LOG_OF[$pid]}
	if is_tried_again "${KINDS[$pid]}" "$name" $rc; then
		mv "$log" "$log.first"
		echo "# $name failed (exit $rc), will be tried again; first log: $log.first"
		grep -hE '^not ok ' "$log.first" | head -n 4 | sed 's/^/#     /'
		AGAIN+=("$name ${LIMITS[$pid]} ${FILES[$pid]}")
	else
		verdict "$name" $rc "$(awk -v ns=$(($(date +%s%N) - STARTS[$pid])) \
			'BEGIN { printf "%.1f", ns / 1e9 }')" "$log"
	fi
	unset "KINDS[$pid]" "NAMES[$pid]" "LIMITS[$pid]" "FILES[$pid]" "LOG_OF[$pid]" "STARTS[$pid]"
}

of_kind() { # KIND...: how many of these run
	local pid n=0

	for pid in "${!KINDS[@]}"; do
		[[ " $* " != *" ${KINDS[$pid]} "* ]] || n=$((n + 1))
	done
	echo $n
}

run_all() {
	local test

	while [ ${#ORDERED[@]} -gt 0 ] || [ ${#BESIDE[@]} -gt 0 ] || [ ${#NAMES[@]} -gt 0 ]; do
		while [ ${#NAMES[@]} -lt $LANES ]; do
			if [ ${#BESIDE[@]} -gt 0 ] && { [ ${#ORDERED[@]} = 0 ] || [ "$(of_kind ordered)" = 1 ]; }; then
				# shellcheck disable=SC2086 # three words
				begin beside ${BESIDE[0]}
				BESIDE=("${BESIDE[@]:1}")
			elif [ ${#ORDERED[@]} -gt 0 ] && [ "$(of_kind ordered)" = 0 ]; then
				# shellcheck disable=SC2086
				begin ordered ${ORDERED[0]}
				ORDERED=("${ORDERED[@]:1}")
			else
				break
			fi
		done
		[ ${#NAMES[@]} = 0 ] || end_one
	done
	for test in "${ALONE[@]}"; do
		# shellcheck disable=SC2086
		begin alone $test
		end_one
	done
	for test in "${AGAIN[@]}"; do
		# shellcheck disable=SC2086
		begin again $test
		end_one
	done
}

mkdir -p "$LOGS"
# What tests write when they have seen a packet counted under a reason, once and under no other.
export XE_REASONS_SEEN=$LOGS/reasons-seen
[ $LIST = 1 ] || : >"$XE_REASONS_SEEN"
if [ "$XE_KERNEL" = 0 ]; then
	suite unit 120 "$BUILD"/tests/unit/test_*
	suite bpf 60 "$BUILD"/tests/bpf/test_*
	suite bench 120 tests/bench/t_*.sh
	suite conformance 240 tests/conformance/t_*.sh
	suite faults 120 tests/faults/t_*.sh
fi
suite netns 120 tests/netns/t_*.sh
[ $LIST = 0 ] || exit 0
# With one CPU, or few tests, each has it for itself.
LANES=${XE_LANES:-$([ "$(nproc)" -ge 2 ] && [ ${#ONLY[@]} = 0 ] && echo 2 || echo 1)}
SECONDS=0
run_all
# After all of them: each reason has been counted by some test.
if [ ${#ONLY[@]} = 0 ] && [ "$XE_KERNEL" = 0 ]; then
	begin alone unit/reasons_seen 20 tests/reasons_seen.sh
	end_one
fi
echo "$SECONDS s, skipped: $SKIPPED, logs: $LOGS"
echo "$PASSED passed, $FAILED failed"
[ $FAILED -eq 0 ] && [ $((PASSED + SKIPPED)) -gt 0 ]
