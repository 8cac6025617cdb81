#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# The host's own traffic is nobody's business: listeners (also in the NAT range, also new ones), its
# outgoing connections, ping, and containers that talk to the host or to each other.
. "$(dirname "$0")/lib.sh"

JUDGE_ALLOW_RST=18080 # no listener, outside of the NAT range: a reset is what the host owes

talk() { on "$1" "$TCP_MANY" client -c 5 -u 50001 -d 50001 -i 4 "${@:2}"; } # NS ADDRESS L4PORT

syn() { # NS ADDRESS L4PORT: open, refused, or silent (2 s)
	on "$1" "$PY" - "$2" "$3" <<-'EOP'
	import socket, sys
	s = socket.socket()
	s.settimeout(2)
	try:
	    s.connect((sys.argv[1], int(sys.argv[2])))
	    print("open")
	except ConnectionRefusedError:
	    print("refused")
	except OSError as e:
	    print("silent" if isinstance(e, socket.timeout) else e)
	EOP
}

topo_up
judge_start
# "ssh" sits in the NAT range (20000-29999) and was there first.
serve_many h 0.0.0.0 22222
serve_many h 0.0.0.0 22
serve_echo h $EXT 25353
serve_many w 0.0.0.0 9000
serve_many c2 0.0.0.0 9000
serve_echo w $SRV1 7001
mkdir -p "$T/www"
echo hello >"$T/www/file"
serve_http 8080
xe_start

# Load from a container beside all of it.
bg load c1 "$TCP_MANY" client -c 10 -t 60 -g 20 -u 20000 -d 20000 $SRV1 9000
check "host's listener in the NAT range, from outside" talk w $EXT 22222
check "host's listener outside of it" talk w $EXT 22
check "host's UDP service in the NAT range" on w "$UDP_SEND" -s 1-200 -r 2000 $EXT 25353
check "host's own connections" talk h $SRV1 9000
check "host's own connection from an L4 port in the NAT range" on h curl -sS --fail -m 3 \
	--local-port 21000-21010 -o /dev/null "http://$SRV1:8080/file"
check "host's own UDP from an L4 port in the NAT range" \
	on h "$UDP_SEND" -p 21500 -s 1-20 -r 2000 $SRV1 7001
check "host's own UDP" on h "$UDP_SEND" -s 1-200 -r 2000 $SRV1 7001
check "ping host to outside" on h ping -q -c 5 -i 0.05 -W 1 $SRV1
check "ping outside to host" on w ping -q -c 5 -i 0.05 -W 1 $EXT
check "ping container to outside, by the kernel" on c1 ping -q -c 5 -i 0.05 -W 1 $SRV1
check "ping two containers, same id" bash -c "
	nsenter --net=/run/netns/$ID-c1 ping -q -e 77 -c 3 -i 0.1 -W 1 $SRV1 & one=\$!
	nsenter --net=/run/netns/$ID-c2 ping -q -e 77 -c 3 -i 0.1 -W 1 $SRV1 && wait \$one"
check "ping container to host" on c1 ping -q -c 3 -i 0.05 -W 1 10.1.0.1
check "container to the host's service, inside address" talk c1 10.1.0.1 22
check "container to the host's service, outside address" talk c1 $EXT 22222
check "container to container" talk c1 $C2 9000
# A listener that comes later is reachable as soon as listeners are polled again.
serve_many h 0.0.0.0 22333
check "a new listener in the NAT range" within 3000 talk w $EXT 22333
if [ "$XE_KERNEL" = 0 ]; then
	# L4 ports that are reserved while the service runs are given out no more, and are again later.
	ext_ports() { # CONDITION: how many of 20 new flows have such an Ext L4 port
		xe_ctl flow flush udp >/dev/null
		for _ in $(seq 20); do on c1 "$UDP_SEND" -n 1 $SRV1 7001 >/dev/null 2>&1; done
		xe_ctl flow list udp --json >"$T/flows.json"
		json "$T/flows.json" "len([f for f in j['flows'] if int(f['nat_src'].split(':')[1]) $1])"
	}
	on h sysctl -qw net.ipv4.ip_local_reserved_ports=20000-29000
	sleep 1.5
	same "L4 ports reserved meanwhile are not given out" "$(ext_ports '<= 29000')" 0
	on h sysctl -qw net.ipv4.ip_local_reserved_ports=
	sleep 1.5
	between "and are again afterwards" "$(ext_ports '<= 29000')" 1 20
fi
same "nobody there, outside of the NAT range: refused" "$(syn w $EXT 18080)" refused
if [ "$XE_KERNEL" = 0 ]; then
	same "nobody there, in the NAT range: silence" "$(syn w $EXT 28080)" silent
fi
same "nothing reaches an inside address from outside" "$(syn w $C2 9000)" silent
check "the container's load went on" bg_stop load
if [ "$XE_KERNEL" = 0 ]; then
	# The host's own flows were never ours.
	same "no flow of the host in the table" "$(xe_ctl flow list --json |
		grep -cE "\"src\": *\"$EXT:")" 0
fi
finish
