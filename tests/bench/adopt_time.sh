#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# adopt_time.sh [FLOWS [PEERS [ROUNDS]]] - how long after a SIGKILL and a new start are all flows
# back, and how long does the control socket let one wait meanwhile? FLOWS (200,000) of two
# containers to PEERS (100) hosts are imported; each round is one line:
#
#	flows ms-from-exec-to-the-last longest-answer-ms cpu-ms-of-control-thread cpu-ms-of-worker...
#
# The run directory is on a tmpfs, as /run is; XE_DISK=1 leaves it beside the logs. XE_WORKERS, BUILD
# as for the scenarios (tests/netns/). Root.
. "$(dirname "$0")/../netns/lib.sh"
FLOWS=${1:-200000}
PEERS=${2:-100}
ROUNDS=${3:-3}
XE_EXTRA="limits: {sessions: $((FLOWS * ${XE_WORKERS:-1} + 10000)), sessions-per-source: $FLOWS}"

# Asks all the time; ends when all flows are there, or after 20 s.
probe() { # BEGAN, ms
	"$PY" - "$BUILD/xegressctl" "$T/run" "$FLOWS" "$1" <<'PYTHON'
import json, subprocess, sys, time
ctl, run, flows, began = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]) / 1000
longest = there = 0
while time.time() - began < 20 and there < flows:
    time.sleep(0.02)
    asked = time.time()
    r = subprocess.run([ctl, "--run-dir", run, "--json", "status"], capture_output=True)
    if r.returncode == 2 or not r.stdout:
        time.sleep(0.005)
        continue
    there = json.loads(r.stdout).get("flows", {}).get("count", 0)
    longest = max(longest, time.time() - asked)
print(there, round((time.time() - began) * 1000), round(longest * 1000))
PYTHON
}

cpu_ms() { # PID: of its threads, those that are ours
	local task

	for task in /proc/"$1"/task/*; do
		grep -q "^xegressd\|^xe-worker" "$task/comm" &&
			awk '{ printf "%d ", $1 / 1000000 }' "$task/schedstat"
	done
}

is_through() { # one folder, its own
	[ "$(find "$T/run/state" -mindepth 1 -maxdepth 1 | wc -l)" = 1 ]
}

on_tmpfs() {
	mkdir "$T/run"
	must mount -t tmpfs -o mode=755 tmpfs "$T/run"
	trap 'left=$?; umount -l "$T/run"; (exit $left); cleanup' EXIT
}

[ "${XE_DISK:-}" = 1 ] || on_tmpfs
topo_up
must "$PY" "$ROOT/tests/netns/many_flows.py" "$FLOWS" "$PEERS" "$T/flows.state"
xe_start
must xe_ctl state import "$T/flows.state" >"$T/import.log"
for _ in $(seq "$ROUNDS"); do
	xe_kill
	start=$(date +%s%3N)
	xe_begin
	echo "round $(probe "$start") $(cpu_ms "${PIDS[xegressd.$XE_RUN]}")"
	# Killed before it is through, it would leave the next round two files to read.
	within 10000 is_through
	sleep 1
	grep -h "go on with\|TT" "$T/xegressd.$XE_RUN.log" | sed 's/^/# /'
done
xe_kill
