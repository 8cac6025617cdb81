#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# run.sh [--kernel 6.12|6.1] [--timeout SECONDS] SCRIPT [ARG...]
#
# Runs SCRIPT on another kernel: boots one of Debian's kernels under QEMU's software emulation (no
# KVM needed), with this machine's own root folder as the guest's root, so that every program
# installed here is there too. For what the running kernel cannot show, such as libxdp's
# dispatcher where lockdown refuses freplace.
#
# What SCRIPT finds:
#   - this machine's files at the paths they have here, the repository included. They are read
#     only by 9p; an overlay on a tmpfs takes what is written, and is gone afterwards;
#   - a fresh /run, /dev, /proc, /sys, bpffs, cgroup2; one CPU; no network device but lo;
#   - XE_QEMU=1, XE_REPO (the repository, also the working folder), XE_BPF (the folder with the
#     compiled tests/qemu/*.bpf.c), XE_RESULTS (what is put there is copied to the folder that
#     XE_QEMU_RESULTS names here), and what else is exported as XE_....
#
# Standard output and error of SCRIPT come out here on standard output as they are written.
# Exit code: SCRIPT's own; 124 after the time limit; 125 when the guest could not be made or died
# (its console is then shown); 2 on usage.
#
# Kernels are downloaded once into build/qemu/ (XE_QEMU_CACHE names another place), never installed.
set -u

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/../.." && pwd)
cache=${XE_QEMU_CACHE:-$repo/build/qemu}
. "$here/kernel.sh"

# 300 s: a boot takes 6 to 17 s under emulation and our longest script about 50; the rest is room
# for a busy machine.
limit_s=300
series=6.12
# 2 GiB: the overlay's tmpfs, 9p's page cache and a UMEM of 64 MiB fit several times over.
mem_mib=2048

usage()
{
	echo "usage: run.sh [--kernel 6.12|6.1] [--timeout SECONDS] SCRIPT [ARG...]" >&2
	exit 2
}

fail()
{
	echo "qemu: $*" >&2
	exit 125
}

while [ $# -gt 0 ]; do
	case $1 in
	--kernel) series=${2-}; shift 2 || usage ;;
	--timeout) limit_s=${2-}; shift 2 || usage ;;
	--) shift; break ;;
	-*) usage ;;
	*) break ;;
	esac
done
[ $# -gt 0 ] || usage
[[ $series =~ ^[0-9]+\.[0-9]+$ && $limit_s =~ ^[1-9][0-9]*$ ]] || usage
script=$(realpath -e -- "$1" 2>/dev/null) || fail "no such script: $1"
shift

# By mv, so that another run of ours never sees half an object.
build_bpf()
{
	local src obj

	mkdir -p "$cache/bpf"
	for src in "$here"/*.bpf.c; do
		obj=$cache/bpf/$(basename "$src" .bpf.c).o
		clang -target bpf -O2 -g -Wall -Werror -I"/usr/include/$(uname -m)-linux-gnu" \
			-c "$src" -o "$obj.$$" && mv "$obj.$$" "$obj" || return 1
	done
}

# The second stage of the guest's start: everything guest.sh has to be told, then guest.sh.
write_start()
{
	local name

	for name in $(compgen -e XE_); do
		printf 'export %s=%q\n' "$name" "${!name}"
	done
	printf 'export PATH=%q\n' "$PATH:/usr/sbin:/sbin"
	printf 'export XE_QEMU=1 XE_REPO=%q XE_BPF=%q XE_RESULTS=%q\n' \
		"$repo" "$cache/bpf" /run/xe-qemu/results
	printf 'modules=%q\n' "$kernel_dir/lib/modules"
	printf 'command=('
	printf '%q ' "$script" "$@"
	printf ')\n. %q\n' "$here/guest.sh"
}

qemu_pid=
work=
stop()
{
	# timeout(1) hands the signal on to its child.
	[ -n "$qemu_pid" ] && kill "$qemu_pid" 2>/dev/null && wait "$qemu_pid" 2>/dev/null
	[ -n "$work" ] && rm -rf "$work"
}

boot()
{
	local args=(
		-nodefaults -no-user-config -display none -nic none -no-reboot
		# "max" is what the emulator can do, AVX2 included; without 5-level paging, which
		# only costs time.
		-machine pc -accel tcg -cpu max,la57=off -smp 1 -m "$mem_mib"
		-kernel "$kernel_dir/vmlinuz" -initrd "$work/initramfs"
		# nokaslr and mitigations=off: emulation has nothing to protect, and both cost
		# time. panic=-1 with -no-reboot: a panic ends the machine at once.
		-append "console=ttyS0 loglevel=4 panic=-1 nokaslr mitigations=off audit=0 apparmor=0"
		-serial "file:$work/console"
		-device virtio-serial-pci
		-chardev "file,id=out,path=$work/out" -device virtserialport,chardev=out,name=xe.out
		-fsdev local,id=root,path=/,security_model=none,readonly=on,multidevs=remap
		-device virtio-9p-pci,fsdev=root,mount_tag=root
		-fsdev "local,id=share,path=$work/share,security_model=none,multidevs=remap"
		-device virtio-9p-pci,fsdev=share,mount_tag=share
	)

	# exec: qemu_pid must be timeout's own, it is what stop() signals.
	exec timeout -k 5 "$limit_s" qemu-system-x86_64 "${args[@]}" </dev/null 2>"$work/qemu.err"
}

xe_need_packages || fail "packages are missing"
xe_kernel_get "$series" "$cache" || fail "no Debian kernel $series to boot"
build_bpf || fail "tests/qemu/*.bpf.c did not compile"

work=$(mktemp -d "${TMPDIR:-/tmp}/xe-qemu.XXXXXX") || fail "no temporary folder"
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
mkdir "$work/share" "$work/share/results"
write_start "$@" >"$work/share/start"
xe_initramfs "$kernel_dir" "$here/init.sh" "$work" || fail "no initramfs"

mkfifo "$work/out"
cat "$work/out" &
cat_pid=$!
start_s=$SECONDS
boot &
qemu_pid=$!
wait "$qemu_pid"
qemu_rc=$?
qemu_pid=
# If QEMU never opened its end, cat waits for a writer for ever: be that writer for a moment.
: 1<>"$work/out"
wait "$cat_pid"

if [ -n "${XE_QEMU_RESULTS:-}" ]; then
	mkdir -p "$XE_QEMU_RESULTS" && cp -r "$work/share/results/." "$XE_QEMU_RESULTS/"
fi
if [ -s "$work/share/rc" ]; then
	echo "qemu: kernel $kernel_version, guest up after $(cat "$work/share/up") s," \
		"$((SECONDS - start_s)) s in all" >&2
	exit "$(cat "$work/share/rc")"
fi
tail -n 40 "$work/console" "$work/qemu.err" >&2
# 137: timeout had to use SIGKILL.
if [ "$qemu_rc" -eq 124 ] || [ "$qemu_rc" -eq 137 ]; then
	echo "qemu: ended after $limit_s s" >&2
	exit 124
fi
fail "the guest died (qemu said $qemu_rc)"
