/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* steer_maps.c - the maps of the steering program, from the service's side (attach.h). */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <linux/capability.h>
#include <linux/membarrier.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/confine.h"
#include "base/log.h"
#include "io/attach.h"
#include "io/steer_prog.h"
#include "state/ruleset.h"
#include "steer.skel.h"

static void *fd_memory(int fd, size_t size)
{
	void *m = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return m == MAP_FAILED ? NULL : m;
}

static void *map_memory(const struct bpf_map *map, size_t size)
{
	return fd_memory(bpf_map__fd(map), size);
}

static size_t whole_pages(size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (size + page - 1) / page * page;
}

static int maps_memory(struct xe_steer *st)
{
	uint32_t buckets = st->settings.worker_cnt * (st->settings.live_mask + 1);

	st->owned_size = whole_pages(XE_OWNED_ENTRIES * sizeof(uint64_t));
	st->live_size = whole_pages(buckets * sizeof(struct xe_live_bucket));
	st->owned = map_memory(st->skel->maps.owned, st->owned_size);
	st->guarded = map_memory(st->skel->maps.guarded,
				 whole_pages(XE_GUARDED_WORDS * sizeof(uint64_t)));
	st->live = map_memory(st->skel->maps.live, st->live_size);
	st->beats = map_memory(st->skel->maps.beats, whole_pages(1));
	st->conf = map_memory(st->skel->maps.steer_conf, whole_pages(1));
	return st->owned && st->guarded && st->live && st->beats && st->conf ? 0 : -ENOMEM;
}

/* What the program can do without, but the kernel lacks, libbpf looks for in all modules; before
 * 1.5 it does not go on where it may not. */
static bool lacks_what_only_root_may_seek(void)
{
	struct btf *kernel = btf__load_vmlinux_btf();
	bool lacks =
		kernel && btf__find_by_name_kind(kernel, "bpf_cast_to_kern_ctx", BTF_KIND_FUNC) < 0;

	btf__free(kernel);
	return lacks && !xe_confine_has(CAP_SYS_ADMIN);
}

int xe_steer_open(struct xe_steer *st, const struct xe_steer_settings *settings)
{
	int err;

	memset(st, 0, sizeof(*st));
	st->settings = *settings;
	err = xe_steer_prog_open(st);
	if (err) {
		xe_log_err("steering program does not load: %s (needs CAP_BPF, CAP_NET_ADMIN, %s)",
			   strerror(-err),
			   lacks_what_only_root_may_seek()
				   ? "and on a kernel before 6.2 CAP_SYS_ADMIN until it is up"
				   : "kernel 5.18 or later");
		return err;
	}
	err = maps_memory(st);
	if (err) {
		xe_steer_close(st);
		return err;
	}
	st->conf->lock_dev = settings->lock_dev;
	st->conf->lock_ino = settings->lock_ino;
	return 0;
}

void xe_steer_close(struct xe_steer *st)
{
	if (st->owned)
		munmap(st->owned, st->owned_size);
	if (st->guarded)
		munmap(st->guarded, whole_pages(XE_GUARDED_WORDS * sizeof(uint64_t)));
	if (st->live)
		munmap(st->live, st->live_size);
	if (st->beats)
		munmap(st->beats, whole_pages(1));
	if (st->conf)
		munmap(st->conf, whole_pages(1));
	free(st->rule_keys.keys);
	free(st->rule_keys_next.keys);
	free(st->deny_keys);
	free(st->carried);
	xe_steer_prog_close(st);
	memset(st, 0, sizeof(*st));
}

static int set(const struct bpf_map *map, const void *key, const void *value)
{
	return bpf_map_update_elem(bpf_map__fd(map), key, value, BPF_ANY);
}

static void del(const struct bpf_map *map, const void *key)
{
	bpf_map_delete_elem(bpf_map__fd(map), key);
}

int xe_steer_set_port(struct xe_steer *st, uint32_t port, const struct xe_port_conf *conf)
{
	return set(st->skel->maps.ports, &port, conf);
}

int xe_steer_set_ifindex(struct xe_steer *st, int ifindex, uint32_t port)
{
	uint32_t idx = xe_hint_idx((uint32_t)ifindex);
	uint64_t hint = 0, fresh = xe_port_hint((uint32_t)ifindex, port);
	int err = set(st->skel->maps.port_ids, &ifindex, &port);

	if (err || bpf_map_lookup_elem(bpf_map__fd(st->skel->maps.port_hints), &idx, &hint))
		return err;
	if (!hint || hint >> 32 == (uint32_t)ifindex)
		err = set(st->skel->maps.port_hints, &idx, &fresh);
	return err;
}

void xe_steer_del_ifindex(struct xe_steer *st, int ifindex)
{
	uint32_t idx = xe_hint_idx((uint32_t)ifindex);
	uint64_t hint = 0, none = 0;

	if (!bpf_map_lookup_elem(bpf_map__fd(st->skel->maps.port_hints), &idx, &hint) &&
	    hint >> 32 == (uint32_t)ifindex)
		set(st->skel->maps.port_hints, &idx, &none);
	del(st->skel->maps.port_ids, &ifindex);
}

static struct xe_allow_key allow_key(uint32_t port, const struct xe_addr *src, uint8_t len)
{
	bool v4 = len >= 96 && !src->q[0] && src->w_be[2] == htonl(0xffff);

	return (struct xe_allow_key){
		.prefixlen = 32u + len, .port = v4 ? port : port | XE_KEY_IPV6, .src = *src};
}

int xe_steer_set_allow(struct xe_steer *st, uint32_t port, const struct xe_addr *src, uint8_t len)
{
	struct xe_allow_key key = allow_key(port, src, len);
	uint8_t one = 1;

	return set(st->skel->maps.allow, &key, &one);
}

void xe_steer_del_allow(struct xe_steer *st, uint32_t port, const struct xe_addr *src, uint8_t len)
{
	struct xe_allow_key key = allow_key(port, src, len);

	del(st->skel->maps.allow, &key);
}

int xe_steer_set_socket(struct xe_steer *st, uint32_t port, uint32_t queue, int xsk_fd)
{
	uint32_t key = xe_xsk_key(port, queue);

	return set(st->skel->maps.xsks, &key, &xsk_fd);
}

void xe_steer_del_socket(struct xe_steer *st, uint32_t port, uint32_t queue)
{
	uint32_t key = xe_xsk_key(port, queue);

	del(st->skel->maps.xsks, &key);
}

int xe_steer_set_ext(struct xe_steer *st, const struct xe_addr *addr, uint32_t ext)
{
	return set(st->skel->maps.ext_addrs, addr, &ext);
}

void xe_steer_del_ext(struct xe_steer *st, const struct xe_addr *addr)
{
	del(st->skel->maps.ext_addrs, addr);
}

int xe_steer_set_broadcast(struct xe_steer *st, __be32 addr_be, bool on)
{
	uint8_t one = 1;

	if (on)
		return set(st->skel->maps.broadcasts, &addr_be, &one);
	del(st->skel->maps.broadcasts, &addr_be);
	return 0;
}

/* Programs that read the old generation number may still walk: the kernel runs them under RCU, and
 * this command is its grace period. */
void xe_steer_wait(void)
{
	if (syscall(__NR_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0))
		usleep(10000); /* a system without membarrier: far longer than a walk takes */
}

static void drop_entries(struct xe_steer *st, struct steer_rule_keys *k)
{
	for (uint32_t i = 0; i < k->cnt; i++)
		del(st->skel->maps.rules, &k->keys[i]);
	free(k->keys);
	*k = (struct steer_rule_keys){};
}

int xe_steer_ready_rules(struct xe_steer *st, const struct xe_ruleset *rs)
{
	struct steer_rule_keys *next = &st->rule_keys_next;
	uint32_t half = rs->gen & 1, idx;
	int err = 0;

	*next = (struct steer_rule_keys){.keys = calloc(rs->entry_cnt + 1, sizeof(*next->keys))};
	if (!next->keys)
		return -ENOMEM;
	for (uint32_t i = 0; i < rs->tuple_cnt && !err; i++) {
		idx = half * XE_MAX_TUPLES + i;
		err = set(st->skel->maps.tuples, &idx, &rs->tuples[i]);
	}
	for (uint32_t i = 0; i < rs->entry_cnt && !err; i++) {
		err = set(st->skel->maps.rules, &rs->entries[i].key, &rs->entries[i].value);
		if (!err)
			next->keys[next->cnt++] = rs->entries[i].key;
	}
	if (err)
		drop_entries(st, next);
	return err;
}

void xe_steer_drop_rules(struct xe_steer *st)
{
	drop_entries(st, &st->rule_keys_next);
}

void xe_steer_switch_rules(struct xe_steer *st, const struct xe_ruleset *rs)
{
	__atomic_store_n(&st->conf->tuple_cnt[rs->gen & 1], rs->tuple_cnt, __ATOMIC_RELEASE);
	__atomic_store_n(&st->conf->rules_gen, rs->gen, __ATOMIC_RELEASE);
	xe_steer_wait();
	drop_entries(st, &st->rule_keys);
	st->rule_keys = st->rule_keys_next;
	st->rule_keys_next = (struct steer_rule_keys){};
}

void xe_steer_shared_fds(const struct xe_steer *st, int fds[XE_STEER_SHARED])
{
	fds[0] = bpf_map__fd(st->skel->maps.owned);
	fds[1] = bpf_map__fd(st->skel->maps.live);
	fds[2] = bpf_map__fd(st->skel->maps.beats);
}

int xe_steer_map_theirs(const struct xe_steer *st, struct xe_steer_theirs *theirs,
			const int fds[XE_STEER_SHARED])
{
	theirs->owned_size = st->owned_size;
	theirs->live_size = st->live_size;
	theirs->owned = fd_memory(fds[0], st->owned_size);
	theirs->live = fd_memory(fds[1], st->live_size);
	theirs->beats = fd_memory(fds[2], whole_pages(1));
	if (theirs->owned && theirs->live && theirs->beats)
		return 0;
	xe_steer_unmap_theirs(theirs);
	return -ENOMEM;
}

void xe_steer_unmap_theirs(struct xe_steer_theirs *theirs)
{
	if (theirs->owned)
		munmap(theirs->owned, theirs->owned_size);
	if (theirs->live)
		munmap(theirs->live, theirs->live_size);
	if (theirs->beats)
		munmap(theirs->beats, whole_pages(1));
	memset(theirs, 0, sizeof(*theirs));
}

int xe_steer_counters_fd(const struct xe_steer *st)
{
	return bpf_map__fd(st->skel->maps.counters);
}

bool xe_steer_are_counters(int map_fd, size_t value_size)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);

	return !bpf_obj_get_info_by_fd(map_fd, &info, &len) &&
	       info.type == BPF_MAP_TYPE_PERCPU_ARRAY && info.value_size == value_size;
}

int xe_steer_read_counters(int map_fd, size_t value_size, uint32_t port,
			   struct xe_port_counters *out)
{
	size_t words = value_size / sizeof(uint64_t);
	int cpus = libbpf_num_possible_cpus(), err;
	uint64_t *all;

	memset(out, 0, sizeof(*out));
	if (cpus < 0)
		return cpus;
	all = calloc((size_t)cpus * words + 1, sizeof(*all));
	if (!all)
		return -ENOMEM;
	err = bpf_map_lookup_elem(map_fd, &port, all);
	for (size_t c = 0; !err && c < (size_t)cpus; c++)
		for (size_t r = 0; r < XE_R_STEER_CNT && r < words; r++)
			out->reason[r] += all[c * words + r];
	free(all);
	return err;
}

int xe_steer_counters(const struct xe_steer *st, uint32_t port, struct xe_port_counters *out)
{
	int err = xe_steer_read_counters(xe_steer_counters_fd(st), sizeof(*out), port, out);

	for (int r = 0; !err && st->carried && r < XE_R_STEER_CNT; r++)
		out->reason[r] += st->carried[port].reason[r];
	return err;
}

int xe_steer_carry_counters(struct xe_steer *st, uint32_t port,
			    const struct xe_port_counters *before)
{
	if (!st->carried)
		st->carried = calloc(XE_MAX_PORTS, sizeof(*st->carried));
	if (!st->carried)
		return -ENOMEM;
	for (int r = 0; r < XE_R_STEER_CNT; r++)
		st->carried[port].reason[r] += before->reason[r];
	return 0;
}

int xe_steer_reset_counters(struct xe_steer *st, uint32_t port)
{
	int cpus = libbpf_num_possible_cpus(), err;
	struct xe_port_counters *all;

	if (cpus < 0)
		return cpus;
	if (st->carried)
		st->carried[port] = (struct xe_port_counters){};
	all = calloc((size_t)cpus, sizeof(*all));
	if (!all)
		return -ENOMEM;
	err = set(st->skel->maps.counters, &port, all);
	free(all);
	return err;
}
