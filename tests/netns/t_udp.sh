#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# UDP: every payload length once, checksum 0, load; each datagram numbered and compared, and the
# checksum of each packet on the wire looked at on both sides.
. "$(dirname "$0")/lib.sh"

topo_up
judge_start
serve_echo w $SRV1 7001
serve_echo w $SRV1 7002 -z
xe_start

every_length() { # 4000 a second: the looking glass is Python
	local rc=0

	look_start out w up0 udp 7001
	look_start back c1 eth0 udp 7001
	on c1 "$UDP_SEND" -s 0-1472 -r 4000 $SRV1 7001 || rc=$?
	look_end out
	out=$LOOK
	look_end back
	back=$LOOK
	return $rc
}

carried_begin
check "every length from 0 to 1472, there and back" patiently every_length
look_checks "on the wire out" "$out"
look_checks "on the container's side" "$back"
same "all were seen on the wire" "$(json "$out" "j['packets']")" 1473
same "TTL went down by one, out" "$(json "$out" "list(j['ttls'])")" '["63"]'
same "TTL went down by one, back" "$(json "$back" "list(j['ttls'])")" '["63"]'
same "one translated source" "$(json "$out" "list(j['sources'])")" "[\"$EXT\"]"

look_start out w up0 udp 7002
look_start back c2 eth0 udp 7002
check "checksum 0, every length from 0 to 65" \
	on c2 "$UDP_SEND" -z -s 0-65 -r 4000 $SRV1 7002
look_end out
same "checksum 0 stays 0 out" "$(json "$LOOK" "[j['zero'], j['packets']]")" "[66, 66]"
look_end back
same "checksum 0 stays 0 back" "$(json "$LOOK" "[j['zero'], j['packets']]")" "[66, 66]"

# A steady stream. Not faster: a busy machine lets a softirq wait for 100 ms, and the kernel's backlog
# on every veth here takes 1,000 packets.
check "6,000 a second for 2 s, 1 in 1,000 may be lost" \
	patiently on c1 "$UDP_SEND" -s 18-1400 -t 2 -r 6000 -l 12 $SRV1 7001
sed 's/^/# /' "$T/check.out"
check "both containers at once, same L4 port inside" patiently bash -c "
	nsenter --net=/run/netns/$ID-c1 $UDP_SEND -p 5555 -s 1-200 -r 2000 $SRV1 7001 & one=\$!
	nsenter --net=/run/netns/$ID-c2 $UDP_SEND -p 5555 -s 1-200 -r 2000 $SRV1 7001 && wait \$one"
carried_end "UDP"
check "clients have the translated address and L4 port" peers_in echo.w.7001 $EXT 20000 29999
finish
