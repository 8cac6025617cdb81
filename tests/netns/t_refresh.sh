#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Thousands of next hops in use while routes change again and again: all of them follow, and the
# control thread meanwhile answers whoever asks.
# side-by-side
. "$(dirname "$0")/lib.sh"

DESTS=12000 # 24 turns of the event loop
XE_EXTRA="limits: {sessions: 65536, sessions-per-source: 65536}"

send_all() { # one datagram to each destination, from one L4 port, no more at once than may be held
	on c1 "$PY" - $DESTS <<-'EOP'
	import socket, sys, time
	s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
	s.bind(("", 5000))
	for i in range(int(sys.argv[1])):
	    s.sendto(b"x" * 20, ("172.20.%d.%d" % (i >> 8, i & 255), 9))
	    if i % 10 == 9:
	        time.sleep(0.002)
	EOP
}

mac_of() { # NS: of the address that is the gateway there
	on "$1" ip -br link show "$([ "$1" = w ] && echo wbr || echo eth0)" | awk '{ print $3 }'
}

# While routes flap: the longest time that the control socket let us wait for an answer, in ms.
longest_answer() {
	local max=0 start took i gateways=($GW $GW2)

	for i in {1..40}; do
		on h ip route replace default via ${gateways[i % 2]} || return 1
		start=$(now_ms)
		xe_ctl port list --json >/dev/null || return 1
		took=$(($(now_ms) - start))
		[ $took -le $max ] || max=$took
	done
	echo $max
}

topo_up
topo_second_gateway
# Counted where they arrive, and gone. By MAC: w's bridge shows its tables what is for the second one.
for ns in w g; do
	must on $ns nft -f - <<-EON
	table ip count {
		chain pre {
			type filter hook prerouting priority -300
			ip daddr 172.20.0.0/16 ether daddr $(mac_of $ns) counter drop
		}
	}
	EON
done
judge_start
serve_many w $SRV1 9000
xe_start

arrived() { # NS
	on "$1" nft -j list chain ip count pre | grep -o '"packets": [0-9]*' | grep -o '[0-9]*'
}

send_all
send_all # where the machine was busy, some found no place to wait for their route
sleep 0.2
between "first gateway" "$(arrived w)" $((DESTS * 98 / 100)) $((DESTS * 2))
same "nothing at the second" "$(arrived g)" 0
if [ "$XE_KERNEL" = 0 ]; then
	between "sessions" "$(xe_ctl flow count --json | grep -o '"count": [0-9]*' |
		grep -o '[0-9]*$')" $((DESTS * 98 / 100)) $DESTS
	worst=$(longest_answer)
	echo "# longest answer under flapping routes: $worst ms"
	between "the control socket answers under flapping routes" "$worst" 0 $((150 * XE_SLOW))
fi
must on h ip route replace default via $GW2
sleep $((1 * XE_SLOW))
before=$(arrived w)
send_all
sleep 0.2
between "all follow to the second gateway" "$(arrived g)" $((DESTS * 98 / 100)) $((DESTS * 2))
same "none stays with the first" $(($(arrived w) - before)) 0
must on h ip route replace default via $GW
check "new TCP flows meanwhile" on c2 "$TCP_MANY" client -c 5 -u 20000 -d 20000 $SRV1 9000
finish
