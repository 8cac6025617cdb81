/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cases_handover.c - decided to be taken: socket, heartbeat, superpacket, metadata. */
#include "cases.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"

void sockets_and_queues(void **state)
{
	struct rig *rig = *state;
	struct frame f;
	struct run run;

	frame_udp4(&f, &flow_out, 18);
	run_init(rig, &run, PORT_IN0, &f);
	run.queue = 1;
	expect_run(rig, &run, XE_R_NO_SOCKET, "queue 1 has no socket");
	assert_int_equal(xe_steer_set_socket(&rig->steer, PORT_IN0, 1, rig->xsk.fd), 0);
	expect_run(rig, &run, XE_R_TAKEN, "queue 1 with a socket");
	xe_steer_del_socket(&rig->steer, PORT_IN0, 1);
	expect_run(rig, &run, XE_R_NO_SOCKET, "socket of queue 1 removed");
	xe_steer_del_socket(&rig->steer, PORT_IN0, 0);
	expect(rig, PORT_IN0, &f, XE_R_NO_SOCKET, "socket of queue 0 removed");
	assert_int_equal(xe_steer_set_socket(&rig->steer, PORT_IN0, 0, rig->xsk.fd), 0);
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "socket of queue 0 again");
	/* Queue 64 of up0 has the key of up1's queue 0, where there is a socket. */
	rig_set_owned(rig, 0, true, flow_back.dport, true);
	frame_udp4(&f, &flow_back, 18);
	run_init(rig, &run, PORT_UP0, &f);
	run.queue = XE_MAX_QUEUES;
	expect_run(rig, &run, XE_R_NO_SOCKET, "queue beyond the highest");
	run.queue = XE_MAX_QUEUES - 1;
	expect_run(rig, &run, XE_R_NO_SOCKET, "the highest queue");
	assert_int_equal(xe_steer_set_socket(&rig->steer, PORT_UP0, run.queue, rig->xsk.fd), 0);
	expect_run(rig, &run, XE_R_TAKEN, "the highest queue with a socket");
	xe_steer_del_socket(&rig->steer, PORT_UP0, run.queue);
}

void heartbeat(void **state)
{
	struct rig *rig = *state;
	struct frame f;

	frame_udp4(&f, &flow_out, 18);
	rig->steer.beats[0] = xe_now_ns() - XE_BEAT_MAX_AGE_NS - 100 * XE_NS_PER_MS;
	expect(rig, PORT_IN0, &f, XE_R_STALLED, "last beat 1.1 s ago");
	rig->steer.beats[0] = 0;
	expect(rig, PORT_IN0, &f, XE_R_STALLED, "never beaten");
	rig->steer.beats[0] = xe_now_ns() - XE_BEAT_MAX_AGE_NS / 2;
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "last beat 0.5 s ago");
	rig->steer.beats[0] = xe_now_ns() + 10 * XE_NS_PER_MS; /* ahead of the coarse clock */
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "beat of this very moment");
	/* Each port looks at its own worker. */
	rig->steer.beats[0] = 0;
	rig->conf[PORT_IN0].worker = XE_MAX_WORKERS - 1;
	rig_put_port(rig, PORT_IN0);
	expect(rig, PORT_IN0, &f, XE_R_STALLED, "nobody would receive the reply");
	rig->conf[PORT_UP0].worker = XE_MAX_WORKERS - 1;
	rig_put_port(rig, PORT_UP0);
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "another worker stalls");
	rig->conf[PORT_UP0].worker_step = 1;
	rig_put_port(rig, PORT_UP0);
	expect(rig, PORT_IN0, &f, XE_R_STALLED, "one of those that receive the replies");
	rig->conf[PORT_UP0].worker_step = 0;
	rig->conf[PORT_UP0].worker = 0;
	rig_put_port(rig, PORT_UP0);
	rig->conf[PORT_IN0].worker = XE_MAX_WORKERS;
	rig_put_port(rig, PORT_IN0);
	expect(rig, PORT_IN0, &f, XE_R_STALLED, "a worker that cannot be");
	rig_set_owned(rig, 0, true, flow_back.dport, true);
	frame_udp4(&f, &flow_back, 18);
	expect(rig, PORT_UP0, &f, XE_R_STALLED, "uplink");
	/* A rule still decides first: `drop` does not open when a worker stalls. */
	frame_udp4(&f, &(struct flow){"10.1.0.5", "203.0.113.200", 1, 2}, 18);
	expect(rig, PORT_IN0, &f, XE_R_DROP_RULE, "drop rule, worker stalls");
}

void superpackets(void **state)
{
	struct rig *rig = *state;
	struct frame f;
	struct run run;

	/* Generic mode on a kernel that does not let us read the segment size. */
	frame_udp4(&f, &flow_out, 1472);
	run_init(rig, &run, PORT_IN0, &f);
	run.fd = rig->prog_fd[GSO_UNKNOWN];
	expect_run(rig, &run, XE_R_TAKEN, "frame of the MTU, GSO unknown");
	frame_udp4(&f, &flow_out, 1473);
	expect_run(rig, &run, XE_R_GSO_UNKNOWN, "one byte more, GSO unknown");
	frame_udp4(&f, &flow_out, 8000);
	expect_run(rig, &run, XE_R_GSO_UNKNOWN, "8 KB in frags, GSO unknown");
	rig->conf[PORT_IN0].frame_len_max = 9014;
	rig_put_port(rig, PORT_IN0);
	expect_run(rig, &run, XE_R_TAKEN, "8 KB in frags, the MTU is now 9000");
	rig->conf[PORT_IN0].frame_len_max = 1294;
	rig_put_port(rig, PORT_IN0);
	frame_udp4(&f, &flow_out, 1252);
	expect_run(rig, &run, XE_R_TAKEN, "frame of the MTU, which is now 1280");
	frame_udp4(&f, &flow_out, 1253);
	expect_run(rig, &run, XE_R_GSO_UNKNOWN, "one byte more than 1280");
	/* Of TCP every length is taken, where the socket takes several frames. */
	frame_tcp4(&f, &flow_out, TCP_SYN, 8000);
	expect_run(rig, &run, XE_R_GSO_UNKNOWN, "8 KB of TCP, one frame a packet");
	rig->conf[PORT_IN0].flags |= XE_PF_MULTI;
	rig_put_port(rig, PORT_IN0);
	expect_run(rig, &run, XE_R_TAKEN, "8 KB of TCP, GSO unknown");
	frame_udp4(&f, &flow_out, 8000);
	expect_run(rig, &run, XE_R_GSO_UNKNOWN, "8 KB of UDP, GSO unknown");
	if (rig->prog_fd[GSO_SHINFO] < 0) {
		print_message("superpackets: this kernel does not let skb_shared_info be read\n");
		return;
	}
	/* TEST_RUN's own skb_shared_info says 0: no superpacket, whatever the length. Superpackets
	 * proper are tests/netns/t_offload.sh's. */
	run.fd = rig->prog_fd[GSO_SHINFO];
	expect_run(rig, &run, XE_R_TAKEN, "8 KB in frags, gso_size 0");
	frame_udp4(&f, &flow_out, 18);
	expect_run(rig, &run, XE_R_TAKEN, "small, gso_size 0");
}

/* Metadata of a program before us must not move ours away from the packet. */
void metadata_room(void **state)
{
	struct rig *rig = *state;
	struct frame f;
	struct run run;
	char name[64];

	frame_udp4(&f, &flow_out, 18);
	run_init(rig, &run, PORT_IN0, &f);
	for (run.meta_len = 4; run.meta_len <= 32; run.meta_len += 4) {
		snprintf(name, sizeof(name), "%u bytes of metadata already there", run.meta_len);
		expect_run(rig, &run, XE_R_TAKEN, name);
	}
	run.meta_len = 36;
	rig->meta_limited = rig_run(rig, &run) == -EINVAL; /* before kernel 6.5 */
	if (rig->meta_limited)
		return;
	expect_run(rig, &run, XE_R_NO_METADATA, "more metadata than steer removes");
	run.meta_len = 200; /* about as much as TEST_RUN has room for */
	expect_run(rig, &run, XE_R_NO_METADATA, "hardly any headroom left");
}

/* Last: a reason that no case has made count is a reason that is not tested. For
 * tests/reasons_seen.sh, too, which asks the same of all reasons. */
void every_reason_was_seen(void **state)
{
#define NAME_OF(name, class, text) #name,
	static const char *const names[] = {XE_REASONS_STEER(NAME_OF)};
	const char *path = getenv("XE_REASONS_SEEN");
	FILE *f = path && path[0] ? fopen(path, "a") : NULL;
	const struct rig *rig = *state;

	for (int r = 0; r < XE_R_STEER_CNT; r++) {
		if (!rig->seen[r] && !(r == XE_R_NO_METADATA && rig->meta_limited))
			fail_msg("no packet was counted as %s", names[r]);
		if (f)
			fprintf(f, "%s\n", names[r]);
	}
	if (f)
		fclose(f);
}
