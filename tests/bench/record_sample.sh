#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# record_sample.sh OUT.pcap - the recording that bench_pipeline replays: a container's traffic as it
# passes its veth. curl fetches of several sizes, an iperf3 UDP stream both ways, a short TCP bulk transfer.
# Headers only (64 bytes a packet), segmentation offloads off, so that no packet exceeds the MTU.
set -eu
out=$(realpath -m "${1:?usage: record_sample.sh OUT.pcap}")
c=rec$$c
s=rec$$s
dir=$(mktemp -d)
pids=()
finish() {
	for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; done
	wait 2>/dev/null || true
	ip netns del $c 2>/dev/null || true
	ip netns del $s 2>/dev/null || true
	rm -rf "$dir"
}
trap finish EXIT

ip netns add $c
ip netns add $s
ip -n $c link add e0 type veth peer name e0 netns $s
for n in "$c 10.1.0.2/16 198.18.0.1" "$s 198.18.0.1/24 10.1.0.2"; do
	read -r ns addr peer <<<"$n"
	ip netns exec "$ns" ethtool -K e0 tso off gso off gro off >/dev/null 2>&1
	ip -n "$ns" addr add "$addr" dev e0
	ip -n "$ns" link set lo up
	ip -n "$ns" link set e0 up
	ip -n "$ns" route add "$peer/32" dev e0
done
for kib in 1 8 64; do head -c ${kib}K /dev/zero >"$dir/$kib"; done
(cd "$dir" && exec ip netns exec $s /usr/bin/python3 -m http.server 80) >/dev/null 2>&1 &
pids+=($!)
ip netns exec $s iperf3 -s >/dev/null 2>&1 &
pids+=($!)
ip netns exec $c tcpdump -i e0 -s 64 --immediate-mode -w "$dir/pcap" 'tcp or udp' 2>/dev/null &
pids+=($!)
sleep 1
for kib in 1 8 1 64 1 8 1 1; do
	ip netns exec $c curl -s -o /dev/null "http://198.18.0.1/$kib"
done
ip netns exec $c iperf3 -c 198.18.0.1 -u -b 1M -l 160 -n 24K >/dev/null
ip netns exec $c iperf3 -c 198.18.0.1 -u -R -b 1M -l 160 -n 24K >/dev/null
ip netns exec $c iperf3 -c 198.18.0.1 -n 400K >/dev/null
sleep 1
kill -INT "${pids[2]}"
wait "${pids[2]}" || true
cp "$dir/pcap" "$out"
ls -l "$out"
