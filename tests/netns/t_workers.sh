#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Two workers: ports spread over them, replies handed to who owns the flow; every byte compared, the
# counters of each worker add up; ports come and go under load; the range of Ext L4 ports is for
# whoever needs it; a container that floods does not starve another one's request and response.
. "$(dirname "$0")/lib.sh"
xe_only
[ "$(nproc)" -ge 2 ] || skip_all "needs two CPUs"
XE_WORKERS=2

XE_PORTS="{name: veth*, role: inside, allow: [10.1.0.0/16]}
{name: eth0, role: uplink}"
XE_RULES="masquerade udp from 10.1.0.4/32 to $SRV4/32 out eth0 ports 40000-40999
accept from 10.1.0.5/32 to $SRV3/32
accept from 10.1.0.0/16 to 10.1.0.0/16
masquerade from $INSIDE out eth0 ports 20000-29999"
XE_LINKS="vethc1 vethc2 vethc3 eth0" # vethc4 comes and goes
XE_CONTAINERS="c1 c2 c3"
JUDGE_ALLOW_DST=$SRV3

owner() { # PORT: its worker
	json "$T/status.json" "[p['worker'] for p in j['ports'] if p['name'] == '$1'][0]"
}

worker() { # NAME EXPRESSION: of the workers w in stats NAME
	json "$T/$1.json" "[$2 for w in j['workers']]"
}

in_vain() { ! "$@" >/dev/null 2>&1; }

topo_up
topo_ns c3 c4
topo_container c3 10.1.0.4
topo_container c4 10.1.0.5
judge_start
serve_many w $SRV1 9000
serve_many w $SRV3 9003
serve_echo w $SRV1 7001
serve_echo w $SRV4 7004
serve_many c4 10.1.0.5 9004
xe_start

xe_ctl status --json >"$T/status.json"
same "two workers" "$(json "$T/status.json" "[w['state'] for w in j['workers']]")" \
	'["running", "running"]'
same "two containers for each" "$(for c in 1 2 3 4; do owner vethc$c; done | sort | tr '\n' ' ')" \
	"0 0 1 1 "

# A flow of each container, so that some replies come in where their flow is not at home.
all_at_once() {
	local n bad=0

	for n in 1 2 3 4; do
		bg "tcp$n" c$n "$TCP_MANY" client -c 10 -u 300001 -d 300001 $SRV1 9000
		bg "udp$n" c$n "$UDP_SEND" -s 0-1472 -r 2000 -l 15 $SRV1 7001
	done
	for n in tcp1 udp1 tcp2 udp2 tcp3 udp3 tcp4 udp4; do
		bg_wait $n || { bad=1 && tail -n 1 "$T/$n.log"; }
	done
	return $bad
}

carried_begin
check "TCP of all four, and UDP of every length, both directions" patiently all_at_once
# Inside to inside, and untranslated: found by the live tags of the other worker.
check "untranslated to the uplink" on c4 "$TCP_MANY" client -c 5 -u 100001 -d 100001 $SRV3 9003
for c in 1 2 3; do
	check "c$c to c4, untranslated" \
		on c$c "$TCP_MANY" client -c 5 -u 100001 -d 100001 10.1.0.5 9004
done
carried_end "two workers" 40 # UDP above the limit of held packets, never
xe_conserve
xe_stats after
same "each worker made sessions" "$(worker after "w['sessions_made'] > 0")" '[true, true]'
same "as much handed in as out" \
	"$(json "$T/after.json" "sum(w['handed_out'] - w['handed_in'] for w in j['workers'])")" 0
between "replies were handed over" \
	"$(json "$T/after.json" "sum(w['handed_out'] for w in j['workers'])")" 3000 100000000
same "none got lost between the workers" \
	"$(json "$T/after.json" "sum(w['drops']['HANDOVER_FULL'] for w in j['workers'])")" 0
same "and none found no session" \
	"$(json "$T/after.json" "sum(w['drops']['NO_SESSION'] for w in j['workers'])")" 0

# flow list: each flow once, at the worker of its inside port.
bg many c1 "$TCP_MANY" client -c 20 -t 30 -g 50 -u 1000 -d 1000 $SRV1 9000
bg many2 c2 "$TCP_MANY" client -c 20 -t 30 -g 50 -u 1000 -d 1000 $SRV1 9000
bg many3 c3 "$TCP_MANY" client -c 20 -t 30 -g 50 -u 1000 -d 1000 $SRV1 9000
sleep 0.7
xe_ctl flow list --json >"$T/flows.json"
"$PY" - "$T/flows.json" "$T/status.json" >"$T/flows.out" <<'EOP'
import json, sys
flows = json.load(open(sys.argv[1]))["flows"]
owner = {p["name"]: p["worker"] for p in json.load(open(sys.argv[2]))["ports"]}
keys = [(f["proto"], f["in"], f["src"], f["dst"]) for f in flows]
print("wrong: %d twice: %d" % (sum(owner[f["in"]] != f["worker"] for f in flows),
                               len(keys) - len(set(keys))))
EOP
same "flow list: each at the owner of its port" "$(cat "$T/flows.out")" "wrong: 0 twice: 0"

same "flow count: as many" "$(xe_ctl flow count tcp)" \
	"$(json "$T/flows.json" "len([f for f in j['flows'] if f['proto'] == 'tcp'])")"

# Ports come and go while flows of both workers run.
for round in 1 2 3; do
	must on h ip link del vethc4
	sleep 0.2
	topo_container c4 10.1.0.5
	check "c4 comes again ($round)" within 2000 on c4 "$TCP_MANY" client -c 3 -u 30001 -d 30001 \
		$SRV1 9000
done
check "rules change meanwhile" xe_ctl rule add masquerade from 10.1.7.0/24 out eth0
check "and back" xe_ctl rule del masquerade from 10.1.7.0/24 out eth0
for n in many many2 many3; do
	bg_stop $n
	same "flows never noticed ($n)" "$(json "$T/$n.log" "[j['failed'], j['corrupt'], j['reset']]")" \
		"[0, 0, 0]"
done
xe_conserve

# One worker alone uses a whole range: 1000 UDP flows from one container, and the next has none.
check "1000 flows on 1000 Ext L4 ports" on c3 "$PY" - $SRV4 7004 <<'EOP'
import socket, sys, time
peer = (sys.argv[1], int(sys.argv[2]))
socks = []
for i in range(1000):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect(peer)
    s.settimeout(1)
    socks.append(s)
missing = list(range(1000))
for _ in range(4):
    for n, i in enumerate(missing):
        socks[i].send(b"n%06d" % i + bytes(50))
        if n % 20 == 19:
            time.sleep(0.01)
    left = []
    for i in missing:
        try:
            if socks[i].recv(100)[:7] != b"n%06d" % i:
                sys.exit("flow %d got another one's reply" % i)
        except OSError:
            left.append(i)
    missing = left
    if not missing:
        break
if missing:
    sys.exit("%d flows without a reply" % len(missing))
EOP
same "each has its own" "$(peers echo.w.7004 | sort -u | wc -l)" 1000
check "the next one has none" in_vain on c3 timeout 3 "$UDP_SEND" -p 1234 -s 1-3 -l 0 $SRV4 7004
xe_conserve

# A flood from one container; another one asks and is answered. Its own worker's neighbour floods.
xe_ctl status --json >"$T/status.json"
for flooder in c2 c3 c4; do
	[ "$(owner vethc1)" != "$(owner veth$flooder)" ] || break
done
bg flood $flooder "$UDP_SEND" -o -s 64 -t 3 -r 300000 $SRV2 9999
sleep 0.3
check "request and response beside a flood on the same worker" \
	on c1 "$UDP_SEND" -s 100 -t 2 -r 500 -l 20 $SRV1 7001
sed 's/^/# /' "$T/check.out"
bg_stop flood
xe_conserve

# Killed and started again: what the old one's frames and rings were is gone, all works.
xe_kill
xe_start
for c in 1 2 3; do
	check "after a crash: c$c" within 3000 on c$c "$TCP_MANY" client -c 3 -u 50001 -d 50001 \
		$SRV1 9000
done
xe_conserve
finish
