#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# SIGTERM while a worker stands still: the process ends all the same, soon, and says why; its flows, the
# stalled worker's too, go on in the kernel; what it made on the host is put back.
. "$(dirname "$0")/lib.sh"
xe_only
STALL=$(tool stall) || die "the tool \`stall\` does not build"
[ "$(nproc)" -ge 2 ] || skip_all "needs two CPUs"
XE_WORKERS=2
XE_PORTS="{name: veth*, role: inside, allow: [10.1.0.0/16]}
{name: eth0, role: uplink}"
XE_ON_STOP=handback

flows() { json "$T/$1.log" "[j['failed'], j['corrupt'], j['reset'], j['timeout']]"; }
said() { grep -cE "$1" "$T/xegressd.$XE_RUN.log"; }
pid() { echo "${PIDS[xegressd.$XE_RUN]}"; }
hold() { bg "$1" h "$STALL" "$(pid)" "$2" "$3" && within 1000 test -s "$T/$1.log"; }
mappings() { json "$(xe_ctl flow list tcp --json)" "' '.join(sorted(f['nat_src'] for f in j['flows']))"; }
# Seconds by L4 port, behind a head of 28 bytes (control/l4_rest.c).
resting() { "$PY" -c 'import sys; print(sum(map(bool, open(sys.argv[1], "rb").read()[28:])))' "$T/run/resting"; }
no_program() { ! on h ip -d link show | grep -q "prog/xdp"; }

# The end of the process: within 2 s, with exit code 1, and the log says which worker.
ends() { # NAME [WHAT IT LEAVES]
	local start rc=0 took

	start=$(now_ms)
	kill -TERM "$(pid)"
	bg_wait "xegressd.$XE_RUN" || rc=$?
	took=$(($(now_ms) - start))
	XE_UP=0
	same "$1: exit code" $rc 1
	between "$1: ended within 2 s" $took 0 $((3000 * XE_SLOW)) # one for a busy machine
	same "$1: the log says why, once" "$(said 'error: worker [01] stands still .* the service ends without it')" 1
	check "$1: no program is left" no_program
	same "$1: nor its files${2:+, but $2}" "$(ls -A "$T/run" | tr '\n' ' ')" "lock ${2:+$2 }"
	xe_log_clean
}

topo_up
judge_start
serve_many w $SRV1 9000
serve_echo w $SRV1 7001
xe_start

# ---- stalled since a while, handed back

for c in c1 c2; do
	bg flows.$c $c "$TCP_MANY" client -i 40 -c 4 -t 60 -g 10 -u 20000 -d 20000 $SRV1 9000
done
check "eight flows, at both workers" within 3000 eval '[ "$(mappings | wc -w)" = 8 ]'
check "one worker is held" hold held xe-worker/0 20000
check "it is known to stand still" within 3000 eval '[ "$(said "worker 0: it stands still")" = 1 ]'
ends "stalled"
same "all flows are the kernel's" "$(said 'handback: 8 flows go on in the kernel')" 1
bg_wait held || true
for c in c1 c2; do
	check "flows of $c go on" within 3000 eval '[ "$(on h conntrack -L -p tcp --dport 9000 2>/dev/null | grep -c ESTABLISHED)" -ge 8 ]'
done
sleep 0.5
for c in c1 c2; do
	bg_stop flows.$c
	same "no connection lost ($c)" "$(flows flows.$c)" "[0, 0, 0, 0]"
	sed 's/^/# /' "$T/flows.$c.log"
done

# ---- it stops in the very moment, and the stop is clean

XE_ON_STOP=clean
xe_start
# Mappings that end with it: their L4 ports rest in the next process, too.
for c in c1 c2; do
	check "a mapping of $c" on $c "$UDP_SEND" -n 1 $SRV1 7001
done
check "the other worker is held" hold held2 xe-worker/1 20000
ends "just stalled" resting
bg_wait held2 || true
same "both mappings' L4 ports rest" "$(resting)" 2
xe_left_as_found

# ---- in the middle of what the control thread asks of it, mostly: it waits, and tells all others so

xe_start
bg asks h bash -c "while :; do '$BUILD/xegressctl' --run-dir '$T/run' flow list >/dev/null 2>&1; done"
sleep 0.2
check "a worker is held while others ask" hold held3 xe-worker/0 20000
sleep 1.3
start=$(now_ms)
xe_ctl status >"$T/answer" 2>&1
between "the control socket answers" $(($(now_ms) - start)) 0 $((500 * XE_SLOW))
tells() { xe_ctl status >"$T/answer" 2>&1; grep -q "worker 0.*stands still" "$T/answer"; }
check "and says who stands still" within 2000 tells
echo "# asked in the middle of a call: $(said 'in the middle of a change')"
bg_stop asks
ends "asked" resting
bg_wait held3 || true
xe_left_as_found

# ---- and the next one has all it needs

xe_start
check "started again" on c1 "$TCP_MANY" client -c 2 -u 30001 -d 30001 $SRV1 9000
finish
