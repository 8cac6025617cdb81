/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * attach_switch.c - a plain attachment changes hands: its bpf_link is passed on by its descriptor,
 * and the kernel exchanges the program under it (bpf_link_update, XDP since 5.9) between two
 * packets. libxdp's dispatcher has nothing of the kind.
 */
#include <bpf/bpf.h>
#include <string.h>
#include <unistd.h>

#include "io/attach.h"
#include "io/steer_prog.h"

int xe_attach_adopt(struct xe_steer *st, struct xe_attachment *at, int ifindex, bool generic,
		    int link_fd)
{
	int prog_fd = xe_steer_plain_fd(st, generic);

	memset(at, 0, sizeof(*at));
	at->link_fd = -1;
	if (prog_fd < 0)
		return prog_fd;
	at->ifindex = ifindex;
	at->generic = generic;
	at->gso_known = !generic || st->can_read_gso;
	at->link_fd = link_fd;
	return 0;
}

int xe_attach_switch(struct xe_steer *st, struct xe_attachment *at)
{
	int prog_fd = xe_steer_plain_fd(st, at->generic), err;
	struct bpf_prog_info info = {};
	uint32_t len = sizeof(info);

	if (prog_fd < 0)
		return prog_fd;
	err = bpf_link_update(at->link_fd, prog_fd, NULL);
	if (err)
		return err;
	if (!bpf_obj_get_info_by_fd(prog_fd, &info, &len))
		at->prog_id = info.id;
	return 0;
}

bool xe_attach_is_ours(const struct xe_attachment *at)
{
	struct bpf_link_info info = {};
	uint32_t len = sizeof(info);

	return !bpf_obj_get_info_by_fd(at->link_fd, &info, &len) && info.prog_id == at->prog_id;
}

void xe_attach_leave(struct xe_attachment *at)
{
	if (at->link_fd >= 0)
		close(at->link_fd);
	at->link_fd = -1;
}
