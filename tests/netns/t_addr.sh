#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# The uplink's address is replaced under running flows. Those masqueraded to the old one end at once
# (the kernel's masquerade does the same) and none of their packets leaves with an address that is no
# longer the host's; new flows have the new address. Flows of a `source` pool go on.
# side-by-side
. "$(dirname "$0")/lib.sh"
xe_only

NEW=198.51.100.77
POOL=198.51.100.99
XE_RULES="snat from $C2/32 out eth0 source $POOL ports 20000-29999
masquerade from $INSIDE out eth0 ports 20000-29999"

flows_from() { # NAT ADDRESS: how many
	xe_ctl flow list --json | grep -o '"nat_src": *"[^"]*"' | grep -c "\"$1:"
}

left_with() { # ADDRESS: TCP and UDP packets seen at the other end of the uplink
	"$PY" -c 'import sys; from scapy.all import PcapReader
print(sum(1 for p in PcapReader(sys.argv[1]) if p["IP"].src == sys.argv[2]))' "$T/look.pcap" "$1"
}

look() { # NAME COMMAND...: packets on the uplink meanwhile, in look.pcap
	bg look w tcpdump --immediate-mode -U -n -Z root -i up0 -s 96 -w "$T/look.pcap" \
		"src net 198.51.100.0/24 and (tcp or udp)"
	within 5000 judge_ready look || die "set-up: tcpdump does not start"
	"$@"
	sleep 0.1
	bg_stop look INT
}

replace() { # OLD NEW: without a moment in which the gateway could not be reached
	must on h ip addr add "$2/24" dev eth0
	must on h ip addr del "$1/24" dev eth0 # removes its secondaries, unless told otherwise
}

topo_up
must on h sysctl -q -w net.ipv4.conf.all.promote_secondaries=1
must on w ip route add $POOL/32 via $EXT
judge_start
serve_many w $SRV1 9000
serve_echo w $SRV1 7001
xe_start
snapshot_addr=$(on h ip -o addr show dev eth0)

bg masq c1 "$TCP_MANY" client -c 6 -t 60 -u 5000 -d 5000 -i 60 $SRV1 9000
bg pool c2 "$TCP_MANY" client -c 4 -t 60 -g 4 -u 5000 -d 5000 -i 6 $SRV1 9000
bg udp c1 "$UDP_SEND" -s 100 -t 60 -r 500 -l 1000000 $SRV1 7001
sleep 1
between "flows have the old address" "$(flows_from $EXT)" 6 100
between "flows have the pool's address" "$(flows_from $POOL)" 1 100

replace $EXT $NEW
sleep 0.3
same "no flow has the old address" "$(flows_from $EXT)" 0
look sleep 1
same "nothing leaves with the old address" "$(left_with $EXT)" 0
between "the pool's flows go on" "$(left_with $POOL)" 10 10000000
between "UDP goes on with the new address" "$(left_with $NEW)" 100 10000000
bg_stop masq KILL
bg_stop udp KILL
carried_begin
look on c1 "$TCP_MANY" client -c 10 -u 20000 -d 20000 -i 5 $SRV1 9000 >"$T/new.log"
same "new flows: all done, every byte" "$(tail -n 1 "$T/new.log" | grep -c '"failed": 0')" 1
carried_end "new flows" 20 # the last words of the flows that were ended
between "they have the new address" "$(left_with $NEW)" 50 10000000
same "and not the old one" "$(left_with $EXT)" 0
check "the pool's flows lived through it" bg_stop pool

# Taken off and put back in one breath: it is still the host's, and its flows live.
bg still c1 "$TCP_MANY" client -c 6 -t 60 -g 10 -u 5000 -d 5000 -i 6 $SRV1 9000
sleep 0.5
must on h ip -batch - <<-EOB
	addr add $NEW/32 dev lo
	addr del $NEW/24 dev eth0
	addr add $NEW/24 dev eth0
	route replace default via $GW
	addr del $NEW/32 dev lo
EOB
sleep 0.5
between "an address that never left the host: flows stay" "$(flows_from $NEW)" 6 100
check "they live through it" bg_stop still

replace $NEW $EXT
must on h ip route replace default via $GW
check "the first address again" within 3000 \
	on c1 "$TCP_MANY" client -c 3 -u 20000 -d 20000 -i 3 $SRV1 9000
same "the interface is as at the start" "$(on h ip -o addr show dev eth0)" "$snapshot_addr"
finish
