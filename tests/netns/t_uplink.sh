#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# What happens to an uplink: down and up, carrier lost, MTU, queues, gateway moved, address replaced; and
# a worker's CPU taken out of the cpuset. It works again within a second of the cause ending; flows by
# another uplink do not notice. XE_UPLINK_XDP=native: as on a NIC (make check-long).
. "$(dirname "$0")/lib.sh"
xe_only
[ "$(nproc)" -ge 2 ] || skip_all "needs two CPUs"
HEALS=1000
XDP=${XE_UPLINK_XDP:-auto}
XE_WORKERS=2
UPLINK_QUEUES=3
XE_PORTS="{name: vethc1, role: inside, allow: [$C1/32]}
{name: vethc2, role: inside, allow: [$C2/32]}
{name: eth0, role: uplink, xdp: $XDP}
{name: eth1, role: uplink}"
XE_RULES="masquerade from $INSIDE ports 20000-29999"
XE_LINKS="vethc1 vethc2 eth0 eth1"
GW2=198.51.100.3

said() { grep -cE "$1" "$T/xegressd.$XE_RUN.log"; }
pid() { echo "${PIDS[xegressd.$XE_RUN]}"; }
probe() { on c1 "$UDP_SEND" -s 100 -n 1 -w 200 $SRV1 7001; }
heals() { check "$1: works again" within $HEALS probe; } # NAME
queues() { json "$(xe_ctl port list --json)" "[p['queues'] for p in j['ports'] if p['name'] == 'eth0'][0]"; }
masked() { # THREAD: CPUs it may run on
	taskset -cp "$(grep -lx "$1" "/proc/$(pid)/task/"*/comm | cut -d/ -f5)" | sed 's/.* //'
}
has_cpu() { [ "$(masked "$1")" = "$2" ]; }
why_has() { xe_ctl status --json >"$T/status.json"; json "$T/status.json" "'\\n'.join(j['why'])" | grep -qE "$1"; }

topo_up
must ip link add eth1 netns "$ID-h" type veth peer name up1 netns "$ID-w"
must on h ip addr add 192.0.2.2/24 dev eth1
must on w ip addr add 192.0.2.1/24 dev up1
must on h ip link set eth1 up
must on w ip link set up1 up
must on h ip route add $SRV2/32 via 192.0.2.1
must on h ethtool -L eth0 rx 1 tx 1
[ "$XDP" != native ] || must on w ethtool -L up0 rx 1 tx 1 # the kernel wants it so
for ns in h w; do must on $ns sysctl -q -w net.ipv4.conf.all.promote_secondaries=1; done
judge_start
serve_many w $SRV1 9000
serve_many w $SRV2 9000
serve_echo w $SRV1 7001
xe_start
same "one queue" "$(queues)" 1
bg others c2 "$TCP_MANY" client -c 4 -t 60 -g 5 -u 20000 -d 20000 $SRV2 9000
bg mine c1 "$TCP_MANY" client -c 8 -t 60 -g 5 -u 20000 -d 20000 $SRV1 9000
sleep 0.3

# ---- the link

must on h ip link set eth0 down
sleep 0.7
must on h ip link set eth0 up
must on h ip route add default via $GW # which the kernel takes away with the link
heals "down and up"
must on w ip link set up0 down
sleep 0.7
must on w ip link set up0 up
heals "carrier lost"
for _ in 1 2 3 4 5; do
	must on w ip link set up0 down
	must on w ip link set up0 up
	sleep 0.05
done
heals "carrier flaps"
must on h ip link set eth0 mtu 1300
heals "a smaller MTU"
check "and for all lengths that fit" patiently on c1 "$UDP_SEND" -s 0-1272 -r 4000 -l 3 $SRV1 7001
must on h ip link set eth0 mtu 1500

# ---- queues

must on h ethtool -L eth0 rx 3 tx 3
[ "$XDP" != native ] || must on w ethtool -L up0 rx 3 tx 3
check "more queues: each gets a socket" within 1500 eval '[ "$(queues)" = 3 ]'
heals "more queues"
check "fewer: the kernel refuses while they are in use" eval '! on h ethtool -L eth0 rx 1 tx 1 2>"$T/fewer"'
for n in 1 2 3; do # replies by all of them
	bg udp$n c$((n % 2 + 1)) "$UDP_SEND" -s 100 -r 2000 -n 1000 -l 5 $SRV1 7001
done
check "TCP by all queues" on c1 "$TCP_MANY" client -c 20 -u 20001 -d 20001 $SRV1 9000
for n in 1 2 3; do check "UDP by all queues ($n)" bg_wait udp$n; done

# ---- the gateway

must on w ip link set up0 address 02:00:00:00:02:02
heals "gateway with another Ethernet address"
must on w ip addr add $GW2/24 dev up0
must on h ip route replace default via $GW2
must on w ip addr del $GW/24 dev up0
heals "gateway with another address"

# ---- a CPU

cpuset=/sys/fs/cgroup/cpuset/$ID
if [ -w /sys/fs/cgroup/cpuset/tasks ] && mkdir "$cpuset" 2>/dev/null; then
	cat /sys/fs/cgroup/cpuset/cpuset.mems >"$cpuset/cpuset.mems"
	echo 0-1 >"$cpuset/cpuset.cpus"
	pid >"$cpuset/cgroup.procs"
	echo 0 >"$cpuset/cpuset.cpus"
	check "a worker's CPU is taken away: status says so" within 2000 why_has "worker 1's CPU: CPU 1 .*cpuset"
	heals "a CPU less"
	echo 0-1 >"$cpuset/cpuset.cpus"
	check "it is back: so is the worker" within 2000 has_cpu xe-worker/1 1
	check "status is content" within 1500 xe_ctl status
	pid >/sys/fs/cgroup/cpuset/cgroup.procs
	rmdir "$cpuset"
else
	skip "a worker's CPU is taken away" "no cpuset to change"
fi

# ---- the address; flows masqueraded to the old one end

bg_stop mine
same "no connection lost by any of it" "$(json "$T/mine.log" "[j['failed'], j['corrupt'], j['reset'], j['timeout']]")" \
	"[0, 0, 0, 0]"
sed 's/^/# /' "$T/mine.log"
must on h ip addr add 198.51.100.77/24 dev eth0
must on h ip addr del $EXT/24 dev eth0
must on w ip route replace $INSIDE via 198.51.100.77
on h ip route replace default via $GW2
heals "another address"
check "TCP, too" on c1 "$TCP_MANY" client -c 4 -u 20001 -d 20001 $SRV1 9000

bg_stop others
same "flows by the other uplink lost nothing" \
	"$(json "$T/others.log" "[j['failed'], j['corrupt'], j['reset'], j['timeout']]")" "[0, 0, 0, 0]"
between "and did not wait" "$(json "$T/others.log" "j['max_stall_ms']")" 0 900
sed 's/^/# /' "$T/others.log"
check "status is content" within 1500 xe_ctl status
must on h ethtool -L eth0 rx 3 tx 3
JUDGE_EXT=$EXT,198.51.100.77
judge_end
xe_conserve
xe_stop
finish
