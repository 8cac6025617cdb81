# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# xe.sh - the translator under test: configured, started, asked, stopped. With XE_KERNEL=1 plain
# nft masquerade takes its place, and what only xegress can be asked is skipped.
#
# A scenario may set before xe_start:
#	XE_RULES   rules, one a line
#	XE_PORTS   entries of `ports:`, one a line
#	XE_EXTRA   more lines of the configuration
#	XE_ON_STOP handback, instead of clean
#	XE_WRAP    what xegressd is started by, e.g. with fewer capabilities
#	XE_NFT     what means the same to nft, for the stand-in
#	XE_LINKS, XE_CONTAINERS   interfaces of h, and containers, that are left as found
#
# From outside: XE_WORKERS=2 runs a scenario with that many workers, on the first CPUs.

XE_RULES="masquerade from $INSIDE out eth0 ports 20000-29999"
XE_PORTS="{name: vethc1, role: inside, allow: [$C1/32]}
{name: vethc2, role: inside, allow: [$C2/32]}
{name: eth0, role: uplink}"
XE_EXTRA=
XE_ON_STOP=clean
XE_WRAP=
XE_LINKS="vethc1 vethc2 eth0"
XE_CONTAINERS="c1 c2"
XE_NFT="table ip stand_in {
	chain post {
		type nat hook postrouting priority srcnat
		oifname eth0 ip saddr $INSIDE meta l4proto { tcp, udp } masquerade to :20000-29999
		oifname eth0 ip saddr $INSIDE masquerade
	}
}"
# Masquerade alone lets packets out that conntrack has no state for; the stand-in gets the same
# filter that xegress keeps as its safety net, or the judge would rightly complain.
XE_NFT_LEAK="table ip stand_in_leak {
	chain post {
		type filter hook postrouting priority 300
		oifname eth0 ip saddr $INSIDE ip daddr != { \$ACCEPTED } drop
	}
}"
XE_RUN=0
XE_UP=0

xe_conf() {
	[ "${XE_WORKERS:-1}" = 1 ] ||
		echo "workers: [$(seq -s ', ' 0 $((XE_WORKERS - 1)))]"
	echo "on-stop: $XE_ON_STOP"
	echo "ports:"
	sed 's/^/  - /' <<<"$XE_PORTS"
	echo "rules:"
	sed 's/^/  - /' <<<"$XE_RULES"
	[ -z "$XE_EXTRA" ] || echo "$XE_EXTRA"
}

xe_ctl() { "$BUILD/xegressctl" --run-dir "$T/run" "$@"; }

# iproute2 gives up when any name in /run/netns is of a namespace that is just being made or ends:
# it sees none.
ip_plain() { # NS WORD...
	local ns=$1

	shift
	on "$ns" unshare -m sh -c 'mount -t tmpfs none /run/netns && exec ip "$@"' sh "$@"
}

link_show() { # NS [DEV]
	# shellcheck disable=SC2086 # none, or one word
	ip_plain "$1" -d link show ${2:+dev $2} 2>&1
}

# `ip netns exec` mounts the namespace's own sysfs, which nsenter does not.
rps_cpus() { # NS DEV
	ip netns exec "$ID-$1" sh -c "cat /sys/class/net/$2/queues/rx-*/rps_cpus" 2>&1
}

# All that a clean stop has to leave as it was.
xe_snapshot() {
	local dev ns

	for dev in $XE_LINKS; do
		link_show h "$dev"
		on h ethtool -k "$dev" 2>&1
		rps_cpus h "$dev"
	done
	echo "interfaces: $(ip_plain h -o link | awk -F'[:@] *' '{ print $2 }' | sort | tr '\n' ' ')"
	on h ip rule
	on h nft -s list ruleset
	for ns in $XE_CONTAINERS; do
		link_show $ns eth0
		on $ns ethtool -k eth0 2>&1
	done
}

xe_begin() { # it may find that it cannot do all that it is asked to
	[ -x "$BUILD/xegressd" ] || die "no $BUILD/xegressd: run make"
	[ -e "$T/found.txt" ] || xe_snapshot >"$T/found.txt"
	XE_RUN=$((XE_RUN + 1))
	xe_conf >"$T/xegress.yaml"
	mkdir -p "$T/run"
	# shellcheck disable=SC2086 # words
	bg "xegressd.$XE_RUN" h $XE_WRAP "$BUILD/xegressd" -c "$T/xegress.yaml" --run-dir "$T/run"
	XE_UP=1
}

xe_start() {
	if [ "$XE_KERNEL" = 1 ]; then
		on h nft -f - <<<"$XE_NFT" || die "set-up: nft refuses the stand-in"
		on h nft -f - <<<"${XE_NFT_LEAK/\$ACCEPTED/${JUDGE_ALLOW_DST:-127.0.0.1}}" ||
			die "set-up: nft refuses the leak filter"
		return
	fi
	xe_begin
	XE_UP=0
	if ! within 5000 xe_ready || ! running "xegressd.$XE_RUN"; then
		die "xegressd is not in force after 5 s: $(xe_ctl status 2>&1 | tail -n 3 |
			tr '\n' ' ')$(tail -n 2 "$T/xegressd.$XE_RUN.log" | tr '\n' ' ')"
	fi
	XE_UP=1
}

xe_ready() { ! running "xegressd.$XE_RUN" || xe_ctl status; } # dead: no use to wait

xe_kill() { # the crash: nothing is cleaned up, the safety net stays
	bg_stop "xegressd.$XE_RUN" KILL
	XE_UP=0
}

xe_stop() { # SIGTERM: exit 0 within 5 s, no complaint of a sanitizer
	local start rc=0 took

	start=$(now_ms)
	kill -TERM "${PIDS[xegressd.$XE_RUN]:-0}" 2>/dev/null
	bg_wait "xegressd.$XE_RUN" || rc=$?
	took=$(($(now_ms) - start))
	XE_UP=0
	same "xegressd ends with exit code 0" $rc 0
	between "xegressd stops within 5 s" $took 0 $((5000 * XE_SLOW))
	xe_log_clean
}

xe_log_clean() {
	local found

	found=$(grep -hE 'AddressSanitizer|runtime error|ThreadSanitizer|LeakSanitizer|assert' \
		"$T"/xegressd.*.log | head -n 2 | tr '\n' ' ')
	same "no sanitizer or assertion in the log" "$found" ""
}

xe_left_as_found() {
	local diff

	diff=$(xe_snapshot | diff "$T/found.txt" - | grep '^[<>]' | head -n 6 | tr '\n' ' ')
	same "interfaces, offloads and nft rules as found" "$diff" ""
}

xe_end() {
	if [ $XE_UP = 1 ] && [ $FAILED -gt 0 ]; then # for whoever reads the log of a failure
		xe_ctl drops | sed 's/^/# /'
	fi
	if [ "$XE_KERNEL" = 1 ]; then
		skip "clean stop" "kernel stand-in"
	elif [ $XE_UP = 1 ]; then
		xe_stop
		xe_left_as_found
	fi
}

# ---- numbers

xe_stats() { xe_ctl stats --json >"$T/$1.json"; } # NAME
xe_drops() { xe_ctl drops --json >"$T/$1.json"; } # NAME

xe_moved() { # BEFORE AFTER: the reasons that moved, `reason=n ...`, ARP's apart
	"$PY" "$HERE/judge.py" moved "$T/$1.json" "$T/$2.json"
}

rings_lost() {
	[ "$XE_KERNEL" = 1 ] && echo 0 ||
		json "$(xe_ctl stats --json)" "sum(p['xsk_lost'] for p in j['ports'])"
}

# A packet that finds its socket's ring full is lost, and counted so: the worker had no CPU for as
# long as 256 of them took to come. What is asked about loss is asked again then, twice.
patiently() { # COMMAND...
	local try before rc

	for try in 1 2 3; do
		before=$(rings_lost)
		rc=0
		"$@" || rc=$?
		if [ $rc -eq 0 ] || [ "$(rings_lost)" = "$before" ]; then
			return $rc
		fi
		echo "try $try: rings lost $(($(rings_lost) - before)) packets" >&2
	done
	return $rc
}

# Both conservation equations, exactly, as soon as nothing moves any more.
xe_conserve() {
	local out

	if [ "$XE_KERNEL" = 1 ]; then
		skip "counters add up" "kernel stand-in"
		return
	fi
	[ $XE_UP = 1 ] || return 0
	if out=$("$PY" "$HERE/judge.py" conserve ${XE_MAY_HOLD:+--may-hold} --wait $((5 * XE_SLOW)) -- \
		"$BUILD/xegressctl" --run-dir "$T/run" stats --json); then
		pass "counters add up"
		sed 's/^/# /' <<<"$out"
	else
		fail "counters add up" "$(tr '\n' ';' <<<"$out")"
	fi
}

# Between these two the kernel forwards nothing; the stand-in has to fail the same question.
carried_begin() {
	[ "$XE_KERNEL" = 1 ] || xe_drops carried
	FORW=$(snmp h Ip ForwDatagrams)
}

carried_end() { # NAME [HOW MANY MAY]
	local n=$(($(snmp h Ip ForwDatagrams) - FORW))

	if [ "$XE_KERNEL" = 1 ]; then
		between "$1: the kernel forwarded it" $n 1 2000000000
	else
		between "$1: the kernel forwarded nothing" $n 0 "${2:-0}"
		if [ $n -gt "${2:-0}" ]; then # why did steer leave it to the kernel?
			xe_drops now
			echo "# counted meanwhile: $(xe_moved carried now)"
		fi
	fi
}

# A scenario that asks only what xegress can answer.
xe_only() { [ "$XE_KERNEL" = 0 ] || skip_all "asks xegressd; nothing for the kernel stand-in"; }
