#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Threads that stand still: all of the process, one worker, the one of the uplink, the control
# thread. What they carried waits and goes on, what is new takes the kernel's path meanwhile and
# stays there, what other workers carry does not notice. XE_STALL_MS: how long (make check-long: 10 s).
. "$(dirname "$0")/lib.sh"
XE_STALLS=1 # of our making
xe_only
[ "$(nproc)" -ge 2 ] || skip_all "needs two CPUs"
STALL=$(tool stall) || die "the tool \`stall\` does not build"
MS=${XE_STALL_MS:-2500}
XE_WORKERS=2
XE_PORTS="{name: veth*, role: inside, allow: [10.1.0.0/16]}
{name: eth0, role: uplink}"
XE_RULES="dnat tcp to $EXT:8080 dest $C1:80
$XE_RULES"
# Shorter than the stall: what the time counted for would be gone.
XE_EXTRA="timeouts: {udp: 2s}"

flows() { # NAME: what a client says, when it has ended
	json "$T/$1.log" "[j['failed'], j['corrupt'], j['reset'], j['timeout']]"
}

lives() { # NAME...: they end, and have lost nothing
	local n

	for n in "$@"; do
		bg_stop "$n"
		same "no connection lost ($n)" "$(flows "$n")" "[0, 0, 0, 0]"
		sed 's/^/# /' "$T/$n.log"
	done
}

log_of() { cat "$T/xegressd.$XE_RUN.log"; }
said() { log_of | grep -cE "$1"; }
pid() { echo "${PIDS[xegressd.$XE_RUN]}"; }
worker_of() { xe_ctl status --json | json "$(cat)" "[p['worker'] for p in j['ports'] if p['name'] == '$1'][0]"; }
why_has() { # PATTERN: a line of `why`
	xe_ctl status --json >"$T/status.json"
	json "$T/status.json" "'\n'.join(j['why'])" | grep -qE "$1"
}
dropped() { xe_stats d && json "$T/d.json" "sum(w['drops']['$1'] for w in j['workers'])"; }
hold() { bg "$1" h "$STALL" "$(pid)" "$2" "$3" && within 1000 test -s "$T/$1.log"; }

topo_up
judge_start
serve_many w $SRV1 9000
serve_many c1 $C1 80
serve_echo w $SRV1 7001
xe_start
on_stalled=$((1 - $(worker_of eth0))) # which of the two does not receive the replies
for c in c1 c2; do
	if [ "$(worker_of veth$c)" = $on_stalled ]; then there=$c; else here=$c; fi
done
[ -n "${here:-}" ] && [ -n "${there:-}" ] || die "both containers at one worker"

# ---- all of it: SIGSTOP

bg old c1 "$TCP_MANY" client -i 40 -c 8 -t 60 -g 10 -u 20000 -d 20000 $SRV1 9000
bg old2 c2 "$TCP_MANY" client -i 40 -c 8 -t 60 -g 10 -u 20000 -d 20000 $SRV1 9000
bg published w "$TCP_MANY" client -i 40 -c 4 -t 60 -g 10 -u 20000 -d 20000 $EXT 8080
check "a datagram makes a session" on c1 "$UDP_SEND" -n 1 $SRV1 7001
sleep 0.3
mapping() { json "$(xe_ctl flow list udp --json)" "[f['nat_src'] for f in j['flows'] if f['nat_src'] == '${1:-}' or not '${1:-}'][0]"; }
before=$(mapping)
start=$(now_ms)
kill -STOP "$(pid)"
bg early c1 "$TCP_MANY" client -i 40 -c 4 -t 60 -g 20 -u 20000 -d 20000 $SRV1 9000 # its SYNs are in the rings
sleep 1.1
check "stopped for a second: new TCP flows work" \
	on c2 "$TCP_MANY" client -c 4 -u 30001 -d 30001 $SRV1 9000
check "and datagrams" on c1 "$UDP_SEND" -n 20 -r 1000 $SRV1 7001
bg begun c2 "$TCP_MANY" client -i 40 -c 4 -t 60 -g 20 -u 20000 -d 20000 $SRV1 9000
between "all of that while it stood" $(($(now_ms) - start)) 0 $((MS + 1000))
sleep "$(awk -v l=$((MS - $(now_ms) + start)) 'BEGIN { print (l > 0 ? l / 1000 : 0) }')"
lives early begun
kill -CONT "$(pid)"
check "the session has not aged" within 1000 eval '[ "$(mapping "$before")" = "$before" ]'
check "it goes on, and says so" within 1000 eval '[ "$(said "worker [01]: goes on, it stood still")" = 2 ]'
check "status is content" within 1000 xe_ctl status
check "what lay in the rings was dropped" [ "$(dropped STALE)" -gt 0 ]
sleep 0.5

# ---- one worker, not the one of the uplink

bg mine $here "$TCP_MANY" client -i 40 -c 4 -t 60 -g 5 -u 20000 -d 20000 $SRV1 9000
sleep 0.3
check "one worker is held" hold held "xe-worker/$on_stalled" "$MS"
sleep 1.2
check "status says which, and since when" within 1000 why_has "^worker $on_stalled: it stands still.*\(noticed 0\.[0-9] s ago\)"
same "exit code of status" "$(xe_ctl status >/dev/null 2>&1; echo $?)" 1
check "what would have to ask it is refused" \
	eval '! xe_ctl flow count 2>"$T/refused" && grep -q "worker $on_stalled stands still" "$T/refused"'
check "its container's new flows work" \
	on $there "$TCP_MANY" client -c 2 -u 30001 -d 30001 $SRV1 9000
topo_ns c3
topo_container c3 10.1.0.9 # comes meanwhile
check "the control thread answers" xe_ctl stats
bg_wait held || true
check "the container that came meanwhile is attached" within 2000 eval \
	'[ "$(xe_ctl port list --json | json "$(cat)" "[p[\"state\"] for p in j[\"ports\"] if p[\"name\"] == \"vethc3\"][0]")" = attached ]'
bg_stop mine
same "the other worker's flows lost nothing" "$(flows mine)" "[0, 0, 0, 0]"
between "and did not wait" "$(json "$T/mine.log" "j['max_stall_ms']")" 0 900
same "told of once" "$(said "worker $on_stalled: it stands still")" 1

# ---- the uplink's worker: nobody receives replies

check "the uplink's worker is held" hold held2 "xe-worker/$((1 - on_stalled))" 2000
sleep 1.1
check "new flows of the other worker's container go by the kernel" \
	on $there "$TCP_MANY" client -c 2 -u 30001 -d 30001 $SRV1 9000
bg_wait held2 || true

# ---- the control thread

bg mine2 $here "$TCP_MANY" client -i 40 -c 4 -t 60 -g 5 -u 20000 -d 20000 $SRV1 9000
sleep 0.3
check "the control thread is held" hold held3 xegressd 1500
must on h ip link del vethc3
bg_wait held3 || true
check "it says so" within 1000 eval '[ "$(said "control thread stood still")" -ge 2 ]'
check "and has seen what happened meanwhile" within 2000 eval \
	'[ "$(xe_ctl port list --json | json "$(cat)" "[p[\"name\"] for p in j[\"ports\"]].count(\"vethc3\")")" = 0 ]'
bg_stop mine2
same "live flows did not notice" "$(flows mine2)" "[0, 0, 0, 0]"
between "nor wait" "$(json "$T/mine2.log" "j['max_stall_ms']")" 0 900

# ---- what was there from the beginning

lives old old2 published
check "status is content" within 2000 xe_ctl status
finish
