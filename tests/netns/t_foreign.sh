#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Foreign hands: XDP programs taken off or put where ours should go, the nftables table flushed or
# changed, punt devices deleted or changed, settings, RPS masks, a worker's CPU. Each is noticed within
# two seconds, logged once, told by status, put right, while live flows lose nothing. XE_ALL=1 (make
# check-long): in all ways.
. "$(dirname "$0")/lib.sh"
xe_only
for need in bpftool clang taskset; do
	command -v $need >/dev/null || skip_all "needs \`$need\`"
done
[ "$(stat -f -c %t /sys/fs/bpf)" = cafe4a11 ] || skip_all "no bpf file system in /sys/fs/bpf"
[ "$(nproc)" -ge 2 ] || skip_all "needs two CPUs"
XE_WORKERS=1
XE_PORTS="{name: veth*, role: inside, allow: [10.1.0.0/16, \"fd00:1::/64\"]}
{name: vethc2, role: inside, allow: [$C2/32], xdp: native}
{name: eth0, role: uplink}"
NOTICED=2000
ALL=${XE_ALL:-0}

said() { grep -cE "$1" "$T/xegressd.$XE_RUN.log"; }
says() { [ "$(said "$1")" = "$2" ]; } # PATTERN COUNT
pid() { echo "${PIDS[xegressd.$XE_RUN]}"; }
port() { json "$(xe_ctl port list --json)" "[p for p in j['ports'] if p['name'] == '$1'][0]['$2']"; }
attached() { [ "$(port "$1" state)" = attached ]; }
why_has() { # PATTERN: a line of `why`, and exit code 1
	local rc=0

	xe_ctl status --json >"$T/status.json" || rc=$?
	[ $rc = 1 ] && json "$T/status.json" "'\\n'.join(j['why'])" | grep -qE "$1"
}
content() { xe_ctl status; }
mappings() { json "$(xe_ctl flow list tcp --json)" "' '.join(sorted(f['nat_src'] for f in j['flows']))"; }
rps_put() { ip netns exec "$ID-h" sh -c "echo $2 >/sys/class/net/$1/queues/rx-0/rps_cpus"; }
repair() { # on|off
	xe_ctl config | sed "s/^repair: .*/repair: \"$1\"/" >"$T/repair.yaml" && xe_ctl apply "$T/repair.yaml"
}

link_of() { # PORT: id of our bpf_link there
	local ifindex

	ifindex=$(on h cat "/proc/net/dev_mcast" >/dev/null; ip_plain h -j link show "$1" | json "$(cat)" "j[0]['ifindex']")
	grep -lE "^ifindex:[[:space:]]*$ifindex\$" "/proc/$(pid)/fdinfo/"* 2>/dev/null | head -n 1 |
		xargs -r awk '$1 == "link_id:" { print $2 }'
}

foreign_on() { # PORT: somebody else's program, by netlink
	local pin=/sys/fs/bpf/$ID rc=0

	bpftool prog load "$T/foreign.o" "$pin" && on h bpftool net attach xdpgeneric pinned "$pin" \
		dev "$1" || rc=1
	rm -f "$pin"
	return $rc
}
foreign_off() { on h bpftool net detach xdpgeneric dev "$1"; }
refused() { ! "$@"; }

# Done to us and healed: noticed, told, over, once each. NAME PATTERN-OF-LOG COMMAND...
harm() {
	local name=$1 pattern=$2 before

	shift 2
	before=$(said "$pattern")
	must "$@"
	check "$name: noticed, logged once" within $NOTICED says "$pattern" $((before + 1))
	check "$name: status is content again" within $NOTICED content
	sleep 0.1
	same "$name: not told of twice" "$(said "$pattern")" $((before + 1))
}

clang -target bpf -O2 -g -I"/usr/include/$(uname -m)-linux-gnu" -c \
	"$ROOT/tests/qemu/foreign_pass.bpf.c" -o "$T/foreign.o" || die "the foreign program"
topo_up
judge_start
serve_many w $SRV1 9000
serve_echo w $SRV2 7001
must on h ip route add $SRV2/32 via $GW mtu 1000
must on h sysctl -q -w net.ipv6.conf.all.forwarding=1 net.ipv6.conf.eth0.accept_ra=2
xe_start
same "one port in native mode, one in generic" "$(port vethc1 xdp) $(port vethc2 xdp)" "generic native"
for c in c1 c2; do
	bg flows.$c $c "$TCP_MANY" client -c 4 -t 60 -g 10 -u 20000 -d 20000 $SRV1 9000
done
check "eight flows" within 3000 eval '[ "$(mappings | wc -w)" = 8 ]'
before=$(mappings)

# ---- programs

check "ip link set xdpgeneric off: the kernel refuses" refused on h ip link set dev vethc1 xdpgeneric off
check "ip link set xdp off: the kernel refuses, in native mode" refused on h ip link set dev vethc2 xdp off
check "a foreign program in its place: the kernel refuses" refused foreign_on vethc1
for dev in vethc1 vethc2 $([ "$ALL" = 0 ] || echo eth0); do
	harm "$dev's program is taken off" "port $dev: its XDP program was taken off" \
		bpftool link detach id "$(link_of $dev)"
	check "$dev: attached" attached $dev
done
# Taken off, and another one put there before we look again.
must bpftool link detach id "$(link_of vethc1)"
must foreign_on vethc1
check "a foreign one took the place: status says so" \
	within $NOTICED why_has 'port vethc1: .*taken off by somebody else: .*not ours to replace'
must foreign_off vethc1
check "it goes: ours is back" within $NOTICED content
check "and that is logged" says "port vethc1: as it should be again" 2

must ip link add vethx netns "$ID-h" type veth peer name eth9 netns "$ID-c1"
must foreign_on vethx
must on h ip link set vethx up
check "a foreign one where a new port should go: status says so" within $NOTICED why_has 'port vethx: .*not ours to replace'
must foreign_off vethx
check "it goes: ours comes" within $NOTICED attached vethx
same "and the refusal was logged once" "$(said 'port vethx: .*not ours to replace')" 1
must on h ip link del vethx

# ---- the safety net

table=$(json "$(xe_ctl status --json)" "j['safety_net']['table']")
harm "nft flush ruleset" "safety net: the table was removed" on h nft flush ruleset
[ "$ALL" = 0 ] || harm "nft flush chain" "safety net: the table was removed" on h nft flush chain inet "$table" forward
check "the table is there" on h nft list table inet "$table"

# ---- punt devices

[ "$ALL" = 0 ] || harm "a punt device is set down" "punt device xepunt0: it was set down" on h ip link set xepunt0 down
for p in xepunt0 $([ "$ALL" = 0 ] || echo xepunt1); do
	harm "$p deleted" "punt device $p: it was deleted" on h ip link del $p
	[ "$ALL" = 1 ] || continue
	harm "$p's rp_filter" "punt device $p: its settings" on h sysctl -q -w net.ipv4.conf.$p.rp_filter=1
	harm "$p's address" "punt device $p: its address" on h ip addr flush dev $p
done
punted() { json "$(xe_ctl stats --json)" "j['workers'][0]['to_kernel']"; }
before_punt=$(punted)
on c1 "$UDP_SEND" -s 1400 -n 1 -w 100 $SRV2 7001 >/dev/null 2>&1
check "what is too big goes by the new one" within 1000 eval '[ "$(punted)" = $((before_punt + 1)) ]'

# ---- settings, RPS, CPU

must on h sysctl -q -w net.ipv4.ip_forward=0
check "ip_forward is 0: status says so" within $NOTICED why_has "forwarding: net.ipv4.ip_forward is 0"
check "and the log, once" within $NOTICED says "forwarding: net.ipv4.ip_forward is 0" 1
must on h sysctl -q -w net.ipv4.ip_forward=1
check "ip_forward is 1: over" within $NOTICED says "forwarding: as it should be again" 1
# Of these the kernel tells nobody.
if on h iptables-legacy -P FORWARD DROP 2>/dev/null; then
	check "iptables-legacy's policy: noticed, a note" within $NOTICED says "forward-chains: iptables-legacy's chain FORWARD drops" 1
	must on h iptables-legacy -P FORWARD ACCEPT
	check "accepted again: over" within $NOTICED says "forward-chains: as it should be again" 1
else
	skip "iptables-legacy's policy" "no iptables-legacy here"
fi
if [ "$ALL" = 1 ]; then
	must on h sysctl -q -w net.ipv6.conf.eth0.accept_ra=1
	check "accept_ra: noticed, a note" within $NOTICED says "forwarding: there is no IPv6 default route" 1
	must on h sysctl -q -w net.ipv6.conf.eth0.accept_ra=2
	check "accept_ra is 2: over" within $NOTICED says "forwarding: as it should be again" 2
	must on h sysctl -q -w net.ipv4.conf.vethc1.rp_filter=1
	check "rp_filter is strict: a note, and logged" within $NOTICED says "rp-filter: rp_filter is strict" 1
	check "status is content with it" content
	must on h sysctl -q -w net.ipv4.conf.vethc1.rp_filter=0
fi
harm "rps_cpus of a port" "port vethc1's rps_cpus: changed" rps_put vethc1 3
if [ "$ALL" = 1 ]; then
	tid=$(grep -lx "xe-worker/0" "/proc/$(pid)/task/"*/comm | cut -d/ -f5)
	cpu=$(taskset -cp "$tid" | sed 's/.* //')
	harm "a worker is moved off its CPU" "worker 0's CPU: somebody" taskset -cp $((1 - cpu)) "$tid"
	same "it is back" "$(taskset -cp "$tid" | sed 's/.* //')" "$cpu"
fi

# ---- repair: off. Not both at once: without program and table nobody keeps the flows

check "repair: off" repair off
must on h nft flush ruleset
check "only told of: the table" within $NOTICED why_has "safety net: .*removed or changed"
sleep 1.2
check "and not made again" why_has "safety net: .*removed or changed"
check "repair: on" repair on
check "heals" within $NOTICED content
if [ "$ALL" = 1 ]; then
	check "repair: off again" repair off
	must bpftool link detach id "$(link_of vethc1)"
	check "only told of: the program" within $NOTICED why_has "port vethc1: .*taken off"
	sleep 1.2
	check "and not attached again" why_has "port vethc1: .*taken off"
	check "repair: on again" repair on
	check "heals, too" within $NOTICED content
fi

same "live flows have the L4 ports that they had" "$(mappings)" "$before"
for c in c1 c2; do
	bg_stop flows.$c
	same "no connection lost ($c)" "$(json "$T/flows.$c.log" "[j['failed'], j['corrupt'], j['reset'], j['timeout']]")" \
		"[0, 0, 0, 0]"
	sed 's/^/# /' "$T/flows.$c.log"
done
finish
