#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# deps.sh GROUP - install by the distribution's packages what is missing of a group.
#
#   build   what compiles the programs           demo   what the demo shows
#   check   what the tests use                   long   what make check-long uses (QEMU)
#   lint    what make lint uses                  bench  what make bench uses
#
# Debian 12 and 13, Ubuntu 24.04. Does nothing, and needs neither root nor network, when all is there.
set -eu

build="gcc clang llvm make pkg-config libc6-dev linux-libc-dev libbpf-dev libxdp-dev libelf-dev
	zlib1g-dev libnuma-dev libmnl-dev libnftables-dev libjansson-dev libyaml-dev libsystemd-dev
	libcap-ng-dev libseccomp-dev libnetfilter-conntrack-dev"
demo="iproute2 iputils-ping curl iperf3 nftables python3-minimal procps util-linux nginx-light openssl"
check="$demo strace libcap2-bin ethtool tcpdump python3 python3-scapy libcmocka-dev conntrack iptables kmod
	valgrind traceroute mtr-tiny iputils-tracepath nmap coturn wrk bind9-dnsutils dnsperf unbound
	python3-pyftpdlib systemd"
long="$check qemu-system-x86 busybox-static xdp-tools libclang-rt-14-dev"
bench="iproute2 iputils-ping iperf3 nftables iptables conntrack ethtool python3 procps util-linux
	gnuplot-nox fonts-dejavu-core"
# QUIC for the conformance suite, where the distribution has it: that client is skipped without.
check_quic="ngtcp2-client ngtcp2-server"
# The DPDK peer, where the distribution has it: the bench says so and goes on without.
bench_peer="dpdk-dev librte-net-af-xdp23 librte-mempool-ring23 librte-bus-vdev23"

# Names that differ between the distributions: the first that exists is taken.
bpftool_package() {
	if apt-cache show bpftool 2>/dev/null | grep -q '^Version'; then
		echo bpftool
	else
		echo "linux-tools-generic linux-tools-common"
	fi
}

is_installed() {
	dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed
}

# Those of a list that the distribution has, under the names they have there; a package that is
# installed is there, even where no lists were fetched.
available() {
	local package

	for package in $1; do
		if is_installed "$package" || apt-cache show "$package" >/dev/null 2>&1; then
			echo "$package"
		fi
	done
}

case "${1:-}" in
build) wanted=$build ;;
demo) wanted=$demo ;;
check)
	ls /var/lib/apt/lists/*Packages* >/dev/null 2>&1 || apt-get update -qq || true
	wanted="$check $(available "$check_quic")"
	;;
long) wanted=$long ;;
lint) wanted=clang-format ;;
bench)
	# On a new machine the lists say nothing yet.
	ls /var/lib/apt/lists/*Packages* >/dev/null 2>&1 || apt-get update -qq || true
	wanted="$bench $(available "$bench_peer")"
	;;
*)
	echo "usage: deps.sh build|demo|check|long|lint|bench" >&2
	exit 2
	;;
esac

missing=""
for package in $wanted; do
	is_installed "$package" || missing="$missing $package"
done
need_bpftool=""
[ "$1" = build ] && ! command -v bpftool >/dev/null && need_bpftool=yes
[ -n "$missing$need_bpftool" ] || exit 0

if ! command -v apt-get >/dev/null; then
	echo "deps.sh: no apt-get here; needed:$missing ${need_bpftool:+bpftool}" >&2
	exit 1
fi
if [ "$(id -u)" != 0 ]; then
	echo "deps.sh: run as root (sudo) to install:$missing ${need_bpftool:+bpftool}" >&2
	exit 1
fi
export DEBIAN_FRONTEND=noninteractive
# Lists may be missing or old; a failing mirror shows at the install.
apt-get update -qq || true
if [ -n "$need_bpftool" ]; then
	missing="$missing $(bpftool_package)"
fi
# libclang-rt's version follows the distribution's clang
if ! apt-cache show libclang-rt-14-dev >/dev/null 2>&1; then
	missing=${missing/libclang-rt-14-dev/libclang-rt-dev}
fi
echo "installing:$missing"
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $missing >/dev/null
