#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# side-by-side
# explain for what comes from outside (dnat, nat, accept), between containers by an external address,
# of IPv6 and of fragments: each packet explained first and then sent, and answered by the container
# that explain named exactly when it said so; steer took it, left it or dropped it as explain said.
. "$(dirname "$0")/lib.sh"
. "$HERE/topo6.sh"
xe_only

N1=192.0.2.16
XE_RULES="dnat udp to $EXT:8000 dest $C1:7001
dnat udp to $EXT:8100-8109 in eth0 dest $C1:7100-7109,$C2:7100-7109
nat from $C1/32 to $SRV4/32 out eth0 source $N1/32
accept udp from $GW to $C2:7002 in eth0
kernel udp to $EXT:8200 in eth0
dnat udp to [$EXT6]:8000 dest [$C1_6]:7301
dnat udp to $EXT:8300 dest 10.9.9.9:7001
masquerade udp from $C2/32 out eth0 ports 22000-22999 filter endpoint-independent
masquerade from $INSIDE out eth0 ports 20000-20999
masquerade from $INSIDE6 out eth0 ports 20000-20999"
XE_PORTS="{name: vethc1, role: inside, allow: [$C1/32, \"$C1_6/128\"]}
{name: vethc2, role: inside, allow: [$C2/32, \"$C2_6/128\"]}
{name: eth0, role: uplink}"
JUDGE_ALLOW_DST=$GW
JUDGE_INSIDE6=$INSIDE6

topo_up
topo6_up
must on w ip route add $N1/32 via $EXT
judge_start
serve_echo c1 $C1 7001
serve_echo c2 $C2 7002
for c in c1 c2; do
	for p in 7100 7101 7102 7103; do
		ip=$C1
		[ $c = c2 ] && ip=$C2
		serve_echo $c $ip $p
	done
done
serve_echo w $SRV1 7009
serve_echo w $SRV4 7004
serve_echo w $SRV6 7309
serve_echo c1 $C1_6 7301
xe_start

cat >"$T/ask.py" <<'PY'
import socket, sys
src, sport, dst, dport, size = sys.argv[1:]
s = socket.socket(socket.AF_INET6 if ":" in dst else socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_IP, 15, 1)
s.bind((src, int(sport)))
s.settimeout(0.4)
try:
    s.connect((dst, int(dport)))
    s.send(b"x" * int(size))
    print("answered" if s.recv(65536) else "silent")
except OSError:
    print("silent")
PY
end() { case $1 in *:*) echo "[$1]:$2" ;; *) echo "$1:$2" ;; esac }

# NAME PORT NS SRC SPORT DST DPORT WANT [fragment]: `EXIT STEER RULE TARGET`, and what it means.
row() {
	local name=$1 port=$2 ns=$3 src=$4 sport=$5 dst=$6 dport=$7 want=$8 frag=${9:-}
	local out rc=0 said what size=30

	# shellcheck disable=SC2086 # none, or a word
	out=$(xe_ctl explain udp "$(end "$src" "$sport")" "$(end "$dst" "$dport")" in "$port" $frag \
		--json) || rc=$?
	said=$(json "$out" "' '.join([j['steer'], str((j.get('rule') or {}).get('number')), (lambda t: t['port'] + ':' + str(t['l4_port']) if t else '-')(j.get('target'))])")
	# shellcheck disable=SC2053 # a pattern
	if [[ "$rc $said" == $want ]]; then
		pass "$name: explain"
	else
		fail "$name: explain" "said \`$rc $said\`, wanted \`$want\`"
	fi
	[ -z "$frag" ] || size=3000
	xe_stats before
	what=$(on "$ns" "$PY" "$T/ask.py" "$src" "$sport" "$dst" "$dport" $size)
	if [ $rc = 0 ]; then
		same "$name: carried" "$what" answered
	else
		same "$name: not carried" "$what" silent
	fi
	xe_stats after
	same "$name: what steer did" "$("$PY" - "$T" "$port" <<'PY'
import json, sys
a, b = (json.load(open(f"{sys.argv[1]}/{n}.json")) for n in ("before", "after"))
p, q = (next(p for p in j["ports"] if p["name"] == sys.argv[2]) for j in (a, b))
print("taken" if q["redirected"] > p["redirected"] else "dropped" if q["dropped"] > p["dropped"] else "passed")
PY
	)" "$(case $said in TAKEN*) echo taken ;; DROP* | DENIED*) echo dropped ;; *) echo passed ;; esac)"
}

row "dnat" eth0 w $SRV1 5001 $EXT 8000 "0 TAKEN 1 vethc1:7001"
row "one of two targets, range one to one" eth0 w $SRV1 5002 $EXT 8101 "0 TAKEN 2 vethc?:7101"
row "its target by another source" eth0 w $SRV1 5003 $EXT 8102 "0 TAKEN 2 vethc?:7102"
row "one to one, in" eth0 w $SRV4 5004 $N1 7001 "0 TAKEN 3 vethc1:7001"
row "one to one, another peer" eth0 w $SRV1 5004 $N1 7001 "1 NOT_OWNED None -"
row "accept in the uplink" eth0 w $GW 5005 $C2 7002 "0 TAKEN 4 vethc2:7002"
row "kernel rule" eth0 w $SRV1 5006 $EXT 8200 "1 KERNEL_RULE 5 -"
row "a target that is nowhere" eth0 w $SRV1 5007 $EXT 8300 "1 TAKEN 7 :7001"
row "not published" eth0 w $SRV1 5008 $EXT 8999 "1 NOT_OWNED None -"
row "fragments to a published L4 port" eth0 w $SRV1 5009 $EXT 8000 "0 TAKEN 1 vethc1:7001" fragment
row "fragments from inside" vethc1 c1 $C1 5010 $SRV1 7009 "0 TAKEN 9 -" fragment
row "by an external address to another" vethc2 c2 $C2 5011 $EXT 8000 "0 TAKEN 1 vethc1:7001"
row "one to one, out" vethc1 c1 $C1 5012 $SRV4 7004 "0 TAKEN 3 -"
out=$(xe_ctl explain udp $C1:5013 $SRV4:7004 --json)
same "... as its own address, its own L4 port" \
	"$(json "$out" "j['translation']['first'], j['translation']['port_min'], j['translation']['port_max']")" \
	"('$N1', 5013, 5013)"
out=$(xe_ctl explain udp $C2:5014 $EXT:8000 --json)
same "between containers: the rule of the way out, too" "$(json "$out" "j['source_rule']['number']")" 8

# A mapping with a loose filter: c2's L4 port as the world sees it lets anybody in.
on c2 "$PY" -c "
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
s.bind(('$C2', 0))
s.sendto(bytes([0x1b, 0x5a, 0x1b, 0x62, 0, 9, 0, 0, 120]), ('$SRV1', 7010))" # 7002 -> 7010, nobody
sleep 0.2
out=$(xe_ctl explain udp $C2:7002 $SRV1:7010 --json)
ext=$(json "$out" "j['flow']['nat_src'].split(':')[1]")
row "a mapping with a loose filter" eth0 w $SRV2 5015 $EXT "$ext" "0 TAKEN None vethc2:7002"
row "an L4 port that nobody has" eth0 w $SRV2 5015 $EXT 22999 "1 NOT_OWNED None -"

# Forged (they are sent in conformance/cases/security.py).
for src in $C2 $EXT 127.0.0.1; do
	same "from outside as $src" \
		"$(xe_ctl explain udp $src:5030 $EXT:8000 in eth0 >/dev/null; echo $?)" 1
done

row "IPv6: masquerade" vethc1 c1 $C1_6 5021 $SRV6 7309 "0 TAKEN 10 -"
row "IPv6: dnat" eth0 w $SRV6 5020 $EXT6 8000 "0 TAKEN 6 vethc1:7301"
finish
