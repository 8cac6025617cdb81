#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# tune_thp.sh [ROUNDS] [SECONDS] - what 2 MiB pages for frames and sessions bring. Each round runs the
# service twice, with transparent huge pages and without (PR_SET_THP_DISABLE of its process: the
# host's setting is not touched), one TCP stream out and UDP of 64 bytes each. JSON lines, then medians.
# TUNE_LOCK=FILE: held for a round, where several people measure on one machine.
. "$(dirname "$0")/../netns/lib.sh"
xe_only

ROUNDS=${1:-5}
TIME=${2:-2}
CPU=$(($(nproc) - 1))
XE_EXTRA="workers: [$CPU]"
SERVICE=$BUILD/xegressd
mkdir -p "$T/bin"
ln -s "$BUILD/xegressctl" "$T/bin/xegressctl"

wrapper() { # 0|1: are huge pages disabled
	cat >"$T/bin/xegressd" <<-EOW
	#!$PY
	import ctypes, os, sys
	assert ctypes.CDLL(None).prctl(41, $1, 0, 0, 0) == 0
	os.execv("$SERVICE", ["$SERVICE"] + sys.argv[1:])
	EOW
	chmod +x "$T/bin/xegressd"
}

measure() { # out|udp
	if [ "$1" = out ]; then
		on c1 taskset -c $((CPU - 1)) iperf3 -J -c $SRV1 -p 5201 -t "$TIME" >"$T/out.json" 2>&1
		json "$T/out.json" "round(j['end']['sum_received']['bits_per_second'] / 1e9, 2)"
	else
		on c1 taskset -c $((CPU - 1)) iperf3 -J -c $SRV1 -p 5201 -t "$TIME" -u -b 0 -l 64 \
			>"$T/udp.json" 2>&1
		json "$T/udp.json" "round((j['end']['sum']['packets'] -
			j['end']['sum']['lost_packets']) / j['end']['sum']['seconds'])"
	fi
}

topo_up
serve_iperf 5201
[ -z "${TUNE_LOCK:-}" ] || exec 9>"$TUNE_LOCK"
for n in $(seq "$ROUNDS"); do
	[ -z "${TUNE_LOCK:-}" ] || flock 9
	for v in $([ $((n % 2)) = 0 ] && echo small huge || echo huge small); do
		wrapper $([ $v = small ] && echo 1 || echo 0)
		BUILD=$T/bin xe_start
		for w in out udp; do
			echo "{\"round\": $n, \"variant\": \"$v\", \"workload\": \"$w\"," \
				"\"value\": $(measure $w)}" | tee -a "$T/results"
		done
		echo "# $v: $(awk '/AnonHugePages/ { n += $2 } END { print n " kB huge" }' \
			"/proc/${PIDS[xegressd.$XE_RUN]}/smaps_rollup")"
		xe_stop >/dev/null
	done
	[ -z "${TUNE_LOCK:-}" ] || flock -u 9
done
"$PY" "$HERE/../bench/tune_summary.py" "$T/results" small
exit 0
