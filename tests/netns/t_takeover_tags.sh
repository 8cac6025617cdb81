#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Flows of the kernel whose L4 ports are in no NAT range of ours are carried by tags, and conntrack
# keeps its entries of them: after a crash nothing else on the host knows that these L4 ports are not
# its own. A takeover, and a port that comes after it, do not change that.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/takeover.sh"
xe_only
command -v conntrack >/dev/null || skip_all "needs \`conntrack\`"

entries() { on h conntrack -L -p tcp --dport 9000 2>/dev/null | grep -c ESTABLISHED; }
carried() { json "$(xe_ctl flow list --json)" "sum(f['dst'] == '$SRV1:9000' for f in j['flows'])"; }

topo_up
judge_start
serve_many w $SRV1 9000
xe_snapshot >"$T/found.txt"
must on h nft "add table ip own; add chain ip own post { type nat hook postrouting priority srcnat; }"
must on h nft "add rule ip own post oifname eth0 ip saddr $INSIDE meta l4proto tcp masquerade to :40000-49999"
bg streams c1 "$TCP_MANY" client -i 20 -c 10 -t 60 -g 20 -u 2000 -d 2000 $SRV1 9000
check "flows of the kernel" within 5000 eval '[ "$(entries)" = 10 ]'
xe_start
must on h nft delete table ip own
check "they go on in the service" within 3000 eval '[ "$(carried)" = 10 ]'
same "with their entries" "$(entries)" 10
check "it is taken over" take_over
same "the new one has them, too" "$(carried)" 10
check "a port goes" xe_ctl port del vethc2
check "and comes" xe_ctl port add vethc2 inside allow $C2/32
sleep 0.3 # what is due then comes with the next tick
same "their entries are there still" "$(entries)" 10
xe_kill
sleep 1.5 # from 1 s on they would be the kernel's also where it only stood still
check "the streams go on in the kernel" running streams
xe_start
check "and come back" within 3000 eval '[ "$(carried)" = 10 ]'
check "the streams end well" bg_stop streams
same "none failed or was reset" "$(json "$T/streams.log" "[j['failed'], j['reset'], j['corrupt'], j['opened']]")" \
	"[0, 0, 0, 10]"
finish
