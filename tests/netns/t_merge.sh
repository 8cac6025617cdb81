#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# TCP segments that come in one by one leave as superpackets: toward the container, where the server
# has no segmentation offload (as on a NIC), and toward the uplink, where native XDP has taken it from
# the container. Every byte arrives, the switch switches while flows live, broken segments stay so.
. "$(dirname "$0")/lib.sh"
xe_only

MB=32
SEGMENTS=$((MB * 1024 * 1024 / 1448)) # at least so many make the file
XE_PORTS="{name: vethc1, role: inside, allow: [$C1/32]}
{name: vethc2, role: inside, allow: [$C2/32], xdp: native}
{name: eth0, role: uplink, coalesce: on}"

download() { on c1 curl -sS --fail -m 60 -o - "http://$SRV1:8080/big" | sha; }
upload() { on c2 curl -sS --fail -m 60 -T "$T/www/big" "http://$SRV1:8081/"; }

# What an interface has received, as its own stack counts: a superpacket is one packet.
received() { on "$1" ip -j -s link show dev "$2" |
	"$PY" -c 'import json, sys; print(json.load(sys.stdin)[0]["stats64"]["rx"]["packets"])'; }
merged() { json "$(xe_ctl stats --json)" "sum(w['merged'] for w in j['workers'])"; }
coalesces() { json "$(xe_ctl port list --json)" "[p['coalesce'] for p in j['ports']
	if p['name'] == '$1'][0]"; }

# counted NAME NS INTERFACE COMMAND...: CAME packets at the interface, JOINED by the service
counted() {
	local name=$1 ns=$2 dev=$3 came joined

	shift 3
	joined=$(merged) came=$(received "$ns" "$dev")
	same "$name: every byte" "$("$@")" "$WANTED"
	CAME=$(($(received "$ns" "$dev") - came)) JOINED=$(($(merged) - joined))
	echo "# $name: $CAME packets at the receiver, $JOINED joined"
}

apply() { # PORT SETTING: of `coalesce`
	sed -E "s/(name: $1, [^}]*)\}/\1, coalesce: $2}/; s/, coalesce: [a-z]+(, coalesce)/\1/" \
		"$T/xegress.yaml" >"$T/next.yaml"
	xe_ctl apply "$T/next.yaml"
}

broken() { json "$T/raw.log" "j['broken']"; }

topo_up
judge_start
mkdir -p "$T/www"
head -c $((MB << 20)) /dev/urandom >"$T/www/big"
WANTED=$(sha <"$T/www/big")
serve_http 8080
serve_sink 8081
serve_many w $SRV1 9000
must on w ethtool -K up0 tso off gso off gro off
xe_start
carried_begin
same "auto: off where superpackets come in whole" "$(coalesces vethc1)" false
same "auto: on where packets come one by one" "$(coalesces vethc2)" true
same "on" "$(coalesces eth0)" true

counted "download" c1 eth0 download
between "download: superpackets reach the container" $CAME 1 $((SEGMENTS / 2))
between "download: the others were joined" $JOINED $((SEGMENTS / 2)) 1000000000
must on w ethtool -K up0 tx off
counted "download, finished checksums" c1 eth0 download
between "download, finished checksums: superpackets" $CAME 1 $((SEGMENTS / 2))
must on w ethtool -K up0 tx on
must on w ethtool -K up0 tso off gso off
counted "upload by native mode" w up0 upload
between "upload by native mode: superpackets reach the server" $CAME 1 $((SEGMENTS / 2))

check "off by apply" apply eth0 off
same "off" "$(coalesces eth0)" false
counted "download, off" c1 eth0 download
between "download, off: one by one" $CAME $SEGMENTS 1000000000
same "download, off: nothing joined" $JOINED 0
check "off by apply, native mode" apply vethc2 off
same "off, native mode" "$(coalesces vethc2)" false

bg flows c1 "$TCP_MANY" client -c 8 -t 3 -u 300001 -d 3000001 $SRV1 9000
bg native c2 "$TCP_MANY" client -c 8 -t 3 -u 3000001 -d 300001 $SRV1 9000
for setting in on off on off on; do
	sleep 0.4
	apply eth0 $setting >/dev/null || fail "apply $setting" "in mid-flow"
	sleep 0.1
	apply vethc2 $setting >/dev/null || fail "apply $setting" "in mid-flow"
done
check "flows live through the switch, every byte" bg_wait flows
check "those by native mode, too" bg_wait native

# A segment with a wrong checksum, between good ones, has to arrive with a wrong checksum.
check "on by apply" apply eth0 on
must on w iptables -A OUTPUT -p tcp --sport 9100 -j DROP # the kernel's own answers
errors=$(snmp c1 Tcp InCsumErrors) joined=$(merged)
bg raw w "$PY" "$HERE/bad_segments.py" up0 $SRV1 9100 6
within 5000 grep -q listening "$T/raw.log" || die "set-up: no raw server"
got=$(on c1 timeout 20 "$PY" -c "import hashlib, socket
s = socket.create_connection(('$SRV1', 9100))
h = hashlib.sha256()
for data in iter(lambda: s.recv(65536), b''): h.update(data)
print(h.hexdigest())")
bg_wait raw
same "beside broken segments: every byte" "$got" "$(json "$T/raw.log" "j['sha']")"
JUDGE_ALLOW_CSUM=$(broken)
same "each broken segment is found broken" $(($(snmp c1 Tcp InCsumErrors) - errors)) \
	"$JUDGE_ALLOW_CSUM"
between "good ones beside them are joined" $(($(merged) - joined)) 1 1000000
carried_end "TCP"
finish
