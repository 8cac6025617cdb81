#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# The data path of IPv6: masquerade, a pool and plain forwarding, TCP and UDP in both directions, every
# byte compared and every checksum judged on the wire; superpackets whole and segments joined;
# extension headers of real sockets; hop limit; packets that are too big in either direction; offloads
# on and off; two workers.
# side-by-side
. "$(dirname "$0")/lib.sh"
. "$HERE/topo6.sh"
xe_only

BULK="$HERE/bulk.py"
XE_PORTS="{name: vethc1, role: inside, allow: [$C1/32, \"$C1_6/128\"]}
{name: vethc2, role: inside, allow: [$C2/32, \"$C2_6/128\"]}
{name: eth0, role: uplink, coalesce: on}"
POOL6=2001:db8:51::10
XE_RULES="accept from $INSIDE6 to $SRV6_4/128
snat from $INSIDE6 to $SRV6_3/128 out eth0 source $POOL6 ports 40000-40999
masquerade from $INSIDE6 out eth0 ports 20000-29999
masquerade from $INSIDE out eth0 ports 20000-29999"
JUDGE_INSIDE6=$INSIDE6
JUDGE_ALLOW_DST=$SRV6_4

peers6_in() { # LOG ADDRESS LOW HIGH: did the server see this address only, and such L4 ports?
	local all

	all=$(sed -n 's/^peer \[\(.*\)\]:\([0-9]*\)$/\1 \2/p' "$T/$1.log")
	[ -n "$all" ] || { echo "no client was seen"; return 1; }
	awk -v a="$2" -v lo="$3" -v hi="$4" '
		$1 != a || $2 < lo || $2 > hi { print "seen from outside: " $0; bad = 1 }
		END { exit bad }' <<<"$all"
}

forwarded6() { on h awk '$1 == "Ip6OutForwDatagrams" { print $2 }' /proc/net/snmp6; }
carried6_begin() { FORW6=$(forwarded6); }
carried6_end() { same "$1: the kernel forwarded nothing" $(($(forwarded6) - FORW6)) 0; }

stat_sum() { json "$(xe_ctl stats --json)" "sum(w['$1'] for w in j['workers'])"; }

transfer() { # NAME
	check "$1: TCP, every byte" \
		on c1 "$TCP_MANY" client -c 4 -u 2000003 -d 2000003 $SRV6 9000
	check "$1: UDP, odd and even" on c1 "$UDP_SEND" -s 0-200 -r 4000 $SRV6 7001
	check "$1: UDP, full frames" on c1 "$UDP_SEND" -s 1380-1452 -r 4000 $SRV6 7001
}

sink_up() { # NAME L4PORT KIND [gro]
	bg "$1" w "$PY" "$BULK" "$3" $SRV6 "$2" ${4:+"$4"}
	within 3000 grep -q listening "$T/$1.log" || die "set-up: no $1"
}

udp_case() { # NAME L4PORT [gro]
	local sent

	sink_up "sink$2" "$2" udp_sink ${3:+"$3"}
	sent=$(on c1 "$PY" "$BULK" udp_send $SRV6 "$2" 60)
	bg_wait "sink$2"
	same "$1: every datagram, intact, in order" \
		"$(tail -n 1 "$T/sink$2.log" | sed 's/, "joined.*//')" \
		"{\"datagrams\": $sent, \"wrong\": 0, \"disorder\": 0, \"lost\": 0"
}

tcp_case() { # NAME L4PORT
	local sent

	sink_up "sink$2" "$2" tcp_sink
	bg watch w "$PY" "$BULK" watch up0 "$2" 6
	within 3000 grep -q listening "$T/watch.log"
	sent=$(on c1 "$PY" "$BULK" tcp_send $SRV6 "$2" 1.5)
	bg_wait "sink$2"
	bg_stop watch
	same "$1: arrives intact" "$(tail -n 1 "$T/sink$2.log")" "$sent"
	echo "# $(tail -n 1 "$T/watch.log")"
}

seen() { json "$(tail -n 1 "$T/watch.log")" "j['$1']"; }

superpackets() { json "$(xe_ctl port list --json)" \
	"[p['superpackets_out'] for p in j['ports'] if p['name'] == 'eth0'][0]"; }

# Sends SIZE bytes without leave to fragment, prints the path MTU that its kernel has learned.
path_mtu6() { # NS ADDRESS L4PORT SIZE
	on "$1" timeout 20 "$PY" - "${@:2}" <<-'EOP'
	import socket, sys
	DISCOVER, DO, MTU = 23, 2, 24
	s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
	s.setsockopt(socket.IPPROTO_IPV6, DISCOVER, DO)
	s.settimeout(1)
	s.connect((sys.argv[1], int(sys.argv[2])))
	for data in (b"there is a session", b"x" * int(sys.argv[3]), b"and another"):
	    try:
	        s.send(data)
	        s.recv(2000)
	    except OSError:
	        pass
	print(s.getsockopt(socket.IPPROTO_IPV6, MTU))
	EOP
}

# With these options in each packet: an echo of some datagrams, and of some TCP.
with_options() { # NAME of the socket option, hex bytes of the header
	on c1 timeout 20 "$PY" - "$1" "$2" $SRV6 <<-'EOP'
	import os, socket, sys
	option = getattr(socket, sys.argv[1])
	header, addr = bytes.fromhex(sys.argv[2]), sys.argv[3]
	u = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
	u.setsockopt(socket.IPPROTO_IPV6, option, header)
	u.connect((addr, 7002))
	u.settimeout(2)
	for n in (0, 1, 7, 100, 1000, 1401):
	    data = os.urandom(n)
	    u.send(data)
	    if u.recv(2000) != data:
	        sys.exit("UDP: %d bytes come back changed" % n)
	t = socket.socket(socket.AF_INET6)
	t.setsockopt(socket.IPPROTO_IPV6, option, header)
	t.settimeout(5)
	t.connect((addr, 7003))
	data, got = os.urandom(300001), b""
	t.sendall(data)
	t.shutdown(socket.SHUT_WR)
	while part := t.recv(65536):
	    got += part
	if got != data:
	    sys.exit("TCP: %d bytes sent, %d come back, changed" % (len(data), len(got)))
	EOP
}

topo_up
topo6_up
must on w ip -6 route add $POOL6/128 via $EXT6
judge_start
serve_many w $SRV6 9000
serve_many w $SRV6_3 9003
serve_many w $SRV6_4 9004
serve_echo w $SRV6 7001
serve_echo w $SRV6_2 7001
serve_echo w $SRV6_3 7001
serve_echo w $SRV6_4 7001
serve_echo w $SRV1 7001
serve_echo6 w $SRV6 7002
bg tcp_echo w "$PY" -c 'import socket, sys
s = socket.create_server((sys.argv[1], 7003), family=socket.AF_INET6)
while True:
    c = s.accept()[0]
    data = b""
    while part := c.recv(65536): data += part
    c.sendall(data)
    c.close()' $SRV6
within 3000 listening w tcp 7003 || die "set-up: no TCP echo"
xe_start

# ---- every byte, both directions, both protocols, every kind of rule

carried6_begin
look_start tcp6 w up0 tcp 9000
look_start udp6 w up0 udp 7001
check "TCP, c1" on c1 "$TCP_MANY" client -c 20 -u 300001 -d 300001 $SRV6 9000
check "TCP, c2" on c2 "$TCP_MANY" client -c 20 -u 300001 -d 300001 $SRV6 9000
check "UDP, every length" on c1 "$UDP_SEND" -s 0-1452 -r 3000 $SRV6 7001
check "UDP, c2" on c2 "$UDP_SEND" -s 0-1452 -r 3000 $SRV6 7001
look_end tcp6
look_checks "TCP at the uplink" "$LOOK"
same "hop limit: one less" "$(json "$LOOK" "j['ttls']")" '{"63": '"$(json "$LOOK" "j['packets']")"'}'
same "one source" "$(json "$LOOK" "list(j['sources'])")" "[\"$EXT6\"]"
look_end udp6
look_checks "UDP at the uplink" "$LOOK"
check "pool: TCP" on c1 "$TCP_MANY" client -c 5 -u 100001 -d 100001 $SRV6_3 9003
check "pool: UDP" on c1 "$UDP_SEND" -s 0-1452 -r 3000 $SRV6_3 7001
check "accept: TCP" on c1 "$TCP_MANY" client -c 5 -u 100001 -d 100001 $SRV6_4 9004
check "accept: UDP" on c1 "$UDP_SEND" -s 0-1452 -r 3000 $SRV6_4 7001
check "IPv4 beside it" on c1 "$UDP_SEND" -s 0-1472 -r 3000 $SRV1 7001
carried6_end "plain"

# ---- extension headers

check "destination options" with_options IPV6_DSTOPTS 0000010400000000
# An experimental option (RFC 4727) to be skipped: more than 7 bytes of padding Linux does not take.
check "24 bytes of them" with_options IPV6_DSTOPTS "00021e1400000000$(printf '5a%.0s' {1..16})"
check "hop-by-hop options" with_options IPV6_HOPOPTS 0000010400000000
carried6_end "extension headers"

# ---- superpackets

tcp_case "TCP, small and large" 7100
between "superpackets among it" "$(seen big)" 20 1000000
between "and small ones" "$(seen small)" 20 1000000
udp_case "UDP superpackets" 7201
udp_case "UDP superpackets to a UDP_GRO socket" 7202 gro
between "they arrive whole" "$(tail -n 1 "$T/sink7202.log" |
	sed 's/.*"joined": \([0-9]*\).*/\1/')" 20 1000000
same "status: all kinds go out whole" "$(superpackets)" "tcp udp"
must on h ethtool -K eth0 tx-tcp6-segmentation off
same "status: TCP over IPv4 only" "$(sleep 0.3; superpackets)" "tcp4 udp"
tcp_case "device without segmentation of TCP over IPv6" 7101
must on h ethtool -K eth0 tx-tcp6-segmentation on
carried6_end "superpackets"

# ---- segments joined toward the container

must on w ethtool -K up0 tso off gso off gro off
before=$(stat_sum merged)
check "download of single segments" on c1 "$TCP_MANY" client -c 2 -u 1000 -d 20000001 $SRV6 9000
between "they are joined" $(($(stat_sum merged) - before)) 5000 1000000
must on w ethtool -K up0 tso on gso on gro on

# ---- offloads of the container, and of the server

transfer "offload on"
must on c1 ethtool -K eth0 tso off gso off
transfer "no TSO"
must on c1 ethtool -K eth0 tx off
look_start glass w up0 udp 7001
transfer "no checksum offload"
look_end glass
look_checks "no checksum offload" "$LOOK"
must on c1 ethtool -K eth0 tx on sg on tso on gso on
must on w ethtool -K up0 tx off
transfer "server without offload"
must on w ethtool -K up0 tx on
carried6_end "offloads"

# ---- hop limit and what is too big: the only packets that the kernel is to see

xe_drops before
hops=$(on c1 timeout 5 "$PY" -c 'import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IPV6, 25, 1)  # IPV6_RECVERR
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 1)
s.settimeout(2)
s.connect((sys.argv[1], 7001))
s.send(b"x")
try:
    s.recv(10)
    print("answered")
except OSError as e:
    print(e.strerror)' $SRV6)
same "hop limit 1: the sender is told" "$hops" "No route to host"
must on h ip -6 route add $SRV6_2/128 via $GW6 mtu 1300
same "outward: the path MTU is learned" "$(path_mtu6 c1 $SRV6_2 7001 1400)" 1300
must on h ip -6 route del $SRV6_2/128
serve_many w $SRV6_2 9002
must on h ip -6 route add $SRV6_2/128 via $GW6 mtu 1280
check "TCP over the smallest MTU" on c2 "$TCP_MANY" client -c 5 -u 500001 -d 500001 $SRV6_2 9002
must on h ip -6 route del $SRV6_2/128
must on h ip link set vethc2 mtu 1300
must on c2 ip link set eth0 mtu 1300
sleep 0.3
# A container that hears 1300 bytes at most; the server does not know, and is told.
bg pmtu w "$PY" -c 'import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IPV6, 23, 2)  # never fragment
s.bind((sys.argv[1], 7010))
print("listening", flush=True)
data, peer = s.recvfrom(100)
s.connect(peer)
s.settimeout(2)
s.send(b"x" * 1400)
for _ in range(20):
    try:
        s.send(b"y" * 1252)
        break
    except OSError:
        pass
import time
time.sleep(0.5)
mtu = s.getsockopt(socket.IPPROTO_IPV6, 24)
print("learned", mtu, flush=True)' $SRV6
within 3000 grep -q listening "$T/pmtu.log"
on c2 timeout 20 "$PY" - $SRV6 7010 >/dev/null 2>&1 <<'EOP' &
import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.connect((sys.argv[1], int(sys.argv[2])))
s.settimeout(0.2)
for _ in range(25):
    s.send(b"hello")
    try:
        s.recv(2000)
        break
    except OSError:
        pass
EOP
INWARD=$!
wait $INWARD
within 5000 grep -q learned "$T/pmtu.log"
bg_wait pmtu
same "inward: the server learns it from us" "$(sed -n 's/^learned //p' "$T/pmtu.log")" 1300
check "TCP to the container of a small MTU" \
	on c2 "$TCP_MANY" client -c 5 -u 500001 -d 500001 $SRV6 9000
must on h ip link set vethc2 mtu 1500
must on c2 ip link set eth0 mtu 1500
xe_drops after
echo "# $(xe_moved before after)"

check "the servers saw the uplink's address and the range" peers6_in many.w.9000 $EXT6 20000 29999
xe_conserve
xe_stop

# ---- two workers: replies are handed over

if [ "$(nproc)" -ge 2 ]; then
	must on w ip -6 route flush cache # the small MTU that was learned
	XE_WORKERS=2
	xe_start
	carried6_begin
	for c in 1 2; do
		bg "tcp$c" c$c "$TCP_MANY" client -c 10 -u 1000001 -d 1000001 $SRV6 9000
	done
	for c in 1 2; do
		check "two workers: TCP of c$c" bg_wait "tcp$c"
	done
	for c in 1 2; do
		bg "udp$c" c$c "$UDP_SEND" -s 0-1452 -r 1500 $SRV6 7001
	done
	for c in 1 2; do
		check "two workers: UDP of c$c" bg_wait "udp$c"
	done
	check "two workers: accept" on c2 "$TCP_MANY" client -c 5 -u 100001 -d 100001 $SRV6_4 9004
	carried6_end "two workers"
	between "replies were handed over" "$(stat_sum handed_out)" 100 100000000
	same "as much handed in as out" $(($(stat_sum handed_out) - $(stat_sum handed_in))) 0
fi
finish
