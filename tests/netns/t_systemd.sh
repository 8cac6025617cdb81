#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# In make check-long: 40 s of load.
#
# The unit as `make install` puts it there, under a real systemd: init of a process namespace whose root is
# the machine's with what was installed laid over it. Started, killed, reloaded as an upgrade, stopped, with
# all of its hardening, while connections go on.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/takeover.sh"
xe_only
[ -x /lib/systemd/systemd ] || skip_all "no systemd"
INIT=

sd() { nsenter -t "$INIT" -m -p -n -C env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"; }
ctl() { sd xegressctl "$@"; }
is() { [ "$(sd systemctl show -P "$1" xegress)" = "$2" ]; }
property() { sd systemctl show -P "$1" xegress; }
unit_log() { sd cat /run/xegress.log; }
said() { unit_log | grep -c "$1"; }
is_init() { INIT=$(pgrep -P "${PIDS[systemd]}" -x systemd) && sd systemctl is-system-running | grep -qE "running|degraded"; }

install_it() {
	must make -s -C "$ROOT" BUILD="$BUILD" DESTDIR="$T/root" install
	mkdir -p "$T/root/etc/xegress" "$T/root/etc/systemd/system/xegress.service.d" "$T/space"
	xe_conf >"$T/root/etc/xegress/xegress.yaml"
	# The upgrade of operations.md; a patience that a test has; a log without a journal.
	# And no udev, which would give the veths other addresses.
	cat >"$T/root/etc/systemd/system/xegress.service.d/test.conf" <<-EOF
		[Unit]
		DefaultDependencies=no
		[Service]
		NotifyAccess=all
		ExecReload=
		ExecReload=/usr/sbin/xegressd --takeover --detach
		WatchdogSec=3
		StandardError=append:/run/xegress.log
		StandardOutput=append:/run/xegress.log
	EOF
	printf '[Unit]\nDescription=nothing but what is asked for\n' >"$T/root/etc/systemd/system/bare.target"
	cat >"$T/init.sh" <<-EOF
		set -e
		mount --make-rprivate /
		mount -t tmpfs tmpfs $T/space
		mkdir $T/space/up $T/space/work $T/space/new
		cp -a $T/root/. $T/space/up
		mount -t overlay overlay -o lowerdir=/,upperdir=$T/space/up,workdir=$T/space/work $T/space/new
		cd $T/space/new
		mount -t proc proc proc
		mount -t sysfs sysfs sys
		mount -t cgroup2 cgroup2 sys/fs/cgroup
		mount -t bpf bpf sys/fs/bpf
		mount --rbind /dev dev
		mount -t tmpfs tmpfs run
		mount -t tmpfs tmpfs tmp
		pivot_root . mnt
		umount -l mnt
		exec env -i container=scenario PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot . \
			/lib/systemd/systemd --system --unit=bare.target --log-target=console
	EOF
	bg systemd h unshare -m -p -f -u -i -C bash "$T/init.sh"
	within 10000 is_init || die "no systemd as init here: $(tail -n 1 "$T/systemd.log")"
	is_init
}

topo_up
judge_start
load_servers
XE_ON_STOP=handback
xe_snapshot >"$T/found.txt"
install_it

check "systemctl start" sd systemctl start xegress
same "it is active" "$(property ActiveState)" active
check "and in force" ctl status
same "confined by seccomp" "$(sd awk '/^Seccomp:/ { print $2 }' "/proc/$(property MainPID)/status")" 2
same "with no more than six capabilities" "$(sd awk '/^CapBnd:/ { print $2 }' "/proc/$(property MainPID)/status")" \
	"$(printf '%016x' $((1 << 12 | 1 << 13 | 1 << 39 | 1 << 38 | 1 << 14 | 1 << 23)))"

# What a connection that begins in between finds is the kernel's masquerade.
load_begin $((18 * XE_SLOW))
sleep 1
before=$(property MainPID)
check "systemctl kill -s KILL" sd systemctl kill -s KILL xegress
check "systemd starts it again" within 3000 is NRestarts 1
check "it is ready again" within 5000 is SubState running
same "by another process" "$([ "$(property MainPID)" != "$before" ] && echo yes)" yes
check "which has its flows" within 2000 eval '[ "$(said "flows of the kernel go on here")" -ge 1 ]'

for n in 1 2; do
	before=$(property MainPID)
	check "systemctl reload: an upgrade ($n)" sd systemctl reload xegress
	check "by another process ($n)" within 5000 eval '[ "$(property MainPID)" != '"$before"' ]'
	same "it is active ($n)" "$(property ActiveState)" active
done
same "two took over" "$(said "took the service over")" 2
# More than twice what the watchdog waits for a beat.
sleep $((8 * XE_SLOW))
same "the successor beats: systemd has not started it anew" "$(property NRestarts)" 1
same "and is active" "$(property ActiveState)" active
load_end 20000 # a second of the kernel's path at the kill

check "systemctl stop" sd systemctl stop xegress
same "the end" "$(property ActiveState) $(property Result)" "inactive success"
same "no program is left" "$(on h ip -d link show | grep -c 'prog/xdp')" 0
check "clean" sd xegressd --clean
unit_log | sed 's/^/# /' >"$T/xegressd.1.log"
# (/sys is not that of init's network namespace here: no receive packet steering.)
same "nothing was refused by the sandbox" \
	"$(grep -v 'rps: not set' "$T/xegressd.1.log" | grep -ciE 'permitted|read-only|denied')" 0
same "the last of it is said once" "$(grep -c "handback: .* flows go on in the kernel" "$T/xegressd.1.log")" 1
xe_left_as_found
kill -KILL "$INIT"
bg_wait systemd
finish
