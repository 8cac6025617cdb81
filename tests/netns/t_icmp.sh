#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# side-by-side
# ICMP errors about translated flows, both ways, seen from real sockets and on the wire: time
# exceeded, unreachable, fragmentation needed (path MTU discovery end to end), from a router that is
# not the peer; what a container answers a reply with; what must not be forwarded; what is counted.
. "$(dirname "$0")/lib.sh"

ICMP="$HERE/icmp.py"
FAR=203.0.113.50  # behind a router whose link has an MTU of 1300
ROUTER=192.0.2.5  # its address there
XE_RULES="masquerade udp from $C1/32 to $SRV4/32 out eth0 ports 40000-40001
$XE_RULES"

ask() { # NAME CONTAINER WANTED ARGUMENTS OF icmp.py ask
	local name=$1 ns=$2 wanted=$3

	shift 3
	same "$name" "$(on "$ns" "$PY" "$ICMP" ask "$@")" "$wanted"
}

mac() { ip_plain "$1" -j link show dev "$2" | "$PY" -c 'import json, sys; print(json.load(sys.stdin)[0]["address"])'; }

watch_start() { # NAME NS INTERFACE
	bg "$1" "$2" "$PY" "$ICMP" watch "$3"
	within 5000 grep -q listening "$T/$1.log" || die "set-up: no watch"
}

watch_end() { # NAME: how many
	sleep 0.2
	bg_stop "$1"
	grep -v listening "$T/$1.log" >"$T/$1.json"
	wc -l <"$T/$1.json"
}

# One crafted error, about the live UDP flow from c1 unless said otherwise: what moves, exactly.
counted() { # NAME MOVES NS INTERFACE KIND KEY=VALUE...
	local name=$1 moves=$2 ns=$3 dev=$4

	shift 4
	xe_drops before
	on "$ns" "$PY" "$ICMP" send "$dev" "$@"
	within 1500 counted_is "$moves"
	sleep 0.05
	xe_drops now
	same "$name" "$(xe_moved before now)" "$moves"
}

counted_is() { xe_drops now && [ "$(xe_moved before now)" = "$1" ]; }

topo_up
topo_ns o
must ip link add olink netns "$ID-w" type veth peer name eth0 netns "$ID-o"
must on w ip addr add $ROUTER/30 dev olink
must on o ip addr add 192.0.2.6/30 dev eth0
must on o ip addr add $FAR/32 dev lo
must on w ip link set olink up
must on o ip link set eth0 up
must on o ip route add default via $ROUTER
must on w ip route add $FAR/32 via 192.0.2.6 mtu lock 1300
for ns in w o h; do
	must on $ns sysctl -q -w net.ipv4.ip_forward=1 net.ipv4.icmp_ratelimit=0
done
must on o iptables -A INPUT -p tcp --dport 9999 -j REJECT --reject-with icmp-admin-prohibited
judge_start
mkdir -p "$T/www"
head -c $((4 << 20)) /dev/urandom >"$T/www/big"
serve_http 8080
bg sink o "$PY" "$ROOT/tests/netns/sink.py" 8081
within 5000 listening o tcp 8081 || die "set-up: no upload sink"
serve_echo w $SRV1 7001
serve_echo w $SRV4 7004
serve_echo h $EXT 20500 # in the range, but there before us
xe_start
# So that the first probe does not wait for a route or a neighbour.
for c in c1 c2; do
	on $c "$PY" "$ICMP" ask udp $SRV1 7001 64 >/dev/null
done

# ---- errors to the container
watch_start errors c1 eth0
for proto in udp tcp; do
	port=7001
	[ $proto = udp ] || port=8080
	ask "$proto: the first hop is the host" c1 "11 0 10.1.0.1" $proto $FAR 33434 1
	ask "$proto: the second the gateway" c1 "11 0 $GW" $proto $FAR 33434 2
	ask "$proto: far enough" c1 reply $proto $SRV1 $port 64
	ask "$proto: of another container, too" c2 "11 0 $GW" $proto $FAR 33434 2
done
ask "UDP: nobody there" c1 "3 3 $FAR" udp $FAR 7009 64
ask "UDP: nobody there, of a host that has the gateway's address" c2 "3 3 $GW" udp $GW 7009 64
ask "TCP: administratively prohibited" c1 "3 13 $FAR" tcp $FAR 9999 64
n=$(watch_end errors)
between "errors seen by c1" "$n" 6 12
# (A quoted L4 checksum that was left to an offload the kernel's NAT does not get right.)
same "all checksums right, the quoted ones too" "$("$PY" - "$T/errors.json" "$XE_KERNEL" <<'EOP'
import json, sys
looked = ("ip_ok", "icmp_ok", "quoted_ip_ok") + ("quoted_l4_ok",) * (sys.argv[2] == "0")
bad = [l for l in open(sys.argv[1])
       if not all(v for k, v in json.loads(l).items() if k in looked)]
print(len(bad), *bad[:2])
EOP
)" 0
same "what is quoted was sent by c1" \
	"$(grep -c "\"quoted\": \"$C1:" "$T/errors.json")" "$n"

# ---- path MTU
wanted=$(sha <"$T/www/big")
same "upload over a link of MTU 1300 behind the gateway" \
	"$(on c1 curl -sS --fail -m 20 -T "$T/www/big" "http://$FAR:8081/")" "$wanted"
check "c1 has learned the path MTU" grep -q 1300 <<<"$(on c1 ip route get $FAR)"
same "and c2 by a datagram" "$(on c2 "$PY" - $FAR <<'EOP'
import select, socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_IP, 10, 2)
s.connect((sys.argv[1], 7010))
s.send(bytes(1400))
p = select.poll()
p.register(s, select.POLLERR)
p.poll(3000)
print(s.getsockopt(socket.SOL_IP, 14))
EOP
)" 1300
if command -v tracepath >/dev/null; then
	on c2 ip route flush cache
	on c2 tracepath -n -m 5 $FAR >"$T/tracepath.log" 2>&1
	check "tracepath finds it" grep -q "pmtu 1300" "$T/tracepath.log"
	check "and arrives" grep -q "reached" "$T/tracepath.log"
fi
if command -v traceroute >/dev/null; then
	for how in "" "-T -p 8081"; do
		# shellcheck disable=SC2086 # words
		on c1 traceroute -n -q 1 -w 2 -m 5 $how $FAR >"$T/traceroute.log" 2>&1
		same "traceroute ${how:-by UDP}" "$(awk '$1 ~ /^[1-9]$/ { printf "%s ", $2 }' \
			"$T/traceroute.log")" "10.1.0.1 $GW $FAR "
	done
fi
if command -v mtr >/dev/null; then
	on c1 mtr -n -u -r -c 2 $FAR >"$T/mtr.log" 2>&1
	check "mtr by UDP sees gateway and host" \
		grep -qE "\|-- $FAR +0.0%" "$T/mtr.log"
fi

# ---- errors of the container
watch_start outward w up0
bg gone o "$PY" "$ICMP" server $FAR 7020
within 3000 grep -q listening "$T/gone.log" || die "set-up: no server"
same "a client that goes away" "$(on c1 "$PY" "$ICMP" client $FAR 7020 4020)" reply
bg_wait gone
same "the server is told so by the container" "$(tail -n 1 "$T/gone.log")" refused
n=$(watch_end outward)
same "one error left, from the outside address" \
	"$(json "$T/outward.json" "[j['src'], j['dst'], j['type'], j['code'], j['ttl']]")" \
	"[\"$EXT\", \"$FAR\", 3, 3, 63]"
same "about what the server sent" \
	"$(json "$T/outward.json" "j['quoted'].split(':')[0:2] + [int(j['quoted'].rsplit(':')[-1]) in range(20000, 30000)]")" \
	"[\"$FAR\", \"7020 $EXT\", true]"
same "with right checksums" "$(json "$T/outward.json" \
	"[v for k, v in j.items() if k.endswith('_ok')][:4 - $XE_KERNEL]")" \
	"[true, true, true$([ "$XE_KERNEL" = 1 ] || echo ', true')]"

# ---- echo is the kernel's, and its ids are not ours to spoil
for c in c1 c2; do
	bg "echo_$c" $c "$PY" "$ICMP" echo $SRV1 77
done
for c in c1 c2; do
	bg_wait "echo_$c"
	same "echo with one id from two containers: $c" "$(cat "$T/echo_$c.log")" reply
done
[ "$XE_KERNEL" = 0 ] || finish
if [ "${XE_WORKERS:-1}" -gt 1 ]; then
	xe_stats after
	between "errors and replies were handed to the flow's owner" \
		"$(json "$T/after.json" "sum(w['handed_out'] for w in j['workers'])")" 4 1000000
fi

# ---- resources: the third flow of two L4 ports is told so; the other two live on
for sport in 1 2; do
	bg "held$sport" c1 "$UDP_SEND" -p 410$sport -s 20 -t 2 -r 20 $SRV4 7004
done
sleep 0.5
xe_drops before
ask "no L4 port left" c1 "3 13 10.1.0.1" udp $SRV4 7004 64
xe_drops now
check "is counted" grep -qw "l4_ports_exhausted=1" <<<"$(xe_moved before now)"
for sport in 1 2; do
	check "a flow that was there before lives ($sport)" bg_wait "held$sport"
done

# ---- crafted: what is delivered, what is not, and how it is counted
on c1 "$UDP_SEND" -p 4100 -s 20 -n 10 -r 50 $SRV1 7001 >/dev/null
extport=$(peers echo.w.7001 | tail -n 1 | sed 's/.*://')
up="smac=$(mac w up0) dmac=$(mac h eth0)"
live="src=$GW dst=$EXT qsrc=$EXT qsport=$extport qdst=$SRV1 qdport=7001 $up"
watch_start crafted c1 eth0
# shellcheck disable=SC2086 # words
{
	for kind in unreachable too_big expired parameter cut options extensions; do
		counted "$kind" "taken=1" w up0 $kind $live
	done
	counted "wrong ICMP checksum" "taken=1 icmp_bad_csum=1" w up0 bad_csum $live
	counted "wrong checksum of the quoted header" "taken=1 icmp_bad_csum=1" w up0 bad_quoted $live
	counted "an owned L4 port, another peer" "taken=1 icmp_no_session=1" w up0 unreachable \
		${live/qdport=7001/qdport=7002}
	counted "redirect" "not_tcp_udp=1" w up0 redirect $live
	counted "source quench" "not_tcp_udp=1" w up0 quench $live
	counted "TCP's L4 port is another" "icmp_not_owned=1" w up0 unreachable $live proto=tcp
	counted "in the range, not owned" "icmp_not_owned=1" w up0 unreachable \
		${live/qsport=$extport/qsport=$((extport ^ 1))}
	counted "about a packet of the host's own" "not_owned=1" w up0 unreachable \
		${live/qsport=$extport/qsport=50000}
	counted "about what a listener of the host in the range sent" "not_owned=1" w up0 \
		unreachable ${live/qsport=$extport/qsport=20500}
	counted "about an inside address" "not_owned=1" w up0 unreachable \
		src=$GW dst=$C1 qsrc=$C1 qsport=4100 qdst=$SRV1 qdport=7001 $up
	counted "not sent to whom it quotes" "not_tcp_udp=1" w up0 unreachable ${live/dst=$EXT/dst=$C1}
}
n=$(watch_end crafted)
same "of all these the first seven arrive, as they are" \
	"$("$PY" - "$T/crafted.json" <<'EOP'
import json, sys
for l in open(sys.argv[1]):
    j = json.loads(l)
    print(j["type"], j["code"], j["mtu"], j["src"], j["quoted"],
          all(v for k, v in j.items() if k.endswith("_ok")), sep=",")
EOP
)" "$(for e in 3,1,0 3,4,1300 11,0,0 12,0,0 3,1,0 3,1,0 11,0,0; do
	echo "$e,$GW,$C1:4100 $SRV1:7001,True"
done)"
check "the flow has survived it all" on c1 "$UDP_SEND" -p 4100 -s 20 -n 10 -r 50 $SRV1 7001

# From the container: a redirect stays, an error of another's address is dropped.
watch_start leaving w up0
in="smac=$(mac c1 eth0) dmac=$(mac h vethc1)"
about="qsrc=$SRV1 qsport=7001 qdst=$C1 qdport=4100 dst=$SRV1 $in"
# shellcheck disable=SC2086 # words
{
	counted "redirect from a container" "not_tcp_udp=1" c1 eth0 redirect src=$C1 $about
	counted "with another's source" "spoofed=1" c1 eth0 unreachable src=$C2 $about
	counted "about no live flow" "not_tcp_udp=1" c1 eth0 unreachable src=$C1 \
		${about/qdport=4100/qdport=4999}
	counted "wrong checksum from a container" "taken=1 icmp_bad_csum=1" c1 eth0 bad_csum src=$C1 \
		$about
	counted "from a container" "taken=1" c1 eth0 unreachable src=$C1 $about
}
n=$(watch_end leaving)
same "only the last one left" \
	"$(json "$T/leaving.json" "[$n, j['src'], j['dst'], j['ttl'], j['type'], j['quoted']]")" \
	"[1, \"$EXT\", \"$SRV1\", 63, 3, \"$SRV1:7001 $EXT:$extport\"]"
finish
