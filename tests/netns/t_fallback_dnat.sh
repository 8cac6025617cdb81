#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# In make check-long: up, stuck, dead, up, handed back are 14 s; test_fallback has the lines of all of it.
# What dnat, nat and `accept` in an uplink publish is reachable, too, when the service is dead: the
# safety net does it, with the weights of the rules, and when it was stopped by handback. While the
# service is up the net does nothing of it. While a worker is stuck the host resets no published flow,
# and the flow goes on afterwards.
. "$(dirname "$0")/lib.sh"
XE_STALLS=1 # of our making
. "$HERE/topo6.sh"
xe_only

N1=192.0.2.16
XE_PORTS="{name: vethc1, role: inside, allow: [$C1/32, \"$C1_6/128\"]}
{name: vethc2, role: inside, allow: [$C2/32, \"$C2_6/128\"]}
{name: eth0, role: uplink}"
XE_RULES="dnat tcp to $EXT:8080 dest $C1:80
dnat udp to $EXT:7000 in eth0 dest $C2:7001
dnat udp to $EXT:9100-9109 dest $C1:9200-9209
dnat udp to $EXT:7500 dest $C1:7600*3,$C2:7600
kernel udp from $SRV1/32 to $EXT:7700
dnat udp to $EXT:7700 dest $C2:7001
nat from $C1/32 to $SRV4/32 out eth0 source $N1/32
accept udp from $GW to $C2:7777 in eth0
dnat tcp to [$EXT6]:8080 dest [$C1_6]:80
masquerade from $INSIDE out eth0 ports 20000-29999"

topo_up
topo6_up
must on w ip route add $N1/32 via $EXT
for i in $(seq 1 64); do must on w ip addr add 203.0.114.$i/32 dev lo; done
must on h ip route add 203.0.114.0/24 via $GW
JUDGE_ALLOW_DST=$GW # by the `accept` rule
judge_start
serve_many c1 :: 80
serve_many w 0.0.0.0 9000
serve_echo c2 $C2 7001
serve_echo c1 $C1 7600
serve_echo c2 $C2 7600
serve_echo c2 $C2 7777
serve_echo w $SRV4 7004
serve_echo c1 $C1 9205
xe_start

published() { # NAME
	check "$1: TCP to a published L4 port" \
		on w "$TCP_MANY" client -c 4 -g 5 -u 20000 -d 20000 -i 1 $EXT 8080
	check "$1: UDP" on w "$UDP_SEND" -s 18-1400 -n 100 -r 1000 $EXT 7000
	check "$1: a range one to one" on w "$UDP_SEND" -s 30 -n 3 -r 1000 $EXT 9105
	check "$1: one to one, out" on c1 "$UDP_SEND" -p 5555 -s 30 -n 3 -r 1000 $SRV4 7004
	same "$1: ... by its own address, its own L4 port" "$(peers echo.w.7004 | tail -n 1)" \
		"$N1:5555"
	check "$1: one to one, in" on w "$UDP_SEND" -b $SRV4 -s 30 -n 3 -r 1000 $N1 7600
	check "$1: accept in the uplink" on w "$UDP_SEND" -s 30 -n 3 -r 1000 $C2 7777
	check "$1: a container by the published address of another" \
		on c2 "$TCP_MANY" client -c 4 -g 5 -u 20000 -d 20000 -i 1 $EXT 8080
	check "$1: IPv6" on w "$TCP_MANY" client -c 4 -g 5 -u 20000 -d 20000 -i 1 $EXT6 8080
	# the rule before it says `kernel`: the host's, who has nothing there
	check "$1: published but for one source" on w "$UDP_SEND" -s 30 -n 1 -r 1000 $EXT 7700
	on w "$UDP_SEND" -b $SRV1 -s 30 -n 1 -r 1000 -w 300 $EXT 7700 >"$T/kernel.log" 2>&1 &&
		fail "$1: kernel rule" "answered"
}

spread() { # NAME: 64 sources over two targets, 3 to 1
	local i before1 before2 n1 n2

	before1=$(peers echo.c1.7600 | wc -l)
	before2=$(peers echo.c2.7600 | wc -l)
	for i in $(seq 1 64); do
		on w "$UDP_SEND" -b 203.0.114.$i -s 30 -n 1 -r 1000 -w 300 $EXT 7500 \
			>"$T/w$i.log" 2>&1 || true
	done
	n1=$(($(peers echo.c1.7600 | wc -l) - before1))
	n2=$(($(peers echo.c2.7600 | wc -l) - before2))
	same "$1: each source has a target" $((n1 + n2)) 64
	# 48 of them; this is 3.5 times the standard deviation
	between "$1: the heavier target has more of them" $n1 36 60
}

net_counter() {
	on h nft list counters | sed -n "/counter $1 /,/}/s/.*packets \([0-9]*\).*/\1/p" | tail -n 1
}

no_reset() { # NAME
	sleep 0.1
	wire_clean "$1: no reset from the host" host_rst "$(wire_report)"
}

carried_begin
published up
carried_end "up"

# A flow of the service, and then it does not run.
bg long w "$TCP_MANY" client -c 3 -t 60 -g 5 -u 20000 -d 20000 -i 30 $EXT 8080
sleep 1
check "a published flow runs" running long
before=$(net_counter guard_dropped)
must kill -STOP "${PIDS[xegressd.$XE_RUN]}"
sleep 1.2
no_reset "stuck"
# What comes for the flow is sent again after 0.2, 0.6, 1.4 and 3 s.
check "what comes for it meanwhile is dropped" \
	within 4000 eval '[ "$(net_counter guard_dropped)" -gt "$before" ]'
no_reset "stuck, sent again"
check "stuck: a new flow" on w "$TCP_MANY" client -c 2 -g 5 -u 20000 -d 20000 -i 1 $EXT 8080
must kill -CONT "${PIDS[xegressd.$XE_RUN]}"
sleep 1
check "a published flow has lived through it" running long
bg_stop long TERM || true

bg long w "$TCP_MANY" client -c 3 -t 60 -g 5 -u 20000 -d 20000 -i 30 $EXT 8080
sleep 0.5
xe_kill
sleep 1
no_reset "dead"
bg_stop long KILL || true
published dead
spread dead
no_reset "dead, new flows"

XE_ON_STOP=handback
xe_start
carried_begin
check "again: TCP to a published L4 port" \
	on w "$TCP_MANY" client -c 4 -g 5 -u 20000 -d 20000 -i 1 $EXT 8080
carried_end "again"
xe_stop
check "handed back: TCP to a published L4 port" \
	on w "$TCP_MANY" client -c 4 -g 5 -u 20000 -d 20000 -i 1 $EXT 8080
check "handed back: UDP" on w "$UDP_SEND" -s 30 -n 20 -r 1000 $EXT 7000
check "handed back: one to one, in" on w "$UDP_SEND" -b $SRV4 -s 30 -n 3 -r 1000 $N1 7600
no_reset "handed back"
XE_ON_STOP=clean
xe_start
finish
