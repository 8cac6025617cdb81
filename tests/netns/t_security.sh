#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# side-by-side
# What a container or an outsider must not achieve, and every reason of include/xegress/reason.h that
# a single frame can provoke: each frame counts once, under one reason, and no other counter moves.
. "$(dirname "$0")/lib.sh"
xe_only

N=7 # frames a kind: no multiple or fraction of it is mistaken for it

XE_RULES="kernel udp to $SRV2/32
drop from $INSIDE to $SRV3/32
masquerade from $INSIDE to 203.0.113.0/24 out eth0 ports 20000-29999"
XE_LINKS="vethc1 vethc2 eth0 eth9"

mac() { on "$1" cat /proc/net/dev >/dev/null && ip_plain "$1" -j link show dev "$2" |
	"$PY" -c 'import json, sys; print(json.load(sys.stdin)[0]["address"])'; }

moved_is() { xe_drops now && [[ " $(xe_moved before now) " =~ ^\ $1\ $ ]]; }

# All that moved, as `reason=n` in the order of reason.h. N frames of one kind from one place.
counts() { # KIND NS INTERFACE PATTERN
	xe_drops before
	on "$2" "$PY" "$HERE/craft.py" send "$T/frames" "$3" "$1" $N
	within 1500 moved_is "$4"
	sleep 0.05
	xe_drops now
	if [[ " $(xe_moved before now) " =~ ^\ $4\ $ ]]; then
		pass "$1"
	else
		fail "$1" "moved: \`$(xe_moved before now)\`, wanted \`$4\`"
	fi
}

out() { counts "$1" c1 eth0 "$2"; }
back() { counts "$1" w up0 "$2"; }

topo_up
must ip link add eth9 netns "$ID-h" type veth peer name up9 netns "$ID-w"
must on h ip link set eth9 up
must on w ip link set up9 up
must on h ip addr add 100.64.9.2/24 dev eth9
must on w ip addr add 100.64.9.1/24 dev up9
must on h ip route add blackhole 192.0.2.0/25
# Nothing but the test may talk: neighbours are known for good, nobody answers.
must on c1 ip neigh replace 10.1.0.1 lladdr "$(mac h vethc1)" dev eth0 nud permanent
must on h ip neigh replace $C1 lladdr "$(mac c1 eth0)" dev vethc1 nud permanent
must on h ip neigh replace $GW lladdr "$(mac w up0)" dev eth0 nud permanent
must on h ip neigh replace 100.64.9.1 lladdr "$(mac w up9)" dev eth9 nud permanent
must on w ip neigh replace $EXT lladdr "$(mac h eth0)" dev up0 nud permanent
must on w iptables -A OUTPUT -p icmp -j DROP
must on w iptables -A OUTPUT -p tcp --tcp-flags RST RST -j DROP
judge_start
serve_echo w 0.0.0.0 7001 -n
serve_echo w $SRV1 7011
serve_echo c1 $C1 7009 -n
xe_start

# One live session, whose L4 port outside strangers will try.
bg session c1 "$UDP_SEND" -p 4100 -s 20 -n 10 -r 50 $SRV1 7011
bg_wait session
same "a live session" "$(json "$T/session.log" "j['lost']")" 0
extport=$(peers echo.w.7011 | sed 's/.*://')
"$PY" "$HERE/craft.py" build "$T/frames" mac="$(mac c1 eth0)" gw="$(mac h vethc1)" \
	wmac="$(mac w up0)" hmac="$(mac h eth0)" src=$C1 other=$C2 srv=$SRV1 ext=$EXT drop=$SRV3 \
	kernel=$SRV2 norule=$GW notport=100.64.9.1 blackhole=192.0.2.5 extport="${extport:-20001}" ||
	die "set-up: craft.py"

for kind in spoof_neighbour spoof_unused spoof_public; do
	out $kind "(taken=$N w_spoofed|spoofed)=$N"
done
out land "(martian)=$N"
out ttl_1 "ttl=$N"
out spoof_ttl_1 "spoofed=$N"
out fragment_first "taken=$N frag_tiny=$N"
out fragment_later "taken=$N frag_tiny=$N"
for kind in multicast multicast_unicast_mac broadcast link_local loopback; do
	out $kind "dst_special=$N"
done
out local "dst_local=$N"
out icmp "not_tcp_udp=$N"
out ipv6 "ipv6=$N"
out other_l2 "other_l2=$N"
out midflow "midflow=$N"
out drop_rule "(taken=$N w_drop_rule|drop_rule)=$N"
out kernel_rule "kernel_rule=$N"
out no_rule "no_rule=$N"
out not_port "egress_not_port=$N"
out blackhole "no_route=$N"
for kind in ihl_4 ihl_beyond_frame total_beyond_frame total_below_header total_below_udp \
	tcp_offset_4 tcp_offset_beyond tcp_cut udp_len_7 udp_len_beyond; do
	out $kind "(taken=$N w_malformed|malformed)=$N"
done
back in_not_owned "not_owned=$N"
back in_private "not_owned=$N"
back in_wrong_peer "taken=$N no_session=$N"

# A directed broadcast is one as long as the kernel has its network.
out directed_broadcast "martian=$N"
must on h ip addr add 100.64.9.77/24 dev vethc1
must on h ip addr del 100.64.9.2/24 dev eth9
out directed_broadcast "martian=$N"
must on h ip addr del 100.64.9.77/24 dev vethc1
out directed_broadcast "no_rule=$N"

# ARP is left out of the counting above, so what is no IP is asked of the port itself.
not_ip() { # KIND NS INTERFACE
	local before after

	xe_drops before
	on "$2" "$PY" "$HERE/craft.py" send "$T/frames" "$3" "$1" $N
	sleep 0.3
	xe_drops after
	before=$(json "$T/before.json" "[r['count'] for r in j['reasons']
		if r['reason'].lower().replace('-', '_') == 'not_ip'][0]")
	after=$(json "$T/after.json" "[r['count'] for r in j['reasons']
		if r['reason'].lower().replace('-', '_') == 'not_ip'][0]")
	same "$1: nothing else moves" "$(xe_moved before after)" ""
	between "$1" $((after - before)) $N $((N + 3))
}
not_ip not_ip c1 eth0
not_ip vlan c1 eth0
not_ip in_arp w up0

# A wrong checksum stays wrong: the receiver, not we, finds it.
JUDGE_ALLOW_CSUM=$N
xe_drops before
on c1 "$PY" "$HERE/craft.py" send "$T/frames" eth0 bad_checksum $N
within 1500 moved_is "taken=$N"
same "a wrong checksum is carried" "$(xe_drops now; xe_moved before now)" "taken=$N"

# What was not to arrive has not arrived; `kernel` and no rule have. All by the servers' own count.
for server in w.7001 w.7011 c1.7009; do
	bg_stop "echo.$server"
done
same "nothing from outside reached the container" "$(json "$T/echo.c1.7009.log" "j['rx']")" 0
same "the session got only its own" "$(json "$T/echo.w.7011.log" "j['rx']")" 10
finish
