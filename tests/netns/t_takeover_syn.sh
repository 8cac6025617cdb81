#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# In make check-long: twice some 6 s in which nobody carries, and SYNs are sent again.
# A takeover in which all stands still for longer than steer waits for a heartbeat is a stall: what
# began meanwhile is the kernel's. SYNs that lie in the rings from before that, and flows whose SYN
# had not been answered, must not become sessions beside the kernel's flows: those would be reset, or
# dead. On the old side (the new one falls silent), and on the new one (the last word comes late).
. "$(dirname "$0")/lib.sh"
XE_STALLS=1 # of our making
. "$(dirname "$0")/takeover.sh"
xe_only
XE_RULES="dnat tcp to $EXT:8080 dest $C1:80
$XE_RULES"

flows() { json "$T/$1.log" "[j['failed'], j['corrupt'], j['reset'], j['timeout'], j['opened']]"; }
went_on() { grep -c "worker 0: goes on, it stood still" "$T/xegressd.$XE_RUN.log"; }

established() { json "$(xe_ctl flow list --json)" "sum(f['state'] == 'established' for f in j['flows'])"; }

# Flows whose first SYN is not answered: the servers' answers are lost.
syns_before() { # NAME
	local ns

	for ns in w c1; do
		must on $ns nft "add table ip lose; add chain ip lose out { type filter hook output priority 0; }"
		must on $ns nft "add rule ip lose out tcp flags & (syn|ack) == (syn|ack) drop"
	done
	bg "out$1" c1 "$TCP_MANY" client -i 40 -c 10 -t 60 -g 20 -u 20000 -d 20000 $SRV1 9000
	bg "in$1" w "$TCP_MANY" client -i 40 -c 10 -t 60 -g 20 -u 20000 -d 20000 $EXT 8080
	check "the first SYNs make flows here ($1)" within 900 eval '[ "$(xe_ctl flow count)" -ge 20 ]'
}

# And now, that nobody reads the rings: SYNs that wait there.
syns_meanwhile() { # NAME
	local ns

	for ns in w c1; do must on $ns nft delete table ip lose; done
	bg "late$1" c2 "$TCP_MANY" client -i 40 -c 10 -t 60 -g 20 -u 20000 -d 20000 $SRV1 9000
}

all_live() { # NAME
	local flow

	check "the workers know that they stood still ($1)" within 3000 eval '[ "$(went_on)" -ge 1 ]'
	check "all streams are carried here ($1)" within 12000 eval '[ "$(established)" = 30 ]'
	sleep 0.5 # some rounds of each
	for flow in out in late; do
		check "streams end well ($1, $flow)" bg_stop $flow$1
		same "no connection lost or reset ($1, $flow)" "$(flows $flow$1)" "[0, 0, 0, 0, 10]"
	done
	xe_ctl flow flush >"$T/flush.log"
}

topo_up
judge_start
serve_many w $SRV1 9000
serve_many c1 $C1 80
xe_start

syns_before silent
bg taker h env BUILD="$BUILD" "$PY" "$HERE/taker.py" "$T/run" freeze-silent
check "all stand still, and the new process falls silent" within 800 grep -q silent "$T/taker.log"
syns_meanwhile silent
check "the old one has had enough" bg_wait taker
check "and is in force" within 3000 xe_ctl status
all_live silent

bg go h "$PY" "$HERE/late_go.py" "$T/run" 4.5
within 3000 grep -q listens "$T/go.log"
syns_before go
XE_RUN=$((XE_RUN + 1))
bg "xegressd.$XE_RUN" h "$BUILD/xegressd" -c "$T/xegress.yaml" --run-dir "$T/run" --takeover
check "all stand still, and the last word is late" within 10000 grep -q "told to go" "$T/go.log"
syns_meanwhile go
check "it is taken over" within 10000 taken
check "the old one ends well" bg_wait "xegressd.$((XE_RUN - 1))"
check "the new one is in force" within 3000 xe_ctl status
all_live go
finish
