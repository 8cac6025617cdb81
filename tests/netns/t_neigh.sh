#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Neighbours nobody knows yet: the first packet is held and delivered, in both directions; a next hop
# that does not exist is answered with ICMP host unreachable.
# side-by-side
. "$(dirname "$0")/lib.sh"

flush() {
	on h ip neigh flush dev eth0
	on h ip neigh flush dev vethc1
}

one_datagram() { on c1 "$UDP_SEND" -s 100 -n 1 -w 1500 $SRV1 7001; }

burst() { on c1 "$UDP_SEND" -s 100 -n 3 -r 100000 -w 1500 $SRV1 7001; }

connect_error() { # ADDRESS: what connect() says, and after how long
	on c1 timeout 15 "$PY" - "$1" <<-'EOP'
	import errno, socket, sys, time
	start, s = time.time(), socket.socket()
	s.settimeout(12)
	try:
	    s.connect((sys.argv[1], 80))
	    print("connected")
	except socket.timeout:
	    print("nothing in 12 s")
	except OSError as e:
	    print(errno.errorcode[e.errno])
	EOP
}

topo_up
judge_start
serve_echo w $SRV1 7001
serve_many w $SRV1 9000
xe_start

check "first flow of all" one_datagram
for round in 1 2 3; do
	flush
	[ "$XE_KERNEL" = 1 ] || xe_drops before
	if ! check "first datagram after a flush, there and back ($round)" one_datagram &&
		[ "$XE_KERNEL" = 0 ]; then
		xe_drops after
		echo "# counted meanwhile: $(xe_moved before after)"
		on h ip neigh | sed 's/^/# /'
	fi
done
flush
check "a burst of 3 after a flush: none lost" burst
flush
check "TCP after a flush" on c1 "$TCP_MANY" client -c 2 -u 1001 -d 1001 $SRV1 9000
# A flow that is open while its neighbour goes away, again and again.
bg flow c1 "$TCP_MANY" client -c 2 -t 2 -g 5 -u 10001 -d 10001 $SRV1 9000
for _ in 1 2 3 4 5 6; do
	sleep 0.3
	flush
done
check "flows live through flushes" bg_wait flow
between "and hardly notice" "$(json "$T/flow.log" "j['max_stall_ms']")" 0 $((1200 * XE_SLOW))

# Nobody has 198.51.100.77. The host asks for 3 s, then says so.
bg icmp c1 tcpdump --immediate-mode -U -n -Z root -i eth0 -s 128 -w "$T/icmp.pcap" \
	"icmp[icmptype] == icmp-unreach and icmp[icmpcode] == 1"
must within 5000 judge_ready icmp
same "no such next hop: host unreachable" "$(connect_error 198.51.100.77)" EHOSTUNREACH
bg_stop icmp INT
check "said by ICMP, in the container's own words" bash -c "
	tcpdump -n -r '$T/icmp.pcap' 2>/dev/null | grep -q '198.51.100.77 unreachable'"
check "and the rest goes on" one_datagram
finish
