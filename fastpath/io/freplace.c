/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "io/freplace.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/confine.h"
#include "base/log.h"

/* Names of libxdp's environment, which an administrator may have set for all programs. */
#define LIBXDP_BPFFS_PATH "LIBXDP_BPFFS"
#define LIBXDP_SKIP       "LIBXDP_SKIP_DISPATCHER"

/* `return XDP_PASS`, as an XDP program, or as one that replaces target_fd's function. */
static int load_pass(enum bpf_prog_type type, int btf_fd, uint32_t func_id, int target_fd)
{
	const struct bpf_insn insns[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS},
		{.code = BPF_JMP | BPF_EXIT},
	};
	const struct bpf_func_info func = {.insn_off = 0, .type_id = func_id};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .prog_btf_fd = (uint32_t)btf_fd, .func_info = &func,
		    .func_info_cnt = 1, .func_info_rec_size = sizeof(func));

	if (target_fd >= 0) {
		opts.attach_prog_fd = (uint32_t)target_fd;
		opts.attach_btf_id = func_id;
	}
	return bpf_prog_load(type, "xe_probe", "GPL", insns, sizeof(insns) / sizeof(insns[0]),
			     &opts);
}

/* libxdp says "not supported" and attaches plainly when the folder is no bpf file system: so it is
 * under `ip netns exec`, which mounts a fresh /sys. */
static bool has_bpffs(void)
{
	const char *path = secure_getenv(LIBXDP_BPFFS_PATH);
	struct statfs fs;

	return !statfs(path && *path ? path : "/sys/fs/bpf", &fs) &&
	       (unsigned long)fs.f_type == BPF_FS_MAGIC;
}

static bool is_skipped(void)
{
	const char *skip = secure_getenv(LIBXDP_SKIP);

	return skip && !strcmp(skip, "1");
}

bool xe_freplace_works(int btf_fd, uint32_t func_id)
{
	int target_fd, ext_fd = -1, link_fd = -1;
	const char *why = NULL;

	if (is_skipped())
		why = LIBXDP_SKIP "=1";
	else if (!has_bpffs())
		why = "no bpf file system in /sys/fs/bpf";
	else if (!xe_confine_has(CAP_SYS_ADMIN))
		why = "without CAP_SYS_ADMIN libxdp does not see the programs of its dispatcher";
	if (why) {
		xe_log_info("XDP programs are attached plainly: %s", why);
		return false;
	}
	target_fd = load_pass(BPF_PROG_TYPE_XDP, btf_fd, func_id, -1);
	if (target_fd >= 0)
		ext_fd = load_pass(BPF_PROG_TYPE_EXT, btf_fd, func_id, target_fd);
	if (ext_fd >= 0)
		link_fd = bpf_raw_tracepoint_open(NULL, ext_fd); /* to its target */
	if (link_fd < 0)
		why = strerror(target_fd < 0 ? -target_fd : ext_fd < 0 ? -ext_fd : -link_fd);
	if (why)
		xe_log_info("XDP programs are attached plainly: the kernel refuses to replace "
			    "functions of programs, which libxdp's dispatcher needs (%s)",
			    why);
	if (link_fd >= 0)
		close(link_fd);
	if (ext_fd >= 0)
		close(ext_fd);
	if (target_fd >= 0)
		close(target_fd);
	return !why;
}
