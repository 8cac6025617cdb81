#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# IPv6 while the service is killed, dead, started over its remains and stopped: on the uplink no
# inside source and no reset from the host, new flows go on through the safety net, flows that were
# translated are neither reset nor given another L4 port; after the stop the host is as found.
. "$(dirname "$0")/lib.sh"
. "$HERE/topo6.sh"
xe_only

XE_RULES="masquerade out eth0 ports 20000-29999"
XE_PORTS="{name: vethc1, role: inside}
{name: vethc2, role: inside}
{name: eth0, role: uplink}"

fetch6() { # NS
	on "$1" curl -g -sS --max-time 20 -o "$T/got" "http://[$SRV6]/file" && cmp "$T/got" "$T/www/file"
}

new_flows() { # NAME
	check "$1: new TCP flow" fetch6 c2
	check "$1: new UDP flow" udp_ask6 c2 $SRV6 7
	check "$1: ping" on c2 ping -q -c 2 -i 0.1 -W 1 $SRV6
}

look() { # what the uplink saw so far, one line for each thing that may not be
	sleep 0.2
	tcpdump -n -r "$T/wire6.pcap" 'ip6 and src net fd00::/8' 2>/dev/null | sed 's/^/leak: /'
	# hop limit 64: the host's own; a container's, forwarded, has 63
	tcpdump -n -r "$T/wire6.pcap" \
		"ip6 and src host $EXT6 and ip6[6] == 6 and ip6[53] & 4 != 0 and ip6[7] == 64" \
		2>/dev/null | sed 's/^/reset: /'
	tcpdump -n -r "$T/wire6.pcap" "ip6 and src net 2001:db8:203::/48 and ip6[6] == 6 and ip6[53] & 4 != 0" \
		2>/dev/null | sed 's/^/server reset: /'
}

clean() { # NAME
	same "$1: nothing on the uplink that may not be" "$(look | head -n 3)" ""
}

topo_up
topo6_up
mkdir -p "$T/www"
head -c 500000 /dev/urandom >"$T/www/file"
head -c 60000000 /dev/urandom >"$T/www/big"
serve_http6 w 80
serve_echo6 w $SRV6 7
bg wire6 w tcpdump --immediate-mode -U -n -Z root -i up0 -s 128 -w "$T/wire6.pcap" ip6
within 5000 judge_ready wire6 || die "set-up: tcpdump does not start"
rules=$(on h nft -s list ruleset)
xe_start

new_flows "up"
bg big c1 curl -g -sS --max-time 60 --limit-rate 1M -o "$T/big" "http://[$SRV6]/big"
within 5000 test -s "$T/big" || die "the download does not start"
PORT=$(xe_ctl flow list --json tcp from $C1_6 | grep -o '"nat_src": *"[^"]*"' | grep -o '[0-9]*"$' | head -n 1)
PORT=${PORT%\"}
between "the flow's L4 port is the range's" "$PORT" 20000 29999
clean "up"

xe_kill
sleep 2
check "killed: the flow is not reset" running big
clean "killed under load"
new_flows "dead"
same "dead: new flows have other L4 ports" "$(sed -n 's/^peer [^ ]* //p' "$T/echo6.7.log" |
	tail -n 1 | awk '$1 >= 30000 || $1 < 1024 { print "yes" }')" yes
clean "dead"
check "dead: the safety net is still there" test "$(on h nft -s list ruleset)" != "$rules"
bg_stop big KILL

xe_start
before=$(on h awk '$1 == "Ip6OutForwDatagrams" { print $2 }' /proc/net/snmp6)
check "started over the remains: TCP" fetch6 c2
check "started over the remains: UDP" udp_ask6 c2 $SRV6 7
between "the kernel forwarded nothing of it" \
	$(($(on h awk '$1 == "Ip6OutForwDatagrams" { print $2 }' /proc/net/snmp6) - before)) 0 30
clean "up again"
for ns in c1 c2; do
	on $ns ss -HK dst "[$SRV6]" >/dev/null
done
xe_conserve
xe_stop
xe_left_as_found
same "no rule is left" "$(on h nft -s list ruleset)" "$rules"
[ $FAILED -eq 0 ] || exit 1
exit 0
