/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * neighbours.h - the neighbours that next-hop entries go through, and which entries those are, so
 * that a neighbour event touches only what it concerns. Control thread.
 */
#ifndef XE_NEIGHBOURS_H
#define XE_NEIGHBOURS_H

#include <stdbool.h>
#include <stdint.h>

#include "state/region.h"
#include "xegress/types.h"

/* The control thread's side of a worker's next-hop entry. */
struct xe_nh_link {
	uint32_t neighbour;  /* XE_NIL: none */
	uint32_t next, prev; /* entries of the same worker and neighbour */
	bool active;
};

struct xe_neighbour {
	int ifindex;
	struct xe_addr addr;
	uint32_t head[XE_MAX_WORKERS]; /* first entry of each worker */
	uint32_t refs;                 /* 0: unused slot */
	uint32_t hash;
	uint32_t next_free;
	/* The resolver's. */
	uint8_t state;     /* enum xe_nexthop_state, as last answered */
	uint64_t since_ns; /* being resolved since */
	uint64_t asked_ns; /* the kernel was asked, 0: not yet */
};

struct xe_neighbours {
	struct xe_nh_link *links[XE_MAX_WORKERS]; /* parallel to each worker's next-hop table */
	size_t links_size;
	struct xe_neighbour *slots;
	struct xe_slots room;
	struct xe_index index;
	uint64_t k0, k1;
};

/* For workers with tables of nexthop_cnt entries. 0 or -ENOMEM: close it all the same. */
int xe_neighbours_open(struct xe_neighbours *t, uint32_t worker_cnt, uint32_t nexthop_cnt,
		       uint64_t k0, uint64_t k1);
void xe_neighbours_close(struct xe_neighbours *t);

/* Index of a neighbour; XE_NIL: no entry goes through it. */
uint32_t xe_neighbour_find(const struct xe_neighbours *t, int ifindex, const struct xe_addr *addr);
/* The same, made when new; then the caller links an entry to it. XE_NIL: too many. */
uint32_t xe_neighbour_get(struct xe_neighbours *t, int ifindex, const struct xe_addr *addr);

/* Entry idx of a worker goes through the neighbour. It is linked to none. */
void xe_neighbour_link(struct xe_neighbours *t, uint32_t worker, uint32_t idx, uint32_t neighbour);
/* It does no longer; one that nothing goes through is forgotten. */
void xe_neighbour_unlink(struct xe_neighbours *t, uint32_t worker, uint32_t idx);

#endif
