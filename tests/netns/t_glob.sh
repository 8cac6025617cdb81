#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# side-by-side
# Containers come and go: an interface that a glob names is attached when it appears, forgotten when
# it goes, attached again under the same name, renamed; flows of the others don't notice.
. "$(dirname "$0")/lib.sh"
xe_only
command -v conntrack >/dev/null || skip_all "needs \`conntrack\`"

XE_PORTS="{name: veth*, role: inside, allow: [10.1.0.0/24]}
{name: eth0, role: uplink}"
XE_RULES="kernel udp to $SRV2/32
$XE_RULES"
XE_LINKS="vethc1 eth0" # vethc2 comes and goes
XE_CONTAINERS=c1

attached() { # NAME
	[ "$(json "$(xe_ctl port list --json)" "len([p for p in j['ports'] if
		p['name'] == '$1' and p['state'] == 'attached'])")" = 1 ]
}

gone() { # NAME
	[ "$(json "$(xe_ctl port list --json)" "len([p for p in j['ports'] if
		p['name'] == '$1' and p['state'] == 'attached'])")" = 0 ]
}

kernel_flows() { on h conntrack -L -p udp --orig-src "$1" --dport 7002 2>/dev/null | grep -c ^udp; }

c2_works() { # NAME [INTERFACE]
	check "$1: attached within 2 s" within 2000 attached "${2:-vethc2}"
	carried_begin
	check "$1: TCP" on c2 "$TCP_MANY" client -c 5 -u 30001 -d 30001 $SRV1 9000
	check "$1: UDP" on c2 "$UDP_SEND" -s 1-50 -r 2000 $SRV1 7001
	carried_end "$1"
}

topo_up
must on h ip link del vethc2
judge_start
serve_many w $SRV1 9000
serve_echo w $SRV1 7001
serve_echo w $SRV2 7002
xe_start
bg flows c1 "$TCP_MANY" client -c 5 -t 60 -g 10 -u 20000 -d 20000 $SRV1 9000
check "what is there is attached" attached vethc1
same "nothing is attached to what nobody names" \
	"$(link_show h lo | grep -c xdp)" 0

topo_container c2 $C2
c2_works "an interface that appears"
for round in 1 2 3; do
	# Both have a flow of the kernel's, of which no session tells.
	c2=$(on c2 ip -4 -o addr show dev eth0 | sed 's,.*inet \([0-9.]*\)/.*,\1,')
	check "by the kernel ($round)" on c2 "$UDP_SEND" -n 1 $SRV2 7002
	check "the other one, too ($round)" on c1 "$UDP_SEND" -n 1 $SRV2 7002
	# The other end goes in the middle of a transfer.
	bg dying c2 "$TCP_MANY" client -c 3 -t 60 -u 50000 -d 50000 $SRV1 9000
	sleep 0.2
	must on h ip link del vethc2
	check "removed: forgotten ($round)" within 2000 gone vethc2
	bg_stop dying KILL
	check "removed: status is content ($round)" within 2000 xe_ctl status
	check "removed: its address may be another's ($round)" within 2000 eval '[ "$(kernel_flows $c2)" = 0 ]'
	check "removed: the other one's flows are left alone ($round)" [ "$(kernel_flows $C1)" -ge 1 ]
	# Another address, as a new container has: the old one's dying sockets send no more.
	topo_container c2 10.1.0.1$round
	c2_works "the same name again ($round)"
done
must on h ip link del vethc2
check "removed for good" within 2000 gone vethc2

# A name that no entry of the file covers, added and taken away by hand.
topo_container c2 10.1.0.20 pod2
sleep 0.3
same "not named, not attached" "$(link_show h pod2 | grep -c xdp)" 0
check "port add" xe_ctl port add pod2 inside allow 10.1.0.20/32
c2_works "port add" pod2
check "port del" xe_ctl port del pod2
same "port del: nothing is attached" "$(link_show h pod2 | grep -c xdp)" 0
check "port del: status is content" xe_ctl status

# Another name that the same entry catches: the port goes on, under that name everywhere.
rename() { # FROM TO: as it runs; kernels before 6.2 want it down for that
	on h ip link set "$1" name "$2" 2>/dev/null ||
		on h ip -batch - <<-EOF
		link set $1 down
		link set $1 name $2
		link set $2 up
		route replace $C1/32 dev $2
		EOF
}
c1_flows() { json "$(xe_ctl flow list tcp --json)" "sorted(f['nat_src'] for f in j['flows'] if f['src'].startswith('$C1:'))"; }
net_names() { # TEXT: how often the safety net names it
	local table

	table=$(json "$(xe_ctl status --json)" "j['safety_net']['table']")
	on h nft list table inet "$table" | grep -cw "$1"
}
before=$(c1_flows)
seen() { json "$(xe_ctl stats --json)" "[p['seen'] for p in j['ports'] if p['name'] == '$1'][0]"; }
seen_before=$(seen vethc1)
for names in "vethc1 vethz1" "vethz1 vethc1"; do
	from=${names% *} to=${names#* }
	must rename $from $to
	check "renamed: $to is attached" within 2000 attached $to
	check "renamed: $from is no port" gone $from
	check "renamed: the safety net follows" within 2000 eval "[ \"\$(net_names $to)\" -gt 0 ] && [ \"\$(net_names $from)\" = 0 ]"
	same "renamed: flows keep their L4 ports" "$(c1_flows)" "$before"
	check "renamed: status is content" within 2000 xe_ctl status
done
check "renamed: the counters go on" [ "$(seen vethc1)" -ge "$seen_before" ]
same "renamed: nothing was detached" "$(grep -c 'detach port vethc1' "$T/xegressd.$XE_RUN.log")" 0
check "flows of the other container never noticed" bg_stop flows
sed 's/^/# /' "$T/flows.log"
between "and never stood still" "$(json "$T/flows.log" "j['max_stall_ms']")" 0 $((1000 * XE_SLOW))
must on h ip link del pod2
finish
