#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# demo.sh - xegress shown to a person, in under a minute: `sudo make demo`.
#
# Two containers, a host and an internet, all network namespaces of this script with random names
# (tests/netns/topo.md has the picture); the machine's own interfaces are never touched, and
# everything is gone at the end, on Ctrl-C too. First the kernel translates (nft masquerade), then
# xegressd does. Exit 0 when every promise that is shown was kept.
#
#	DEMO_MB=N      size of the download and the upload through xegressd (default 1024)
#	DEMO_KERNEL=1  only the part by the kernel

SECONDS=0
XE_KERNEL=0
# shellcheck source=../tests/netns/lib.sh
. "$(dirname "$0")/../tests/netns/lib.sh"

MB=${DEMO_MB:-1024}
BOLD=''
PLAIN=''
if [ -t 1 ]; then
	BOLD=$(tput bold 2>/dev/null)
	PLAIN=$(tput sgr0 2>/dev/null)
fi

title() { printf '\n%s== %s%s\n' "$BOLD" "$*" "$PLAIN"; }
say() { printf '%s\n' "$*"; }
ran() { printf '%s$ %s%s\n' "$BOLD" "$*" "$PLAIN"; }

# lib.sh's verdicts, in the words of a story.
pass() { say "   yes: $1"; }
skip() { say "   (not asked: $1, $2)"; }
fail() {
	FAILED=$((FAILED + 1))
	say "   NO:  $1: ${2:-}"
}

show_logs() { # at a bad end: what the service said
	tail -n 20 "$T"/xegressd.*.log 2>/dev/null
}

rate() { awk -v b="$1" -v ms="$2" 'BEGIN { printf "%.1f s, %.2f Gb/s", ms / 1e3, b * 8 / ms / 1e6 }'; }

make_files() {
	local seed n

	mkdir -p "$T/www" "$T/got"
	seed=$T/seed
	head -c $((32 << 20)) /dev/urandom >"$seed"
	# A number before each piece: a piece that went missing or twice changes the hash.
	for ((n = 0; n < (MB + 31) / 32; n++)); do
		printf '%08d' $n
		cat "$seed"
	done | head -c $((MB << 20)) >"$T/www/big"
	head -c $((256 << 20)) "$T/www/big" >"$T/www/quarter"
	head -c 100001 "$seed" >"$T/www/small"
	BIG_SHA=$(sha <"$T/www/big")
	QUARTER_SHA=$(sha <"$T/www/quarter")
	SMALL_SHA=$(sha <"$T/www/small")
}

download() { # FILE SHA
	local start got size

	size=$(stat -c %s "$T/www/$1")
	ran "c1: curl http://$SRV1:8080/$1 | openssl dgst -sha256"
	start=$(now_ms)
	got=$(on c1 curl -sS --fail -m 50 "http://$SRV1:8080/$1" | sha)
	say "   $((size >> 20)) MB in $(rate "$size" $(($(now_ms) - start))), sha256 ${got:0:16}..."
	same "the download arrived intact" "$got" "$2"
}

upload() { # FILE SHA
	local start got size

	size=$(stat -c %s "$T/www/$1")
	ran "c1: curl -T $1 http://$SRV1:8081/"
	start=$(now_ms)
	got=$(on c1 curl -sS --fail -m 50 -T "$T/www/$1" "http://$SRV1:8081/")
	say "   $((size >> 20)) MB in $(rate "$size" $(($(now_ms) - start))), sha256 ${got:0:16}..."
	same "the upload arrived intact" "$got" "$2"
}

parallel_curls() {
	local right

	ran "c2: 200 curls at once"
	rm -f "$T"/got/*
	seq 200 | nsenter --net="/run/netns/$ID-c2" xargs -P 200 -I{} \
		curl -sS --fail -m 20 -o "$T/got/{}" "http://$SRV1:8080/small?{}"
	right=$(sha256sum "$T"/got/* 2>/dev/null | grep -c "^$SMALL_SHA")
	same "200 whole files" "$right" 200
}

iperf() { # WHAT OPTION...
	local what=$1 out

	shift
	out=$(on c1 timeout 15 iperf3 -c $SRV1 -p 5201 -J "$@" 2>&1)
	json "$out" "j['error'] if 'error' in j else '   %-12s %6.2f Gb/s%s' % ('$what',
		j['end'].get('sum_received', j['end'].get('sum'))['bits_per_second'] / 1e9,
		', %.2f %% lost' % j['end']['sum']['lost_percent'] if 'sum' in j['end'] else '')"
	same "no stall, $what" "$(json "$out" "'error' not in j and min(i['sum']['bytes'] for i in
		j['intervals'] if i['sum']['seconds'] > 0.1) > 0")" true
}

iperfs() { # SECONDS
	ran "c1: iperf3, TCP and UDP, up and down"
	iperf "TCP up" -t "$1" -i 0.2
	iperf "TCP down" -t "$1" -i 0.2 -R
	iperf "UDP up" -u -b 200M -l 1400 -t "$1" -i 0.2
	iperf "UDP down" -u -b 200M -l 1400 -t "$1" -i 0.2 -R
}

datagrams() {
	ran "c1: udp_send, every payload length from 0 to 1472, each echoed and compared"
	check "1,473 datagrams there and back" on c1 "$UDP_SEND" -s 0-1472 -r 4000 $SRV1 7001
	say "   $(tail -n 1 "$T/check.out")"
}

server_log() {
	ran "internet: tail access.log    (address and L4 port as the server sees them)"
	tail -n 3 "$T/access.log" | sed 's/^/   /'
	same "it has seen no private address" "$(grep -c '^10\.' "$T/access.log")" 0
}

wire_verdict() {
	local report

	report=$(wire_report)
	say "On the uplink so far, as tcpdump on the internet's side saw it:" \
		"$(json "$report" "j['private']") packets with a private source," \
		"$(json "$report" "j['host_rst']") resets from the host."
}

open_flows() { # some that stay open, so that there is something to list
	bg held.c1 c1 "$TCP_MANY" client -c 3 -t 60 -g 50 -u 5000 -d 5000 $SRV2 9000
	bg held.c2 c2 "$UDP_SEND" -s 200 -t 60 -r 20 -l 100000 $SRV3 7002
	sleep 0.7
}

close_flows() {
	check "the flows that were open ended well" bg_stop held.c1
	bg_stop held.c2
}

topology() {
	title "The stage: network namespaces $ID-c1, -c2, -h, -w"
	cat <<-EOP
	   c1 $C1 ---+
	                 +--- h (the host) $EXT --- $GW w (the internet)
	   c2 $C2 ---+                                      servers $SRV1, .2, .3
	   On the internet: $(nginx -v 2>&1 | sed -n 's/^nginx version: //p;s/.*not found.*/http.server/p'), an upload sink, iperf3, a UDP echo.
	EOP
	topo_up
	judge_start
	make_files
	serve_http 8080
	serve_sink 8081
	serve_iperf 5201
	serve_echo w $SRV1 7001
	serve_echo w $SRV3 7002
	serve_many w 0.0.0.0 9000
}

by_the_kernel() {
	title "Part 1: the kernel translates (nft masquerade)"
	xe_snapshot >"$T/found.txt"
	XE_KERNEL=1
	xe_start
	carried_begin
	download quarter "$QUARTER_SHA"
	upload quarter "$QUARTER_SHA"
	parallel_curls
	iperfs 1
	datagrams
	server_log
	carried_end "Part 1"
	say "   IpForwDatagrams of the host went up by $(($(snmp h Ip ForwDatagrams) - FORW))."
	wire_verdict
	on h nft delete table ip stand_in
	on h nft delete table ip stand_in_leak
	on h conntrack -F >/dev/null 2>&1
	XE_KERNEL=0
}

by_xegress() {
	title "Part 2: xegressd translates"
	ran "cat xegress.yaml"
	xe_conf | sed 's/^/   /'
	ran "h: xegressd -c xegress.yaml"
	xe_start
	ran "xegressctl status"
	xe_ctl status | sed 's/^/   /'
	carried_begin
	download big "$BIG_SHA"
	upload big "$BIG_SHA"
	parallel_curls
	iperfs 1
	datagrams
	open_flows
	ran "xegressctl flow list    (c1 holds 3 TCP flows, c2 one of UDP)"
	xe_ctl flow list | grep -E "proto|$SRV2|$SRV3" | head -n 6 | sed 's/^/   /'
	close_flows
	server_log
	carried_end "Part 2"
	say "   IpForwDatagrams of the host went up by $(($(snmp h Ip ForwDatagrams) - FORW))."
	ran "c1: ping $SRV1    (ICMP stays with the kernel)"
	check "ping works" on c1 ping -q -c 3 -i 0.1 -W 1 $SRV1
	wire_verdict
	title "The numbers add up"
	ran "xegressctl stats --json    (as two equations: what came is what went)"
	xe_conserve
	ran "xegressctl drops"
	xe_ctl drops | head -n 12 | sed 's/^/   /'
}

the_end() {
	title "The end: SIGTERM"
	xe_end
	judge_end
	if [ $FAILED -eq 0 ]; then
		title "Everything shown was as promised, in $SECONDS seconds."
		exit 0
	fi
	title "$FAILED of the promises shown were not kept."
	exit 1
}

topology
by_the_kernel
if [ "${DEMO_KERNEL:-0}" = 0 ]; then
	by_xegress
else
	XE_KERNEL=1
fi
the_end
