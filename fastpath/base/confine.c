/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "base/confine.h"

#include <cap-ng.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/log.h"
#include "base/syscalls.h"

struct kept {
	unsigned int cap;
	const char *needed; /* its name where nothing goes without */
};

/* While the service runs: ports come and go, so the control thread goes on making sockets and
 * attaching programs. */
static const struct kept run_caps[] = {
	/* attach XDP, nftables, netlink, punt devices, ethtool, big socket buffers */
	{CAP_NET_ADMIN, "CAP_NET_ADMIN"},
	/* AF_XDP and AF_PACKET sockets, iptables' policies */
	{CAP_NET_RAW, "CAP_NET_RAW"},
	/* programs and maps */
	{CAP_BPF, "CAP_BPF"},
	/* segment sizes of superpackets, and freplace programs */
	{CAP_PERFMON, NULL},
	/* the frames of a socket count against RLIMIT_MEMLOCK otherwise */
	{CAP_IPC_LOCK, NULL},
};

/* Until everything is up. */
static const struct kept start_caps[] = {
	{CAP_SYS_ADMIN, NULL},    /* a sysfs of this network namespace; programs by id */
	{CAP_SYS_NICE, NULL},     /* priority of the threads */
	{CAP_SYS_RESOURCE, NULL}, /* RLIMIT_MEMLOCK */
	/* up to here only: xe_confine_files() */
	{CAP_CHOWN, NULL},        /* the control socket's group */
	{CAP_DAC_OVERRIDE, NULL}, /* a run directory that is another user's */
};

#define FILE_CAPS 2

#define CNT(array) (sizeof(array) / sizeof((array)[0]))

/* Sanitizers call what they like: their threads, at the end even ptrace(). */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static bool filter_wanted = false;
#else
static bool filter_wanted = true;
#endif

static bool is_in(const struct kept *list, size_t cnt, unsigned int cap)
{
	for (size_t i = 0; i < cnt; i++)
		if (list[i].cap == cap)
			return true;
	return false;
}

/* Of what this thread has, keep what is named; nothing is passed on to programs that it might
 * execute. */
static int keep_only(const struct kept *one, size_t one_cnt, const struct kept *more,
		     size_t more_cnt)
{
	unsigned int last = CAP_LAST_CAP;
	bool had[CAP_LAST_CAP + 1];

	capng_clear(CAPNG_SELECT_CAPS);
	if (capng_get_caps_process())
		return -EPERM;
	for (unsigned int cap = 0; cap <= last; cap++)
		had[cap] = capng_have_capability(CAPNG_PERMITTED, cap);
	capng_clear(CAPNG_SELECT_CAPS);
	for (unsigned int cap = 0; cap <= last; cap++)
		if (had[cap] && (is_in(one, one_cnt, cap) || is_in(more, more_cnt, cap)))
			capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, cap);
	return capng_apply(CAPNG_SELECT_CAPS) ? -EPERM : 0;
}

static int keep(const struct kept *more, size_t more_cnt)
{
	return keep_only(run_caps, CNT(run_caps), more, more_cnt);
}

static int check_needed(char *why, size_t why_size)
{
	size_t len = 0;

	why[0] = '\0';
	for (size_t i = 0; i < CNT(run_caps) && len < why_size; i++)
		if (run_caps[i].needed && !xe_confine_has(run_caps[i].cap))
			len += (size_t)snprintf(why + len, why_size - len, "%s%s",
						len ? ", " : "missing ", run_caps[i].needed);
	if (len && len < why_size)
		snprintf(why + len, why_size - len,
			 ": run as root, or grant it (AmbientCapabilities= of the unit)");
	return len ? -EPERM : 0;
}

int xe_confine_begin(char *why, size_t why_size)
{
	int err;

	/* No file's set-uid bit or capabilities count any more: that keeps even where the bounding
	 * set, which only CAP_SETPCAP may change, stays. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) {
		snprintf(why, why_size, "PR_SET_NO_NEW_PRIVS: %s", strerror(errno));
		return -EPERM;
	}
	if (xe_confine_has(CAP_SETPCAP))
		for (unsigned int cap = 0; !prctl(PR_CAPBSET_DROP, cap, 0, 0, 0); cap++)
			;
	/* Also where there are none, or the kernel knows no ambient ones. */
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	err = keep(start_caps, CNT(start_caps));
	if (err)
		snprintf(why, why_size, "privileges cannot be given up");
	return err ? err : check_needed(why, why_size);
}

void xe_confine_no_filter(void)
{
	filter_wanted = false;
}

/* A kernel without seccomp is not worth refusing to carry traffic. */
static void filter(enum xe_syscalls who)
{
	int err = filter_wanted ? xe_syscalls_confine(who) : 0;

	if (err)
		xe_log_warn("system calls are not filtered: %s", strerror(-err));
}

int xe_confine_worker(void)
{
	int err;

	capng_clear(CAPNG_SELECT_CAPS);
	err = capng_apply(CAPNG_SELECT_CAPS) ? -EPERM : 0;
	filter(XE_SYSCALLS_WORKER);
	return err;
}

int xe_confine_files(void)
{
	return keep(start_caps, CNT(start_caps) - FILE_CAPS);
}

int xe_confine_nft(bool forks)
{
	static const struct kept net_admin[] = {{CAP_NET_ADMIN, NULL}};
	int err = keep_only(net_admin, 1, NULL, 0);

	filter(forks ? XE_SYSCALLS_KEEPER : XE_SYSCALLS_CONTROL);
	return err;
}

int xe_confine_control(bool dispatcher)
{
	static const struct kept sys_admin[] = {{CAP_SYS_ADMIN, NULL}};

	int err = keep(sys_admin, dispatcher);

	filter(XE_SYSCALLS_CONTROL);
	return err;
}

bool xe_confine_has(unsigned int cap)
{
	capng_clear(CAPNG_SELECT_CAPS);
	return !capng_get_caps_process() && capng_have_capability(CAPNG_EFFECTIVE, cap);
}
