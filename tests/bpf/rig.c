/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* rig.c - opening, resetting and filling what the steering program reads (rig.h). */
#include "rig.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/clock.h"
#include "io/steer_prog.h"
#include "steer.skel.h"

/* Small on purpose: with 64 buckets a wrong mask or region base hits a wrong bucket. */
#define LIVE_MASK  63u
#define WORKER_CNT 3u
/* Frames that the bound socket owns; nothing is received, so it needs few. */
#define FRAME_CNT 64u

static const struct xe_steer_settings settings = {
	.k0 = 0x0706050403020100ull,
	.k1 = 0x0f0e0d0c0b0a0908ull,
	.live_mask = LIVE_MASK,
	.worker_cnt = WORKER_CNT,
};

/* The rules most cases run under. */
static const char *const base_rules[] = {
	"kernel tcp to 0.0.0.0/0:25",
	"drop from 10.1.0.0/16 to 203.0.113.128/25",
	"accept from 10.1.0.0/16 to 10.1.1.0/24",
	"snat udp from 10.1.0.64/26 out up1 source 192.0.2.10",
	"masquerade from 10.1.0.0/16 out up* ports 20000-29999",
};

static int bind_socket(struct rig *rig)
{
	int err = xe_umem_open(&rig->umem, FRAME_CNT, -1);

	if (err)
		return err;
	return xe_xsk_open(&rig->xsk, &rig->umem, rig->ifindex[PORT_IN0], 0, false);
}

/* The program for kernels where segment sizes cannot be read, which this one need not be. */
static struct steer_bpf *load_blind(struct rig *rig)
{
	struct steer_bpf *skel = steer_bpf__open();
	struct bpf_map *map, *owner;
	int err = 0;

	if (!skel)
		return NULL;
	skel->rodata->hash_k0 = settings.k0;
	skel->rodata->hash_k1 = settings.k1;
	skel->rodata->live_mask = settings.live_mask;
	skel->rodata->worker_cnt = settings.worker_cnt;
	skel->rodata->gso_source = GSO_UNKNOWN;
	bpf_object__for_each_map(map, skel->obj)
	{
		if (bpf_map__is_internal(map))
			continue;
		owner = bpf_object__find_map_by_name(rig->steer.skel->obj, bpf_map__name(map));
		if (!owner)
			err = -ENOENT;
		else if (!err)
			err = bpf_map__reuse_fd(map, bpf_map__fd(owner));
	}
	if (!err)
		err = steer_bpf__load(skel);
	if (!err)
		return skel;
	steer_bpf__destroy(skel);
	return NULL;
}

static int load_programs(struct rig *rig)
{
	int generic_fd = xe_steer_plain_fd(&rig->steer, true);

	rig->prog_fd[GSO_NATIVE] = xe_steer_plain_fd(&rig->steer, false);
	rig->prog_fd[GSO_SHINFO] = -1;
	if (generic_fd < 0 || rig->prog_fd[GSO_NATIVE] < 0)
		return -EIO;
	if (!rig->steer.can_read_gso) {
		rig->prog_fd[GSO_UNKNOWN] = generic_fd;
		return 0;
	}
	rig->prog_fd[GSO_SHINFO] = generic_fd;
	rig->blind = load_blind(rig);
	if (!rig->blind)
		return -EIO;
	rig->prog_fd[GSO_UNKNOWN] = bpf_program__fd(rig->blind->progs.xe_steer);
	return 0;
}

static int set_ext(struct rig *rig, const char *text, uint32_t ext)
{
	struct xe_addr addr;
	__u8 family;
	int err = xe_addr_parse(text, &addr, &family);

	return err ? err : xe_steer_set_ext(&rig->steer, &addr, ext);
}

int rig_open(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	int err = rig ? net_open() : -ENOMEM;

	*state = rig;
	for (int port = 0; port < PORT_CNT && !err; port++) {
		rig->ifindex[port] = (int)if_nametoindex(port_names[port]);
		err = rig->ifindex[port] ? 0 : -errno;
	}
	if (!err)
		err = bind_socket(rig);
	if (!err)
		err = xe_steer_open(&rig->steer, &settings);
	if (!err)
		err = load_programs(rig);
	for (int port = 0; port < PORT_CNT && !err; port++) {
		err = xe_steer_set_ifindex(&rig->steer, rig->ifindex[port], (uint32_t)port);
		if (!err && port != PORT_IN1)
			err = xe_steer_set_socket(&rig->steer, (uint32_t)port, 0, rig->xsk.fd);
	}
	if (!err)
		err = set_ext(rig, "198.51.100.2", 0);
	if (!err)
		err = set_ext(rig, "192.0.2.10", XE_MAX_EXT_ADDRS - 1);
	if (!err)
		err = set_ext(rig, "2001:db8:f::2", 1);
	if (err)
		fprintf(stderr, "rig: %s\n", strerror(-err));
	return err;
}

int rig_close(void **state)
{
	struct rig *rig = *state;

	if (!rig)
		return 0;
	steer_bpf__destroy(rig->blind);
	xe_steer_close(&rig->steer);
	xe_xsk_close(&rig->xsk);
	xe_umem_close(&rig->umem);
	xe_ruleset_free(rig->rules);
	free(rig);
	return 0;
}

int rig_reset(void **state)
{
	struct rig *rig = *state;
	/* Ahead of time, so that a slow machine (an emulated one) does not look like a stalled
	 * worker. */
	uint64_t beat = xe_now_ns() + 3600 * XE_NS_PER_SEC;

	for (uint32_t port = 0; port < PORT_CNT; port++) {
		struct xe_port_conf *pc = &rig->conf[port];
		bool is_inside = port == PORT_IN0 || port == PORT_IN1;

		memset(pc, 0, sizeof(*pc));
		memcpy(pc->l2_addr, port_l2, sizeof(pc->l2_addr));
		pc->flags = XE_PF_LIVE | (is_inside ? XE_PF_ALLOW4 : 0);
		pc->role = is_inside ? XE_ROLE_INSIDE : XE_ROLE_UPLINK;
		pc->route_ifindex = (uint32_t)rig->ifindex[port];
		pc->worker = port == PORT_IN1;
		pc->frame_len_max = 1514;
		rig_put_port(rig, port);
	}
	rig_allow(rig, PORT_IN0, "10.1.0.0/24");
	rig_allow(rig, PORT_IN1, "10.1.1.0/24");
	for (uint32_t w = 0; w < XE_MAX_WORKERS; w++)
		rig->steer.beats[w] = beat;
	rig->steer.conf->any_accept = 0;
	rig->steer.conf->take_fragments = 1;
	memset(rig->steer.owned, 0, XE_OWNED_ENTRIES * sizeof(uint64_t));
	memset(rig->steer.guarded, 0, XE_GUARDED_WORDS * sizeof(uint64_t));
	rig_clear_live(rig);
	rig_set_rules(rig, base_rules, sizeof(base_rules) / sizeof(base_rules[0]));
	return 0;
}

__u32 rig_port_ids(void *ctx, const char *name, __u16 *ids, __u32 max)
{
	size_t len = strlen(name);
	bool glob = name[len - 1] == '*';
	__u32 cnt = 0;

	(void)ctx;
	for (__u16 port = 0; port < PORT_CNT && cnt < max; port++)
		if (!strncmp(name, port_names[port], glob ? len - 1 : len + 1))
			ids[cnt++] = port | (port <= PORT_IN1 ? XE_OUT_INSIDE : 0);
	return cnt;
}

void rig_set_compiled(struct rig *rig, struct xe_ruleset *rs)
{
	int err = xe_steer_ready_rules(&rig->steer, rs);

	if (!err)
		xe_steer_switch_rules(&rig->steer, rs);

	if (err)
		fail_msg("rule set %u: %s", rs->gen, strerror(-err));
	xe_ruleset_free(rig->rules);
	rig->rules = rs;
}

void rig_set_rules(struct rig *rig, const char *const *texts, uint32_t cnt)
{
	struct xe_rule *rules = calloc(cnt ? cnt : 1, sizeof(*rules));
	struct xe_ruleset *rs;
	char err[256] = "";

	assert_non_null(rules);
	for (uint32_t i = 0; i < cnt; i++) {
		int ret = xe_rule_parse(texts[i], &rules[i], err, sizeof(err));

		/* steer may carry out what the service does not yet */
		if (ret && ret != -ENOTSUP)
			fail_msg("rule `%s`: %s", texts[i], err);
	}
	if (xe_ruleset_compile(rules, cnt, ++rig->gen, rig_port_ids, NULL, &rs, err, sizeof(err)))
		fail_msg("%s", err);
	free(rules);
	rig_set_compiled(rig, rs);
}

static void parse_prefix(const char *text, struct xe_prefix *prefix)
{
	char err[128];

	if (xe_prefix_parse(text, prefix, err, sizeof(err)))
		fail_msg("%s", err);
}

void rig_allow(struct rig *rig, uint32_t port, const char *text)
{
	struct xe_prefix p;

	parse_prefix(text, &p);
	assert_int_equal(xe_steer_set_allow(&rig->steer, port, &p.addr, p.len), 0);
}

void rig_disallow(struct rig *rig, uint32_t port, const char *text)
{
	struct xe_prefix p;

	parse_prefix(text, &p);
	xe_steer_del_allow(&rig->steer, port, &p.addr, p.len);
}

void rig_put_port(struct rig *rig, uint32_t port)
{
	assert_int_equal(xe_steer_set_port(&rig->steer, port, &rig->conf[port]), 0);
}

uint64_t rig_hash(const struct rig *rig, uint32_t port, const struct frame *f)
{
	struct xe_tuple4 t = f->tuple;
	struct frame copy = *f;

	/* A fragment's flow is not known. */
	if (frame_eth(&copy)->h_proto == htons(ETH_P_IP) &&
	    frame_ip4(&copy)->frag_off & htons(0x3fff))
		return 0;
	if (f->is_frag6)
		return 0;
	t.port = rig->conf[port].role == XE_ROLE_UPLINK ? XE_PORT_ANYUPLINK : (uint16_t)port;
	if (t.family)
		return xe_flow_hash6(&t, &f->src6, &f->dst6, settings.k0, settings.k1);
	return xe_flow_hash(&t, settings.k0, settings.k1);
}

struct xe_live_bucket *rig_live(struct rig *rig, uint32_t worker)
{
	return rig->steer.live + worker * (LIVE_MASK + 1);
}

void rig_clear_live(struct rig *rig)
{
	memset(rig->steer.live, 0, WORKER_CNT * (LIVE_MASK + 1) * sizeof(struct xe_live_bucket));
}

void rig_set_owned(struct rig *rig, uint32_t ext, bool is_udp, uint16_t l4_port, bool on)
{
	uint64_t *word = &rig->steer.owned[xe_owned_idx(ext, is_udp, l4_port)];
	uint64_t bit = 1ull << (l4_port & 63);

	*word = on ? *word | bit : *word & ~bit;
}
