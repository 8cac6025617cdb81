#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# side-by-side
# snat with a pool of addresses and an L4 port range for one container, masquerade for the other;
# what the servers see decides.
. "$(dirname "$0")/lib.sh"

POOL='198\.51\.100\.(10|11|12)'
XE_RULES="snat from $C1/32 out eth0 source 198.51.100.10-198.51.100.12 ports 21000-21999
masquerade from $INSIDE out eth0 ports 22000-22999"
XE_NFT="table ip stand_in {
	chain post {
		type nat hook postrouting priority srcnat
		oifname eth0 ip saddr $C1 meta l4proto { tcp, udp } \
			snat to 198.51.100.10-198.51.100.12:21000-21999 persistent
		oifname eth0 ip saddr $INSIDE meta l4proto { tcp, udp } masquerade to :22000-22999
		oifname eth0 ip saddr $INSIDE masquerade
	}
}"

flows() { # CONTAINER TCP-PORT UDP-PORT
	check "$1: 50 TCP flows" on "$1" "$TCP_MANY" client -c 50 -u 20001 -d 20001 $SRV1 "$2"
	check "$1: 20 UDP flows" bash -c "
		for i in \$(seq 20); do
			nsenter --net=/run/netns/$ID-$1 $UDP_SEND -s 1-9 -w 500 $SRV1 $3 || exit 1
		done"
}

topo_up
for n in 10 11 12; do
	must on h ip addr add 198.51.100.$n/32 dev eth0
done
JUDGE_EXT=$EXT,198.51.100.10,198.51.100.11,198.51.100.12
judge_start
serve_many w $SRV1 9001
serve_many w $SRV1 9002
serve_echo w $SRV1 7001
serve_echo w $SRV1 7002
xe_start

carried_begin
flows c1 9001 7001
flows c2 9002 7002
carried_end "snat and masquerade"
check "snat: TCP in the pool and the range" peers_in many.w.9001 "$POOL" 21000 21999
check "snat: UDP in the pool and the range" peers_in echo.w.7001 "$POOL" 21000 21999
check "masquerade: TCP from the uplink's address" peers_in many.w.9002 $EXT 22000 22999
check "masquerade: UDP from the uplink's address" peers_in echo.w.7002 $EXT 22000 22999
same "an inside address keeps one external address" \
	"$(cat "$T/many.w.9001.log" "$T/echo.w.7001.log" | sed -n 's/^peer \([0-9.]*\):.*/\1/p' |
		sort -u | wc -l)" 1
same "no two flows share a mapping, TCP" "$(peers many.w.9001 | sort | uniq -d | wc -l)" 0
if [ "$XE_KERNEL" = 0 ]; then
	bg held c1 "$TCP_MANY" client -c 3 -t 2 -g 50 $SRV1 9001
	sleep 1
	xe_ctl flow list --json tcp from $C1/32 >"$T/flows.json"
	same "the flow list tells the translation" "$(json "$T/flows.json" "sum(1 for f in
		(j.get('flows') or j.get('parts') if isinstance(j, dict) else j)
		if f['src'].startswith('$C1:') and f['nat_src'].startswith('198.51.100.1')
		and f['dst'] == f['nat_dst'] == '$SRV1:9001' and f['state'] == 'established')")" 3
	bg_wait held
fi
finish
