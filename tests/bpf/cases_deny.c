/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cases_deny.c - deny lists: what a denied source may still do, and what a long list costs. */
#include "cases.h"

#include "base/clock.h"
#include "state/deny.h"
#include "state/live.h"
#include "steer.skel.h"

/* What public lists of bad networks have. */
#define MANY 100000

static void set_deny(struct rig *rig, const char *const *texts, uint32_t cnt)
{
	struct xe_rule rules[8];
	struct xe_allow_key *keys;
	char err[256] = "";
	uint32_t key_cnt;

	for (uint32_t i = 0; i < cnt; i++)
		if (xe_rule_parse(texts[i], &rules[i], err, sizeof(err)))
			fail_msg("rule `%s`: %s", texts[i], err);
	assert_int_equal(xe_deny_compile(rules, cnt, NULL, rig_port_ids, NULL, &keys, &key_cnt, err,
					 sizeof(err)),
			 0);
	assert_int_equal(xe_steer_set_deny(&rig->steer, keys, key_cnt), 0);
	assert_int_equal(rig->steer.conf->deny_cnt, key_cnt);
	free(keys);
}
#define DENY(rig, ...)                                                                             \
	set_deny(rig, (const char *const[]){__VA_ARGS__},                                          \
		 sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void none_denied(struct rig *rig)
{
	assert_int_equal(xe_steer_set_deny(&rig->steer, NULL, 0), 0);
}

void denied_sources(void **state)
{
	struct flow to_inside = {"198.18.0.1", "10.1.0.5", 443, 40000};
	struct flow to_host = {"198.18.0.1", "198.51.100.2", 40000, 22};
	struct flow other = flow_back;
	struct rig *rig = *state;
	struct frame f;

	rig_set_owned(rig, 0, true, flow_back.dport, true);
	DENY(rig, "drop from 198.18.0.0/24 in up0");
	frame_udp4(&f, &flow_back, 18);
	expect(rig, PORT_UP0, &f, XE_R_DENIED, "reply to a live flow");
	expect(rig, PORT_UP1, &f, XE_R_TAKEN, "on another uplink");
	other.src = "198.18.1.1";
	frame_udp4(&f, &other, 18);
	expect(rig, PORT_UP0, &f, XE_R_TAKEN, "one prefix further");
	frame_tcp4(&f, &to_inside, TCP_SYN, 0);
	expect(rig, PORT_UP0, &f, XE_R_DENIED, "what the kernel would forward");
	frame_proto4(&f, &to_inside, IPPROTO_ICMP);
	expect(rig, PORT_UP0, &f, XE_R_DENIED, "of any protocol");
	frame_tcp4(&f, &to_host, TCP_SYN, 0);
	expect(rig, PORT_UP0, &f, XE_R_NOT_OWNED, "for the host itself");
	frame_proto4(&f, &to_host, IPPROTO_ICMP);
	expect(rig, PORT_UP0, &f, XE_R_NOT_TCP_UDP, "for the host itself, of any protocol");
	frame_arp(&f);
	expect(rig, PORT_UP0, &f, XE_R_NOT_IP, "no IP");
	frame_udp4(&f, &flow_out, 18);
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "towards it, from inside");
	none_denied(rig);
	frame_udp4(&f, &flow_back, 18);
	expect(rig, PORT_UP0, &f, XE_R_TAKEN, "no list any more");
}

/* A fragment or a packet of an `accept` flow is no way in either. */
void denied_by_any_way(void **state)
{
	struct flow fl = {"198.18.0.1", "10.1.0.5", 443, 40000};
	struct rig *rig = *state;
	struct xe_live live = {.mask = rig->steer.settings.live_mask};
	struct frame f;
	bool second;

	DENY(rig, "drop from 198.18.0.1 in up*");
	live.buckets = rig_live(rig, 0);
	rig->steer.conf->any_accept = 1;
	frame_tcp4(&f, &fl, TCP_ACK, 0);
	assert_true(xe_live_add(&live, rig_hash(rig, PORT_UP0, &f), &second));
	expect(rig, PORT_UP0, &f, XE_R_DENIED, "reply to an untranslated flow");
	expect(rig, PORT_UP1, &f, XE_R_DENIED, "by the glob's other uplink");
	none_denied(rig);
	expect(rig, PORT_UP0, &f, XE_R_TAKEN, "without the list");
	DENY(rig, "drop from 0.0.0.0/0 in up0");
	frame_ip4(&f)->frag_off = htons(0x2000);
	frame_fix_sum(&f);
	expect(rig, PORT_UP0, &f, XE_R_DENIED, "fragment");
	none_denied(rig);
}

static uint32_t run_ns(struct rig *rig, struct frame *f)
{
	uint32_t best = ~0u;

	for (int i = 0; i < 5; i++) {
		struct run run;

		run_init(rig, &run, PORT_UP0, f);
		run.repeat = 20000;
		assert_int_equal(rig_run(rig, &run), 0);
		best = run.duration_ns < best ? run.duration_ns : best;
	}
	return best;
}

/* Bytes that the kernel has for a map, as it tells. */
static unsigned long memlock(int fd)
{
	char path[64], line[128];
	unsigned long bytes = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "memlock: %lu", &bytes);
	if (f)
		fclose(f);
	return bytes;
}

/* A hundred thousand prefixes in: how long, how much memory, and what a packet pays. */
void many_denied(void **state)
{
	struct xe_allow_key *keys = calloc(MANY, sizeof(*keys));
	uint64_t start, load_ns, again_ns;
	struct rig *rig = *state;
	struct frame f;
	uint32_t none_ns, miss_ns;
	int fd;

	assert_non_null(keys);
	rig_set_owned(rig, 0, true, flow_back.dport, true);
	frame_udp4(&f, &flow_back, 18);
	none_ns = run_ns(rig, &f);
	/* Sorted already: 20.0.0.0/24, 20.0.1.0/24, ... */
	for (uint32_t i = 0; i < MANY; i++)
		keys[i] = (struct xe_allow_key){.prefixlen = 32 + 96 + 24,
						.port = PORT_UP0,
						.src = xe_addr_v4(htonl(0x14000000u + (i << 8)))};
	start = xe_now_ns();
	assert_int_equal(xe_steer_set_deny(&rig->steer, keys, MANY), 0);
	load_ns = xe_now_ns() - start;
	expect(rig, PORT_UP0, &f, XE_R_TAKEN, "none of the many");
	miss_ns = run_ns(rig, &f);
	f.tuple.src_be = frame_ip4(&f)->saddr = htonl(0x14000000u + ((MANY - 1) << 8) + 77);
	frame_fix_sum(&f);
	expect(rig, PORT_UP0, &f, XE_R_DENIED, "the last of the many");
	/* One more, one less: only these two are told. */
	keys[0].src = xe_addr_v4(htonl(0x13ffff00u));
	start = xe_now_ns();
	assert_int_equal(xe_steer_set_deny(&rig->steer, keys, MANY), 0);
	again_ns = xe_now_ns() - start;
	f.tuple.src_be = frame_ip4(&f)->saddr = htonl(0x14000001u);
	expect(rig, PORT_UP0, &f, XE_R_TAKEN, "taken out");
	fd = bpf_map__fd(rig->steer.skel->maps.deny_list);
	print_message("%lu KiB, ", memlock(fd) / 1024);
	print_message("%u denied prefixes: %u ms to load, %u ms to change one, a packet of another "
		      "source %u ns (%u without a list)\n",
		      MANY, (uint32_t)(load_ns / 1000000), (uint32_t)(again_ns / 1000000), miss_ns,
		      none_ns);
	/* Loose: other work of the machine is in these figures. */
	assert_true(load_ns < 20ull * XE_NS_PER_SEC);
	assert_true(again_ns < load_ns / 2);
	none_denied(rig);
	expect(rig, PORT_UP0, &f, XE_R_TAKEN, "all taken out");
	free(keys);
}
