#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# One Ext address, two users of its L4 ports: the host's connections and the containers' flows. A
# connection that the host has on an L4 port of the NAT range lives on while containers fill the
# range; one that it begins there opens beside a container's; where net.ipv4.ip_local_port_range
# meets the range, the host's connections open also to the peer that containers have all L4 ports to;
# the default range keeps clear of it, and follows it.
# side-by-side
. "$(dirname "$0")/lib.sh"

xe_only
XE_RULES="masquerade from $C1/32 out eth0 ports 21000-21063
masquerade from $C2/32 out eth0"

cat >"$T/echo.py" <<'EOP'
import socket, sys, threading
def serve(c):
    try:
        while b := c.recv(4096):
            c.sendall(b)
    except OSError:
        pass
    c.close()
for port in sys.argv[1:]:
    s = socket.create_server(("", int(port)), backlog=256)
    threading.Thread(target=lambda s=s: [threading.Thread(
        target=serve, args=(s.accept()[0],), daemon=True).start() for _ in iter(int, 1)]).start()
EOP
# L4PORT ADDRESS L4PORT: a word every 20 ms until SIGTERM, each answered; a line for each.
cat >"$T/talk.py" <<'EOP'
import signal, socket, sys, time
s = socket.socket()
s.settimeout(5)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("", int(sys.argv[1])))
s.connect((sys.argv[2], int(sys.argv[3])))
on = [True]
signal.signal(signal.SIGTERM, lambda *a: on.clear())
while on:
    s.sendall(b"word")
    if s.recv(4096) != b"word":
        sys.exit("another answer")
    print("answered", flush=True)
    time.sleep(0.02)
EOP
# COUNT ADDRESS L4PORT: connections that open, kept until SIGTERM; their number is the only line.
cat >"$T/fill.py" <<'EOP'
import select, signal, socket, sys, time
socks, up = [], 0
for i in range(int(sys.argv[1])):
    s = socket.socket()
    s.setblocking(False)
    s.connect_ex((sys.argv[2], int(sys.argv[3])))
    socks.append(s)
left, end = set(socks), time.monotonic() + 1.5
while left and time.monotonic() < end:
    for s in select.select([], list(left), [], 0.2)[1]:
        left.discard(s)
        up += s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
print(up, flush=True)
signal.signal(signal.SIGTERM, lambda *a: sys.exit(0))
signal.pause()
EOP
answers() { grep -c answered "$T/$1.log"; }
talks_on() { # NAME: ten more answers
	local n

	n=$(answers "$1")
	within 5000 eval "[ \$(answers $1) -ge $((n + 10)) ]"
}
said() { [ -s "$T/$1.log" ]; }
ext_ports() { # EXPRESSION of p, the Ext L4 ports of the flows from $1
	json "$(xe_ctl flow list --json)" "(lambda p: $2)(
		[int(f['nat_src'].split(':')[1]) for f in j['flows'] if f['src'].startswith('$1:')])"
}
new_default() { # LOW HIGH: 8 new flows of c2 have Ext L4 ports in there
	xe_ctl flow flush udp >/dev/null
	for _ in $(seq 8); do on c2 "$UDP_SEND" -n 1 $SRV1 7001 >/dev/null 2>&1; done
	[ "$(ext_ports $C2 "len(p) >= 8 and all($1 <= x <= $2 for x in p)")" = true ]
}
local_range() { on h sysctl -qw net.ipv4.ip_local_port_range="$1 $2"; }

topo_up
judge_start
bg server w "$PY" "$T/echo.py" 9000 9001
within 5000 listening w tcp 9000 || die "set-up: no echo server"
serve_echo w $SRV1 7001
serve_echo w $SRV1 7002

# It has 21005 before the service starts, toward the peer that the containers will have.
bg early h "$PY" "$T/talk.py" 21005 $SRV1 9000
within 5000 eval '[ $(answers early) -ge 1 ]' || die "set-up: the host's connection does not open"
xe_start
bg full c1 "$PY" "$T/fill.py" 66 $SRV1 9000
check "the container fills the range" within 10000 said full
same "of 64 L4 ports it gets all but the host's" "$(cat "$T/full.log")" 63
same "the host's is not among them" "$(ext_ports $C1 "21005 in p")" false
check "the host's connection lives on" talks_on early

# On an L4 port that a container has: to another L4 port, and to another address.
bg late h "$PY" "$T/talk.py" 21010 $SRV1 9001
check "the host connects from a container's L4 port" within 6000 eval '[ $(answers late) -ge 1 ]'
bg other h "$PY" "$T/talk.py" 21011 $SRV2 9000
check "to another address, too" within 6000 eval '[ $(answers other) -ge 1 ]'
check "and goes on" talks_on late
check "as does the first" talks_on early
between "by way of the punt device" "$(json "$(xe_ctl drops --json)" \
	"sum(r['count'] for r in j['reasons'] if r['reason'].lower() == 'p_host_flow')")" 1 1000000
# What is nobody's is nobody's: no answer, above all no reset.
same "a stranger's segment for such an L4 port: silence" "$(on w "$PY" - $EXT 21010 <<'EOP'
import socket, sys
s = socket.socket()
s.settimeout(1)
try:
    s.connect((sys.argv[1], int(sys.argv[2])))
    print("open")
except ConnectionRefusedError:
    print("refused")
except OSError:
    print("silent")
EOP
)" silent

# The kernel takes the host's L4 ports from the range that the container has filled.
warned() { xe_ctl check | grep -q "ip_local_port_range is $1"; }
moved_out() { on h nft list ruleset | grep -q "tcp sport $1"; }
local_range 21000 21063
check "check tells of it" within 5000 warned 21000-21063
check "so does --check" bash -c "nsenter --net=/run/netns/$ID-h '$BUILD/xegressd' --check \
	-c '$T/xegress.yaml' 2>&1 | grep 'ports 21000-21063. meets'"
check "the safety net moves the host's new flows" within 5000 moved_out 21000-21063
bg mine h "$PY" "$T/fill.py" 20 $SRV1 9000
within 10000 said mine
same "20 of 20 connections of the host open to the containers' peer" "$(cat "$T/mine.log")" 20
check "and the host's UDP" on h "$UDP_SEND" -s 1-50 -r 2000 $SRV1 7002
check "containers' flows live on" [ "$(ext_ports $C1 "len(p)")" = 63 ]

# Without `ports`.
check "the default range keeps clear of it" within 5000 new_default 1024 20999
local_range 1024 20000
check "and follows it" within 5000 new_default 20001 32767
local_range 1024 65000
check "a range that leaves nothing is told of" within 5000 warned 1024-65000
check "and shared" within 5000 moved_out 1024-65000
check "by rules without ports, too" new_default 1024 32767
bg still h "$PY" "$T/fill.py" 20 $SRV1 9000
within 10000 said still
same "where the host still connects" "$(cat "$T/still.log")" 20
local_range 32768 60999
check "the host's first connection has lived through all of it" talks_on early
for who in early late other full mine still; do
	check "$who ends in order" bg_stop $who
done
finish
