/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/l4_rest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/flow_held.h"
#include "control/state_dir.h"
#include "pipeline/lane.h"
#include "state/natpool.h"

#define FILE_NAME "resting"
/* Ticks of the control thread's timer, 100 ms each: a second later does no harm. */
#define LOOK_TICKS 10

struct xe_l4_rest {
	uint32_t cnt;
	uint32_t until_s[65536]; /* CLOCK_MONOTONIC; 0: it does not rest */
};

/* RUNDIR/resting: of this boot, or CLOCK_MONOTONIC means nothing. */
struct left_file {
	char magic[8];
	uint8_t boot_id[16];
	uint32_t when_s;
	uint8_t left_s[65536]; /* from then on */
};

static const char magic[8] = "xegrest";

static uint32_t now_s(void)
{
	return (uint32_t)(xe_now_ns() / XE_NS_PER_SEC);
}

static void set_boot_id(uint8_t boot_id[16])
{
	struct xe_flow_file boot;

	xe_flow_file_init(&boot);
	memcpy(boot_id, boot.boot_id, sizeof(boot.boot_id));
}

static void file_path(const char *run_dir, const char *end, char path[XE_RUN_PATH_SIZE])
{
	snprintf(path, XE_RUN_PATH_SIZE, "%s/" FILE_NAME "%s", run_dir, end);
}

/* What there is of it counts once. */
static void read_file(const struct xe_service *svc, uint8_t left_s[65536])
{
	struct left_file *f = calloc(1, sizeof(*f));
	uint8_t boot_id[16];
	char path[XE_RUN_PATH_SIZE];
	uint32_t passed;
	int fd;

	file_path(svc->run_dir, "", path);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	set_boot_id(boot_id);
	if (fd >= 0 && f && read(fd, f, sizeof(*f)) == sizeof(*f) &&
	    !memcmp(f->magic, magic, sizeof(magic)) &&
	    !memcmp(f->boot_id, boot_id, sizeof(boot_id))) {
		passed = now_s() - f->when_s;
		for (uint32_t p = 0; p < 65536; p++)
			if (f->left_s[p] <= XE_NAT_REST_S && f->left_s[p] > passed &&
			    f->left_s[p] - passed > left_s[p])
				left_s[p] = (uint8_t)(f->left_s[p] - passed);
	}
	if (fd >= 0) {
		close(fd);
		unlink(path);
	}
	free(f);
}

/* Also in the process after this one: as if it had begun to rest here, then. The worker writes the
 * same words, one at a time, and later. */
static void write_down(struct xe_service *svc, uint16_t l4_port, uint32_t left_s)
{
	struct xe_lane *lane = svc->workers[0].lane;
	uint32_t lane_s = __atomic_load_n(&lane->now_s, __ATOMIC_RELAXED);

	if (lane->pool.rested_s)
		__atomic_store_n(&lane->pool.rested_s[l4_port],
				 lane_s + 1 - (XE_NAT_REST_S - left_s), __ATOMIC_RELAXED);
}

static void begin(struct xe_service *svc, uint16_t l4_port, uint32_t until_s)
{
	struct xe_l4_rest *rest = svc->l4_rest;

	if (!rest->until_s[l4_port]) {
		xe_held_reserve(svc, 1, l4_port, true);
		rest->cnt++;
	}
	if (until_s > rest->until_s[l4_port])
		rest->until_s[l4_port] = until_s;
}

void xe_l4_rest_adopt(struct xe_service *svc)
{
	uint8_t *left_s = calloc(65536, 1);

	if (!svc->l4_rest)
		svc->l4_rest = calloc(1, sizeof(*svc->l4_rest));
	if (!left_s || !svc->l4_rest) {
		xe_log_warn("out of memory: UDP L4 ports may be given out before they have rested");
		free(left_s);
		return;
	}
	xe_state_dir_rests(svc, false, left_s);
	read_file(svc, left_s);
	for (uint32_t p = 1; p < 65536; p++)
		if (left_s[p]) {
			write_down(svc, (uint16_t)p, left_s[p]);
			begin(svc, (uint16_t)p, now_s() + left_s[p]);
		}
	free(left_s);
}

void xe_l4_rest_tick(struct xe_service *svc)
{
	struct xe_l4_rest *rest = svc->l4_rest;

	if (!rest || !rest->cnt || svc->ticks % LOOK_TICKS)
		return;
	for (uint32_t p = 1; p < 65536; p++) {
		if (!rest->until_s[p] || rest->until_s[p] > now_s())
			continue;
		rest->until_s[p] = 0;
		rest->cnt--;
		xe_held_reserve(svc, 1, (uint16_t)p, false);
	}
}

static int write_file(const struct xe_service *svc, const struct left_file *f)
{
	char path[XE_RUN_PATH_SIZE], made[XE_RUN_PATH_SIZE];
	int fd, err = 0;

	file_path(svc->run_dir, "", path);
	file_path(svc->run_dir, ".new", made);
	unlink(made);
	fd = open(made, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	if (write(fd, f, sizeof(*f)) != sizeof(*f) || rename(made, path))
		err = errno ? -errno : -EIO;
	close(fd);
	if (err)
		unlink(made);
	return err;
}

/* The mappings of sessions that end with the process. */
static void rest_live(struct xe_service *svc, uint8_t left_s[65536])
{
	struct xe_flow_file live;

	xe_flow_file_init(&live);
	xe_state_dir_read_own(svc, &live); /* on error it has what could be read */
	for (uint32_t i = 0; i < live.record_cnt; i++) {
		const struct xe_flow_record *r = &live.records[i];

		if (r->proto == IPPROTO_UDP && r->flags & XE_FR_MAPPED)
			left_s[ntohs(r->nat_sport_be)] = XE_NAT_REST_S;
	}
	xe_flow_file_free(&live);
}

void xe_l4_rest_keep(struct xe_service *svc, bool ended)
{
	const struct xe_l4_rest *rest = svc->l4_rest;
	struct left_file *f = calloc(1, sizeof(*f));
	uint32_t cnt = 0, left;
	int err = f ? 0 : -ENOMEM;

	if (f) {
		xe_state_dir_rests(svc, true, f->left_s);
		if (!ended)
			rest_live(svc, f->left_s);
		f->when_s = now_s();
		for (uint32_t p = 1; p < 65536; p++) {
			left = rest && rest->until_s[p] > f->when_s ? rest->until_s[p] - f->when_s
								    : 0;
			if (left > f->left_s[p])
				f->left_s[p] = (uint8_t)left;
			cnt += !!f->left_s[p];
		}
		memcpy(f->magic, magic, sizeof(magic));
		set_boot_id(f->boot_id);
		err = cnt ? write_file(svc, f) : 0;
	}
	if (err)
		xe_log_warn("%s/" FILE_NAME ": %s: the next process may give out UDP L4 ports "
			    "before they have rested",
			    svc->run_dir, strerror(-err));
	free(f);
}

void xe_l4_rest_close(struct xe_service *svc)
{
	free(svc->l4_rest);
	svc->l4_rest = NULL;
}

void xe_l4_rest_remove(const char *run_dir)
{
	char path[XE_RUN_PATH_SIZE];

	file_path(run_dir, "", path);
	unlink(path);
}
