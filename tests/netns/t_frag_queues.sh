#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# The fragments of one datagram come in by several queues of an uplink, at both workers, and belong to
# flows of both: they meet, and each datagram arrives.
. "$(dirname "$0")/lib.sh"
xe_only
[ "$(nproc)" -ge 2 ] || skip_all "needs two CPUs"
XE_WORKERS=2
UPLINK_QUEUES=3

XE_RULES="accept from $INSIDE to $SRV3/32
$XE_RULES"
JUDGE_ALLOW_DST=$SRV3

frag() { on "$1" "$PY" "$HERE/frag.py" "${@:2}"; }

frag_serve() { # NS ADDRESS L4PORT
	bg "frag.$1.$3" "$1" "$PY" "$HERE/frag.py" answer "$2" "$3" spread
	within 5000 grep -q listening "$T/frag.$1.$3.log" || die "set-up: no answers"
}

of_workers() { json "$T/after.json" "[$1 for w in j['workers']]"; }

topo_up
judge_start
frag_serve w $SRV1 7011
frag_serve w $SRV3 7013
serve_echo h $EXT 7005
for ns in w c1 c2; do
	must on $ns sysctl -q -w net.core.rmem_max=8388608
done
xe_start

carried_begin
for c in "c1 $C1" "c2 $C2"; do
	for order in forward reverse random; do
		check "$c, $order" frag ${c% *} ask ${c#* } $SRV1 7011 $order 1473 3000 9000 20000 40000 65507
	done
	check "$c, untranslated" frag ${c% *} ask ${c#* } $SRV3 7013 forward 1473 3000 9000 40000
done
carried_end "fragments by two queues"
check "the host's own" frag w ask $SRV1 $EXT 7005 forward 3000 9000 60000
xe_conserve
xe_stats after
# A container sends 337; what a worker has more came by its queue of the uplink.
same "replies came in by both queues" "$(of_workers "w['rx_packets'] > 400")" "[true, true]"
same "both workers handed over" "$(of_workers "w['handed_out'] > 20")" "[true, true]"
same "none got lost between them" "$(of_workers "w['drops']['HANDOVER_FULL']")" "[0, 0]"
same "no fragment was dropped" \
	"$(of_workers "sum(n for r, n in w['drops'].items() if r.startswith('FRAG'))")" "[0, 0]"
finish
