#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# side-by-side
# Every verb of a rule and no rule at all, each judged by what arrives outside: accept, drop, kernel,
# masquerade, no match; and an interface of deny-ports that globs and routes point to.
. "$(dirname "$0")/lib.sh"

JUDGE_ALLOW_DST=$SRV4 # the accept rule's
XE_RULES="kernel tcp to $SRV2/32:9002
drop from $C1/32 to $SRV3/32
accept from $INSIDE to $SRV4/32
masquerade tcp from $INSIDE to $SRV1/32 out eth0 ports 20000-20999
masquerade udp from $INSIDE to $SRV1/32:7001-7002 out eth0 ports 21000-21999"
XE_PORTS="{name: veth*, role: inside, allow: [$INSIDE]}
{name: eth*, role: uplink}"
XE_EXTRA="deny-ports: [eth9]"
XE_LINKS="vethc1 vethc2 eth0 eth9"
XE_NFT="table ip stand_in {
	chain forwarding {
		type filter hook forward priority 0
		ip saddr $C1 ip daddr $SRV3 drop
	}
	chain post {
		type nat hook postrouting priority srcnat
		oifname eth0 ip daddr $SRV4 accept
		oifname eth0 ip daddr $SRV1 meta l4proto tcp masquerade to :20000-20999
		oifname eth0 ip daddr $SRV1 udp dport 7001-7002 masquerade to :21000-21999
		oifname eth0 ip saddr $INSIDE masquerade
	}
}"

udp() { on "$1" "$UDP_SEND" -s 1-30 -r 2000 -w 700 "${@:2}"; } # CONTAINER ADDRESS L4PORT
tcp() { on "$1" "$TCP_MANY" client -c 3 -u 30001 -d 30001 -i 3 "${@:2}"; }

topo_up
# A second network of the host, which the uplink glob catches and deny-ports takes out again.
must ip link add eth9 netns "$ID-h" type veth peer name up9 netns "$ID-w"
must on h ip link set eth9 up
must on w ip link set up9 up
must on h ip addr add 100.64.9.2/24 dev eth9
must on w ip addr add 100.64.9.1/24 dev up9
judge_start
for port in 9001 9002 9003; do
	serve_many w 0.0.0.0 $port
done
serve_echo w $SRV1 7001
serve_echo w $SRV1 7003
serve_echo w $SRV3 7005
serve_echo w $SRV4 7004
serve_echo w 100.64.9.1 7009
xe_start

carried_begin
check "masquerade, TCP" tcp c1 $SRV1 9001
check "masquerade, UDP in the range of the rule's \`to\`" udp c1 $SRV1 7001
carried_end "masquerade"
check "masquerade, TCP: seen from outside" peers_in many.w.9001 $EXT 20000 20999
check "masquerade, UDP: seen from outside" peers_in echo.w.7001 $EXT 21000 21999

before=$(snmp h Ip ForwDatagrams)
check "kernel: works" tcp c1 $SRV2 9002
between "kernel: is the kernel's work" $(($(snmp h Ip ForwDatagrams) - before)) 20 100000
check "kernel: seen from outside" peers_in many.w.9002 $EXT 1024 65535

check "no match, UDP: works by the kernel" udp c1 $SRV1 7003
check "no match: seen from outside" peers_in "echo.w.7003" $EXT 1024 65535
check "no match, TCP: works by the kernel" tcp c2 $SRV2 9003

[ "$XE_KERNEL" = 1 ] || xe_drops before_drop
on c1 "$UDP_SEND" -s 1-30 -w 300 $SRV3 7005 >/dev/null
[ "$XE_KERNEL" = 1 ] || xe_drops after_drop
check "drop: is for one source only" udp c2 $SRV3 7005
bg_stop echo.w.7005
same "drop: nothing of it arrived" "$(json "$T/echo.w.7005.log" "j['rx']")" 30
if [ "$XE_KERNEL" = 0 ]; then
	check "drop: each counted, once" grep -qw 'drop_rule=30' <<<"$(xe_moved before_drop after_drop)"
fi

check "accept: works" udp c1 $SRV4 7004
check "accept: TCP works" tcp c2 $SRV4 9003
check "accept: the source is the container" peers_in echo.w.7004 $C1 1024 65535

# The container may be routed there by the kernel, as if xegress were not there: what leaves has
# the source it came with, and the way back is asked from w.
must on w ip route add $C2/32 via 100.64.9.2 dev up9
check "deny-ports: goes by the kernel, untouched" udp c2 100.64.9.1 7009
check "deny-ports: seen from outside" peers_in echo.w.7009 $C2 1024 65535
if [ "$XE_KERNEL" = 0 ]; then
	same "deny-ports: nothing is attached" "$(on h ip -d link show eth9 | grep -c xdp)" 0
	same "deny-ports: no such port" \
		"$(json "$(xe_ctl port list --json)" "[p['name'] for p in j['ports'] if
			p['name'] == 'eth9' or p['name'] == 'lo']")" "[]"
	# Rules come and go while it runs; done means live.
	check "rule del" xe_ctl rule del masquerade tcp from $INSIDE to $SRV1/32 out eth0 \
		ports 20000-20999
	check "rule add" xe_ctl rule add masquerade tcp from $INSIDE to $SRV1/32 out eth0 \
		ports 23000-23999
	serve_many w $SRV1 9005
	check "the new rule works" tcp c1 $SRV1 9005
	check "the new rule: seen from outside" peers_in many.w.9005 $EXT 23000 23999
	check "a rule that cannot be is refused" bash -c "! '$BUILD/xegressctl' --run-dir '$T/run' \
		rule add masquerade from $INSIDE out eth7"
fi
must on w ip route del $C2/32
finish
