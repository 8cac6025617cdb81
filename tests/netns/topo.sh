# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# topo.sh - the namespaces of a scenario and the servers in them; topo.md has the picture.

C1=10.1.0.2
C2=10.1.0.3
INSIDE=10.1.0.0/16
EXT=198.51.100.2
GW=198.51.100.1
SRV1=203.0.113.1
SRV2=203.0.113.2
SRV3=203.0.113.3
SRV4=203.0.113.4

topo_ns() { # NS...: quiet namespaces: IPv6 off, so that nothing talks unless a test does
	local ns

	for ns in "$@"; do
		must ip netns add "$ID-$ns"
		must on "$ns" sysctl -q -w net.ipv6.conf.all.disable_ipv6=1 \
			net.ipv6.conf.default.disable_ipv6=1 net.ipv4.conf.all.rp_filter=0 \
			net.ipv4.conf.default.rp_filter=0 net.ipv4.conf.default.arp_notify=1
		must on "$ns" ip link set lo up
	done
}

# A container N (1 or 2): veth pair, address, default route. The variant decides what the host end
# is: a routed /32 as Calico makes it, or a member of a bridge with the /24, as Docker does.
topo_container() { # NS ADDRESS [INTERFACE OF THE HOST]
	local dev=${3:-veth$1}

	must ip link add "$dev" netns "$ID-h" type veth peer name eth0 netns "$ID-$1"
	must on h ip link set "$dev" up
	must on "$1" ip link set eth0 up
	if [ "$VARIANT" = bridge ]; then
		must on h ip link set "$dev" master br0
		must on "$1" ip addr add "$2/24" dev eth0
		must on "$1" ip route add default via 10.1.0.1
	else
		must on h ip addr add 10.1.0.1/32 dev "$dev"
		must on h ip route add "$2/32" dev "$dev"
		must on "$1" ip addr add "$2/32" dev eth0
		must on "$1" ip route add 10.1.0.1/32 dev eth0
		must on "$1" ip route add default via 10.1.0.1
	fi
}

topo_up() { # [routed|bridge]
	VARIANT=${1:-routed}
	topo_ns c1 c2 h w
	must on h sysctl -q -w net.ipv4.ip_forward=1
	must on w sysctl -q -w net.ipv4.tcp_max_syn_backlog=4096
	if [ "$VARIANT" = bridge ]; then
		must on h ip link add br0 type bridge forward_delay 0
		must on h ip link set br0 up
		must on h ip addr add 10.1.0.1/24 dev br0
	fi
	topo_container c1 $C1
	topo_container c2 $C2
	# shellcheck disable=SC2086 # words; UPLINK_QUEUES: as a NIC has them
	must ip link add eth0 netns "$ID-h" ${UPLINK_QUEUES:+numtxqueues $UPLINK_QUEUES numrxqueues \
		$UPLINK_QUEUES} type veth peer name up0 netns "$ID-w" ${UPLINK_QUEUES:+numtxqueues \
		$UPLINK_QUEUES numrxqueues $UPLINK_QUEUES}
	must on h ip addr add $EXT/24 dev eth0
	must on w ip addr add $GW/24 dev up0
	must on h ip link set eth0 up
	must on w ip link set up0 up
	must on h ip route add default via $GW
	for addr in $SRV1 $SRV2 $SRV3 $SRV4; do
		must on w ip addr add $addr/32 dev lo
	done
	# What leaves untranslated by an `accept` rule finds its way back; so a leak is answered,
	# too, and the judge has two chances to see it.
	must on w ip route add $INSIDE via $EXT
	within 3000 on c1 ping -c 1 -W 1 10.1.0.1 || die "set-up: c1 does not reach the host"
	within 3000 on h ping -c 1 -W 1 $GW || die "set-up: the host does not reach the gateway"
}

# A second way out of the same uplink network: gateway 198.51.100.3 in a namespace of its own
# behind a bridge in w; it knows the servers by a link to w. Replies come back by w itself.
topo_second_gateway() {
	GW2=198.51.100.3
	topo_ns g
	must on g sysctl -q -w net.ipv4.ip_forward=1
	must on w ip link add wbr type bridge forward_delay 0
	must on w ip link set wbr address 02:00:00:00:01:01
	must on w ip link set wbr up
	must on w ip addr flush dev up0
	must on w ip link set up0 master wbr
	must on w ip addr add $GW/24 dev wbr
	must on w ip route replace $INSIDE via $EXT
	must ip link add gport netns "$ID-w" type veth peer name eth0 netns "$ID-g"
	must on w ip link set gport master wbr
	must on w ip link set gport up
	must on g ip link set eth0 up
	must on g ip addr add $GW2/24 dev eth0
	must ip link add glink netns "$ID-w" type veth peer name eth1 netns "$ID-g"
	must on w ip link set glink up
	must on g ip link set eth1 up
	must on w ip addr add 192.0.2.1/30 dev glink
	must on g ip addr add 192.0.2.2/30 dev eth1
	must on g ip route add default via 192.0.2.1
	must on h ip neigh flush dev eth0
	within 3000 on h ping -c 1 -W 1 $GW || die "set-up: the host does not reach the gateway"
	within 3000 on h ping -c 1 -W 1 $GW2 || die "set-up: no second gateway"
}

# ---- servers in w (or elsewhere)

listening() { # NS tcp|udp L4PORT
	[ -n "$(on "$1" ss -Hln "--$2" "sport = :$3")" ]
}

serve_http() { # L4PORT: files of $T/www, access log in $T/access.log
	mkdir -p "$T/www" "$T/nginx"
	cat >"$T/nginx.conf" <<-EOC
	user root;
	daemon off;
	master_process off;
	pid $T/nginx/pid;
	error_log $T/nginx_error.log;
	events { worker_connections 2048; }
	http {
		log_format seen '\$remote_addr:\$remote_port \$request \$status \$body_bytes_sent';
		access_log $T/access.log seen;
		client_body_temp_path $T/nginx/body;
		proxy_temp_path $T/nginx/proxy;
		fastcgi_temp_path $T/nginx/fastcgi;
		uwsgi_temp_path $T/nginx/uwsgi;
		scgi_temp_path $T/nginx/scgi;
		sendfile on;
		server { listen $1 backlog=4096; root $T/www; }
	}
	EOC
	if command -v nginx >/dev/null; then
		bg http w nginx -p "$T/nginx" -e "$T/nginx_error.log" -c "$T/nginx.conf"
	else
		bg http w "$PY" -u -m http.server -d "$T/www" "$1"
	fi
	within 5000 listening w tcp "$1" || die "set-up: no HTTP server"
}

serve_sink() { # L4PORT: PUT answers the sha256 of what came
	bg sink w "$PY" "$ROOT/tests/netns/sink.py" "$1"
	within 5000 listening w tcp "$1" || die "set-up: no upload sink"
}

serve_iperf() { # L4PORT; bound, or its UDP answers would leave from another address
	bg "iperf$1" w iperf3 -s -B $SRV1 -p "$1"
	within 5000 listening w tcp "$1" || die "set-up: no iperf3 server"
}

serve_echo() { # NS ADDRESS L4PORT [OPTION...]: its log is $T/echo.NS.L4PORT.log
	local ns=$1 addr=$2 l4_port=$3

	shift 3
	bg "echo.$ns.$l4_port" "$ns" "$UDP_ECHO" -v "$@" "$addr" "$l4_port"
	within 5000 listening "$ns" udp "$l4_port" || die "set-up: no UDP echo"
}

serve_many() { # NS ADDRESS L4PORT: its log is $T/many.NS.L4PORT.log
	bg "many.$1.$3" "$1" "$TCP_MANY" server -v "$2" "$3"
	within 5000 listening "$1" tcp "$3" || die "set-up: no TCP server"
}

peers() { # LOG: addresses and L4 ports that a server saw
	sed -n 's/^peer \([0-9.:]*\).*/\1/p' "$T/$1.log"
}

# All of them in one set of addresses (a grep -E pattern) and one range of L4 ports?
peers_in() { # LOG ADDRESS-PATTERN LOW HIGH
	local all

	all=$(peers "$1")
	[ -n "$all" ] || { echo "no client was seen"; return 1; }
	awk -F: -v a="^($2)\$" -v lo="$3" -v hi="$4" '
		$1 !~ a || $2 < lo || $2 > hi { print "seen from outside: " $0; bad = 1 }
		END { exit bad }' <<<"$all"
}
