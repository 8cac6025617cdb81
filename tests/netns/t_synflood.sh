#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# A container sends SYNs of very many flows that never go on: to the very server and L4 port that its
# neighbour talks to (nobody answers), to many L4 ports of one that refuses, and to as many hosts.
# The neighbour notices nothing: live flows go on and lose nothing, new ones open, to known hosts and new ones. The
# service keeps no more sessions of the one than `sessions-per-source` (refused ones are closed: they
# stay as long as nobody needs the room) and no more memory than `sessions` is worth.
#
#	XE_FLOOD       flows (default 100000; tests/run_long.sh: 1000000)
#	XE_FLOOD_PPS   SYNs a second (default 60000, with a sanitizer or beside a second worker less; 0: as fast as
#	               it goes, and then two CPUs that also
#	               run both ends have none left for what a neighbour sends)
. "$(dirname "$0")/lib.sh"
xe_only
FLOOD=${XE_FLOOD:-100000}
PER_SOURCE=8192
SESSIONS=32768
SYN_FLOOD=$(tool syn_flood) || die "syn_flood does not build"
XE_EXTRA="limits: {sessions: $SESSIONS, sessions-per-source: $PER_SOURCE}"

flood() { # NAME OPTION...: from c1
	bg "$1" c1 "$SYN_FLOOD" -i eth0 -s $C1 -m "$GW_MAC" -n "$FLOOD" -r "${XE_FLOOD_PPS:-$((60000 / XE_SLOW / ${XE_WORKERS:-1}))}" "${@:2}"
}

rss_kb() { awk '/^VmRSS/ { print $2 }' "/proc/${PIDS[xegressd.$XE_RUN]}/status"; }

flows_of() { # ADDRESS: those that count
	xe_ctl flow list from "$1" --json >"$T/flows.json"
	"$PY" - "$T/flows.json" <<-'EOP'
	import json, sys
	text = open(sys.argv[1]).read()
	try:
	    flows = json.loads(text)
	    flows = flows.get("flows", []) if isinstance(flows, dict) else flows
	except ValueError:
	    flows = [json.loads(line) for line in text.splitlines()]
	print(sum(f.get("state") not in (None, "closed") for f in flows))
	EOP
}

# Small downloads, 8 beside each other; how many in 1000 succeed within 5 s, and how many there were.
# Every other one is from another of 200 hosts that the service may not know yet.
opens() { # SECONDS HOSTS
	on c2 "$PY" - "$1" "$2" <<-'EOP'
	import random, socket, sys, threading, time
	until, got, tried, why = time.time() + float(sys.argv[1]), [0] * 8, [0] * 8, {}
	def run(n):
	    while time.time() < until:
	        tried[n] += 1
	        host = "203.0.113.1"
	        if tried[n] % 2:
	            host = "%s.%d" % (sys.argv[2], random.randint(1, 200))
	        try:
	            s = socket.create_connection((host, 8080), 5)
	            s.sendall(b"GET /small HTTP/1.0\r\n\r\n")
	            body = b""
	            while True:
	                piece = s.recv(65536)
	                if not piece:
	                    break
	                body += piece
	            s.close()
	            got[n] += body.endswith(b"end of small")
	        except OSError as e:
	            why[str(e)] = why.get(str(e), 0) + 1
	threads = [threading.Thread(target=run, args=(n,)) for n in range(8)]
	[t.start() for t in threads]
	[t.join() for t in threads]
	print(sum(got) * 1000 // max(sum(tried), 1), sum(tried), why or "")
	EOP
}

under() { # NAME HOSTS OPTION...: a flood, and what the neighbour sees meanwhile
	local name=$1 hosts=$2 rate

	shift 2
	flood "$name" "$@"
	rate=$(opens "${XE_FLOOD_SECONDS:-3}" "$hosts")
	between "$name: new connections of a neighbour in 1000" "${rate%% *}" 990 1000
	between "$name: it tried" "$(cut -d' ' -f2 <<<"$rate")" 20 1000000
	check "$name: all SYNs went" bg_wait "$name"
	between "$name: sessions of the flooder" "$(flows_of $C1)" "${WANTED:-0}" $PER_SOURCE
	echo "# $name: $(tail -n 1 "$T/$name.log"), neighbour ${rate#* } connections"
	xe_ctl flow flush from $C1 >/dev/null
}

topo_up
judge_start
mkdir -p "$T/www"
{ head -c 4000 /dev/zero && printf 'end of small'; } >"$T/www/small"
serve_http 8080
serve_many w $SRV1 9000
for net in 203.0.114 203.0.115 203.0.116 203.0.117; do
	must on w ip route add local $net.0/24 dev lo
done
# A flooder's SYN has no options; to port 8080 it is swallowed.
must on w nft -f - <<<"table ip swallow {
	chain in {
		type filter hook input priority 0
		tcp dport 8080 tcp flags syn / syn,ack tcp doff 5 drop
	}
}"
xe_start
GW_MAC=$(ip_plain h -j link show vethc1 |
	"$PY" -c 'import json, sys; print(json.load(sys.stdin)[0]["address"])')

# 40 connections live through all of it, with a byte-exact transfer ten times a second each.
bg lives c2 "$TCP_MANY" client -c 40 -t 600 -g 100 -u 2000 -d 2000 $SRV1 9000
# TCP sends again what was lost; a numbered datagram that was lost is missed.
serve_echo w $SRV1 7001
bg numbered c2 "$UDP_SEND" -s 18-1400 -t 600 -r 300 $SRV1 7001
same "before: connections of the neighbour in 1000" "$(opens 1 203.0.117 | cut -d' ' -f1)" 1000
before=$(rss_kb)
xe_drops before
WANTED=$((PER_SOURCE / 8)) under same-server 203.0.114 -d $SRV1 -p 8080
WANTED=0 under refused 203.0.115 -d $SRV3 -p 10000 -P 20000
WANTED=$((PER_SOURCE / 8)) under hosts 203.0.116 -d 100.64.0.0 -D 20 -p 80
xe_drops after
bg_stop lives TERM
bg_stop numbered TERM
# Both CPUs are full of the two ends, and the neighbour's own connections fill its ring, too.
echo "# datagrams: $(tail -n 1 "$T/numbered.log")"
between "datagrams of the neighbour lost, in 1000" "$(json "$T/numbered.log" "1000 * j['lost'] // max(j['sent'], 1)")" 0 9
same "datagrams of the neighbour that are wrong" "$(json "$T/numbered.log" "j['corrupt']")" 0
between "datagrams of the neighbour" "$(json "$T/numbered.log" "j['sent']")" 1000 1000000
check "40 live connections lost not a byte" test "$(json "$T/lives.log" \
	"(j['opened'] == 40 and j['done'] == 40 and not j['failed'] and not j['corrupt'] and
	j['rounds'] > 400)")" = true
# A session with its index entries, live tags, next hop, mapping and source is some 600 bytes.
if [ "$XE_SLOW" = 1 ]; then
	between "memory, KiB more" $(($(rss_kb) - before)) -100000 $((SESSIONS * 600 / 1024 + 2048))
else
	skip "memory" "a sanitizer keeps what has been freed, and a shadow of it all"
fi
moved=$(xe_moved before after)
echo "# memory: $before KiB before, $(rss_kb) KiB after; counted: $moved"
check "the flooder met its limit" grep -q source_limit <<<"$moved"
check "nobody met the table's" grep -qv sessions_full <<<"$moved"
finish
