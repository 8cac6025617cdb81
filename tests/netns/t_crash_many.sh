#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# SIGKILL with 100,000 flows: more than are adopted before the ports come up. Meanwhile the control
# socket answers, says so, and the flows that send are not taken for new ones; in the end all are
# there, each with its mapping.
. "$(dirname "$0")/lib.sh"
xe_only
FLOWS=100000
XE_EXTRA="limits: {sessions: 150000, sessions-per-source: 150000}"

# Mappings of the flows that the containers have, from the outside.
mappings() { # NAME
	xe_ctl flow list --json >"$T/$1.json" || return 1
	json "$T/$1.json" "'\n'.join(sorted(' '.join((f['proto'], f['src'], f['dst'], f['nat_src']))
		for f in j['flows'] if not f['dst'].startswith('203.0.64.')))" >"$T/$1.flows"
}

in_force() { # until then it may say what it is at
	xe_ctl status >"$T/status.txt" 2>&1 && return
	grep -m 1 "being adopted" "$T/status.txt" >>"$T/busy.txt"
	return 1
}

all_there() { [ "$(json "$(xe_ctl status --json)" "j['flows']['count']")" -ge $FLOWS ]; }

IN_FORCE=() # ms, of each start after a crash
start_again() {
	local start

	xe_kill
	start=$(now_ms)
	xe_begin
	check "in force again" within 8000 in_force
	IN_FORCE+=($(($(now_ms) - start)))
}

topo_up
judge_start
serve_many w 0.0.0.0 9000
serve_echo w 0.0.0.0 7001
must "$PY" "$HERE/many_flows.py" $FLOWS 100 "$T/flows.state"
xe_start
same "all are adopted" "$(json "$(xe_ctl --json state import "$T/flows.state")" \
	"[j['adopted'], j['by_tags'], j['refused']]")" "[$FLOWS, 0, 0]"
bg bulk c1 "$TCP_MANY" client -c 4 -t 60 -g 2 -u 60000 -d 60000 -i 10 $SRV1 9000
bg udp c2 "$UDP_SEND" -p 4001 -s 18-1400 -t 60 -r 300 -l 1000000 $SRV1 7001
sleep 0.5
must mappings was
start_again
while [ ${#IN_FORCE[@]} -lt 3 ] && [ "${IN_FORCE[0]}" -gt $((1000 * XE_SLOW)) ]; do # a busy machine?
	start_again
done
between "in force (ms, the median)" "$(median "${IN_FORCE[@]}")" 0 $((1000 * XE_SLOW))
touch "$T/busy.txt"
echo "# after ${IN_FORCE[*]} ms, busy at $(wc -l <"$T/busy.txt") looks: $(grep -h 'go on with' "$T/xegressd.$XE_RUN.log")"
check "every flow is there" all_there
same "none is refused, none by tags" "$(grep -c 'mappings, 0 of them by tags.* over, 0 could not' \
	"$T/xegressd.$XE_RUN.log")" 1
must mappings is
same "those that send have their mappings" \
	"$(comm -23 "$T/was.flows" "$T/is.flows" | head -n 3 | tr '\n' ';')" ""
sleep 0.5
check "TCP goes on" running bulk
check "every byte, no connection lost" bg_stop bulk
check "UDP goes on" running udp
bg_stop udp
mappings later
same "still, after some load" "$(comm -23 "$T/was.flows" "$T/later.flows" | grep -v ^tcp |
	head -n 3 | tr '\n' ';')" ""
xe_conserve
bg_stop echo.w.7001
judge_end
finish
