#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Superpackets pass whole, TCP and UDP, in order with the small packets of their flow, and nothing of
# them is lost where the egress device, or its peer, cannot take them, or stops to be able to in the
# middle of a transfer. `status` says what each port takes.
. "$(dirname "$0")/lib.sh"

BULK="$HERE/bulk.py"

features() { # NS INTERFACE on|off FEATURE...
	local ns=$1 dev=$2 state=$3 f

	shift 3
	for f in "$@"; do
		on "$ns" ethtool -K "$dev" "$f" "$state" >/dev/null 2>&1
	done
}

sink_up() { # NAME L4PORT KIND [gro]
	bg "$1" w "$PY" "$BULK" "$3" $SRV1 "$2" ${4:+"$4"}
	within 3000 grep -q listening "$T/$1.log" || die "set-up: no $1"
}

udp_case() { # NAME L4PORT [gro]
	local sent

	sink_up "sink$2" "$2" udp_sink ${3:+"$3"}
	sent=$(on c1 "$PY" "$BULK" udp_send $SRV1 "$2" 100)
	bg_wait "sink$2"
	same "$1: every datagram, intact, in order" \
		"$(tail -n 1 "$T/sink$2.log" | sed 's/, "joined.*//')" \
		"{\"datagrams\": $sent, \"wrong\": 0, \"disorder\": 0, \"lost\": 0"
}

tcp_case() { # NAME L4PORT
	local sent

	sink_up "sink$2" "$2" tcp_sink
	bg watch w "$PY" "$BULK" watch up0 "$2"
	within 3000 grep -q listening "$T/watch.log"
	sent=$(on c1 "$PY" "$BULK" tcp_send $SRV1 "$2" 1.5)
	bg_wait "sink$2"
	bg_stop watch
	same "$1: arrives intact" "$(tail -n 1 "$T/sink$2.log")" "$sent"
	same "$1: in order on the wire" "$(seen disorder)" 0
	echo "# $(tail -n 1 "$T/watch.log")"
}

seen() { # KEY: of the last tcp_case
	tail -n 1 "$T/watch.log" | "$PY" -c "import json,sys; print(json.load(sys.stdin)['$1'])"
}

superpackets() { # what status says of eth0's way out
	xe_ctl port list --json | "$PY" -c 'import json, sys
print([p for p in json.load(sys.stdin)["ports"] if p["name"] == "eth0"][0]["superpackets_out"])'
}

topo_up
judge_start
serve_many w $SRV1 9000
serve_iperf 5201
xe_start
carried_begin

tcp_case "TCP, small and large" 7100
between "superpackets among it" "$(seen big)" 20 1000000
between "and small ones" "$(seen small)" 20 1000000
udp_case "UDP superpackets" 7201
udp_case "UDP superpackets to a UDP_GRO socket" 7202 gro
between "they arrive whole" "$(tail -n 1 "$T/sink7202.log" |
	sed 's/.*"joined": \([0-9]*\).*/\1/')" 50 1000000
[ "$XE_KERNEL" = 1 ] || same "status: all kinds go out whole" "$(superpackets)" "tcp udp"
carried_end "superpackets"

features h eth0 off tx-udp-segmentation
[ "$XE_KERNEL" = 1 ] || same "status: TCP only" "$(sleep 0.3; superpackets)" "tcp"
udp_case "device without UDP segmentation" 7203 gro
features h eth0 off tso gso
[ "$XE_KERNEL" = 1 ] || same "status: none" "$(sleep 0.3; superpackets)" "none"
tcp_case "device without segmentation" 7103
between "no superpacket on the wire" "$(seen big)" 0 0
features h eth0 off tx
udp_case "device without checksums" 7204
tcp_case "device without checksums" 7104
features h eth0 on tx tso gso tx-udp-segmentation
must on h ip route add $SRV1/32 via $GW mtu 1000
udp_case "route of a smaller MTU" 7205
must on h ip route del $SRV1/32
[ "$XE_KERNEL" = 1 ] || xe_stats before

# Mid-flow, under load: nothing may be lost, every byte is compared.
bg flows c1 "$TCP_MANY" client -c 4 -t 6 -u 600001 -d 600001 $SRV1 9000
bg iperf c1 iperf3 -c $SRV1 -p 5201 -t 5 -J
for f in tso gso tx tx-udp-segmentation; do
	for where in "h eth0" "w up0"; do
		# shellcheck disable=SC2086 # two words
		features $where off "$f"
		sleep 0.25
		# shellcheck disable=SC2086
		features $where on tx tso gso tx-udp-segmentation
		sleep 0.2
	done
done
check "flows live through every toggle, every byte" bg_wait flows
bg_wait iperf
between "no flow stood still" "$(json "$T/flows.log" "j['max_stall_ms']")" 0 $((1000 * XE_SLOW))
if [ "$XE_KERNEL" = 0 ]; then
	xe_stats after
	same "none was refused by the device" "$("$PY" - "$T/before.json" "$T/after.json" <<-'EOP'
	import json, sys
	drops = [sum(w["drops"].get("tx_refused", w["drops"].get("TX_REFUSED", 0)) for w in
	             json.load(open(p))["workers"]) for p in sys.argv[1:]]
	print(drops[1] - drops[0])
	EOP
	)" 0
	same "status: all kinds again" "$(superpackets)" "tcp udp"
fi
finish
