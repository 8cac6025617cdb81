/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "io/rps.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

/* sysfs of the calling thread's network namespace, mounted nowhere (kernel 5.2, CAP_SYS_ADMIN): the
 * one on /sys may show another namespace's interfaces, under the same names. */
static int open_private(void)
{
	int fs_fd = fsopen("sysfs", FSOPEN_CLOEXEC), mnt_fd, fd;

	if (fs_fd < 0)
		return -errno;
	if (fsconfig(fs_fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0)) {
		fd = -errno;
		close(fs_fd);
		return fd;
	}
	mnt_fd = fsmount(fs_fd, FSMOUNT_CLOEXEC, 0);
	fd = mnt_fd < 0 ? -errno : openat(mnt_fd, "class/net", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (mnt_fd >= 0 && fd < 0)
		fd = -errno;
	if (mnt_fd >= 0)
		close(mnt_fd);
	close(fs_fd);
	return fd;
}

/* The kernel numbers network namespaces as they are made, init's is the first (5.14). Links under
 * /proc/1 tell the same, but only to who may trace process 1. */
static bool is_inits(void)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	if (fd < 0)
		return false;
	if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len))
		cookie = 0;
	close(fd);
	return cookie == 1;
}

/* Where /sys is mounted by init, it shows init's namespace: right when that is ours, too. */
static int open_public(void)
{
	int fd;

	if (!is_inits())
		return -EPERM;
	fd = open("/sys/class/net", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int xe_rps_open(struct xe_rps *rps, const cpu_set_t *cpus, const char *found_dir)
{
	int err = 0;

	rps->cpus = *cpus;
	rps->class_fd = rps->found_fd = -1;
	/* what another one has set is put back also where nothing is to be set */
	if (!CPU_COUNT(cpus) && access(found_dir, F_OK))
		return 0;
	if (mkdir(found_dir, 0700) && errno != EEXIST)
		return -errno;
	rps->found_fd = open(found_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (rps->found_fd < 0) {
		err = -errno;
		rmdir(found_dir);
		return err;
	}
	rps->class_fd = open_private();
	if (rps->class_fd < 0)
		rps->class_fd = open_public();
	if (rps->class_fd < 0) {
		err = rps->class_fd;
		xe_rps_leave(rps);
		rmdir(found_dir); /* what another one has set stays, for who can put it back */
	}
	return err;
}

/* Files of interfaces that went while no service was there are all that can be left. */
static void forget_found(int dir_fd, const char *found_dir)
{
	DIR *dir = fdopendir(dir_fd);
	const struct dirent *e;

	while (dir && (e = readdir(dir)))
		if (e->d_name[0] != '.')
			unlinkat(dirfd(dir), e->d_name, 0);
	if (dir)
		closedir(dir);
	else
		close(dir_fd);
	rmdir(found_dir);
}

void xe_rps_close(struct xe_rps *rps, const char *found_dir)
{
	if (rps->class_fd >= 0)
		close(rps->class_fd);
	if (rps->found_fd >= 0)
		forget_found(rps->found_fd, found_dir);
	rps->class_fd = rps->found_fd = -1;
}

void xe_rps_leave(struct xe_rps *rps)
{
	if (rps->class_fd >= 0)
		close(rps->class_fd);
	if (rps->found_fd >= 0)
		close(rps->found_fd);
	rps->class_fd = rps->found_fd = -1;
}

void xe_rps_leave_port(struct xe_rps_port *port)
{
	for (uint32_t i = 0; i < port->cnt; i++)
		close(port->queues[i].fd);
	free(port->queues);
	*port = (struct xe_rps_port){};
}

/* "00000001,00000003": 32 bits a word, the highest first. */
static void mask_print(const cpu_set_t *cpus, char text[XE_RPS_TEXT])
{
	int words = 1, at = 0;

	for (int cpu = 0; cpu < XE_RPS_TEXT / 9 * 32 && cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, cpus))
			words = cpu / 32 + 1;
	for (int w = words - 1; w >= 0; w--) {
		uint32_t bits = 0;

		for (int i = 0; i < 32; i++)
			bits |= (uint32_t) !!CPU_ISSET(w * 32 + i, cpus) << i;
		at += snprintf(text + at, XE_RPS_TEXT - (size_t)at, "%s%08x", at ? "," : "", bits);
	}
}

/* Equal but for leading zeros and separators, which depend on the kernel's number of CPUs. */
static bool same_mask(const char *a, const char *b)
{
	a += strspn(a, "0,");
	b += strspn(b, "0,");
	return !strcmp(a, b);
}

static bool mask_read(int fd, char text[XE_RPS_TEXT])
{
	ssize_t n = pread(fd, text, XE_RPS_TEXT - 1, 0);

	if (n < 0)
		return false;
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return true;
}

/* What a service that crashed has found here, if the value is still the one it set. */
static bool was_ours(const struct xe_rps *rps, const char *now, struct xe_rps_queue *q)
{
	char text[2 * XE_RPS_TEXT], *mask;
	int fd = openat(rps->found_fd, q->name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	mask = strchr(text, ' ');
	if (!mask || mask - text >= XE_RPS_TEXT)
		return false;
	*mask++ = '\0';
	if (!same_mask(mask, now))
		return false;
	memcpy(q->was, text, strlen(text) + 1);
	return true;
}

/* "FOUND SET" for the next service, before anything is changed. What the one before has recorded is
 * there until this is: where it fails, somebody has to put back that. */
static bool record_found(const struct xe_rps *rps, const struct xe_rps_queue *q, const char *mask)
{
	char name[sizeof(q->name) + 4];
	bool done;
	int fd;

	snprintf(name, sizeof(name), "new.%s", q->name);
	fd = openat(rps->found_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	done = fd >= 0 && dprintf(fd, "%s %s", q->was, mask) > 0;
	if (fd >= 0)
		close(fd);
	done = done && !renameat(rps->found_fd, name, rps->found_fd, q->name);
	if (!done)
		unlinkat(rps->found_fd, name, 0);
	return done;
}

/* True when the queue has our mask now and `was` is what to put back. */
static bool queue_set(const struct xe_rps *rps, const char *path, const char *mask,
		      struct xe_rps_queue *q)
{
	char now[XE_RPS_TEXT];

	q->fd = openat(rps->class_fd, path, O_RDWR | O_CLOEXEC);
	if (q->fd < 0)
		return false;
	if (mask_read(q->fd, now) && (was_ours(rps, now, q) || same_mask(now, ""))) {
		if (same_mask(now, ""))
			memcpy(q->was, now, sizeof(now));
		if (record_found(rps, q, mask) && pwrite(q->fd, mask, strlen(mask), 0) > 0)
			return true;
	}
	close(q->fd);
	return false;
}

void xe_rps_set(const struct xe_rps *rps, const char *ifname, int ifindex, uint32_t queue_cnt,
		struct xe_rps_port *port)
{
	char mask[XE_RPS_TEXT], path[64];

	port->cnt = 0;
	port->queues = NULL;
	if (rps->class_fd >= 0 && CPU_COUNT(&rps->cpus))
		port->queues = calloc(queue_cnt, sizeof(*port->queues));
	if (!port->queues)
		return;
	mask_print(&rps->cpus, mask);
	for (uint32_t q = 0; q < queue_cnt; q++) {
		snprintf(port->queues[port->cnt].name, sizeof(port->queues[0].name), "%d.%u",
			 ifindex, q);
		snprintf(path, sizeof(path), "%s/queues/rx-%u/rps_cpus", ifname, q);
		if (queue_set(rps, path, mask, &port->queues[port->cnt]))
			port->cnt++;
	}
}

/* Twice: there is no other time for it. Whoever has set another mask meanwhile keeps it. */
static bool put_back(const struct xe_rps_queue *q, const char *mask)
{
	char now[XE_RPS_TEXT];

	for (int i = 0; i < 2; i++) {
		if (!mask_read(q->fd, now))
			continue;
		if (!same_mask(now, mask) || pwrite(q->fd, q->was, strlen(q->was), 0) >= 0)
			return true;
	}
	return errno == ENODEV || errno == ENOENT; /* the interface is going */
}

bool xe_rps_holds(const struct xe_rps *rps, const struct xe_rps_port *port)
{
	char mask[XE_RPS_TEXT], now[XE_RPS_TEXT];

	if (!port->cnt)
		return true;
	mask_print(&rps->cpus, mask);
	for (uint32_t i = 0; i < port->cnt; i++)
		if (mask_read(port->queues[i].fd, now) && !same_mask(now, mask))
			return false;
	return true;
}

bool xe_rps_renew(const struct xe_rps *rps, const struct xe_rps_port *port)
{
	char mask[XE_RPS_TEXT];
	bool all = true;

	mask_print(&rps->cpus, mask);
	for (uint32_t i = 0; i < port->cnt; i++)
		all &= pwrite(port->queues[i].fd, mask, strlen(mask), 0) > 0;
	return all;
}

void xe_rps_restore(const struct xe_rps *rps, struct xe_rps_port *port)
{
	char mask[XE_RPS_TEXT];

	mask_print(&rps->cpus, mask);
	for (uint32_t i = 0; i < port->cnt; i++) {
		struct xe_rps_queue *q = &port->queues[i];

		if (!put_back(q, mask))
			xe_log_warn("rps: queue %s (interface.queue) keeps mask %s: %s", q->name,
				    mask, strerror(errno));
		close(q->fd);
		unlinkat(rps->found_fd, q->name, 0);
	}
	free(port->queues);
	*port = (struct xe_rps_port){};
}

/* One file of the folder. */
static void clean_one(const struct xe_rps *rps, unsigned int ifindex, unsigned int queue,
		      const char *ifname)
{
	char now[XE_RPS_TEXT], path[64];
	struct xe_rps_queue q = {};

	snprintf(q.name, sizeof(q.name), "%u.%u", ifindex, queue);
	snprintf(path, sizeof(path), "%s/queues/rx-%u/rps_cpus", ifname, queue);
	q.fd = openat(rps->class_fd, path, O_RDWR | O_CLOEXEC);
	if (q.fd < 0)
		return;
	if (mask_read(q.fd, now) && was_ours(rps, now, &q) &&
	    pwrite(q.fd, q.was, strlen(q.was), 0) < 0)
		now[0] = '\0'; /* the interface is going */
	close(q.fd);
}

void xe_rps_clean(const char *found_dir)
{
	struct xe_rps rps = {.class_fd = -1, .found_fd = -1};
	char ifname[IF_NAMESIZE];
	unsigned int ifindex, queue;
	struct dirent *entry;
	DIR *dir = opendir(found_dir);

	if (!dir)
		return;
	rps.found_fd = open(found_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	rps.class_fd = open_private();
	if (rps.class_fd < 0)
		rps.class_fd = open_public();
	while (rps.class_fd >= 0 && rps.found_fd >= 0 && (entry = readdir(dir)))
		if (sscanf(entry->d_name, "%u.%u", &ifindex, &queue) == 2 &&
		    if_indextoname(ifindex, ifname))
			clean_one(&rps, ifindex, queue, ifname);
	closedir(dir);
	xe_rps_close(&rps, found_dir);
}

void xe_rps_clean_others(const struct xe_rps *rps, xe_rps_other_fn other, void *ctx)
{
	int fd = rps->found_fd < 0 ? -1
				   : openat(rps->found_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	unsigned int ifindex, queue;
	const struct dirent *entry;
	const char *ifname;

	if (!dir && fd >= 0)
		close(fd);
	while (dir && (entry = readdir(dir))) {
		if (sscanf(entry->d_name, "%u.%u", &ifindex, &queue) != 2)
			continue;
		ifname = other(ctx, (int)ifindex);
		if (!ifname)
			continue;
		clean_one(rps, ifindex, queue, ifname);
		unlinkat(rps->found_fd, entry->d_name, 0);
	}
	if (dir)
		closedir(dir);
}
