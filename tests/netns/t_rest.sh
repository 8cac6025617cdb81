#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# A UDP L4 port whose mapping has ended is not given to another container before it has rested (RFC
# 6888 REQ-8): nor by the process that comes after a crash, a takeover, or a stop.
# side-by-side
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/takeover.sh"

xe_only
XE_RULES="masquerade udp from $INSIDE to $SRV1/32 out eth0 ports 21000-21001
masquerade udp from $INSIDE to $SRV2/32 out eth0 ports 22000-22009"
XE_EXTRA="timeouts: {udp: 1s}"

ask() { on "$1" "$UDP_SEND" -n 1 -w 300 "${@:2}" 7001; } # NS OPTION... ADDRESS
no_flows() { [ "$(xe_ctl flow list udp --json | grep -c '"nat_src"')" = 0 ]; }
refused() { # WHEN: the other container gets neither of the two, and does get one of another range
	check "$1: the other container has one of another range" ask c2 $SRV2
	if ask c2 $SRV1 >/dev/null 2>&1; then
		fail "$1: but none of those that rest" "it was answered"
	else
		pass "$1: but none of those that rest"
	fi
	within 4000 no_flows
}

topo_up
judge_start
serve_echo w 0.0.0.0 7001
xe_start
check "a container has one of two L4 ports" ask c1 -p 5001 $SRV1
check "and the other one" ask c1 -p 5002 $SRV1
check "both mappings end" within 5000 no_flows
refused "in the same process"
xe_kill
xe_start
refused "after a crash"
xe_kill
xe_start
refused "after another one"
check "another process takes over" take_over
XE_UP=1
refused "after a takeover"
xe_stop
xe_start
refused "after a stop"
check "the file of the stop is read once" [ ! -e "$T/run/resting" ]
finish
