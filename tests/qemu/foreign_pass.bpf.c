// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Somebody else's XDP program, for the dispatcher tests: counts every packet and passes it on.
 * Without xdp.frags, as most programs that are out there: libxdp then takes the flag from the whole
 * dispatcher, and the kernel linearizes superpackets before it.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#ifndef FOREIGN_SECTION
#define FOREIGN_SECTION "xdp"
#endif

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} foreign_seen SEC(".maps");

SEC(FOREIGN_SECTION)
int foreign_pass(struct xdp_md *ctx)
{
	__u32 zero = 0;
	__u64 *seen = bpf_map_lookup_elem(&foreign_seen, &zero);

	(void)ctx;
	if (seen)
		__sync_fetch_and_add(seen, 1);
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
