#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# side-by-side
# In-to-out: a live flow whose route moves to a port that its rule does not name is not carried there,
# and comes back when the route does. Ports denied, and ports no rule names, get nothing from us.
. "$(dirname "$0")/lib.sh"
xe_only

topo_up
serve_echo w $SRV1 7001
judge_start
xe_start

flow() { on c1 "$UDP_SEND" -s 100 -n "$1" -r 200 -w 300 -p 33333 $SRV1 7001; }

seen() { tcpdump -n -r "$T/$1.pcap" "$2" 2>/dev/null | wc -l; }

check "the flow runs" flow 5
same "as one session" "$(json "$(xe_ctl flow count udp --json)" "j['udp']")" 1

# The route now leads into the other container.
bg into c2 tcpdump --immediate-mode -U -n -Z root -i eth0 -s 128 -w "$T/into.pcap" udp
must within 5000 judge_ready into
xe_drops before
must on h ip route add $SRV1/32 via $C2 dev vethc2
sleep 0.3
flow 20 >/dev/null
sleep 0.3
bg_stop into INT
xe_drops after
same "nothing that we translated reaches the other container" "$(seen into "src host $EXT")" 0
check "each was given to the kernel, by the rules" \
	grep -qE 'p_(rule|not_port)=' <(xe_moved before after)
must on h ip route del $SRV1/32
sleep 0.3
check "back on its way, the flow works again" flow 5
finish
