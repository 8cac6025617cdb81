#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# side-by-side
# Pools in several pieces (RFC 6888 REQ-3), IPv4 and IPv6: hundreds of inside addresses use all of a
# pool and nothing between its pieces, each keeps the one it has, for UDP and TCP and while the pool
# changes around it; rule list, explain and config say it as it was written, what is wrong is refused
# and changes nothing. When the service is gone the safety net gives the same pool out.
. "$(dirname "$0")/lib.sh"
. "$HERE/topo6.sh"
xe_only

XE_ON_STOP=handback
MANY=10.1.128.0/24
MANY6=fd00:1:9:100::/56 # a /64 each: on one port it counts as one source
XE_PORTS="{name: vethc1, role: inside, allow: [$C1/32, $MANY, \"$C1_6/128\", \"$MANY6\"]}
{name: eth0, role: uplink}"
POOL=10.9.2.1,10.9.4.16/29,10.9.6.7-10.9.6.9
POOL_WIDER=10.9.6.7-10.9.6.9,10.9.8.0/30,10.9.2.1
POOL6=2001:db8:52::8/126,2001:db8:53::1,2001:db8:54::ffff-2001:db8:54::1:0
rules() { # POOL
	XE_RULES="snat from $MANY out eth0 source $1 ports 20000-29999
snat from $MANY6 out eth0 source $POOL6 ports 20000-29999"
}
JUDGE_INSIDE6=$INSIDE6

# Each of the sources 1 to 250 says its number by UDP to the server and hears it again; then some by TCP.
# Prints {source: address it was seen with, or null}.
ask() { # FAMILY PREFIX-OF-SOURCES SERVER L4PORT udp|tcp SOURCES
	on c1 timeout 60 "$PY" - "$@" <<'PY'
import ipaddress, json, socket, sys, time
family, prefix, server, l4, kind, cnt = sys.argv[1:]
af = socket.AF_INET if family == "4" else socket.AF_INET6
seen = {}
def sock(i, type):
    s = socket.socket(af, type)
    s.setsockopt(0 if family == "4" else 41, 15 if family == "4" else 78, 1)  # FREEBIND
    s.bind((str(ipaddress.ip_address(prefix) + (i if family == "4" else (i << 64) + 1)), 0))
    s.settimeout(0.5)
    return s
for i in range(1, int(cnt) + 1):
    for attempt in range(6):
        s = sock(i, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
        try:
            s.connect((server, int(l4)))
            s.send(b"%d" % i)
            seen[i] = s.recv(100).decode()
            break
        except OSError:
            seen[i] = None
        finally:
            s.close()
print(json.dumps(seen))
PY
}

serve_seen() { # ADDRESS L4PORT: tells everyone by which address he is seen, by UDP and TCP
	bg "seen.$2" w "$PY" -c '
import socket, sys, threading
addr, l4 = sys.argv[1], int(sys.argv[2])
af = socket.AF_INET6 if ":" in addr else socket.AF_INET
def tcp():
    t = socket.socket(af)
    t.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    t.bind((addr, l4))
    t.listen(100)
    while True:
        c, peer = t.accept()
        c.recv(100)
        c.send(peer[0].encode())
        c.close()
threading.Thread(target=tcp, daemon=True).start()
u = socket.socket(af, socket.SOCK_DGRAM)
u.bind((addr, l4))
while True:
    peer = u.recvfrom(100)[1]
    u.sendto(peer[0].encode(), peer)
' "$1" "$2"
	within 5000 listening w udp "$2" || die "set-up: no server"
	within 5000 listening w tcp "$2" || die "set-up: no server"
}

# Of two files of answers: "" or what is wrong. The pool is given as in the rule.
judge_pool() { # ANSWERS POOL [SAME-AS]
	"$PY" - "$T/$1.json" "$2" ${3:+"$T/$3.json"} <<'PY'
import ipaddress, json, sys
seen = json.load(open(sys.argv[1]))
pool = set()
for part in sys.argv[2].split(","):
    if "/" in part:
        pool |= set(map(str, ipaddress.ip_network(part)))
    else:
        a, _, b = part.partition("-")
        a, b = ipaddress.ip_address(a), ipaddress.ip_address(b or a)
        pool |= {str(a + i) for i in range(int(b) - int(a) + 1)}
lost = [k for k, v in seen.items() if v is None]
others = {v for v in seen.values() if v} - pool
unused = pool - set(seen.values())
if lost:
    print("no answer for", lost[:5], end=" ")
if others:
    print("not of the pool:", sorted(others)[:5], end=" ")
if unused and len(seen) > 100:
    print("of", len(pool), "not used:", sorted(unused), end=" ")
if len(sys.argv) > 3:
    was = json.load(open(sys.argv[3]))
    moved = [k for k in seen if was.get(k) in pool and was[k] != seen[k]]
    if moved:
        print("have another address now:", moved[:5], end=" ")
PY
}

topo_up
topo6_up
must on h ip route add $MANY via $C1
must on h ip -6 route add $MANY6 via $C1_6
must on c1 ip route add local $MANY dev lo
must on c1 ip -6 route add local $MANY6 dev lo
must on w ip route add 10.9.0.0/16 via $EXT
must on w ip -6 route add 2001:db8:52::/47 via $EXT6
must on w ip -6 route add 2001:db8:54::/64 via $EXT6
judge_start
serve_seen $SRV1 7001
serve_seen $SRV6 7002
rules $POOL
xe_start

carried_begin
ask 4 10.1.128.0 $SRV1 7001 udp 250 >"$T/first.json"
same "UDP of 250 sources: all of the pool, and nothing else" "$(judge_pool first $POOL)" ""
ask 4 10.1.128.0 $SRV1 7001 tcp 40 >"$T/tcp.json"
same "TCP: each source has the address that it has" "$(judge_pool tcp $POOL first)" ""
ask 6 fd00:1:9:100:: $SRV6 7002 udp 250 >"$T/six.json"
same "IPv6: all of the pool, and nothing else" "$(judge_pool six $POOL6)" ""
ask 6 fd00:1:9:100:: $SRV6 7002 tcp 40 >"$T/six_tcp.json"
same "IPv6, TCP: each source has the address that it has" "$(judge_pool six_tcp $POOL6 six)" ""
carried_end "pools in pieces"

same "rule list: as it was written" "$(json "$(xe_ctl rule list --json)" "[r['text'] for r in j['rules']]")" \
	"[\"snat from $MANY out eth0 source $POOL ports 20000-29999\", \"snat from $MANY6 out eth0 source $POOL6 ports 20000-29999\"]"
out=$(xe_ctl explain udp 10.1.128.9:5000 $SRV1:7001 in vethc1 --json)
same "explain: the pool" "$(json "$out" "j['translation']['pool'], j['translation']['addresses']")" \
	"(['10.9.2.1', '10.9.4.16/29', '10.9.6.7-10.9.6.9'], 12)"
between "explain: L4 ports in use, of all addresses" "$(json "$out" "j['translation']['in_use']")" 250 400
same "explain: in words" "$(xe_ctl explain udp 10.1.128.9:5000 $SRV1:7001 in vethc1 | grep -c "$POOL (12 addresses)")" 1
xe_ctl config >"$T/printed.yaml"
check "config is valid again" "$BUILD/xegressd" --check -c "$T/printed.yaml"

# What is wrong names what was expected, and changes nothing.
refused() { # WHY POOL
	local out rc=0

	out=$(xe_ctl rule add snat udp from $MANY to $SRV4/32 out eth0 source "$2" 2>&1) || rc=$?
	same "refused: $2" "$rc $(grep -cF "$1" <<<"$out")" "2 1"
}
refused "\`10.9.4.17\` after \`source\` has addresses that stand before it, expected each once" 10.9.4.16/29,10.9.4.17
refused "expected an address at each side of a comma" 10.9.2.1,,10.9.2.2
refused "are of different families" 10.9.2.1,2001:db8::1
refused "expected at most 1024 addresses" 10.9.16.0/22,10.9.2.1
same "... and what was in force is" "$(json "$(xe_ctl rule list --json)" "len(j['rules'])")" 2

# Another pool, in which some of the addresses are, at other places.
rules $POOL_WIDER
xe_conf >"$T/next.yaml"
check "another pool is put in force" xe_ctl apply "$T/next.yaml"
ask 4 10.1.128.0 $SRV1 7001 udp 250 >"$T/second.json"
same "all of the new pool; who has flows on an address that is left keeps it" \
	"$(judge_pool second $POOL_WIDER first)" ""

# Without the service the kernel translates: new sources, the same pools.
rules $POOL
xe_conf >"$T/next.yaml"
check "the first pool again" xe_ctl apply "$T/next.yaml"
xe_conserve
xe_stop
ask 4 10.1.128.0 $SRV1 7001 udp 250 >"$T/net.json"
same "safety net: all of the pool, and nothing else" "$(judge_pool net $POOL)" ""
ask 4 10.1.128.0 $SRV1 7001 tcp 40 >"$T/net_tcp.json"
same "safety net, TCP: a source has the same address as by UDP" "$(judge_pool net_tcp $POOL net)" ""
ask 6 fd00:1:9:100:: $SRV6 7002 udp 250 >"$T/net6.json"
same "safety net, IPv6: all of the pool, and nothing else" "$(judge_pool net6 $POOL6)" ""
finish
