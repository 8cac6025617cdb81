/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/leftovers.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/conntrack.h"
#include "control/fallback.h"
#include "control/netlink.h"
#include "control/l4_rest.h"
#include "control/run_lock.h"
#include "control/state_dir.h"
#include "control/takeover_wire.h"
#include "io/attach.h"
#include "io/dispatcher.h"
#include "io/rps.h"
#include "xegress/ctl_abi.h"

#define PATH_SIZE (PATH_MAX + 16)
/* A program's service is known to be dead when its heartbeat is older than XE_BEAT_MAX_AGE_NS:
 * tried so often, at this distance. */
#define CLEAR_TRIES 16
#define CLEAR_NS    (100 * XE_NS_PER_MS)

/* Holds the lock in *fd. -EBUSY: another does; -ENOENT: there is no such folder, or without `make`
 * no lock: there was never a service. */
static int take_lock(const char *run_dir, bool make, int *fd)
{
	char path[PATH_SIZE];
	int err;

	snprintf(path, sizeof(path), "%s/lock", run_dir);
	*fd = open(path, O_RDWR | O_CLOEXEC | (make ? O_CREAT : 0), 0644);
	if (*fd < 0)
		return -errno;
	err = -ENOENT; /* gone between the two: there is no service */
	if (!flock(*fd, LOCK_EX | LOCK_NB)) {
		if (xe_run_lock_is_there(*fd, path))
			return 0;
	} else {
		err = errno == EWOULDBLOCK ? -EBUSY : -errno;
	}
	close(*fd);
	*fd = -1;
	return err;
}

/* ---- flows ---- */

static int write_flows(const struct xe_flow_file *flows)
{
	struct xe_ct_result r;
	struct xe_ct *ct;
	int err = xe_ct_open(&ct);

	if (err) {
		xe_log_err("handback: conntrack: %s", err == -EPROTONOSUPPORT
							      ? "this kernel has no ctnetlink"
							      : strerror(-err));
		return err;
	}
	err = xe_ct_write(ct, flows, NULL, &r);
	xe_ct_close(ct);
	if (err)
		xe_log_err("handback: conntrack: %s", strerror(-err));
	if (r.refused)
		xe_log_warn("handback: conntrack refused %u flows: %s", r.refused,
			    r.err == -ENOMEM ? "its table is full (net.netfilter.nf_conntrack_max)"
					     : strerror(-r.err));
	xe_log_info("handback: %u flows of a service that crashed go on in the kernel", r.written);
	return err;
}

int xe_leftovers_hand_back(const char *run_dir)
{
	struct xe_flow_file flows;
	int fd, err = take_lock(run_dir, false, &fd), dead;

	if (err) {
		xe_log_info("handback: nothing to do: %s",
			    err == -EBUSY ? "the service is running" : strerror(-err));
		return err == -EBUSY || err == -ENOENT ? 0 : err;
	}
	xe_flow_file_init(&flows);
	dead = xe_state_dir_read_dead(run_dir, &flows);
	if (dead > 0 && flows.record_cnt)
		err = write_flows(&flows);
	else if (dead < 0)
		err = dead;
	if (dead > 0 && !err)
		xe_state_dir_remove_dead(run_dir);
	xe_flow_file_free(&flows);
	close(fd);
	return err;
}

/* ---- the host ---- */

static int remove_net(const char *run_dir)
{
	char table[XE_FALLBACK_NAME_SIZE];
	struct xe_fallback *fb = NULL;
	int err = xe_fallback_name(run_dir, table);

	if (!err)
		err = xe_fallback_open(table, &fb);
	if (!err && xe_fallback_present(fb) > 0) {
		err = xe_fallback_remove(fb);
		if (!err)
			xe_log_info("clean: nftables table %s removed", table);
	}
	xe_fallback_close(fb);
	if (err)
		xe_log_err("clean: nftables table: %s", strerror(-err));
	return err;
}

/* True: on some interface is a program whose service lives, or has died just now. *failed: one
 * whose program cannot be removed; *err: why. */
static bool clear_all(const struct xe_netlink *nl, const struct xe_link **failed, int *err)
{
	const struct xe_link *link;
	bool busy = false;

	*failed = NULL;
	*err = 0;
	xe_for_each_link(nl, link)
	{
		int ret = xe_attach_clear(link->ifindex);

		busy |= ret == -EBUSY;
		if (ret && ret != -EBUSY) {
			*failed = link;
			*err = ret;
		}
	}
	return busy;
}

/* Only libxdp's dispatcher keeps a program whose process has gone. What is busy until the end is
 * that of a service with another run directory. */
static int remove_programs(void)
{
	static const struct xe_netlink_ops none;
	const struct timespec pause = {.tv_nsec = CLEAR_NS};
	const struct xe_link *failed;
	struct xe_netlink *nl;
	int ret = xe_netlink_open(&nl, &none, NULL);

	if (ret) {
		xe_log_err("clean: netlink: %s", strerror(-ret));
		return ret;
	}
	for (int i = 0; i < CLEAR_TRIES && clear_all(nl, &failed, &ret); i++)
		nanosleep(&pause, NULL);
	if (ret)
		xe_log_err("clean: program on %s: %s", failed->name, strerror(-ret));
	xe_netlink_close(nl);
	return ret;
}

int xe_leftovers_clean(const char *run_dir)
{
	/* systemd removes it at a stop; the safety net has its name from it, and is still there. */
	bool made = !mkdir(run_dir, 0755);
	char path[PATH_SIZE];
	int fd, err = take_lock(run_dir, true, &fd), ret;

	if (err == -ENOENT)
		return 0;
	if (err) {
		xe_log_err("clean: %s: %s", run_dir,
			   err == -EBUSY ? "the service is running: stop it first"
					 : strerror(-err));
		return err;
	}
	ret = remove_net(run_dir);
	err = remove_programs();
	ret = ret ? ret : err;
	snprintf(path, sizeof(path), "%s/rps", run_dir);
	xe_rps_clean(path);
	xe_l4_rest_remove(run_dir);
	xe_state_dir_remove_dead(run_dir);
	xe_dispatcher_clean(run_dir);
	snprintf(path, sizeof(path), "%s/%s", run_dir, XE_CTL_SOCKET_NAME);
	unlink(path);
	snprintf(path, sizeof(path), "%s/%s", run_dir, XE_TO_SOCKET_NAME);
	unlink(path);
	snprintf(path, sizeof(path), "%s/lock", run_dir);
	if (made && !unlink(path))
		rmdir(run_dir);
	close(fd);
	return ret;
}
