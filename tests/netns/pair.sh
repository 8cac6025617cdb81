# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# pair.sh - for t_pair*.sh: two hosts, h and h2, between the same containers and the same uplink
# network; one of them has the addresses that both translate to, and the containers' gateway.
#
#	c1 --+                       +-- w (servers, gateway)
#	c2 --+-- x: brin      brout -+
#	h  lan0 -'|             |'---- eth0 h
#	h2 lan0 --'             '----- eth0 h2
#
# Each host has an address of its own on both sides, to which nothing is translated.

VIP_IN=10.1.0.1
POOL=198.51.100.3 # that of `snat`; $EXT is masqueraded to

pair_link() { # NS DEVICE BRIDGE
	local end=$1.$2

	must ip link add "$end" netns "$ID-x" type veth peer name "$2" netns "$ID-$1"
	must on x ip link set "$end" master "$3"
	must on x ip link set "$end" up
	must on "$1" ip link set "$2" up
}

pair_host() { # NS LAST BYTE OF ITS OWN ADDRESSES
	must on "$1" sysctl -q -w net.ipv4.ip_forward=1
	pair_link "$1" lan0 brin
	pair_link "$1" eth0 brout
	must on "$1" ip addr add 10.1.0.$2/24 dev lan0
	must on "$1" ip addr add 198.51.100.$2/32 dev eth0
	must on "$1" ip route add $GW dev eth0
	must on "$1" ip route add default via $GW
}

pair_up() {
	local br n=2

	topo_ns c1 c2 h h2 w x
	for br in brin brout; do
		must on x ip link add $br type bridge forward_delay 0
		must on x ip link set $br up
	done
	for ns in c1 c2; do
		pair_link $ns eth0 brin
		must on $ns ip addr add 10.1.0.$n/24 dev eth0
		must on $ns ip route add default via $VIP_IN
		n=$((n + 1))
	done
	pair_link w up0 brout
	must on w ip addr add $GW/24 dev up0
	must on w ip addr add $SRV1/32 dev lo
	must on w ip addr add $SRV2/32 dev lo
	must on w ip route add $INSIDE via $EXT # a leak is to be answered, and seen
	pair_host h 11
	pair_host h2 12
}

# The addresses come to this host, and everybody on both sides hears of it, as keepalived does it.
pair_addresses() { # NS
	must on "$1" ip addr add $VIP_IN/32 dev lan0
	must on "$1" ip addr add $EXT/24 dev eth0
	must on "$1" ip addr add $POOL/32 dev eth0
	bg "announce.$1" "$1" "$PY" "$HERE/announce.py" lan0=$VIP_IN eth0=$EXT eth0=$POOL
}
