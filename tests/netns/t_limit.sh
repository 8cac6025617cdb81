#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# What rules ask of their flows: rates of packets, bits and new flows, of a rule and of each source,
# with one worker and (XE_WORKERS=2, make check-long) with two; an MSS on the wire both ways; a refusal that is told at once; and
# destinations exempt from sessions-per-source.
. "$(dirname "$0")/lib.sh"

xe_only
XE_RULES="reject from $INSIDE to $SRV4/32
masquerade udp from $INSIDE to $SRV1/32:7001 out eth0 ports 20000-20999 limit 500pps
masquerade udp from $INSIDE to $SRV1/32:7002 out eth0 ports 21000-21999 limit 400kbit per-source
masquerade udp from $INSIDE to $SRV1/32:7003 out eth0 ports 22000-22999 limit 20flows
masquerade udp from $INSIDE to $SRV1/32:7004 out eth0 ports 19000-19999 limit 10flows per-source
masquerade tcp from $INSIDE to $SRV2/32:9001 out eth0 ports 23000-23999 mss-clamp 1000
masquerade tcp from $INSIDE to $SRV2/32:9002 out eth0 ports 24000-24999 mss-clamp auto
masquerade tcp from $INSIDE to $SRV2/32:9003 out eth0 ports 25000-25999 limit 8mbit
masquerade udp from $INSIDE to $SRV3/32:7005 out eth0 ports 26000-26999 no-limit
masquerade from $INSIDE out eth0 ports 27000-29999"
XE_EXTRA="limits: {sessions: 65536, sessions-per-source: 150}"

counted() { xe_moved "$1" "$2" | grep -ow "$3=[0-9]*" | cut -d= -f2; }

# RATE SECONDS SIZE ADDR PORT: UDP of one flow; how many of them arrived at the sink.
flood() {
	on "$1" "$PY" - "${@:2}" <<'PY'
import socket, sys, time
rate, secs, size, addr, port = float(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), sys.argv[4], int(sys.argv[5])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", port + 30000)) # the same flow each time
s.connect((addr, port))
start = time.monotonic()
n = 0
while True:
    t = time.monotonic() - start
    if t >= secs:
        break
    while n < t * rate:
        try:
            s.send(b"x" * size)
        except OSError:
            pass
        n += 1
    time.sleep(0.002)
PY
}
sink() { # PORT: counts what comes, from each source address and L4 port, until stopped
	bg "sink.$1" w "$PY" -c "
import signal, socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
s.bind(('0.0.0.0', $1))
signal.signal(signal.SIGTERM, lambda *a: sys.exit(print(n, len(peers), flush=True)))
n, peers = 0, set()
while True:
    b, a = s.recvfrom(2048)
    n += 1
    peers.add(a)"
}
sunk() {
	bg_stop "sink.$1"
	within 3000 test -s "$T/sink.$1.log" >/dev/null
	tail -n 1 "$T/sink.$1.log"
}

topo_up
judge_start
for port in 9001 9002 9003; do
	serve_many w 0.0.0.0 $port
done
for port in 7001 7002 7003 7004 7005; do
	sink $port
done
xe_start
sleep 0.3

# 4 s of 3000 a second: 500 a second and a quarter of a second's worth at once.
xe_drops before
flood c1 3000 4 64 $SRV1 7001
xe_drops after
set -- $(sunk 7001)
between "500pps: what arrived in 4 s" "$1" 1850 2350
between "500pps: the rest is counted, once each" \
	$(($1 + $(counted before after limit_packets))) 11500 12100

# A changed rule is for new flows; `flow flush` makes the live ones new.
check "rule del" xe_ctl rule del 2
check "rule add" xe_ctl rule add at 2 masquerade udp from $INSIDE to $SRV1/32:7001 out eth0 \
	ports 20000-20999 limit 50pps
sink 7001
sleep 0.3
flood c1 3000 2 64 $SRV1 7001
set -- $(sunk 7001)
between "a live flow keeps the 500pps it was opened under" "$1" 900 1350
check "flow flush" xe_ctl flow flush udp
sink 7001
sleep 0.3
flood c1 3000 2 64 $SRV1 7001
set -- $(sunk 7001)
between "after a flush it has the new rule's 50pps" "$1" 95 140

# Two containers (with XE_WORKERS=2 at two workers), 400 kbit/s each of packets of 528 bytes.
xe_drops before
flood c1 1000 4 500 $SRV1 7002 &
flood c2 1000 4 500 $SRV1 7002
wait $!
xe_drops after
set -- $(sunk 7002)
between "400kbit per-source: two sources have it twice" "$1" 720 900
between "400kbit per-source: counted as such" "$(counted before after limit_source_bits)" 6900 7400

# NS PORT CNT FIRST-SOURCE-PORT: new flows for 2 s.
flows() {
	on "$1" "$PY" - $SRV1 "${@:2}" <<'PY'
import socket, sys, time
port, cnt, first = map(int, sys.argv[2:])
for i in range(cnt):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("", first + i))
    s.sendto(b"x", (sys.argv[1], port))
    s.close()
    time.sleep(2 / cnt)
PY
}
# New flows: 20 a second and 20 at once of all; 10 a second and 10 at once of each container.
xe_drops before
start=$(now_ms)
flows c1 7004 40 21000 &
one=$!
flows c2 7004 160 21000 &
two=$!
flows c1 7003 400 20000
wait $one
wait $two
took=$(($(now_ms) - start))
xe_drops after
set -- $(sunk 7004)
between "10flows per-source: flows of 40 and 160 of two sources in 2 s" "$2" 30 $((45 + 20 * took / 1000))
same "10flows per-source: the rest is counted" "$(($2 + $(counted before after limit_source_flows)))" 200
set -- $(sunk 7003)
between "20flows: flows of 400 in 2 s" "$2" 30 $((35 + 20 * took / 1000))
same "20flows: the rest is counted" "$(($2 + $(counted before after limit_flows)))" 400

# TCP finds its rate.
start=$(now_ms)
check "8mbit: a transfer works" on c1 "$TCP_MANY" client -c 1 -u 3000000 -d 1000 -i 20 $SRV2 9003
took=$(($(now_ms) - start))
between "8mbit: 3 MB take, ms" $took 2400 $((9000 * XE_SLOW))

# The MSS on the wire, both ways; the path is narrower inside than outside, then the other way.
mss_of() { # NAME: what w and c1 were told
	"$PY" - "$T/$1.w.pcap" "$T/$1.c.pcap" <<'PY'
import sys
from scapy.all import rdpcap, TCP
def mss(p, want):
    for q in rdpcap(p):
        if TCP in q and (q[TCP].flags & 0x12) == want:
            return dict((o[0], o[1]) for o in q[TCP].options).get("MSS")
print(mss(sys.argv[1], 2), mss(sys.argv[2], 0x12))
PY
}
mss_case() { # NAME PORT
	bg "$1.w" w tcpdump --immediate-mode -U -i up0 -w "$T/$1.w.pcap" tcp port "$2"
	bg "$1.c" c1 tcpdump --immediate-mode -U -i eth0 -w "$T/$1.c.pcap" tcp port "$2"
	within 3000 bash -c "[ -s '$T/$1.w.pcap' ] && [ -s '$T/$1.c.pcap' ]"
	sleep 0.3
	check "$1: a transfer works" on c1 "$TCP_MANY" client -c 1 -u 20000 -d 20000 -i 3 $SRV2 "$2"
	sleep 0.3
	bg_stop "$1.w"
	bg_stop "$1.c"
}
mss_case mss1000 9001
same "mss-clamp 1000: both sides were told" "$(mss_of mss1000)" "1000 1000"
mss_case auto1500 9002
same "mss-clamp auto: 1500 both ways" "$(mss_of auto1500)" "1460 1460"

# Told at once.
refusal=$(on c1 "$PY" - $SRV4 <<'PY'
import socket, sys, time
t = time.monotonic()
try:
    socket.create_connection((sys.argv[1], 80), 5)
    print("connected")
except OSError as e:
    print(type(e).__name__, end=" ")
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[1], 80))
s.settimeout(5)
s.send(b"x")
try:
    s.recv(10)
except OSError as e:
    print(e.errno, end=" ")
print("at once" if time.monotonic() - t < 1 else "late")
PY
)
same "reject: TCP is refused, UDP is told (EHOSTUNREACH), at once" "$refusal" "ConnectionRefusedError 113 at once"

check "flow flush" xe_ctl flow flush udp
# The routes are known; packets that wait for one would be lost in a burst of new flows.
on c2 "$PY" -c "import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('', 29999))
s.sendto(b'x', ('$SRV3', 7005))
time.sleep(0.5)"
# 150 sessions a source, but not to the exempt destination.
xe_drops before
on c2 "$PY" - $SRV3 <<'PY'
import socket, sys, time
for i in range(200):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("", 30000 + i))
    for port in (7005, 7006):
        s.sendto(b"x", (sys.argv[1], port))
    s.close()
    time.sleep(0.002) # no more at once than an idle ring takes
PY
sleep 0.3
xe_drops after
set -- $(sunk 7005)
between "no-limit: all flows to the exempt destination" "$2" 200 201
between "no-limit: the others are held to 150" "$(counted before after source_limit)" 50 51
finish
