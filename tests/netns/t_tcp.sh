#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# TCP as people use it: downloads and uploads by curl with sha256, 200 curls at once, iperf3.
. "$(dirname "$0")/lib.sh"

MB=${XE_BIG_MB:-64} # a file of this size; 1024 is what `make demo` moves
FILES=200

download() {
	on c1 curl -sS --fail -m 60 -o - "http://$SRV1:8080/big" | sha
}

upload() { on c1 curl -sS --fail -m 60 -T "$T/www/big" "http://$SRV1:8081/"; }

parallel_curls() {
	seq $FILES | nsenter --net="/run/netns/$ID-c1" xargs -P $FILES -I{} \
		curl -sS --fail -m 30 -o "$T/got/{}" "http://$SRV1:8080/small?{}"
}

iperf() { # NAME OPTION...
	local name=$1 out

	shift
	out=$(on c1 timeout 20 iperf3 -c $SRV1 -p 5201 -t 1 -J "$@" 2>&1)
	# "Without stall": every tenth of a second something arrived.
	same "$name" "$(json "$out" "'error' not in j and min(i['sum']['bytes'] for i in
		j['intervals'] if i['sum']['seconds'] > 0.05) > 0" 2>&1 | tail -n 1)" true
	json "$out" "'# %.2f Gb/s' % (j['end']['sum_received']['bits_per_second'] / 1e9)"
}

topo_up
judge_start
mkdir -p "$T/www" "$T/got"
head -c $((MB << 20)) /dev/urandom >"$T/www/big"
head -c 100001 /dev/urandom >"$T/www/small"
serve_http 8080
serve_sink 8081
serve_iperf 5201
xe_start

wanted=$(sha <"$T/www/big")
carried_begin
same "download of $MB MB arrives intact" "$(download)" "$wanted"
same "upload of $MB MB arrives intact" "$(upload)" "$wanted"
check "200 parallel curls" parallel_curls
same "each of them got the whole file" \
	"$(sha256sum "$T"/got/* | cut -d' ' -f1 | sort | uniq -c | awk '{ print $1, $2 }')" \
	"$FILES $(sha <"$T/www/small")"
iperf "iperf3 up, one stream" -P1 -i 0.1
iperf "iperf3 down, one stream" -P1 -R -i 0.1
iperf "iperf3 up, four streams" -P4 -i 0.1
iperf "iperf3 down, four streams" -P4 -R -i 0.1
carried_end "TCP"
check "the server saw the translated address" test -n "$(grep "^$EXT:2[0-9]\{4\} " "$T/access.log")"
same "and no other" "$(grep -vc "^$EXT:2[0-9]\{4\} " "$T/access.log")" 0
finish
