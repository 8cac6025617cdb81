#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# side-by-side
# From outside: dnat to servers in containers (TCP, UDP, ranges one to one, several targets with
# weights), one to one in both directions, `accept` in the uplink; between containers by external
# addresses, TCP and UDP; and what is not let in.
. "$(dirname "$0")/lib.sh"
xe_only

N1=192.0.2.16 # c1's own address outside, for one peer
XE_RULES="dnat tcp to $EXT:8080 dest $C1:80
dnat udp to $EXT:7000 in eth0 dest $C2:7001
dnat udp to $EXT:9100-9109 dest $C1:9200-9209
dnat udp to $EXT:7500 dest $C1:7600*3,$C2:7600
nat from $C1/32 to $SRV4/32 out eth0 source $N1/32
accept udp from $GW to $C2:7777 in eth0
masquerade from $INSIDE out eth0 ports 20000-29999"

topo_up "${XE_VARIANT:-routed}"
must on w ip route add $N1/32 via $EXT
for i in $(seq 1 64); do must on w ip addr add 203.0.114.$i/32 dev lo; done
must on h ip route add 203.0.114.0/24 via $GW
# By its address it could be the host's own, so the way back is asked, and only a rule for containers knows it.
NEAR=198.51.7.7
must on w ip addr add $NEAR/32 dev lo
must on h ip route add unreachable $NEAR/32
must on h ip rule add from $INSIDE lookup 100
must on h ip route add default via $GW table 100
JUDGE_ALLOW_DST=$GW # by the `accept` rule
judge_start
serve_many c1 $C1 80
serve_echo c2 $C2 7001
serve_echo c1 $C1 7600
serve_echo c2 $C2 7600
serve_echo c2 $C2 7777
serve_echo w $SRV4 7004
for p in 9200 9205 9209; do serve_echo c1 $C1 $p; done
xe_start

carried_begin
check "TCP to a published L4 port, data both ways" \
	on w "$TCP_MANY" client -c 8 -g 20 -u 20000 -d 20000 -i 3 $EXT 8080
check "its server sees the peer" peers_in many.c1.80 $GW 1024 65535
check "UDP to a published L4 port" on w "$UDP_SEND" -s 18-1400 -n 300 -r 3000 $EXT 7000
for p in 9100 9105 9109; do
	check "a range one to one: $p" on w "$UDP_SEND" -s 30 -n 3 -r 1000 $EXT $p
	check "... comes in on $((p + 100))" test -n "$(peers echo.c1.$((p + 100)))"
done
carried_end "from outside"

for i in $(seq 1 64); do
	on w "$UDP_SEND" -b 203.0.114.$i -s 30 -n 1 -r 1000 -w 300 $EXT 7500 >"$T/w$i.log" 2>&1 || true
done
both=$(($(peers echo.c1.7600 | cut -d: -f1 | sort -u | wc -l) + $(peers echo.c2.7600 | cut -d: -f1 |
	sort -u | wc -l)))
same "each source has a target" $both 64
# 48 of them; this is 3.5 times the standard deviation
between "the heavier target has more of them" "$(peers echo.c1.7600 | wc -l)" 36 60
echo "# the heavier one: $(peers echo.c1.7600 | wc -l) of 64"

check "one to one, out: its own address" on c1 "$UDP_SEND" -p 5555 -s 30 -n 3 -r 1000 $SRV4 7004
same "... and its L4 port" "$(peers echo.w.7004 | tail -n 1)" "$N1:5555"
check "one to one, in" on w "$UDP_SEND" -b $SRV4 -s 30 -n 3 -r 1000 $N1 7600
[ $VARIANT = bridge ] || # there the kernel's path takes it (limitations.md)
	check "accept in the uplink" on w "$UDP_SEND" -s 30 -n 3 -r 1000 $C2 7777

check "a container by the published address of another" \
	on c2 "$TCP_MANY" client -c 4 -g 20 -u 20000 -d 20000 -i 2 $EXT 8080
check "... is seen with its external address" peers_in many.c1.80 "$GW|$EXT" 1024 65535
same "... and L4 port" "$(peers many.c1.80 | grep -c "^$EXT:2[0-9]\{4\}\$")" 4

check "a peer of our /16 that the main table has no way to" on w "$UDP_SEND" -b $NEAR -s 30 -n 3 -r 1000 $EXT 7000
for filter in "from $C2 to $NEAR" "from $NEAR" "from $NEAR to $C2" "from $NEAR to $EXT"; do
	# shellcheck disable=SC2086 # words
	same "... its flow is found $filter" "$(xe_ctl flow count udp $filter)" 1
done
# shellcheck disable=SC2086
same "... and by nothing else" "$(xe_ctl flow count udp from $EXT) $(xe_ctl flow count udp to $C2 from $EXT)" "0 0"

# What no rule lets in.
xe_drops before
on w "$UDP_SEND" -s 30 -n 1 -r 1000 $EXT 7001 >"$T/none.log" 2>&1 && fail "not published" "answered"
on w "$UDP_SEND" -b 203.0.114.1 -s 30 -n 1 -r 1000 $C2 7777 >"$T/none.log" 2>&1 &&
	fail "not accepted" "answered"
between "what is not published reaches no container" "$(peers echo.c2.7777 | sort -u | wc -l)" 0 1
check "flows of theirs are shown" test "$(xe_ctl flow list --json | wc -l)" -gt 5
check "and flushed" xe_ctl flow flush
finish
