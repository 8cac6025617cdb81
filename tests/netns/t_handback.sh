#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Flows move between the kernel and the service, and back, with the mapping they have: start, `port
# add`, clean stop, start again, crash and `xegressd --handback`, all under one load that is never
# ended: streams both ways with every byte checked, connections that are idle most of the time, UDP;
# IPv4 and IPv6. No connection is lost, no reset is seen, and no server sees a flow by another address
# or L4 port. XE_WHOLE=1 (t_handback_whole.sh): more of it, and `port add`.
. "$(dirname "$0")/lib.sh"
. "$HERE/topo6.sh"
xe_only

WHOLE=${XE_WHOLE:-0}
XE_ON_STOP=handback
XE_PORTS="{name: vethc1, role: inside, allow: [$C1/32, $C1_6/128]}
{name: eth0, role: uplink}"
XE_RULES="accept from $INSIDE to $SRV3/32
dnat tcp to $EXT:9300 dest $C1:9300
masquerade from $INSIDE out eth0 ports 20000-29999
masquerade from $INSIDE6 out eth0 ports 20000-29999"
JUDGE_INSIDE6=$INSIDE6
JUDGE_ALLOW_DST=$SRV3

# What the host has before us, and after us: its own translation, as Docker makes one.
own_nat() {
	on h nft -f - <<-EON
	table inet docker_like {
		chain pre {
			type nat hook prerouting priority dstnat
			ip daddr $EXT tcp dport 9300 dnat ip to $C1:9300
		}
		chain post {
			type nat hook postrouting priority srcnat
			ip daddr $SRV3 return
			ip saddr $INSIDE oifname "eth0" masquerade
			ip6 saddr $INSIDE6 oifname "eth0" masquerade
		}
	}
	EON
}

# The parts of the load, and how many connections each one is (0: new ones all the time).
declare -A CONNS=()

load_tcp() { # NAME NS CONNECTIONS SERVER L4PORT OPTION...
	local name=$1 ns=$2 cnt=$3 server=$4 l4_port=$5

	shift 5
	bg "many.$name" w "$TCP_MANY" server -v "$server" "$l4_port"
	within 5000 listening w tcp "$l4_port" || die "set-up: no TCP server"
	bg "load.$name" "$ns" "$TCP_MANY" client -c "$cnt" -t 120 -i 20 "$@" "$server" "$l4_port"
	CONNS[$name]=$cnt
}

load_udp() { # NAME NS SERVER L4PORT
	bg "many.$1" w "$UDP_ECHO" -v "$3" "$4"
	within 5000 listening w udp "$4" || die "set-up: no UDP echo"
	bg "load.$1" "$2" "$UDP_SEND" -s 1-1200 -t 120 -w 300 -r 300 -l 1000000 "$3" "$4"
	CONNS[$1]=1
}

load_all() { # CONTAINER SERVER SERVER6 L4PORT
	load_tcp "$1.up" "$1" 4 "$2" "$4" -u 400000 -d 1000
	load_tcp "$1.down" "$1" 4 "$2" $(($4 + 1)) -u 1000 -d 400000 -g 5
	load_tcp "$1.idle" "$1" 20 "$2" $(($4 + 2)) -u 100 -d 100 -g 2000
	load_tcp "$1.six" "$1" 4 "$3" "$4" -u 200000 -d 200000 -g 10
	load_udp "$1.udp" "$1" "$2" "$4"
	load_udp "$1.udp6" "$1" "$3" "$4"
}

# Into a container by a published L4 port, and untranslated to a server of which a rule says so.
load_rules() {
	bg many.c1.in c1 "$TCP_MANY" server -v $C1 9300
	within 5000 listening c1 tcp 9300 || die "set-up: no TCP server"
	bg load.c1.in w "$TCP_MANY" client -c 4 -t 120 -i 20 -u 50000 -d 50000 -g 10 $EXT 9300
	CONNS[c1.in]=4
	load_tcp c1.plain c1 2 $SRV3 9200 -u 50000 -d 50000 -g 10
}

load_some() {
	load_tcp c1.both c1 2 $SRV1 9000 -u 100000 -d 100000 -g 5
	load_tcp c1.idle c1 10 $SRV1 9001 -u 100 -d 100 -g 1500
	load_tcp c1.six c1 2 $SRV6 9000 -u 50000 -d 50000 -g 10
	load_udp c1.udp c1 $SRV1 9000
	load_udp c1.udp6 c1 $SRV6 9000
}

all_run() { # NAME: a connection that is lost ends its client
	local name dead=

	for name in "${!CONNS[@]}"; do
		running "load.$name" || dead="$dead $name"
	done
	same "$1: every part of the load runs" "$dead" ""
}

kernel_rests() { # NAME
	local n

	n=$(snmp h Ip ForwDatagrams)
	sleep 0.4
	between "$1: the kernel forwards next to nothing" $(($(snmp h Ip ForwDatagrams) - n)) 0 20
}

kernel_works() { # NAME
	local n

	n=$(snmp h Ip ForwDatagrams)
	sleep 0.4
	between "$1: the kernel forwards" $(($(snmp h Ip ForwDatagrams) - n)) 20 100000000
}

command -v conntrack >/dev/null || skip_all "needs \`conntrack\`"
topo_up "${XE_VARIANT:-routed}"
topo6_up
must own_nat
judge_start
if [ "$WHOLE" = 1 ]; then
	load_all c1 $SRV1 $SRV6 9000
	load_all c2 $SRV2 $SRV6_2 9100
	load_rules
else
	load_some
fi
sleep 0.5
all_run "in the kernel"

xe_start
sleep 0.5
all_run "start under load"
if [ "$WHOLE" = 1 ]; then
	XE_PORTS+=$'\n'"{name: vethc2, role: inside, allow: [$C2/32, $C2_6/128]}"
	check "port add under load" xe_ctl port add vethc2 inside allow "$C2/32,$C2_6/128"
	sleep 0.5
	all_run "port add"
fi
kernel_rests "all carried"

xe_stop
kernel_works "stopped"
all_run "clean stop"

xe_start
sleep 0.5
all_run "start again"
kernel_rests "carried again"

xe_kill
check "crash: --handback" on h "$BUILD/xegressd" --handback -c "$T/xegress.yaml" --run-dir "$T/run"
check "... and once more: nothing to do" on h "$BUILD/xegressd" --handback --run-dir "$T/run"
kernel_works "crashed"
all_run "crash"
xe_start
sleep 0.5
all_run "start after the crash"
kernel_rests "carried after the crash"
check "--handback leaves a service that lives alone" on h "$BUILD/xegressd" --handback --run-dir "$T/run"
check "--clean says that one lives" sh -c "! nsenter --net=/run/netns/$ID-h $BUILD/xegressd --clean --run-dir $T/run"
kernel_rests "still carried"
for name in "${!CONNS[@]}"; do
	kill -TERM "${PIDS[load.$name]:-0}" 2>/dev/null
done
for name in "${!CONNS[@]}"; do
	check "$name: every byte right, no connection lost" bg_wait "load.$name"
done
for name in "${!CONNS[@]}"; do
	bg_stop "many.$name"
	same "$name: one address and L4 port for each" "$(grep -c ^peer "$T/many.$name.log")" "${CONNS[$name]}"
done
xe_conserve
xe_stop
check "the safety net stays" grep -q xegress <(on h nft list tables)
check "--clean takes it away" on h "$BUILD/xegressd" --clean --run-dir "$T/run"
xe_left_as_found
xe_start
xe_kill
check "--clean after a crash" on h "$BUILD/xegressd" --clean --run-dir "$T/run"
xe_left_as_found
same "the run directory has its lock and nothing else" "$(ls -A "$T/run" | tr '\n' ' ')" "lock "
finish
