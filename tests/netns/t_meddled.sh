#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# A storm of frames that somebody meddled with, each of them, half IPv4 and half IPv6, from a container
# and from outside at once, while real flows run: the service lives, every packet is accounted for, and
# the flows lose nothing they would not lose otherwise. Nothing leaves with a private source, whatever the
# frame was. XE_FRAMES is how many in all (make check-long: ten million), XE_XDP the mode (default auto:
# generic); XE_WORKERS=2 as everywhere (xe.sh).
. "$(dirname "$0")/lib.sh"
. "$HERE/topo6.sh"
XE_MAY_HOLD=1 # fragments of datagrams that will never be whole wait for half a minute
xe_only
FRAMES=${XE_FRAMES:-200000}
STORM=$(tool frame_storm)

mac() { # NS DEV
	ip_plain "$1" -j link show "$2" | "$PY" -c 'import json, sys; print(json.load(sys.stdin)[0]["address"])'
}

# The storm's own source L4 ports are kept, so that what comes back by chance hits live sessions.
XE_PORTS="{name: vethc1, role: inside, allow: [$C1/32, \"$C1_6/128\"], xdp: ${XE_XDP:=auto}}
{name: vethc2, role: inside, allow: [$C2/32, \"$C2_6/128\"], xdp: $XE_XDP}
{name: eth0, role: uplink, xdp: $XE_XDP}"
XE_RULES="masquerade from $INSIDE6 out eth0 ports 1024-1151
masquerade from $INSIDE out eth0 ports 1024-1151"
topo_up
topo6_up
serve_many w $SRV1 9000
serve_many w $SRV6 9000
serve_echo w $SRV1 7001
XE_EXTRA="limits: {sessions: 65536, sessions-per-source: 8192}"
xe_start
xe_conserve
pid=${PIDS[xegressd.$XE_RUN]}
inside=$(mac h vethc1) outside=$(mac h eth0)
# Only what comes in there: the storm from outside goes out by it. The host itself answers by ICMPv6, from its address
# there, what the container sends with a forged source and no hops left.
bg wire w tcpdump --immediate-mode -U -n -Z root -Q in -i up0 -s 128 -w "$T/wire.pcap" \
	"(ip and src net $INSIDE) or (ip6 and src net $INSIDE6 and not src host ${C1_6%2}1)"
within 5000 judge_ready wire || die "set-up: tcpdump does not start"

bg out c1 "$STORM" -i eth0 -t "$inside" -n $((FRAMES / 2)) -S 1 -m 100 -4 $C1 $SRV2 -6 $C1_6 $SRV6_2 \
	-p 1-2000
bg back w "$STORM" -i up0 -t "$outside" -n $((FRAMES / 2)) -S 2 -m 100 -4 $SRV2 $EXT -6 $SRV6_2 $EXT6 \
	-p 1-2000 -b
check "TCP of the neighbour meanwhile, every byte" \
	on c2 "$TCP_MANY" client -c 4 -u 300001 -d 300001 $SRV1 9000
check "the storm from the container is sent" bg_wait out
check "the storm from outside is sent" bg_wait back
sed 's/^/# /' "$T/out.log" "$T/back.log"
both() { echo $(($(json "$T/out.log" "j['$1']") + $(json "$T/back.log" "j['$1']"))); }
same "all frames were meddled with, and sent" "$(both meddled) $(both sent)" "$FRAMES $FRAMES"
between "half of them were IPv6" "$(both ipv6)" $((FRAMES * 9 / 20)) $((FRAMES * 11 / 20))
same "the service is the one that was started" "$(running "xegressd.$XE_RUN" &&
	echo "${PIDS[xegressd.$XE_RUN]}")" "$pid"
xe_conserve
xe_ctl drops | sed 's/^/# /'
check "status is content" xe_ctl status
# It has as many sessions as one source may have, and they live for minutes.
check "the storm's sessions end by flush" xe_ctl flow flush
check "TCP of the container after it" on c1 "$TCP_MANY" client -c 4 -u 300001 -d 300001 $SRV1 9000
check "UDP of the container after it" on c1 "$UDP_SEND" -s 0-1472 -r 4000 $SRV1 7001
check "TCP over IPv6 after it" on c1 "$TCP_MANY" client -c 4 -u 300001 -d 300001 $SRV6 9000
bg_stop wire INT
same "the judge saw everything" "$(awk '/dropped by kernel/ { print $1 }' "$T/wire.log")" 0
wire_clean "no private source on the uplink" private "$(JUDGE_INSIDE6=$INSIDE6 && wire_report)"
xe_conserve
finish
