/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "io/steer_prog.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <xdp/libxdp.h>

#include "base/log.h"
#include "io/dispatcher.h"
#include "io/freplace.h"
#include "steer.skel.h"

/* bpf/steer_gso.h */
enum { GSO_NATIVE = 0, GSO_SHINFO = 1, GSO_UNKNOWN = 2 };

static struct steer_bpf *open_skel(const struct xe_steer_settings *s, uint32_t gso_source)
{
	struct steer_bpf *skel = steer_bpf__open();

	if (!skel)
		return NULL;
	skel->rodata->hash_k0 = s->k0;
	skel->rodata->hash_k1 = s->k1;
	skel->rodata->live_mask = s->live_mask;
	skel->rodata->worker_cnt = s->worker_cnt;
	skel->rodata->gso_source = gso_source;
	return skel;
}

/* Another form of the program over the maps that are there; opened, not loaded. */
static struct steer_bpf *open_sharing(const struct xe_steer *st, bool generic)
{
	uint32_t source = !generic ? GSO_NATIVE : st->can_read_gso ? GSO_SHINFO : GSO_UNKNOWN;
	struct steer_bpf *skel = open_skel(&st->settings, source);
	struct bpf_map *map, *owner;

	if (!skel)
		return NULL;
	bpf_object__for_each_map(map, skel->obj)
	{
		if (bpf_map__is_internal(map))
			continue;
		owner = bpf_object__find_map_by_name(st->skel->obj, bpf_map__name(map));
		if (!owner || bpf_map__reuse_fd(map, bpf_map__fd(owner))) {
			steer_bpf__destroy(skel);
			errno = ENOMEM;
			return NULL;
		}
	}
	return skel;
}

static bool can_extend(const struct steer_bpf *skel)
{
	int id = btf__find_by_name_kind(bpf_object__btf(skel->obj), XE_STEER_PROG_NAME,
					BTF_KIND_FUNC);

	return id > 0 && xe_freplace_works(bpf_object__btf_fd(skel->obj), (uint32_t)id);
}

/* Load with the kfuncs first: whether the kernel has them, and lets this process use them, is best
 * asked by doing it. */
int xe_steer_prog_open(struct xe_steer *st)
{
	int err = -ENOMEM;

	for (uint32_t source = GSO_SHINFO; source <= GSO_UNKNOWN; source++) {
		st->skel = open_skel(&st->settings, source);
		if (!st->skel)
			return -ENOMEM;
		bpf_map__set_max_entries(st->skel->maps.live,
					 st->settings.worker_cnt * (st->settings.live_mask + 1));
		err = steer_bpf__load(st->skel);
		st->can_read_gso = source == GSO_SHINFO;
		if (!err)
			break;
		steer_bpf__destroy(st->skel);
		st->skel = NULL;
	}
	if (!err)
		st->plain_only = !can_extend(st->skel);
	return err;
}

void xe_steer_drop_ext(struct xe_steer *st, bool generic)
{
	struct xe_steer_ext *ext = &st->ext[generic];

	/* libxdp does not take the object over: it was given opened */
	if (ext->xdp)
		xdp_program__close(ext->xdp);
	steer_bpf__destroy(ext->skel);
	ext->xdp = NULL;
	ext->skel = NULL;
}

void xe_steer_prog_close(struct xe_steer *st)
{
	xe_steer_drop_ext(st, false);
	xe_steer_drop_ext(st, true);
	xe_dispatcher_remove(st->dispatcher_dir);
	st->dispatcher_dir = NULL;
	steer_bpf__destroy(st->native);
	steer_bpf__destroy(st->skel);
	st->native = st->skel = NULL;
}

int xe_steer_plain_fd(struct xe_steer *st, bool generic)
{
	int err;

	if (!generic && !st->native) {
		st->native = open_sharing(st, false);
		err = st->native ? steer_bpf__load(st->native) : -errno;
		if (err) {
			steer_bpf__destroy(st->native);
			st->native = NULL;
			return err;
		}
	}
	return bpf_program__fd((generic ? st->skel : st->native)->progs.xe_steer);
}

struct xdp_program *xe_steer_ext(struct xe_steer *st, bool generic)
{
	struct xe_steer_ext *ext = &st->ext[generic];
	long err;

	if (ext->xdp)
		return ext->xdp;
	ext->skel = open_sharing(st, generic);
	if (!ext->skel)
		return NULL;
	DECLARE_LIBXDP_OPTS(xdp_program_opts, opts, .obj = ext->skel->obj,
			    .prog_name = XE_STEER_PROG_NAME, );
	ext->xdp = xdp_program__create(&opts);
	err = libxdp_get_error(ext->xdp);
	if (err) {
		ext->xdp = NULL;
		steer_bpf__destroy(ext->skel);
		ext->skel = NULL;
		errno = (int)-err;
		return NULL;
	}
	/* The section's name says so, too, but libxdp 1.3 does not see what libbpf 1.1 makes of it.
	 */
	err = xdp_program__set_xdp_frags_support(ext->xdp, true);
	if (err)
		xe_log_warn("libxdp does not take fragments: %s", strerror((int)-err));
	return ext->xdp;
}
