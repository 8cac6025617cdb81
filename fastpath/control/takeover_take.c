/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/takeover_take.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/data_plane.h"
#include "control/l4_rest.h"
#include "control/port_given.h"
#include "control/state_dir.h"
#include "control/takeover_import.h"

/* Frames a worker needs: half of what one has by default (service.c), which receives and sends as
 * fast on some dozens of ports. */
#define SLICE_MIN 4096u
/* Changed flows that are no reason for another pass: they take less than a tenth of a millisecond.
 */
#define CHANGES_FEW 64u
/* Each is of what changed in the one before, so where it does not end soon it never does. */
#define PASSES_MAX 8
/* systemd reads what it is told within this, or the old process may end before it knows. */
#define NOTIFY_US (2 * 1000 * 1000)
/* After DONE only the old process can say what is; how often that is said to whoever waits. */
#define PATIENCE_MS 10000

/* ---- words ---- */

static const char *old_says(int err)
{
	switch (err) {
	case -ETIMEDOUT:
		return "it does not answer";
	case -ECONNRESET:
		return "it has closed the connection";
	case -EPROTO:
		return "it answers something else";
	default:
		return strerror(-err);
	}
}

/* Ask, and wait for the answer of that type. */
static int ask(struct xe_take *take, struct xe_to_msg *msg, uint16_t type, uint16_t answer,
	       struct xe_to_fds *fds)
{
	int err = xe_to_send(take->sock, msg, type, NULL);

	if (!err || err == -EPIPE) /* closed, perhaps with a word of refusal before */
		err = xe_to_recv(take->sock, msg, fds, XE_TO_SILENCE_MS);
	if (!err && msg->type == XE_TO_REFUSED) {
		xe_log_err("takeover refused by pid %d: %s", take->pid, msg->text);
		xe_to_close_fds(fds);
		return -ECANCELED;
	}
	if (!err &&
	    (msg->type != answer || (answer == XE_TO_WELCOME && !xe_to_speaks(msg->version)))) {
		xe_to_close_fds(fds);
		err = -EPROTO;
	}
	if (err)
		xe_log_err("takeover from pid %d: %s", take->pid, old_says(err));
	return err;
}

static int connect_old(const struct xe_service *svc, struct xe_take *take)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	struct ucred cred = {};
	socklen_t len = sizeof(cred);
	int n = snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/%s", svc->run_dir,
			 XE_TO_SOCKET_NAME);

	if (n < 0 || (size_t)n >= sizeof(sun.sun_path))
		return -ENAMETOOLONG;
	take->sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (take->sock < 0 || connect(take->sock, (const struct sockaddr *)&sun, sizeof(sun)) ||
	    getsockopt(take->sock, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		return -errno;
	take->pid = cred.pid;
	/* Asked while it is connected, so the pid is still its own. Kernel 5.3. */
	take->pid_fd = (int)syscall(SYS_pidfd_open, take->pid, 0);
	return take->pid_fd < 0 ? -errno : 0;
}

static int take_welcome(struct xe_service *svc, struct xe_take *take, struct xe_to_fds *fds)
{
	const struct xe_to_welcome *w = &take->welcome;
	uint32_t cnt = XE_TO_WELCOME_FDS + (w->punt ? 2 : 0);

	/* One of a later version may have more to give. */
	while (fds->cnt > cnt)
		close(fds->fd[--fds->cnt]);
	if (fds->cnt != cnt || !w->frame_cnt ||
	    !xe_steer_are_counters(fds->fd[2], w->size[XE_TO_PORT_COUNTERS])) {
		xe_to_close_fds(fds);
		xe_log_err("takeover from pid %d: %s", take->pid, old_says(-EPROTO));
		return -EPROTO;
	}
	if (w->notified && !getenv("NOTIFY_SOCKET")) {
		xe_to_close_fds(fds);
		xe_to_refuse(take->sock, "not by systemd");
		xe_log_err(
			"takeover from pid %d: systemd started it, and would take its end for that "
			"of the service: take over by its ExecReload= (operations.md, Upgrade)",
			take->pid);
		return -EPERM;
	}
	svc->lock_fd = fds->fd[0];
	take->area_fd = fds->fd[1];
	take->counters_fd = fds->fd[2];
	memcpy(take->shared_fds, &fds->fd[3], sizeof(take->shared_fds));
	if (w->punt) {
		svc->punt_fd = fds->fd[XE_TO_WELCOME_FDS];
		svc->punt_uplink_fd = fds->fd[XE_TO_WELCOME_FDS + 1];
		snprintf(svc->punt_name, sizeof(svc->punt_name), "%.*s", IFNAMSIZ - 1,
			 w->punt_name);
		snprintf(svc->punt_uplink_name, sizeof(svc->punt_uplink_name), "%.*s", IFNAMSIZ - 1,
			 w->punt_uplink_name);
	}
	return 0;
}

int xe_take_begin(struct xe_service *svc)
{
	struct xe_take *take = calloc(1, sizeof(*take));
	struct xe_to_msg msg = {};
	struct xe_to_fds fds;
	int err;

	if (!take)
		return -ENOMEM;
	svc->take = take;
	take->sock = take->pid_fd = take->area_fd = take->counters_fd = take->lanes_fd =
		take->flows_fd = -1;
	memset(take->shared_fds, -1, sizeof(take->shared_fds));
	err = connect_old(svc, take);
	if (err) {
		xe_log_err("takeover: the service that holds %s does not let itself be asked: %s",
			   svc->run_dir, strerror(-err));
		goto out;
	}
	xe_to_our_hello(&msg.hello);
	err = ask(take, &msg, XE_TO_HELLO, XE_TO_WELCOME, &fds);
	if (err)
		goto out;
	take->welcome = msg.welcome;
	err = take_welcome(svc, take, &fds);
	if (!err)
		xe_log_info("takeover from pid %d: getting ready", take->pid);
out:
	if (err)
		xe_take_close(svc);
	return err;
}

void xe_take_keys(const struct xe_service *svc, uint64_t *k0, uint64_t *k1)
{
	*k0 = svc->take->welcome.k0;
	*k1 = svc->take->welcome.k1;
}

bool xe_take_area(struct xe_service *svc)
{
	struct xe_take *take = svc->take;
	uint32_t frames = take->welcome.frame_cnt;

	if (frames % svc->worker_cnt || frames / svc->worker_cnt < SLICE_MIN ||
	    xe_area_adopt(&svc->area, take->area_fd, frames, svc->worker_cnt)) {
		xe_log_warn("takeover from pid %d: its memory of %u frames is not enough for %u "
			    "workers: only flows are taken over, and the ports attached anew",
			    take->pid, frames, svc->worker_cnt);
		return false;
	}
	take->area_fd = -1;
	take->shares = true;
	return true;
}

void xe_take_remembered(struct xe_service *svc)
{
	const struct xe_to_welcome *w = &svc->take->welcome;

	svc->translated6 = w->translated6;
	if (w->any_accept)
		__atomic_store_n(&svc->steer.conf->any_accept, 1, __ATOMIC_RELEASE);
}

/* ---- ports, while the old one's workers run ---- */

static int take_port(struct xe_service *svc, uint32_t n)
{
	struct xe_take *take = svc->take;
	struct xe_to_msg msg = {.number = n};
	struct xe_to_fds fds;
	const char *why;
	int err = ask(take, &msg, XE_TO_PORT_WANTED, XE_TO_PORT, &fds);

	if (err)
		return err;
	msg.port.name[IFNAMSIZ - 1] = msg.port.entry[IFNAMSIZ - 1] = '\0';
	take->ids[n] = msg.port.id;
	why = take->shares ? xe_port_given_why_not(svc, &msg.port) : "";
	if (!why) {
		err = xe_port_given_up(svc, &msg.port, &fds);
		xe_to_close_fds(&fds);
		take->port_cnt += !err;
		return err;
	}
	if (*why)
		xe_log_info("takeover: port %s is attached anew: %s", msg.port.name, why);
	take->rest[take->rest_cnt].port = msg.port;
	take->rest[take->rest_cnt++].fds = fds;
	return 0;
}

static int take_ports(struct xe_service *svc)
{
	struct xe_take *take = svc->take;
	struct xe_to_msg msg = {};
	struct xe_to_fds fds;
	uint32_t cnt;
	int err = ask(take, &msg, XE_TO_BEGIN, XE_TO_PORTS, &fds);

	if (err)
		return err;
	xe_to_close_fds(&fds);
	cnt = msg.number;
	if (cnt > XE_MAX_PORTS)
		return -EPROTO;
	take->rest = calloc(cnt + 1, sizeof(*take->rest));
	take->ids = calloc(cnt + 1, sizeof(*take->ids));
	if (!take->rest || !take->ids)
		return -ENOMEM;
	/* Interfaces that the old one has just seen go or come are gone or there for us, too. */
	xe_netlink_dispatch(svc->netlink);
	for (uint32_t n = 0; n < cnt && !err; n++)
		err = take_port(svc, n);
	return err;
}

static int put_rules_in_force(struct xe_service *svc)
{
	char text[256] = "";
	int err = xe_rules_publish(svc, text, sizeof(text));

	if (err) {
		xe_log_err("takeover: %s", text[0] ? text : strerror(-err));
		return err;
	}
	for (struct xe_port *p = svc->port_list; p; p = p->next)
		if (p->state == XE_PORT_ATTACHED)
			xe_port_go_live(svc, p);
	return 0;
}

static int freeze(struct xe_service *svc)
{
	struct xe_take *take = svc->take;
	struct xe_to_msg msg = {};
	struct xe_to_fds fds;
	int err;

	xe_service_raise_priority();
	take->freeze_ns = xe_now_ns();
	err = ask(take, &msg, XE_TO_FREEZE, XE_TO_FROZEN, &fds);
	if (err)
		return err;
	if (fds.cnt != 2) {
		xe_to_close_fds(&fds);
		return -EPROTO;
	}
	take->frozen_ns = xe_now_ns();
	take->frozen = msg.frozen;
	take->lanes_fd = fds.fd[0];
	take->flows_fd = fds.fd[1];
	return 0;
}

/* all: give up at the first one that refuses; else go on, and let go of that link: it is attached
 * anew when the old process has gone, which has it, too. */
static int switch_links(struct xe_service *svc, bool all)
{
	/* Before the first packet meets our program: it looks at the heartbeats. */
	for (uint32_t w = 0; all && w < svc->worker_cnt; w++)
		xe_worker_beat(&svc->workers[w]);
	for (struct xe_port *p = svc->port_list; p; p = p->next) {
		int err = p->at.link_fd >= 0 ? xe_attach_switch(&svc->steer, &p->at) : 0;

		if (!err || err == -ENOLINK)
			continue; /* its interface has gone just now: an event will say so */
		xe_log_err("port %s: our program does not come into its link: %s", p->name,
			   strerror(-err));
		if (all)
			return err;
		xe_attach_leave(&p->at);
	}
	return 0;
}

static bool is_dead(const struct xe_take *take, int timeout_ms)
{
	struct pollfd p = {.fd = take->pid_fd, .events = POLLIN};

	return poll(&p, 1, timeout_ms) > 0;
}

/* From DONE on only the old process knows who is the service, unless it is dead: it may have
 * stopped for as long as it likes, and will say so when it goes on. */
static int wait_go(struct xe_take *take)
{
	struct xe_to_msg msg = {};
	struct xe_to_fds fds;
	int err = xe_to_send(take->sock, &msg, XE_TO_DONE, NULL);

	if (!err)
		err = xe_to_recv(take->sock, &msg, &fds, PATIENCE_MS);
	while (err == -ETIMEDOUT && !is_dead(take, 0)) {
		xe_log_warn("takeover: pid %d has not answered for %d s: it, or this process, has "
			    "to be ended",
			    take->pid, PATIENCE_MS / 1000);
		err = xe_to_recv(take->sock, &msg, &fds, PATIENCE_MS);
	}
	if (!err) {
		xe_to_close_fds(&fds);
		if (msg.type == XE_TO_GO)
			return 0;
		err = -EPROTO;
	}
	if (is_dead(take, XE_TO_SILENCE_MS)) {
		xe_log_warn("takeover: pid %d died while it was taken over: going on", take->pid);
		return 0;
	}
	xe_log_err("takeover from pid %d: %s", take->pid, old_says(err));
	return err;
}

/* Before all stands still: a thread costs time, and may not be had. */
static int make_workers(struct xe_service *svc)
{
	int err = 0;

	for (uint32_t w = 0; w < svc->worker_cnt && !err; w++)
		err = xe_worker_make(&svc->workers[w]);
	if (err)
		xe_log_err("takeover: worker: %s", strerror(-err));
	return err;
}

/* Cannot fail: the old process has gone. Where that took so long that steer has left the packets to
 * the kernel, what waits is as old as after a stall. */
static void let_workers_go(struct xe_service *svc)
{
	uint64_t since_ns = svc->take->freeze_ns;

	xe_l4_rest_adopt(svc);
	xe_import_held(svc, xe_now_ns() > since_ns + XE_BEAT_MAX_AGE_NS);
	for (uint32_t w = 0; w < svc->worker_cnt; w++)
		xe_worker_go(&svc->workers[w], since_ns);
}

/* Once through all of the old one's flows, in parts; *cnt: how many had changed. */
static int copy_flows(struct xe_service *svc, uint32_t *cnt)
{
	struct xe_take *take = svc->take;
	struct xe_to_msg msg = {};
	struct xe_to_fds fds;
	int err;

	*cnt = 0;
	do {
		err = ask(take, &msg, XE_TO_COPY, XE_TO_COPIED, &fds);
		if (err)
			return err;
		err = fds.cnt == 1
			      ? xe_take_flows_follow(svc, take->told, fds.fd[0], &msg.changes, NULL)
			      : -EPROTO;
		xe_to_close_fds(&fds);
		*cnt += msg.changes.cnt;
	} while (!err && msg.changes.more);
	return err;
}

/* Until there are few, or it does not get better: then as many change as it takes to tell. */
static int follow_flows(struct xe_service *svc)
{
	uint32_t cnt = UINT32_MAX, before;
	int err;

	svc->take->told = xe_take_flows_open();
	if (!svc->take->told)
		return -ENOMEM;
	for (int pass = 0; pass < PASSES_MAX; pass++) {
		before = cnt;
		err = copy_flows(svc, &cnt);
		if (err)
			return err;
		xe_log_debug("takeover: %u flows have changed", cnt);
		if (cnt <= CHANGES_FEW || (pass > 1 && cnt > before / 2))
			break;
	}
	return 0;
}

/* Are the maps that both would write laid out as ours are? */
static bool shares_maps(const struct xe_take *take)
{
	uint32_t ours[XE_TO_SIZES];

	xe_to_our_sizes(ours);
	return take->welcome.size[XE_TO_LIVE_BUCKET] == ours[XE_TO_LIVE_BUCKET] &&
	       take->welcome.size[XE_TO_OWNED] == ours[XE_TO_OWNED];
}

/* Before the old workers stop: all that need not wait for that. */
static int get_ready(struct xe_service *svc)
{
	struct xe_take *take = svc->take;
	int err = take_ports(svc);

	if (!err)
		err = put_rules_in_force(svc);
	if (err)
		return err;
	err = follow_flows(svc);
	if (!err)
		err = make_workers(svc);
	if (err)
		return err;
	take->mirrors = take->shares && take->welcome.worker_cnt == svc->worker_cnt &&
			take->welcome.live_mask == svc->steer.settings.live_mask &&
			shares_maps(take) &&
			!xe_mirror_open(&take->mirror, &svc->steer, take->shared_fds);
	return 0;
}

/* What stood still is ours, up to the word that says so. */
static int adopt_all(struct xe_service *svc)
{
	struct xe_take *take = svc->take;
	int err = xe_import_lanes(svc);

	if (!err)
		err = xe_take_flows_follow(svc, take->told, take->flows_fd, &take->frozen.changes,
					   &take->flows);
	if (!err && take->mirrors)
		xe_mirror_begin(&take->mirror, svc, take->parts.ext_addrs);
	else if (!err)
		err = switch_links(svc, true);
	take->adopted_ns = xe_now_ns();
	return err ? err : wait_go(take);
}

static double ms(uint64_t from_ns, uint64_t to_ns)
{
	return (double)(to_ns - from_ns) / XE_NS_PER_MS;
}

static void say_taken(const struct xe_take *take)
{
	xe_log_info("audit: uid=%u pid=%u took the service over from pid %d: %u ports, %u flows "
		    "(%u not), %u of them told at last, stood still for %.1f ms (told %.1f, ours "
		    "%.1f, given %.1f, running %.1f)",
		    getuid(), getpid(), take->pid, take->port_cnt, take->flows.adopted,
		    take->flows.over + take->flows.refused, take->frozen.changes.cnt,
		    ms(take->freeze_ns, take->run_ns), ms(take->freeze_ns, take->frozen_ns),
		    ms(take->frozen_ns, take->adopted_ns), ms(take->adopted_ns, take->go_ns),
		    ms(take->go_ns, take->run_ns));
}

int xe_take_finish(struct xe_service *svc)
{
	struct xe_take *take = svc->take;
	int err = get_ready(svc);

	if (!err)
		err = freeze(svc);
	if (!err)
		err = adopt_all(svc);
	if (err)
		return err;
	take->go_ns = xe_now_ns();
	svc->given = false; /* from here on it is ours to clean up */
	let_workers_go(svc);
	take->run_ns = xe_now_ns();
	xe_resolver_poll(svc); /* what the last flows have asked */
	say_taken(take);
	if (take->mirrors)
		switch_links(svc, false);
	xe_steer_wait(); /* no old program runs any more */
	xe_mirror_end(&take->mirror, svc);
	return 0;
}

/* ---- the service is ours ---- */

static void tell_systemd(void)
{
	sd_notifyf(0, "MAINPID=%d\nREADY=1", getpid());
	sd_notify_barrier(0, NOTIFY_US);
}

void xe_take_settle(struct xe_service *svc)
{
	struct xe_take *take = svc->take;
	struct xe_to_msg msg = {};

	xe_watchdog_inherit(&svc->watchdog, take->welcome.watchdog_every,
			    take->welcome.watchdog_patience);
	tell_systemd();
	svc->watchdog.ready = true;
	xe_to_send(take->sock, &msg, XE_TO_BYE, NULL);
	close(take->sock);
	take->sock = -1;
	for (struct xe_port *p = svc->port_list; p; p = p->next)
		if (p->state == XE_PORT_ATTACHED)
			xe_port_set_rps(svc, p);
	xe_import_port_counters(svc);
	svc->fallback_stale = true;
}

int xe_take_fd(const struct xe_service *svc)
{
	return svc->take ? svc->take->pid_fd : -1;
}

bool xe_take_waits(const struct xe_service *svc)
{
	return svc->take && svc->take->rest_cnt;
}

/* Links that did not take our program have ended with the old process: a new one each. */
static void attach_again(struct xe_service *svc)
{
	for (struct xe_port *p = svc->port_list; p; p = p->next) {
		if (p->state != XE_PORT_ATTACHED || p->at.link_fd >= 0 || p->at.dispatcher)
			continue;
		if (xe_attach(&svc->steer, &p->at, p->ifindex, p->at.generic, p->why,
			      sizeof(p->why)))
			xe_log_err("port %s: XDP program: %s", p->name, p->why);
	}
}

void xe_take_gone(struct xe_service *svc)
{
	struct xe_take *take = svc->take;

	xe_log_info("takeover: pid %d has ended", take->pid);
	svc->steer.lock_shared = false;
	xe_import_rest(svc);
	attach_again(svc);
	xe_take_close(svc);
	xe_broadcasts_refresh(svc);
	xe_ports_sync(svc);
	xe_data_plane_clean_rps(svc); /* of ports that only the old one had */
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void xe_take_close(struct xe_service *svc)
{
	struct xe_take *take = svc->take;

	if (!take)
		return;
	for (uint32_t i = 0; i < take->rest_cnt; i++)
		xe_to_close_fds(&take->rest[i].fds);
	free(take->rest);
	free(take->ids);
	xe_take_flows_close(take->told);
	xe_import_close(take);
	if (take->lanes)
		munmap(take->lanes, take->lanes_size);
	close_fd(take->sock);
	close_fd(take->pid_fd);
	xe_mirror_end(&take->mirror, svc);
	for (int i = 0; i < XE_STEER_SHARED; i++)
		close_fd(take->shared_fds[i]);
	close_fd(take->area_fd);
	close_fd(take->counters_fd);
	close_fd(take->lanes_fd);
	close_fd(take->flows_fd);
	free(take);
	svc->take = NULL;
}
