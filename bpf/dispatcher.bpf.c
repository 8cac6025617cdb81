/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * dispatcher.bpf.c - a dispatcher for libxdp that programs which change packet data can stand in.
 *
 * libxdp loads it in place of its own object (io/dispatcher.h says when). It calls up to ten
 * programs in turn, each in the place of one of the functions prog0 ... prog9, and goes on to the
 * next one while a verdict is among that program's chain_call_actions. Names, configuration and the
 * order of calls are libxdp's contract, version 2 (xdp/prog_dispatcher.h).
 *
 * What is different: each place asks for a move of the metadata by nothing. Kernels from 6.14 on,
 * and stable ones with its fix (6.12.117 is one), let a program that changes packet data, as ours
 * does for its metadata, only replace a function that does so, too.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <xdp/prog_dispatcher.h>

/* Filled by libxdp before load; the only map, as it demands. */
static volatile const struct xdp_dispatcher_config conf = {};

/* Without a program in its place: the value that every chain goes on with. volatile, or clang would
 * put the constant into the caller and never call. */
#define PLACE(n)                                                                                   \
	__attribute__((noinline)) int prog##n(struct xdp_md *ctx)                                  \
	{                                                                                          \
		volatile int ret = XDP_DISPATCHER_RETVAL;                                          \
                                                                                                   \
		if (!ctx)                                                                          \
			return XDP_ABORTED;                                                        \
		bpf_xdp_adjust_meta(ctx, 0);                                                       \
		return ret;                                                                        \
	}

PLACE(0)
PLACE(1)
PLACE(2)
PLACE(3)
PLACE(4)
PLACE(5)
PLACE(6)
PLACE(7)
PLACE(8)
PLACE(9)

/* A place beyond the enabled ones is cut out by the verifier: conf is frozen. */
#define CALL(n)                                                                                    \
	do {                                                                                       \
		if (conf.num_progs_enabled <= (n))                                                 \
			return XDP_PASS;                                                           \
		verdict = prog##n(ctx);                                                            \
		if (!(1U << (verdict & 31) & conf.chain_call_actions[n]))                          \
			return verdict;                                                            \
	} while (0)

SEC("xdp")
int xdp_dispatcher(struct xdp_md *ctx)
{
	int verdict;

	CALL(0);
	CALL(1);
	CALL(2);
	CALL(3);
	CALL(4);
	CALL(5);
	CALL(6);
	CALL(7);
	CALL(8);
	CALL(9);
	return XDP_PASS;
}

/* What libxdp tries out with whether the kernel has freplace, and fragments. */
SEC("xdp")
int xdp_pass(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
__uint(dispatcher_version, XDP_DISPATCHER_VERSION) SEC(XDP_METADATA_SECTION);
