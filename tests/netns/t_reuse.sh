#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# In make check-long: what conntrack has of a container on a bridge ends with it, though `allow` names
# no more than the bridge's prefix, and its address is another's at once; also after a takeover.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/takeover.sh"
xe_only
command -v conntrack >/dev/null || skip_all "needs \`conntrack\`"

XE_PORTS="{name: veth*, role: inside, allow: [10.1.0.0/24]}
{name: eth0, role: uplink}"
XE_RULES="kernel udp to $SRV2/32
$XE_RULES"
XE_LINKS="vethc1 eth0" # vethc2 comes and goes

kernel_flows() { on h conntrack -L -p udp --orig-src "$1" --dport 7002 2>/dev/null | grep -c ^udp; }
attached() { json "$(xe_ctl port list --json)" "[p['state'] for p in j['ports'] if p['name'] == '$1']" | grep -qw attached; }
ask() { on "$1" "$UDP_SEND" -n 1 "${@:2}" $SRV2 7002; }

topo_up bridge
judge_start
serve_echo w $SRV2 7002
xe_start
for when in "as it is" "after a takeover"; do
	if [ "$when" = "after a takeover" ]; then
		check "another process takes over" take_over
		XE_UP=1
	fi
	check "$when: a flow by the kernel" ask c1 -p 5001
	check "$when: the other container's" ask c2 -p 5002
	must on h ip link del vethc2
	check "$when: it ends with its container" within 2000 eval '[ "$(kernel_flows $C2)" = 0 ]'
	check "$when: the other one's goes on" [ "$(kernel_flows $C1)" -ge 1 ]
	topo_container c2 $C2
	check "$when: the next one is attached" within 3000 attached vethc2
	check "$when: and has flows of its own" ask c2 -p 5002
	sleep 0.5
	check "$when: which stay" [ "$(kernel_flows $C2)" = 1 ]
done
xe_stop
finish
