#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# side-by-side
# Every verb of xegressctl from outside: exit codes, the JSON of the contract, what a change really does
# to traffic, that a refused one does nothing, and that flows live through changes that are not theirs.
. "$(dirname "$0")/lib.sh"
xe_only

XE_PORTS="{name: vethc1, role: inside, allow: [$C1/32]}
{name: eth0, role: uplink}"
XE_LINKS="vethc1 eth0"
XE_CONTAINERS=c1
XE_EXTRA="ctl-group: nogroup
deny-ports: [dummy8]"

shape() { # VERB WORD...: run it with --json and compare with the contract; the words of a verb are 1 or 2
	local verb=$1 words

	shift
	read -ra words <<<"$verb"
	xe_ctl "${words[@]}" "$@" --json >"$T/shape.json" || return
	"$PY" "$HERE/ctl_shape.py" $verb <"$T/shape.json"
}

exits() { # NAME CODE PATTERN WORD...: exit code, and one line on stderr that matches
	local name=$1 want=$2 pattern=$3 rc=0

	shift 3
	xe_ctl "$@" >"$T/exits.out" 2>"$T/exits.err" || rc=$?
	same "$name: exit code" $rc "$want"
	if [ -n "$pattern" ]; then
		check "$name: says why" grep -qE "^xegressctl: .*$pattern" "$T/exits.err"
		same "$name: in one line" "$(wc -l <"$T/exits.err")" 1
	fi
}

ask() { json "$(xe_ctl "${@:2}" --json 2>/dev/null)" "$1"; } # EXPRESSION VERB...
rules() { ask "' | '.join(r['text'] for r in j['rules'])" rule list; }
port() { ask "[p for p in j['ports'] if p['name'] == '$1'][0]['$2']" port list; } # NAME MEMBER
ports() { ask "' '.join(sorted(p['name'] for p in j['ports']))" port list; }
mappings() { ask "' '.join(sorted(f['src'] + '>' + f['nat_src'] for f in j['flows']))" flow list "$@"; }
audited() { grep -cE "audit: uid=$1 pid=[0-9]+ $2" "$T/xegressd.1.log"; } # UID PATTERN
as() { # UID GID VERB...: the tool as somebody else
	setpriv --reuid="$1" --regid="$2" --clear-groups "$T/xegressctl" --run-dir "$T/run" "${@:3}"
}
fails() { ! "$@"; }
udp() { on "$1" "$UDP_SEND" -s 1-20 -r 2000 -w 500 "${@:2}"; }

topo_up
must ip link add dummy9 netns "$ID-h" type veth peer name dummy8 netns "$ID-h"
judge_start
serve_many w 0.0.0.0 9001
serve_echo w $SRV1 7001
serve_echo w $SRV2 7002
exits "no service" 1 "" status
xe_start
start_config=$(xe_ctl config)

# ---- verbs that show

check "TCP" on c1 "$TCP_MANY" client -c 3 -u 30001 -d 30001 $SRV1 9001
check "UDP" udp c1 $SRV1 7001
for verb in status "port list" "rule list" config "flow list" "flow count" drops stats check; do
	check "shape of $verb" shape "$verb"
done
same "flow count" "$(ask "(j['count'], j['tcp'], j['udp'])" flow count)" "(4, 3, 1)"
same "flow count: the limit" "$(ask "j['limit']" flow count)" 1048576
same "flow list udp: ends as inside and outside see them" "$(ask "[(f['in'], f['src'].split(':')[0],
	f['dst'], f['out'], f['nat_src'].split(':')[0], f['nat_dst'], f['state'], f['rule'],
	f['packets'], f['back_packets']) for f in j['flows']]" flow list udp)" \
	"[[\"vethc1\", \"$C1\", \"$SRV1:7001\", \"eth0\", \"$EXT\", \"$SRV1:7001\", \"open\", 1, 20, 20]]"
same "flow list: the L4 port that the server saw" "$(ask "j['flows'][0]['nat_src']" flow list udp)" \
	"$(peers echo.w.7001 | sort -u)"
same "filter: port" "$(xe_ctl flow count port eth0) $(xe_ctl flow count port vethc1)" "4 4"
same "filter: all of it" "$(xe_ctl flow count tcp from $C1/32 to 203.0.113.0/24 port eth0)" 3
same "filter: none" "$(xe_ctl flow count from $C2/32)" 0
exits "filter: a word twice" 2 "unexpected .tcp." flow list tcp tcp
exits "filter: no prefix" 2 "after .from." flow list from nonsense
exits "filter: no such port" 2 "no port" flow list port nope
same "rule list counts flows" "$(ask "j['rules'][0]['flows']" rule list)" 4
same "drops: every reason once" "$(ask "len(j['reasons']) - len({(r['at'], r['reason'])
	for r in j['reasons']})" drops)" 0
same "drops: what was taken" "$(ask "[r['count'] > 0 for r in j['reasons']
	if r['reason'] == 'TAKEN'][0]" drops)" true
check "config loads" "$BUILD/xegressd" --check -c <(echo "$start_config")
exits "unknown verb" 2 "" frobnicate
exits "too many words" 2 "" stats now

# ---- flow flush

same "flow flush udp: count" "$(ask "j['count']" flow flush udp)" 1
same "flow flush udp: the others stay" "$(ask "(j['tcp'], j['udp'])" flow count)" "(3, 0)"
check "a flushed flow starts anew" udp c1 $SRV1 7001
check "shape of flow flush" shape "flow flush" from $C2/32
same "flow flush: all" "$(xe_ctl flow flush >/dev/null && xe_ctl flow count)" 0

# ---- ports

same "what is no port is the kernel's" "$(link_show h vethc2 | grep -c xdp)" 0
check "shape of port add" shape "port add" vethc2 inside allow $C2/32,10.1.7.0/24
same "port add: attached" "$(port vethc2 state)" attached
same "port add: allow" "$(port vethc2 allow)" "[\"$C2\", \"10.1.7.0/24\"]"
carried_begin
check "port add: carries" udp c2 $SRV1 7001
carried_end "port add"
exits "port add: twice" 1 "named by ports" port add vethc2 inside
exits "port add: no such interface" 1 "nope: no such interface" port add nope inside
exits "port add: is down" 1 "dummy9: the interface is down" port add dummy9 inside
exits "port add: denied" 1 "denied by deny-ports" port add dummy8 inside
exits "port add: role" 2 "expected inside or uplink" port add dummy9 outside
exits "port add: words" 2 "unexpected .mtu" port add dummy9 inside mtu 9
exits "port add: prefix" 2 "after .allow." port add dummy9 inside allow 10.1.0.0/33
exits "port add: allow of an uplink" 1 "an uplink has no allowed sources" \
	port add dummy9 uplink allow 10.0.0.0/8
exits "port del: no such port" 1 "no port .nope." port del nope
exits "port del: named by a rule" 1 "names no port" port del eth0
same "refused: ports as before" "$(ports)" "eth0 vethc1 vethc2"
same "refused: eth0 is attached" "$(port eth0 state)" attached
same "refused: nothing on dummy9" "$(link_show h dummy9 | grep -c xdp)" 0

# Somebody else's program stays where it is, and what was asked for is taken back.
must on h ip link set dummy9 up
must on h ip link set dummy8 up
cat >"$T/foreign.c" <<-'EOC'
	__attribute__((section("xdp"), used)) int foreign_pass(void *ctx) { return 2; }
	char _license[] __attribute__((section("license"), used)) = "GPL";
EOC
if clang -target bpf -O2 -g -c "$T/foreign.c" -o "$T/foreign.o" 2>"$T/foreign.err" &&
	on h ip link set dev dummy9 xdpgeneric obj "$T/foreign.o" sec xdp 2>>"$T/foreign.err"; then
	foreign=$(link_show h dummy9 | grep -o 'prog/xdp id [0-9]*')
	exits "port add: a foreign program" 1 "XDP program .*.id [0-9]+" \
		port add dummy9 inside allow 10.9.0.0/16
	same "port add: the foreign program stays" \
		"$(link_show h dummy9 | grep -o 'prog/xdp id [0-9]*')" "$foreign"
	same "port add: taken back" "$(ports)" "eth0 vethc1 vethc2"
	check "port add: taken back, status is content" xe_ctl status
	must on h ip link set dev dummy9 xdpgeneric off
else
	skip "port add: a foreign program" "$(tail -n 1 "$T/foreign.err")"
fi

check "shape of port del" shape "port del" vethc2
same "port del: gone" "$(ports)" "eth0 vethc1"
same "port del: nothing is attached" "$(link_show h vethc2 | grep -c xdp)" 0
same "port del: its flows have ended" "$(xe_ctl flow count from $C2/32)" 0

# A glob, and one of its ports taken out and put back.
check "port add of a glob" xe_ctl port add "vethc*" inside allow $INSIDE
same "glob: has caught it" "$(port vethc2 entry) $(port vethc2 state)" "vethc* attached"
same "glob: an explicit name beats it" "$(port vethc1 entry)" vethc1
check "port del of one that a glob has caught" xe_ctl port del vethc2
same "port del: not caught again" "$(ports)" "eth0 vethc1"
check "config says so" grep -q "deny-ports: .*vethc2" <(xe_ctl config)
check "port add of it" xe_ctl port add vethc2 inside allow $C2/32
same "port add: denied no more" "$(xe_ctl config | grep -c 'deny-ports: .*vethc2')" 0
check "port del of the glob" xe_ctl port del "vethc*"
same "both stay by their own entries" "$(port vethc1 state) $(port vethc2 state)" "attached attached"

# ---- rules, under flows that must not notice

bg flows c1 "$TCP_MANY" client -c 4 -t 60 -g 20 -u 20000 -d 20000 $SRV1 9001
within 3000 test "$(xe_ctl flow count tcp)" = 4
sleep 0.3
before=$(mappings tcp)
check "shape of rule add" shape "rule add" at 1 drop from $C2/32 to $SRV2/32
check "rule add: in force" fails udp c2 $SRV2 7002
check "rule add: counted as a drop" test \
	"$(ask "[r['count'] for r in j['reasons'] if r['reason'] == 'DROP_RULE'][0]" drops)" -gt 0
same "rule add at 1" "$(xe_ctl rule add at 1 kernel tcp to $SRV3/32:25)" "1 kernel tcp to $SRV3:25"
same "rule list" "$(rules)" \
	"kernel tcp to $SRV3:25 | drop from $C2 to $SRV2 | masquerade from $INSIDE out eth0 ports 20000-29999"
same "flows name their rule by its new number" \
	"$(ask "sorted({f['rule'] for f in j['flows']})" flow list tcp)" "[3]"
exits "rule add: grammar" 2 "expected" rule add drop fro $C2/32
exits "rule add: names no port" 1 "names no port" rule add masquerade out eth7
exits "rule add: never reached" 1 "never reached" rule add drop tcp to $SRV3/32:25
# The ranges of a refused rule are not kept: the safety net could not be made any more.
exits "rule add: leaves the kernel no L4 port" 1 "L4 port" \
	rule add at 1 masquerade from $C2/32 to 192.0.2.0/24 out eth0 ports 1024-65535
check "rule add: the next one is in force" xe_ctl rule add at 1 masquerade from $C2/32 to 192.0.2.0/24 out eth0
check "rule del: and goes again" xe_ctl rule del masquerade from $C2/32 to 192.0.2.0/24 out eth0
exits "rule add: no such place" 2 "from 1 to 4" rule add at 9 drop to 192.0.2.9/32
exits "rule add: no place" 2 "from 1 to 4" rule add at the drop to 192.0.2.9/32
exits "rule del: no such number" 1 "no rule 4" rule del 4
exits "rule del: no such rule" 1 "no such rule" rule del drop to 192.0.2.9/32
exits "rule del: words" 2 "expected" rule del this
same "refused: rules as before" "$(ask "j['count']" rule list)" 3
check "shape of rule del" shape "rule del" 1
same "rule del by its words" "$(xe_ctl rule del drop from $C2/32 to $SRV2/32)" "1 drop from $C2 to $SRV2"
same "rules as at the start" "$(rules)" "masquerade from $INSIDE out eth0 ports 20000-29999"
check "rule del: what it dropped goes again" udp c2 $SRV2 7002

# The rule that carries the flows goes and comes: they are not touched, and it has a new number.
xe_ctl rule add masquerade from $C1/32 out eth0 ports 30000-30999 >/dev/null
check "rule del of the rule that carries" xe_ctl rule del 1
same "its flows have none" "$(ask "[f['rule'] for f in j['flows']]" flow list tcp)" \
	"[null, null, null, null]"
check "new flows go by the other" udp c1 $SRV2 7002
same "seen from outside" "$(peers echo.w.7002 | tail -n 1 | sed 's/.*:30[0-9][0-9][0-9]$/30/')" 30
xe_ctl rule del 1 >/dev/null && xe_ctl rule add masquerade from $INSIDE out eth0 ports 20000-29999 >/dev/null
same "rules changed: same L4 ports" "$(mappings tcp)" "$before"
check "rules changed: flows go on" running flows

# ---- apply: the difference, all of it, or nothing

program=$(port vethc1 prog_id)
running_config=$(xe_ctl config)
file=$T/apply.yaml
xe_ctl config >"$file"
same "apply of what runs changes nothing" "$(ask "j['changes']" apply "$file")" "[]"
sed -i "/name: vethc2/d; s/udp: 300s/udp: 90s/; s/sessions-per-source: 16384/sessions-per-source: 99/
	s/^rules:/rules:\n  - drop from $C1 to $SRV3/" "$file"
check "shape of apply" shape apply "$file"
same "apply: exactly the difference" \
	"$(json "$T/shape.json" "' | '.join('%s %s' % (c['what'], c['change']) for c in j['changes'])")" \
	"port removed | rule added | setting changed | setting changed"
same "apply: the port" "$(ports)" "eth0 vethc1"
same "apply: the other port was not touched" "$(port vethc1 prog_id)" "$program"
check "apply: the rule" fails udp c1 $SRV3 7002
udp c1 $SRV1 7001 >/dev/null
between "apply: the timer" "$(ask "[f['expires_ms'] for f in j['flows']
	if f['dst'] == '$SRV1:7001'][-1]" flow list udp)" 80000 90000
between "apply: the timer of flows that were there" "$(ask "max(f['expires_ms']
	for f in j['flows'])" flow list udp)" 0 90000
same "apply: same L4 ports" "$(mappings tcp)" "$before"
check "apply: flows go on" running flows
check "apply by pipe, back" xe_ctl apply - <<<"$running_config"
same "apply, back: all as it was" "$(xe_ctl config)" "$running_config"

printf 'ports: []\nrules:\n  - masquerade out eth0\n' >"$file"
exits "apply: an error names file, line and key" 1 "$file:3: rules\[0\]: " apply "$file"
sed 's/^wait: .*/wait: busy/' <<<"$running_config" >"$file"
exits "apply: needs a restart" 1 "$file:[0-9]+: wait: .*restart to change it" apply "$file"
sed 's/sessions: 1048576/sessions: 4096/; s/udp: 300s/udp: 200s/' <<<"$running_config" >"$file"
exits "apply: needs a restart, nested" 1 "$file:[0-9]+: limits.sessions: .*restart" apply "$file"
sed 's/^ports:/ports:\n  - {name: eth7, role: uplink}/' <<<"$running_config" >"$file"
exits "apply: an interface that is not there" 1 "$file:[0-9]+: ports\[0\].name: .eth7. .*no such interface" \
	apply "$file"
# Known only when it is tried: the port of the flows, which the file takes out, must not pay for it.
must on h ip tuntap add tt0 mode tun
must on h ip link set tt0 up
sed '/name: vethc1/d; s/^ports:/ports:\n  - {name: tt0, role: inside, allow: [10.9.0.0\/16]}/' \
	<<<"$running_config" >"$file"
exits "apply: a port that cannot be attached" 1 "$file:[0-9]+: ports\[0\].name: .tt0. .*Ethernet" \
	apply "$file"
must on h ip link del tt0
same "apply refused: the port it takes out never left" "$(port vethc1 prog_id)" "$program"
exits "apply: no file" 1 "nowhere" apply "$T/nowhere"
same "apply refused: nothing has changed" "$(xe_ctl config)" "$running_config"
same "apply refused: same L4 ports" "$(mappings tcp)" "$before"
same "apply refused: status is content" "$(xe_ctl status >/dev/null 2>&1 && echo yes)" yes
check "flows never noticed" bg_stop flows
sed 's/^/# /' "$T/flows.log"

# ---- status tells the truth

must on h ip link del vethc2
check "a port is gone: status exits 1" within 2000 fails xe_ctl status
exits "a port is gone" 1 "not in force: port vethc2: waiting: no such interface" status
xe_ctl status --json >"$T/status.json" 2>/dev/null
check "a port is gone: shape" "$PY" "$HERE/ctl_shape.py" status <"$T/status.json"
exits "a rule for a port that is gone" 1 "vethc2 is not attached: no such interface" \
	rule add at 1 drop in vethc2 to 192.0.2.9/32
exits "port del of it" 0 "" port del vethc2
check "a port is gone, and its entry: status is content" xe_ctl status
must on h sysctl -q -w net.ipv4.ip_forward=0
exits "forwarding is off" 1 "not in force: forwarding: net.ipv4.ip_forward is 0" status
exits "forwarding is off: check" 1 "" check
must on h sysctl -q -w net.ipv4.ip_forward=1
check "forwarding is on: check" xe_ctl check
must on h nft delete table inet "$(ask "j['safety_net']['table']" status)"
exits "no safety net" 1 "not in force: safety net: absent" status
check "the safety net comes back by itself" within 8000 xe_ctl status
topo_container c2 $C2

# ---- who may do what

cp "$BUILD/xegressctl" "$T/xegressctl"
chmod 755 "$T" "$T/run"
gid=$(getent group nogroup | cut -d: -f3)
check "a reader may look" as 12345 "$gid" status --json
check "a reader may look at flows" as 12345 "$gid" flow list
check "a reader may not change" fails as 12345 "$gid" rule add drop to 192.0.2.9/32
check "a reader may not flush" fails as 12345 "$gid" flow flush
check "a stranger may not look" fails as 12345 12345 status
same "refused to others: rules as before" "$(rules)" "masquerade from $INSIDE out eth0 ports 20000-29999"
same "audit: a change, and by whom" "$(audited 0 'rule add at 1 kernel tcp to .*: done')" 1
same "audit: what was refused" "$(audited 0 'port add nope inside: refused: .*no such interface')" 1
same "audit: a reader's try" "$(audited 12345 'rule add drop to .*: refused')" 1
check "audit: attach and detach" test "$(grep -cE 'audit: uid=0 pid=[0-9]+ (attach|detach) port vethc2' \
	"$T/xegressd.1.log")" -ge 4
same "audit: looking leaves none" "$(audited '[0-9]+' '(status|stats|flow list|config)')" 0

finish
