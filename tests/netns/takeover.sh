# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# takeover.sh - for t_takeover*.sh: load that tells every loss, and the service taken over under it.

# Hash-verified TCP both ways, numbered UDP at 5,000 a second, connections one after the other.
load_begin() { # SECONDS
	bg streams c1 "$TCP_MANY" client -c 10 -t "$1" -i 10 $SRV1 7001
	bg udp c1 "$UDP_SEND" -t "$1" -r 5000 -l 100000 $SRV1 7002
	bg connects c2 bash -c "end=\$((SECONDS + $1)); n=0
		while [ \$SECONDS -lt \$end ]; do
			timeout 10 $TCP_MANY client -u 2000 -d 2000 -i 9 $SRV1 7001 >/dev/null ||
				{ echo \"connection \$n failed\"; exit 1; }
			n=\$((n + 1))
		done
		echo \$n"
}

export BUILD # taker.py

load_servers() {
	serve_many w $SRV1 7001
	serve_echo w $SRV1 7002
}

# 0 connections lost, 0 resets, 0 corrupt bytes; what UDP lost is printed.
load_end() { # UDP DATAGRAMS THAT MAY BE LOST [MS THAT THEY MAY PAUSE]
	bg_wait streams
	same "no stream failed, was reset or got a wrong byte" \
		"$(json "$T/streams.log" "'%d failed %d reset %d corrupt' % (j['failed'],
			j['reset'], j['corrupt'])")" "0 failed 0 reset 0 corrupt"
	check "every connect succeeded" bg_wait connects
	bg_wait udp
	same "no datagram twice or corrupt" "$(json "$T/udp.log" "j['duplicate'] + j['corrupt']")" 0
	between "datagrams lost" "$(json "$T/udp.log" "j['lost']")" 0 "$1"
	[ -z "${2:-}" ] || between "longest gap of them (ms)" "$(json "$T/udp.log" "int(j['max_gap_ms'])")" 0 "$2"
	echo "# UDP: $(json "$T/udp.log" "'%d sent, %d lost, longest gap %d ms' % (j['sent'], j['lost'],
		j['max_gap_ms'])"); TCP: longest stall $(json "$T/streams.log" "j['max_stall_ms']") ms;" \
		"$(tail -n 1 "$T/connects.log") connects"
}

# A new process takes over from the one that runs; it is the service under test from here on.
take_over() {
	local old="xegressd.$XE_RUN" rc=0

	XE_RUN=$((XE_RUN + 1))
	bg "xegressd.$XE_RUN" h "$BUILD/xegressd" -c "$T/xegress.yaml" --run-dir "$T/run" --takeover
	within 10000 taken && running "xegressd.$XE_RUN" || {
		tail -n 1 "$T/xegressd.$XE_RUN.log"
		return 1
	}
	bg_wait "$old" || rc=$? # it ends by itself, and well
	[ $rc = 0 ] || { echo "the old process: exit $rc"; return 1; }
}

taken() {
	running "xegressd.$XE_RUN" || return 0
	grep -q "took the service over" "$T/xegressd.$XE_RUN.log" && xe_ctl status
}

took() { # what the last one says of itself
	sed -n 's/.*took the service over from pid [0-9]*: //p' "$T/xegressd.$XE_RUN.log"
}

stood_still_ms() { took | sed -n 's/.*stood still for \([0-9]*\).*/\1/p'; }

# All that is known of the flows but what time does to them, a line each.
flows() { # FILE
	xe_ctl flow list --json | "$PY" -c '
import json, sys
for f in sorted(json.dumps({k: v for k, v in f.items() if not k.endswith("_ms")}, sort_keys=True)
		for f in json.load(sys.stdin)["flows"]):
	print(f)' >"$1"
}

# Nothing moves: the new process has exactly the flows that the old one had.
take_over_unmoved() {
	local differ

	flows "$T/flows.old"
	take_over || return 1
	flows "$T/flows.new"
	differ=$(diff "$T/flows.old" "$T/flows.new") || { echo "$differ" | head -n 2; return 1; }
	[ -s "$T/flows.old" ] || { echo "no flow to compare"; return 1; }
}

# A takeover that is to fail: exit code 1, and the old process is the service.
take_fails() { # COMMAND...
	local rc=0

	timeout $((20 * XE_SLOW)) nsenter --net="/run/netns/$ID-h" "$@" >"$T/failed.log" 2>&1 || rc=$?
	[ $rc = 1 ] || { echo "exit code $rc"; return 1; }
	running "xegressd.$XE_RUN" || { echo "the old process has gone"; return 1; }
	xe_ctl status
}
