/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fuzz_takeover.c - what one process may tell another at takeover.sock (takeover_wire.h). The first
 * byte of an input says which part of it the rest is:
 *
 *   words  any bytes as a message, with descriptors: no descriptor is lost, what is too short is
 *          0, and whoever says HELLO is let in by a version and sizes that both have, or told why
 *          not in one line.
 *   lanes  what comes with FROZEN (tests/unit/takeover_fixture.h), in structures of any sizes, with
 *          numbers, sockets, held packets and bytes changed: refused before a frame has moved, or
 *          frames and packets add up afterwards.
 *   flows  files of COPIED and FROZEN, one after the other: of each slot the last one's word
 * counts, and all of those that are left wait for their port.
 *
 *   clang -fsanitize=fuzzer,address,undefined ... && ./fuzz_takeover tests/fuzz/corpus/takeover
 *
 * sources: tests/unit/takeover_fixture.c
 * sources: tests/unit/lane_fixture.c tests/unit/packet_fixture.c -lcmocka
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../unit/takeover_fixture.h"
#include "base/insum.h"
#include "base/log.h"
#include "control/flow_export.h"
#include "control/takeover_flows.h"

#define WORKERS   2u
#define SLOTS     24u /* of each that is told of */
#define FILES_MAX 8u

/* libFuzzer keeps the input. */
#define must(x)                                                                                    \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x);                    \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

struct script {
	const uint8_t *at, *end;
};

static struct tf *t;
static uint32_t ours[XE_TO_SIZES];

static uint32_t take(struct script *s, uint32_t below)
{
	return s->at < s->end ? *s->at++ % below : 0;
}

static uint32_t take32(struct script *s)
{
	uint32_t v = 0;

	for (int i = 0; i < 4; i++)
		v = v << 8 | take(s, 256);
	return v;
}

/* ---- words ---- */

static void check_line(const char *why)
{
	must(*why && memchr(why, '\0', XE_TO_TEXT));
	for (; *why; why++)
		must(isprint((unsigned char)*why));
}

static void check_agree(const struct xe_to_msg *msg)
{
	char why[XE_TO_TEXT] = "";
	uint16_t version = 0;

	if (xe_to_agree(msg, &version, why)) {
		check_line(why);
		return;
	}
	must(xe_to_speaks(version) && version <= msg->version);
	must(msg->hello.version_min <= version || msg->hello.version_min > msg->version);
	for (int i = XE_TO_META; i <= XE_TO_RING; i++)
		must(msg->hello.size[i] == ours[i]);
}

static void send_word(struct script *s, int sock, uint32_t fd_cnt, size_t len)
{
	char control[CMSG_SPACE(8 * sizeof(int))] = {};
	struct iovec iov = {.iov_base = (void *)s->at, .iov_len = len};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *c;

	if (fd_cnt) {
		mh.msg_control = control;
		mh.msg_controllen = CMSG_SPACE(fd_cnt * sizeof(int));
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(fd_cnt * sizeof(int));
		for (uint32_t i = 0; i < fd_cnt; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &sock, sizeof(int));
	}
	must(sendmsg(sock, &mh, MSG_NOSIGNAL) == (ssize_t)len);
}

static int next_fd(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

static void words(struct script *s)
{
	uint32_t fd_cnt = take(s, 8);
	size_t len = (size_t)(s->end - s->at);
	struct xe_to_msg msg, sent = {};
	struct xe_to_fds fds;
	int pair[2], free_fd;

	if (len > 60000)
		return;
	must(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
	free_fd = next_fd();
	send_word(s, pair[0], fd_cnt, len);
	memcpy(&sent, s->at, len < sizeof(sent) ? len : sizeof(sent));
	if (xe_to_recv(pair[1], &msg, &fds, 0)) {
		must(!fds.cnt && (len < 8 || sent.magic != XE_TO_MAGIC));
	} else {
		must(len >= 8 && fds.cnt == fd_cnt);
		if (msg.type == XE_TO_REFUSED) {
			must(memchr(msg.text, '\0', sizeof(msg.text)) != NULL);
			sent.text[sizeof(sent.text) - 1] = '\0';
		}
		must(!memcmp(&msg, &sent, sizeof(msg)));
		if (msg.type == XE_TO_HELLO)
			check_agree(&msg);
		xe_to_close_fds(&fds);
	}
	must(next_fd() == free_fd);
	close(pair[0]);
	close(pair[1]);
}

/* ---- lanes ---- */

static uint32_t other_size(struct script *s, uint32_t size)
{
	static const int by[] = {8, 16, 4, 1, -1, -4, -8};
	uint32_t how = take(s, 10);

	return how < 7 ? size + (uint32_t)by[how] : how == 7 ? 0 : take32(s);
}

static void change_numbers(struct script *s)
{
	struct xe_to_frozen *f = &t->take->frozen;
	uint32_t *numbers[] = {&f->frame_cnt,
			       &f->worker_cnt,
			       &f->socket_cnt,
			       &f->held_cnt,
			       &f->port_cnt,
			       &t->take->port_cnt,
			       &t->take->rest_cnt,
			       &t->take->welcome.frame_cnt,
			       &f->changes.cnt,
			       &t->take->welcome.size[XE_TO_SOCKET],
			       &t->take->welcome.size[XE_TO_HELD],
			       &t->take->welcome.size[XE_TO_LANE_COUNTERS],
			       &t->take->welcome.size[XE_TO_LANE_PLAIN],
			       &t->take->welcome.size[XE_TO_PORT_COUNTERS],
			       &t->take->welcome.size[XE_TO_EXT_ADDRS]};
	uint32_t *number = numbers[take(s, sizeof(numbers) / sizeof(numbers[0]))];

	*number = take(s, 2) ? *number + take(s, 8) - 4 : take32(s);
}

static void change_held(struct script *s, uint32_t held_cnt)
{
	uint32_t i = take(s, held_cnt), k;
	struct xe_to_held h = tf_held(t, i);

	if (take(s, 4) == 0)
		h.frame_cnt = take(s, 24);
	k = take(s, XE_PACKET_FRAMES);
	h.frames[k].addr = (uint64_t)take(s, 200) << XE_FRAME_SHIFT | (take32(s) & 0xfff);
	if (take(s, 8) == 0)
		h.frames[k].addr |= (uint64_t)take32(s) << 32;
	h.frames[k].len = take(s, 4) ? take(s, 256) * 16 : take32(s);
	tf_set_held(t, i, &h);
}

static void change_socket(struct script *s)
{
	uint32_t i = take(s, LF_PORT_END - 1);
	struct xe_to_socket so = tf_socket(t, i);

	so.port = (uint16_t)take(s, LF_PORT_END + 1);
	so.queue = (uint16_t)take(s, 2);
	so.fill_cnt = take(s, 32);
	so.tx_cnt = take(s, 3);
	tf_set_socket(t, i, &so);
}

static void change_bytes(struct script *s)
{
	uint32_t at =
		take(s, 2) ? take32(s) % (uint32_t)t->lanes_len : t->socket_at + take(s, 256) * 4;

	for (uint32_t n = 1 + take(s, 8); n && at < t->lanes_len; n--)
		t->lanes[at++] = (uint8_t)take(s, 256);
}

static void lanes(struct script *s)
{
	uint32_t size[XE_TO_SIZES], held_cnt = 1 + take(s, TF_HELD_MAX);
	uint32_t changed = take(s, 32);
	bool stale = take(s, 2);

	memcpy(size, ours, sizeof(size));
	for (int k = XE_TO_SOCKET; k <= XE_TO_EXT_ADDRS; k++)
		if (changed >> (k - XE_TO_SOCKET) & 1)
			size[k] = other_size(s, size[k]);
	for (int k = XE_TO_SOCKET; k <= XE_TO_EXT_ADDRS; k++)
		if (size[k] > 2 * ours[k] || size[k] < 8)
			size[k] = ours[k]; /* told so below, not written */
	tf_reset(t);
	tf_tell(t, size, held_cnt);
	for (uint32_t n = take(s, 8); n && s->at < s->end; n--) {
		switch (take(s, 5)) {
		case 0:
			change_numbers(s);
			break;
		case 1:
			change_held(s, held_cnt);
			break;
		case 2:
			change_socket(s);
			break;
		case 3:
			change_bytes(s);
			break;
		default:
			t->lanes_len -= take(s, 64) % t->lanes_len;
		}
	}
	if (tf_import(t)) {
		must(!xe_umem_audit(&t->f->lane->umem, 0, 0) && !t->f->lane->kick_cnt);
		return;
	}
	must(t->f->lane->kick_cnt < LF_PORT_END);
	tf_check_frames(t);
	for (uint16_t id = 1; id < LF_PORT_END; id++)
		must(t->f->xsk[id].fill_cnt <= XE_RING_SIZE);
	tf_go_on(t, stale);
}

/* ---- flows ---- */

struct slot {
	bool lives;
	bool told; /* in this file: a second time is refused */
};

static void add_ports(struct script *s, struct xe_flow_file *file)
{
	static const char *const names[] = {"va", "vb", "eth0", "eth1", "eth0"};
	uint32_t first = take(s, 4); /* another order, so that their numbers differ by file */

	for (uint32_t i = 0; i < 5; i++) {
		uint32_t n = (first + i) % 5;

		xe_flow_file_port(file, names[n], 10 + n, n < 2 ? XE_ROLE_INSIDE : XE_ROLE_UPLINK);
	}
}

static struct xe_flow_record record(struct script *s, const struct xe_flow_file *file)
{
	uint32_t n = take(s, 40);
	struct xe_flow_record r = {
		.src = {.w_be = {0, 0, htonl(0xffff), htonl(0x0a010002 + n % 3)}},
		.dst = {.w_be = {0, 0, htonl(0xffff), htonl(0xc6336401)}},
		.sport_be = htons((uint16_t)(4000 + n)),
		.dport_be = htons(53),
		.nat_sport_be = htons((uint16_t)(3000 + n)),
		.nat_dport_be = htons(53),
		.family = AF_INET,
		.proto = n & 1 ? IPPROTO_UDP : IPPROTO_TCP,
		.verb = XE_VERB_MASQUERADE,
		.flags = XE_FR_EXT,
		.tcp_state = n & 1 ? XE_TCP_NONE : XE_TCP_ESTABLISHED,
		.left_s = 100,
	};

	r.nat_src = (struct xe_addr){.w_be = {0, 0, htonl(0xffff), htonl(0xc0000201)}};
	r.nat_dst = r.dst;
	for (uint16_t i = 0; i < file->port_cnt; i++)
		if (file->ports[i].role == XE_ROLE_INSIDE)
			r.in_port = i;
	r.out_port = XE_FR_NO_PORT;
	return r;
}

/* Slots with a change each, some of them no more; returns whether all of it is sound. */
static bool tell_slots(struct script *s, struct slot slots[WORKERS][SLOTS],
		       struct xe_flow_changes *c)
{
	bool sound = true;

	c->list = calloc(256, sizeof(*c->list));
	for (uint32_t n = take(s, 64); n && s->at < s->end; n--) {
		struct xe_flow_change *change = &c->list[c->cnt++];
		uint32_t how = take(s, 32);

		change->worker = take(s, WORKERS);
		change->slot = take(s, SLOTS);
		change->created_s = take(s, 3);
		if (how & 1) {
			struct xe_flow_record r = record(s, &c->file);

			must(!xe_flow_record_fault(&r, c->file.port_cnt));
			must(!xe_flow_file_add(&c->file, &r));
			change->record = c->file.record_cnt;
		}
		if (how == 30) {
			change->worker = XE_MAX_WORKERS - 1 + take(s, 3);
			sound &= change->worker < XE_MAX_WORKERS;
			change->worker = sound ? 0 : change->worker;
		}
		if (how == 28) {
			change->record = take32(s);
			sound &= !change->record || change->record <= c->file.record_cnt;
		}
		if (!sound)
			continue;
		sound = !slots[change->worker][change->slot].told;
		slots[change->worker][change->slot] =
			(struct slot){.lives = change->record, .told = true};
	}
	for (uint32_t w = 0; w < WORKERS; w++)
		for (uint32_t i = 0; i < SLOTS; i++)
			slots[w][i].told = false;
	return sound;
}

static int write_file(struct script *s, const struct xe_flow_changes *c, bool *sound)
{
	uint64_t nat_ports[XE_BITMAP_WORDS] = {};
	int fd = memfd_create("flows", MFD_CLOEXEC);
	uint32_t size = t->take->welcome.size[XE_TO_CHANGE];
	uint8_t *list = calloc(c->cnt + 1, size);
	off_t len;

	xe_fit(list, size, c->list, sizeof(*c->list), c->cnt);
	must(write(fd, nat_ports, sizeof(nat_ports)) == sizeof(nat_ports));
	must(write(fd, list, (size_t)size * c->cnt) == (ssize_t)((size_t)size * c->cnt));
	free(list);
	must(!xe_flow_file_write(&c->file, fd));
	if (take(s, 16) == 15) {
		len = lseek(fd, 0, SEEK_END);
		must(!ftruncate(fd, len - 1 - (off_t)(take32(s) % (uint32_t)(len - 1))));
		*sound = false;
	}
	return fd;
}

/* One file; false: it is refused, and the takeover ends. */
static bool follow(struct script *s, struct xe_take_flows *flows, struct slot slots[WORKERS][SLOTS],
		   struct xe_adopt_counts *counts)
{
	struct xe_flow_changes c = {};
	struct xe_to_changes to = {};
	bool sound;
	int fd, ret;

	xe_flow_changes_init(&c);
	add_ports(s, &c.file);
	sound = tell_slots(s, slots, &c);
	fd = write_file(s, &c, &sound);
	to.cnt = c.cnt;
	if (take(s, 32) == 31) {
		to.cnt = take32(s);
		sound &= to.cnt == c.cnt;
	}
	if (take(s, 32) == 31) {
		t->take->welcome.size[XE_TO_CHANGE] = take32(s);
		sound = false; /* or so it happens to be */
	}
	ret = xe_take_flows_follow(t->svc, flows, fd, &to, counts);
	must(!sound || !ret);
	close(fd);
	xe_flow_changes_free(&c);
	return sound && !ret;
}

static void flows(struct script *s)
{
	static struct slot slots[WORKERS][SLOTS];
	struct xe_take_flows *told = xe_take_flows_open();
	uint32_t files = 1 + take(s, FILES_MAX), lives = 0;
	struct xe_adopt_counts counts = {};
	uint32_t now_s = t->f->lane->now_s; /* the fixture's, which it is given back */
	bool goes_on = told;

	memset(slots, 0, sizeof(slots));
	memcpy(t->take->welcome.size, ours, sizeof(ours));
	if (take(s, 4) == 3)
		t->take->welcome.size[XE_TO_CHANGE] += 8;
	while (goes_on && files--)
		goes_on = follow(s, told, slots, files ? NULL : &counts);
	for (uint32_t w = 0; w < WORKERS; w++)
		for (uint32_t i = 0; i < SLOTS; i++)
			lives += slots[w][i].lives;
	must(!goes_on || counts.waiting == lives);
	xe_take_flows_close(told);
	xe_adopt_close(t->svc);
	t->f->lane->now_s = now_s;
}

static void start(void)
{
	xe_log_set_level(XE_LOG_ERR - 1);
	xe_insum_init();
	t = tf_open();
	xe_to_our_sizes(ours);
	t->svc->config = calloc(1, sizeof(*t->svc->config));
	t->svc->steer.conf = calloc(1, sizeof(*t->svc->steer.conf));
	t->svc->steer.guarded = calloc(2 * XE_OWNED_WORDS, sizeof(*t->svc->steer.guarded));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct script s = {bytes, bytes + len};

	if (!t)
		start();
	switch (take(&s, 3)) {
	case 0:
		words(&s);
		break;
	case 1:
		lanes(&s);
		break;
	default:
		flows(&s);
	}
	return 0;
}
