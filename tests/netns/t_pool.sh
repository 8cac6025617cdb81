#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# side-by-side
# More external addresses in the life of a service than it can have at once: what no rule and no flow
# uses any more is given back, a rule set that was refused has kept none, and a flow that lives keeps
# its own, and its translation, through all of it.
. "$(dirname "$0")/lib.sh"
xe_only

XE_RULES="snat from $C2/32 out eth0 source 10.9.0.1 ports 20000-29999
snat from $C1/32 out eth0 source 10.9.2.1-10.9.3.143 ports 20000-29999"

apply_pool() { # FIRST LAST: another pool for c1; the rule of c2 is gone, its flow is not
	XE_RULES="snat from $C1/32 out eth0 source $1-$2 ports 20000-29999"
	xe_conf >"$T/next.yaml"
	xe_ctl apply "$T/next.yaml"
}

seen_as() { # the address that a new flow of c1 has
	on c1 "$UDP_SEND" -s 20 -n 1 -r 1000 $SRV1 7001 >"$T/seen.log" || return 1
	peers echo.w.7001 | tail -n 1 | cut -d: -f1
}

topo_up
must on w ip route add 10.9.0.0/16 via $EXT
judge_start
serve_many w $SRV1 9000
serve_echo w $SRV1 7001
xe_start
bg kept c2 "$TCP_MANY" client -c 2 -t 60 -g 20 -u 5000 -d 5000 -i 6 $SRV1 9000
check "a flow from the first pool" seen_as
for pool in 4 6 8 10 12; do
	check "pool $pool of 399 is put in force" apply_pool 10.9.$pool.1 10.9.$((pool + 1)).143
	check "pool $pool: a flow from it" grep -qE "^10\.9\.($pool|$((pool + 1)))\." <(seen_as)
	[ $pool = 8 ] || continue
	# In force until the new ones are: both at once are too many.
	if apply_pool 10.9.100.1 10.9.102.200 >"$T/refused.log" 2>&1; then
		fail "712 more beside the 399 in force are refused" "they were not"
	else
		same "712 more beside the 399 in force are refused" \
			"$(grep -c 'too many external addresses' "$T/refused.log")" 1
	fi
	check "what was in force still is" grep -qE "^10\.9\.(8|9)\." <(seen_as)
done
check "status" xe_ctl status
check "the flow of the first address lived through it" bg_stop kept
finish
