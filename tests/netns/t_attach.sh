#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# side-by-side
# What is already on an interface: a foreign program stays and is named, what a dead instance of ours
# has left is removed, what a live one has attached is not. One program serves all ports.
. "$(dirname "$0")/lib.sh"
xe_only
for need in bpftool clang; do
	command -v $need >/dev/null || skip_all "needs \`$need\`"
done

put_on() { # OBJECT: attach its program to vethc1 as others do, by netlink; its id goes to PROG
	local pin=/sys/fs/bpf/$ID

	bpftool prog load "$1" "$pin" && on h bpftool net attach xdpgeneric pinned "$pin" \
		dev vethc1 && PROG=$(json "$(bpftool -j prog show pinned "$pin")" "j['id']")
	local rc=$?
	rm -f "$pin"
	return $rc
}

take_off() { on h bpftool net detach xdpgeneric dev vethc1; }

map_of() { # PROG NAME: the map's id
	local id

	for id in $(json "$(bpftool -j prog show id "$1")" "' '.join(map(str, j['map_ids']))"); do
		[ "$(json "$(bpftool -j map show id "$id")" "j.get('name')")" != "$2" ] || echo "$id"
	done
}

add() { xe_ctl port add vethc1 inside allow $C1/32 >"$T/add.out" 2>&1; }
refused() { ! add && grep -q "$1" "$T/add.out"; } # TEXT
on_veth() { link_show h vethc1 | sed -n 's/.*prog\/xdp id \([0-9]*\).*/\1/p'; }
logged() { grep -q "$1" "$T/xegressd.$XE_RUN.log"; }
port() { json "$(xe_ctl port list --json)" "[p for p in j['ports'] if p['name'] == '$1'][0]['$2']"; }

[ "$(stat -f -c %t /sys/fs/bpf)" = cafe4a11 ] || skip_all "no bpf file system in /sys/fs/bpf"
clang -target bpf -O2 -g -I"/usr/include/$(uname -m)-linux-gnu" -c \
	"$ROOT/tests/qemu/foreign_pass.bpf.c" -o "$T/foreign.o" || die "the foreign program"
topo_up
judge_start
serve_many w $SRV1 9001
xe_snapshot >"$T/found.txt"
check "a program of a dead instance is there" put_on "$BUILD/gen/steer.bpf.o"
dead=$PROG
xe_start
check "the dead program was removed" logged "removing program $dead of a dead instance"
same "ours is in its place" "$(on_veth)" "$(port vethc1 prog_id)"
carried_begin
check "and carries" on c1 "$TCP_MANY" client -c 5 -u 30001 -d 30001 $SRV1 9001
carried_end "after the dead one"
same "all ports have the same program" "$(port vethc1 prog_id) $(port vethc2 prog_id)" \
	"$(port eth0 prog_id) $(port eth0 prog_id)"

# While it runs, it may not look at others' programs: the number has to do (confine.h).
check "a port is removed" xe_ctl port del vethc1
same "and nothing is left on it" "$(on_veth)" ""
check "a foreign program is attached" put_on "$T/foreign.o"
check "the port is refused, the program named by its id" refused "XDP program.*(id $PROG)"
same "the foreign program is still there" "$(on_veth)" "$PROG"
must take_off
check "the port is attached when it has gone" add

xe_stop
check "a foreign program is attached before the start" put_on "$T/foreign.o"
xe_begin
check "the port is refused, the program named" within 5000 logged \
	"\`foreign_pass\` (id $PROG, loaded by uid 0)"
same "the foreign program is still there" "$(on_veth)" "$PROG"
xe_stop
must take_off
check "a program of another instance is there" put_on "$BUILD/gen/steer.bpf.o"
beats=$(map_of "$PROG" beats)
# A heartbeat of some centuries ahead: 2^62 ns.
must bpftool map update id "$beats" key 0 0 0 0 value 0 0 0 0 0 0 0 64
xe_begin
check "the port is refused while it lives" within 5000 logged "another xegress instance"
same "and its program is still there" "$(on_veth)" "$PROG"
xe_stop
must bpftool map update id "$beats" key 0 0 0 0 value 0 0 0 0 0 0 0 0
xe_start
check "it is attached when the other one is dead" logged "removing program $PROG of a dead instance"
xe_stop

# Killed a moment ago: its heartbeats are fresh, but it had the lock that is ours now.
own() { # MAP: steer_conf becomes that of a service with our lock
	"$PY" - "$1" "$T/run/lock" <<-'EOP'
	import json, os, subprocess, sys
	raw = subprocess.check_output(["bpftool", "-j", "map", "lookup", "id", sys.argv[1], "key", "0", "0", "0", "0"])
	value = [int(b, 16) for b in json.loads(raw)["value"]]
	lock = os.stat(sys.argv[2])
	value[-16:] = lock.st_dev.to_bytes(8, "little") + lock.st_ino.to_bytes(8, "little")
	subprocess.check_call(["bpftool", "map", "update", "id", sys.argv[1], "key", "0", "0", "0", "0", "value"] +
		[str(b) for b in value])
	EOP
}
check "a program of an instance that was killed just now is there" put_on "$BUILD/gen/steer.bpf.o"
must bpftool map update id "$(map_of "$PROG" beats)" key 0 0 0 0 value 0 0 0 0 0 0 0 64
must own "$(map_of "$PROG" steer_conf)"
xe_start
check "it is known for dead by its lock" logged "removing program $PROG of a dead instance"
same "ours is in its place at once" "$(on_veth)" "$(port vethc1 prog_id)"
finish
