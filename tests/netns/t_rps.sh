#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# side-by-side
# Receive packet steering of veth ports: set where nobody had set it, told by status, taken back by
# a stop, and left alone where it was somebody's, before or meanwhile.
. "$(dirname "$0")/lib.sh"

rps_of() { # INTERFACE of h, digits only
	rps_cpus h "$1" | tr -d ',\n' | sed 's/^0*//'
}

rps_put() { # INTERFACE MASK: ip netns exec shows the namespace's own sysfs
	ip netns exec "$ID-h" sh -c "echo $2 >/sys/class/net/$1/queues/rx-0/rps_cpus"
}

told() { # INTERFACE
	json "$(xe_ctl port list --json)" "[p['rps'] for p in j['ports'] if p['name'] == '$1'][0]"
}

xe_only
XE_WORKERS=1 # CPUs must be left over
cpus=$(nproc)
[ "$cpus" -gt 1 ] || skip_all "one CPU: there is nowhere to steer to"
# one worker on the last CPU that may be used
last=$(taskset -cp $$ | sed 's/.*[ ,-]//')
want=$(printf '%x' $(((1 << cpus) - 1 & ~(1 << last))))

topo_up
serve_many w $SRV1 9000
XE_EXTRA="repair: off" # else it is set again
rps_put vethc2 $want # as ours would be, but not ours
xe_start
same "an inside port is steered off the worker's CPU" "$(rps_of vethc1)" "$want"
same "the uplink, too" "$(rps_of eth0)" "$want"
same "status says so" "$(told vethc1)" true
same "what was there already is not ours" "$(told vethc2)" false
check "TCP passes, every byte" on c1 "$TCP_MANY" client -c 4 -u 2000003 -d 2000003 $SRV1 9000
rps_put eth0 3
check "a port goes" xe_ctl port del vethc1
same "its setting is taken back" "$(rps_of vethc1)" ""
check "and comes again" xe_ctl port add vethc1 inside allow 10.1.0.0/16
same "its setting, too" "$(rps_of vethc1)" "$want"
xe_stop
same "stopped: as found" "$(rps_of vethc1)" ""
same "stopped: somebody's setting stands" "$(rps_of vethc2)" "$want"
same "stopped: what was changed meanwhile stands" "$(rps_of eth0)" 3
rps_put eth0 0

XE_EXTRA="rps: off"
xe_start
same "off: nothing is set" "$(rps_of vethc1)$(rps_of eth0)" ""
same "off: told" "$(told vethc1)" false
finish
