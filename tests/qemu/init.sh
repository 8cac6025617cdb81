#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# First stage of the guest's start, process 1, run by busybox in the initramfs: from nothing to the
# machine's root folder (9p, read only) under an overlay, then run.sh's start file in it.
b=/bin/busybox

die()
{
	echo "init: $*" >/dev/console
	$b poweroff -f
}

$b mkdir -p /proc /sys /dev /lower /rw /new
$b mount -t devtmpfs dev /dev && exec >/dev/console 2>&1
$b mount -t proc proc /proc || die "no proc"
$b mount -t sysfs sys /sys || die "no sysfs"
for m in /modules/*; do
	$b insmod "$m" || die "$m does not load"
done

# msize: 512 KiB is what one virtio request can carry. cache=loose: programs are read once and
# mapped; what changes on the outside meanwhile may be seen late.
nine=trans=virtio,version=9p2000.L,msize=524288
$b mount -t 9p -o ro,$nine,cache=loose root /lower || die "no root folder"
$b mount -t tmpfs -o mode=755 rw /rw || die "no tmpfs"
$b mkdir /rw/upper /rw/work
$b mount -t overlay -o lowerdir=/lower,upperdir=/rw/upper,workdir=/rw/work root /new ||
	die "no overlay"
for m in dev proc sys; do
	$b mount --move /$m /new/$m || die "no /$m"
done
$b mount -t tmpfs -o mode=755 run /new/run || die "no /run"
$b mkdir /new/run/xe-qemu
# No cache: run.sh reads the results the moment the guest has ended.
$b mount -t 9p -o $nine,cache=none share /new/run/xe-qemu || die "no share"
exec $b switch_root /new /bin/bash /run/xe-qemu/start
