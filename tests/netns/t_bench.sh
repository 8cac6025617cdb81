#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# The benchmark command: a round of a few short runs ends with whole results; one that is told to stop
# leaves what it has, no namespace, no process, and the machine's settings as they were.
. "$(dirname "$0")/lib.sh"

[ "$XE_KERNEL" = 1 ] && skip_all "measures both itself"
for t in udp_gen udp_sink tcp_srv tcp_crr; do
	[ -x "$BUILD/tests/bench/$t" ] || skip_all "no $BUILD/tests/bench/$t: make bench-build"
done
for t in iptables-restore conntrack; do
	command -v $t >/dev/null || skip_all "needs \`$t\`"
done

bench() { "$PY" "$ROOT/tests/bench/bench.py" "$@"; }

left_behind() { # JSON: namespaces of its runs that are still there
	local id

	for id in $(json "$1" "' '.join(j['meta']['spaces'])"); do
		ip netns list | grep "^$id-"
		ls -d "/tmp/$id."* 2>/dev/null
	done
}

conntrack_settings() {
	cat /proc/sys/net/netfilter/nf_conntrack_max /proc/sys/net/netfilter/nf_conntrack_buckets
}

found=$(conntrack_settings 2>/dev/null)
check "a round of three workloads, two contenders" bench --rounds 1 --seconds 1 \
	--only tcp1-out,udp64-out,crr --contenders xegress,iptables --out "$T/one"
J=$T/one/bench.json
same "every run has its figure" "$(json "$J" "sorted((r['workload'], r['contender'],
	r['values']['gbps' if r['workload'] == 'tcp1-out' else 'mpps'
	if r['workload'] == 'udp64-out' else 'rate'] > 0) for r in j['records'])")" \
	'[["crr", "iptables", true], ["crr", "xegress", true], ["tcp1-out", "iptables", true], '`
	`'["tcp1-out", "xegress", true], ["udp64-out", "iptables", true], ["udp64-out", "xegress", true]]'
same "and its CPU time" "$(json "$J" "all(r['cpu']['busy_s'] > 0 and r['cpu']['seconds'] >= 0.9 and
	r['end'] > r['begin'] and r['raw'] for r in j['records'])")" true
same "xegress carried it, not the kernel" "$(json "$J" "max(r['facts']['kernel_forwarded']
	for r in j['records'] if r['contender'] == 'xegress') <= 100")" true
same "nothing reordered" "$(json "$J" "sum(r['values'].get('reordered', 0) for r in j['records'])")" 0
same "kernel, commit and command are named" "$(json "$J" "all(j['meta'][k] for k in
	('kernel', 'commit', 'command', 'cpu', 'date')) and j['meta']['complete']")" true
check "a table for each" grep -cq '^### crr: ' "$T/one/bench.md"
check "what must be shown has its ratio" \
	grep -Eq '^\| connect rate \| at least 0.8 .*\| [0-9.]+ \| (pass|MISS)' "$T/one/bench.md"
if command -v gnuplot >/dev/null; then
	for group in tcp udp connect; do
		check "plot of $group" test -s "$T/one/$group.png"
	done
else
	skip "plots" "no gnuplot"
fi
same "no namespace left" "$(left_behind "$J")" ""
check "tables anew from the file" bench --report "$J"
same "an unknown workload is refused" "$(bench --only nonsense 2>&1 | tail -n 1)" \
	"bench.py: error: no workload \`nonsense\`; --list shows them"

# Stopped in the middle of a run that raised the machine's conntrack limit.
"$PY" "$ROOT/tests/bench/bench.py" --rounds 1 --seconds 1 --only crr,sessions-1m \
	--contenders iptables --out "$T/two" >"$T/stopped.log" 2>&1 </dev/null &
PIDS[bench]=$!
within 20000 grep -q "^1 crr" "$T/stopped.log" || fail "the second bench" "did not begin"
sleep 1
stopped=0
bg_stop bench TERM || stopped=$?
same "stopped: exit code" $stopped 130
same "stopped: what was measured is there" \
	"$(json "$T/two/bench.json" "[r['workload'] for r in j['records']]")" '["crr"]'
same "stopped: and is marked" "$(json "$T/two/bench.json" "j['meta']['complete']")" false
same "stopped: no namespace left" "$(left_behind "$T/two/bench.json")" ""
same "conntrack's limits as found" "$(conntrack_settings 2>/dev/null)" "$found"
finish
