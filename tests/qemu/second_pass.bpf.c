// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A second program beside foreign_pass: shows that a dispatcher calls both.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} second_seen SEC(".maps");

SEC("xdp")
int second_pass(struct xdp_md *ctx)
{
	__u32 zero = 0;
	__u64 *seen = bpf_map_lookup_elem(&second_seen, &zero);

	(void)ctx;
	if (seen)
		__sync_fetch_and_add(seen, 1);
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
