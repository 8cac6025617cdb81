// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* hook_price.bpf.c - an XDP program that passes everything: what the hook alone costs. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp.frags")
int pass_all(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
