#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# SIGKILL under load, and a new process: every flow goes on in it with the mapping it had. With one
# worker, then with two, then with one again; and by a file of all flows. What is refused, and flows
# by tags: t_crash_refused.sh.
. "$(dirname "$0")/lib.sh"
xe_only

XE_RULES="dnat tcp to $EXT:8080 dest $C1:80
dnat udp to $EXT:7000 dest $C2:7001
accept from $C1/32 to $C2/32
masquerade from $INSIDE out eth0 ports 20000-29999"
IDLE=60
IN_FORCE=() # ms, of each start after a crash

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

load() { # those that send all the time, those that are idle for seconds, from outside
	bg bulk c1 "$TCP_MANY" client -c 4 -t 60 -g 2 -u 60000 -d 60000 -i $((10 * XE_SLOW)) $SRV1 9000
	bg idle c2 "$TCP_MANY" client -c $IDLE -t 60 -g 1500 -u 100 -d 100 -i $((15 * XE_SLOW)) $SRV1 9000
	bg udp1 c1 "$UDP_SEND" -p 4001 -s 18-1400 -t 60 -r 300 -l 1000000 $SRV1 7001
	bg udp2 c1 "$UDP_SEND" -p 4002 -s 18-200 -t 60 -r 300 -l 1000000 $SRV2 7001
	bg dnat w "$TCP_MANY" client -c 4 -t 60 -g 20 -u 20000 -d 20000 -i $((10 * XE_SLOW)) $EXT 8080
	bg across c1 "$UDP_SEND" -p 4003 -s 18-200 -t 60 -r 100 -l 1000000 $C2 7002
}

# The UDP flow from outside ends with each batch, and is alive for minutes.
from_outside() { on w "$UDP_SEND" -p 5000 -b $GW -s 18-100 -n 20 -r 1000 -w 3000 $EXT 7000; }

all_flows() { # all that load() makes
	flows_now all && [ "$(wc -l <"$T/all.flows")" -ge $((4 + IDLE + 3 + 4 + 1)) ]
}

again() { # NAME: dies and comes again
	local start

	must flows_now was
	xe_kill
	start=$(now_ms)
	xe_start
	IN_FORCE+=($(($(now_ms) - start)))
	echo "# $1: in force after ${IN_FORCE[-1]} ms"
	must flows_now is
	same_flows "$1" was is
	sleep 0.5
	check "$1: bulk" running bulk
	check "$1: the flow from outside goes on" from_outside
	flows_now later
	same_flows "$1, after some load" was later
}

topo_up
JUDGE_ALLOW_DST=$C2 # by the `accept` rule
judge_start
serve_many w 0.0.0.0 9000
serve_many c1 $C1 80
serve_echo w 0.0.0.0 7001
serve_echo c2 $C2 7001
serve_echo c2 $C2 7002
xe_start

load
check "from outside" from_outside
within 5000 all_flows || fail "all flows are there" "$(wc -l <"$T/all.flows")"
again "SIGKILL"
XE_WORKERS=2 again "two workers instead of one"
XE_WORKERS=1 again "one worker instead of two"
between "in force again: the median (ms)" "$(median "${IN_FORCE[@]}")" 0 $((1000 * XE_SLOW))

for part in bulk idle dnat; do
	check "$part: every byte, no connection lost" bg_stop $part
done
for part in udp1 udp2 across; do
	check "$part: runs" running $part
	bg_stop $part
done
xe_conserve
for server in w.7001 c2.7001 c2.7002; do
	bg_stop echo.$server
	same "UDP at $server: nothing corrupt" \
		"$(json "$(tail -n 1 "$T/echo.$server.log")" "j['corrupt']")" 0
done
serve_echo w 0.0.0.0 7001

# As a file: a pair kept in step, or another host's.
check "state export" xe_ctl state export "$T/flows.state"
must flows_now was
xe_kill
must rm -r "$T/run/state"
on h conntrack -F >"$T/conntrack.log" 2>&1 # what the kernel carried meanwhile would come, too
xe_start
must flows_now none
same "without state there are none" "$(grep -c . "$T/none.flows")" 0
check "state import" xe_ctl state import "$T/flows.state"
must flows_now is
same_flows "import" was is
check "a flow of it goes on" on c1 "$UDP_SEND" -p 4001 -s 18-100 -n 10 -r 1000 -w 3000 $SRV1 7001
must flows_now later
same_flows "its mapping" is later
same "again: nothing twice" "$(json "$(xe_ctl --json state import "$T/flows.state")" \
	"[j['adopted'], j['refused'], j['there'] == j['flows']]")" "[0, 0, true]"
head -c 3000 "$T/flows.state" >"$T/cut.state"
same "a file cut short is refused" "$(xe_ctl state import "$T/cut.state" 2>&1 |
	grep -c 'cut short')" 1
same "so is one that is none" "$(xe_ctl state import "$T/xegress.yaml" 2>&1 |
	grep -c 'does not begin with')" 1
# not even where no descriptor is to be had any more
must prlimit --pid "${PIDS[xegressd.$XE_RUN]}" --nofile=4
xe_stop
check "a clean stop leaves no state" test ! -e "$T/run/state"
judge_end
finish
