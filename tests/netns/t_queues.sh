#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# An uplink with three queues and two workers: each has queues of it, replies come in on any of them,
# and all find their flow.
. "$(dirname "$0")/lib.sh"
xe_only
[ "$(nproc)" -ge 2 ] || skip_all "needs two CPUs"
XE_WORKERS=2
UPLINK_QUEUES=3

of_worker() { json "$T/after.json" "[$1 for w in j['workers']]"; }

topo_up
judge_start
serve_many w $SRV1 9000
serve_echo w $SRV1 7001
xe_start

xe_ctl status --json >"$T/status.json"
same "both workers have queues of the uplink" \
	"$(json "$T/status.json" "[[p['workers'], p['queues']] for p in j['ports'] if p['name'] == 'eth0'][0]")" \
	"[[0, 1], 3]"
same "port list says so" "$(xe_ctl port list | awk '$1 == "eth0" && / 0-1 / { print "yes" }')" yes
all_at_once() {
	local c bad=0

	for c in c1 c2; do
		bg "tcp$c" $c "$TCP_MANY" client -c 40 -u 100001 -d 100001 $SRV1 9000
		bg "udp$c" $c "$UDP_SEND" -s 0-1472 -r 2000 -l 15 $SRV1 7001
	done
	for c in tcpc1 udpc1 tcpc2 udpc2; do
		bg_wait $c || { bad=1 && tail -n 1 "$T/$c.log"; }
	done
	return $bad
}

carried_begin
check "TCP of both, and UDP of every length, both directions" patiently all_at_once
carried_end "three queues"
xe_conserve
xe_stats after
same "both workers carried" "$(of_worker "w['tx_packets'] > 1000")" "[true, true]"
same "both handed over" "$(of_worker "w['handed_out'] > 100")" "[true, true]"
same "none found no session" "$(of_worker "w['drops']['NO_SESSION']")" "[0, 0]"
same "none got lost between them" "$(of_worker "w['drops']['HANDOVER_FULL']")" "[0, 0]"
check "port del" xe_ctl port del vethc2
check "port add" xe_ctl port add vethc2 inside allow $C2/32
check "and it works again" on c2 "$TCP_MANY" client -c 10 -u 10001 -d 10001 $SRV1 9000
xe_conserve
finish
