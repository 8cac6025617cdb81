#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# 1,000 TCP connections at once from one container and 200 from the other, all open before the first
# transfers, every byte of both directions compared and hashed. On the bridge, as Docker has it.
. "$(dirname "$0")/lib.sh"

CONNS=1000

topo_up bridge
judge_start
serve_many w $SRV1 9000
XE_PORTS="{name: vethc1, role: inside, allow: [10.1.0.0/24]}
{name: vethc2, role: inside, allow: [10.1.0.0/24]}
{name: eth0, role: uplink}"
xe_start

carried_begin
bg other c2 "$TCP_MANY" client -c 200 -u 65537 -d 65539 $SRV1 9000
bg many c1 "$TCP_MANY" client -c $CONNS -u 131071 -d 131073 $SRV1 9000
if [ "$XE_KERNEL" = 0 ]; then
	# While they run: the table is readable, and its count is no fantasy.
	within 10000 test -s "$T/many.w.9000.log"
	flows=$(xe_ctl flow count --json)
	between "flows are counted while they run" "$(json "$flows" "j['tcp']")" 1 1200
fi
check "$CONNS parallel connections, every byte" bg_wait many
check "200 more from the other container" bg_wait other
carried_end "1,200 connections"
sed 's/^/# /' "$T/many.log"
same "nobody was reset" "$(json "$T/many.log" "j['reset']")" 0
same "each has an L4 port of its own" "$(peers many.w.9000 | sort -u | wc -l)" $((CONNS + 200))
check "all in the range" peers_in many.w.9000 $EXT 20000 29999
finish
