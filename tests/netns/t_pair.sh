#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# A pair kept in step (state import --sync): what the standby knows follows the master, what it
# carries itself is left alone; the master dies, its addresses move, and every stream goes on.
# side-by-side
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/pair.sh"
xe_only

XE_RULES="snat from $C2/32 out eth0 source $POOL ports 20000-29999
snat from 10.3.0.0/24 out eth0 source 198.51.100.12 ports 20000-29999
masquerade from 10.1.0.0/24 out eth0 ports 20000-29999"
XE_PORTS="{name: lan0, role: inside, allow: [$C1/32, $C2/32]}
{name: own*, role: inside, allow: [10.3.0.2/32]}
{name: eth0, role: uplink}"
XE_LINKS=

standby() { "$BUILD/xegressctl" --run-dir "$T/run2" "$@"; }

# One step of what runs each second; its outcome is $T/step.json.
step() {
	xe_ctl state export "$T/flows.state" >"$T/export.log" || return 1
	standby --json state import --sync "$T/flows.state" >"$T/step.json"
}

did() { # NAME WANTED EXPRESSION: a step, and what it says
	check "$1: a step" step
	same "$1" "$(json "$T/step.json" "$3")" "$2"
}

list() { # CTL: the containers' flows that both may have, with mapping and what they have carried
	"$@" --json flow list >"$T/list.json" || return 1
	json "$T/list.json" "'\n'.join(sorted(' '.join(str(f[k]) for k in ('proto', 'src', 'dst',
		'nat_src', 'nat_dst', 'packets', 'bytes', 'back_packets', 'back_bytes'))
		for f in j['flows'] if f['src'].startswith('10.1.0.')))"
}

mapping() { # CTL NS-ADDRESS: of its UDP flow
	"$1" --json flow list udp from "$2" >"$T/list.json"
	json "$T/list.json" "' '.join(f['nat_src'] for f in j['flows'])"
}

talk() { on c2 "$UDP_SEND" -p 4001 -s 18-100 -n "${1:-10}" -r 1000 -l 9 $SRV1 7001; }

# The standby's own flow: of two, neither is the one that was.
own() {
	standby --json flow list udp from 10.3.0.2 >"$T/own.json"
	json "$T/own.json" "' '.join(f['nat_src'] for f in j['flows'])"
}

back_packets() { # of c1's UDP flow on the standby
	standby --json flow list udp from $C1 >"$T/udp.json"
	json "$T/udp.json" "sum(f['back_packets'] for f in j['flows'])"
}

answered() { [ "$(back_packets)" -gt "$1" ]; }

both_same() { [ -n "$(list xe_ctl)" ] && [ "$(list xe_ctl)" = "$(list standby)" ]; }

pair_up
pair_addresses h
# a container that only the standby has
topo_ns c3
must ip link add own0 netns "$ID-h2" type veth peer name eth0 netns "$ID-c3"
must on h2 ip addr add 10.3.0.1/24 dev own0
must on h2 ip link set own0 up
must on c3 ip link set eth0 up
must on c3 ip addr add 10.3.0.2/24 dev eth0
must on c3 ip route add default via 10.3.0.1
judge_start
serve_echo w 0.0.0.0 7001
serve_many w 0.0.0.0 9000
xe_start
bg xegressd.standby h2 "$BUILD/xegressd" -c "$T/xegress.yaml" --run-dir "$T/run2"
within 5000 standby check || within 5000 standby status || die "no standby"

# Its own flow, alive through all that follows.
bg own c3 "$UDP_SEND" -p 4001 -s 18-200 -t 60 -r 200 -l 1000000 $SRV1 7001

# ---- what the standby knows
within 3000 eval '[ -n "$(own)" ]' || die "no flow of the standby's own"
own=$(own)
check "a flow of the master's" talk
did "it begins there" "[1, 0, 0, 0]" "[j[k] for k in ('adopted', 'updated', 'ended', 'waiting')]"
check "it goes on" talk 20
did "it goes on there" "[0, 1, 0]" "[j[k] for k in ('adopted', 'updated', 'ended')]"
check "both know the same of it" both_same
was=$(mapping xe_ctl $C2)
check "it ends" xe_ctl flow flush from $C2
did "it ends there" "[0, 0, 1]" "[j[k] for k in ('adopted', 'updated', 'ended')]"
same "the standby has it no more" "$(list standby)" ""
check "it begins anew" talk
must step
new="snat udp from $C2/32 out eth0 source $POOL ports 31000-31999"
must xe_ctl rule add at 1 "$new"
must standby rule add at 1 "$new"
must xe_ctl flow flush from $C2
check "it begins anew, by another L4 port" talk
did "it has that one there" "[1, 0, 1, 0]" \
	"[j[k] for k in ('adopted', 'updated', 'ended', 'refused')]"
check "which is the master's" both_same
[ "$was" != "$(mapping xe_ctl $C2)" ] && pass "and is another one" ||
	fail "and is another one" "still $was"

# ---- streams; those that are masqueraded wait for the address
bg streams c1 "$TCP_MANY" client -c 20 -t 60 -u 200000 -d 200000 -i 10 $SRV1 9000
bg slow c1 "$TCP_MANY" client -c 20 -t 60 -g 500 -u 100 -d 100 -i 10 $SRV1 9000
bg pooled c2 "$TCP_MANY" client -c 20 -t 60 -u 50000 -d 50000 -i 10 $SRV2 9000
bg udp c1 "$UDP_SEND" -p 4002 -s 18-200 -t 60 -r 200 -l 1000000 $SRV2 7001
all_there() { step && [ "$(json "$T/step.json" "j['waiting']")" = 41 ] &&
	[ "$(json "$T/step.json" "j['adopted'] + j['updated']")" = 21 ]; }
within 3000 all_there || fail "40 streams and a UDP flow wait, 20 and one are there" \
	"$(cat "$T/step.json")"
check "a step under load" step
same "nothing of the standby's own is touched" \
	"$(json "$T/step.json" "[j['there'], j['refused'], j['over']]")" "[0, 0, 0]"
list xe_ctl | cut -d ' ' -f 1-5 >"$T/master.flows"
cp "$T/list.json" "$T/master.json"

# ---- the master dies; what was told then is what there is
sleep 0.7
xe_kill
must on x ip link set h.lan0 down
must on x ip link set h.eth0 down
had=$(($(json "$T/master.json" "sum(f['back_packets'] for f in j['flows']
	if f['proto'] == 'udp' and f['src'].startswith('$C1'))")))
pair_addresses h2
check "UDP is answered after the move" within 5000 answered $((had + 200))
for part in streams slow pooled; do
	check "$part: every byte, no connection lost" bg_stop $part
	same "$part: none was reset" "$(json "$T/$part.log" "j['reset']")" 0
	echo "# $part: longest stall $(json "$T/$part.log" "j['max_stall_ms']") ms"
done
bg_stop udp
echo "# UDP: $(json "$T/udp.log" "'%d sent, %d lost, longest gap %d ms' % (j['sent'], j['lost'],
	j['max_gap_ms'])")"
list standby | cut -d ' ' -f 1-5 >"$T/standby.flows"
same "each flow has the mapping it had" \
	"$(comm -23 "$T/master.flows" "$T/standby.flows" | head -n 3 | tr '\n' ';')" ""
standby --json state import --sync "$T/flows.state" >"$T/late.json"
same "what the standby carries a late file does not touch" \
	"$(json "$T/late.json" "[j['updated'] <= 1, j['ended'], j['adopted'], j['there'] > 60]")" \
	"[true, 0, 0, true]" # one has not moved since
same "nor its own flow, in all that time" "$(own)" "$own"
bg_stop own
rc=0
bg_stop xegressd.standby || rc=$?
same "the standby ends with exit code 0" $rc 0
judge_end
finish
