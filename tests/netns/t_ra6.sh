#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# In make check-long: it waits for router advertisements.
# The uplink is configured by router advertisements: address, route and MTU. The network is renumbered,
# the router says goodbye and another one takes over, the MTU of the link is lowered: flows that can
# live do, new ones take what is new.
. "$(dirname "$0")/lib.sh"
. "$HERE/topo6.sh"
xe_only

XE_RULES="masquerade from $INSIDE6 out eth0 ports 20000-29999"
XE_PORTS="{name: vethc1, role: inside}
{name: vethc2, role: inside}
{name: eth0, role: uplink}"
ROUTER1=fe80::11
ROUTER2=fe80::22

# One advertisement from w. Options: life=S mtu=N prefix=PREFIX,PREFERRED-S ...
advertise() { # ROUTER [OPTION...]
	on w "$PY" - "$@" <<-'EOP'
	import sys
	from scapy.all import (Ether, ICMPv6ND_RA, ICMPv6NDOptMTU, ICMPv6NDOptPrefixInfo,
	                       ICMPv6NDOptSrcLLAddr, IPv6, get_if_hwaddr, sendp)
	mac = get_if_hwaddr("up0")
	ra = ICMPv6ND_RA(routerlifetime=1800) / ICMPv6NDOptSrcLLAddr(lladdr=mac)
	for option in sys.argv[2:]:
	    word, value = option.split("=")
	    if word == "life":
	        ra[ICMPv6ND_RA].routerlifetime = int(value)
	    elif word == "mtu":
	        ra /= ICMPv6NDOptMTU(mtu=int(value))
	    else:
	        prefix, preferred = value.split(",")
	        ra /= ICMPv6NDOptPrefixInfo(prefix=prefix, prefixlen=64, L=1, A=1, validlifetime=7200,
	                                    preferredlifetime=int(preferred))
	sendp(Ether(src=mac, dst="33:33:00:00:00:01") / IPv6(src=sys.argv[1], dst="ff02::1", hlim=255)
	      / ra, iface="up0", verbose=False)
	EOP
}

fetch6() { on c1 curl -g -sS --max-time 20 -o "$T/got" "http://[$SRV6]/file" && cmp "$T/got" "$T/www/file"; }

last_seen() { # the address that the last request came from
	sed -n 's/^\([0-9a-f:]*\) - - .*/\1/p' "$T/http6.log" | tail -n 1
}

own_addr() { # PREFIX: the lasting address that h made of it, when it is usable
	on h ip -6 -o addr show dev eth0 scope global -temporary -tentative |
		sed -n "s/.* \($1[0-9a-f:]*\)\/64 .*/\1/p" | head -n 1
}

has_addr() { [ -n "$(own_addr "$1")" ]; }

routers() { on h ip -6 route show default dev eth0; }

topo_up
topo6_up
must on w sysctl -q -w net.ipv6.conf.all.forwarding=1 # its advertisements say "router" then
must on h ip -6 route del default
must on h ip -6 addr del $EXT6/64 dev eth0
must on w ip -6 route del $INSIDE6 # and nobody asks for the address any more
must on w ip -6 addr del $GW6/64 dev up0
must on w ip -6 neigh flush dev up0
must on h sysctl -q -w net.ipv6.conf.eth0.accept_ra=2 net.ipv6.conf.eth0.use_tempaddr=2 \
	net.ipv6.conf.eth0.addr_gen_mode=0
must on w ip -6 addr add $ROUTER1/64 dev up0 nodad
must on w ip -6 addr add $ROUTER2/64 dev up0 nodad
must on w ip -6 addr add 2001:db8:aa::1/64 dev up0 nodad
must on w ip -6 addr add 2001:db8:bb::1/64 dev up0 nodad
mkdir -p "$T/www"
head -c 300000 /dev/urandom >"$T/www/file"
head -c 40000000 /dev/urandom >"$T/www/big"
serve_http6 w 80
serve_echo6 w $SRV6 7
xe_start

same "no route yet" "$(on c1 curl -g -sS --max-time 3 -o /dev/null "http://[$SRV6]/file" 2>/dev/null
	echo $?)" 7
advertise $ROUTER1 prefix=2001:db8:aa::,3600
check "an address comes of the advertisement" within 5000 has_addr 2001:db8:aa:
check "flows go" within 5000 fetch6
same "with the lasting address, not the temporary one" "$(last_seen)" "$(own_addr 2001:db8:aa:)"

FORW6=$(on h awk '$1 == "Ip6OutForwDatagrams" { print $2 }' /proc/net/snmp6)
bg big c1 curl -g -sS --max-time 100 --limit-rate 2M -o "$T/big" "http://[$SRV6]/big"
within 5000 test -s "$T/big" || die "the download does not start"
advertise $ROUTER1 prefix=2001:db8:aa::,0 prefix=2001:db8:bb::,3600
check "renumbered: another address" within 5000 has_addr 2001:db8:bb:
check "renumbered: a new flow" fetch6
same "has it" "$(last_seen)" "$(own_addr 2001:db8:bb:)"
check "the old flow lives" running big

advertise $ROUTER2
advertise $ROUTER1 life=0
check "the first router has gone" within 5000 eval '! routers | grep -q "via $ROUTER1 "'
check "the other one is there" grep -q "via $ROUTER2 " <<<"$(routers)"
check "another router: a new flow" fetch6
check "the old flow lives" running big
between "the kernel forwarded nothing" \
	$(($(on h awk '$1 == "Ip6OutForwDatagrams" { print $2 }' /proc/net/snmp6) - FORW6)) 0 10

# The link's MTU: what is larger is answered, and the container sends smaller.
advertise $ROUTER2 mtu=1300
sleep 0.5
check "a lower MTU: upload of large datagrams" on c1 "$PY" - $SRV6 <<-'EOP'
	import socket, sys
	s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
	s.connect((sys.argv[1], 7))
	s.settimeout(0.5)
	for i in range(10):
	    try:
	        s.send(b"x" * 1400)
	        if s.recv(2000) == b"x" * 1400:
	            break
	    except OSError:
	        pass
	mtu = s.getsockopt(socket.IPPROTO_IPV6, 24)
	assert mtu == 1300, "path MTU is %d" % mtu
EOP
check "the download lived through all of it" bg_wait big
check "every byte" cmp "$T/big" "$T/www/big"
xe_conserve
xe_stop
[ $FAILED -eq 0 ] || exit 1
exit 0
