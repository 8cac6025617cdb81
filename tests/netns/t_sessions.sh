#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# side-by-side
# Two workers, one `limits: sessions`: the containers of one may have more than half of it where those
# of the other need less, but not all; together never more. What ends at one may begin at the other, and
# closed connections that one has beyond its half give way.
. "$(dirname "$0")/lib.sh"
xe_only

XE_WORKERS=2
XE_RULES="masquerade from $INSIDE out eth0 ports 20000-29999"
# A piece is 7, and 62 are kept for who has less than half.
XE_EXTRA="limits: {sessions: 1000, sessions-per-source: 5000}"

counted() { xe_moved "$1" "$2" | grep -ow "$3=[0-9]*" | cut -d= -f2; }
flows() { xe_ctl flow count "${2:-udp}" from "$1/32"; }

begin() { # NS HOW MANY FIRST-L4-PORT A-SECOND: that many flows
	on "$1" "$PY" - $SRV1 "$2" "$3" "$4" <<'PY'
import socket, sys, time
cnt, first, rate = map(int, sys.argv[2:5])
for i in range(cnt):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("", first + i))
    s.sendto(b"x", (sys.argv[1], 7001))
    s.close()
    if i % 4 == 0:
        time.sleep(4 / rate if i else 0.3) # the way is known from then on
PY
	sleep 0.2
}

# Connections that are all open before the first is reset.
connect_and_reset() { # NS HOW MANY
	on "$1" "$PY" - $SRV1 "$2" <<'PY'
import resource, socket, struct, sys, time
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
conns = [socket.create_connection((sys.argv[1], 7002), 5) for i in range(int(sys.argv[2]))]
for i, c in enumerate(conns):
    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    c.close()
    if i % 20 == 0:
        time.sleep(0.01) # nobody sends a reset that was lost again
PY
}

topo_up
judge_start
bg sink w "$PY" -c "
import resource, socket, threading
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
t = socket.create_server(('$SRV1', 7002), backlog=1000)
def accept():
    kept = []
    while True:
        kept.append(t.accept())
threading.Thread(target=accept, daemon=True).start()
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('$SRV1', 7001))
while True:
    s.recv(100)"
within 3000 listening w udp 7001 || die "set-up: no sink"
xe_start
same "the containers are at two workers" \
	"$(json "$(xe_ctl status --json)" "len({p['worker'] for p in j['ports'] if p['name'].startswith('vethc')})")" 2
begin c1 750 10000 2000
same "c1 has three quarters of all sessions" "$(flows $C1)" 750
xe_drops before
begin c2 450 10000 2000
xe_drops after
# A worker keeps less than two pieces at hand.
got=$(flows $C2)
between "c2 has the rest" "$got" 236 250
same "... and what is more is refused, and counted" "$(counted before after sessions_full)" $((450 - got))
same "explain says so" "$(xe_ctl explain udp $C2:50000 $SRV1:7001 | grep -c 'the session table is full')" 1
check "c1's flows end" xe_ctl flow flush from $C1/32
begin c2 800 30000 2000
between "now c2 has them all, but a few" "$(flows $C2)" 920 938
begin c1 100 30000 2000
between "... that are c1's" "$(flows $C1)" 62 80

must xe_ctl flow flush
check "c2 opens and resets connections" connect_and_reset c2 850
between "they are closed" "$(flows $C2 tcp)" 840 850
# A worker that sleeps sees ten times a second that they are wanted.
xe_drops before
begin c1 450 10000 400
xe_drops after
same "and give way to c1's flows" "$(flows $C1)" 450
same "... of which none was refused" "$(counted before after sessions_full)" ""
between "... as far as they are more than half" "$(flows $C2 tcp)" 470 550
finish
