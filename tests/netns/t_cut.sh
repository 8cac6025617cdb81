#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# What is too big for its way. Superpackets and datagrams without DF over a route of a smaller MTU
# leave as exactly the frames, byte by byte, that the kernel makes of them when it forwards the same
# ones (an `accept` rule: nothing is translated). With DF the sender is told, in the middle of a TCP
# flow, too, and a transfer goes on; on the way back likewise, there the peer is told by us.
. "$(dirname "$0")/lib.sh"

FAR=203.0.113.77 # nobody answers there, so the wire has only what was sent
XE_RULES="accept from $INSIDE to $FAR/32
$XE_RULES"
JUDGE_ALLOW_DST=$FAR

mac_of() { on "$1" ip -o link show dev "$2" | sed 's/.*link\/ether \([^ ]*\).*/\1/'; }

cut_send() { # SEED NAME: what w sees of it is in $T/NAME
	rm -f "$T/$2"
	bg watch w "$PY" "$HERE/cut.py" watch up0 $FAR "$T/$2"
	within 3000 grep -q listening "$T/watch.log" || die "set-up: no watch"
	on c1 "$PY" "$HERE/cut.py" send eth0 "$(mac_of c1 eth0)" "$(mac_of h vethc1)" $C1 $FAR "$1" \
		>"$T/sent.log" 2>&1 || die "set-up: $(tail -n 1 "$T/sent.log")"
	sleep 0.3
	bg_stop watch
}

route_mtu() { must on h ip route replace "$1/32" via $GW mtu "$2"; }

topo_up
judge_start
mkdir -p "$T/www"
head -c $((8 << 20)) /dev/urandom >"$T/www/big"
serve_http 8080
serve_sink 8081
serve_echo w $SRV1 7001
wanted=$(sha <"$T/www/big")

# The kernel's frames first: plain forwarding, no service yet, and none of it left whole.
must on h ethtool -K eth0 tso off gso off tx-udp-segmentation off >/dev/null
for mtu in 1500 1280 576; do
	route_mtu $FAR $mtu
	cut_send $mtu "kernel.$mtu"
done
must on h ethtool -K eth0 gso on tso on tx-udp-segmentation on >/dev/null
[ "$XE_KERNEL" = 0 ] || on w ip neigh flush dev up0
xe_start
for mtu in 1280 576; do
	route_mtu $FAR $mtu
	sleep 0.1
	cut_send $mtu "ours.$mtu"
	check "MTU $mtu: the frames that the kernel makes" \
		"$PY" "$HERE/cut.py" diff "$T/kernel.$mtu" "$T/ours.$mtu"
	"$PY" "$HERE/cut.py" diff "$T/kernel.$mtu" "$T/ours.$mtu" | sed 's/^/# /'
done

# With DF: TCP learns the MTU in mid-flow. curl's upload is slowed so that it is under way then.
bg upload c1 curl -sS --fail -m 30 --limit-rate 4M -T "$T/www/big" "http://$SRV1:8081/"
sleep 0.6
route_mtu $SRV1 1100
bg_wait upload
same "an upload goes on over a smaller MTU" "$(head -n 1 "$T/upload.log")" "$wanted"
check "the container has learned it" grep -q 1100 <<<"$(on c1 ip route get $SRV1)"
must on h ip route del $SRV1/32

# The way back: the inside port's MTU is smaller than what the server sends.
must on h ip link set vethc1 mtu 1200
sleep 0.2
on w ip route flush cache
same "a download over a smaller inside MTU" \
	"$(on c1 curl -sS --fail -m 20 -o - "http://$SRV1:8080/big" | sha)" "$wanted"
if [ "$XE_KERNEL" = 0 ]; then
	xe_drops before
	on w ip route show cache >/dev/null
	same "datagrams without DF are fragmented back" "$(on w "$PY" -c 'print(1)')" 1
	check "UDP echo beyond the inside MTU, without DF" \
		on c1 "$UDP_SEND" -s 1300-1400 -r 2000 $SRV1 7001
fi
must on h ip link set vethc1 mtu 1500
finish
