#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Two workers, one source outside that begins flows at both: `limit ... per-source` of packets and of
# new flows, and `sessions-per-source`, are what it has at both together, not at each; another source has
# its own.
. "$(dirname "$0")/lib.sh"
xe_only

XE_WORKERS=2
XE_RULES="accept udp from $SRV1/32 to $INSIDE:7001 in eth0 limit 200pps per-source
accept udp from $SRV2/32 to $INSIDE:7002 in eth0 limit 20flows per-source
accept udp to $INSIDE:7003 in eth0
masquerade from $INSIDE out eth0 ports 20000-29999"
XE_EXTRA="limits: {sessions: 65536, sessions-per-source: 100}"

counted() { xe_moved "$1" "$2" | grep -ow "$3=[0-9]*" | cut -d= -f2; }

sink() { # NS L4PORT: counts what comes, and from how many, until stopped
	bg "sink.$1.$2" "$1" "$PY" -c "
import signal, socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
s.bind(('0.0.0.0', $2))
signal.signal(signal.SIGTERM, lambda *a: sys.exit(print(n, len(peers), flush=True)))
n, peers = 0, set()
while True:
    b, a = s.recvfrom(2048)
    n += 1
    peers.add(a)"
	within 3000 listening "$1" udp "$2" || die "set-up: no sink"
}

sunk() { # L4PORT FIELD: 1 packets, 2 peers; c1's and c2's
	local ns sum=0 each=

	for ns in c1 c2; do
		bg_stop "sink.$ns.$1"
		within 3000 test -s "$T/sink.$ns.$1.log"
		each=$(tail -n 1 "$T/sink.$ns.$1.log" | cut -d' ' -f"$2")
		echo "# $ns: $each" >&2
		sum=$((sum + ${each:-0}))
	done
	echo $sum
}

# SOURCE L4PORT RATE SECONDS FLOWS: to both containers in turn, from so many L4 ports one after the other.
send() {
	on w "$PY" - "$@" $C1 $C2 <<'PY'
import socket, sys, time
source, port, rate, secs, flows = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5])
socks = []
for i in range(flows):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((source, 30000 + i))
    socks.append(s)
start = time.monotonic()
n = 0
while n < rate * secs:
    while n < (time.monotonic() - start) * rate and n < rate * secs:
        for to in sys.argv[6:]:
            try:
                socks[n % flows].sendto(b"x" * 64, (to, port))
            except OSError:
                pass
        n += 1
    time.sleep(0.002)
print(2 * n)
PY
}

topo_up
JUDGE_ALLOW_DST=$SRV1,$SRV2,$SRV3,$SRV4
judge_start
for ns in c1 c2; do
	for port in 7001 7002 7003; do
		sink $ns $port
	done
done
xe_start
same "the containers are at two workers" \
	"$(json "$(xe_ctl status --json)" "len({p['worker'] for p in j['ports'] if p['name'].startswith('vethc')})")" 2
# The ways are known from here on: what waits for one in a burst would be lost.
send $SRV4 7003 10 0.2 1 >/dev/null
sleep 0.5

xe_drops before
sent=$(send $SRV1 7001 1000 1.5 1)
sleep 0.2
xe_drops after
got=$(sunk 7001 1)
between "200pps per-source: of a source at two workers in 1.5 s" "$got" 310 440
same "... the rest is counted" $((got + $(counted before after limit_source_packets))) "$sent"

xe_drops before
start=$(now_ms)
send $SRV2 7002 100 1 100 >/dev/null
took=$(($(now_ms) - start))
sleep 0.2
xe_drops after
got=$(sunk 7002 2)
between "20flows per-source: of 200 in a second at two workers" "$got" 25 $((26 + 20 * took / 1000))
between "... the rest is counted" "$(counted before after limit_source_flows)" \
	$((200 - got)) $((200 - got))

xe_drops before
send $SRV3 7003 300 0.5 150 >/dev/null
sleep 0.2
xe_drops after
same "sessions-per-source: sessions of a source at two workers" "$(xe_ctl flow count udp to $SRV3/32)" 100
same "... the rest is counted" "$(counted before after source_limit)" 200
same "explain: it has all it may have" \
	"$(json "$(xe_ctl explain udp $SRV3:29000 $C1:7003 in eth0 --json)" "j['limits']['of_source']")" 100
# Where some end there is room for as many, at both workers.
check "its flows to c1 end" xe_ctl flow flush from $C1/32 to $SRV3/32
left=$(xe_ctl flow count udp to $SRV3/32)
between "... and those to c2 do not" "$left" 10 90
send $SRV3 7003 300 0.5 150 >/dev/null
sleep 0.2
same "100 again" "$(xe_ctl flow count udp to $SRV3/32)" 100
send $SRV4 7003 100 0.2 20 >/dev/null
sleep 0.2
between "another source has its own" "$(xe_ctl flow count udp to $SRV4/32)" 40 41
finish
