# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# lib.sh - what every netns scenario stands on: namespaces of its own, checks, clean end.
#
# A scenario is a bash script t_NAME.sh that sources this file, and reads
#
#	. "$(dirname "$0")/lib.sh"
#	topo_up                 # topo.sh: the namespaces (topo.md has the picture)
#	judge_start             # judge.sh: the outside judge on the internet's side of the uplink
#	xe_start                # xe.sh: the translator, configured by XE_RULES and friends
#	... check, same, within ...
#	finish                  # judge's verdict, conservation, clean stop; sets the exit code
#
# Every check prints one line, `ok NAME` or `not ok NAME: why`; a part that cannot be tried here
# prints `ok NAME # skip why`. Exit codes: 0 all ok, 1 not, 75 not, but the machine was too busy to
# tell (starved()), 77 the whole scenario was skipped.
#
# Environment (tests/run.sh sets it):
#	BUILD      build folder with xegressd, xegressctl and tests/tools (default: build)
#	XE_KERNEL  1: plain nft masquerade stands in for xegressd; proves topology and judges
#	XE_KEEP    1: leave namespaces and the temporary folder for a look
#	XE_SLOW    factor on waiting times (sanitizer builds)

set -u -o pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
BUILD=$(cd "$ROOT" && realpath -m "${BUILD:-build}")
PY=/usr/bin/python3 # Debian's: scapy belongs to it
XE_KERNEL=${XE_KERNEL:-0}
XE_KEEP=${XE_KEEP:-0}
XE_SLOW=${XE_SLOW:-1}
SCENARIO=$(basename "$0" .sh)
FAILED=0
CHECKED=0

# ---- checks

pass() {
	CHECKED=$((CHECKED + 1))
	echo "ok $1"
}

fail() {
	CHECKED=$((CHECKED + 1))
	FAILED=$((FAILED + 1))
	echo "not ok $1: ${2:-}"
}

skip() { # NAME WHY: this one check cannot be tried here
	echo "ok $1 # skip $2"
}

skip_all() { # WHY
	echo "skip: $1"
	exit 77
}

check() { # NAME COMMAND...: ok when the command succeeds; what it says last is the why
	local name=$1 rc=0

	shift
	"$@" >"$T/check.out" 2>&1 || rc=$? # no subshell: it may wait for children of ours
	if [ $rc -eq 0 ]; then
		pass "$name"
	else
		fail "$name" "exit $rc: $(tail -n 2 "$T/check.out" | tr '\n' ' ')"
	fi
	[ $rc -eq 0 ]
}

same() { # NAME GOT WANTED
	if [ "$2" = "$3" ]; then pass "$1"; else fail "$1" "got \`$2\`, wanted \`$3\`"; fi
}

between() { # NAME NUMBER LOW HIGH
	if [ "${2:--1}" -ge "$3" ] && [ "$2" -le "$4" ]; then
		pass "$1"
	else
		fail "$1" "got $2, wanted $3 to $4"
	fi
}

median() { # NUMBER...
	printf '%s\n' "$@" | sort -n | sed -n "$((($# + 1) / 2))p"
}

die() { # WHY: the scenario cannot go on
	fail "$SCENARIO" "$1"
	exit 1
}

must() { # COMMAND...: a step of the set-up
	local out

	out=$("$@" 2>&1) || die "set-up: \`$*\`: $(tail -n 1 <<<"$out")"
}

# ---- waiting

now_ms() { echo $(($(date +%s%N) / 1000000)); }

within() { # MS COMMAND...: try until it succeeds; fails after MS (times XE_SLOW)
	local end=$(($(now_ms) + $1 * XE_SLOW))

	shift
	until "$@" >/dev/null 2>&1; do
		[ "$(now_ms)" -lt $end ] || return 1
		sleep 0.05
	done
}

# ---- processes

declare -A PIDS=()

bg() { # NAME NS COMMAND...: in the background, output to $T/NAME.log
	local name=$1 ns=$2

	shift 2
	nsenter --net="/run/netns/$ID-$ns" "$@" >"$T/$name.log" 2>&1 </dev/null &
	PIDS[$name]=$!
}

bg_stop() { # NAME [SIGNAL]: end it and wait; returns its exit code (128+n when a signal ended it)
	local pid=${PIDS[$1]:-} rc=0

	[ -n "$pid" ] || return 0
	unset "PIDS[$1]"
	kill "-${2:-TERM}" "$pid" 2>/dev/null
	{ wait "$pid"; } 2>/dev/null || rc=$?
	return $rc
}

bg_wait() { # NAME: wait for its own end; returns its exit code
	local rc=0

	{ wait "${PIDS[$1]}"; } 2>/dev/null || rc=$?
	unset "PIDS[$1]"
	return $rc
}

running() { kill -0 "${PIDS[$1]:-0}" 2>/dev/null && [ -n "${PIDS[$1]:-}" ]; }

# ---- small readers

json() { # FILE-OR-TEXT EXPRESSION: a Python expression over the JSON value j
	"$PY" - "$1" "$2" 2>/dev/null <<-'EOP'
	import json, os, sys
	text = open(sys.argv[1]).read() if os.path.isfile(sys.argv[1]) else sys.argv[1]
	text = text.strip()
	try:
	    try:
	        j = json.loads(text)
	    except ValueError:
	        j = json.loads(text.splitlines()[-1])
	    v = eval(sys.argv[2])
	except Exception as e:
	    v = "%s in `%.200s`" % (repr(e), text)
	print(json.dumps(v) if isinstance(v, (dict, list, bool)) else v)
	EOP
}

# sha256 of stdin; openssl's uses the CPU's instructions where coreutils' doesn't: five times as fast.
sha() {
	if command -v openssl >/dev/null; then
		openssl dgst -sha256 -r
	else
		sha256sum
	fi | cut -d' ' -f1
}

snmp() { # NS PROTO FIELD: a counter of /proc/net/snmp in that namespace
	on "$1" awk -v p="$2:" -v f="$3" '$1 == p && !n { for (n = 2; $n != f; n++); next }
		$1 == p { print $n }' /proc/net/snmp
}

# ---- beginning and end

on() { # NS COMMAND...
	local ns=$1

	shift
	nsenter --net="/run/netns/$ID-$ns" "$@"
}

# Did a thread of the service get no CPU for a second, without this scenario's doing (XE_STALLS)?
# Then its packets were dropped as stale or left to the kernel, as they are to be, and what failed
# says nothing: run.sh tries again, once, with the machine for it alone.
starved() {
	[ -z "${XE_STALLS:-}" ] || return 1
	grep -hE 'stood still for [0-9.]+ s' "$T"/xegressd.*.log 2>/dev/null
}

cleanup() {
	local rc=$? name pid

	trap '' INT TERM HUP PIPE
	if [ $rc -eq 1 ] && starved; then
		rc=75
	fi
	for name in "${!PIDS[@]}"; do
		kill "${PIDS[$name]}" 2>/dev/null
	done
	if [ "$XE_KEEP" = 1 ]; then
		echo "kept: namespaces $ID-*, folder $T"
		exit $rc
	fi
	within 5000 all_gone # what a clean stop may take
	for ns in $(ip netns list | awk -v id="$ID-" 'index($1, id) == 1 { print $1 }'); do
		# Whatever still lives in a namespace of ours was started from here.
		for pid in $(ip netns pids "$ns"); do
			kill -KILL "$pid" 2>/dev/null
		done
		ip netns del "$ns"
	done
	if [ $rc -ne 0 ] && [ $rc -ne 77 ]; then
		show_logs
	fi
	rm -rf "$T"
	exit $rc
}

all_gone() {
	local name

	for name in "${!PIDS[@]}"; do
		! kill -0 "${PIDS[$name]}" 2>/dev/null || return 1
	done
}

show_logs() {
	local f

	for f in "$T"/*.log; do
		[ -s "$f" ] && [ "$f" != "$T/access.log" ] || continue
		echo "--- $(basename "$f")"
		grep -v '^peer ' "$f" | tail -n 40
	done
}

tool() { # NAME: path of a generator; built here where make has not
	local bin=$BUILD/tests/tools/$1

	if [ ! -x "$bin" ]; then
		mkdir -p "$BUILD/tests/tools" && cc -std=gnu11 -D_GNU_SOURCE -O2 -pthread -o "$bin" \
			"$ROOT/tests/tools/$1.c" >&2 || return 1
	fi
	echo "$bin"
}

[ "$(id -u)" = 0 ] || skip_all "needs root"
for need in ip nft nsenter tcpdump ethtool curl iperf3; do
	command -v $need >/dev/null || skip_all "needs \`$need\` (tools/deps.sh installs it)"
done
ID=xe$(od -An -N3 -tx1 /dev/urandom | tr -d ' \n')
T=$(mktemp -d "/tmp/$ID.XXXXXX")
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
trap 'exit 141' PIPE

UDP_ECHO=$(tool udp_echo) && UDP_SEND=$(tool udp_send) && TCP_MANY=$(tool tcp_many) ||
	die "the generators of tests/tools do not build"

# shellcheck source=topo.sh
. "$HERE/topo.sh"
# shellcheck source=judge.sh
. "$HERE/judge.sh"
# shellcheck source=xe.sh
. "$HERE/xe.sh"

finish() { # the end of every scenario
	judge_end
	xe_conserve
	xe_end
	if [ $CHECKED -eq 0 ]; then
		fail "$SCENARIO" "checked nothing"
	fi
	[ $FAILED -eq 0 ] || exit 1
	exit 0
}
