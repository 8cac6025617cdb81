#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# side-by-side
# IP fragments, both ways, in every order: all by the workers, every byte compared. What belongs to
# nobody's flow is the kernel's and gets there, the host's own above all. Nobody's halves hinder
# anybody else, and each bad fragment counts once.
. "$(dirname "$0")/lib.sh"

XE_RULES="kernel udp to $SRV2/32
accept from $INSIDE to $SRV3/32
$XE_RULES"
JUDGE_ALLOW_DST=$SRV3
SIZES="1473 1480 2000 2952 2953 9000 32768 60000 65507"

frag() { on "$1" "$PY" "$HERE/frag.py" "${@:2}"; }

frag_serve() { # NS ADDRESS L4PORT
	bg "frag.$1.$3" "$1" "$PY" "$HERE/frag.py" answer "$2" "$3"
	within 5000 grep -q listening "$T/frag.$1.$3.log" || die "set-up: no answers"
}

moved() { # PATTERN: what has moved since `before` matches; ours only
	[ "$XE_KERNEL" = 0 ] || return 0
	xe_drops after
	[[ " $(xe_moved before after) " =~ ^\ $1\ $ ]]
}

before() { [ "$XE_KERNEL" = 1 ] || xe_drops before; }

counts() { # NAME PATTERN
	if within 1500 moved "$2"; then
		pass "$1"
	else
		fail "$1" "moved: \`$(xe_moved before after)\`, wanted \`$2\`"
	fi
}

topo_up
judge_start
serve_echo w $SRV1 7001
serve_echo w $SRV2 7002
serve_echo w $SRV3 7003
serve_echo w $SRV4 7004
serve_echo h $EXT 7005
serve_echo h $EXT 7006
frag_serve w $SRV1 7011
frag_serve w $SRV3 7013
must on w sysctl -q -w net.core.rmem_max=8388608
must on c1 sysctl -q -w net.core.rmem_max=8388608
xe_start

# By the containers' and the server's own kernels.
before
carried_begin
for size in 1473 2000 9000 30000 60000 65507; do
	check "$size bytes, there and back" on c1 "$UDP_SEND" -s $size -n 10 -r 100 $SRV1 7001
done
check "every length around the MTU" on c1 "$UDP_SEND" -s 1460-1560 -r 200 $SRV1 7001
check "every length around three of them" on c2 "$UDP_SEND" -s 4400-4460 -r 200 $SRV1 7001
check "checksum 0" on c2 "$UDP_SEND" -z -s 5000 -n 10 -r 100 $SRV1 7001
check "untranslated" on c1 "$UDP_SEND" -s 8000 -n 20 -r 100 $SRV3 7003

# By nobody's.
for order in forward reverse random odd-even doubled; do
	check "$order, every size, both ways" frag c1 ask $C1 $SRV1 7011 $order $SIZES
done
check "interleaved" frag c1 interleave $C1 $SRV1 7011 5
check "untranslated, in reverse order" frag c1 ask $C1 $SRV3 7013 reverse $SIZES
if [ "$XE_KERNEL" = 0 ]; then
	xe_drops after
	same "nothing ended but the duplicates" \
		"$(xe_moved before after | sed 's/taken=[0-9]*//; s/frag_duplicate=[0-9]*//; s/ //g')" ""
fi
carried_end "fragments"

# A way that is smaller than what comes: other fragments, no datagram lost.
must on h ip route replace $SRV4/32 via $GW mtu 1000
check "smaller route" on c1 "$UDP_SEND" -s 3000-3010 -r 100 $SRV4 7004
must on h ip route del $SRV4/32
must on h ip link set vethc2 mtu 1100
sleep 0.2
check "smaller inside port" on c2 "$UDP_SEND" -s 1000-4000 -n 20 -r 50 $SRV1 7001
must on h ip link set vethc2 mtu 1500
sleep 0.2

# What a `kernel` rule leaves to the kernel it gets whole, and so does the way back.
check "kernel rule" on c1 "$UDP_SEND" -s 1473-1500 -n 20 -r 100 $SRV2 7002
check "kernel rule, large" on c2 "$UDP_SEND" -s 40000 -n 10 -r 100 $SRV2 7002
# The host's own, asked and asking, on its external address.
before
check "the host asks" on h "$UDP_SEND" -s 2000-2020 -r 100 $SRV1 7001
check "the host is asked" on w "$UDP_SEND" -s 2000-2020 -r 100 $EXT 7005
check "the host is asked by a stranger's fragments" frag w ask $SRV1 $EXT 7006 reverse 3000 60000
if [ "$XE_KERNEL" = 0 ]; then
	xe_drops after
	check "those came by the punt device" grep -qw p_frag_not_ours <<<"$(xe_moved before after)"
fi

if [ "$XE_KERNEL" = 0 ]; then
	# Each that is bad counts once, alone.
	for kind in "tiny (taken=5 frag_tiny=5)" "offset1 (taken=5 frag_tiny=5)" \
		"odd (taken=5 frag_tiny=5)" "death (taken=5 frag_overlap=5)" \
		"overlap (taken=10 frag_overlap=10)" "teardrop (taken=10 frag_overlap=10)" \
		"duplicate (taken=10 frag_duplicate=5)"; do
		before
		frag c1 one $C1 $SRV1 "${kind%% *}" 5
		counts "bad, from inside: ${kind%% *}" "${kind#* }"
		before
		frag w one $SRV1 $EXT "${kind%% *}" 5
		counts "bad, from outside: ${kind%% *}" "${kind#* }"
	done
fi

# Halves from one container, and from outside; the other one's fragments never notice.
bg halves c2 "$PY" "$HERE/frag.py" halves $C2 $SRV1 6000 2000
bg halves_w w "$PY" "$HERE/frag.py" halves $SRV4 $EXT 6000 2000
sleep 0.3
started=$(now_ms)
check "fragments beside halves" on c1 "$UDP_SEND" -s 4000-9000 -n 100 -r 50 $SRV1 7001
check "and in reverse order" frag c1 ask $C1 $SRV1 7011 reverse 2000 9000 60000
bg_wait halves
bg_wait halves_w
if [ "$XE_KERNEL" = 0 ]; then
	xe_stats now
	between "held are no more than a source may" \
		"$(json "$T/now.json" "sum(w['in_flight'] for w in j['workers'])")" 200 \
		$((600 * ${XE_WORKERS:-1}))
	# They go as soon as they are old.
	before
	sleep $(((33000 - ($(now_ms) - started)) / 1000 + 1))
	xe_drops after
	check "what never became whole timed out" grep -qw frag_timeout <<<"$(xe_moved before after)"
	xe_stats now
	same "nothing is held any more" \
		"$(json "$T/now.json" "sum(w['in_flight'] for w in j['workers'])")" 0
fi
finish
