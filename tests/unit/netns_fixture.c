/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * netns_fixture.c - see netns_fixture.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "netns_fixture.h"

static const char *unfit; /* why tests can't run here */
pid_t nf_peer_pid;

/* ---- what the module told ---- */

struct nf_heard nf_heard;

static void hear(const char *fmt, ...)
{
	va_list args;

	assert_true(nf_heard.cnt < NF_HEARD_MAX);
	va_start(args, fmt);
	vsnprintf(nf_heard.line[nf_heard.cnt++], sizeof(nf_heard.line[0]), fmt, args);
	va_end(args);
}

static const char *const events[] = {"added", "changed", "removed"};

static void on_link(void *ctx, const struct xe_link *link, const struct xe_link *was,
		    enum xe_nl_event event)
{
	assert_ptr_equal(ctx, &nf_heard);
	if (event == XE_NL_ADDED)
		assert_null(was);
	else
		assert_int_equal(was->ifindex, link->ifindex);
	/* what is told is what lookups find */
	if (nf_heard.nl)
		assert_int_equal(!!xe_netlink_link_named(nf_heard.nl, link->name),
				 event != XE_NL_REMOVED);
	if (was && strcmp(was->name, link->name))
		hear("link %s renamed %s", was->name, link->name);
	else
		hear("link %s %s", link->name, events[event]);
}

static void on_addr(void *ctx, const struct xe_ifaddr *addr, enum xe_nl_event event)
{
	char text[INET6_ADDRSTRLEN];

	(void)ctx;
	xe_addr_print(&addr->local, text, sizeof(text));
	hear("addr %s/%u %s", text, addr->prefix_len, events[event]);
}

static void on_neigh(void *ctx, const struct xe_neigh *neigh, enum xe_nl_event event)
{
	char text[INET6_ADDRSTRLEN];

	(void)ctx;
	xe_addr_print(&neigh->addr, text, sizeof(text));
	hear("neigh %s %s%s 0x%x", text, events[event], neigh->usable ? " usable" : "",
	     neigh->nud_state);
}

static void on_routes(void *ctx)
{
	(void)ctx;
	nf_heard.routes++;
}

const struct xe_netlink_ops nf_ops = {
	.link = on_link,
	.addr = on_addr,
	.neigh = on_neigh,
	.routes = on_routes,
};

bool nf_was_heard(const char *glob)
{
	for (unsigned int i = 0; i < nf_heard.cnt; i++) {
		if (!fnmatch(glob, nf_heard.line[i], 0))
			return true;
	}
	return false;
}

void nf_forget(void)
{
	nf_heard.cnt = nf_heard.routes = 0;
}

void nf_fail_heard(const char *what)
{
	for (unsigned int i = 0; i < nf_heard.cnt; i++)
		print_message("heard: %s\n", nf_heard.line[i]);
	fail_msg("waited in vain for `%s`", what);
}

/* Dispatch once something is there, for 50 ms at most. */
void nf_wait_dispatch(struct xe_netlink *nl)
{
	struct pollfd pfd = {.fd = xe_netlink_fd(nl), .events = POLLIN};

	poll(&pfd, 1, 50);
	assert_int_equal(xe_netlink_dispatch(nl), 0);
}

/* Dispatch until a line is heard that the glob matches, or fail. */
void nf_expect(struct xe_netlink *nl, const char *glob)
{
	uint64_t end_ns = xe_now_ns() + NF_PATIENCE_MS * XE_NS_PER_MS;

	while (!nf_was_heard(glob)) {
		if (xe_now_ns() > end_ns)
			nf_fail_heard(glob);
		nf_wait_dispatch(nl);
	}
}

/* Routes must have been told once since nf_forget(). */
void nf_expect_routes(struct xe_netlink *nl)
{
	assert_int_equal(xe_netlink_dispatch(nl), 0);
	assert_int_equal(nf_heard.routes, 1);
	nf_forget();
}

/* ---- the world ---- */

static int vrun(bool in_peer, const char *fmt, va_list args)
{
	char words[512], line[640];

	vsnprintf(words, sizeof(words), fmt, args);
	if (in_peer)
		snprintf(line, sizeof(line), "nsenter --net=/proc/%d/ns/net sh -c '%s'",
			 nf_peer_pid, words);
	else
		snprintf(line, sizeof(line), "%s", words);
	return system(line);
}

void nf_run(const char *fmt, ...)
{
	va_list args;
	int ret;

	va_start(args, fmt);
	ret = vrun(false, fmt, args);
	va_end(args);
	if (ret)
		fail_msg("`%s`: %d", fmt, ret);
}

void nf_peer(const char *fmt, ...)
{
	va_list args;
	int ret;

	va_start(args, fmt);
	ret = vrun(true, fmt, args);
	va_end(args);
	if (ret)
		fail_msg("peer: `%s`: %d", fmt, ret);
}

void nf_sysctl(const char *name, const char *value)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/%s", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		fail_msg("%s: %s", path, strerror(errno));
	close(fd);
}

struct xe_addr nf_ip(const char *text)
{
	struct xe_addr addr;
	__u8 family;

	assert_int_equal(xe_addr_parse(text, &addr, &family), 0);
	return addr;
}

void nf_assert_addr(const struct xe_addr *addr, const char *want)
{
	char text[INET6_ADDRSTRLEN] = "?";

	xe_addr_print(addr, text, sizeof(text));
	assert_string_equal(text, want);
}

int nf_ifindex_of(const char *name)
{
	int ifindex = (int)if_nametoindex(name);

	assert_true(ifindex > 0);
	return ifindex;
}

/* The child whose namespace is the peer's: it only lives. */
static void hold_namespace(int ready_fd)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (unshare(CLONE_NEWNET) || write(ready_fd, "", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

int nf_make_world(void **state)
{
	int fds[2];
	char byte;

	(void)state;
	if (geteuid() || unshare(CLONE_NEWNET)) {
		unfit = "needs root and network namespaces";
		return 0;
	}
	if (pipe(fds))
		return -1;
	nf_peer_pid = fork();
	if (!nf_peer_pid)
		hold_namespace(fds[1]);
	close(fds[1]);
	if (nf_peer_pid < 0 || read(fds[0], &byte, 1) != 1)
		return -1;
	close(fds[0]);
	nf_run("ip link set lo up");
	nf_sysctl("ipv4/ip_forward", "1");
	return 0;
}

int nf_end_world(void **state)
{
	(void)state;
	if (nf_peer_pid > 0) {
		kill(nf_peer_pid, SIGKILL);
		waitpid(nf_peer_pid, NULL, 0);
	}
	nf_peer_pid = 0;
	return 0;
}

void nf_need_world(void)
{
	if (unfit) {
		print_message("skipped: %s\n", unfit);
		skip();
	}
	nf_forget();
	nf_heard.nl = NULL;
}

struct xe_netlink *nf_open_nl(void)
{
	struct xe_netlink *nl;

	assert_int_equal(xe_netlink_open(&nl, &nf_ops, &nf_heard), 0);
	nf_heard.nl = nl;
	return nl;
}

/* h0 - p0 with addresses, short timers for resolution, no duplicate address detection. */
void nf_make_pair(void)
{
	nf_run("ip link add h0 address 02:00:00:00:00:01 type veth peer name p0 address "
	       "02:00:00:00:00:02 netns %d",
	       nf_peer_pid);
	nf_run("ip addr add 10.0.0.1/24 dev h0 && ip addr add fd00::1/64 dev h0 nodad && "
	       "ip link set h0 up");
	nf_peer("ip addr add 10.0.0.2/24 dev p0 && ip addr add fd00::2/64 dev p0 nodad && "
		"ip link set p0 up");
	nf_sysctl("ipv4/neigh/h0/retrans_time_ms", "100");
	nf_sysctl("ipv4/neigh/h0/delay_first_probe_time", "1");
	nf_sysctl("ipv6/neigh/h0/retrans_time_ms", "100");
}

void nf_drop(struct xe_netlink *nl)
{
	xe_netlink_close(nl);
	nf_heard.nl = NULL;
}
