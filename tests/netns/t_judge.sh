#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# side-by-side
# Who judges the judges: each is shown the fault it is there for, in a host that translates nothing or
# wrongly, and has to find it. Runs without xegressd.
XE_KERNEL=1
. "$(dirname "$0")/lib.sh"

caught() { json "$(wire_report)" "j['$1']"; } # KIND

one_more() { # NAME KIND COMMAND...: the command makes this kind, and no other, count
	local name=$1 kind=$2 before after k

	shift 2
	before=$(wire_report)
	"$@" >/dev/null 2>&1
	sleep 0.2
	after=$(wire_report)
	for k in private host_rst container_rst server_rst; do
		local n=$(($(json "$after" "j['$k']") - $(json "$before" "j['$k']")))

		if [ $k = "$kind" ]; then
			between "$name: $k is seen" $n 1 1000
		else
			same "$name: $k is not" $n 0
		fi
	done
}

reset_by_close() { # a container that aborts: SO_LINGER 0
	on c1 "$PY" - $SRV1 9000 <<-'EOP'
	import socket, struct, sys, time
	s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
	time.sleep(0.1)
	s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
	s.close()
	EOP
}

conserves() { # NAME EXPECTED JSON-FILE
	local rc=0

	"$PY" "$HERE/judge.py" conserve --wait 0.2 "$3" >/dev/null 2>&1 || rc=$?
	same "$1" $rc "$2"
}

topo_up
judge_start
serve_many w $SRV1 9000
serve_echo w $SRV1 7001

# 1. The wire: no translation at all is a private source.
one_more "no NAT" private on c1 "$UDP_SEND" -s 10 -n 3 -w 100 $SRV1 7001
xe_start # the stand-in: masquerade
one_more "NAT" none on c1 "$UDP_SEND" -s 10 -n 3 -w 100 $SRV1 7001
one_more "a closed port of the host" host_rst on w curl -s -m 2 "http://$EXT:18080/"
one_more "a closed port of the server" server_rst on c1 curl -s -m 2 "http://$SRV1:18080/"
one_more "a container that aborts" container_rst reset_by_close

# 2. Checksums: a wrong one that the translator has only to carry on.
mac() { ip_plain "$1" -j link show dev "$2" |
	"$PY" -c 'import json, sys; print(json.load(sys.stdin)[0]["address"])'; }
"$PY" "$HERE/craft.py" build "$T/frames" mac="$(mac c1 eth0)" gw="$(mac h vethc1)" \
	wmac="$(mac w up0)" hmac="$(mac h eth0)" src=$C1 other=$C2 srv=$SRV1 ext=$EXT drop=$SRV3 \
	kernel=$SRV2 norule=$GW notport=100.64.9.1 blackhole=192.0.2.5 extport=20001 ||
	die "set-up: craft.py"
must on h sysctl -q -w net.netfilter.nf_conntrack_checksum=0
before=$(csum_errors)
look_start glass w up0 udp 7001
on c1 "$PY" "$HERE/craft.py" send "$T/frames" eth0 bad_checksum 5
on c1 "$UDP_SEND" -s 10-14 $SRV1 7001 >/dev/null
look_end glass
same "wrong checksums are seen on the wire" "$(json "$LOOK" "[j['bad_l4'], j['packets']]")" "[5, 10]"
same "wrong checksums are counted by the receiver" $(($(csum_errors) - before)) 5
JUDGE_ALLOW_CSUM=5

# 3. The generators: loss, repetition and a changed byte are found.
must on h nft -f - <<-'EON'
table ip faults {
	chain forwarding {
		type filter hook forward priority 10
		udp dport 7001 udp length 108 drop
		udp dport 7001 udp length 208 @th,512,16 set 0x4242
	}
}
EON
out=$(on c1 "$UDP_SEND" -s 99-101 -w 300 $SRV1 7001)
same "udp_send finds one lost" "$(json "$out" "[j['sent'], j['lost'], j['corrupt']]")" "[3, 1, 0]"
check "and says so" bash -c "! nsenter --net=/run/netns/$ID-c1 $UDP_SEND -s 100 -w 100 $SRV1 7001"
out=$(on c1 "$UDP_SEND" -z -s 199-201 -w 300 $SRV1 7001)
same "udp_send finds a changed byte" "$(json "$out" "j['corrupt']")" 1
must on h nft add rule ip faults forwarding tcp dport 9000 ip length gt 1000 \
	@th,4000,16 set 0x4242
check "tcp_many finds a changed byte" bash -c "
	nsenter --net=/run/netns/$ID-c1 ethtool -K eth0 tso off gso off
	nsenter --net=/run/netns/$ID-c1 timeout 10 $TCP_MANY client -i 2 -u 50000 -d 10 $SRV1 9000
	kill -TERM ${PIDS[many.w.9000]} && sleep 0.3
	grep -q '\"corrupt\": [1-9]' $T/many.w.9000.log"

# 4. The book-keeping: true numbers pass, one off by one does not.
cat >"$T/good.json" <<-'EOJ'
{"workers": [{"cpu": 1, "rx_packets": 10, "handed_in": 2, "made": 3, "tx_packets": 11,
	"drops": {"not_syn": 1, "tx_full": 1}, "handed_out": 1, "merged": 0, "to_kernel": 1,
	"in_flight": 0}],
 "ports": [{"name": "a", "seen": 20, "passed": 6, "dropped": 2, "redirected": 12, "xsk_lost": 2}]}
EOJ
conserves "true numbers add up" 0 "$T/good.json"
for change in '"rx_packets": 10/"rx_packets": 9' '"tx_full": 1/"tx_full": 2' '"seen": 20/"seen": 21' \
	'"xsk_lost": 2/"xsk_lost": 1' '"in_flight": 0/"in_flight": 1' '"made": 3/"made": 4'; do
	sed "s/$change/" "$T/good.json" >"$T/bad.json"
	conserves "false numbers are found: ${change#*/}" 1 "$T/bad.json"
done
echo '{"reasons": [{"reason": "spoofed", "count": 3}, {"reason": "not_ip", "count": 1}]}' \
	>"$T/a.json"
echo '{"reasons": [{"reason": "spoofed", "count": 10}, {"reason": "not_ip", "count": 5}]}' \
	>"$T/b.json"
same "a reason that moved is named" "$(xe_moved a b)" "spoofed=7"

# The verdict at the end would be: private sources and a reset. All of them are accounted for above.
JUDGE_ALLOW_DST=$SRV1
JUDGE_ALLOW_RST=18080
finish
