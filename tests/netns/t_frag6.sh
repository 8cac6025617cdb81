#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# side-by-side
# IPv6 fragments, both ways, in every order, translated and not: all by the workers, every byte
# compared. What a `kernel` rule leaves to the kernel and what is the host's own gets there.
. "$(dirname "$0")/lib.sh"
. "$HERE/topo6.sh"
xe_only

XE_PORTS="{name: vethc1, role: inside, allow: [$C1/32, \"$C1_6/128\"]}
{name: vethc2, role: inside, allow: [$C2/32, \"$C2_6/128\"]}
{name: eth0, role: uplink}"
XE_RULES="kernel udp from $INSIDE6 to $SRV6_2/128
accept from $INSIDE6 to $SRV6_3/128
masquerade from $INSIDE6 out eth0 ports 20000-29999
masquerade from $INSIDE out eth0 ports 20000-29999"
JUDGE_INSIDE6=$INSIDE6
JUDGE_ALLOW_DST=$SRV6_3,$SRV6_2 # by an accept rule and by a kernel rule, which forwards IPv6 as it is
SIZES="1453 2000 2896 2897 9000 32768 60000 65507"

frag() { on "$1" "$PY" "$HERE/frag.py" "${@:2}"; }

frag_serve() { # NS ADDRESS L4PORT
	bg "frag.$1.$3" "$1" "$PY" "$HERE/frag.py" answer "$2" "$3"
	within 5000 grep -q listening "$T/frag.$1.$3.log" || die "set-up: no answers"
}

forwarded6() { on h awk '$1 == "Ip6OutForwDatagrams" { print $2 }' /proc/net/snmp6; }

topo_up
topo6_up
judge_start
frag_serve w $SRV6 7011
frag_serve w $SRV6_2 7012
frag_serve w $SRV6_3 7013
frag_serve h $EXT6 7015
for ns in w c1 c2 h; do
	must on $ns sysctl -q -w net.core.rmem_max=8388608
done
xe_start

before=$(forwarded6)
for order in kernel forward reverse random odd-even; do
	check "$order, every size, both ways" frag c1 ask $C1_6 $SRV6 7011 $order $SIZES
done
check "interleaved" frag c2 interleave $C2_6 $SRV6 7011 5
check "untranslated" frag c1 ask $C1_6 $SRV6_3 7013 reverse $SIZES
same "the kernel forwarded nothing" $(($(forwarded6) - before)) 0
xe_drops after
check "nothing was dropped for being a fragment" \
	[ "$(json "$T/after.json" "sum(r['count'] for r in j['reasons'] if r['reason'].lower().startswith('frag_'))")" = 0 ]
check "kernel rule" frag c1 ask $C1_6 $SRV6_2 7012 kernel $SIZES
check "the host asks" frag h ask $EXT6 $SRV6 7011 kernel $SIZES
check "the host is asked, in reverse order" frag w ask $SRV6 $EXT6 7015 reverse $SIZES
xe_drops after
check "the host's came by the punt device" \
	[ "$(json "$T/after.json" "sum(r['count'] for r in j['reasons'] if r['reason'].lower().replace('-', '_') == 'p_frag_not_ours')")" -gt 100 ]
finish
