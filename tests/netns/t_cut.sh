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

mac_of() { ip_plain "$1" -o link show dev "$2" | sed 's/.*link\/ether \([^ ]*\).*/\1/'; }

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
wanted=$(sha <"$T/www/big")

# The kernel's frames first: plain forwarding, no service yet, and none of it left whole.
must on h ethtool -K eth0 tx off tso off gso off tx-udp-segmentation off >/dev/null
for mtu in 1500 1280 576; do
	route_mtu $FAR $mtu
	cut_send $mtu "kernel.$mtu"
done
must on h ethtool -K eth0 tx on gso on tso on tx-udp-segmentation on >/dev/null
xe_start
# A SYN that waits for its next hop would come behind what follows it here.
cut_send 1 warm
must on h ethtool -K eth0 tx off tso off gso off tx-udp-segmentation off >/dev/null
sleep 0.3
for mtu in 1500 1280 576; do
	route_mtu $FAR $mtu
	sleep 0.3
	cut_send $mtu "ours.$mtu"
	check "MTU $mtu: the frames that the kernel makes" \
		"$PY" "$HERE/cut.py" diff "$T/kernel.$mtu" "$T/ours.$mtu"
	"$PY" "$HERE/cut.py" diff "$T/kernel.$mtu" "$T/ours.$mtu" | sed 's/^/# /'
done

must on h ethtool -K eth0 tx on gso on tso on tx-udp-segmentation on >/dev/null

# With DF: TCP learns the MTU in mid-flow. curl's upload is slowed so that it is under way then.
bg upload c1 curl -sS --fail -m 30 --limit-rate 4M -T "$T/www/big" "http://$SRV1:8081/"
sleep 0.6
route_mtu $SRV1 1100
bg_wait upload
same "an upload goes on over a smaller MTU" "$(head -n 1 "$T/upload.log")" "$wanted"
check "the container has learned it" grep -q 1100 <<<"$(on c1 ip route get $SRV1)"
must on h ip route del $SRV1/32

# The way back: the inside port's MTU is smaller than what the server sends.
must on h ip link set vethc2 mtu 1200
sleep 0.2
[ "$XE_KERNEL" = 1 ] || xe_drops before
same "a download over a smaller inside MTU" \
	"$(on c2 curl -sS --fail -m 20 -o - "http://$SRV2:8080/big" | sha)" "$wanted"
if [ "$XE_KERNEL" = 0 ]; then
	xe_drops after
	check "the peer was told" grep -qw too_big <<<"$(xe_moved before after)"
	check "the peer has learned it" grep -q 1200 <<<"$(on w ip route get $C2 from $SRV2; on w ip route get $EXT from $SRV2)"
	bg answer w "$PY" "$HERE/cut.py" answer $SRV3 7003
	within 3000 listening w udp 7003 || die "set-up: nobody answers"
	xe_drops before
	check "datagrams without DF beyond the inside MTU" \
		on c2 "$PY" "$HERE/cut.py" ask $SRV3 7003 1173 1400 1472 1201
	xe_drops after
	same "all of them by us, both ways" "$(xe_moved before after)" "taken=8"
fi
must on h ip link set vethc2 mtu 1500
finish
