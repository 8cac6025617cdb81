#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Who completes a partial checksum, and is it right: asked of the device (a veth passes it on), by
# the kernel for a device that has lost its offload, by the worker. With packets of several frames.
. "$(dirname "$0")/lib.sh"

port_member() { # PORT MEMBER
	xe_ctl port list --json >"$T/ports.json"
	json "$T/ports.json" "[p['$2'] for p in j['ports'] if p['name'] == '$1'][0]"
}

# Both ways, every byte; the judge's checksum errors are asked at the end. A worker that others keep
# from its CPU for a while loses some of the large ones: 200 may go.
transfer() { # NAME
	check "$1: TCP, every byte" on c1 "$TCP_MANY" client -c 4 -u 300001 -d 300001 $SRV1 9000
	check "$1: UDP, every length" on c1 "$UDP_SEND" -s 0-1472 -r 4000 $SRV1 7001
	check "$1: UDP of several frames" on c1 "$UDP_SEND" -s 4000-8900 -n 1000 -r 1000 -l 200 $SRV1 7001
}

glass() { # NAME: the transfer, with the uplink looked at
	look_start glass w up0 udp 7001
	transfer "$1"
	look_end glass
}

# One packet in 65536 has a sum that equals its pseudo-header's.
summed() { # NAME
	same "$1: every sum is there" \
		"$(json "$LOOK" "[j['bad_ip'], j['bad_l4'], j['partial'] < 3, j['full'] > 2000]")" \
		"[0, 0, true, true]"
}

again() { # MODE: the service with another `checksum-offload:`
	xe_stop
	XE_EXTRA="checksum-offload: $1"
	xe_start
}

xe_only
topo_up
for end in "h vethc1" "c1 eth0" "h eth0" "w up0"; do
	# shellcheck disable=SC2086
	must on ${end% *} ip link set ${end#* } mtu 9000
done
judge_start
serve_many w $SRV1 9000
serve_echo w $SRV1 7001

# Answers leave w by up0, partial too, so what the glass shows of both ways is alike; with the
# offload of up0 off, answers are full.
must on w ethtool -K up0 tx off
xe_start
same "auto: a veth is asked" "$(port_member eth0 checksum)" device
glass "device"
same "device: no sum is wrong, and what c1 sent is not summed yet" \
	"$(json "$LOOK" "[j['bad_ip'], j['bad_l4'], j['partial'] > 2000]")" "[0, 0, true]"

# The kernel sums for an interface that cannot: also one that could when the port was attached.
must on h ethtool -K eth0 tx off
glass "kernel"
summed kernel
again auto
same "auto: an interface without offload is not asked" "$(port_member eth0 checksum)" worker
transfer "worker"
again on
same "on: it is, and the kernel sums" "$(port_member eth0 checksum)" device
transfer "on"
must on h ethtool -K eth0 tx on
again off
same "off: nothing is asked" \
	"$(port_member eth0 checksum) $(port_member eth0 checksum_why)" "worker switched off"
glass "off"
summed off
must on w ethtool -K up0 tx on
finish
