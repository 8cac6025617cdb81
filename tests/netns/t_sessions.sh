#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Two workers, one `limits: sessions`: the containers of one may have more than half of it where those
# of the other need less, all together never more; what ends at one may begin at the other.
. "$(dirname "$0")/lib.sh"
xe_only

XE_WORKERS=2
XE_RULES="masquerade from $INSIDE out eth0 ports 20000-29999"
XE_EXTRA="limits: {sessions: 2000, sessions-per-source: 5000}"

counted() { xe_moved "$1" "$2" | grep -ow "$3=[0-9]*" | cut -d= -f2; }
flows() { xe_ctl flow count udp from "$1/32"; }

begin() { # NS HOW MANY FIRST-L4-PORT: that many flows
	on "$1" "$PY" - $SRV1 "$2" "$3" <<'PY'
import socket, sys, time
cnt, first = int(sys.argv[2]), int(sys.argv[3])
for i in range(cnt):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("", first + i))
    s.sendto(b"x", (sys.argv[1], 7001))
    s.close()
    if i % 4 == 0:
        time.sleep(0.002 if i else 0.3) # the way is known from then on
PY
	sleep 0.2
}

topo_up
judge_start
bg sink w "$PY" -c "
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('$SRV1', 7001))
while True:
    s.recv(100)"
within 3000 listening w udp 7001 || die "set-up: no sink"
xe_start
same "the containers are at two workers" \
	"$(json "$(xe_ctl status --json)" "len({p['worker'] for p in j['ports'] if p['name'].startswith('vethc')})")" 2
begin c1 1500 10000
same "c1 has three quarters of all sessions" "$(flows $C1)" 1500
xe_drops before
begin c2 900 10000
xe_drops after
# A worker keeps less than two pieces of 15 at hand.
got=$(flows $C2)
between "c2 has the rest" "$got" 470 500
same "... and what is more is refused, and counted" "$(counted before after sessions_full)" $((900 - got))
same "explain says so" "$(xe_ctl explain udp $C2:50000 $SRV1:7001 | grep -c 'the session table is full')" 1
check "c1's flows end" xe_ctl flow flush from $C1/32
begin c2 1600 30000
between "now c2 has them all" "$(flows $C2)" 1970 2000
begin c1 100 30000
between "and c1 what was left" "$(flows $C1)" 0 30
finish
