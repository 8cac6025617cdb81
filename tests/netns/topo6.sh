# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# topo6.sh - IPv6 beside IPv4 in the namespaces of topo.sh. Source it after lib.sh and call topo6_up
# after topo_up; what leaves untranslated finds its way back there, too.
#
#	c1 fd00:1:1::2 --- fd00:1:1::1 vethc1 [h] eth0 2001:db8:51::2 --- 2001:db8:51::1 [w]
#	c2 fd00:1:2::2 --- fd00:1:2::1 vethc2                        2001:db8:203::1 ... ::4 on lo
#
# With bridges both containers are in fd00:1:1::/64, c2 as fd00:1:1::3.

# shellcheck disable=SC2034 # for the scenarios
C1_6=fd00:1:1::2
C2_6=fd00:1:2::2
INSIDE6=fd00:1::/32
EXT6=2001:db8:51::2
GW6=2001:db8:51::1
SRV6=2001:db8:203::1
SRV6_2=2001:db8:203::2
SRV6_3=2001:db8:203::3
SRV6_4=2001:db8:203::4

# IPv6 on an interface, without what talks by itself or makes addresses wait.
topo6_dev() { # NS DEV
	on "$1" sysctl -q -w "net.ipv6.conf.$2.accept_dad=0" "net.ipv6.conf.$2.dad_transmits=0" \
		"net.ipv6.conf.$2.accept_ra=0" "net.ipv6.conf.$2.router_solicitations=0" \
		"net.ipv6.conf.$2.disable_ipv6=0"
}

topo6_addr() { # NS DEV ADDRESS/LEN
	must topo6_dev "$1" "$2"
	must on "$1" ip -6 addr add "$3" dev "$2" nodad
}

topo6_container() { # NS ADDRESS ROUTER [INTERFACE OF THE HOST]
	topo6_addr "$1" eth0 "$2/64"
	if [ "$VARIANT" != bridge ]; then
		topo6_addr h "${4:-veth$1}" "$3/64"
	fi
	must on "$1" ip -6 route add default via "$3"
}

topo6_up() {
	local ns addr

	for ns in c1 c2 h w; do
		must on $ns sysctl -q -w net.ipv6.conf.all.disable_ipv6=0 \
			net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.all.accept_ra=0
		must topo6_dev $ns lo
	done
	must on h sysctl -q -w net.ipv6.conf.all.forwarding=1
	if [ "$VARIANT" = bridge ]; then
		C2_6=fd00:1:1::3
		topo6_addr h br0 fd00:1:1::1/64
	fi
	topo6_container c1 $C1_6 fd00:1:1::1
	topo6_container c2 $C2_6 "${C2_6%::*}::1"
	topo6_addr h eth0 $EXT6/64
	topo6_addr w up0 $GW6/64
	must on h ip -6 route add default via $GW6
	for addr in $SRV6 $SRV6_2 $SRV6_3 $SRV6_4; do
		must on w ip -6 addr add $addr/128 dev lo
	done
	must on w ip -6 route add $INSIDE6 via $EXT6
	within 5000 on c1 ping -c 1 -W 1 fd00:1:1::1 || die "set-up: c1 does not reach the host by IPv6"
	within 5000 on c2 ping -c 1 -W 1 "${C2_6%::*}::1" ||
		die "set-up: c2 does not reach the host by IPv6"
	within 5000 on h ping -c 1 -W 1 $GW6 || die "set-up: the host does not reach the IPv6 gateway"
}

# ---- servers

serve_http6() { # NS L4PORT: files of $T/www; who asked is in $T/http6.log
	mkdir -p "$T/www"
	bg http6 "$1" "$PY" -u -m http.server --bind :: -d "$T/www" "$2"
	within 5000 listening "$1" tcp "$2" || die "set-up: no HTTP server"
}

serve_echo6() { # NS ADDRESS L4PORT: sends back what comes; `peer ADDRESS L4PORT` in $T/echo6.L4PORT.log
	bg "echo6.$3" "$1" "$PY" -c '
import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.bind((sys.argv[1], int(sys.argv[2])))
while True:
    data, peer = s.recvfrom(2000)
    print("peer", peer[0], peer[1], flush=True)
    s.sendto(data, peer)
' "$2" "$3"
	within 5000 listening "$1" udp "$3" || die "set-up: no UDP server"
}

# Datagrams one by one, each answered. -t SECONDS: go on for so long and say how long the longest
# time without an answer was, in ms.
udp_ask6() { # NS ADDRESS L4PORT [HOW MANY | -t SECONDS]
	on "$1" timeout 60 "$PY" - "${@:2}" <<-'EOP'
	import socket, sys, time
	addr, port = sys.argv[1], int(sys.argv[2])
	seconds = float(sys.argv[4]) if sys.argv[3:4] == ["-t"] else 0
	count = 1 << 30 if seconds else int(sys.argv[3]) if sys.argv[3:] else 20
	s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
	s.connect((addr, port))
	s.settimeout(0.1 if seconds else 3)
	start = last = time.monotonic()
	longest = 0
	for i in range(count):
	    now = time.monotonic()
	    if seconds and now - start > seconds:
	        break
	    try:
	        s.send(b"%d" % i)
	        while s.recv(2000) != b"%d" % i:
	            pass
	    except OSError:
	        if not seconds:
	            raise
	        continue
	    longest = max(longest, time.monotonic() - last)
	    last = time.monotonic()
	    if seconds:
	        time.sleep(0.01)
	longest = max(longest, time.monotonic() - last)
	print(int(longest * 1000))
	EOP
}
