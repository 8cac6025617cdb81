/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * load_line.h - the lines of a checked load, and its log.
 *
 * A *line* of load is something that ought to go on without a pause: a TCP stream, a UDP flow, the
 * loop of new connections, pings of one address. Each good exchange is told to line_good(), which
 * logs the pause before it, less the line's own, where it is longer than 50 ms. Lines of the
 * log, times in ms of CLOCK_MONOTONIC:
 *
 *	ready                          every line has had a good exchange
 *	gap KIND IDX FROM TO           nothing good in between, where something was due
 *	lost KIND IDX AT REASON        a connection ended: reset, timeout, refused,
 *	                               corrupt, ERRNO. AT: then; of a timeout, and of
 *	                               one unfinished at the end, when it last moved
 *	corrupt KIND IDX AT            a datagram that is not what was sent
 *	missing KIND IDX FROM TO N     N datagrams sent in that time never came back
 *	late FROM TO                   this process itself did not run
 *	still AT N                     asked by SIGUSR1: N lines are in a pause now
 *	stop AT                        SIGTERM: what is open is brought to its end
 *	rtt IDX AT US                  an answer to a ping (with -v)
 *	{...}                          counters, at the end
 */
#ifndef XE_TEST_LOAD_LINE_H
#define XE_TEST_LOAD_LINE_H

#include <stdint.h>
#include <stdio.h>

#include "pattern.h"

#define MS     1000000ul
#define NOTICE (50 * MS) /* a shorter pause is a busy machine's, not a fault's */

struct line {
	const char *kind;
	uint32_t idx;
	uint64_t last_good_ns; /* 0: none yet */
	uint64_t pause_ns;     /* its own, between two exchanges */
	struct line *next;
};

static struct line *lines;
static uint32_t line_cnt, line_good_cnt; /* lines, and those that had a good exchange */

static inline void line_init(struct line *l, const char *kind, uint32_t idx, uint64_t pause_ns)
{
	*l = (struct line){kind, idx, 0, pause_ns, lines};
	lines = l;
	line_cnt++;
}

static inline int line_is_still(const struct line *l, uint64_t now)
{
	return now > l->last_good_ns + l->pause_ns + NOTICE;
}

static inline void line_look(const struct line *l, uint64_t now)
{
	if (line_is_still(l, now))
		printf("gap %s %u %lu %lu\n", l->kind, l->idx, (l->last_good_ns + l->pause_ns) / MS,
		       now / MS);
}

static inline void line_good(struct line *l, uint64_t now)
{
	if (l->last_good_ns)
		line_look(l, now);
	else if (++line_good_cnt == line_cnt)
		printf("ready\n");
	l->last_good_ns = now;
}

static inline void lines_tell(uint64_t now)
{
	uint32_t still = 0;

	for (const struct line *l = lines; l; l = l->next)
		still += (uint32_t)line_is_still(l, now);
	printf("still %lu %u\n", now / MS, still);
}

/* Nothing new begins from now on: pauses up to here count, later ones say nothing. */
static inline void lines_stop(uint64_t now)
{
	for (struct line *l = lines; l; l = l->next) {
		line_look(l, now);
		l->last_good_ns = now;
		l->pause_ns = UINT64_MAX / 2;
	}
	printf("stop %lu\n", now / MS);
}

#endif
