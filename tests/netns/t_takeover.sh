#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Upgrade without loss: `xegressd --takeover`, five times in a row under load; refused where it must
# be, and then nothing has happened.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/takeover.sh"
xe_only

# What may be told from outside of who is the service.
service_pid() { head -n 1 "$T/run/lock"; }

# As systemd does it: hears what it is told. In the background, whose process becomes it.
hear() { # SOCKET
	exec "$PY" -u -c '
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
while True:
	print(s.recv(4096).decode().replace("\n", " "))' "$1"
}

topo_up
judge_start
load_servers
hear "$T/notify" >"$T/heard.log" 2>&1 &
PIDS[hear]=$!
within 3000 test -S "$T/notify" || die "set-up: nobody hears"
export NOTIFY_SOCKET=$T/notify

# Nobody there: a start as ever.
xe_start_takeover() {
	xe_snapshot >"$T/found.txt"
	XE_RUN=1
	xe_conf >"$T/xegress.yaml"
	mkdir -p "$T/run"
	# As systemd does: only the process that it starts itself hears that there is a watchdog.
	bg xegressd.1 h env WATCHDOG_USEC=2000000 "$BUILD/xegressd" -c "$T/xegress.yaml" \
		--run-dir "$T/run" --takeover
	within 5000 xe_ready && running xegressd.1
}
check "--takeover without an instance starts" xe_start_takeover && XE_UP=1
check "and says so" grep -q "nobody uses run directory" "$T/xegressd.1.log"

STILL=() # ms, of the last five
five_takeovers() { # [WORDS]
	local n

	STILL=()
	sleep 0.5
	for n in 1 2 3 4 5; do
		check "takeover $n${1:-}" take_over || break
		echo "# $(took)"
		STILL+=("$(stood_still_ms)")
		same "the lock names the new process" "$(service_pid)" "${PIDS[xegressd.$XE_RUN]}"
		sleep 0.3
	done
}

# On a quiet machine nothing is lost. On a busy one the rings do not hold what comes while the worker
# has no CPU; that is counted, so the rest, 10 ms of each takeover, is the takeovers'.
may_be_lost() { echo $((50 * XE_SLOW * (XE_RUN - 1) + $(rings_lost))); }

few_ms() { [ "$(median "${STILL[@]}")" -le $((10 * XE_SLOW)) ]; }

carried_begin
load_begin $((6 * XE_SLOW))
five_takeovers

same "systemd was told of each new process" \
	"$(grep -c "^MAINPID=[0-9]* READY=1" "$T/heard.log")" $((XE_RUN - 1))
check "and of the last one last" grep -q "^MAINPID=$(service_pid) " <(grep MAINPID "$T/heard.log" |
	tail -n 1)
same "and of no stop" "$(grep -c STOPPING "$T/heard.log")" 0
# All others have ended. A beat every half a second is due: one that was counted may be an old one's.
beats() { grep -c "^WATCHDOG=1" "$T/heard.log"; }
heard=$(beats)
more_beats() { [ "$(beats)" -ge $((heard + 2)) ]; }
check "the last one goes on to beat systemd's watchdog" within 3000 more_beats
check "who cannot tell systemd does not take over" \
	take_fails env -u NOTIFY_SOCKET "$BUILD/xegressd" -c "$T/xegress.yaml" --run-dir "$T/run" \
	--takeover

sed 's/role: uplink/role: upstairs/' "$T/xegress.yaml" >"$T/bad.yaml"
check "a bad configuration: the old process goes on" \
	take_fails "$BUILD/xegressd" -c "$T/bad.yaml" --run-dir "$T/run" --takeover
check "without --takeover a second instance is refused as ever" \
	take_fails "$BUILD/xegressd" -c "$T/xegress.yaml" --run-dir "$T/run"
check "another version is refused by name" "$PY" "$HERE/taker.py" "$T/run" version
check "of two takeovers at one time one is refused" "$PY" "$HERE/taker.py" "$T/run" two
check "the old process goes on" xe_ctl status
load_end "$(may_be_lost)" $((300 * XE_SLOW)) # the sender's own lateness with it
for n in 2 3; do # half of them too long: whose threads were the machine's others?
	few_ms && break
	load_begin $((5 * XE_SLOW))
	five_takeovers ", round $n"
	load_end "$(may_be_lost)"
done
between "nothing moved for (ms, the median of five)" "$(median "${STILL[@]}")" 0 $((10 * XE_SLOW))
carried_end "takeovers"
# What was told while it was carried was brought up to date: nothing was counted twice, or not.
flows "$T/flows.now"
"$PY" - "$T/flows.now" "$SRV1:7002" >"$T/counted" <<-'EOP'
	import json, sys
	flows = [json.loads(line) for line in open(sys.argv[1])]
	print(*["%d %d" % (f["packets"], f["back_packets"]) for f in flows if f["dst"] == sys.argv[2]])
EOP
read -r out back <"$T/counted"
sent=$(json "$T/udp.log" "j['sent']") received=$(json "$T/udp.log" "j['received']")
between "datagrams out, as its session counts them" "$out" "$received" "$sent"
between "datagrams back" "$back" "$received" "$sent"
check "a takeover when nothing moves: flow by flow the same" take_over_unmoved

# A datagram of which the rest never comes waits here for 30 s: the new process is not told of it.
kept() { [ "$(json "$(xe_ctl stats --json)" "sum(w['in_flight'] for w in j['workers'])")" = 1 ]; }
check "a first fragment is sent" on c1 "$PY" "$HERE/frag.py" halves $C1 $SRV1 1 100
check "it waits for the rest" within 3000 kept
worker_drops() { json "$(xe_ctl stats --json)" "'%d %d' % (sum(w['drops']['LEFT_BEHIND'] for w in
	j['workers']), sum(sum(w['drops'].values()) for w in j['workers']))"; }
read -r was_left was_dropped <<<"$(worker_drops)"

# The configuration of the new process rules.
sed '/vethc2/d' "$T/xegress.yaml" >"$T/less.yaml"
cp "$T/less.yaml" "$T/xegress.yaml"
check "takeover by a configuration with a port less" take_over
left="$((was_left + 1)) $((was_dropped + 1))"
check "the fragment that waited is counted, once, and nothing else" test "$(worker_drops)" = "$left" &&
	[ -n "${XE_REASONS_SEEN:-}" ] && echo LEFT_BEHIND >>"$XE_REASONS_SEEN"
within 3000 grep -q 'has ended' "$T/xegressd.$XE_RUN.log"
same "it has the ports that it names" \
	"$(json "$(xe_ctl port list --json)" "sorted(p['name'] for p in j['ports'])")" \
	'["eth0", "vethc1"]'
check "the other one has no program" \
	test -z "$(on h ip -d link show dev vethc2 | grep -o 'xdp[a-z]*')"
check "and the receive packet steering that it was found with" \
	within 2000 test "$(rps_cpus h vethc2 | tr -d 0,)" = ""
xe_conf >"$T/xegress.yaml"
check "takeover by a configuration with it again" take_over
within 3000 xe_ctl status
check "it carries" on c2 "$TCP_MANY" client -c 2 $SRV1 7001
finish
