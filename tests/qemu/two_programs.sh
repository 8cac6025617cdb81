#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# For run.sh: shows that the ground dispatcher.sh stands on is there. Two XDP programs are loaded on
# one veth, one after the other, by libxdp's dispatcher; both are listed and both see packets.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/checks.sh"
trap clean_up EXIT

a='' b=''
new_ns a && new_ns b || exit 1
ip link add veth0 netns "$a" type veth peer name veth1 netns "$b"
ip -n "$a" addr add 192.0.2.1/24 dev veth0
ip -n "$b" addr add 192.0.2.2/24 dev veth1
ip -n "$a" link set veth0 up
ip -n "$b" link set veth1 up

saw_packets()
{
	[ "$(seen_packets "$1")" -ge 3 ]
}

uname -r
check "first program loads" in_ns "$a" xdp-loader load -m skb veth0 "$XE_BPF/foreign_pass.o"
check "second program loads beside it" \
	in_ns "$a" xdp-loader load -m skb veth0 "$XE_BPF/second_pass.o"
in_ns "$a" xdp-loader status
check "the dispatcher calls foreign_pass" has_program "$a" veth0 foreign_pass
check "the dispatcher calls second_pass" has_program "$a" veth0 second_pass
check "ping gets through" in_ns "$b" ping -c 3 -i 0.2 -W 5 -q 192.0.2.1
check "foreign_pass saw the packets" saw_packets foreign_seen
check "second_pass saw the packets" saw_packets second_seen
check "all programs unload" in_ns "$a" xdp-loader unload veth0 --all
check "foreign_pass is gone" has_no_program "$a" veth0 foreign_pass
finish
