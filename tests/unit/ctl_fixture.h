/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ctl_fixture.h - the control socket's server over a real socket, with verbs that are doubles of
 * the service's.
 *
 * Server and clients share one thread: a client never blocks, and every wait for it runs the
 * server.
 */
#ifndef XE_TEST_CTL_FIXTURE_H
#define XE_TEST_CTL_FIXTURE_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "control/ctl_server.h"

/* No wait in here takes more than a few ms; a test that hangs fails after this many rounds of at
 * least 1 ms. */
#define CF_ROUNDS_MAX 5000
/* Parts of a stream that fits no buffer. */
#define CF_STREAM_CNT 200000
/* What a verb without a result answers. */
#define CF_DONE "{\"ok\":true,\"result\":{}}"

/* What the doubles saw. */
struct cf_seen {
	struct xe_ctl_request *deferred;
	size_t made, ended; /* parts of a stream, calls of end() */
	char audit[2048];   /* the last line: UID 0|1 VERB [ARGS] OK OUTCOME; 0: this process */
	int audit_cnt;
	void (*during)(void); /* in the middle of the verb `waits` */
	bool busy;            /* that is where it is: everybody is refused */
};
extern struct cf_seen cf_seen;
extern char cf_dir[], cf_path[64];
extern struct xe_ctl *cf_ctl;
extern const struct xe_ctl_verb cf_verbs[];

/* For the group: a folder for the socket. For each test: a server in it. */
int cf_make_dir(void **state);
int cf_remove_dir(void **state);
int cf_set_up(void **state);
int cf_tear_down(void **state);
#define cf_test(f) cmocka_unit_test_setup_teardown(f, cf_set_up, cf_tear_down)

int cf_open(gid_t gid, mode_t mode, char *err, size_t err_size);
/* Let the server run for as long as it has something to do, `rounds` at most. */
void cf_serve(int rounds);

struct cf_client {
	int fd;
	char *in;
	size_t len;
};

int cf_connect(void); /* a bare descriptor, or -1 */
struct cf_client cf_client(void);
void cf_leave(struct cf_client *c);
void cf_say(struct cf_client *c, const char *text);
void cf_say_len(struct cf_client *c, const char *text, size_t len);
/* The next line, without its newline; NULL: the server closed. To be freed. */
char *cf_hear(struct cf_client *c);
void cf_expect(struct cf_client *c, const char *want);
void cf_expect_error(struct cf_client *c, const char *part, int code);
void cf_expect_closed(struct cf_client *c);
/* A `change` request of exactly `len` bytes before its newline, most of them `content`. */
char *cf_long_request(size_t len);

/* A stream that counts *arg down, for xe_ctl_stream(); `arg` is from malloc(). */
int cf_make_parts(void *arg, struct xe_ctl_request *req);
void cf_end_parts(void *arg);

#endif
