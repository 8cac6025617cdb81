/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "io/attach.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xdp/libxdp.h>

#include "base/clock.h"
#include "base/log.h"
#include "io/dispatcher.h"
#include "io/steer_prog.h"
#include "io/xdp_query.h"

/* Programs that a dead instance may have left on one interface: a dispatcher holds ten. */
#define STALE_MAX 10

/* What a dispatcher holds. It never changes, another one takes its place: so libxdp, which has the
 * kernel list all interfaces, is asked only when there is another. */
struct xe_dispatcher_seen {
	uint32_t prog_id; /* of the dispatcher; 0: not looked yet */
	bool ours;        /* it calls our program */
	bool frags;
};

static uint32_t xdp_flags(bool generic)
{
	return generic ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE;
}

/* A map of a program, by its name: an fd of the caller's, or -1. */
static int find_map(uint32_t prog_id, const char *name, struct bpf_map_info *mi)
{
	uint32_t map_ids[32] = {}, len = sizeof(struct bpf_prog_info);
	struct bpf_prog_info info = {.nr_map_ids = 32, .map_ids = (uintptr_t)map_ids};
	int prog_fd = bpf_prog_get_fd_by_id(prog_id), found = -1;

	if (prog_fd < 0)
		return -1;
	if (bpf_obj_get_info_by_fd(prog_fd, &info, &len))
		info.nr_map_ids = 0;
	for (uint32_t i = 0; i < info.nr_map_ids && i < 32 && found < 0; i++) {
		uint32_t mlen = sizeof(*mi);
		int fd = bpf_map_get_fd_by_id(map_ids[i]);

		memset(mi, 0, sizeof(*mi));
		if (fd >= 0 && !bpf_obj_get_info_by_fd(fd, mi, &mlen) && !strcmp(mi->name, name))
			found = fd;
		else if (fd >= 0)
			close(fd);
	}
	close(prog_fd);
	return found;
}

/* Has the service behind another xe_steer program died? Its heartbeats say so; -1: cannot tell. */
static int is_stale(uint32_t prog_id)
{
	struct bpf_map_info mi;
	int fd = find_map(prog_id, "beats", &mi), stale = 1;
	uint64_t beat, now = xe_now_coarse_ns();

	if (fd < 0)
		return -1;
	for (uint32_t w = 0; w < XE_MAX_WORKERS; w++)
		if (!bpf_map_lookup_elem(fd, &w, &beat) && beat + XE_BEAT_MAX_AGE_NS > now)
			stale = 0;
	close(fd);
	return stale;
}

/* Is it of a service whose lock is ours now? That has died, however fresh its heartbeats are: it
 * held the lock's file open as long as it lived, so no other file had that number. */
static bool had_our_lock(const struct xe_steer *st, uint32_t prog_id)
{
	union {
		struct xe_steer_conf conf;
		uint8_t room[256]; /* another version's may be longer */
	} value = {};
	struct bpf_map_info mi;
	uint32_t zero = 0;
	int fd;

	if (!st || st->lock_shared || !st->settings.lock_ino)
		return false;
	fd = find_map(prog_id, "steer_conf", &mi);
	if (fd < 0)
		return false;
	if (mi.value_size < sizeof(value.conf) || mi.value_size > sizeof(value) ||
	    bpf_map_lookup_elem(fd, &zero, &value))
		value.conf.lock_ino = 0;
	close(fd);
	return value.conf.lock_ino == st->settings.lock_ino &&
	       value.conf.lock_dev == st->settings.lock_dev;
}

/* Is this xe_steer program in the way? 1: no, its service is dead; -EAGAIN: it lives, or has done
 * so a second ago. */
static int judge_ours(const struct xe_steer *st, int ifindex, const struct xdp_program *p,
		      char *err, size_t err_size)
{
	uint32_t prog_id = xdp_program__id(p);

	if (!had_our_lock(st, prog_id) && is_stale(prog_id) != 1) {
		snprintf(err, err_size, "another xegress instance is attached (program %u)",
			 prog_id);
		return -EAGAIN;
	}
	xe_log_info("interface %d: removing program %u of a dead instance", ifindex, prog_id);
	return 1;
}

/* What it is and whose: who loaded it is all that the kernel knows of an owner. */
static void tell_foreign(const struct xdp_program *p, char *err, size_t err_size)
{
	struct bpf_prog_info info = {};
	uint32_t len = sizeof(info);

	if (p && !bpf_obj_get_info_by_fd(xdp_program__fd(p), &info, &len))
		snprintf(
			err, err_size,
			"XDP program `%s` (id %u, loaded by uid %u) is attached and is not ours to "
			"replace",
			xdp_program__name(p), info.id, info.created_by_uid);
	else
		snprintf(err, err_size, "an XDP program is attached and is not ours to replace");
}

/* A program that no dispatcher carries. Ours was put there by netlink, by libxdp where it could not
 * do its dispatcher; by a bpf_link it would have gone with its process. */
static int clear_plain(const struct xe_steer *st, struct xdp_multiprog *mp, int ifindex, char *err,
		       size_t err_size)
{
	struct xdp_program *p = xdp_multiprog__main_prog(mp);
	LIBBPF_OPTS(bpf_xdp_attach_opts, opts);
	int ret;

	if (!p || strcmp(xdp_program__name(p), XE_STEER_PROG_NAME)) {
		tell_foreign(p, err, err_size);
		return -EBUSY;
	}
	ret = judge_ours(st, ifindex, p, err, err_size);
	if (ret < 0)
		return ret;
	opts.old_prog_fd = xdp_program__fd(p);
	ret = bpf_xdp_detach(ifindex, xdp_flags(xdp_multiprog__attach_mode(mp) == XDP_MODE_SKB),
			     &opts);
	if (!ret)
		return 1;
	snprintf(err, err_size, "program %u of a dead instance cannot be removed: %s",
		 xdp_program__id(p), strerror(-ret));
	return ret;
}

/* A dispatcher: take off what a dead instance of ours left there. */
static int clear_dispatcher(const struct xe_steer *st, struct xdp_multiprog *mp, int ifindex,
			    char *err, size_t err_size)
{
	struct xdp_program *p = NULL;
	int ret;

	while ((p = xdp_multiprog__next_prog(p, mp))) {
		if (strcmp(xdp_program__name(p), XE_STEER_PROG_NAME))
			continue;
		ret = judge_ours(st, ifindex, p, err, err_size);
		if (ret < 0)
			return ret;
		ret = xdp_program__detach(p, ifindex, xdp_multiprog__attach_mode(mp), 0);
		if (!ret)
			return 1;
		snprintf(err, err_size,
			 "program %u of a dead instance cannot be taken out of the dispatcher: %s",
			 xdp_program__id(p), strerror(-ret));
		return ret;
	}
	return 0;
}

/* May we stand beside the programs of this dispatcher? */
static int check_beside(const struct xe_steer *st, struct xdp_multiprog *mp, bool generic,
			char *err, size_t err_size)
{
	bool is_generic = xdp_multiprog__attach_mode(mp) == XDP_MODE_SKB;

	if (st->plain_only) {
		snprintf(err, err_size,
			 "libxdp's dispatcher with other programs is attached (program %u), and "
			 "here nothing can be added to it",
			 xdp_program__id(xdp_multiprog__main_prog(mp)));
		return -EBUSY;
	}
	if (is_generic != generic) {
		snprintf(err, err_size,
			 "libxdp's dispatcher with other programs is attached in %s mode: beside "
			 "them `xdp: %s` is needed",
			 is_generic ? "generic" : "native", is_generic ? "generic" : "native");
		return -EBUSY;
	}
	return 0;
}

/* Programs are opened by id with CAP_SYS_ADMIN only, which is kept for the dispatcher only: else
 * one that has come since the start has a number and no name. */
static int not_readable(int ifindex, char *err, size_t err_size)
{
	uint32_t prog_id;

	if (xe_xdp_query(ifindex, &prog_id) || !prog_id)
		return 0; /* it has gone; or the attach will tell */
	snprintf(err, err_size,
		 "an XDP program (id %u) is attached and is not ours to replace; `bpftool prog "
		 "show id %u` names it",
		 prog_id, prog_id);
	return -EBUSY;
}

int xe_attach_clear(int ifindex)
{
	struct xdp_multiprog *mp;
	const char *name;
	uint32_t prog_id;
	char err[256];
	int ret = 1;

	for (int round = 0; ret > 0 && round <= STALE_MAX; round++) {
		if (xe_xdp_query(ifindex, &prog_id) || !prog_id)
			return 0;
		mp = xdp_multiprog__get_from_ifindex(ifindex);
		if (libxdp_get_error(mp))
			return 0;
		name = xdp_multiprog__is_legacy(mp)
			       ? xdp_program__name(xdp_multiprog__main_prog(mp))
			       : NULL;
		if (!xdp_multiprog__is_legacy(mp))
			ret = clear_dispatcher(NULL, mp, ifindex, err, sizeof(err));
		else
			ret = name && !strcmp(name, XE_STEER_PROG_NAME)
				      ? clear_plain(NULL, mp, ifindex, err, sizeof(err))
				      : 0;
		xdp_multiprog__close(mp);
	}
	return ret > 0 || ret == -EAGAIN ? -EBUSY : ret;
}

/* 0: nothing in the way; *beside: there is a dispatcher to join. -EBUSY: something is;
 * -EAGAIN: a program of ours, whose service may end without a word. */
static int clear_way(struct xe_steer *st, int ifindex, bool generic, bool *beside, char *err,
		     size_t err_size)
{
	struct xdp_multiprog *mp;
	uint32_t prog_id;
	int ret = 1;

	if (!xe_xdp_query(ifindex, &prog_id) && !prog_id)
		return 0;
	for (int round = 0; ret > 0 && round <= STALE_MAX; round++) {
		mp = xdp_multiprog__get_from_ifindex(ifindex);
		if (libxdp_get_error(mp))
			return not_readable(ifindex, err, err_size);
		if (xdp_multiprog__is_legacy(mp)) {
			ret = clear_plain(st, mp, ifindex, err, err_size);
		} else {
			ret = clear_dispatcher(st, mp, ifindex, err, err_size);
			*beside = !ret;
		}
		if (!ret)
			ret = check_beside(st, mp, generic, err, err_size);
		xdp_multiprog__close(mp);
	}
	return ret > 0 ? -EBUSY : ret;
}

/* libxdp's own dispatcher may refuse the steering program (io/dispatcher.h): once, try with ours.
 */
static int attach_ext(struct xe_steer *st, struct xdp_program **xdp, int ifindex, bool generic)
{
	enum xdp_attach_mode mode = generic ? XDP_MODE_SKB : XDP_MODE_NATIVE;
	int err;

	*xdp = xe_steer_ext(st, generic);
	if (!*xdp)
		return -errno;
	err = xdp_program__attach(*xdp, ifindex, mode, 0);
	if (err != -EINVAL || st->dispatcher_dir ||
	    xe_dispatcher_provide(st->settings.run_dir, &st->dispatcher_dir))
		return err;
	xe_steer_drop_ext(st, generic); /* an object loads once, or fails to once */
	*xdp = xe_steer_ext(st, generic);
	if (!*xdp)
		return -errno;
	err = xdp_program__attach(*xdp, ifindex, mode, 0);
	if (err)
		return err;
	xe_log_info(
		"libxdp is older than 1.5.5 and its dispatcher does not take programs that "
		"change packet data on this kernel: ours is used. While we are attached, such a "
		"libxdp cannot add or remove other programs there");
	return 0;
}

/* By libxdp. If it attaches plainly all the same (xe_freplace_works() asks for all that we know it
 * does so for), that is taken back, and remembered: then the program was loaded as an XDP program,
 * not as one that replaces a dispatcher's function. */
static int attach_dispatcher(struct xe_steer *st, struct xe_attachment *at)
{
	enum xdp_attach_mode mode = at->generic ? XDP_MODE_SKB : XDP_MODE_NATIVE;
	struct bpf_prog_info info = {};
	uint32_t len = sizeof(info);
	struct xdp_program *xdp;
	int err;

	at->seen = calloc(1, sizeof(*at->seen));
	if (!at->seen)
		return -ENOMEM;
	err = attach_ext(st, &xdp, at->ifindex, at->generic);
	if (err == -EINVAL) { /* the verifier's: so it would be for the next port */
		xe_steer_drop_ext(st, at->generic);
		st->plain_only = true;
	}
	if (!err && (bpf_obj_get_info_by_fd(xdp_program__fd(xdp), &info, &len) ||
		     info.type != BPF_PROG_TYPE_EXT)) {
		xdp_program__detach(xdp, at->ifindex, mode, 0);
		st->plain_only = true;
		err = -EOPNOTSUPP;
	}
	if (err) {
		free(at->seen);
		at->seen = NULL;
		return err;
	}
	at->xdp = xdp;
	at->dispatcher = true;
	at->prog_id = info.id;
	return 0;
}

static int attach_plain(struct xe_steer *st, struct xe_attachment *at, char *err, size_t err_size)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = xdp_flags(at->generic));
	int prog_fd = xe_steer_plain_fd(st, at->generic), fd;
	struct bpf_prog_info info = {};
	uint32_t len = sizeof(info);

	if (prog_fd < 0) {
		snprintf(err, err_size, "program does not load: %s", strerror(-prog_fd));
		return prog_fd;
	}
	fd = bpf_link_create(prog_fd, at->ifindex, BPF_XDP, &opts);
	if (fd < 0) {
		snprintf(err, err_size, "attach in %s mode: %s", at->generic ? "generic" : "native",
			 strerror(-fd));
		return fd;
	}
	at->link_fd = fd;
	if (!bpf_obj_get_info_by_fd(prog_fd, &info, &len))
		at->prog_id = info.id;
	return 0;
}

int xe_attach(struct xe_steer *st, struct xe_attachment *at, int ifindex, bool generic, char *err,
	      size_t err_size)
{
	bool beside = false;
	int ret;

	memset(at, 0, sizeof(*at));
	at->link_fd = -1;
	at->ifindex = ifindex;
	at->generic = generic;
	at->gso_known = !generic || st->can_read_gso;
	ret = clear_way(st, ifindex, generic, &beside, err, err_size);
	if (ret)
		return ret;
	if (!st->plain_only) {
		ret = attach_dispatcher(st, at);
		if (!ret)
			return 0;
		if (beside) {
			snprintf(err, err_size, "beside others in libxdp's dispatcher: %s",
				 strerror(-ret));
			return ret;
		}
		/* EOPNOTSUPP: the mode, mostly; the plain attach will say */
		if (ret != -EOPNOTSUPP)
			xe_log_warn("interface %d: no dispatcher: %s", ifindex, strerror(-ret));
	}
	return attach_plain(st, at, err, err_size);
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
	at->xdp = NULL;
	free(at->seen);
	at->seen = NULL;
}

static const struct xe_dispatcher_seen *look(const struct xe_attachment *at)
{
	struct xe_dispatcher_seen *seen = at->seen;
	struct xdp_program *p = NULL;
	struct xdp_multiprog *mp;
	uint32_t prog_id;

	if (xe_xdp_query(at->ifindex, &prog_id))
		prog_id = 0;
	if (prog_id && prog_id == seen->prog_id)
		return seen;
	memset(seen, 0, sizeof(*seen));
	mp = prog_id ? xdp_multiprog__get_from_ifindex(at->ifindex) : NULL;
	if (!mp || libxdp_get_error(mp))
		return seen;
	while ((p = xdp_multiprog__next_prog(p, mp)))
		seen->ours |= xdp_program__id(p) == at->prog_id;
	seen->frags = xdp_multiprog__xdp_frags_support(mp);
	seen->prog_id = xdp_program__id(xdp_multiprog__main_prog(mp));
	xdp_multiprog__close(mp);
	return seen;
}

bool xe_attached(const struct xe_attachment *at)
{
	struct bpf_link_info info = {};
	uint32_t len = sizeof(info);

	if (at->link_fd >= 0)
		return !bpf_obj_get_info_by_fd(at->link_fd, &info, &len) &&
		       info.xdp.ifindex == (uint32_t)at->ifindex;
	return at->dispatcher && look(at)->ours;
}

bool xe_attached_frags(const struct xe_attachment *at)
{
	return !at->dispatcher || look(at)->frags; /* our own program has them */
}
