#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# In make check-long: 5 s of waiting for SYNs that are sent again.
# A SYN that the service has sent and whose answer did not come before all of it stands still: its
# next copy goes by the kernel, with another mapping, and the flow is established there. When the
# service goes on, it must not translate that flow by the mapping it had made for the first SYN: the
# peer, who never heard the end of that handshake, would reset it. Both directions.
. "$(dirname "$0")/lib.sh"
xe_only
XE_RULES="dnat tcp to $EXT:8080 dest $C1:80
$XE_RULES"

flows() { json "$T/$1.log" "[j['failed'], j['corrupt'], j['reset'], j['timeout']]"; }
said() { grep -cE "$1" "$T/xegressd.$XE_RUN.log"; }

topo_up
judge_start
serve_many w $SRV1 9000
serve_many c1 $C1 80
xe_start

# Answers of the servers are lost.
for ns in w c1; do
	must on $ns nft "add table ip lose; add chain ip lose out { type filter hook output priority 0; }"
	must on $ns nft "add rule ip lose out tcp flags & (syn|ack) == (syn|ack) drop"
done
bg out c1 "$TCP_MANY" client -i 40 -c 10 -t 30 -g 20 -u 20000 -d 20000 $SRV1 9000
bg in w "$TCP_MANY" client -i 40 -c 10 -t 30 -g 20 -u 20000 -d 20000 $EXT 8080
check "the first SYNs make flows here" \
	within 900 eval '[ "$(xe_ctl flow count)" = 20 ]'
must kill -STOP "${PIDS[xegressd.$XE_RUN]}"
for ns in w c1; do must on $ns nft delete table ip lose; done
sleep 3.6 # SYNs are sent again after 1 and 3 s; from 1 s on they go by the kernel
must kill -CONT "${PIDS[xegressd.$XE_RUN]}"
check "it goes on" within 1000 eval '[ "$(said "goes on, it stood still")" = 1 ]'
bg_stop out
bg_stop in
same "no connection lost, from inside" "$(flows out)" "[0, 0, 0, 0]"
same "and from outside" "$(flows in)" "[0, 0, 0, 0]"
finish
