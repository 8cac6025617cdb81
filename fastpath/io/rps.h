/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * rps.h - keep the senders' work off the workers' CPUs (receive packet steering of veth ports).
 *
 * A veth has no interrupt: what a container sends is received by the host end on the CPU that sends
 * it, copies for generic XDP and AF_XDP included. For TCP that is often the worker's own: the
 * acknowledgement it delivers makes the container's socket send from within the worker's send call,
 * and what comes back that way fills the worker's ring while the worker cannot empty it. With RPS
 * the kernel does that work on the other CPUs.
 *
 * /sys/class/net/PORT/queues/rx-N/rps_cpus is set when a port is attached in generic mode, where
 * nobody has set it already, and put back when the port goes. Control thread.
 */
#ifndef XE_RPS_H
#define XE_RPS_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

/* Hexadecimal words of a mask as sysfs writes them; 160 characters are 512 CPUs. */
#define XE_RPS_TEXT 160

struct xe_rps {
	int class_fd; /* class/net of this network namespace; -1: nothing is set */
	int found_fd; /* folder with a file a queue that is set, for whoever comes after a crash */
	cpu_set_t cpus;
};

/* One port's queues as they were found. */
struct xe_rps_port {
	uint32_t cnt;
	struct xe_rps_queue {
		int fd;        /* follows the interface through a change of its name */
		char name[24]; /* in found_fd: IFINDEX.QUEUE */
		char was[XE_RPS_TEXT];
	} * queues;
};

/* To these CPUs; with none there is nothing to do. What is found goes to files in `found_dir`, made
 * here. 0, or -errno: that folder, or sysfs of this namespace, cannot be had, and xe_rps_set() does
 * nothing. */
int xe_rps_open(struct xe_rps *rps, const cpu_set_t *cpus, const char *found_dir);
void xe_rps_close(struct xe_rps *rps, const char *found_dir);
/* The same, and what is set stays set: another process has it, by the files. */
void xe_rps_leave(struct xe_rps *rps);
void xe_rps_leave_port(struct xe_rps_port *port);
/* Queues whose mask is empty get ours; so do those that a service before us set and, crashed, could
 * not put back. */
void xe_rps_set(const struct xe_rps *rps, const char *ifname, int ifindex, uint32_t queue_cnt,
		struct xe_rps_port *port);
/* Is the mask of all its queues ours? Also true where none was set, and of an interface that is
 * going. */
bool xe_rps_holds(const struct xe_rps *rps, const struct xe_rps_port *port);
/* Make it so again; true when it is. */
bool xe_rps_renew(const struct xe_rps *rps, const struct xe_rps_port *port);
/* As found, where the value is still ours. An interface that is gone is no error. */
void xe_rps_restore(const struct xe_rps *rps, struct xe_rps_port *port);
/* The same for all that a service which is no more has left in `found_dir`. */
void xe_rps_clean(const char *found_dir);

/* Of what another service has set in our folder, that of interfaces which are no ports of ours with
 * a mask: other() returns the name of such a one, NULL for ours and those that are gone. */
typedef const char *(*xe_rps_other_fn)(void *ctx, int ifindex);
void xe_rps_clean_others(const struct xe_rps *rps, xe_rps_other_fn other, void *ctx);

#endif
