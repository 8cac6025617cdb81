/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "io/attach.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xdp/libxdp.h>

#include "base/clock.h"
#include "base/log.h"
#include "steer.skel.h"

#define PROG_NAME "xe_steer"

static uint32_t xdp_flags(bool generic)
{
	return generic ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE;
}

/* A program for this port over the shared maps, opened and not loaded. */
static struct steer_bpf *open_for_port(struct xe_steer *st, uint32_t port, bool generic,
				       uint32_t mtu)
{
	struct steer_bpf *skel = steer_bpf__open();
	struct bpf_map *map, *owner;

	if (!skel)
		return NULL;
	skel->rodata->hash_k0 = st->settings.k0;
	skel->rodata->hash_k1 = st->settings.k1;
	skel->rodata->live_mask = st->settings.live_mask;
	skel->rodata->worker_cnt = st->settings.worker_cnt;
	skel->rodata->port_id = port;
	skel->rodata->gso_source = !generic ? 0 : st->can_read_gso ? 1 : 2;
	skel->rodata->frame_len_max = mtu + 14;
	bpf_object__for_each_map(map, skel->obj) {
		if (bpf_map__is_internal(map))
			continue;
		owner = bpf_object__find_map_by_name(st->skel->obj, bpf_map__name(map));
		if (!owner || bpf_map__reuse_fd(map, bpf_map__fd(owner))) {
			steer_bpf__destroy(skel);
			return NULL;
		}
	}
	return skel;
}

/* Has the service behind another xe_steer program died? Its heartbeats say so; -1: cannot tell. */
static int is_stale(uint32_t prog_id)
{
	uint32_t map_ids[32] = {}, len = sizeof(struct bpf_prog_info);
	struct bpf_prog_info info = {};
	int prog_fd = bpf_prog_get_fd_by_id(prog_id), stale = -1;

	if (prog_fd < 0)
		return -1;
	info.nr_map_ids = 32;
	info.map_ids = (uintptr_t)map_ids;
	if (bpf_obj_get_info_by_fd(prog_fd, &info, &len))
		info.nr_map_ids = 0;
	for (uint32_t i = 0; i < info.nr_map_ids && i < 32; i++) {
		struct bpf_map_info mi = {};
		uint32_t mlen = sizeof(mi);
		int fd = bpf_map_get_fd_by_id(map_ids[i]);

		if (fd >= 0 && !bpf_obj_get_info_by_fd(fd, &mi, &mlen) && !strcmp(mi.name, "beats")) {
			uint64_t beat, now = xe_now_coarse_ns();

			stale = 1;
			for (uint32_t w = 0; w < XE_MAX_WORKERS; w++)
				if (!bpf_map_lookup_elem(fd, &w, &beat) &&
				    beat + XE_BEAT_MAX_AGE_NS > now)
					stale = 0;
		}
		if (fd >= 0)
			close(fd);
	}
	close(prog_fd);
	return stale;
}

/* In a dispatcher: take off what a dead instance of ours left there; refuse a live one. */
static int clear_dispatcher(struct xdp_multiprog *mp, int ifindex, bool generic, char *err,
			    size_t err_size)
{
	struct xdp_program *p = NULL;

	while ((p = xdp_multiprog__next_prog(p, mp))) {
		if (strcmp(xdp_program__name(p), PROG_NAME))
			continue;
		if (is_stale(xdp_program__id(p)) != 1) {
			snprintf(err, err_size, "another xegress instance is attached (program %u)",
				 xdp_program__id(p));
			return -EBUSY;
		}
		xe_log_info("interface %d: removing program %u of a dead instance", ifindex,
			    xdp_program__id(p));
		return xdp_program__detach(p, ifindex, generic ? XDP_MODE_SKB : XDP_MODE_NATIVE, 0);
	}
	return 0;
}

/* 0: nothing in the way. -EBUSY: a foreign program that is no dispatcher. */
static int check_foreign(int ifindex, bool generic, char *err, size_t err_size)
{
	struct xdp_multiprog *mp = xdp_multiprog__get_from_ifindex(ifindex);
	struct xdp_program *main_prog;
	int ret = 0;

	if (libxdp_get_error(mp))
		return 0; /* none, or not to be read: the attach will tell */
	if (xdp_multiprog__is_legacy(mp)) {
		main_prog = xdp_multiprog__main_prog(mp);
		snprintf(err, err_size,
			 "XDP program `%s` (id %u) is attached and is not ours to replace",
			 main_prog ? xdp_program__name(main_prog) : "?",
			 main_prog ? xdp_program__id(main_prog) : 0);
		ret = -EBUSY;
	} else {
		ret = clear_dispatcher(mp, ifindex, generic, err, err_size);
	}
	xdp_multiprog__close(mp);
	return ret;
}

/* By libxdp. Without freplace it attaches plainly; that is taken back, and remembered. */
static int attach_dispatcher(struct xe_steer *st, struct xe_attachment *at, uint32_t port,
			     uint32_t mtu)
{
	enum xdp_attach_mode mode = at->generic ? XDP_MODE_SKB : XDP_MODE_NATIVE;
	struct xdp_multiprog *mp;
	bool plain;
	int err;

	at->skel = open_for_port(st, port, at->generic, mtu);
	if (!at->skel)
		return -ENOMEM;
	DECLARE_LIBXDP_OPTS(xdp_program_opts, opts, .obj = at->skel->obj, .prog_name = PROG_NAME, );
	at->xdp = xdp_program__create(&opts);
	err = (int)libxdp_get_error(at->xdp);
	if (err) {
		at->xdp = NULL;
		return err;
	}
	err = xdp_program__attach(at->xdp, at->ifindex, mode, 0);
	if (err)
		return err;
	mp = xdp_multiprog__get_from_ifindex(at->ifindex);
	plain = libxdp_get_error(mp) || xdp_multiprog__is_legacy(mp);
	if (!libxdp_get_error(mp))
		xdp_multiprog__close(mp);
	if (!plain) {
		at->dispatcher = true;
		at->prog_id = xdp_program__id(at->xdp);
		return 0;
	}
	xdp_program__detach(at->xdp, at->ifindex, mode, 0);
	st->plain_only = true;
	return -EOPNOTSUPP;
}

static int attach_plain(struct xe_steer *st, struct xe_attachment *at, uint32_t port, uint32_t mtu,
			char *err_text, size_t err_size)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = xdp_flags(at->generic));
	struct bpf_prog_info info = {};
	uint32_t len = sizeof(info);
	int prog_fd, fd, err;

	at->skel = open_for_port(st, port, at->generic, mtu);
	if (!at->skel)
		return -ENOMEM;
	err = steer_bpf__load(at->skel);
	if (err) {
		snprintf(err_text, err_size, "program does not load: %s", strerror(-err));
		return err;
	}
	prog_fd = bpf_program__fd(at->skel->progs.xe_steer);
	fd = bpf_link_create(prog_fd, at->ifindex, BPF_XDP, &opts);
	if (fd < 0) {
		snprintf(err_text, err_size, "attach in %s mode: %s",
			 at->generic ? "generic" : "native", strerror(-fd));
		return fd;
	}
	at->link_fd = fd;
	if (!bpf_obj_get_info_by_fd(prog_fd, &info, &len))
		at->prog_id = info.id;
	return 0;
}

static void drop_programs(struct xe_attachment *at)
{
	/* libxdp does not take the object over: it was given opened */
	if (at->xdp)
		xdp_program__close(at->xdp);
	at->xdp = NULL;
	steer_bpf__destroy(at->skel);
	at->skel = NULL;
}

int xe_attach(struct xe_steer *st, struct xe_attachment *at, int ifindex, uint32_t port,
	      bool generic, uint32_t mtu, char *err, size_t err_size)
{
	int ret;

	memset(at, 0, sizeof(*at));
	at->link_fd = -1;
	at->ifindex = ifindex;
	at->generic = generic;
	at->gso_known = !generic || st->can_read_gso;
	ret = check_foreign(ifindex, generic, err, err_size);
	if (ret)
		return ret;
	if (!st->plain_only) {
		ret = attach_dispatcher(st, at, port, mtu);
		if (!ret)
			return 0;
		drop_programs(at);
	}
	ret = attach_plain(st, at, port, mtu, err, err_size);
	if (ret)
		drop_programs(at);
	return ret;
}

void xe_detach(struct xe_attachment *at)
{
	int err = 0;

	if (at->dispatcher)
		err = xdp_program__detach(at->xdp, at->ifindex,
					  at->generic ? XDP_MODE_SKB : XDP_MODE_NATIVE, 0);
	else if (at->link_fd >= 0)
		close(at->link_fd); /* the last reference: the kernel detaches */
	/* ENOENT, ENODEV: the interface has gone, and its programs with it. */
	if (err && err != -ENOENT && err != -ENODEV)
		xe_log_warn("interface %d: detaching program %u: %s", at->ifindex, at->prog_id,
			    strerror(-err));
	at->link_fd = -1;
	at->dispatcher = false;
	drop_programs(at);
}

bool xe_attached(const struct xe_attachment *at)
{
	struct bpf_link_info info = {};
	uint32_t len = sizeof(info);
	struct xdp_multiprog *mp;
	struct xdp_program *p = NULL;
	bool found = false;

	if (at->link_fd >= 0)
		return !bpf_obj_get_info_by_fd(at->link_fd, &info, &len) &&
		       info.xdp.ifindex == (uint32_t)at->ifindex;
	if (!at->dispatcher)
		return false;
	mp = xdp_multiprog__get_from_ifindex(at->ifindex);
	if (libxdp_get_error(mp))
		return false;
	while ((p = xdp_multiprog__next_prog(p, mp)))
		found |= xdp_program__id(p) == at->prog_id;
	xdp_multiprog__close(mp);
	return found;
}
