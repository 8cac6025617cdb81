#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# side-by-side
#
# t_fallback.sh - the safety net on its own: the table is there, and no service.
#
# Real sockets from the containers here; crafted packets in fallback_judge.py. The driver is
# $FALLBACK_DRIVER, or $BUILD/tests/fallback_driver (fallback_driver.c).

. "$(dirname "$0")/lib.sh"

TABLE=xegress_test
DRIVER=${FALLBACK_DRIVER:-$BUILD/tests/fallback_driver}
[ -x "$DRIVER" ] || skip_all "no $DRIVER (make build/tests/fallback_driver)"

# ---- the driver, one process that stays

driver_start() {
	coproc DRV { exec nsenter --net="/run/netns/$ID-h" "$DRIVER" $TABLE 2>"$T/driver.log"; }
	PIDS[driver]=$DRV_PID
	# Copies: bash takes a coprocess's own descriptors away from the parts of a pipeline.
	exec {TO_DRV}>&"${DRV[1]}" {FROM_DRV}<&"${DRV[0]}"
}

driver_end() {
	local pid=$DRV_PID

	kill -KILL "$pid" 2>/dev/null
	{ wait "$pid"; } 2>/dev/null
	unset "PIDS[driver]"
	exec {TO_DRV}>&- {FROM_DRV}<&-
}

tell() { printf '%s\n' "$@" >&"$TO_DRV"; }

ask() { # WORD...: what the last call answered, its number last
	local line

	tell "$@"
	while read -r -t 20 line <&"$FROM_DRV"; do
		[[ $line != "= "* ]] || { echo "${line#= }"; return; }
		echo "$line"
	done
	echo "the driver is silent"
}

conf() { # what every apply here is given
	tell reset "inside vethc1 $INSIDE" "inside vethc2 $INSIDE fd00:1::/64" "uplink eth0" \
		"nat tcp 1024-32767" "nat udp 1024-32767" "listen tcp 8080" \
		"rule masquerade from $INSIDE"
}

ruleset() { on h nft list ruleset; }

# ---- the containers' network

fetch() { # NS URL FILE [OPTION...]
	on "$1" curl -sS --max-time 20 -o "$3" "${@:4}" "$2"
}

udp_echo() { # NS ADDRESS L4PORT
	on "$1" "$PY" - "$2" "$3" <<-'EOP'
	import socket, sys
	s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
	s.settimeout(3)
	s.connect((sys.argv[1], int(sys.argv[2])))
	for i in range(20):
	    s.send(b"%d" % i)
	    assert s.recv(2000) == b"%d" % i
	EOP
}

plain_echo() { # NS ADDRESS L4PORT: sends back what comes
	bg "plain$3" "$1" "$PY" -c '
import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.bind((sys.argv[1], int(sys.argv[2])))
while True:
    data, peer = s.recvfrom(2000)
    print("peer", peer[0], flush=True)
    s.sendto(data, peer)
' "$2" "$3"
	within 5000 listening "$1" udp "$3" || die "set-up: no UDP server"
}

only_ext_seen() { # every client of the web server so far
	[ -s "$T/access.log" ] && ! grep -qv "^$EXT:" "$T/access.log"
}

traffic() { # TAG
	local ns

	for ns in c1 c2; do
		check "$1-$ns-curl" fetch $ns "http://$SRV1:80/file" "$T/got"
		check "$1-$ns-sha256" cmp "$T/got" "$T/www/file"
		check "$1-$ns-udp" udp_echo $ns ::ffff:$SRV1 7
		check "$1-$ns-ping" on $ns ping -q -c 3 -i 0.2 -W 2 $SRV1
	done
	check "$1-ext-source" only_ext_seen
	check "$1-ext-source-udp" eval "! grep -v '::ffff:$EXT' '$T/plain7.log'"
}

host_traffic() { # TAG: the host's own
	check "$1-host-curl" fetch h "http://$SRV1:80/file" "$T/got" --local-port 2000-2100
	check "$1-host-ping" on h ping -q -c 2 -i 0.2 -W 2 $SRV1
}

# ---- steps

# The whole table is replaced while a download and an upload run; the flows don't notice.
reapply() {
	local i bad=0

	bg down c1 curl -sS --max-time 30 --limit-rate 8M -o "$T/down" "http://$SRV1:80/big"
	bg up c2 curl -sS --max-time 30 --limit-rate 8M -T "$T/www/big" "http://$SRV1:81/"
	sleep 0.3
	for i in $(seq 20); do
		running down && running up || break # a busy machine makes fewer
		conf
		tell "rule masquerade to 203.0.113.$((i % 4 + 1))/32"
		[ "$(ask apply)" = 0 ] || bad=1
		[ "$(ask present)" = 1 ] || bad=1
		sleep 0.05
	done
	between reapply-while-running "$i" 6 20
	same reapply "$bad" 0
	check reapply-download bg_wait down
	check reapply-upload bg_wait up
	check reapply-download-sha256 cmp "$T/down" "$T/www/big"
	same reapply-upload-sha256 "$(cut -c 1-64 "$T/up.log" | head -n 1)" \
		"$(sha256sum "$T/www/big" | cut -c 1-64)"
}

counters() { ask counters | head -n 1; }

# A counter that counts once must not lose it when the table is replaced, nor when the process dies.
counters_stay() {
	local before

	before=$(counters)
	check counters-moved grep -q "midflow [1-9]" <<<"$before"
	conf
	same counters-reapply-call "$(ask apply)" 0
	same counters-after-reapply "$(counters)" "$before"
	driver_end
	driver_start
	same present-after-crash "$(ask present)" 1
	conf
	same apply-after-crash "$(ask apply)" 0
	same counters-after-crash "$(counters)" "$before"
}

mended() { # NAME
	conf
	same "$1" "$(ask apply; ask present)" $'0\n1'
}

# Somebody's hand in the table is noticed, and mended.
meddling() {
	local rule

	on h nft add element inet $TABLE listen_tcp '{ 9999 }'
	same meddled-listener "$(ask present)" 0
	mended mended-listener
	on h nft delete element inet $TABLE inside4 "{ $INSIDE }"
	same meddled-set "$(ask present)" 0
	mended mended-set
	rule=$(on h nft -a list chain inet $TABLE leak | sed -n 's/.*jump leak4 # handle //p')
	on h nft delete rule inet $TABLE leak handle "$rule"
	same meddled-rule "$(ask present)" 0
	mended mended-rule
	on h nft add chain inet $TABLE stranger
	mended mended-chain
	same stranger-gone "$(on h nft list table inet $TABLE | grep -c stranger)" 0
	on h nft delete table inet $TABLE
	same meddled-table "$(ask present)" 0
	same set-without-table "$(ask "listen tcp 9000" set)" -5
	mended mended-table
}

# IPv6 that no rule translates is forwarded as if we weren't there, in both directions.
plain_ipv6() {
	must on h sysctl -q -w net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.all.forwarding=1
	must on c2 sysctl -q -w net.ipv6.conf.all.disable_ipv6=0
	must on w sysctl -q -w net.ipv6.conf.all.disable_ipv6=0
	must on h ip -6 addr add fd00:1::1/64 dev vethc2 nodad
	must on c2 ip -6 addr add fd00:1::3/64 dev eth0 nodad
	must on c2 ip -6 route add default via fd00:1::1
	must on h ip -6 addr add fd00:2::2/64 dev eth0 nodad
	must on w ip -6 addr add fd00:2::1/64 dev up0 nodad
	must on w ip -6 route add fd00:1::/64 via fd00:2::2
	check ipv6-ping within 5000 on c2 ping -c 1 -W 1 fd00:2::1
	check ipv6-ping-in on w ping -c 1 -W 2 fd00:1::3
	plain_echo w fd00:2::1 17
	check ipv6-udp udp_echo c2 fd00:2::1 17
	check ipv6-untranslated grep -q "^peer fd00:1::3" "$T/plain17.log"
	plain_echo c2 fd00:1::3 18
	check ipv6-udp-in udp_echo w fd00:1::3 18
	# The host still says that nobody listens: at once, not after a timeout.
	check ipv6-host-resets eval \
		"on w curl -s --max-time 3 'http://[fd00:2::2]:2000/'; [ \$? -eq 7 ]"
}

# sysctl.c: each setting that would defeat the net has its line, and only then.
settings() {
	local out

	conf
	on h sysctl -q -w net.ipv6.conf.eth0.accept_ra=1
	check check-accept-ra grep -q "no IPv6 default route, and uplink eth0 ignores" <<<"$(ask check)"
	on h sysctl -q -w net.ipv6.conf.eth0.accept_ra=2
	same check-accept-ra-2 "$(ask check)" 0
	on h sysctl -q -w net.ipv6.conf.eth0.accept_ra=1
	must on h ip -6 route add default via fd00:2::1
	same check-clean "$(ask check)" 0
	on h sysctl -q -w net.ipv6.conf.vethc2.forwarding=0
	check check-ipv6-inside grep -q "ipv6.conf.\*.forwarding is 0 on inside vethc2:" <<<"$(ask check)"
	on h sysctl -q -w net.ipv6.conf.vethc2.forwarding=1
	on h sysctl -q -w net.ipv4.ip_forward=0
	out=$(ask check)
	check check-ip-forward grep -q "ip_forward is 0" <<<"$out"
	same check-ip-forward-count "$(tail -n 1 <<<"$out")" 1
	on h sysctl -q -w net.ipv4.ip_forward=1
	on h sysctl -q -w net.ipv4.conf.vethc2.forwarding=0 net.ipv4.conf.eth0.forwarding=0
	out=$(ask check)
	check check-forwarding-inside grep -q "forwarding is 0 on inside vethc2:" <<<"$out"
	check check-forwarding-uplink grep -q "forwarding is 0 on uplink eth0:" <<<"$out"
	same check-forwarding-count "$(tail -n 1 <<<"$out")" 2
	on h sysctl -q -w net.ipv4.conf.vethc2.forwarding=1 net.ipv4.conf.eth0.forwarding=1
	on h sysctl -q -w net.ipv4.conf.vethc1.rp_filter=1
	check check-rp-filter grep -q "rp_filter is strict (1) on inside vethc1:" <<<"$(ask check)"
	on h sysctl -q -w net.ipv4.conf.all.rp_filter=2
	same check-rp-filter-loose "$(ask check)" 0
	on h sysctl -q -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.vethc1.rp_filter=0
	on h sysctl -q -w net.ipv6.conf.all.forwarding=0
	check check-ipv6 grep -q "net.ipv6.conf.all.forwarding is 0" <<<"$(ask check)"
	on h sysctl -q -w net.ipv6.conf.all.forwarding=1
	on h nft 'add table inet fw; add chain inet fw guard { type filter hook forward priority 0; policy drop; }'
	check check-nft-policy grep -q 'chain `inet fw guard`' <<<"$(ask check)"
	on h nft delete table inet fw
	if on h iptables-nft -P FORWARD DROP 2>/dev/null; then
		check check-iptables-nft grep -q 'chain `ip filter FORWARD`' <<<"$(ask check)"
		on h nft delete table ip filter
	else
		skip check-iptables-nft "no iptables-nft here"
	fi
	if on h iptables-legacy -P FORWARD DROP 2>/dev/null; then
		check check-iptables-legacy grep -q "iptables-legacy's chain FORWARD" <<<"$(ask check)"
		on h iptables-legacy -P FORWARD ACCEPT
	else
		skip check-iptables-legacy "no iptables-legacy here"
	fi
	same check-clean-again "$(ask check)" 0
}

refusals() {
	tell reset "uplink bad\"name" "nat tcp 1024-32767"
	check refused-name grep -q "can't be written" <<<"$(ask apply)"
	tell reset "uplink eth0" "nat tcp 1024-65535" "nat udp 1024-32767"
	check refused-range grep -q "leave no L4 port" <<<"$(ask apply)"
	conf
	same present-after-refusal "$(ask present)" 1
}

# ---- the scenario

topo_up
mkdir -p "$T/www"
head -c 300000 /dev/urandom >"$T/www/file"
head -c 50000000 /dev/urandom >"$T/www/big"
serve_http 80
serve_sink 81
plain_echo w ::ffff:$SRV1 7
must on h nft 'add table ip foreign; add chain ip foreign c { type filter hook input priority 5; }'
BEFORE=$(ruleset)

driver_start
same present-at-first "$(ask present)" 0
conf
same apply "$(ask apply)" 0
same present "$(ask present)" 1
traffic net
host_traffic net
same counters-quiet "$(counters)" "leak 0 midflow 0 guard 0 inbound 0 spoof 0 rule 0"
reapply

"$PY" "$HERE/fallback_judge.py" "$ID" "$DRIVER" $TABLE >"$T/fallback_judge.out" \
	2>"$T/fallback_judge.log"
JUDGE=$?
cat "$T/fallback_judge.out"
BAD=$(grep -c '^not ok' "$T/fallback_judge.out")
CHECKED=$((CHECKED + $(grep -c . "$T/fallback_judge.out")))
FAILED=$((FAILED + BAD))
same judge-came-to-its-end $JUDGE $((BAD > 0 ? 3 : 0))

conf
same apply-again "$(ask apply)" 0
counters_stay
meddling
refusals
traffic after
host_traffic after
plain_ipv6
settings
same remove "$(ask remove)" 0
same present-after-remove "$(ask present)" 0
same ruleset-as-before "$(ruleset)" "$BEFORE"
same remove-again "$(ask remove)" 0
check driver-said-nothing test ! -s "$T/driver.log"
[ $FAILED -eq 0 ] || exit 1
exit 0
