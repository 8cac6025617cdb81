#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# side-by-side
# What a worker gives back to the kernel gets its answer whatever the host's reverse path filter is
# set to: a datagram with DF that is larger than its route's MTU earns ICMP 3/4, from the first
# packet of a flow and in the middle of it.
. "$(dirname "$0")/lib.sh"

# Prints the path MTU that the container has learned after SIZE bytes of payload with DF.
path_mtu() { # SERVER L4PORT SIZE
	on c1 "$PY" - "$@" <<-'EOP'
	import errno, socket, sys, time
	IP_MTU_DISCOVER, IP_PMTUDISC_DO, IP_MTU = 10, 2, 14
	s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
	s.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
	s.settimeout(2)
	s.connect((sys.argv[1], int(sys.argv[2])))
	s.send(b"12345678" * 4)  # there is a session
	try:
	    s.recv(2000)
	except OSError as e:
	    sys.exit("no echo: %s" % e)
	s.send(b"x" * int(sys.argv[3]))
	try:
	    s.recv(2000)
	except OSError as e:
	    pass
	print(s.getsockopt(socket.IPPROTO_IP, IP_MTU))
	EOP
}

topo_up
judge_start
serve_echo w $SRV1 7001
serve_echo w $SRV2 7001
serve_echo w $SRV3 7001
serve_many w $SRV1 9000
servers=($SRV1 $SRV2 $SRV3)
for mode in 0 1 2; do
	must on h sysctl -q -w net.ipv4.conf.all.rp_filter=$mode
	must on h ip route add "${servers[mode]}/32" via $GW mtu $((1000 + mode))
done
must on h sysctl -q -w net.ipv4.conf.all.rp_filter=0
xe_start
for mode in 0 1 2; do
	must on h sysctl -q -w net.ipv4.conf.all.rp_filter=$mode
	[ "$XE_KERNEL" = 1 ] || xe_drops before
	same "all.rp_filter=$mode: the container learns the MTU" \
		"$(path_mtu "${servers[mode]}" 7001 1200)" $((1000 + mode))
	[ "$XE_KERNEL" = 1 ] && continue
	xe_drops after
	same "all.rp_filter=$mode: it went by the punt device" "$(xe_moved before after |
		grep -cw 'p_too_big=1')" 1
done
must on h ip route del $SRV1/32
must on h sysctl -q -w net.ipv4.conf.all.rp_filter=1
check "TCP with all.rp_filter=1" on c1 "$TCP_MANY" client -c 5 -u 50001 -d 50001 $SRV1 9000
if [ "$XE_KERNEL" = 0 ]; then
	same "the punt devices take no part in choosing a source" \
		"$(on h ip -o addr show | awk '/xepunt/ { print $4, $5, $6 }' | sort -u)" \
		"192.0.0.8/32 scope host"
fi
finish
