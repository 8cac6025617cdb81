# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Second stage of the guest's start, process 1, sourced by the start file that run.sh writes, which
# sets `modules` (a kernel's lib/modules) and `command` (what to run). Finishes the file systems,
# loads modules, runs the command, leaves its exit code in the share, and ends the machine.

# Everything the tests touch. The kernel also loads what it misses by itself; a list is quicker than
# that, and says at once when a kernel lacks one.
guest_modules=(veth tun bridge br_netfilter virtio_net
	nf_conntrack nf_nat nf_tables nft_ct nft_masq nft_nat nft_chain_nat nft_fib_inet
	nft_reject_inet nft_limit nft_log nft_numgen nft_hash nf_conntrack_netlink
	inet_diag tcp_diag udp_diag af_packet_diag xsk_diag
	sch_netem sch_tbf sch_htb sch_ingress cls_bpf)

mount_all()
{
	mkdir -p /dev/pts /dev/shm /run/lock /run/netns /lib/modules
	mount -t devpts -o mode=620,ptmxmode=666 devpts /dev/pts
	mount -t tmpfs -o mode=1777 shm /dev/shm
	mount -t bpf -o mode=700 bpf /sys/fs/bpf
	mount -t cgroup2 cgroup2 /sys/fs/cgroup
	mount -t tracefs tracefs /sys/kernel/tracing
	mount --bind "$modules" /lib/modules
}

# Device of run.sh's output: the virtio-serial port of that name.
find_out()
{
	local port

	for port in /sys/class/virtio-ports/*; do
		[ "$(cat "$port/name" 2>/dev/null)" = xe.out ] && echo "/dev/${port##*/}"
	done
}

mount_all
chmod 666 /dev/net/tun 2>/dev/null || true # as udev does it
modprobe -a "${guest_modules[@]}"
ip link set lo up
hostname xe-guest
cut -d' ' -f1 /proc/uptime >/run/xe-qemu/up
cd "$XE_REPO" || echo "guest: no $XE_REPO"

# Through a fifo, not straight into the port: a program may open its /dev/stdout again, which a port
# refuses, and a process left behind must not keep us from ending.
mkfifo /run/xe-out
cat /run/xe-out >"$(find_out)" &
cat_pid=$!
"${command[@]}" </dev/null >/run/xe-out 2>&1
rc=$?
# 2 s is plenty for cat to take what is in the fifo.
for _ in {1..20}; do
	kill -0 "$cat_pid" 2>/dev/null || break
	sleep 0.1
done
echo "$rc" >/run/xe-qemu/rc
sync
# -f: straight to the kernel; there is nothing to stop first.
/bin/busybox poweroff -f
