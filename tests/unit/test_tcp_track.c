/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_tcp_track.c - what each TCP segment means for its session. A table of conversations, each
 * run from several initial sequence numbers (so that they wrap at every step), and a long random
 * conversation against a slow model that counts in 64 bits and follows the rules one by one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "packet_fixture.h"
#include "state/tcp_track.h"

#define CNT(a) (sizeof(a) / sizeof((a)[0]))
#define O      XE_DIR_OUT
#define B      XE_DIR_BACK
#define SYN    XE_TH_SYN
#define ACK    XE_TH_ACK
#define FIN    XE_TH_FIN
#define RST    XE_TH_RST
#define PSH    XE_TH_PSH

#define SENT   XE_TCP_SYN_SENT
#define BOTH   XE_TCP_SYN_BACK
#define ESTAB  XE_TCP_ESTABLISHED
#define FIN1   XE_TCP_CLOSING
#define CLOSED XE_TCP_CLOSED

#define WIN      1000
#define NO_SCALE (-1)

/* A segment as the wire has it. */
struct seg {
	uint32_t seq, ack;
	uint32_t len;
	uint16_t win;
	uint8_t flags;
	int scale;
};

static bool pass(struct xe_session *s, enum xe_dir dir, const struct seg *g)
{
	/* behind NOP and MSS, so that the walk over options has to walk */
	uint8_t l4[28] = {[20] = 2, 4, 5, 0xb4, 1, 3, 3, 0};
	uint32_t hdr_len = g->flags & SYN ? 28 : 20;
	uint32_t seq_be = htonl(g->seq), ack_be = htonl(g->ack);

	memcpy(l4 + 4, &seq_be, 4);
	memcpy(l4 + 8, &ack_be, 4);
	l4[12] = (uint8_t)(hdr_len / 4 << 4);
	l4[13] = g->flags;
	l4[14] = (uint8_t)(g->win >> 8);
	l4[15] = (uint8_t)g->win;
	if (g->scale == NO_SCALE)
		l4[25] = 1, l4[26] = 1, l4[27] = 0;
	else
		l4[27] = (uint8_t)g->scale;
	return xe_tcp_track(s, dir, l4, hdr_len, hdr_len + g->len);
}

static void begin(struct xe_session *s)
{
	memset(s, 0, sizeof(*s));
	s->tcp_state = XE_TCP_SYN_SENT;
}

/* ---- conversations ---- */

/* One segment, numbers relative to the initial ones; whether it counts, the state behind it. */
struct step {
	uint8_t dir, flags;
	int64_t seq, ack;
	uint32_t len;
	bool fits;
	uint8_t state;
};

#define HANDSHAKE                                                                                  \
	{O, SYN, 0, 0, 0, true, SENT}, {B, SYN | ACK, 0, 1, 0, true, BOTH},                        \
	{                                                                                          \
		O, ACK, 1, 1, 0, true, ESTAB                                                       \
	}
/* 100 bytes each way, acknowledged: both sides at 101. */
#define TALK                                                                                       \
	{O, ACK | PSH, 1, 1, 100, true, ESTAB}, {B, ACK | PSH, 1, 101, 100, true, ESTAB},          \
	{                                                                                          \
		O, ACK, 101, 101, 0, true, ESTAB                                                   \
	}
#define CLOSE_BOTH                                                                                 \
	{O, FIN | ACK, 101, 101, 0, true, FIN1}, {B, FIN | ACK, 101, 102, 0, true, FIN1},          \
	{                                                                                          \
		O, ACK, 102, 102, 0, true, CLOSED                                                  \
	}

static const struct talk {
	const char *name;
	struct step steps[16];
} talks[] = {
	/* RFC 9293 section 3.5: opening */
	{"handshake", {HANDSHAKE}},
	{"SYN sent again", {{O, SYN, 0, 0, 0, true, SENT}, {O, SYN, 0, 0, 0, true, SENT}}},
	{"SYN+ACK sent again",
	 {{O, SYN, 0, 0, 0, true, SENT},
	  {B, SYN | ACK, 0, 1, 0, true, BOTH},
	  {O, SYN, 0, 0, 0, true, BOTH},
	  {B, SYN | ACK, 0, 1, 0, true, BOTH},
	  {O, ACK, 1, 1, 0, true, ESTAB},
	  {B, SYN | ACK, 0, 1, 0, false, ESTAB}}},
	{"another attempt with another number",
	 {{O, SYN, 0, 0, 0, true, SENT},
	  {O, SYN, 70000, 0, 0, true, SENT},
	  {B, SYN | ACK, 0, 1, 0, false, SENT},
	  {B, SYN | ACK, 0, 70001, 0, true, BOTH}}},
	{"SYN+ACK that acknowledges something else",
	 {{O, SYN, 0, 0, 0, true, SENT},
	  {B, SYN | ACK, 0, 0, 0, false, SENT},
	  {B, SYN | ACK, 0, 2, 0, false, SENT},
	  {B, SYN | ACK, 0, 1, 0, true, BOTH}}},
	{"the peer alone establishes nothing",
	 {{O, SYN, 0, 0, 0, true, SENT},
	  {B, SYN | ACK, 0, 1, 0, true, BOTH},
	  {B, ACK, 1, 1, 50, true, BOTH}}},
	{"an answer without SYN opens nothing",
	 {{O, SYN, 0, 0, 0, true, SENT},
	  {B, ACK, 500, 1, 0, false, SENT},
	  {B, FIN | ACK, 500, 1, 0, false, SENT}}},
	{"an acknowledgement of another SYN+ACK establishes nothing",
	 {{O, SYN, 0, 0, 0, true, SENT},
	  {B, SYN | ACK, 0, 1, 0, true, BOTH},
	  {O, ACK, 1, 2, 0, false, BOTH},
	  {O, ACK, 1, 0, 0, false, BOTH},
	  {O, ACK, 1, 1, 0, true, ESTAB}}},
	{"data with the SYN (RFC 7413), taken",
	 {{O, SYN, 0, 0, 80, true, SENT},
	  {B, SYN | ACK, 0, 81, 0, true, BOTH},
	  {B, ACK, 1, 81, 60, true, BOTH},
	  {O, ACK, 81, 61, 0, true, ESTAB}}},
	{"data with the SYN, not taken",
	 {{O, SYN, 0, 0, 80, true, SENT},
	  {O, SYN, 0, 0, 0, true, SENT},
	  {B, SYN | ACK, 0, 1, 0, true, BOTH},
	  {O, ACK, 1, 1, 80, true, ESTAB}}},
	{"simultaneous open",
	 {{O, SYN, 0, 0, 0, true, SENT},
	  {B, SYN, 0, 0, 0, false, BOTH},
	  {O, SYN | ACK, 0, 1, 0, true, BOTH},
	  {B, SYN | ACK, 0, 1, 0, true, ESTAB},
	  {O, ACK, 1, 1, 10, true, ESTAB}}},
	{"simultaneous open, acknowledged without SYN",
	 {{O, SYN, 0, 0, 0, true, SENT},
	  {B, SYN, 0, 0, 0, false, BOTH},
	  {O, SYN | ACK, 0, 1, 0, true, BOTH},
	  {B, ACK, 1, 1, 0, true, ESTAB}}},
	{"a forged SYN does not hinder the handshake",
	 {{O, SYN, 0, 0, 0, true, SENT},
	  {B, SYN, 77777, 0, 0, false, BOTH},
	  {B, RST, 77778, 0, 0, false, BOTH},
	  {B, SYN | ACK, 0, 1, 0, true, BOTH},
	  {O, ACK, 1, 1, 0, true, ESTAB},
	  {B, ACK, 1, 1, 10, true, ESTAB}}},
	{"opened from outside",
	 {{B, SYN, 0, 0, 0, false, SENT},
	  {B, SYN, 5, 0, 0, false, SENT},
	  {O, SYN | ACK, 0, 1, 0, true, BOTH},
	  {B, ACK, 1, 1, 0, true, ESTAB}}},
	{"refused from inside",
	 {{B, SYN, 0, 0, 0, false, SENT}, {O, RST | ACK, 0, 1, 0, true, CLOSED}}},

	/* RFC 9293 section 3.10.7.4, RFC 5961 section 5: what fits */
	{"old segments change nothing",
	 {HANDSHAKE,
	  TALK,
	  {O, ACK, 1, 1, 100, true, ESTAB}, /* sent again */
	  {O, ACK, -1900, 101, 100, false, ESTAB},
	  {B, ACK, -1900, 101, 100, false, ESTAB},
	  {B, FIN | ACK, 51, 101, 0, true, ESTAB},
	  {B, FIN | ACK, -1900, 101, 0, false, ESTAB}}},
	{"nothing beyond the window",
	 {HANDSHAKE,
	  TALK,
	  {B, ACK, 101, 101, WIN + 2, false, ESTAB},
	  {B, ACK, 102 + WIN, 101, 1, false, ESTAB},
	  {B, FIN | ACK, 102 + WIN, 101, 0, false, ESTAB},
	  {B, ACK, 1u << 31, 101, 1, false, ESTAB},
	  {B, ACK, 101, 101, WIN, true, ESTAB}}},
	{"window probe and keepalive",
	 {HANDSHAKE,
	  TALK,
	  {O, ACK, 101, 101, WIN, true, ESTAB},
	  {O, ACK, 101 + WIN, 101, 1, true, ESTAB},
	  {B, ACK, 100, 101, 0, true, ESTAB},
	  {B, ACK, 100, 101, 1, true, ESTAB}}},
	{"nothing that acknowledges what was not sent",
	 {HANDSHAKE,
	  TALK,
	  {B, ACK, 101, 102, 10, false, ESTAB},
	  {B, FIN | ACK, 101, 102, 0, false, ESTAB},
	  {B, ACK, 101, 101 - 1 - WIN, 10, false, ESTAB},
	  {B, ACK, 101, 101 - WIN, 10, true, ESTAB}}},
	{"nothing without ACK",
	 {HANDSHAKE, {B, 0, 1, 0, 10, false, ESTAB}, {B, FIN, 1, 0, 0, false, ESTAB}}},

	/* RFC 5961 section 3: RST */
	{"RST exact by what was acknowledged, and by what was sent",
	 {HANDSHAKE, TALK, {B, RST, 101, 0, 0, true, CLOSED}}},
	{"RST behind data on the way",
	 {HANDSHAKE,
	  TALK,
	  {B, ACK, 101, 101, 50, true, ESTAB},
	  {B, RST, 150, 0, 0, false, ESTAB},
	  {B, RST, 102, 0, 0, false, ESTAB},
	  {B, RST, 151, 0, 0, true, CLOSED}}},
	{"RST that answers an acknowledgement",
	 {HANDSHAKE, TALK, {B, ACK, 101, 101, 50, true, ESTAB}, {B, RST, 101, 0, 0, true, CLOSED}}},
	{"RST in the window but not exact",
	 {HANDSHAKE,
	  TALK,
	  {B, RST, 102, 0, 0, false, ESTAB},
	  {B, RST, 100, 0, 0, false, ESTAB},
	  {B, RST | ACK, 101 + WIN - 1, 101, 0, false, ESTAB},
	  {O, RST, 102, 0, 0, false, ESTAB}}},
	{"RST out of the window",
	 {HANDSHAKE,
	  TALK,
	  {B, RST, 101 + 2 * WIN, 0, 0, false, ESTAB},
	  {B, RST | ACK, 0x40000000, 101, 0, false, ESTAB},
	  {B, RST, 0x80000065, 0, 0, false, ESTAB}}},
	{"challenge ACK, and the exact RST that answers it",
	 {HANDSHAKE,
	  TALK,
	  {O, RST, 150, 0, 0, false, ESTAB},
	  {B, ACK, 101, 101, 0, true, ESTAB},
	  {O, RST, 101, 0, 0, true, CLOSED}}},
	{"refused", {{O, SYN, 0, 0, 0, true, SENT}, {B, RST | ACK, 0, 1, 0, true, CLOSED}}},
	{"refused by somebody who does not know the SYN",
	 {{O, SYN, 0, 0, 0, true, SENT},
	  {B, RST | ACK, 0, 2, 0, false, SENT},
	  {B, RST | ACK, 0, 0, 0, false, SENT},
	  {B, RST, 0, 0, 0, false, SENT},
	  {B, RST, 1, 1, 0, false, SENT}}},
	{"half-open scan",
	 {{O, SYN, 0, 0, 0, true, SENT},
	  {B, SYN | ACK, 0, 1, 0, true, BOTH},
	  {O, RST, 1, 0, 0, true, CLOSED}}},
	{"whoever goes on has not reset",
	 {HANDSHAKE,
	  TALK,
	  {B, RST, 101, 0, 0, true, CLOSED},
	  {O, ACK, 101, 101, 10, true, CLOSED}, /* on its way when it came */
	  {B, ACK, 1, 101, 100, true, CLOSED},  /* overtaken by it */
	  {B, ACK, 101, 111, 0, true, ESTAB}}},

	/* RFC 5961 section 4: SYN on a live flow */
	{"SYN on a live flow, its challenge ACK, its RST, and the new flow",
	 {HANDSHAKE,
	  TALK,
	  {O, SYN, 9000, 0, 0, true, ESTAB},
	  {B, ACK, 101, 101, 0, true, ESTAB},
	  {O, RST, 101, 0, 0, true, CLOSED},
	  {O, SYN, 9000, 0, 0, true, SENT},
	  {B, SYN | ACK, 400, 9001, 0, true, BOTH},
	  {O, ACK, 9001, 401, 0, true, ESTAB}}},
	{"old SYN on a live flow", {HANDSHAKE, TALK, {O, SYN, 0, 0, 0, true, ESTAB}, TALK}},
	{"forged SYN and SYN+ACK from outside on a live flow",
	 {HANDSHAKE,
	  TALK,
	  {B, SYN, 5555, 0, 0, false, ESTAB},
	  {B, SYN | ACK, 5555, 101, 0, false, ESTAB},
	  {B, SYN | ACK, 101, 101, 0, false, ESTAB},
	  {O, ACK, 101, 101, 10, true, ESTAB}}},
	{"both ends were restarted",
	 {HANDSHAKE,
	  TALK,
	  {O, SYN, 900000, 0, 0, true, ESTAB},
	  {B, SYN | ACK, 700000, 900002, 0, false, ESTAB},
	  {B, SYN | ACK, 700000, 900001, 0, true, BOTH},
	  {O, ACK, 900001, 700001, 0, true, ESTAB},
	  {B, ACK, 700001, 900001, 100, true, ESTAB},
	  {B, RST, 101, 0, 0, false, ESTAB}}},

	/* FIN */
	{"closed by the inside, half-closed for long",
	 {HANDSHAKE,
	  TALK,
	  {O, FIN | ACK, 101, 101, 0, true, FIN1},
	  {B, ACK, 101, 102, 500, true, FIN1},
	  {O, ACK, 102, 601, 0, true, FIN1},
	  {B, ACK, 601, 102, 500, true, FIN1},
	  {O, ACK, 102, 1101, 0, true, FIN1},
	  {B, FIN | ACK, 1101, 102, 5, true, FIN1},
	  {O, ACK, 102, 1106, 0, true, FIN1},
	  {O, ACK, 102, 1107, 0, true, CLOSED}}},
	{"closed by both",
	 {HANDSHAKE, TALK, CLOSE_BOTH, {B, FIN | ACK, 101, 102, 0, true, CLOSED}}},
	{"closed by both at once",
	 {HANDSHAKE,
	  TALK,
	  {O, FIN | ACK, 101, 101, 0, true, FIN1},
	  {B, FIN | ACK, 101, 101, 0, true, FIN1},
	  {O, ACK, 102, 102, 0, true, FIN1},
	  {B, ACK, 102, 102, 0, true, CLOSED}}},
	{"FIN ahead of what it closes",
	 {HANDSHAKE,
	  TALK,
	  {B, FIN | ACK, 201, 101, 0, true, FIN1},
	  {B, ACK, 101, 101, 100, true, FIN1},
	  {O, FIN | ACK, 101, 202, 0, true, FIN1},
	  {B, ACK, 202, 102, 0, true, CLOSED}}},
	{"FIN before the handshake is over",
	 {{O, SYN, 0, 0, 0, true, SENT},
	  {B, SYN | ACK, 0, 1, 0, true, BOTH},
	  {O, FIN | ACK, 1, 1, 0, true, FIN1},
	  {B, FIN | ACK, 1, 2, 0, true, FIN1},
	  {O, ACK, 2, 2, 0, true, CLOSED}}},
	{"data behind a FIN: it was none",
	 {HANDSHAKE,
	  TALK,
	  {B, FIN | ACK, 101, 101, 0, true, FIN1},
	  {B, ACK, 101, 101, 100, true, ESTAB}}},

	/* a closed tuple */
	{"its opener starts over, with a lower number",
	 {HANDSHAKE,
	  TALK,
	  CLOSE_BOTH,
	  {O, SYN, -70000, 0, 0, true, SENT},
	  {B, SYN | ACK, 5, -69999, 0, true, BOTH},
	  {O, ACK, -69999, 6, 0, true, ESTAB}}},
	{"the other side does not, unless it is answered",
	 {HANDSHAKE,
	  TALK,
	  CLOSE_BOTH,
	  {B, SYN, 5000, 0, 0, false, CLOSED},
	  {O, RST | ACK, 0, 5001, 0, false, CLOSED},
	  {B, SYN, 6000, 0, 0, false, CLOSED},
	  {O, SYN | ACK, 900, 5001, 0, false, CLOSED},
	  {O, SYN | ACK, 900, 6001, 0, true, BOTH},
	  {B, ACK, 6001, 901, 0, true, ESTAB}}},
	{"a SYN+ACK starts nothing over by itself",
	 {HANDSHAKE,
	  TALK,
	  CLOSE_BOTH,
	  {B, SYN | ACK, 5000, 102, 0, false, CLOSED},
	  {O, SYN | ACK, 5000, 102, 0, false, CLOSED}}},
};

/* Initial sequence numbers, so that some step of each conversation wraps. */
static const uint32_t starts[] = {0,          0xffffffff, 0xfffffffe, 0xffffffc0, 0xffffff9a,
				  0x7fffffff, 0x7fffffd0, 0xfffffc00, 0x12345678};

static void run_talk(const struct talk *talk, uint32_t isn_out, uint32_t isn_back)
{
	struct xe_session s;

	begin(&s);
	s.flags = talk->steps[0].dir == B ? XE_SF_FROM_OUTSIDE : 0;
	for (size_t i = 0; i < CNT(talk->steps) && talk->steps[i].state; i++) {
		const struct step *t = &talk->steps[i];
		struct seg g = {
			.seq = (uint32_t)t->seq + (t->dir == O ? isn_out : isn_back),
			.ack = t->flags & ACK
				       ? (uint32_t)t->ack + (t->dir == O ? isn_back : isn_out)
				       : 0,
			.len = t->len,
			.win = WIN,
			.flags = t->flags,
			.scale = NO_SCALE,
		};
		bool fits = pass(&s, t->dir, &g);

		if (fits != t->fits || s.tcp_state != t->state)
			fail_msg("%s, step %zu, from %#x and %#x: fits %d, state %d, wanted %d, %d",
				 talk->name, i + 1, isn_out, isn_back, fits, s.tcp_state, t->fits,
				 t->state);
	}
}

static void test_talks(void **state)
{
	(void)state;
	for (size_t i = 0; i < CNT(talks); i++)
		for (size_t a = 0; a < CNT(starts); a++)
			for (size_t b = 0; b < CNT(starts); b++)
				run_talk(&talks[i], starts[a], starts[b]);
}

/* What does not fit leaves not one bit different, a SYN from inside excepted (it waits for its
 * answer). */
static void test_what_does_not_fit_changes_nothing(void **state)
{
	static const struct seg forged[] = {
		{.seq = 102, .flags = RST},
		{.seq = 101 + WIN - 1, .ack = 101, .flags = RST | ACK},
		{.seq = 0x40000000, .flags = RST},
		{.seq = 102 + WIN, .ack = 101, .flags = FIN | ACK},
		{.seq = 101, .ack = 102, .flags = FIN | ACK, .win = 0xffff},
		{.seq = 101, .flags = FIN, .win = 0xffff},
		{.seq = 5000, .flags = SYN, .win = 0xffff, .scale = 14},
		{.seq = 5000, .ack = 101, .flags = SYN | ACK, .win = 0xffff, .scale = 14},
		{.seq = 0x80000000, .ack = 101, .flags = ACK, .len = 1, .win = 0xffff},
	};
	static const struct step steps[] = {HANDSHAKE, TALK};
	struct xe_session s, before;

	(void)state;
	begin(&s);
	for (size_t i = 0; i < CNT(steps); i++)
		pass(&s, steps[i].dir,
		     &(struct seg){.seq = (uint32_t)steps[i].seq,
				   .ack = (uint32_t)steps[i].ack,
				   .len = steps[i].len,
				   .flags = steps[i].flags,
				   .win = WIN,
				   .scale = NO_SCALE});
	before = s;
	for (size_t i = 0; i < CNT(forged); i++) {
		assert_false(pass(&s, B, &forged[i]));
		assert_memory_equal(&s, &before, sizeof(s));
	}
}

/* RFC 7323 section 2: scaling holds when both offer it, never for a handshake's own windows. */
static void test_scaling(void **state)
{
	static const struct {
		int out, back;
		uint32_t window; /* of what the inside offers by 100 in a later segment */
	} cases[] = {{NO_SCALE, NO_SCALE, 1000},
		     {7, NO_SCALE, 1000},
		     {NO_SCALE, 7, 1000},
		     {0, 0, 1000},
		     {4, 0, 1600},
		     {7, 7, 12800},
		     {14, 2, 100 << 14},
		     {200, 7, 100 << 14}};

	(void)state;
	for (size_t i = 0; i < CNT(cases); i++) {
		struct seg syn = {.flags = SYN, .win = 1000, .scale = cases[i].out};
		struct seg syn_ack = {
			.flags = SYN | ACK, .ack = 1, .win = 1000, .scale = cases[i].back};
		struct seg ack = {.seq = 1, .ack = 1, .flags = ACK, .win = 100};
		struct seg over = {.seq = 1, .ack = 1, .flags = ACK, .len = cases[i].window + 2};
		struct seg within = {.seq = 1, .ack = 1, .flags = ACK, .len = cases[i].window};
		struct xe_session s;

		begin(&s);
		assert_true(pass(&s, O, &syn));
		assert_true(pass(&s, B, &syn_ack));
		assert_true(pass(&s, O, &ack));
		assert_true(pass(&s, O, &ack));
		assert_int_equal(s.tcp_state, ESTAB);
		/* what the SYN itself offered may be rounded up to the next multiple */
		over.len += cases[i].out > 0 && cases[i].back != NO_SCALE ? 1u << 14 : 0;
		assert_false(pass(&s, B, &over));
		assert_true(pass(&s, B, &within));
	}
}

/* Option lists that lie are not walked beyond the header. */
static void test_options_bounded(void **state)
{
	(void)state;
	for (int i = 0; i < 200000; i++) {
		uint32_t hdr_len = 20 + 4 * (uint32_t)(lf_random() % 11);
		uint8_t l4[hdr_len]; /* a byte more, and AddressSanitizer says so */
		struct xe_session s;

		for (uint32_t n = 0; n < hdr_len; n++)
			l4[n] = lf_random() & 1 ? (uint8_t)(lf_random() % 5) : (uint8_t)lf_random();
		l4[13] = SYN;
		begin(&s);
		xe_tcp_track(&s, O, l4, hdr_len, hdr_len);
		assert_in_range(xe_tcp_scale(&s, O), 0, XE_TCP_NO_SCALE);
	}
}

/* ---- the slow model ---- */

struct model_side {
	bool syn, acked, fin, rst;
	int64_t end, ack; /* absolute: no wrap */
	int64_t win;      /* bytes */
	int scale;
	bool again;
	int64_t again_end;
};

struct model {
	struct model_side side[2];
	int state;
};

/* A segment with absolute numbers. */
struct big {
	int64_t seq, ack, len;
	int win, flags, scale;
};

static int model_state(const struct model *m)
{
	const struct model_side *o = &m->side[0], *b = &m->side[1];

	if (o->rst || b->rst)
		return CLOSED;
	if (o->fin && b->fin && o->ack >= b->end && b->ack >= o->end)
		return CLOSED;
	if (o->fin || b->fin)
		return FIN1;
	if (o->acked && b->acked)
		return ESTAB;
	return o->syn && b->syn ? BOTH : SENT;
}

static void model_forget(struct model *m)
{
	memset(m->side, 0, sizeof(m->side));
	m->side[0].scale = m->side[1].scale = NO_SCALE;
}

static void model_side_opens(struct model *m, int dir, const struct big *g)
{
	struct model_side *me = &m->side[dir], *peer = &m->side[!dir];
	bool same = me->syn && peer->ack == g->seq + 1;

	if (!same || g->seq + 1 + g->len > me->end)
		me->end = g->seq + 1 + g->len;
	if (!me->acked)
		peer->ack = g->seq + 1;
	if (!same || g->win > me->win)
		me->win = g->win;
	me->scale = g->scale;
	me->syn = true;
}

static void model_acked(struct model *m, int dir)
{
	if (m->side[dir].acked)
		return;
	m->side[dir].acked = true;
	if (!m->side[!dir].acked)
		return;
	for (int i = 0; i < 2; i++) {
		if (m->side[0].scale == NO_SCALE || m->side[1].scale == NO_SCALE)
			continue;
		if (m->side[i].scale) /* kept in units of the scale, rounded up */
			m->side[i].win = ((m->side[i].win >> m->side[i].scale) + 1)
					 << m->side[i].scale;
	}
	if (m->side[0].scale == NO_SCALE || m->side[1].scale == NO_SCALE)
		m->side[0].scale = m->side[1].scale = 0;
}

static bool model_syn(struct model *m, int dir, const struct big *g)
{
	struct model_side *me = &m->side[dir], *peer = &m->side[!dir];
	bool opening = m->state == SENT || m->state == BOTH;

	if (m->state == CLOSED && dir == O) {
		model_forget(m);
		model_side_opens(m, dir, g);
		m->state = SENT;
		return true;
	}
	if (opening && me->syn && peer->ack == g->seq + 1) {
		model_side_opens(m, dir, g);
		return true;
	}
	if (m->state == SENT && me->syn) {
		if (dir == B)
			return false;
		model_forget(m);
		model_side_opens(m, dir, g);
		return true;
	}
	if (opening && !me->acked && !peer->acked) {
		model_side_opens(m, dir, g);
		m->state = model_state(m);
		return dir == O;
	}
	if (dir == B && m->state != CLOSED)
		return false;
	peer->again = false;
	me->again = true;
	me->again_end = g->seq + 1;
	return dir == O;
}

static bool model_syn_ack(struct model *m, int dir, const struct big *g)
{
	struct model_side *me = &m->side[dir], *peer = &m->side[!dir];

	if (peer->again && g->ack == peer->again_end) {
		struct big syn = {.seq = g->ack - 1, .win = 0xffff, .scale = 14};

		model_forget(m);
		model_side_opens(m, !dir, &syn);
		m->state = SENT;
	}
	if ((m->state != SENT && m->state != BOTH) || !peer->syn || g->ack < me->ack ||
	    g->ack > peer->end)
		return false;
	if (me->acked && peer->ack != g->seq + 1)
		return false;
	model_side_opens(m, dir, g);
	me->ack = g->ack;
	model_acked(m, !dir);
	m->state = model_state(m);
	return true;
}

static bool model_rst(struct model *m, int dir, const struct big *g)
{
	struct model_side *me = &m->side[dir], *peer = &m->side[!dir];
	bool exact =
		me->syn && (g->seq == me->end || g->seq == peer->ack) && (dir == O || peer->acked);
	bool refusal = !peer->acked && peer->syn && (g->flags & ACK) && g->ack >= me->ack &&
		       g->ack <= peer->end;

	if (!exact && !refusal)
		return false;
	me->rst = true;
	m->state = CLOSED;
	return true;
}

static bool model_other(struct model *m, int dir, const struct big *g)
{
	struct model_side *me = &m->side[dir], *peer = &m->side[!dir];
	bool fin = g->flags & FIN;
	int64_t end = g->seq + g->len + fin;

	if (!(g->flags & ACK) || !me->syn || !peer->syn)
		return false;
	if (g->ack > peer->end || g->ack < me->ack - (peer->acked ? me->win : 0))
		return false;
	if (end > peer->ack + peer->win + 1 || end < me->end - peer->win - 1)
		return false;
	model_acked(m, !dir);
	if (((int64_t)g->win << (m->side[!dir].acked && me->acked ? me->scale : 0)) > me->win)
		me->win = (int64_t)g->win << (m->side[!dir].acked && me->acked ? me->scale : 0);
	if (end > me->end) {
		me->end = end;
		me->fin = me->rst = false;
	}
	if (g->ack > me->ack) {
		me->ack = g->ack;
		me->rst = false;
	}
	if (fin && end == me->end)
		me->fin = true;
	m->state = model_state(m);
	return true;
}

static bool model_pass(struct model *m, int dir, const struct big *g)
{
	if (g->flags & RST)
		return model_rst(m, dir, g);
	if ((g->flags & (SYN | ACK)) == SYN)
		return model_syn(m, dir, g);
	if (g->flags & SYN)
		return model_syn_ack(m, dir, g);
	return model_other(m, dir, g);
}

static uint32_t below(uint32_t n)
{
	return (uint32_t)(lf_random() >> 20) % n;
}

/* A number near one that matters. */
static int64_t near(const struct model *m, int dir)
{
	const struct model_side *me = &m->side[dir], *peer = &m->side[!dir];
	int64_t n = below(3) ? me->end : peer->ack;

	switch (below(8)) {
	case 0:
		return n + (int64_t)below(5) - 2;
	case 1:
		return peer->ack + peer->win + (int64_t)below(5) - 2;
	case 2:
		return me->end - peer->win + (int64_t)below(5) - 3;
	case 3:
		return n + (int64_t)below(200000) - 100000;
	default:
		return n;
	}
}

static struct big random_segment(const struct model *m, int dir)
{
	static const int flags[] = {ACK,       ACK, ACK,       ACK | PSH, ACK,
				    ACK | PSH, SYN, SYN | ACK, FIN | ACK, RST,
				    RST | ACK, 0,   ACK,       SYN | ACK};
	struct big g = {
		.flags = flags[below(CNT(flags))],
		.win = (int)below(below(4) ? 3000 : 65536),
		.scale = NO_SCALE,
	};

	g.seq = near(m, dir);
	g.ack = near(m, !dir);
	if (g.flags & SYN) {
		g.scale = below(2) ? (int)below(5) : NO_SCALE;
		g.len = below(4) ? 0 : below(100);
		g.seq -= below(2);
		if (m->side[!dir].again && below(2))
			g.ack = m->side[!dir].again_end;
	} else if (below(2)) {
		g.len = below(below(8) ? 1500 : 65000);
	}
	return g;
}

static void expect_same(const struct xe_session *s, const struct model *m, uint64_t n)
{
	for (int dir = 0; dir < 2; dir++) {
		const struct model_side *side = &m->side[dir];

		if (!side->syn)
			continue;
		if (s->tcp_end[dir] != (uint32_t)side->end)
			fail_msg("segment %llu: end %d", (unsigned long long)n, dir);
		if (m->side[!dir].syn && s->tcp_ack[dir] != (uint32_t)side->ack)
			fail_msg("segment %llu: ack %d", (unsigned long long)n, dir);
	}
}

/* A conversation of both sides and of forgers who know a lot. */
static void walk(uint64_t segments, int64_t start)
{
	struct xe_session s;
	struct model m = {.state = SENT};
	uint32_t seen[CLOSED + 1] = {};

	begin(&s);
	model_forget(&m);
	m.side[0].end = start; /* where random numbers begin */
	m.side[1].end = start + 12345;
	m.side[0].ack = m.side[1].end;
	m.side[1].ack = m.side[0].end;
	for (uint64_t n = 0; n < segments; n++) {
		int dir = (int)below(2);
		struct big g = n ? random_segment(&m, dir)
				 : (struct big){.seq = start, .flags = SYN, .scale = NO_SCALE};
		struct seg wire;
		bool fits, wanted;

		if (!n)
			dir = O;
		wire = (struct seg){
			.seq = (uint32_t)g.seq,
			.ack = (uint32_t)g.ack,
			.len = (uint32_t)g.len,
			.win = (uint16_t)g.win,
			.flags = (uint8_t)g.flags,
			.scale = g.scale,
		};
		wanted = model_pass(&m, dir, &g);
		fits = pass(&s, (enum xe_dir)dir, &wire);
		if (fits != wanted || s.tcp_state != m.state)
			fail_msg("segment %llu, direction %d, flags %#x: fits %d, state %d, wanted "
				 "%d, %d",
				 (unsigned long long)n, dir, g.flags, fits, s.tcp_state, wanted,
				 m.state);
		expect_same(&s, &m, n);
		seen[m.state]++;
	}
	for (int i = SENT; i <= CLOSED; i++)
		if (!seen[i])
			fail_msg("state %d was never reached", i);
}

static void test_random_walk(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 50; i++)
		walk(40000, 0xffffffffll * (int64_t)(1 + i % 3) - below(100000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_talks),
		cmocka_unit_test(test_what_does_not_fit_changes_nothing),
		cmocka_unit_test(test_scaling),
		cmocka_unit_test(test_options_bounded),
		cmocka_unit_test(test_random_walk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
