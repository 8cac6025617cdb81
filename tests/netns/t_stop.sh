#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Start, crash, start over the remains, clean stop; under load. On the uplink no private source and no
# reset from the host, while the service is up and while it is dead and its safety net stays; after
# the clean stop the host is as it was found. XE_OWN_MASQ=1: with a masquerade of the host's own,
# as Docker has one, there before us (t_stop_masq.sh).
. "$(dirname "$0")/lib.sh"
xe_only

own_masquerade() {
	on h nft -f - <<-EON
	table ip docker_like {
		chain post {
			type nat hook postrouting priority srcnat
			ip saddr $INSIDE oifname "eth0" counter masquerade
		}
	}
	EON
}

load() { # NAME: until it is ended
	bg "$1.tcp" c1 "$TCP_MANY" client -c 10 -t 60 -g 5 -u 30000 -d 30000 -i 30 $SRV1 9000
	bg "$1.udp" c1 "$UDP_SEND" -s 1-1400 -t 60 -r 500 -l 1000000 $SRV1 7001
	bg "$1.back" c2 "$TCP_MANY" client -c 4 -t 60 -u 10 -d 500000 -i 30 $SRV1 9000
}

load_kill() { # NAME: no time to say goodbye for the programs; their kernel says it for them
	local part

	for part in tcp udp back; do
		bg_stop "$1.$part" KILL
	done
}

new_flows() { # NAME
	check "$1: new TCP flows" on c1 "$TCP_MANY" client -c 5 -u 20000 -d 20000 -i 5 $SRV2 9000
	check "$1: new UDP flow" on c1 "$UDP_SEND" -s 1-50 -r 2000 $SRV2 7001
	check "$1: ping" on c1 ping -q -c 2 -i 0.1 -W 1 $SRV1
}

wire_so_far() { # NAME
	local report

	sleep 0.1
	report=$(wire_report)
	wire_clean "$1: no private source on the uplink" private "$report"
	wire_clean "$1: no reset from the host" host_rst "$report"
	# A translated flow that went on with another L4 port would be reset by the server.
	wire_clean "$1: no server had to reset a flow" server_rst "$report"
}

topo_up
[ "${XE_OWN_MASQ:-0}" = 0 ] || must own_masquerade
rules=$(on h nft -s list ruleset)
judge_start
serve_many w 0.0.0.0 9000
serve_echo w 0.0.0.0 7001
bg notify h "$PY" "$HERE/judge.py" notify "$T/notify.sock" $((5 * XE_SLOW))
within 3000 judge_ready notify
export NOTIFY_SOCKET=$T/notify.sock
xe_start
check "READY=1 by sd_notify within 5 s" bg_wait notify
unset NOTIFY_SOCKET

load first
sleep 1
new_flows "up"
wire_so_far "up"
check "load runs" running first.tcp
xe_kill
sleep 2
wire_so_far "killed under load"
load_kill first # FINs and resets of flows that nobody translates any more
new_flows "dead"
sleep 0.5
wire_so_far "dead"
# Their last FINs would be sent again for a minute, also after the end, when the host's masquerade
# is alone: it lets a FIN that it does not know pass with its private source.
for ns in c1 c2; do
	on $ns ss -HK dst $SRV1 >/dev/null
done
check "the safety net is still there" test "$(on h nft -s list ruleset)" != "$rules"

xe_start
carried_begin
check "started over the remains: TCP" on c1 "$TCP_MANY" client -c 5 -u 20000 -d 20000 $SRV1 9000
check "started over the remains: UDP" on c2 "$UDP_SEND" -s 1-50 -r 2000 $SRV1 7001
# Flows of the time without us end where they began, in the kernel: their last segments.
carried_end "started over the remains" 20
xe_conserve

load second
sleep 1
wire_so_far "up again"
until=
# As it was found, the host resets segments of flows that it does not know.
JUDGE_RST_UNTIL=$(date +%s.%N)
if [ "${XE_OWN_MASQ:-0}" = 1 ]; then
	# TCP ends before, so that everything later is new to the host's own masquerade: then no
	# private source, not even in the moment of the hand-over.
	check "TCP load ends well" bg_stop second.tcp
	check "the other, too" bg_stop second.back
else
	# Found without masquerade, the host forwards with private sources again once we have gone.
	until=$(date +%s.%N)
fi
xe_stop
xe_left_as_found
if [ "${XE_OWN_MASQ:-0}" = 1 ]; then
	new_flows "after the stop"
fi
load_kill second
same "no socket is left" "$(find "$T/run" -type s 2>/dev/null | wc -l)" 0
judge_end $until
finish
