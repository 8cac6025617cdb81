/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* rig_run.c - one packet through the program, and what must be true afterwards (rig.h). */
#include "rig.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

/* What the program returns for each reason, by the reason's class: written from reason.h, not from
 * the program. */
#define S_PASS                      XDP_PASS
#define S_DROP                      XDP_DROP
#define S_TAKE                      XDP_REDIRECT
#define CLASS_OF(name, class, text) class,
#define NAME_OF(name, class, text)  #name,
static const uint32_t verdict_of[] = {XE_REASONS_STEER(CLASS_OF)};
static const char *const reason_names[] = {XE_REASONS_STEER(NAME_OF)};
static const char *const verdict_names[] = {"ABORTED", "DROP", "PASS", "TX", "REDIRECT"};

struct all_counters {
	struct xe_port_counters port[PORT_CNT];
};

void run_init(const struct rig *rig, struct run *run, uint32_t port, const struct frame *f)
{
	memset(run, 0, sizeof(*run));
	run->fd = rig->prog_fd[GSO_NATIVE];
	run->port = port;
	run->frame = f;
}

int rig_run(const struct rig *rig, struct run *run)
{
	uint8_t in[FRAME_SIZE + 256];
	uint32_t in_len = run->meta_len + run->frame->len;
	struct xdp_md ctx = {
		.data = run->meta_len,
		.data_end = run->meta_len + (run->linear_len ? run->linear_len : run->frame->len),
		.ingress_ifindex = (uint32_t)rig->ifindex[run->port],
		.rx_queue_index = run->queue,
	};
	struct xdp_md ctx_out = {};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in, .data_size_in = in_len,
		    .data_out = run->out, .data_size_out = sizeof(run->out), .ctx_in = &ctx,
		    .ctx_size_in = sizeof(ctx), .ctx_out = &ctx_out,
		    .ctx_size_out = sizeof(ctx_out), .repeat = (int)run->repeat);
	int err;

	memset(in, 0xab, run->meta_len);
	memcpy(in + run->meta_len, run->frame->b, run->frame->len);
	err = bpf_prog_test_run_opts(run->fd, &opts);
	run->verdict = opts.retval;
	run->out_len = opts.data_size_out;
	run->out_meta_len = ctx_out.data;
	run->duration_ns = opts.duration;
	return err;
}

static void read_counters(const struct rig *rig, struct all_counters *all)
{
	for (uint32_t port = 0; port < PORT_CNT; port++)
		assert_int_equal(xe_steer_counters(&rig->steer, port, &all->port[port]), 0);
}

/* One text about all that moved; "" when it is exactly (port, reason) by one. */
static void judge_counters(const struct all_counters *was, const struct all_counters *now,
			   uint32_t port, int reason, char *text, size_t size)
{
	size_t len = 0;

	text[0] = 0;
	for (uint32_t p = 0; p < PORT_CNT; p++)
		for (int r = 0; r < XE_R_STEER_CNT; r++) {
			uint64_t by = now->port[p].reason[r] - was->port[p].reason[r];

			if (by != (p == port && r == reason) && len < size)
				len += (size_t)snprintf(text + len, size - len,
							" %s.%s moved by %llu", port_names[p],
							reason_names[r], (unsigned long long)by);
		}
}

/* NULL, or what is wrong with the bytes in front of the packet. */
static const char *judge_metadata(const struct rig *rig, const struct run *run)
{
	struct xe_meta meta;

	if (run->out_meta_len != sizeof(meta))
		return "taken without exactly the metadata in front";
	memcpy(&meta, run->out, sizeof(meta));
	if (meta.flow_hash != rig_hash(rig, run->port, run->frame))
		return "flow hash in the metadata";
	if (meta.port != run->port || meta.magic != (XE_META_MAGIC ^ run->port))
		return "port or magic in the metadata";
	/* Every TCP packet may be one where sizes are not known. */
	if (meta.gso_type || meta.gso_size || meta.gso_segs || (meta.flags & ~XE_META_GSO_UNKNOWN))
		return "metadata of a superpacket, or not zero where reserved";
	return NULL;
}

static const char *judge_packet(const struct rig *rig, const struct run *run, bool taken)
{
	if (run->out_len != run->out_meta_len + run->frame->len ||
	    memcmp(run->out + run->out_meta_len, run->frame->b, run->frame->len))
		return "the packet changed";
	if (taken)
		return judge_metadata(rig, run);
	if (run->out_meta_len != run->meta_len)
		return "metadata was left in front of a packet that is not taken";
	return NULL;
}

void expect_run_at(struct rig *rig, struct run *run, int reason, const char *name, const char *file,
		   int line)
{
	uint32_t verdict = reason < 0 ? XDP_PASS : verdict_of[reason];
	struct all_counters was, now;
	const char *wrong;
	char text[512];
	int err;

	read_counters(rig, &was);
	err = rig_run(rig, run);
	if (err)
		fail_msg("%s:%d: %s: TEST_RUN: %s", file, line, name, strerror(-err));
	read_counters(rig, &now);
	judge_counters(&was, &now, run->port, reason, text, sizeof(text));
	wrong = judge_packet(rig, run, reason == XE_R_TAKEN);
	if (run->verdict != verdict || text[0] || wrong)
		fail_msg("%s:%d: %s: expected %s (%s), got %s;%s%s%s", file, line, name,
			 verdict_names[verdict], reason < 0 ? "uncounted" : reason_names[reason],
			 run->verdict < 5 ? verdict_names[run->verdict] : "?", text,
			 wrong ? " " : "", wrong ? wrong : "");
	if (reason >= 0)
		rig->seen[reason]++;
}

void expect_at(struct rig *rig, uint32_t port, const struct frame *f, int reason, const char *name,
	       const char *file, int line)
{
	struct run run;

	run_init(rig, &run, port, f);
	expect_run_at(rig, &run, reason, name, file, line);
}
