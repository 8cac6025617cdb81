#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# side-by-side
# Without CAP_PERFMON the steering program cannot read segment sizes: TCP superpackets are carried all
# the same, cut by the MSS of the handshake, and no larger; UDP ones are left to the kernel.
. "$(dirname "$0")/lib.sh"
. "$HERE/topo6.sh"
xe_only

BULK="$HERE/bulk.py"
XE_PORTS="{name: vethc1, role: inside, allow: [$C1/32, \"$C1_6/128\"]}
{name: eth0, role: uplink}"
XE_RULES="masquerade from $INSIDE out eth0 ports 20000-29999
masquerade from $INSIDE6 out eth0 ports 20000-29999"
XE_WRAP="capsh --drop=cap_perfmon,cap_sys_admin --shell=/usr/bin/env --"

watched() { # NAME L4PORT [6]: an upload, and what of it is on the wire
	local addr=$SRV1

	[ -z "${3:-}" ] || addr=$SRV6
	bg "sink$2" w "$PY" "$BULK" tcp_sink "$addr" "$2"
	bg watch w "$PY" "$BULK" watch up0 "$2" ${3:+"$3"}
	within 3000 grep -q listening "$T/sink$2.log" || die "set-up: no sink"
	within 3000 grep -q listening "$T/watch.log" || die "set-up: no watch"
	sent=$(on c1 "$PY" "$BULK" tcp_send "$addr" "$2" 1)
	bg_wait "sink$2"
	bg_stop watch
	same "$1: arrives intact" "$(tail -n 1 "$T/sink$2.log")" "$sent"
	echo "# $(tail -n 1 "$T/watch.log")"
}

seen() { tail -n 1 "$T/watch.log" | "$PY" -c "import json,sys; print(json.load(sys.stdin)['$1'])"; }

topo_up
topo6_up
judge_start
mkdir -p "$T/www"
head -c $((32 << 20)) /dev/urandom >"$T/www/big"
serve_http 8080
serve_sink 8081
serve_iperf 5201
serve_many w $SRV1 9000
serve_many w $SRV6 9006
serve_echo w $SRV6 7006
serve_echo6 w $SRV6 7007
xe_start
wanted=$(sha <"$T/www/big")
check "status says so" grep -q "tracked by MSS" <<<"$(xe_ctl status)"
carried_begin
same "download" "$(on c1 curl -sS --fail -m 20 -o - "http://$SRV1:8080/big" | sha)" "$wanted"
same "upload" "$(on c1 curl -sS --fail -m 20 -T "$T/www/big" "http://$SRV1:8081/")" "$wanted"
check "both ways at once" on c1 "$TCP_MANY" client -c 8 -t 2 -u 600001 -d 600001 $SRV1 9000
watched "superpackets" 7100
between "they go out whole" "$(seen big)" 20 1000000
watched "IPv6 superpackets" 7106 6
between "they go out whole, too" "$(seen big)" 20 1000000
check "IPv6, both ways at once" on c1 "$TCP_MANY" client -c 4 -u 600001 -d 600001 $SRV6 9006
check "IPv6 datagrams" on c1 "$UDP_SEND" -s 0-1452 -r 3000 $SRV6 7006
check "IPv6 behind extension headers, where only a helper may read them" on c1 timeout 10 "$PY" -c "
import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS, bytes.fromhex('00001e0400000000'))
s.connect(('$SRV6', 7007))
s.settimeout(3)
s.send(b'x' * 500)
assert s.recv(1000) == b'x' * 500"
# What the receiver is told is what the wire shows once the device has to cut them.
must on h ethtool -K eth0 tso off gso off >/dev/null
watched "MSS 1460" 7101
same "segments of 1448" "$(seen largest)" 1448
watched "MSS 1440, IPv6" 7107 6
same "segments of 1428" "$(seen largest)" 1428
for net in "198.51.100.0/24 dev up0 src $GW" "$INSIDE via $EXT"; do
	# shellcheck disable=SC2086 # words
	must on w ip route change $net advmss 1000
done
watched "MSS 1000" 7102
same "segments of 988" "$(seen largest)" 988
must on h ip route add $SRV1/32 via $GW mtu 900
watched "route MTU 900" 7103
same "segments of 848" "$(seen largest)" 848
must on h ip route del $SRV1/32
must on h ethtool -K eth0 gso on tso on >/dev/null
carried_end "TCP superpackets"
on c1 iperf3 -c $SRV1 -p 5201 -t 1 -J >"$T/iperf.json" 2>&1
json "$T/iperf.json" "'# %.2f Gb/s' % (j['end']['sum_received']['bits_per_second'] / 1e9)"
finish
