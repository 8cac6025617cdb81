# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Sourced by run.sh: the packages it needs, Debian's kernels unpacked (never installed) into a cache
# folder, and the initramfs that takes a guest to this machine's root folder.

# Command and package that has it. The first group is for booting, the second is what the scripts
# of this folder call inside.
xe_qemu_needs="qemu-system-x86_64:qemu-system-x86 busybox:busybox-static modprobe:kmod
	flock:util-linux clang:clang
	xdp-loader:xdp-tools bpftool:bpftool ip:iproute2 nsenter:util-linux ethtool:ethtool
	curl:curl ping:iputils-ping /usr/bin/python3:python3"

# Drivers a script may ask for beyond what the folders below bring; grows as scripts need more.
xe_kernel_folders="net lib crypto arch fs/9p fs/netfs fs/fscache fs/overlayfs drivers/virtio
	drivers/char drivers/net drivers/block"

# Installs what is missing; 1 if something still is.
xe_need_packages()
{
	local need missing=

	for need in $xe_qemu_needs; do
		command -v "${need%%:*}" >/dev/null || missing+=" ${need#*:}"
	done
	# A dynamic busybox finds no libraries in the initramfs.
	case $missing in *busybox-static*) ;; *)
		LC_ALL=C ldd "$(command -v busybox)" 2>&1 | grep -q 'not a dynamic' ||
			missing+=" busybox-static" ;;
	esac
	[ -n "$missing" ] || return 0
	echo "qemu: installing$missing" >&2
	# shellcheck disable=SC2086
	DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 -qq install -y \
		--no-install-recommends $missing >&2
}

# Prints the package that holds the kernel of a series: what the series' meta package depends on.
# Debian 12 has linux-image-6.12-amd64 beside its own linux-image-amd64; in Debian 13 the latter
# is 6.12.
xe_kernel_package()
{
	local meta

	for meta in "linux-image-$1-amd64" linux-image-amd64; do
		apt-cache depends "$meta" 2>/dev/null |
			sed -n "s/^ *Depends: \(linux-image-${1/./\\.}\.[^ ]*\)$/\1/p"
	done | head -n 1
}

# Fills the folder $2 with the kernel package $1: vmlinuz, lib/modules, version.
xe_kernel_unpack()
{
	local dir=$2 folder version patterns=(./boot/vmlinuz-* './lib/modules/*/modules.*')

	for folder in $xe_kernel_folders; do
		patterns+=("./lib/modules/*/kernel/$folder/*")
	done
	# Root as the sandbox user: _apt may have no way into the cache folder.
	(cd "$dir" && apt-get -q -o APT::Sandbox::User=root download "$1") >&2 || return 1
	dpkg-deb --fsys-tarfile "$dir"/*.deb >"$dir/package.tar" || return 1
	rm -f "$dir"/*.deb
	# tar says 2 when a pattern matched nothing (fs/fscache is gone in newer kernels).
	tar -C "$dir" -xf "$dir/package.tar" --wildcards "${patterns[@]}" 2>/dev/null
	rm -f "$dir/package.tar"
	mv "$dir"/boot/vmlinuz-* "$dir/vmlinuz" && rmdir "$dir/boot" || return 1
	version=$(ls "$dir/lib/modules") || return 1
	# Unpacking a module under emulation takes longer than reading it.
	find "$dir/lib/modules" -name '*.ko.xz' -print0 | xargs -0 -r xz -d || return 1
	depmod -b "$dir" "$version" 2>/dev/null || return 1
	echo "$version" >"$dir/version"
}

# Makes the kernel of series $1 ready in the cache folder $2; sets kernel_dir and kernel_version.
# A kernel in the cache is used as it is: delete the folder for the newest one.
xe_kernel_get()
{
	local package new

	kernel_dir=$2/$1
	mkdir -p "$2" || return 1
	exec 9>"$2/lock" && flock 9 || return 1
	if [ ! -s "$kernel_dir/version" ]; then
		package=$(xe_kernel_package "$1")
		if [ -z "$package" ]; then
			apt-get -q update >&2
			package=$(xe_kernel_package "$1")
		fi
		[ -n "$package" ] || return 1
		echo "qemu: fetching $package" >&2
		rm -rf "$kernel_dir" "$kernel_dir.new"
		new=$kernel_dir.new
		mkdir "$new" && xe_kernel_unpack "$package" "$new" && mv "$new" "$kernel_dir" ||
			return 1
	fi
	exec 9>&-
	kernel_version=$(cat "$kernel_dir/version")
}

# Writes $3/initramfs: busybox, the script $2 as /init, and the modules it loads (in the order of
# their names) before it can see the root folder. Made anew each time: it is a matter of 50 ms.
xe_initramfs()
{
	local root=$3/initramfs.d idx=10 word path

	mkdir -p "$root/bin" "$root/modules" || return 1
	cp "$(command -v busybox)" "$root/bin/busybox" && ln -s busybox "$root/bin/sh" || return 1
	cp "$2" "$root/init" && chmod 755 "$root/init" || return 1
	# Lines are "insmod PATH", dependencies first, or "builtin NAME".
	while read -r word path _; do
		[ "$word" = insmod ] || continue
		[ -z "$(find "$root/modules" -name "*-${path##*/}")" ] || continue
		cp "$path" "$root/modules/$idx-${path##*/}" || return 1
		idx=$((idx + 1))
	done < <(for word in virtio_pci virtio_console 9pnet_virtio 9p overlay; do
		modprobe -d "$1" -S "$(cat "$1/version")" --show-depends "$word"
	done)
	(cd "$root" && find . | busybox cpio -o -H newc) >"$3/initramfs" 2>/dev/null
}
