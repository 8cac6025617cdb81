#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# In make check-long: what a new process takes of a dead one's state, and what not. Another container
# by the same name gets nothing; what is no state file of ours is refused by a clear line; flows
# whose L4 port no worker can own have their replies by tags, also when they move a second time.
. "$(dirname "$0")/lib.sh"
xe_only

flows_now() { # NAME: each flow's ends, inside and outside
	xe_ctl flow list --json >"$T/$1.json" || return 1
	json "$T/$1.json" "'\n'.join(sorted(' '.join((f['proto'], f['in'], f['src'], f['dst'],
		f['nat_src'], f['nat_dst'])) for f in j['flows']))" >"$T/$1.flows"
}

same_flows() { # NAME BEFORE AFTER: none is missing, none is another
	same "$1: every flow is there with its mapping" \
		"$(comm -23 "$T/$2.flows" "$T/$3.flows" | head -n 3 | tr '\n' ';')" ""
	echo "# $(wc -l <"$T/$2.flows") flows"
}

log_says() { grep -q "$1" "$T/xegressd.$XE_RUN.log"; }

folder() { find "$T/run/state" -mindepth 1 -maxdepth 1 -type d | sort | tail -n 1; }

spoilt() { # NAME WORDS COMMAND...: done to the state file of a dead process
	local name=$1 words=$2

	shift 2
	check "$name: a flow" on c1 "$UDP_SEND" -p 4500 -s 18-100 -n 10 -r 1000 -w 3000 $SRV1 7001
	xe_kill
	must "$@" "$(folder)/w0"
	xe_start
	check "$name: refused, with the reason" log_says "$words"
	must flows_now none
	same "$name: without its flows" "$(grep -c . "$T/none.flows")" 0
	within 3000 test "$(find "$T/run/state" -mindepth 1 -maxdepth 1 -type d | wc -l)" = 1
	check "$name: what is refused goes away" test "$(find "$T/run/state" -mindepth 1 \
		-maxdepth 1 -type d | wc -l)" = 1
}

put() { printf "$1" | dd of="$3" bs=1 seek="$2" conv=notrunc status=none; } # BYTES OFFSET FILE

topo_up
judge_start
serve_echo w 0.0.0.0 7001
xe_start
for ns in c1 c2; do
	check "a flow of $ns" on $ns "$UDP_SEND" -p 4001 -s 18-100 -n 10 -r 1000 -w 3000 $SRV1 7001
done

# The same name, another interface: what was there before is not its own.
xe_kill
must on h ip link del vethc1
must ip netns del "$ID-c1"
must topo_ns c1
must topo_container c1 $C1
xe_start
must flows_now other
same "another container by that name has none of the flows" "$(grep -c vethc1 "$T/other.flows")" 0
check "... and c2 has its own" grep -q vethc2 "$T/other.flows"
check "and it can talk" on c1 "$UDP_SEND" -s 18-100 -r 200 -w 3000 $SRV1 7001
xe_ctl flow flush >"$T/flush.log"

spoilt "damaged" "is smaller than it says\|not a state file" truncate -s 100000
spoilt "foreign" "not a state file of this service" put 'somebody' 0
spoilt "of another version" "written by another version" put '\x63' 8
check "no state is lost by starting in vain" test -d "$(folder)"
xe_stop
check "a clean stop leaves no state" test ! -e "$T/run/state"

# L4 ports that are of no range any more: what has them is found by tags, which no rule asks for. A
# second time, too.
XE_RULES="masquerade from $INSIDE out eth0 ports 20032-20095"
xe_start
talk() { # NAME: each by the L4 port that it has
	local ns p

	for ns in c1 c2; do
		for p in 4701 4702 4703 4704; do
			check "$1: $ns, $p" on $ns "$UDP_SEND" -p $p -s 30 -n 2 -r 1000 -w 3000 $SRV1 7001
		done
	done
}
talk "one worker"
must flows_now was
XE_RULES="masquerade from $INSIDE out eth0 ports 20200-20263"
for round in first second; do
	xe_kill
	XE_WORKERS=2 xe_start
	must flows_now is
	same_flows "by tags, $round time" was is
	check "... some are by tags" log_says ' [1-9][0-9]* of them by tags'
	talk "by tags, $round time"
	must flows_now is
	same_flows "by tags, $round time, after the replies" was is
done
xe_stop
judge_end
finish
