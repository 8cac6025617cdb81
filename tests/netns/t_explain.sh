#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# side-by-side
# explain against what really happens: a table of packets, each explained first and then sent, and
# carried (counted as taken and sent by a worker) exactly when explain said so.
. "$(dirname "$0")/lib.sh"

xe_only
JUDGE_ALLOW_DST=$SRV4 # the accept rule's
XE_RULES="kernel tcp to $SRV2/32:9002
drop from $C1/32 to $SRV3/32
reject udp from $INSIDE to $SRV3/32:7009
accept from $INSIDE to $SRV4/32
masquerade udp from $INSIDE to $SRV1/32:7001-7002 in vethc1 out eth0 ports 21000-21999
masquerade tcp from $INSIDE out eth0 ports 20000-20999
drop from 203.0.113.66 in eth0"
XE_EXTRA="limits: {sessions: 4096, sessions-per-source: 30}"

topo_up
judge_start
serve_echo w $SRV1 7001
serve_many w 0.0.0.0 9001
xe_start

# What explain says: `EXITCODE REASON RULE`.
said() {
	local out rc=0

	out=$(xe_ctl explain "$@" --json) || rc=$?
	echo "$rc $(json "$out" "j['steer'] + ' ' + str((j.get('rule') or {}).get('number'))")"
}
# One real packet of this kind from a container or w: the reasons of steer that moved, ARP's apart.
send() { # NS PROTO SRC SPORT DST DPORT
	"$PY" - "$@" <<'PY' >"$T/send.py"
import sys
ns, proto, src, sport, dst, dport = sys.argv[1:]
kind = "SOCK_STREAM" if proto == "tcp" else "SOCK_DGRAM"
print(f"""import socket
s = socket.socket(socket.AF_INET, socket.{kind})
s.setsockopt(socket.SOL_IP, 15, 1)
s.bind(("{src}", {sport}))
s.settimeout(0.3)
try:
    s.connect(("{dst}", {dport}))
    {"pass" if proto == "tcp" else "s.send(b'x')"}
except OSError:
    pass
s.close()""")
PY
	on "$1" "$PY" "$T/send.py"
}
# The first steering reason of a port that moved.
real() { # PORT NS PROTO SRC SPORT DST DPORT
	xe_stats before
	send "${@:2}"
	sleep 0.1
	xe_stats after
	"$PY" - "$T" "$1" <<'PY'
import json, sys
a, b = (json.load(open(f"{sys.argv[1]}/{n}.json")) for n in ("before", "after"))
def port(j):
    return next(p for p in j["ports"] if p["name"] == sys.argv[2])
p, q = port(a), port(b)
print("taken" if q["redirected"] > p["redirected"] else "dropped" if q["dropped"] > p["dropped"] else "passed")
PY
}
# NAME PORT NS PROTO SRC SPORT DST DPORT WANT_SAID WANT_REAL
row() {
	local name=$1 port=$2 ns=$3 proto=$4 src=$5 sport=$6 dst=$7 dport=$8

	same "$name: explain" "$(said "$proto" "$src:$sport" "$dst:$dport" in "$port")" "$9"
	same "$name: what happens" "$(real "$port" "$ns" "$proto" "$src" "$sport" "$dst" "$dport")" "${10}"
}

row "masquerade" vethc1 c1 tcp $C1 40001 $SRV1 9001 "0 TAKEN 6" taken
row "masquerade of one port" vethc1 c1 udp $C1 40002 $SRV1 7001 "0 TAKEN 5" taken
row "its rule is for another port" vethc2 c2 udp $C2 40002 $SRV1 7001 "1 NO_RULE None" passed
row "L4 port outside the rule's" vethc1 c1 udp $C1 40003 $SRV1 7003 "1 NO_RULE None" passed
row "kernel rule" vethc1 c1 tcp $C1 40004 $SRV2 9002 "1 KERNEL_RULE 1" passed
row "drop rule" vethc1 c1 tcp $C1 40005 $SRV3 80 "1 DROP_RULE 2" dropped
row "drop is for one source" vethc2 c2 tcp $C2 40005 $SRV3 9001 "0 TAKEN 6" taken
row "reject: the worker tells" vethc2 c2 udp $C2 40006 $SRV3 7009 "1 TAKEN 3" taken
row "accept" vethc1 c1 tcp $C1 40007 $SRV4 9001 "0 TAKEN 4" taken
row "the host itself" vethc1 c1 tcp $C1 40008 $EXT 22 "1 DST_LOCAL None" passed
row "broadcast" vethc1 c1 udp $C1 40009 255.255.255.255 67 "1 DST_SPECIAL None" passed
must on c1 ip addr add 10.9.9.9/32 dev lo
row "spoofed" vethc1 c1 tcp 10.9.9.9 40010 $SRV1 9001 "1 SPOOFED None" dropped
must on h ip route add blackhole 192.0.2.64/26
row "no route" vethc1 c1 tcp $C1 40011 192.0.2.65 80 "1 NO_ROUTE None" passed
row "between containers, no accept rule" vethc1 c1 tcp $C1 40012 $C2 80 "1 NO_RULE None" passed
row "from outside, of no flow" eth0 w udp $SRV1 7777 $EXT 21000 "1 NOT_OWNED None" passed
must on w ip addr add 203.0.113.66/32 dev lo
row "from a denied source, for the host" eth0 w udp 203.0.113.66 7777 $EXT 22 \
	"1 NOT_OWNED None" passed

# A live flow, and its reply as it comes in.
on c1 "$PY" -c "import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('', 41000))
s.sendto(b'x', ('$SRV1', 7001))
s.close()"
sleep 0.2
out=$(xe_ctl explain udp $C1:41000 $SRV1:7001 in vethc1 --json)
same "live flow: explain, without naming the port" "$(said udp $C1:41000 $SRV1:7001)" "0 TAKEN None"
nat=$(json "$out" "j['flow']['nat_src']")
same "its reply" "$(said udp $SRV1:7001 "$nat" in eth0)" "0 TAKEN None"
same "another source at that L4 port" "$(said udp $SRV2:7001 "$nat" in eth0)" "1 TAKEN None"
check "rule del" xe_ctl rule del 5
same "a changed rule set leaves it alone" "$(said udp $C1:41000 $SRV1:7001)" "0 TAKEN None"
same "a new one is judged anew" "$(said udp $C1:41001 $SRV1:7001)" "1 NO_RULE None"

# Nothing is taken by asking.
before=$(xe_ctl flow count)
for i in $(seq 1 40); do
	xe_ctl explain tcp $C2:$((50000 + i)) $SRV1:9001 >/dev/null
done
same "explaining opens no flow" "$(xe_ctl flow count)" "$before"
# Up to the source's limit, and beyond.
on c2 "$PY" -c "import socket
s = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for i in range(60)]
for i, k in enumerate(s):
    k.bind(('', 31000 + i))
    k.sendto(b'x', ('$SRV4', 7777))
    if not i:
        __import__('time').sleep(0.3)"
sleep 0.3
out=$(xe_ctl explain tcp $C2:40099 $SRV1:9001 --json)
same "at its limit of sessions" "$? $(json "$out" "j['limits']['of_source'], j['verdict'][:22]")" \
	"1 (30, 'dropped by the worker:')"

out=$(xe_ctl explain tcp $C1:40020 $SRV1:9001)
check "in words: the rule and why not the others" \
	grep -q "not rule 3, for .accept\|not rule 4, for .to" <<<"$out"
for bad in "icmp $C1:1 $SRV1:1" "tcp $C1 $SRV1:80" "tcp $C1:1 [2001:db8::1]:80" \
	"tcp $C1:1 $SRV1:80 out eth0" "tcp $C1:1 $SRV1:99999"; do
	# shellcheck disable=SC2086 # words
	xe_ctl explain $bad >/dev/null 2>&1
	same "usage: $bad" $? 2
done
finish
