/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * takeover_fixture.h - the side of a takeover that is to be the service, in memory: a lane
 * (lane_fixture.h) with its ports, and what another process tells of its own (takeover_wire.h), in
 * structures of any length. A test changes what is told before it is taken.
 */
#ifndef XE_TEST_TAKEOVER_FIXTURE_H
#define XE_TEST_TAKEOVER_FIXTURE_H

#include "control/takeover_import.h"
#include "lane_fixture.h"

#define TF_LANES_SIZE (1u << 20)
#define TF_HELD_FRAME 100u /* held packet i lies in frame TF_HELD_FRAME + i */
#define TF_HELD_MAX   32u

struct tf {
	struct lf *f;
	struct xe_service *svc;
	struct xe_take *take; /* the service's: sizes and numbers that are told */
	struct xe_port ports[LF_PORT_END];
	uint64_t beat;
	uint32_t size[XE_TO_SIZES];   /* that it is told in, whatever is said of that */
	uint32_t socket_at, held_at;  /* where these are told in lanes */
	uint8_t lanes[TF_LANES_SIZE]; /* the file that comes with FROZEN */
	size_t lanes_len;
};

struct tf *tf_open(void);
void tf_close(struct tf *t);
/* As a new process is: no session, no frame in use, nothing told. */
void tf_reset(struct tf *t);
/* What a sound process tells in structures of these sizes: a socket of each port, which has 16
 * frames to fill, and so many packets that wait. */
void tf_tell(struct tf *t, const uint32_t size[XE_TO_SIZES], uint32_t held_cnt);
/* One of the list that is told at `at`. */
struct xe_to_socket tf_socket(const struct tf *t, uint32_t i);
void tf_set_socket(struct tf *t, uint32_t i, const struct xe_to_socket *s);
struct xe_to_held tf_held(const struct tf *t, uint32_t i);
void tf_set_held(struct tf *t, uint32_t i, const struct xe_to_held *h);
/* xe_import_lanes(). */
int tf_import(struct tf *t);
/* xe_import_held(), next hops answered, all sent; fails the test where packets or frames do not add
 * up. */
void tf_go_on(struct tf *t, bool stale);
/* The same of the frames alone. */
void tf_check_frames(const struct tf *t);

#endif
