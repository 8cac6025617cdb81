/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/takeover_give.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/flow_adopt.h"
#include "control/state_dir.h"
#include "control/takeover_freeze.h"
#include "control/takeover_wire.h"
#include "control/watch.h"

/* A program that has not loaded by then hangs, and keeps others from taking over. */
#define READY_MS 60000

/* After a takeover that failed; a killed process may take that long to be gone. */
#define SWEEP_NS XE_NS_PER_SEC

struct xe_give {
	int epoll_fd;  /* listen_fd and conn_fd */
	int listen_fd; /* takeover.sock */
	int conn_fd;   /* of who takes over, -1: nobody */
	pid_t taker;
	bool welcome;     /* it has been let in */
	bool still;       /* from BEGIN on */
	uint64_t word_ns; /* when it last said something */
	struct xe_flows_told told;
	bool sweep;       /* one has failed, and may have left files of sessions */
	struct stat file; /* the socket file we made */
	char path[PATH_MAX + 16];
};

/* Under another name first: there is never a moment without a socket, whoever had it before. */
static int listen_at(struct xe_give *give)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int n = snprintf(sun.sun_path, sizeof(sun.sun_path), "%s.%d", give->path, getpid());

	if (n < 0 || (size_t)n >= sizeof(sun.sun_path))
		return -ENAMETOOLONG;
	give->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (give->listen_fd < 0)
		return -errno;
	unlink(sun.sun_path); /* of a process that had our pid */
	if (bind(give->listen_fd, (const struct sockaddr *)&sun, sizeof(sun)))
		return -errno;
	/* root's alone, and before anybody can connect */
	if (chmod(sun.sun_path, 0600) || stat(sun.sun_path, &give->file) ||
	    listen(give->listen_fd, 4) || rename(sun.sun_path, give->path)) {
		int err = -errno;

		unlink(sun.sun_path);
		return err;
	}
	return 0;
}

static int watch(const struct xe_give *give, int fd)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};

	return epoll_ctl(give->epoll_fd, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

void xe_give_open(struct xe_service *svc)
{
	struct xe_give *give = calloc(1, sizeof(*give));
	int err = -ENOMEM;

	svc->give = give;
	if (!give)
		goto out;
	give->listen_fd = give->conn_fd = -1;
	snprintf(give->path, sizeof(give->path), "%s/%s", svc->run_dir, XE_TO_SOCKET_NAME);
	give->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	err = give->epoll_fd < 0 ? -errno : listen_at(give);
	if (!err)
		err = watch(give, give->listen_fd);
out:
	if (!err)
		return;
	xe_log_warn("%s/%s: %s: this service cannot be taken over by --takeover", svc->run_dir,
		    XE_TO_SOCKET_NAME, strerror(-err));
	xe_give_close(svc);
}

void xe_give_close(struct xe_service *svc)
{
	struct xe_give *give = svc->give;
	struct stat now;

	if (!give)
		return;
	xe_flows_told_free(&give->told);
	if (give->listen_fd >= 0 && !lstat(give->path, &now) && now.st_dev == give->file.st_dev &&
	    now.st_ino == give->file.st_ino)
		unlink(give->path);
	if (give->conn_fd >= 0)
		close(give->conn_fd);
	if (give->listen_fd >= 0)
		close(give->listen_fd);
	if (give->epoll_fd >= 0)
		close(give->epoll_fd);
	free(give);
	svc->give = NULL;
}

int xe_give_fd(const struct xe_service *svc)
{
	return svc->give ? svc->give->epoll_fd : -1;
}

bool xe_give_holds_still(const struct xe_service *svc)
{
	return svc->give && svc->give->still;
}

/* The conversation is over without a takeover. */
static void end(struct xe_service *svc, const char *why)
{
	struct xe_give *give = svc->give;

	if (give->welcome)
		xe_log_warn("takeover by pid %d: %s: this service goes on", give->taker, why);
	close(give->conn_fd);
	give->conn_fd = -1;
	give->sweep |= give->welcome;
	give->word_ns = xe_now_ns();
	give->welcome = false;
	if (give->still)
		xe_service_hold_still(svc, false);
	give->still = false;
	xe_flows_told_free(&give->told);
}

static bool may_take(int fd, pid_t *pid)
{
	struct ucred cred = {};
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		return false;
	*pid = cred.pid;
	return cred.uid == 0 || cred.uid == geteuid();
}

static void accept_one(struct xe_give *give)
{
	int fd = accept4(give->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	pid_t pid;

	if (fd < 0)
		return;
	if (!may_take(fd, &pid)) {
		xe_to_refuse(fd, "permission denied: you are neither root nor the service's user");
	} else if (give->conn_fd >= 0) {
		xe_to_refuse(fd, "a takeover by pid %d is under way", give->taker);
		xe_log_warn("takeover by pid %d refused: one by pid %d is under way", pid,
			    give->taker);
	} else if (!watch(give, fd)) {
		give->conn_fd = fd;
		give->taker = pid;
		give->word_ns = xe_now_ns();
		return;
	}
	close(fd);
}

/* ---- answers ---- */

static int welcome(struct xe_service *svc, const struct xe_to_msg *hello)
{
	struct xe_to_msg msg = {};
	struct xe_to_fds fds = {};
	char why[XE_TO_TEXT];
	int err = xe_to_agree(hello, &msg.version, why);

	if (err) {
		xe_to_refuse(svc->give->conn_fd, "%s", why);
		xe_log_warn("takeover by pid %d refused: %s", svc->give->taker, why);
		return err;
	}
	svc->give->welcome = true;
	xe_log_info("takeover: pid %d gets ready", svc->give->taker);
	xe_freeze_welcome(svc, &msg.welcome, &fds);
	return xe_to_send(svc->give->conn_fd, &msg, XE_TO_WELCOME, &fds);
}

static int tell_ports(struct xe_service *svc)
{
	struct xe_to_msg msg = {};

	if (xe_watch_stalled(svc))
		return -EHOSTDOWN;
	xe_adopt_finish(svc); /* only sessions are told */
	if (!svc->give->still)
		xe_service_hold_still(svc, true);
	svc->give->still = true;
	for (const struct xe_port *p = svc->port_list; p; p = p->next)
		msg.number += p->id != XE_PORT_NONE;
	return xe_to_send(svc->give->conn_fd, &msg, XE_TO_PORTS, NULL);
}

static int tell_port(struct xe_service *svc, uint32_t n)
{
	const struct xe_port *p = svc->port_list;
	struct xe_to_msg msg = {};
	struct xe_to_fds fds = {};

	for (; p; p = p->next)
		if (p->id != XE_PORT_NONE && !n--)
			break;
	if (!svc->give->still || !p)
		return -EPROTO;
	xe_freeze_port(p, &msg.port, &fds);
	return xe_to_send(svc->give->conn_fd, &msg, XE_TO_PORT, &fds);
}

/* Some of the flows. Rules and ports stay as they are meanwhile, so a record that was told means
 * the same when it is looked at again. */
static int tell_changes(struct xe_service *svc)
{
	struct xe_give *give = svc->give;
	struct xe_to_msg msg = {};
	struct xe_to_fds fds = {};
	int err;

	if (!give->still)
		return -EPROTO;
	if (xe_watch_stalled(svc))
		return -EHOSTDOWN;
	err = xe_freeze_changes(svc, &give->told, false, &msg.changes, &fds);
	if (!err)
		err = xe_to_send(give->conn_fd, &msg, XE_TO_COPIED, &fds);
	xe_to_close_fds(&fds);
	return err;
}

/* ---- from FREEZE to GO ---- */

static int wait_done(struct xe_give *give)
{
	struct xe_to_msg msg;
	struct xe_to_fds fds;
	int err = xe_to_recv(give->conn_fd, &msg, &fds, XE_TO_SILENCE_MS);

	if (err)
		return err;
	xe_to_close_fds(&fds);
	if (msg.type != XE_TO_DONE)
		return msg.type == XE_TO_REFUSED ? -ECANCELED : -EPROTO;
	/* It may have said so and died since; then we are the service. */
	return xe_to_is_gone(give->conn_fd) ? -ECONNRESET : 0;
}

static int freeze(struct xe_service *svc)
{
	struct xe_give *give = svc->give;
	struct xe_to_msg msg = {};
	struct xe_to_fds fds = {};
	uint64_t start_ns = xe_now_ns(), still_ns, ready_ns;
	int err;

	if (!give->still)
		return -EPROTO;
	if (xe_watch_stood_still(svc) || xe_watch_stalled(svc))
		return -EHOSTDOWN;
	err = xe_freeze_prepare(svc);
	if (!err)
		err = xe_freeze_workers(svc);
	if (err)
		return err; /* nobody is parked */
	still_ns = xe_now_ns();
	err = xe_freeze_tell(svc, &msg.frozen, &fds);
	if (!err)
		err = xe_freeze_changes(svc, &give->told, true, &msg.frozen.changes, &fds);
	ready_ns = xe_now_ns();
	if (!err)
		err = xe_to_send(give->conn_fd, &msg, XE_TO_FROZEN, &fds);
	xe_to_close_fds(&fds);
	if (!err)
		err = wait_done(give);
	if (!err)
		err = xe_to_send(give->conn_fd, &msg, XE_TO_GO, NULL);
	if (err) {
		xe_unfreeze(svc);
		return err;
	}
	svc->given = svc->stop = true;
	xe_log_info("audit: uid=%u pid=%u the service was given to pid %d (%.1f ms until all stood "
		    "still, %.1f ms to tell the rest)",
		    getuid(), getpid(), give->taker, (double)(still_ns - start_ns) / XE_NS_PER_MS,
		    (double)(ready_ns - still_ns) / XE_NS_PER_MS);
	return 0;
}

static int answer(struct xe_service *svc, const struct xe_to_msg *msg)
{
	struct xe_give *give = svc->give;

	if (!give->welcome)
		return msg->type == XE_TO_HELLO ? welcome(svc, msg) : -EPROTO;
	switch (msg->type) {
	case XE_TO_BEGIN:
		return tell_ports(svc);
	case XE_TO_PORT_WANTED:
		return tell_port(svc, msg->number);
	case XE_TO_COPY:
		return tell_changes(svc);
	case XE_TO_FREEZE:
		return freeze(svc);
	case XE_TO_REFUSED:
		return -ECANCELED;
	default:
		return -EPROTO;
	}
}

static const char *why(int err)
{
	switch (err) {
	case -ECONNRESET:
		return "it has gone";
	case -ECANCELED:
		return "it gave up";
	case -ETIMEDOUT:
		return "it fell silent";
	case -EHOSTDOWN:
		return "a worker stands still, or did so meanwhile";
	case -EPROTO:
		return "it says what was not asked";
	default:
		return strerror(-err);
	}
}

static void hear(struct xe_service *svc)
{
	struct xe_give *give = svc->give;
	struct xe_to_msg msg;
	struct xe_to_fds fds;
	int err = xe_to_recv(give->conn_fd, &msg, &fds, 0);

	if (!err) {
		xe_to_close_fds(&fds); /* it has none to give */
		give->word_ns = xe_now_ns();
		err = answer(svc, &msg);
	}
	if (err == -EHOSTDOWN)
		xe_to_refuse(give->conn_fd, "%s: try again", why(err));
	if (err)
		end(svc, why(err));
}

void xe_give_dispatch(struct xe_service *svc)
{
	struct epoll_event ev[2];
	int cnt = epoll_wait(svc->give->epoll_fd, ev, 2, 0);

	for (int i = 0; i < cnt && !svc->given; i++) {
		if (ev[i].data.fd == svc->give->listen_fd)
			accept_one(svc->give);
		else if (ev[i].data.fd == svc->give->conn_fd)
			hear(svc);
	}
}

/* Getting ready may take long where the machine is busy, and costs us nothing. */
void xe_give_tick(struct xe_service *svc)
{
	struct xe_give *give = svc->give;
	uint64_t max_ms = XE_TO_SILENCE_MS;

	if (!give)
		return;
	if (give->conn_fd < 0) {
		/* It is dead by now, or lives and removes them itself. */
		if (give->sweep && xe_now_ns() - give->word_ns > SWEEP_NS) {
			xe_state_dir_remove_dead(svc->run_dir);
			give->sweep = false;
		}
		return;
	}
	/* What is due at the end of a stall changes ports and flows, which are being told. */
	if (give->still && xe_watch_stood_still(svc)) {
		xe_to_refuse(give->conn_fd, "%s: try again", why(-EHOSTDOWN));
		end(svc, why(-EHOSTDOWN));
		return;
	}
	if (give->welcome && !give->still)
		max_ms = READY_MS;
	if (xe_now_ns() - give->word_ns > max_ms * XE_NS_PER_MS)
		end(svc, why(-ETIMEDOUT));
}

void xe_give_wait(struct xe_service *svc)
{
	struct xe_to_msg msg;
	struct xe_to_fds fds;

	/* BYE, or its end: either way we are not needed. */
	if (!xe_to_recv(svc->give->conn_fd, &msg, &fds, XE_TO_SILENCE_MS))
		xe_to_close_fds(&fds);
}
