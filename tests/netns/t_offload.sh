#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# The container's checksum offload and TSO on and off, before and in the middle of transfers whose
# every byte is compared: whole checksums, partial ones and superpackets must all come out right.
. "$(dirname "$0")/lib.sh"

offload() { # on|off FEATURE...: in c1
	local state=$1 f

	shift
	for f in "$@"; do
		on c1 ethtool -K eth0 "$f" "$state" >/dev/null 2>&1
	done
}

# What is under test must really be so, or the test tests nothing.
is_set() { # FEATURE on|off
	same "c1's $1 is $2" "$(on c1 ethtool -k eth0 | awk -v f="$1:" '$1 == f { print $2 }')" "$2"
}

transfer() { # NAME: TCP both ways and UDP under the current setting
	check "$1: TCP, every byte" \
		on c1 "$TCP_MANY" client -c 4 -u 2000003 -d 2000003 $SRV1 9000
	check "$1: UDP, odd and even" on c1 "$UDP_SEND" -s 0-200 -r 4000 $SRV1 7001
	check "$1: UDP, full frames" on c1 "$UDP_SEND" -s 1400-1472 -r 4000 $SRV1 7001
}

topo_up
judge_start
serve_many w $SRV1 9000
serve_echo w $SRV1 7001
xe_start
carried_begin

is_set tx-checksumming on
is_set tcp-segmentation-offload on
transfer "offload on"
offload off tso gso
is_set tcp-segmentation-offload off
transfer "no TSO"
offload off tx sg
is_set tx-checksumming off
look_start glass w up0 udp 7001
transfer "no checksum offload"
look_end glass
look_checks "no checksum offload" "$LOOK"
offload on tx sg tso gso
is_set tx-checksumming on
transfer "on again"

# In mid-flow: eight flows in rounds, every setting twice while they run. Datagrams beside the bulk
# TCP of their own container may be lost, up to one in a hundred (docs/limitations.md).
bg flows c1 "$TCP_MANY" client -c 8 -t 5 -u 300001 -d 300001 $SRV1 9000
bg datagrams c1 "$UDP_SEND" -s 1-1472 -t 5 -r 1000 -l 50 $SRV1 7001
for _ in 1 2; do
	for f in tso tx gso; do
		sleep 0.35
		offload off $f
		sleep 0.35
		offload on $f sg tx tso gso
	done
done
check "flows live through every toggle, every byte" bg_wait flows
check "datagrams, too" bg_wait datagrams
sed 's/^/# /' "$T/flows.log" "$T/datagrams.log"
between "no flow stood still" "$(json "$T/flows.log" "j['max_stall_ms']")" 0 $((1000 * XE_SLOW))
# What the server sends is as much under test: its end of the uplink without offload.
on w ethtool -K up0 tx off >/dev/null 2>&1
transfer "server without offload"
on w ethtool -K up0 tx on >/dev/null 2>&1
carried_end "both protocols"
finish
