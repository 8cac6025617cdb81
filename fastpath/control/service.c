/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/service.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/confine.h"
#include "base/insum.h"
#include "base/log.h"
#include "control/ct_adopt.h"
#include "control/data_plane.h"
#include "control/flow_adopt.h"
#include "control/flow_sync.h"
#include "control/handback.h"
#include "control/host_l4.h"
#include "control/l4_rest.h"
#include "control/nft_run.h"
#include "control/port_given.h"
#include "control/run_lock.h"
#include "control/start_beside.h"
#include "control/state_dir.h"
#include "control/takeover_give.h"
#include "control/takeover_take.h"
#include "control/watch.h"
#include "state/deny.h"

/* Listeners of the host are polled this often: sock_diag announces no new ones. */
#define POLL_MS 100
/* Above the containers' processes, below the workers (-20). */
#define CONTROL_NICE (-10)

static void op_link(void *ctx, const struct xe_link *link, const struct xe_link *was,
		    enum xe_nl_event event)
{
	if (!xe_watch_defers(ctx))
		xe_ports_link_event(ctx, link, was, event);
}

static void op_addr(void *ctx, const struct xe_ifaddr *addr, enum xe_nl_event event)
{
	if (!xe_watch_defers(ctx))
		xe_ext_addr_event(ctx, addr, event);
}

static void op_neigh(void *ctx, const struct xe_neigh *neigh, enum xe_nl_event event)
{
	xe_resolver_neigh_event(ctx, neigh, event);
	if (event != XE_NL_REMOVED)
		xe_ct_neigh_event(ctx, neigh);
}

static void op_routes(void *ctx)
{
	struct xe_service *svc = ctx;

	if (!svc->resolver)
		return;
	xe_watch_host_changed(svc);
	xe_broadcasts_refresh(svc);
	if (!xe_watch_defers(svc)) {
		xe_ports_refresh_allow(svc);
		xe_ports_refresh_own(svc);
	}
	xe_resolver_refresh(svc);
}

static void op_settled(void *ctx)
{
	struct xe_service *svc = ctx;

	if ((svc->ports_come || svc->ports_gone || svc->ports_renamed) && !xe_watch_defers(svc))
		xe_ports_settle(svc);
}

static const struct xe_netlink_ops netlink_ops = {
	.link = op_link,
	.addr = op_addr,
	.neigh = op_neigh,
	.routes = op_routes,
	.settled = op_settled,
};

static int start_kernel_view(struct xe_service *svc)
{
	int err = xe_netlink_open(&svc->netlink, &netlink_ops, svc);

	if (!err)
		err = xe_sockdiag_open(&svc->sockdiag);
	if (err) {
		xe_log_err("netlink: %s", strerror(-err));
		return err;
	}
	xe_host_l4_open(svc);
	return xe_resolver_open(svc);
}

static void ctl_path(const struct xe_service *svc, char path[XE_RUN_PATH_SIZE])
{
	snprintf(path, XE_RUN_PATH_SIZE, "%s/%s", svc->run_dir, XE_CTL_SOCKET_NAME);
}

static int start_control(struct xe_service *svc)
{
	struct group *group = svc->config->ctl_group[0] ? getgrnam(svc->config->ctl_group) : NULL;
	char path[XE_RUN_PATH_SIZE], err_text[256];
	struct xe_ctl_options options = {
		.path = path,
		.mode = 0660,
		.gid = group ? group->gr_gid : (gid_t)-1,
		.verbs = xe_verbs,
		.ctx = svc,
		.audit = xe_verbs_audit,
	};
	int err;

	if (svc->config->ctl_group[0] && !group)
		xe_log_warn("ctl-group: no group `%s`: the control socket stays root's",
			    svc->config->ctl_group);
	ctl_path(svc, path);
	if (svc->take) /* another process has that name until it has given us all */
		snprintf(path + strlen(path), sizeof(path) - strlen(path), ".%d", getpid());
	err = xe_ctl_open(&options, &svc->ctl, err_text, sizeof(err_text));
	if (err)
		xe_log_err("control socket %s: %s", path, err_text);
	return err;
}

static int watch(struct xe_service *svc, int fd)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};

	return epoll_ctl(svc->epoll_fd, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

static int start_loop(struct xe_service *svc)
{
	struct itimerspec every = {.it_interval.tv_nsec = POLL_MS * XE_NS_PER_MS,
				   .it_value.tv_nsec = POLL_MS * XE_NS_PER_MS};
	sigset_t signals;

	/* Blocked before the first worker thread exists, so that only the signalfd sees them. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	svc->signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
	svc->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	svc->request_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	svc->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (svc->signal_fd < 0 || svc->timer_fd < 0 || svc->request_fd < 0 || svc->epoll_fd < 0 ||
	    timerfd_settime(svc->timer_fd, 0, &every, NULL))
		return -errno;
	return 0;
}

void xe_service_hold_still(struct xe_service *svc, bool still)
{
	if (still)
		epoll_ctl(svc->epoll_fd, EPOLL_CTL_DEL, xe_ctl_fd(svc->ctl), NULL);
	else if (watch(svc, xe_ctl_fd(svc->ctl)))
		xe_log_err("the event loop has lost the control socket: %s", strerror(errno));
}

static int watch_all(struct xe_service *svc)
{
	int fds[] = {svc->signal_fd, svc->timer_fd, svc->request_fd, xe_netlink_fd(svc->netlink),
		     xe_ctl_fd(svc->ctl)};
	int err = 0;

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]) && !err; i++)
		err = watch(svc, fds[i]);
	return err;
}

static int open_safety_net(struct xe_service *svc)
{
	int err = xe_fallback_name(svc->run_dir, svc->fallback_table);

	return err ? err : xe_fallback_open(svc->fallback_table, &svc->fallback);
}

/* The first ports; the net is there before the first program. */
static void first_ports(struct xe_service *svc)
{
	xe_l4_rest_adopt(svc);
	xe_beside_have_read(svc);
	xe_state_dir_adopt(svc);
	xe_ct_start(svc);
	svc->fallback_stale = true;
	xe_broadcasts_refresh(svc);
	xe_ports_sync(svc);
	if (svc->fallback_stale)
		xe_safety_net_apply(svc);
	xe_data_plane_clean_rps(svc); /* of a service that crashed */
}

/* All that another process has had so far. When it has been given, that one leaves, and nobody else
 * would be the service: all that may fail, and not be done without, is done before. What is said
 * about it in the run directory follows. */
static int take_over(struct xe_service *svc)
{
	char path[XE_RUN_PATH_SIZE];
	int err = watch(svc, xe_take_fd(svc));

	xe_ct_start(svc);           /* it remembers which flows keep their entries in the kernel */
	xe_broadcasts_refresh(svc); /* our program has its own list of them */
	if (!err)
		err = xe_take_finish(svc);
	if (err)
		return err;
	xe_state_dir_forget_others(svc);
	if (xe_run_lock_sign(svc))
		xe_log_warn("lock of %s: %s", svc->run_dir, strerror(errno));
	ctl_path(svc, path);
	err = xe_ctl_rename(svc->ctl, path);
	if (err)
		xe_log_err("control socket %s: %s", path, strerror(-err));
	return 0;
}

/* Without it the service is as good as with it, but for a next takeover. */
static void open_give(struct xe_service *svc)
{
	xe_give_open(svc);
	if (xe_give_fd(svc) < 0 || !watch(svc, xe_give_fd(svc)))
		return;
	xe_log_warn("this service cannot be taken over by --takeover: %s", strerror(errno));
	xe_give_close(svc);
}

int xe_service_start(struct xe_service *svc, const struct xe_service_options *options,
		     struct xe_config *config)
{
	uint32_t errors = xe_log_errors();
	char err_text[1024] = "";
	int err;

	memset(svc, 0, sizeof(*svc));
	svc->config = config;
	svc->start_ns = xe_now_ns();
	svc->rps.class_fd = svc->rps.found_fd = -1;
	svc->lock_fd = svc->punt_fd = svc->punt_uplink_fd = svc->epoll_fd = svc->signal_fd =
		svc->timer_fd = svc->request_fd = -1;
	snprintf(svc->run_dir, sizeof(svc->run_dir), "%s", options->run_dir);
	svc->worker_cnt = config->worker_cnt ? config->worker_cnt : 1;
	xe_watchdog_open(&svc->watchdog,
			 POLL_MS); /* before it is taken over, which may add to it */
	err = xe_data_plane_check(svc);
	if (!err)
		err = xe_run_lock(svc, options->takeover);
	if (err) { /* it has been said; and nothing here is ours */
		xe_service_stop(svc);
		return err;
	}
	xe_state_dir_open(svc);
	err = start_loop(svc);
	if (!err && !svc->take)
		xe_beside_begin(svc);
	if (!err)
		err = xe_data_plane_start(svc);
	if (!err)
		xe_beside_lanes(svc);
	if (!err)
		err = start_kernel_view(svc);
	if (!err)
		err = open_safety_net(svc);
	if (!err)
		err = start_control(svc);
	if (!err)
		err = xe_confine_files();
	if (!err)
		err = watch_all(svc);
	if (!err)
		err = xe_deny_read_all(svc->config->rules, svc->config->rule_cnt, &svc->deny_lists,
				       err_text, sizeof(err_text));
	if (!err)
		err = xe_rules_publish(svc, err_text, sizeof(err_text));
	if (!err)
		err = xe_watch_open(svc);
	if (!err && svc->take)
		err = take_over(svc);
	else if (!err)
		first_ports(svc);
	if (!err)
		open_give(svc);
	if (!err && svc->take)
		xe_take_settle(svc);
	if (!err)
		return 0;
	if (err_text[0] || xe_log_errors() == errors) /* else it has been said where */
		xe_log_err("start failed%s%s: %s", err_text[0] ? ": " : "", err_text,
			   strerror(-err));
	xe_service_stop(svc);
	return err;
}

static void on_timer(struct xe_service *svc)
{
	uint64_t n;

	if (read(svc->timer_fd, &n, sizeof(n)) < 0)
		return;
	xe_host_l4_poll(svc);
	xe_resolver_tick(svc);
	xe_watchdog_tick(&svc->watchdog, svc->steer.beats, svc->worker_cnt);
	xe_adopt_tick(svc);
	xe_state_dir_tick(svc);
	xe_l4_rest_tick(svc);
	xe_ct_tick(svc);
	xe_give_tick(svc);
	/* Once a second also without an event: an interrupted resync is tried again there. */
	if (++svc->ticks % (1000 / POLL_MS) == 0) {
		xe_netlink_dispatch(svc->netlink);
		xe_log_flush(false);
	}
	if (!xe_give_holds_still(svc))
		xe_watch_tick(svc);
}

void xe_service_signals(struct xe_service *svc)
{
	struct signalfd_siginfo si;

	if (read(svc->signal_fd, &si, sizeof(si)) != sizeof(si))
		return;
	xe_log_info("%s from pid %u: stopping", strsignal((int)si.ssi_signo), si.ssi_pid);
	svc->stop = true;
}

static void on_event(struct xe_service *svc, int fd)
{
	uint64_t n;

	if (fd == svc->signal_fd) {
		xe_service_signals(svc);
	} else if (fd == svc->request_fd) {
		if (read(fd, &n, sizeof(n)) == sizeof(n))
			xe_resolver_poll(svc);
	} else if (fd == svc->timer_fd) {
		on_timer(svc);
	} else if (fd == xe_netlink_fd(svc->netlink)) {
		xe_netlink_dispatch(svc->netlink);
	} else if (fd == xe_give_fd(svc)) {
		xe_give_dispatch(svc);
	} else if (fd == xe_take_fd(svc)) {
		xe_take_gone(svc);
	} else {
		xe_ctl_dispatch(svc->ctl);
	}
}

/* The first packet of a flow waits for this thread's answer, while the CPU may be full of what the
 * containers do: it must get its turn in less than a time slice. */
void xe_service_raise_priority(void)
{
	if (setpriority(PRIO_PROCESS, 0, CONTROL_NICE))
		xe_log_info("control thread: stays at normal priority: %s", strerror(errno));
}

bool xe_service_has_events(const struct xe_service *svc)
{
	struct epoll_event ev;

	return epoll_wait(svc->epoll_fd, &ev, 1, 0) > 0; /* level-triggered: it stays */
}

/* A stalled worker is not waited for: the timer's turn comes. */
static int timeout_ms(struct xe_service *svc)
{
	return xe_adopt_is_busy(svc) && !xe_watch_stalled(svc) ? 0 : -1;
}

static bool say_ready(struct xe_service *svc)
{
	sd_notify(0, "READY=1");
	svc->watchdog.ready = true;
	xe_log_info("ready: %u worker%s, %u rule%s, checksum by %s", svc->worker_cnt,
		    svc->worker_cnt == 1 ? "" : "s", svc->config->rule_cnt,
		    svc->config->rule_cnt == 1 ? "" : "s", xe_insum_name());
	return true;
}

int xe_service_run(struct xe_service *svc)
{
	struct epoll_event ev[8];
	bool ready = false;

	xe_service_raise_priority();
	if (xe_confine_control(!svc->steer.plain_only))
		xe_log_warn("control thread: keeps the capabilities of the start");
	while (!svc->stop) {
		int n;

		if (svc->fallback_stale)
			xe_safety_net_apply(svc);
		if (xe_adopt_turn(svc))
			xe_ct_adopt(svc);
		if (!ready && !xe_adopt_is_busy(svc)) {
			xe_beside_end(svc);
			ready = say_ready(svc);
		}
		n = epoll_wait(svc->epoll_fd, ev, 8, timeout_ms(svc));
		if (n < 0 && errno != EINTR) {
			xe_log_err("event loop: %s", strerror(errno));
			svc->stop = true; /* as a stop: with handback, where it is wanted */
			return -EIO;
		}
		for (int i = 0; i < n; i++)
			on_event(svc, ev[i].data.fd);
	}
	if (!svc->given)
		sd_notify(0, "STOPPING=1");
	return 0;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void xe_service_stop(struct xe_service *svc)
{
	xe_beside_end(svc);
	xe_watch_close(svc);
	xe_ctl_close(svc->ctl);
	svc->ctl = NULL; /* from here on a worker may have to be waited for (standstill.h) */
	if (svc->stop && !svc->given && svc->config->on_stop == XE_STOP_HANDBACK)
		xe_handback(svc, true);
	if (svc->given)
		xe_ports_leave(svc);
	else if (svc->netlink)
		xe_ports_close(svc); /* programs off, sessions ended */
	if (svc->given && svc->give)
		xe_give_wait(svc);
	xe_give_close(svc);
	xe_take_close(svc);
	for (uint32_t i = 0; i < svc->worker_cnt; i++)
		xe_worker_stop(&svc->workers[i]);
	if (svc->stop && !svc->given)
		xe_l4_rest_keep(svc, true);
	xe_l4_rest_close(svc);
	xe_adopt_close(svc);
	xe_sync_close(svc);
	xe_ct_stop(svc);
	xe_rules_close(svc);
	xe_resolver_close(svc);
	for (uint32_t i = 0; i < svc->worker_cnt; i++)
		xe_worker_close(&svc->workers[i]);
	xe_state_dir_close(svc);
	xe_data_plane_close_shared(svc);
	/* Handed back, it goes on to translate what starts. A start that failed leaves nothing. */
	if (svc->fallback_ours && !svc->given &&
	    !(svc->stop && svc->config->on_stop == XE_STOP_HANDBACK))
		xe_fallback_remove(svc->fallback);
	xe_fallback_close(svc->fallback);
	xe_nft_close();
	xe_steer_close(&svc->steer);
	if (svc->given)
		xe_rps_leave(&svc->rps);
	xe_data_plane_close_rps(svc);
	close_fd(svc->punt_fd); /* the punt device goes with it */
	close_fd(svc->punt_uplink_fd);
	xe_sockdiag_close(svc->sockdiag);
	xe_netlink_close(svc->netlink);
	close_fd(svc->epoll_fd);
	close_fd(svc->signal_fd);
	close_fd(svc->timer_fd);
	close_fd(svc->request_fd);
	close_fd(svc->lock_fd); /* last: until here the folder was ours */
	free(svc->broadcasts);
	svc->broadcasts = NULL;
	xe_config_free(svc->config);
	svc->config = NULL;
	xe_log_flush(true);
}
