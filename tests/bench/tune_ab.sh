#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# tune_ab.sh [ROUNDS] [SECONDS] [VARIANT...] - what moving the containers' packets to another CPU brings.
#
# Namespaces only; one worker on the last CPU, the container pinned to the one before. Each round tries all variants,
# beginning with the next one each time, so that none has the best place in all:
#	off       as the kernel has it (`rps: off`): a packet is copied on the sender's CPU
#	inside    RPS of the container's port to the worker's CPU
#	both      the same, and of the uplink
#	beside    both, to the other CPU than the worker's: what the service does by itself
#	threaded  NAPI of both ports in threads (on veth NAPI exists only with GRO on, so that too)
# and each with: one TCP stream out, eight out, one back, UDP of 64 bytes from the container. One JSON object
# a measurement on stdout: Gb/s, or packets a second that arrived; then medians and their ratio to `off`.
# TUNE_LOCK=FILE: held for a round, where several people measure on one machine.
. "$(dirname "$0")/../netns/lib.sh"
xe_only

ROUNDS=${1:-5}
TIME=${2:-2}
VARIANTS=("${@:3}")
[ $# -gt 2 ] || VARIANTS=(off inside both beside threaded)
CPU=$(($(nproc) - 1))
WORKER=$(printf '%x' $((1 << CPU)))
BESIDE=$(printf '%x' $((1 << (CPU - 1))))
XE_EXTRA="workers: [$CPU]
rps: off"

# The sysfs that a process sees belongs to the namespace in which it was mounted.
set_rps() { # PORT MASK
	on h unshare -m sh -c "mount -t sysfs sysfs /sys && echo $2 >/sys/class/net/$1/queues/rx-0/rps_cpus"
}

set_threaded() { # PORT 0|1
	on h unshare -m sh -c "mount -t sysfs sysfs /sys && echo $2 >/sys/class/net/$1/threaded"
}

variant() { # NAME
	local inside=0 uplink=0 port

	case $1 in
	inside) inside=$WORKER ;;
	both) inside=$WORKER uplink=$WORKER ;;
	beside) inside=$BESIDE uplink=$BESIDE ;;
	esac
	must set_rps vethc1 $inside
	must set_rps eth0 $uplink
	for port in vethc1 eth0; do
		if [ "$1" = threaded ]; then # no NAPI, nothing to write it to
			must on h ethtool -K $port gro on
			must set_threaded $port 1
		else
			set_threaded $port 0 2>/dev/null
			must on h ethtool -K $port gro off
		fi
	done
}

measure() { # WORKLOAD
	case $1 in
	out) on c1 taskset -c $((CPU - 1)) iperf3 -J -c $SRV1 -p 5201 -t "$TIME" ;;
	out8) on c1 taskset -c $((CPU - 1)) iperf3 -J -c $SRV1 -p 5201 -t "$TIME" -P 8 ;;
	back) on c1 taskset -c $((CPU - 1)) iperf3 -J -c $SRV1 -p 5201 -t "$TIME" -R ;;
	udp) on c1 taskset -c $((CPU - 1)) iperf3 -J -c $SRV1 -p 5201 -t "$TIME" -u -b 0 -l 64 ;;
	esac >"$T/$1.json" 2>/dev/null
	case $1 in
	udp) json "$T/udp.json" "round((j['end']['sum']['packets'] -
		j['end']['sum']['lost_packets']) / j['end']['sum']['seconds'])" ;;
	*) json "$T/$1.json" "round(j['end']['sum_received']['bits_per_second'] / 1e9, 2)" ;;
	esac
}

round() { # NUMBER
	local v w i cnt=${#VARIANTS[@]}

	for ((i = 0; i < cnt; i++)); do
		v=${VARIANTS[($1 + i) % cnt]}
		variant "$v"
		for w in out out8 back udp; do
			echo "{\"round\": $1, \"variant\": \"$v\", \"workload\": \"$w\"," \
				"\"value\": $(measure $w)}" | tee -a "$T/results"
		done
	done
}

topo_up
serve_iperf 5201
xe_start
[ -z "${TUNE_LOCK:-}" ] || exec 9>"$TUNE_LOCK"
for n in $(seq "$ROUNDS"); do
	[ -z "${TUNE_LOCK:-}" ] || flock 9
	round "$n"
	[ -z "${TUNE_LOCK:-}" ] || flock -u 9
done
"$PY" "$HERE/../bench/tune_summary.py" "$T/results" off
variant off
exit 0
