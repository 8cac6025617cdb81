#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# dispatcher.sh [frags], for run.sh: xegressd beside somebody else's XDP program.
#
#   c 10.1.0.2 ---- 10.1.0.1 in0 [h] up0 198.51.100.1 ---- 198.51.100.2 w
#
# foreign_pass sits on in0 and up0 first, by libxdp's dispatcher in generic mode; then xegressd
# attaches xe_steer beside it, carries a transfer, is taken over by another process, is killed, takes
# the place of what it left there, and leaves. With "frags" the foreign program can take superpackets. w has no route to 10.1.0.0/24: only translated packets get an answer.
# XE_BUILD names another folder with xegressd and xegressctl than build/.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/checks.sh"

build=${XE_BUILD:-${XE_REPO:-$here/../..}/build}
foreign=foreign_pass
kept=no
[ "${1-}" = frags ] && foreign=foreign_frags && kept=yes
# 8 MiB at 2 MiB/s: some 4 s in which the flow can be looked at while it lives. Nobody's speed is
# judged here.
file_mib=8
rate=2M
# The promise of 5 s for both is for a real CPU; an emulated one on a busy machine gets room.
start_s=40
stop_s=20

work=$(mktemp -d)
daemon_pid=
server_pid=
tear_down()
{
	[ -n "$daemon_pid" ] && kill -KILL "$daemon_pid" 2>/dev/null
	[ -n "$server_pid" ] && kill "$server_pid" 2>/dev/null
	clean_up
	rm -rf "$work"
}
trap tear_down EXIT

make_topology()
{
	c='' h='' w=''
	new_ns c && new_ns h && new_ns w || return 1
	ip link add eth0 netns "$c" type veth peer name in0 netns "$h"
	ip link add eth0 netns "$w" type veth peer name up0 netns "$h"
	ip -n "$c" addr add 10.1.0.2/24 dev eth0
	ip -n "$h" addr add 10.1.0.1/24 dev in0
	ip -n "$h" addr add 198.51.100.1/24 dev up0
	ip -n "$w" addr add 198.51.100.2/24 dev eth0
	ip -n "$c" link set eth0 up
	ip -n "$w" link set eth0 up
	ip -n "$h" link set in0 up
	ip -n "$h" link set up0 up
	ip -n "$c" route add default via 10.1.0.1
	in_ns "$h" sysctl -qw net.ipv4.ip_forward=1
}

ctl()
{
	"$build/xegressctl" --run-dir "$work/run" "$@"
}

start_daemon() # [OPTION]
{
	mkdir -p "$work/run"
	cat >"$work/xegress.yaml" <<-END
	workers: [0]
	wait: adaptive
	on-stop: clean
	ports:
	  - {name: in0, role: inside, allow: [10.1.0.0/24], xdp: generic}
	  - {name: up0, role: uplink, xdp: generic}
	rules:
	  - masquerade from 10.1.0.0/24 out up0
	END
	# Not by in_ns: $! of a function is a subshell. nsenter becomes the daemon, so $! is the daemon's.
	nsenter --net="/run/netns/$h" "$build/xegressd" -c "$work/xegress.yaml" --run-dir "$work/run" \
		"$@" >>"$work/daemon.log" 2>&1 &
	daemon_pid=$!
}

start_server()
{
	mkdir "$work/www"
	head -c "${file_mib}M" /dev/urandom >"$work/www/file"
	nsenter --net="/run/netns/$w" /usr/bin/python3 -u -m http.server -d "$work/www" 80 \
		>"$work/www.log" 2>&1 &
	server_pid=$!
	wait_for "$start_s" in_ns "$w" curl -s -o /dev/null http://127.0.0.1/
}

# Priority 10: before ours (50 is libxdp's default), or what we redirect would not reach it. xdp-loader
# 1.3 does not tell libxdp that a program takes fragments.
load_foreign()
{
	if [ "$kept" = no ]; then
		in_ns "$h" xdp-loader load -m skb -P 10 "$1" "$XE_BPF/$foreign.o"
		return
	fi
	in_ns "$h" /usr/bin/python3 - "$1" "$XE_BPF/$foreign.o" <<-'END'
	import ctypes, socket, sys
	xdp = ctypes.CDLL("libxdp.so.1")
	xdp.xdp_program__open_file.restype = ctypes.c_void_p
	prog = ctypes.c_void_p(xdp.xdp_program__open_file(sys.argv[2].encode(), b"xdp.frags", None))
	xdp.xdp_program__set_run_prio(prog, 10)
	err = xdp.xdp_program__set_xdp_frags_support(prog, ctypes.c_bool(True))
	skb_mode = 2
	err = err or xdp.xdp_program__attach(prog, socket.if_nametoindex(sys.argv[1]), skb_mode, 0)
	sys.exit(err and "libxdp: %d" % err)
	END
}

# Packets the kernel of h has forwarded: none of TCP while the service carries.
kernel_forwarded()
{
	in_ns "$h" cat /proc/net/snmp | awk '/^Ip: [0-9]/ { print $7 }'
}

offloads()
{
	in_ns "$c" ethtool -k eth0
	in_ns "$h" ethtool -k in0
	in_ns "$h" ethtool -k up0
}

same_file()
{
	cmp "$work/www/file" "$work/got" &&
		[ "$(sha256sum <"$work/www/file")" = "$(sha256sum <"$work/got")" ]
}

seen_grew()
{
	local now
	now=$(seen_packets foreign_seen)
	echo "from $1 to $now packets"
	# The download is 8 MiB in superpackets of at most 64 KiB, plus an ACK or so each.
	[ "$now" -gt "$(($1 + 100))" ]
}

flow_listed()
{
	local flows
	flows=$(ctl flow list) || return 1
	echo "$flows"
	grep 10.1.0.2 <<<"$flows" | grep 198.51.100.2 | grep -q 198.51.100.1
}

server_saw()
{
	cat "$work/www.log"
	grep -q "^198.51.100.1 .*GET /file" "$work/www.log" && ! grep -q "^10\." "$work/www.log"
}

not_forwarded()
{
	local now
	now=$(kernel_forwarded)
	echo "from $1 to $now packets"
	[ "$now" -eq "$1" ]
}

transfer()
{
	local seen forwarded curl_pid
	seen=$(seen_packets foreign_seen)
	forwarded=$(kernel_forwarded)
	nsenter --net="/run/netns/$c" curl -sS --max-time 60 --limit-rate "$rate" \
		-o "$work/got" http://198.51.100.2/file &
	curl_pid=$!
	check "flow list has the flow with its translation" wait_for 15 flow_listed
	check "download ends" wait "$curl_pid"
	check "sha256 of the download is the file's" same_file
	check "the server saw the uplink's address only" server_saw
	check "the kernel forwarded nothing: the service carried it" not_forwarded "$forwarded"
	check "the foreign program saw the packets, too" seen_grew "$seen"
}

old_is_gone()
{
	! kill -0 "$1" 2>/dev/null
}

# In the middle of a download. Ports in a dispatcher are attached anew when the old process has gone.
take_over()
{
	local old=$daemon_pid seen rc curl_pid
	seen=$(seen_packets foreign_seen)
	rm -f "$work/got"
	nsenter --net="/run/netns/$c" curl -sS --max-time 90 --limit-rate "$rate" \
		-o "$work/got" http://198.51.100.2/file &
	curl_pid=$!
	check "a flow to take over" wait_for 15 flow_listed
	start_daemon --takeover
	check "the old process goes" wait_for "$start_s" old_is_gone "$old"
	wait "$old"
	rc=$?
	check "with exit code 0" test "$rc" -eq 0
	check "status says that all is in force" wait_for "$start_s" ctl status
	check "the log says why ports are attached anew" \
		grep -q "port in0 is attached anew: its program is in libxdp's dispatcher" \
		"$work/daemon.log"
	check "the flow lives on" flow_listed
	check "the download goes on to its end" wait "$curl_pid"
	check "sha256 of it is the file's" same_file
	check "the foreign program saw it, too" seen_grew "$seen"
}

# superpackets PORT: what status says is $kept.
superpackets()
{
	ctl port list --json >"$work/ports" && /usr/bin/python3 - "$work/ports" "$1" "$kept" <<-'END'
	import json, sys
	ports = json.load(open(sys.argv[1]))["ports"]
	port = [p for p in ports if p["name"] == sys.argv[2]][0]
	print(port["superpackets"], port["superpackets_why"])
	want = sys.argv[3] == "yes"
	sys.exit(port["superpackets"] != want or (not want and "xdp.frags" not in port["superpackets_why"]))
	END
}

refuses_native()
{
	ctl port del in0 || return 1
	ctl port add in0 inside allow 10.1.0.0/24 xdp native 2>&1 | tee "$work/native"
	grep -q "attached in generic mode" "$work/native" || return 1
	# A port that cannot be attached is not kept.
	! ctl port list | grep -w in0
}

kill_daemon()
{
	kill -KILL "$daemon_pid"
	wait "$daemon_pid" 2>/dev/null
	daemon_pid=
}

# As where it is started again at once, which an emulated CPU cannot: 2^62 ns are some centuries ahead.
fresh_beats()
{
	local id ids
	ids=$(bpftool -j map show | /usr/bin/python3 -c 'import json, sys
print(*[m["id"] for m in json.load(sys.stdin) if m.get("name") == "beats"])')
	[ -n "$ids" ] || return 1
	for id in $ids; do
		bpftool map update id "$id" key 0 0 0 0 value 0 0 0 0 0 0 0 64 || return 1
	done
}

one_steer()
{
	[ "$(xdp_rows "$h" "$1" | grep -c xe_steer)" -eq 1 ]
}

no_folder()
{
	[ ! -e "$work/run/bpf" ]
}

stop_daemon()
{
	local at=$SECONDS rc
	kill -TERM "$daemon_pid" || return 1
	wait_for "$stop_s" eval "! kill -0 $daemon_pid" || return 1
	wait "$daemon_pid"
	rc=$?
	daemon_pid=
	echo "exit code $rc after $((SECONDS - at)) s"
	[ "$rc" -eq 0 ]
}

echo "kernel $(uname -r), $foreign"
for file in "$build/xegressd" "$build/xegressctl"; do
	check "there is $file" test -x "$file"
done
[ "$failed" -eq 0 ] || finish
make_topology || exit 1
start_server || exit 1
offloads >"$work/before"

for port in in0 up0; do
	check "foreign program loads on $port" load_foreign "$port"
done
start_daemon
check "status says that all is in force" wait_for "$start_s" ctl status
in_ns "$h" xdp-loader status
for port in in0 up0; do
	check "the dispatcher on $port calls foreign_pass" has_program "$h" "$port" foreign_pass
	check "the dispatcher on $port calls xe_steer" has_program "$h" "$port" xe_steer
done
transfer
for port in in0 up0; do
	check "superpackets of $port are said to be kept: $kept" superpackets "$port"
done
take_over
for port in in0 up0; do
	check "the dispatcher on $port calls foreign_pass after the takeover" \
		has_program "$h" "$port" foreign_pass
	check "one xe_steer on $port, the old process's is gone" one_steer "$port"
done
check "native mode beside a generic dispatcher is refused, with why" refuses_native
check "a port comes back beside the foreign program" \
	ctl port add in0 inside allow 10.1.0.0/24 xdp generic
# By netlink, so that it does not go with its process, and anybody can take it off.
check "somebody takes the dispatcher of in0 off" ip -n "$h" link set in0 xdpgeneric off
check "xe_steer is attached again" wait_for "$start_s" has_program "$h" in0 xe_steer
check "one of it" one_steer in0
check "the log has it" grep -q "port in0: its XDP program was taken off" "$work/daemon.log"
check "status says that all is in force" wait_for "$start_s" ctl status
# As an older libxdp wants it: ours out, the foreign one in, ours beside it.
check "a port is taken out" ctl port del in0
check "foreign program loads on in0 again" load_foreign in0
check "the port comes back beside it" ctl port add in0 inside allow 10.1.0.0/24 xdp generic
kill_daemon
check "after SIGKILL the dispatcher on in0 calls xe_steer still" has_program "$h" in0 xe_steer
check "its heartbeats are fresh" fresh_beats
start_daemon
check "status says that all is in force again" wait_for "$start_s" ctl status
for port in in0 up0; do
	check "one xe_steer on $port, the dead one is gone" one_steer "$port"
	check "the dispatcher on $port calls foreign_pass still" has_program "$h" "$port" foreign_pass
done
check "SIGTERM ends the service with 0" stop_daemon
check "its folder for the dispatcher is gone" no_folder
for port in in0 up0; do
	check "foreign_pass is still on $port" has_program "$h" "$port" foreign_pass
	check "xe_steer is gone from $port" has_no_program "$h" "$port" xe_steer
done
offloads >"$work/after"
check "offloads are as they were" cmp "$work/before" "$work/after"
if [ "$failed" -gt 0 ]; then
	echo "--- log of xegressd"
	tail -n 60 "$work/daemon.log"
	ctl status 2>&1
fi
finish
