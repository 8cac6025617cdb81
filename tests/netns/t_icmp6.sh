#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# side-by-side
# ICMPv6 errors about translated flows, as t_icmp.sh asks it of IPv4: from real sockets on both sides.
. "$(dirname "$0")/lib.sh"
. "$HERE/topo6.sh"
xe_only

ICMP="$HERE/icmp.py"
FAR6=2001:db8:250::1 # behind a router whose link has an MTU of 1300
XE_PORTS="{name: vethc1, role: inside, allow: [$C1/32, $C1_6/128]}
{name: vethc2, role: inside, allow: [$C2/32, $C2_6/128]}
{name: eth0, role: uplink}"
XE_RULES="masquerade udp from $C1_6/128 to $SRV6_4/128 out eth0 ports 30000-30001
masquerade from $INSIDE6 out eth0 ports 20000-29999"
JUDGE_EXT="$EXT"

ask() { # NAME CONTAINER WANTED ARGUMENTS OF icmp.py ask
	local name=$1 ns=$2 wanted=$3

	shift 3
	same "$name" "$(on "$ns" "$PY" "$ICMP" ask "$@")" "$wanted"
}

topo_up
topo_ns o
topo6_up
must ip link add olink netns "$ID-w" type veth peer name eth0 netns "$ID-o"
must on w ip link set olink up
must on o ip link set eth0 up
must on o sysctl -q -w net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.all.accept_ra=0
must topo6_dev o lo
topo6_addr w olink 2001:db8:25::1/64
topo6_addr o eth0 2001:db8:25::2/64
topo6_addr o lo $FAR6/128
must on o ip -6 route add default via 2001:db8:25::1
must on w ip -6 route add $FAR6/128 via 2001:db8:25::2
must on w ip link set olink mtu 1300
for ns in w o h; do
	must on $ns sysctl -q -w net.ipv6.conf.all.forwarding=1 net.ipv6.icmp.ratelimit=0
done
judge_start
head -c $((2 << 20)) /dev/urandom >"$T/big"
bg sink o "$PY" -c '
import hashlib, socket
s = socket.create_server(("::", 8081), family=socket.AF_INET6)
c, _ = s.accept()
h = hashlib.sha256()
while True:
    data = c.recv(1 << 16)
    if not data:
        break
    h.update(data)
print(h.hexdigest())'
within 5000 listening o tcp 8081 || die "set-up: no upload sink"
serve_echo6 w $SRV6 7001
serve_echo6 w $SRV6_4 7004
xe_start
for c in c1 c2; do # so that the first probe does not wait for a route or a neighbour
	on $c "$PY" "$ICMP" ask udp $SRV6 7001 64 >/dev/null
done

ask "the first hop is the host" c1 "3 0 fd00:1:1::1" udp $FAR6 33434 1
for proto in udp tcp; do
	ask "$proto: the second the gateway" c1 "3 0 $GW6" $proto $FAR6 33434 2
	ask "$proto: of another container, too" c2 "3 0 $GW6" $proto $FAR6 33434 2
done
ask "UDP: nobody there" c1 "1 4 $FAR6" udp $FAR6 7009 64
ask "UDP: somebody there" c2 reply udp $SRV6 7001 64

xe_drops before
same "upload over a link of MTU 1300 behind the gateway" "$(on c1 "$PY" - $FAR6 "$T/big" <<'EOP'
import hashlib, socket, sys
data = open(sys.argv[2], "rb").read()
s = socket.create_connection((sys.argv[1], 8081), 10)
s.sendall(data)
s.shutdown(socket.SHUT_WR)
s.recv(1)
print(hashlib.sha256(data).hexdigest())
EOP
)" "$(bg_wait sink; tail -n 1 "$T/sink.log")"
check "c1 has learned the path MTU" grep -q 1300 <<<"$(on c1 ip -6 route get $FAR6)"
if command -v tracepath >/dev/null; then
	on c2 tracepath -6 -n -m 5 $FAR6 >"$T/tracepath.log" 2>&1
	check "tracepath finds it" grep -q "pmtu 1300" "$T/tracepath.log"
	check "and arrives" grep -q "reached" "$T/tracepath.log"
fi

bg gone o "$PY" "$ICMP" server $FAR6 7020
within 3000 grep -q listening "$T/gone.log" || die "set-up: no server"
same "a client that goes away" "$(on c1 "$PY" "$ICMP" client $FAR6 7020 4020)" reply
bg_wait gone
same "the server is told so by the container" "$(tail -n 1 "$T/gone.log")" refused

for sport in 1 2; do
	same "an Ext L4 port for flow $sport" \
		"$(on c1 "$PY" "$ICMP" client $SRV6_4 7004 410$sport)" reply
done
ask "no L4 port left" c1 "1 1 fd00:1:1::1" udp $SRV6_4 7004 64
xe_drops after
check "is counted" grep -qw "l4_ports_exhausted=1" <<<"$(xe_moved before after)"
same "no error was dropped" "$(xe_moved before after | grep -o 'icmp_[a-z_]*=[0-9]*')" ""
same "none of the errors' checksums was wrong" "$(for ns in c1 c2 o; do
	on $ns awk '/Icmp6InCsumErrors/ { print $2 }' /proc/net/snmp6
done | tr '\n' ' ')" "0 0 0 "
finish
