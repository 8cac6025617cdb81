/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * adopt.h - a flow that another process, or the kernel, has had so far becomes a session, with the
 * mapping it has. For worker calls: nothing here is on a packet's way.
 *
 * What the session holds is what flow_new.c or flow_in.c would have given it: next hops, source,
 * terms, live tags, and its Ext L4 port, exactly that one. Where the L4 port cannot be had (another
 * worker has its block, it lies in no range of ours, or the host uses it) the session is found by
 * live tags in both directions instead, as an untranslated one is; then conf->any_accept must be
 * set, and the L4 port kept from other flows as long as the session lives (control/flow_adopt.c).
 */
#ifndef XE_ADOPT_H
#define XE_ADOPT_H

#include "pipeline/pipeline.h"
#include "state/flow_record.h"

/* A record as this service understands it: made by the control thread. */
struct xe_adoptee {
	const struct xe_flow_record *record; /* xe_flow_record_fault() has nothing to say */
	uint16_t in_port;                    /* id, attached to this lane's worker */
	uint16_t out_port;                   /* id, XE_PORT_NONE: not known, its next packet says */
	bool out_inside;        /* that is an inside port, and the record's out_port is known */
	uint32_t ext;           /* of nat_src if its L4 port may be owned, else XE_NIL: by tags */
	uint16_t rule;          /* in lane->rules, or XE_RULE_GONE */
	uint32_t age_s, idle_s; /* the record's, and what has gone by since it was written */
};

enum xe_adopted {
	XE_ADOPTED,          /* by its L4 port, or untranslated as before */
	XE_ADOPTED_TAGS,     /* translated, and by tags only */
	XE_ADOPT_THERE,      /* there is this very session already */
	XE_ADOPT_THERE_TAGS, /* likewise, translated, and by tags only */
	XE_ADOPT_CLASH,      /* another session has one of its tuples */
	XE_ADOPT_OVER,       /* its time is up */
	XE_ADOPT_FULL,       /* of sessions, or of what one needs */
	XE_ADOPT_LATER, /* of next-hop requests: again, when the control thread has served some */
};

/* What the record would meet: XE_ADOPT_THERE (or _TAGS) and *s, XE_ADOPT_CLASH, XE_ADOPTED:
 * nothing; else it could not be told. */
enum xe_adopted xe_adopt_find(struct xe_lane *lane, const struct xe_adoptee *a,
			      struct xe_session **s);
/* Has a session of this lane the tuple of the record's replies? Not those between inside ports. */
bool xe_adopt_is_taken(struct xe_lane *lane, const struct xe_flow_record *record);
/* Adopted at once at most: so many that the first one's cache lines are there when the last one's
 * have been asked for, and few enough to stay in the cache themselves. */
#define XE_ADOPT_GROUP 16u /* xe_session_addr_cnt() has room for their addresses */
/* Each of cnt, in this order. made[i]: the new session, where there is one, else NULL. */
void xe_adopt_group(struct xe_lane *lane, const struct xe_adoptee *const *a, uint32_t cnt,
		    enum xe_adopted *outcome, struct xe_session **made);
/* One. *s as above; s may be NULL. */
enum xe_adopted xe_adopt(struct xe_lane *lane, const struct xe_adoptee *a, struct xe_session **s);

/* A session whose flow has gone on where it is still carried: as the record says now. False: it has
 * become another one, with another mapping or other flags; its end, and xe_adopt(), are the way. */
bool xe_adopt_go_on(struct xe_lane *lane, struct xe_session *s, const struct xe_flow_record *now,
		    uint16_t out_port);

#endif
