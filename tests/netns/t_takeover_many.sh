#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# In make check-long: 100,000 flows take a while to begin.
#
# Many flows are told of while the old workers go on: the few that change at last, and how long all
# stand still for them. And flows that change all the time: where one ends and another one has its
# L4 port at once, no two have it in the new process, and none fails.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/takeover.sh"
xe_only
FLOWS=${XE_FLOWS:-100000}

LOAD=$BUILD/tests/bench
for need in udp_gen tcp_srv tcp_crr; do
	[ -x "$LOAD/$need" ] || die "no $LOAD/$need: run make tests"
done

# Of each mapping and peer one: what two flows must not have in common.
mapped_twice() { # FILE
	"$PY" -c '
import collections, json, sys
n = collections.Counter()
for line in open(sys.argv[1]):
	f = json.loads(line)
	n[f["proto"], f["nat_src"], f["nat_dst"]] += 1
print(sum(1 for v in n.values() if v > 1))' "$1"
}

told_at_last() { took | sed -n 's/.*, \([0-9]*\) of them told at last.*/\1/p'; }

topo_up
judge_start
XE_RULES="masquerade tcp from $INSIDE out eth0 ports 20000-20127
masquerade from $INSIDE out eth0 ports 1024-60000"
XE_EXTRA="limits: {sessions: 1048576, sessions-per-source: 1000000}"
xe_start
bg server w "$LOAD/tcp_srv" -p 7000-7003
within 3000 grep -q READY "$T/server.log" || die "set-up: no server"

# Each L4 port is another connection's every few milliseconds.
bg crr c1 "$LOAD/tcp_crr" -d $SRV1,$SRV2 -p 7000-7003 -c 8 -t $((5 * XE_SLOW))
sleep 1
for n in 1 2 3; do
	check "takeover $n of flows that end and begin" take_over || break
	echo "# $(took)"
	sleep 0.2
done
check "connections end well" bg_wait crr
same "none failed" "$(json "$T/crr.log" "j['errors']")" 0
echo "# $(json "$T/crr.log" "'%d connections, 99.9 %% within %d ms' % (j['connections'], j['p999_us'] / 1000)")"
check "a takeover when nothing moves: flow by flow the same" take_over_unmoved
same "no two flows have one mapping" "$(mapped_twice "$T/flows.new")" 0

# Many that rest, some that begin, and one that tells how long nothing came.
serve_echo w $SRV1 7010
on c2 "$LOAD/udp_gen" -d $SRV1 -p 10000-10099 -n "$FLOWS" -b 1 -r 50000 -t $((FLOWS / 50000 + 1)) >"$T/gen.log"
check "flows begin" test "$(xe_ctl flow count | tail -n 1 | grep -o '[0-9]*' | head -n 1)" -ge "$FLOWS"
bg churn c1 "$LOAD/udp_gen" -d $SRV2 -p 10000-10099 -n 20000 -b 1 -r 500 -t $((4 * XE_SLOW))
bg udp c1 "$UDP_SEND" -t $((3 * XE_SLOW)) -r 2000 -l 100000 $SRV1 7010
sleep 0.3
for n in 1 2; do
	check "takeover $n of $FLOWS flows" take_over || break
	echo "# $(took)"
	between "of which few are told of while all stand still" "$(told_at_last)" 0 $((FLOWS / 20))
	# 300 ms with 100,000, were they told of then; what is left is a busy machine's
	between "they stand still for (ms)" "$(stood_still_ms)" 0 $((100 * XE_SLOW))
	sleep 0.3
done
bg_wait udp
bg_stop churn
same "no datagram twice or corrupt" "$(json "$T/udp.log" "j['duplicate'] + j['corrupt']")" 0
echo "# UDP: $(json "$T/udp.log" "'%d sent, %d lost, longest gap %d ms' % (j['sent'], j['lost'], j['max_gap_ms'])")"
check "all are there" test "$(xe_ctl flow count | tail -n 1 | grep -o '[0-9]*' | head -n 1)" -ge "$FLOWS"
finish
