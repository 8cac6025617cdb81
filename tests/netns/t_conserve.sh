#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# The service's numbers: they add up after everything at once, they never run backwards while
# somebody reads them under load, and they agree with what the interfaces count.
. "$(dirname "$0")/lib.sh"
xe_only

if_rx() { on h ip -s -j link show dev "$1" | tail -n 1; } # interface statistics, JSON

# What steer saw is what the interface received; ports are asked when nothing moves.
agree() { # PORT
	local seen got

	seen=$(json "$T/after.json" "[p['seen'] for p in j['ports'] if p['name'] == '$1'][0]")
	seen=$((seen - $(json "$T/before.json" \
		"[p['seen'] for p in j['ports'] if p['name'] == '$1'][0]")))
	got=$(($(json "$(cat "$T/$1.after")" "j[0]['stats64']['rx']['packets']") -
		$(json "$(cat "$T/$1.before")" "j[0]['stats64']['rx']['packets']")))
	same "$1: seen is what the interface received" "$seen" "$got"
}

topo_up
judge_start
serve_many w $SRV1 9000
serve_echo w $SRV1 7001
serve_iperf 5201
xe_start
xe_conserve
for dev in vethc1 vethc2 eth0; do
	if_rx $dev >"$T/$dev.before"
done
xe_stats before

bg tcp c1 "$TCP_MANY" client -c 50 -t 3 -g 2 -u 40001 -d 40001 $SRV1 9000
# Beside iperf3 from the same container it may lose: what counts here is that all is counted.
bg udp c2 "$UDP_SEND" -s 0-1472 -t 3 -r 2000 -l 6000 $SRV1 7001
bg bulk c2 iperf3 -c $SRV1 -p 5201 -t 2
bg noise c1 ping -q -i 0.05 -c 40 $SRV1
for n in $(seq 10); do
	xe_stats "busy$n"
	sleep 0.15
done
check "TCP under all of it" bg_wait tcp
check "UDP under all of it" bg_wait udp
between "its losses are those of the rings, but for some" \
	$(($(json "$T/udp.log" "j['lost']") - $(rings_lost))) -6000 60
check "iperf3 under all of it" bg_wait bulk
check "ping under all of it" bg_wait noise
same "no counter ever runs backwards" "$("$PY" - "$T" <<-'EOP'
	import json, sys
	was = {}
	for n in range(1, 11):
	    j = json.load(open("%s/busy%d.json" % (sys.argv[1], n)))
	    now = {("port", p["name"], k): v for p in j["ports"] for k, v in p.items()
	           if k in ("seen", "passed", "dropped", "redirected", "xsk_lost")}
	    for w in j["workers"]:
	        now.update({("worker", w["cpu"], k): w[k] for k in
	                    ("rx_packets", "handed_in", "made", "tx_packets", "handed_out",
	                     "merged", "to_kernel")})
	        now.update({("worker", w["cpu"], r): v for r, v in w["drops"].items()})
	    for k, v in was.items():
	        if now.get(k, v) < v:
	            print("%s from %d to %d" % (k, v, now[k]))
	    was = now
EOP
)" ""
xe_conserve # waits until nothing moves
for _ in 1 2 3; do # ARP between the two readings is nobody's fault
	xe_stats after
	for dev in vethc1 vethc2 eth0; do
		if_rx $dev >"$T/$dev.after"
	done
	xe_stats again
	! cmp -s "$T/after.json" "$T/again.json" || break
done
agree vethc1
agree vethc2
agree eth0
check "status is content" xe_ctl status
check "drops explains" grep -q . <<<"$(xe_ctl drops --explain)"
finish
