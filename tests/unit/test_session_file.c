/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_session_file.c - what is in a table is in its file when the process is gone; what was being
 * written is left out; what is no such file is refused; a full file system kills nobody.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "packet_fixture.h"
#include "state/rule.h"
#include "state/ruleset.h"
#include "state/session_file.h"

#define NOW_S    5000u
#define CAPACITY 300u

struct world {
	char dir[64];
	int dir_fd;
	struct xe_session_file file;
	struct xe_sessions t;
};

static struct xe_session_file_conf conf(uint32_t capacity)
{
	return (struct xe_session_file_conf){
		.capacity = capacity,
		.worker = 2,
		.worker_cnt = 3,
		.node = -1,
		.tcp_established_s = 7440,
		.tcp_transitory_s = 240,
		.udp_s = 300,
		.dns_s = 20,
	};
}

static void set_ports(struct xe_session_file *f)
{
	struct xe_flow_port in = {.name = "veth0", .ifindex = 7, .role = XE_ROLE_INSIDE};
	struct xe_flow_port out = {.name = "eth0", .ifindex = 2, .role = XE_ROLE_UPLINK};

	in.worker = 3;
	in.worker_cnt = 3;
	xe_session_file_port(f, 5, &in);
	xe_session_file_port(f, 6, &out);
}

static void world_open(struct world *w, uint32_t capacity, const char *parent)
{
	struct xe_session_file_conf c = conf(capacity);

	snprintf(w->dir, sizeof(w->dir), "%s/xe-state-XXXXXX", parent);
	assert_non_null(mkdtemp(w->dir));
	w->dir_fd = open(w->dir, O_RDONLY | O_DIRECTORY);
	assert_true(w->dir_fd >= 0);
	assert_int_equal(xe_session_file_open(&w->file, w->dir_fd, "w2", &c), 0);
	assert_int_equal(xe_sessions_open_in(&w->t, capacity, lf_random(), lf_random(), &w->file),
			 0);
	set_ports(&w->file);
}

/* As a process that dies: nothing is tidied up in the file. */
static void world_die(struct world *w)
{
	xe_sessions_close(&w->t);
	xe_session_file_close(&w->file);
}

static void world_remove(struct world *w)
{
	unlinkat(w->dir_fd, "w2", 0);
	close(w->dir_fd);
	rmdir(w->dir);
}

static int read_back(struct world *w, struct xe_flow_file *out,
		     struct xe_session_file_counts *counts, char err[256])
{
	int fd = openat(w->dir_fd, "w2", O_RDONLY), ret;

	xe_flow_file_init(out);
	err[0] = '\0';
	ret = xe_session_file_read(fd, NOW_S, out, counts, err, 256);
	close(fd);
	return ret;
}

static struct xe_session *session(struct world *w, uint16_t sport, uint8_t proto)
{
	struct xe_tuple4 out = {.src_be = inet_addr("10.1.0.2"),
				.dst_be = inet_addr("203.0.113.7"),
				.sport_be = htons(sport),
				.dport_be = htons(443),
				.port = 5,
				.proto = proto};
	struct xe_tuple4 back = xe_tuple4_reverse(&out, XE_PORT_ANYUPLINK);
	struct xe_session *s;

	back.dst_be = inet_addr("192.0.2.1");
	s = xe_session_new(&w->t, &out, &back);
	if (!s)
		return NULL;
	s->created_s = NOW_S - 100;
	s->last_used_s = NOW_S - 10;
	s->verb = XE_VERB_MASQUERADE;
	s->mapping = proto == IPPROTO_UDP ? 0 : XE_NIL;
	s->tcp_state = proto == IPPROTO_TCP ? XE_TCP_ESTABLISHED : XE_TCP_NONE;
	s->out_port = 6;
	s->rule = 1;
	return s;
}

static struct xe_session *session6(struct world *w)
{
	struct xe_addr a = {.b = {0x20, 1, 0xd, 0xb8, [15] = 1}}, b = a, c = a;
	struct xe_tuple4 out = {.sport_be = 1,
				.dport_be = 2,
				.port = 5,
				.proto = IPPROTO_UDP,
				.family = XE_FAMILY_6};
	struct xe_tuple4 back;
	struct xe_session *s;

	b.b[15] = 2;
	c.b[15] = 3;
	out.src_be = xe_addr6_get(&w->t.addr6, &a);
	out.dst_be = xe_addr6_get(&w->t.addr6, &b);
	back = xe_tuple4_reverse(&out, XE_PORT_ANYUPLINK);
	back.dst_be = xe_addr6_get(&w->t.addr6, &c);
	s = xe_session_new(&w->t, &out, &back);
	s->created_s = s->last_used_s = NOW_S;
	s->verb = XE_VERB_SNAT;
	s->mapping = 7;
	s->rule = XE_RULE_GONE;
	s->out_port = XE_PORT_NONE;
	return s;
}

static struct xe_ruleset *rules(void)
{
	static const char *const text[] = {"kernel tcp to 0.0.0.0/0:25",
					   "masquerade filter endpoint-independent"};
	struct xe_rule rule[2];
	struct xe_ruleset *rs;
	char err[256];

	for (int i = 0; i < 2; i++)
		assert_int_equal(xe_rule_parse(text[i], &rule[i], err, sizeof(err)), 0);
	assert_int_equal(xe_ruleset_compile(rule, 2, 1, NULL, NULL, &rs, err, sizeof(err)), 0);
	return rs;
}

static void test_round_trip(void **state)
{
	struct world w = {};
	struct xe_session_file_counts counts;
	struct xe_ruleset *rs = rules();
	struct xe_flow_file out;
	const struct xe_flow_record *r;
	char err[256];

	(void)state;
	world_open(&w, CAPACITY, "/tmp");
	xe_session_file_rules(&w.file, rs);
	for (uint16_t i = 0; i < 200; i++)
		session(&w, (uint16_t)(1000 + i), i & 1 ? IPPROTO_TCP : IPPROTO_UDP);
	for (uint32_t i = 0; i < 50; i++)
		xe_session_free(&w.t, &w.t.slots[i * 3]);
	session6(&w);
	world_die(&w);
	assert_int_equal(read_back(&w, &out, &counts, err), 0);
	assert_int_equal(counts.taken, 151);
	assert_int_equal(counts.left_out, 0);
	assert_int_equal(out.record_cnt, 151);
	assert_int_equal(out.port_cnt, 2);
	assert_string_equal(out.ports[0].name, "veth0");
	assert_int_equal(out.ports[0].worker, 3);
	for (uint32_t i = 0; i < out.record_cnt; i++) {
		r = &out.records[i];
		assert_null(xe_flow_record_fault(r, out.port_cnt));
		assert_int_equal(r->in_port, 0);
		if (r->family == AF_INET6) {
			assert_int_equal(r->nat_src.b[15], 3);
			assert_int_equal(r->dst.b[15], 2);
			assert_int_equal(r->out_port, XE_FR_NO_PORT);
			assert_int_equal(r->rule_id, 0);
			continue;
		}
		assert_int_equal(r->out_port, 1);
		assert_int_equal(r->idle_s, 10);
		assert_int_equal(r->age_s, 100);
		assert_int_equal(r->left_s, r->proto == IPPROTO_TCP ? 7430 : 290);
		assert_true(r->rule_id == rs->ids[1]);
		assert_int_equal(r->filter, r->proto == IPPROTO_UDP ? XE_FILTER_INDEPENDENT
								    : XE_FILTER_DEFAULT);
	}
	xe_flow_file_free(&out);
	xe_ruleset_free(rs);
	world_remove(&w);
}

/* What makes no sense is left out, one by one. */
static void test_torn(void **state)
{
	struct world w = {};
	struct xe_session_file_counts counts;
	struct xe_flow_file out;
	char err[256];
	struct xe_session *s;

	(void)state;
	world_open(&w, CAPACITY, "/tmp");
	session(&w, 1, IPPROTO_TCP);
	session(&w, 2, IPPROTO_TCP)->created_s = 0;
	session(&w, 3, IPPROTO_TCP)->verb = XE_VERB_KERNEL;
	session(&w, 4, IPPROTO_TCP)->last_used_s = NOW_S + 100;
	session(&w, 5, IPPROTO_TCP)->tcp_state = XE_TCP_NONE;
	session(&w, 6, IPPROTO_TCP)->key[XE_DIR_OUT].port = 9;
	session(&w, 7, IPPROTO_TCP)->key[XE_DIR_OUT].port = 60000;
	session(&w, 8, IPPROTO_TCP)->key[XE_DIR_BACK].proto = 0;
	session(&w, 9, IPPROTO_TCP)->key[XE_DIR_BACK].port = 77;
	session(&w, 10, IPPROTO_TCP)->ext = 5000;
	session(&w, 11, IPPROTO_TCP)->key[XE_DIR_OUT].proto = 47;
	session(&w, 12, IPPROTO_TCP)->key[XE_DIR_OUT].family = 3;
	s = session6(&w);
	s->key[XE_DIR_BACK].src_be = 999999;
	world_die(&w);
	assert_int_equal(read_back(&w, &out, &counts, err), 0);
	assert_int_equal(counts.taken, 1);
	assert_int_equal(counts.left_out, 12);
	xe_flow_file_free(&out);
	world_remove(&w);
}

static void spoil(struct world *w, off_t at, const char *bytes, size_t len)
{
	int fd = openat(w->dir_fd, "w2", O_RDWR);

	assert_int_equal(pwrite(fd, bytes, len, at), len);
	close(fd);
}

static void expect_refused(struct world *w, const char *why)
{
	struct xe_session_file_counts counts;
	struct xe_flow_file out;
	char err[256];

	assert_int_equal(read_back(w, &out, &counts, err), -EINVAL);
	if (!strstr(err, why))
		fail_msg("`%s` does not say `%s`", err, why);
	assert_int_equal(out.record_cnt, 0);
	xe_flow_file_free(&out);
}

static void resize(struct world *w, off_t size)
{
	int fd = openat(w->dir_fd, "w2", O_RDWR);

	assert_int_equal(ftruncate(fd, size), 0);
	close(fd);
}

/* The file of a process that had one session when it died. */
static void world_died(struct world *w)
{
	world_open(w, CAPACITY, "/tmp");
	session(w, 1, IPPROTO_TCP);
	world_die(w);
}

static void test_refused(void **state)
{
	struct world w = {};

	(void)state;
	world_died(&w);
	spoil(&w, 16, "other boot", 10);
	expect_refused(&w, "before this host was started");
	spoil(&w, 12, "layo", 4);
	expect_refused(&w, "another version");
	spoil(&w, 8, "\x7f", 1);
	expect_refused(&w, "another version");
	spoil(&w, 0, "X", 1);
	expect_refused(&w, "not a state file");
	resize(&w, 100);
	expect_refused(&w, "not a state file");
	world_remove(&w);
}

static void test_cut(void **state)
{
	struct world w = {};

	(void)state;
	world_died(&w);
	resize(&w, 1 << 20);
	expect_refused(&w, "smaller than it says");
	world_remove(&w);
}

/* 24 MiB of tmpfs for a table of 128: it grows as far as it can, the rest is not kept. */
static void test_full(void **state)
{
	struct world w = {};
	struct xe_session_file_counts counts;
	struct xe_flow_file out;
	char err[256], at[] = "/tmp/xe-full-XXXXXX";
	uint32_t kept;

	(void)state;
	assert_non_null(mkdtemp(at));
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("tmpfs", at, "tmpfs", 0, "size=24m")) {
		rmdir(at);
		skip();
	}
	world_open(&w, 1 << 20, at);
	for (uint32_t i = 0; i < 65000; i++)
		assert_non_null(session(&w, (uint16_t)(i + 1), IPPROTO_TCP));
	assert_int_equal(xe_session_file_grow(&w.file, &w.t), 0);
	kept = w.t.backed;
	assert_int_equal(kept, 131072);
	for (uint32_t i = 0; i < 65000; i++)
		assert_non_null(session(&w, (uint16_t)(i + 1), IPPROTO_UDP));
	assert_int_equal(xe_session_file_grow(&w.file, &w.t), -ENOSPC);
	assert_int_equal(w.t.backed, 1 << 20);
	for (uint32_t i = 0; i < 500; i++) {
		uint32_t used = w.t.high;

		w.t.high = kept + i;
		memset(&w.t.slots[w.t.high], 0x55, sizeof(w.t.slots[0])); /* no SIGBUS */
		memset(&w.t.slots[w.t.high], 0, sizeof(w.t.slots[0]));
		w.t.high = used;
	}
	w.t.addr6.high = 1; /* addresses follow when they need to, and it has been said */
	assert_int_equal(xe_session_file_grow(&w.file, &w.t), 0);
	assert_int_equal(w.t.addr6.backed, w.t.addr6.capacity);
	memset(&w.t.addr6.slots[w.t.addr6.capacity - 1], 0x55, sizeof(w.t.addr6.slots[0]));
	world_die(&w);
	assert_int_equal(read_back(&w, &out, &counts, err), 0);
	assert_int_equal(counts.taken, 130000);
	xe_flow_file_free(&out);
	world_remove(&w);
	umount(at);
	rmdir(at);
}

/* UDP L4 ports that rest do so for what is left of their time; of several files the longest counts.
 */
static void test_rests(void **state)
{
	static const struct {
		uint32_t age, left;
	} cases[] = {{0, 120}, {1, 119}, {60, 60}, {119, 1}, {120, 0}, {5000, 0}};
	static uint8_t left_s[65536];
	struct world w;
	uint32_t *rested, sum = 0;
	int fd;

	(void)state;
	world_open(&w, CAPACITY, "/tmp");
	rested = xe_session_file_rested(&w.file);
	for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		rested[1000 + i] = NOW_S + 1 - cases[i].age;
	rested[65535] = NOW_S + 3; /* by a clock that is behind: it has just begun */
	rested[2000] = NOW_S + 1 - 100;
	left_s[2000] = 70;
	left_s[2001] = 3;
	world_die(&w);
	fd = openat(w.dir_fd, "w2", O_RDONLY);
	xe_session_file_rests(fd, NOW_S, left_s);
	for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(left_s[1000 + i], cases[i].left);
	assert_int_equal(left_s[65535], 120);
	assert_int_equal(left_s[2000], 70);
	assert_int_equal(left_s[2001], 3);
	for (uint32_t p = 0; p < 65536; p++)
		sum += left_s[p];
	assert_int_equal(sum, 120 + 119 + 60 + 1 + 120 + 70 + 3);
	close(fd);
	/* none of ours says nothing */
	fd = openat(w.dir_fd, "w2", O_RDWR);
	assert_int_equal(pwrite(fd, "y", 1, 0), 1);
	memset(left_s, 0, sizeof(left_s));
	xe_session_file_rests(fd, NOW_S, left_s);
	for (uint32_t p = 0; p < 65536; p++)
		assert_int_equal(left_s[p], 0);
	close(fd);
	world_remove(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_torn),
		cmocka_unit_test(test_refused),    cmocka_unit_test(test_cut),
		cmocka_unit_test(test_full),       cmocka_unit_test(test_rests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
