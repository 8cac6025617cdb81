/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * netns_fixture.h - a real kernel to test against: each test moves into a network namespace of its
 * own, a child holds a second one (the peer), `ip` changes things, and what the netlink module
 * tells is kept as lines of text. Nothing is named and nothing outlives the process.
 *
 *   [this namespace]  h0 10.0.0.1/24, fd00::1/64 ---- p0 10.0.0.2/24, fd00::2/64  [peer]
 *
 * Needs root; tests skip without. One thread: unshare(2) moves only the caller.
 */
#ifndef XE_TEST_NETNS_FIXTURE_H
#define XE_TEST_NETNS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <cmocka.h>

#include "base/clock.h"
#include "control/netlink.h"

/* Longest wait for something that must happen; it takes milliseconds, a failing resolution with the
 * timers of nf_make_pair() 0.3 s, confirming a stale neighbour 1 s. */
#define NF_PATIENCE_MS 5000
/* Lines kept; the longest test hears about a hundred. */
#define NF_HEARD_MAX 1024

/* What the module told since nf_forget(): "link h0 added", "link h0 renamed h1",
 * "addr 10.0.0.1/24 removed", "neigh 10.0.0.2 changed usable 0x2" (the NUD state). */
struct nf_heard {
	char line[NF_HEARD_MAX][96];
	unsigned int cnt;
	unsigned int routes;   /* calls of ops.routes */
	struct xe_netlink *nl; /* for checks within ops; NULL: none */
};
extern struct nf_heard nf_heard;
extern const struct xe_netlink_ops nf_ops; /* with &nf_heard as ctx */
extern pid_t nf_peer_pid;                  /* `ip link ... netns PID` */

/* Each test has its own two namespaces: what a failed one leaves behind is in nobody's way. */
#define NF_TEST(test) cmocka_unit_test_setup_teardown(test, nf_make_world, nf_end_world)
int nf_make_world(void **state);
int nf_end_world(void **state);
/* First thing in a test: skips it where there is no world. */
void nf_need_world(void);

/* Shell commands, here and in the peer's namespace (no single quotes); the test fails with them. */
void nf_run(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void nf_peer(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* name: below /proc/sys/net */
void nf_sysctl(const char *name, const char *value);
/* h0 - p0 with addresses, short timers for resolution, no duplicate address detection. */
void nf_make_pair(void);

/* Open with nf_ops, and close. */
struct xe_netlink *nf_open_nl(void);
void nf_drop(struct xe_netlink *nl);

bool nf_was_heard(const char *glob);
void nf_forget(void);
/* Fail with all that was heard. */
void nf_fail_heard(const char *what);
/* Dispatch once something is there, for 50 ms at most. */
void nf_wait_dispatch(struct xe_netlink *nl);
/* Dispatch until a line is heard that the glob matches, or fail. */
void nf_expect(struct xe_netlink *nl, const char *glob);
/* Dispatch once; ops.routes must have been called once since nf_forget(). Forgets. */
void nf_expect_routes(struct xe_netlink *nl);

/* Dispatch until the condition holds, or fail. */
#define nf_wait_for(nl, cond)                                                                      \
	do {                                                                                       \
		uint64_t end_ns = xe_now_ns() + NF_PATIENCE_MS * XE_NS_PER_MS;                     \
		while (!(cond)) {                                                                  \
			if (xe_now_ns() > end_ns)                                                  \
				nf_fail_heard(#cond);                                              \
			nf_wait_dispatch(nl);                                                      \
		}                                                                                  \
	} while (0)

struct xe_addr nf_ip(const char *text);
void nf_assert_addr(const struct xe_addr *addr, const char *want);
int nf_ifindex_of(const char *name);

#endif
