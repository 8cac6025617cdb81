#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The benchmark's own tools, beside no translator: what they count is what there was. Loss, doubles
# and disorder are made on purpose, and have to be seen to the packet.
. "$(dirname "$0")/lib.sh"

B=$BUILD/tests/bench
for tool in udp_gen udp_sink tcp_srv tcp_rr tcp_crr live_gen peer_nat; do
	[ -x "$B/$tool" ] || die "no $B/$tool: run make tests"
done
topo_up
XE_KERNEL=1 # no translator to ask anything
must on h nft add table ip plain
must on h nft 'add chain ip plain post { type nat hook postrouting priority srcnat; }'
must on h nft add rule ip plain post oifname eth0 ip saddr $INSIDE masquerade

sink() { # NAME NS [OPTION...]: its JSON will be in $T/NAME.log
	local name=$1 ns=$2

	shift 2
	bg "$name" "$ns" "$B/udp_sink" "$@"
	within 3000 grep -q READY "$T/$name.log" || die "no udp_sink"
}

sink_end() { # NAME: after all has come
	sleep 0.3
	check "$1: the sink ends well" bg_stop "$1"
}

# ---- UDP: all of it, with many flows, to the packet

sink all w -p 7000-7003
on c1 "$B/udp_gen" -d $SRV1 -p 7000-7003 -n 64 -r 20000 -t 1 >"$T/gen.json"
sink_end all
between "at a rate it sends what was asked for" "$(json "$T/gen.json" 'j["sent"]')" 15000 20100
same "all received" "$(json "$T/all.log" 'j["received"]')" "$(json "$T/gen.json" 'j["sent"]')"
same "none lost, doubled or out of order" \
	"$(json "$T/all.log" '[j[k] for k in ("lost","duplicate","reordered","foreign","too_late")]')" \
	"[0, 0, 0, 0, 0]"
same "flows" "$(json "$T/all.log" 'j["flows"]')" 64

# ---- deliberate loss: each tenth is dropped, and so is what the sink misses

must on w nft add table ip lossy
must on w nft 'add chain ip lossy in { type filter hook prerouting priority raw; }'
must on w nft add rule ip lossy in udp dport 7010 numgen inc mod 10 == 4 counter drop
sink lossy w -p 7010
on c1 "$B/udp_gen" -d $SRV1 -p 7010 -r 10000 -t 1 >"$T/gen.json"
sink_end lossy
DROPPED=$(on w nft -j list table ip lossy | "$PY" -c 'import json, sys
print([e["counter"]["packets"] for r in json.load(sys.stdin)["nftables"] if "rule" in r
	for e in r["rule"]["expr"] if "counter" in e][0])')
between "loss was made" "$DROPPED" 500 2000
same "and seen exactly" "$(json "$T/lossy.log" 'j["lost"]')" "$DROPPED"
same "what was sent came or was lost" "$(json "$T/lossy.log" 'j["received"] + j["lost"]')" \
	"$(json "$T/gen.json" 'j["sent"]')"

# ---- deliberate disorder and doubles, from a sender that knows what it does

cat >"$T/craft.py" <<-'EOC'
	import socket, struct, sys, time
	s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
	for seq in [0, 1, 2, 4, 3, 5, 5, 8, 7, 600, 601, 9]: # 6 and 10..599 never come
	    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
	    s.sendto(struct.pack("=HHIHII", 0x5845, 0, seq, now >> 32 & 0xffff, now & 0xffffffff, 7),
	             (sys.argv[1], 7020))
	s.sendto(b"not of ours", (sys.argv[1], 7020))
EOC
sink odd w -p 7020
must on c1 "$PY" "$T/craft.py" $SRV1
sink_end odd
same "each misfortune counted once" \
	"$(json "$T/odd.log" '[j[k] for k in ("received","lost","reordered","duplicate","too_late","foreign")]')" \
	"[11, 591, 3, 1, 1, 1]"

# ---- frames without an skb, into the uplink and to a container

MAC=$(ip_plain h -o link show dev eth0 | sed 's/.*link.ether \([0-9a-f:]*\).*/\1/')
on w "$B/live_gen" -i up0 --dst-mac "$MAC" --src $SRV1 --dst $C1 --sport 5000 --dport 7030 -r 100 \
	-t 0.2 >"$T/live.json" 2>"$T/live_err.log"
same "an end that takes no frames is no success" $? 1
must on h ethtool -K eth0 gro on
must on h nft flush ruleset # they are addressed to the container itself
sink live c1 -p 7030-7031
must on h ping -c 1 -W 1 $C1
on w "$B/live_gen" -i up0 --dst-mac "$MAC" --src $SRV1 --dst $C1 --sport 5000-5003 \
	--dport 7030-7031 -l 200 -r 20000 -t 1 >"$T/live.json" 2>"$T/live_err.log"
printf '# tuples\n%s\n' "$SRV2 $C1 6000 7030" "$SRV3 $C1 6001 7031" >"$T/tuples"
on w "$B/live_gen" -i up0 --dst-mac "$MAC" --tuples "$T/tuples" -r 1000 -t 0.3 \
	>"$T/live2.json" 2>>"$T/live_err.log"
sink_end live
between "live frames leave" "$(json "$T/live.json" 'j["sent"]')" 10000 20100
same "the interface took them" "$(json "$T/live.json" 'j["accepted"]')" \
	"$(json "$T/live.json" 'j["sent"]')"
same "all arrive, with right checksums" "$(json "$T/live.log" 'j["received"]')" \
	$(($(json "$T/live.json" 'j["sent"]') + $(json "$T/live2.json" 'j["sent"]')))
same "in order" "$(json "$T/live.log" '[j["lost"], j["reordered"], j["flows"]]')" "[0, 0, 10]"

# ---- TCP

bg srv w "$B/tcp_srv" -p 7040-7041
within 3000 grep -q READY "$T/srv.log" || die "no tcp_srv"
must on w ip route replace $INSIDE via $EXT # no translation here
on c1 "$B/tcp_rr" -d $SRV1 -p 7040 -c 4 -r 1000 -t 1 >"$T/rr.json"
between "open loop keeps its rate" "$(json "$T/rr.json" 'j["transactions"]')" 900 1001
same "no errors" "$(json "$T/rr.json" 'j["errors"]')" 0
on c1 "$B/tcp_crr" -d $SRV1,$SRV2 -p 7040-7041 -c 4 -t 1 >"$T/crr.json"
between "connections" "$(json "$T/crr.json" 'j["connections"]')" 100 1000000
same "no errors there" "$(json "$T/crr.json" 'j["errors"]')" 0
on c1 "$B/tcp_crr" -d $SRV1 -p 7049 -c 4 -t 0.3 >"$T/crr.json"
same "a closed L4 port is no success" $? 1
check "the server ends well" bg_stop srv

# ---- the in-kernel peers carry a file both ways, and leave nothing

mkdir -p "$T/www"
head -c 3000000 /dev/urandom >"$T/www/file"
WANTED=$(sha <"$T/www/file")
serve_http 8080
serve_sink 8081
must on w ip route del $INSIDE # what is not translated finds no way back
peer_left() { on h tc qdisc; on h ip link; on c1 ethtool -k eth0; on w ethtool -k up0; }
for kind in tc xdp; do
	peer_left >"$T/found.txt"
	FORW=$(snmp h Ip ForwDatagrams)
	bg "peer_$kind" h "$B/peer_nat" $kind --inside vethc1,vethc2 --uplink eth0 --ext $EXT \
		--ports 20000-29999 --sessions 4096 --gro "$ID-c1:eth0,$ID-c2:eth0,$ID-w:up0"
	within 15000 grep -q READY "$T/peer_$kind.log" || die "peer_nat $kind does not load"
	same "$kind: down" "$(on c1 curl -s -m 10 http://$SRV1:8080/file | sha)" "$WANTED"
	same "$kind: up" "$(on c2 curl -s -m 10 -T "$T/www/file" http://$SRV1:8081/ | cut -c1-64)" \
		"$WANTED"
	sink "udp_$kind" w -p 7050
	on c1 "$B/udp_gen" -d $SRV1 -p 7050 -n 8 -l 999 -r 2000 -t 0.5 >"$T/gen.json"
	sink_end "udp_$kind"
	same "$kind: UDP whole" "$(json "$T/udp_$kind.log" 'j["received"]')" \
		"$(json "$T/gen.json" 'j["sent"]')"
	between "$kind: the kernel forwarded next to nothing" \
		$(($(snmp h Ip ForwDatagrams) - FORW)) 0 5
	check "$kind: ends well" bg_stop "peer_$kind"
	same "$kind: leaves all as found" "$(peer_left | diff "$T/found.txt" - | head -n 4)" ""
done
finish
