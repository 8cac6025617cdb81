#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# The way out changes under running flows: another gateway, back again, the gateway's Ethernet
# address (announced, and unannounced with the entry flushed), the uplink down and up. Each heals.
. "$(dirname "$0")/lib.sh"

forwarded() { snmp g Ip ForwDatagrams; }

heals() { # NAME: a new flow works, and the old ones have gone on
	check "$1: new TCP flows" on c1 "$TCP_MANY" client -c 3 -u 30001 -d 30001 -i 4 $SRV1 9000
	check "$1: new UDP flow" within 2000 on c1 "$UDP_SEND" -s 1-50 -r 2000 -w 300 $SRV1 7001
	check "$1: the old flows live" running flows
}

topo_up
topo_second_gateway
judge_start
serve_many w $SRV1 9000
serve_echo w $SRV1 7001
xe_start

bg flows c1 "$TCP_MANY" client -c 6 -t 60 -g 10 -u 20000 -d 20000 -i 6 $SRV1 9000
heals "before"
same "the second gateway has seen nothing" "$(forwarded)" 0

carried_begin
must on h ip route replace default via $GW2
sleep 0.3
before=$(forwarded)
heals "second gateway"
between "it goes by the second gateway" $(($(forwarded) - before)) 60 10000000

must on h ip route replace default via $GW
sleep 0.3
before=$(forwarded)
heals "first gateway again"
same "nothing goes by the second any more" $(($(forwarded) - before)) 0
carried_end "route changes"

# arp_notify makes the kernel announce it (gratuitous ARP), as a failover pair does.
must on w ip link set wbr address 02:00:00:00:02:02
heals "new Ethernet address, announced"
same "the host has learned it" \
	"$(on h ip neigh show $GW dev eth0 | grep -c 02:00:00:00:02:02)" 1
must on w sysctl -q -w net.ipv4.conf.wbr.arp_notify=0
must on w ip link set wbr address 02:00:00:00:03:03
must on h ip neigh flush dev eth0
heals "new Ethernet address, entry flushed"

# A more specific route for one server only; the flows to it move, no other.
must on h ip route add $SRV1/32 via $GW2
sleep 0.3
before=$(forwarded)
heals "host route"
between "host route is followed" $(($(forwarded) - before)) 60 10000000
must on h ip route del $SRV1/32
sleep 0.3

must on w ip link set up0 down
sleep 0.5
must on w ip link set up0 up
heals "uplink down and up"
check "flows lived through all of it, every byte" bg_stop flows
sed 's/^/# /' "$T/flows.log"
between "none stood still for long" "$(json "$T/flows.log" "j['max_stall_ms']")" 0 \
	$((4000 * XE_SLOW))
finish
