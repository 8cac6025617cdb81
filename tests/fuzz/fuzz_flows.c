/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fuzz_flows.c - any bytes as a file of flows. What is taken must be sound, and written again must
 * be read as the same. The checksum is put right in every other input, so that what lies behind it
 * is reached.
 *
 * Then the flows are adopted into a lane (tests/unit/lane_fixture.h), which must be in order:
 * no two sessions have one tuple, mappings and L4 ports are counted as they are used, everything a
 * session holds is held once. At the end of time nothing is left over.
 *
 *   clang -fsanitize=fuzzer,address,undefined ... && ./fuzz_flows tests/fuzz/corpus/flows
 *
 * sources: tests/unit/lane_fixture.c tests/unit/packet_fixture.c -lcmocka
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include "../unit/lane_fixture.h"
#include "base/insum.h"
#include "pipeline/adopt.h"
#include "state/flow_record.h"
#include "state/session_record.h"

#define CRC_AT     56u
#define HEADER     64u
#define INPUT_SIZE 65536u
#define SESSIONS   256u /* fewer than an input can have flows */
#define RULES      9u
/* data[0]: what the input says about the way it is taken */
#define PUT_CRC 0x01
#define GROUPS  0x02 /* adopted in groups, next hops listed */
#define BY_TAGS 0x04 /* another worker has all L4 ports */

static const char *const rules[RULES + 1] = {
	"dnat tcp to 192.0.2.1:8080 dest 10.1.0.2:80",
	"dnat udp to 192.0.2.1:7000-7009 dest 10.2.0.3:9000-9009",
	"nat from 10.2.0.16/28 source 192.0.2.128/28",
	"accept from 10.1.0.0/16 to 10.2.0.0/16",
	"masquerade udp to 198.51.100.0/24:1000 filter endpoint-independent",
	"masquerade udp to 198.51.100.0/24:2000 filter address-dependent limit 1000pps",
	"snat tcp to 198.51.100.0/24:81 source 192.0.2.10-192.0.2.12 no-limit",
	"masquerade limit 10mbit",
	"accept udp to 10.1.0.9:53 in eth1",
	NULL,
};

static struct lf *f;
static uint32_t addr6_cnt; /* of the Ext addresses */

static void must(int ok)
{
	if (!ok)
		abort(); /* libFuzzer keeps the input */
}

static void put_crc(uint8_t *bytes, size_t len)
{
	uint32_t crc;

	memset(bytes + CRC_AT, 0, sizeof(crc));
	crc = (uint32_t)crc32(0, bytes, (uInt)len);
	memcpy(bytes + CRC_AT, &crc, sizeof(crc));
}

static void again(const struct xe_flow_file *file)
{
	int fd = memfd_create("again", MFD_CLOEXEC);
	struct xe_flow_file copy;
	char err[256];

	must(fd >= 0 && !xe_flow_file_write(file, fd) && !lseek(fd, 0, SEEK_SET));
	must(!xe_flow_file_read(&copy, fd, err, sizeof(err)));
	must(copy.record_cnt == file->record_cnt && copy.port_cnt == file->port_cnt);
	must(!file->record_cnt ||
	     !memcmp(copy.records, file->records, file->record_cnt * sizeof(*file->records)));
	xe_flow_file_free(&copy);
	close(fd);
}

/* ---- adopted ---- */

static uint16_t port_id(const struct xe_flow_file *file, uint16_t idx)
{
	if (idx == XE_FR_NO_PORT)
		return XE_PORT_NONE;
	return (file->ports[idx].role == XE_ROLE_INSIDE ? LF_INSIDE : LF_UPLINK) + idx % 2;
}

static struct xe_adoptee adoptee(const struct xe_flow_file *file, const struct xe_flow_record *r,
				 uint8_t how)
{
	bool ext = r->flags & XE_FR_EXT && !(how & BY_TAGS);
	uint64_t rule = r->rule_id % (RULES + 1);

	return (struct xe_adoptee){
		.record = r,
		.in_port = port_id(file, r->in_port),
		.out_port = port_id(file, r->out_port),
		.out_inside = r->out_port != XE_FR_NO_PORT &&
			      file->ports[r->out_port].role == XE_ROLE_INSIDE,
		.ext = ext ? xe_natpool_ext(&f->lane->pool, &r->nat_src) : XE_NIL,
		.rule = rule < RULES ? (uint16_t)rule : XE_RULE_GONE,
		.age_s = r->age_s & INT32_MAX,
		.idle_s = r->idle_s & INT32_MAX,
	};
}

static bool is_taken(const struct xe_flow_file *file, const struct xe_flow_record *r, int outside)
{
	return r->in_port != XE_FR_NO_PORT && file->ports[r->in_port].role == XE_ROLE_INSIDE &&
	       !!(r->flags & XE_FR_FROM_OUTSIDE) == outside;
}

/* Not before the lane's clock began. */
static uint32_t ago_s(uint32_t s)
{
	return s < f->lane->now_s ? s : f->lane->now_s - 1;
}

/* A session is what its record says. */
static void expect_same(const struct xe_adoptee *a, const struct xe_session *s)
{
	const struct xe_flow_record *r = a->record;
	struct xe_flow_record is;

	xe_session_record(&f->lane->sessions, s, f->lane->now_s, &is);
	must(!memcmp(&is, r, offsetof(struct xe_flow_record, in_port)));
	must(is.in_port == a->in_port && is.age_s == ago_s(a->age_s) &&
	     is.idle_s == ago_s(a->idle_s));
	must(!memcmp(is.packets, r->packets, sizeof(is.packets)) &&
	     !memcmp(is.bytes, r->bytes, sizeof(is.bytes)));
	must(!memcmp(is.mac_back, r->mac_back, 6) && is.verb == r->verb);
	must(is.tcp_state == r->tcp_state &&
	     (r->proto == IPPROTO_UDP || !memcmp(is.tcp_end, r->tcp_end, sizeof(is.tcp_end))));
	must((s->ext == XE_EXT_NONE) == (a->ext == XE_NIL || s->ext != a->ext));
}

static uint32_t adopt_group(const struct xe_adoptee *a, uint32_t cnt, uint8_t how)
{
	const struct xe_adoptee *which[XE_ADOPT_GROUP];
	struct xe_session *made[XE_ADOPT_GROUP];
	enum xe_adopted outcome[XE_ADOPT_GROUP];
	uint32_t listed[2 * XE_ADOPT_GROUP], n = 0;

	for (uint32_t i = 0; i < cnt; i++)
		which[i] = &a[i];
	if (how & GROUPS) {
		f->lane->nexthops.listed = listed;
		f->lane->nexthops.listed_size = 2 * XE_ADOPT_GROUP;
		f->lane->nexthops.listed_cnt = 0;
	}
	xe_adopt_group(f->lane, which, cnt, outcome, made);
	f->lane->nexthops.listed = NULL;
	for (uint32_t i = 0; i < cnt; i++) {
		bool new = outcome[i] == XE_ADOPTED || outcome[i] == XE_ADOPTED_TAGS;

		must(new == !!made[i] && outcome[i] != XE_ADOPT_LATER);
		n += new;
		if (!new)
			continue;
		expect_same(&a[i], made[i]);
		must((outcome[i] == XE_ADOPTED_TAGS) ==
		     (a[i].record->flags & XE_FR_EXT && made[i]->ext == XE_EXT_NONE));
		must(xe_adopt_is_taken(f->lane, a[i].record) || a[i].out_inside);
		must(xe_adopt(f->lane, &a[i], NULL) ==
		     (outcome[i] == XE_ADOPTED_TAGS ? XE_ADOPT_THERE_TAGS : XE_ADOPT_THERE));
	}
	lf_answer(f);
	return n;
}

/* Those from inside first, as the service does it. Returns how many there are now. */
static uint32_t adopt_all(const struct xe_flow_file *file, uint8_t how)
{
	struct xe_adoptee a[XE_ADOPT_GROUP];
	uint32_t cnt = 0, made = 0, size = how & GROUPS ? XE_ADOPT_GROUP : 1;

	for (int outside = 0; outside < 2; outside++) {
		for (uint32_t i = 0; i < file->record_cnt; i++) {
			if (!is_taken(file, &file->records[i], outside))
				continue;
			a[cnt++] = adoptee(file, &file->records[i], how);
			if (cnt == size) {
				made += adopt_group(a, cnt, how);
				cnt = 0;
			}
		}
		made += adopt_group(a, cnt, how);
		cnt = 0;
	}
	return made;
}

/* ---- in order? ---- */

static int cmp_tuple(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct xe_tuple4));
}

static void expect_own_tuples(uint32_t cnt)
{
	static struct xe_tuple4 keys[2 * SESSIONS];
	const struct xe_sessions *t = &f->lane->sessions;
	uint32_t n = 0;
	enum xe_dir dir;

	for (uint32_t i = 0; i < t->high; i++) {
		const struct xe_session *s = &t->slots[i];

		for (int d = 0; d < 2 && s->key[XE_DIR_OUT].proto; d++) {
			must(xe_session_find(t, &s->key[d], xe_session_hash(t, &s->key[d]), &dir) ==
			     s);
			keys[n++] = s->key[d];
		}
	}
	must(n == 2 * cnt && t->cnt == cnt);
	qsort(keys, n, sizeof(keys[0]), cmp_tuple);
	for (uint32_t i = 1; i < n; i++)
		must(cmp_tuple(&keys[i - 1], &keys[i]));
}

/* How often sessions name it, against what it counts. */
struct sums {
	uint32_t mapping[2 * SESSIONS], shared[LF_EXT_CNT][2][65536], source[SESSIONS];
	uint32_t nexthop[SESSIONS], closed, elsewhere, unanswered;
};

static void add(struct sums *sums, const struct xe_session *s)
{
	const struct xe_natpool *pool = &f->lane->pool;
	bool outside = s->flags & XE_SF_FROM_OUTSIDE;
	uint16_t l4_port = ntohs(s->key[XE_DIR_BACK].dport_be);
	int udp = s->key[XE_DIR_OUT].proto == IPPROTO_UDP;

	sums->nexthop[s->nexthop]++;
	if (s->source != XE_NIL)
		sums->source[s->source]++;
	sums->closed += s->tcp_state == XE_TCP_CLOSED && s->source != XE_NIL;
	sums->unanswered += outside && !xe_session_packets(s, XE_DIR_OUT);
	sums->elsewhere += s->ext == XE_EXT_NONE;
	if (s->ext == XE_EXT_NONE) {
		if (outside)
			sums->nexthop[s->toward]++;
		return;
	}
	must(f->owned[xe_owned_idx(s->ext, udp, l4_port)] >> (l4_port & 63) & 1);
	must(*xe_claims_owner(f->claims, s->ext, udp, l4_port) == 1);
	must(f->claims->busy[xe_owned_idx(s->ext, udp, l4_port)] >> (l4_port & 63) & 1);
	if (s->mapping == XE_NIL) {
		sums->shared[s->ext][udp][l4_port]++;
		return;
	}
	sums->mapping[s->mapping]++;
	must(pool->mappings[s->mapping].ext_port == l4_port &&
	     pool->mappings[s->mapping].ext == s->ext &&
	     pool->mappings[s->mapping].src_be == s->key[XE_DIR_OUT].src_be &&
	     pool->mappings[s->mapping].sport_be == s->key[XE_DIR_OUT].sport_be &&
	     pool->mappings[s->mapping].in_port == s->key[XE_DIR_OUT].port);
}

static void expect_sums(void)
{
	static struct sums sums;
	const struct xe_lane *lane = f->lane;
	uint32_t mappings = 0, closed = 0;

	memset(&sums, 0, sizeof(sums));
	for (uint32_t i = 0; i < lane->sessions.high; i++)
		if (lane->sessions.slots[i].key[XE_DIR_OUT].proto)
			add(&sums, &lane->sessions.slots[i]);
	for (uint32_t i = 0; i < 2 * SESSIONS; i++) {
		mappings += !!sums.mapping[i];
		must(!sums.mapping[i] || lane->pool.mappings[i].refs == sums.mapping[i]);
	}
	must(mappings == lane->pool.mapping_cnt);
	must(sums.elsewhere == lane->pool.elsewhere_cnt && sums.unanswered == lane->unanswered);
	for (uint32_t i = 0; i < lane->sources.room.high; i++) {
		must(lane->sources.slots[i].sessions == sums.source[i]);
		closed += sums.source[i] ? lane->sources.slots[i].closed : 0;
	}
	must(closed == sums.closed);
	for (uint32_t i = 0; i < SESSIONS; i++)
		must(!sums.nexthop[i] || lane->nexthops.slots[i].refs == sums.nexthop[i]);
	for (uint32_t e = 0; e < LF_EXT_CNT; e++)
		for (int udp = 0; udp < 2; udp++)
			for (uint32_t p = 0; p < 65536; p++)
				must(lane->pool.ext[e].ports[udp].use[p] & XE_USE_MAPPED ||
				     lane->pool.ext[e].ports[udp].use[p] == sums.shared[e][udp][p]);
}

static void pass_time(uint32_t seconds)
{
	f->lane->now_s += seconds;
	while (xe_pipeline_housekeeping(f->lane))
		lf_answer(f);
	lf_answer(f);
	xe_pipeline_housekeeping(f->lane);
	lf_answer(f);
}

static void expect_empty(void)
{
	const struct xe_lane *lane = f->lane;

	must(!lane->sessions.cnt && !lane->pool.mapping_cnt && !lane->pool.rest_cnt);
	must(!lane->nexthops.cnt && !lane->unanswered && !lane->pool.elsewhere_cnt);
	must(lane->sessions.addr6.cnt == addr6_cnt);
	must(xe_wheel_oldest_closed(&f->lane->wheel) == XE_NIL);
	for (uint32_t i = 0; i < RULES; i++)
		must(!lane->terms.refs[i]);
	for (uint32_t e = 0; e < LF_EXT_CNT * 2 * XE_OWNED_WORDS; e++)
		must(!f->owned[e] && !f->claims->busy[e]);
	for (uint32_t i = 0; i <= lane->live.mask; i++)
		for (int n = 0; n < XE_LIVE_SLOTS; n++)
			must(!f->live[i].tag[n]);
}

static void adopt(const struct xe_flow_file *file, uint8_t how)
{
	uint32_t cnt;

	if (!f) {
		xe_insum_init();
		f = lf_open(rules, SESSIONS);
		addr6_cnt = f->lane->sessions.addr6.cnt;
	}
	cnt = adopt_all(file, how);
	expect_own_tuples(cnt);
	expect_sums();
	lf_check_conservation(f);
	pass_time(8000);
	pass_time(XE_NAT_REST_S);
	expect_empty();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t bytes[INPUT_SIZE];
	struct xe_flow_file file;
	char err[256] = "";
	int fd, ret;

	if (size < 1 || size > INPUT_SIZE)
		return 0;
	memcpy(bytes, data + 1, size - 1);
	if (data[0] & PUT_CRC && size - 1 >= HEADER)
		put_crc(bytes, size - 1);
	fd = memfd_create("flows", MFD_CLOEXEC);
	must(fd >= 0 && write(fd, bytes, size - 1) == (ssize_t)(size - 1));
	must(!lseek(fd, 0, SEEK_SET));
	ret = xe_flow_file_read(&file, fd, err, sizeof(err));
	close(fd);
	if (ret) {
		must(err[0] && !file.records && !file.ports);
		return 0;
	}
	for (uint32_t i = 0; i < file.record_cnt; i++)
		must(!xe_flow_record_fault(&file.records[i], file.port_cnt));
	again(&file);
	adopt(&file, data[0]);
	xe_flow_file_free(&file);
	return 0;
}
