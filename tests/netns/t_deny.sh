#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# side-by-side
# Deny lists of an uplink: a hundred thousand prefixes from a file, changed and refused while flows
# live; replies of live flows are denied too, and the host itself stays reachable.
. "$(dirname "$0")/lib.sh"

xe_only
udp() { on "$1" "$UDP_SEND" -s 1-20 -r 2000 -w 700 "${@:2}"; }

# 100,000 networks that nobody here is in, and last $1.
make_list() {
	"$PY" -c 'print("# bad networks"); [print(f"20.{i >> 8 & 255}.{i & 255}.{(i >> 16) * 64}/26")
		for i in range(100000)]' >"$T/deny.txt.new"
	[ -z "$1" ] || echo "$1  # the one that counts" >>"$T/deny.txt.new"
	mv "$T/deny.txt.new" "$T/deny.txt"
}
moved_denied() { xe_moved "$1" "$2" | grep -ow 'denied=[0-9]*' | cut -d= -f2; }

topo_up
judge_start
serve_echo w $SRV1 7001
serve_echo w $SRV3 7003
serve_many w 0.0.0.0 9001
serve_many h 0.0.0.0 2222 # as ssh would
make_list ""
XE_RULES="drop from @$T/deny.txt in eth0
masquerade from $INSIDE out eth0 ports 20000-29999"
xe_start
same "rule list: the file, and how many it has" \
	"$(xe_ctl rule list | grep -c "drop from @$T/deny.txt in eth0 (100000 prefixes)")" 1
check "nobody here is denied" udp c1 $SRV1 7001

carried_begin
make_list $SRV1/32
start=$(now_ms)
check "apply reads the file anew" xe_ctl apply "$T/xegress.yaml"
between "apply of 100,000 prefixes, ms" $(($(now_ms) - start)) 0 $((5000 * XE_SLOW))
xe_drops before
on c1 "$UDP_SEND" -s 1-20 -w 300 $SRV1 7001 >/dev/null
xe_drops after
same "a denied source: no reply comes, each counted once" "$(moved_denied before after)" 20
check "others go on" udp c1 $SRV3 7003
check "others go on, TCP" on c1 "$TCP_MANY" client -c 3 -u 30001 -d 30001 -i 3 $SRV3 9001
carried_end "with a deny list"

# From the denied source to the host itself: the host's firewall judges that.
check "the host itself is reachable" on w "$PY" -c "import socket
socket.create_connection(('$EXT', 2222), 3, ('$SRV1', 0)).close()"
on w ping -c 3 -i 0.2 -W 1 -I $SRV1 $EXT >/dev/null
same "and answers its pings" $? 0

echo "not a prefix" >>"$T/deny.txt"
out=$(xe_ctl apply "$T/xegress.yaml" 2>&1)
same "a bad line is refused, with file and line" \
	"$? $(grep -c "deny.txt:100003: expected a prefix" <<<"$out")" "1 1"
xe_drops before
on c1 "$UDP_SEND" -s 1-5 -w 300 $SRV1 7001 >/dev/null
xe_drops after
same "what was in force stays" "$(moved_denied before after)" 5

make_list ""
check "rule add beside it" xe_ctl rule add at 1 drop from $SRV3/32 in eth0
check "the changed file came with it" udp c1 $SRV1 7001
xe_drops before
on c1 "$UDP_SEND" -s 1-7 -w 300 $SRV3 7003 >/dev/null
xe_drops after
same "a rule of one prefix" "$(moved_denied before after)" 7
check "rule del" xe_ctl rule del 1
check "and it is let in again" udp c1 $SRV3 7003
same "config prints the rule as it was" "$(xe_ctl config | grep -c "drop from @$T/deny.txt in eth0")" 1
finish
