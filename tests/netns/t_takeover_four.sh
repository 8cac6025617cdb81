#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# In make check-long: 15 s of load.
#
# Takeovers between two, four and one workers. The service has one worker a CPU, and wants CPUs that
# are online; so here the list of those is a file of ours, in a mount namespace of the scenario's.
# Workers whose CPU is not there run on any.
if [ "${XE_FOUR_CPUS:-}" != 1 ]; then
	XE_FOUR_CPUS=1 exec unshare -m --propagation unchanged "$0" "$@"
fi
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/takeover.sh"
xe_only

echo 0-15 >"$T/online"
must mount --make-rprivate /sys # all other mounts, those of namespaces above all, stay everybody's
must mount --bind "$T/online" /sys/devices/system/cpu/online
trap 'umount /sys/devices/system/cpu/online; cleanup' EXIT

all_workers() { # HOW MANY: as many as the configuration says
	[ "$(json "$(xe_ctl stats --json)" "len(j['workers'])")" = "$1" ]
}

# status names the CPUs that are not there, so this is not about status.
taken() {
	running "xegressd.$XE_RUN" || return 0
	grep -q "has ended" "$T/xegressd.$XE_RUN.log"
}

topo_up
judge_start
load_servers
XE_WORKERS=2
xe_start
load_begin $((8 * XE_SLOW))
sleep 0.5
for workers in 4 1 4 4 2; do
	XE_WORKERS=$workers
	xe_conf >"$T/xegress.yaml"
	check "takeover by $workers workers" take_over || break
	echo "# $(took)"
	check "there are $workers" all_workers $workers
	same "no port was attached anew ($workers)" "$(grep -c 'anew' "$T/xegressd.$XE_RUN.log")" 0
	sleep 0.3
done
load_end 5000
check "flow by flow the same" take_over_unmoved
xe_conserve

# Memory for one is not enough for sixteen: then only flows are taken over.
xe_stop
xe_left_as_found
XE_WORKERS=1
xe_start
bg streams c1 "$TCP_MANY" client -c 10 -t $((4 * XE_SLOW)) -i 10 $SRV1 7001
sleep 0.5
XE_WORKERS=16
xe_conf >"$T/xegress.yaml"
check "takeover of one worker by sixteen" take_over
check "there are sixteen" all_workers 16
check "the log says that ports are attached anew" grep -q "is not enough for 16 workers" \
	"$T/xegressd.$XE_RUN.log"
bg_wait streams
same "no stream failed" "$(json "$T/streams.log" "'%d failed %d reset %d corrupt' % (j['failed'],
	j['reset'], j['corrupt'])")" "0 failed 0 reset 0 corrupt"
finish
