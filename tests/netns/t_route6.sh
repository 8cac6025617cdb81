#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# In make check-long: it waits for the kernel's timers.
# IPv6 flows while what the kernel knows changes: routes, the router and its Ethernet address,
# neighbours flushed, the uplink's address, the host's listeners, forwarding. Both families' flows
# show in `flow list`, with filters.
. "$(dirname "$0")/lib.sh"
. "$HERE/topo6.sh"
xe_only

XE_RULES="accept from fd00:1::/32 to $SRV6_4/128
snat udp from $C2_6/128 out eth0 source 2001:db8:51::99 ports 20000-29999
masquerade from 0.0.0.0/0 out eth0 ports 20000-29999
masquerade from $INSIDE6 to ::/0 out eth0 ports 20000-29999"
XE_PORTS="{name: vethc1, role: inside}
{name: vethc2, role: inside, allow: [$C2/32, \"$C2_6/128\"]}
{name: eth0, role: uplink}"

fetch6() { # NS [ADDRESS]
	on "$1" curl -g -sS --max-time 20 -o "$T/got" "http://[${2:-$SRV6}]/file" && cmp "$T/got" "$T/www/file"
}

# The addresses that servers saw since the last call.
declare -A SEEN=()
saw() { # LOG...
	local log

	SAW=$(for log; do
		tail -n +$((${SEEN[$log]:-0} + 1)) "$T/$log.log"
	done | sed -n 's/^peer \([0-9a-f:]*\) .*/\1/p; s/^\([0-9a-f:]*\) - - .*/\1/p' | sort -u |
		tr '\n' ' ')
	for log; do
		SEEN[$log]=$(wc -l <"$T/$log.log")
	done
}

connect_error() { # NS ADDRESS: what connect() says, if it says something at once
	on "$1" timeout 10 "$PY" - "$2" <<-'EOP'
	import errno, socket, sys
	try:
	    socket.create_connection((sys.argv[1], 80), 2).close()
	    print("connected")
	except socket.timeout:
	    print("nothing in 2 s")
	except OSError as e:
	    print(errno.errorcode[e.errno])
	EOP
}

flows() { # FILTER...: how many
	xe_ctl flow count "$@"
}

member() { # WHICH: of all flows in the list
	xe_ctl flow list --json | "$PY" -c 'import json, sys
for f in json.load(sys.stdin)["flows"]: print(f[sys.argv[1]])' "$1"
}

heals() { # NAME: new flows work, and the old one has gone on
	check "$1: a new TCP flow" fetch6 c1
	check "$1: a new UDP flow" udp_ask6 c1 $SRV6 7
	check "$1: the old flow lives" running big
}

topo_up
topo6_up
# The pool's address is no interface's: the kernel answers for it (docs/rules.md).
must on h sysctl -q -w net.ipv6.conf.eth0.proxy_ndp=1 net.ipv6.neigh.eth0.proxy_delay=0
must on h ip -6 neigh add proxy 2001:db8:51::99 dev eth0
mkdir -p "$T/www"
head -c 2000000 /dev/urandom >"$T/www/file"
head -c 60000000 /dev/urandom >"$T/www/big"
serve_http6 w 80
serve_echo6 w $SRV6 7
serve_echo6 w $SRV6_4 8
serve_echo w $SRV1 7001
judge_start
xe_start

# ---- what is carried, and how it shows

carried6_begin() { FORW6=$(on h awk '$1 == "Ip6OutForwDatagrams" { print $2 }' /proc/net/snmp6); }
carried6_end() { # NAME [HOW MANY MAY]
	between "$1: the kernel forwarded nothing" \
		$(($(on h awk '$1 == "Ip6OutForwDatagrams" { print $2 }' /proc/net/snmp6) - FORW6)) 0 "${2:-0}"
}

carried6_begin
check "TCP, connected prefix allowed by default" fetch6 c1
check "UDP, masquerade" udp_ask6 c1 $SRV6 7
check "UDP, pool" udp_ask6 c2 $SRV6 7
check "UDP, accept" udp_ask6 c1 $SRV6_4 8
check "IPv4 beside it" on c1 "$UDP_SEND" -s 100 -n 3 -w 1500 $SRV1 7001
carried6_end "all of it"
saw http6
same "the server saw one address by TCP" "$SAW" "$EXT6 "
saw echo6.7 echo6.8
same "and by UDP each rule's" "$SAW" "2001:db8:51::2 2001:db8:51::99 fd00:1:1::2 "
check "flow list: endpoints in brackets" grep -q "^\[$C1_6\]:[0-9]*$" <<<"$(member src)"
check "flow list: translated" grep -q "^\[$EXT6\]:2[0-9]*$" <<<"$(member nat_src)"
check "flow list: IPv4 without" grep -q "^$C1:[0-9]*$" <<<"$(member src)"
same "filter: from" "$(flows udp from $C2_6)" 1
same "filter: to" "$(flows udp to $SRV6_4)" 1
same "filter: ::/0 is IPv6 alone" "$(flows udp from ::/0)" 3
same "filter: 0.0.0.0/0 is IPv4 alone" "$(flows from 0.0.0.0/0)" 1
same "flush by filter" "$(xe_ctl flow flush udp from fd00:1:2::/64)" 1
same "is gone" "$(flows udp from $C2_6)" 0
check "rule text round trips" xe_ctl rule add drop tcp to "[2001:db8::/32]:25-26"
check "printed in brackets" grep -qF "drop tcp to [2001:db8::/32]:25-26" <<<"$(xe_ctl rule list)"
xe_ctl config >"$T/printed.yaml"
check "config is valid again" "$BUILD/xegressd" --check -c "$T/printed.yaml"
check "status shows the allowed prefix" grep -q "fd00:1:1::/64" <<<"$(xe_ctl status --json)"

# ---- routes and neighbours change under a running download

bg big c1 curl -g -sS --max-time 100 --limit-rate 1500k -o "$T/big" "http://[$SRV6]/big"
within 5000 test -s "$T/big" || die "the download does not start"
carried6_begin
must on w ip -6 addr add 2001:db8:51::3/64 dev up0 nodad
must on h ip -6 route replace default via 2001:db8:51::3
heals "another gateway"
must on h ip -6 route replace default via fe80::77 dev eth0
must on w ip -6 addr add fe80::77/64 dev up0 nodad
must on h ip -6 neigh flush dev eth0
heals "a link-local router"
must on h ip -6 route add $SRV6/128 via $GW6
heals "host route"
must on h ip -6 route del $SRV6/128
must on w sysctl -q -w net.ipv6.conf.up0.ndisc_notify=1
must on w ip link set up0 address 02:00:00:00:02:02
heals "new Ethernet address, announced"
must on w sysctl -q -w net.ipv6.conf.up0.ndisc_notify=0 net.ipv4.conf.up0.arp_notify=0
must on w ip link set up0 address 02:00:00:00:03:03
must on h ip -6 neigh flush dev eth0
must on h ip neigh flush dev eth0
heals "new Ethernet address, entries flushed"
must on h ip -6 neigh flush dev vethc1
heals "the container's entry flushed"
carried6_end "changes" 20 # what came while the way was another
must on h ip -6 route add unreachable $SRV6_2/128
same "no route: said at once" "$(connect_error c1 $SRV6_2)" ENETUNREACH
must on h ip -6 route del unreachable $SRV6_2/128
check "a route again" fetch6 c1 $SRV6_2
must on h sysctl -q -w net.ipv6.conf.all.forwarding=0
sleep 0.3
check "forwarding off: nothing is carried" eval "! udp_ask6 c1 $SRV6 7 1"
check "and check says so" grep -q "net.ipv6.conf.all.forwarding is 0" <<<"$(xe_ctl check)"
must on h sysctl -q -w net.ipv6.conf.all.forwarding=1
check "forwarding on" within 3000 udp_ask6 c1 $SRV6 7 1
check "the download lived through all of it" bg_wait big
check "every byte" cmp "$T/big" "$T/www/big"

# ---- addresses and listeners

udp_ask6 c1 $SRV6 7 -t 3 >"$T/asked" &
ASK=$!
sleep 0.5
NEW=2001:db8:51::1234
must on h ip -6 addr add $NEW/64 dev eth0 nodad
must on h ip -6 addr del $EXT6/64 dev eth0
must on w ip -6 route replace $INSIDE6 via $NEW
sleep 0.5
same "no flow has the old address" "$(member nat_src | grep -c "^\[$EXT6\]")" 0
wait $ASK
between "UDP went on, ms without an answer" "$(cat "$T/asked")" 0 $((1500 * XE_SLOW))
saw http6
check "a new flow" fetch6 c1
saw http6
same "has the new address" "$SAW" "$NEW "
must on h ip -6 addr add 2001:db8:51::5678/64 dev eth0 nodad preferred_lft 0
check "a deprecated address beside it" fetch6 c1
saw http6
same "is not taken" "$SAW" "$NEW "

bg listener h "$PY" -c 'import socket, time
s = socket.socket(socket.AF_INET6)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
s.bind(("::", 20007)); s.listen()
while True:
    s.accept()[0].close()'
within 5000 listening h tcp 20007 || die "set-up: no listener"
taken() { on h nft list set inet "$(on h nft list tables | awk '/inet xegress/ { print $3 }')" listen_tcp |
	grep -q 20007; }
check "a dual-stack listener is seen" within 2000 taken
connects() { # NS ADDRESS
	on "$1" timeout 5 "$PY" -c 'import socket, sys
socket.create_connection((sys.argv[1], 20007), 3)' "$2"
}
check "it answers IPv6 in the NAT range" connects w $NEW
check "and IPv4" connects w $EXT
bg_stop listener KILL
check "and is forgotten" within 2000 eval "! taken"

must on h ip -6 addr add $EXT6/64 dev eth0 nodad
must on h ip -6 addr del $NEW/64 dev eth0
must on h ip -6 addr del 2001:db8:51::5678/64 dev eth0
must on w ip -6 route replace $INSIDE6 via $EXT6
finish
