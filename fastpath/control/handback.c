/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/handback.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/conntrack.h"
#include "control/ct_adopt.h"
#include "control/flow_export.h"
#include "control/port_attach.h"
#include "control/service.h"
#include "control/state_dir.h"

/* A worker empties its rings (2048 frames at most each) in less; looked at every millisecond. */
#define DRAIN_LOOKS 50
/* Without looking: ten times what it takes on a quiet machine. */
#define DRAIN_UNASKED 10
#define DRAIN_NS      XE_NS_PER_MS

/* ---- workers ---- */

static void look_at_rings(struct xe_worker *w, void *arg)
{
	bool *busy = arg;

	for (uint32_t i = 0; i < w->lane->xsk_cnt; i++)
		*busy |= xsk_cons_nb_avail(&w->lane->xsks[i]->rx, 1);
}

/* Steer has become stricter: until what it let through before has been dealt with. Twice empty,
 * since the kernel may have been about to put something there. Who cannot be asked gets its time.
 */
static void drain(struct xe_service *svc, bool ask)
{
	const struct timespec pause = {.tv_nsec = DRAIN_NS};
	int empty = 0;

	for (int i = 0; i < (ask ? DRAIN_LOOKS : DRAIN_UNASKED) && empty < 2; i++) {
		bool busy = !ask;

		nanosleep(&pause, NULL);
		for (uint32_t w = 0; w < svc->worker_cnt && ask; w++)
			xe_worker_call(&svc->workers[w], look_at_rings, &busy);
		empty = busy ? 0 : empty + 1;
	}
}

/* New flows begin in the kernel from now on; or, not live, all that comes is the kernel's. */
static void hold_off(struct xe_service *svc, bool live)
{
	for (struct xe_port *p = svc->port_list; p; p = p->next) {
		const struct xe_link *link = xe_netlink_link(svc->netlink, p->ifindex);

		if (p->id == XE_PORT_NONE || !link)
			continue;
		p->moving = true;
		p->live &= live;
		xe_port_tell_steer(svc, p, link);
	}
}

/* ---- sessions ---- */

/* What differs from `last`, which becomes what there is now. */
static int write_some(struct xe_service *svc, bool ask, struct xe_ct *ct, struct xe_flow_file *last,
		      struct xe_ct_result *sum)
{
	struct xe_flow_file now;
	struct xe_ct_result r = {};
	int err;

	xe_flow_file_init(&now);
	err = ask ? xe_flows_export(svc, NULL, &now) : xe_state_dir_read_own(svc, &now);
	if (!err)
		err = xe_ct_write(ct, &now, last, &r);
	sum->written += r.written;
	sum->refused += r.refused;
	sum->err = sum->err ? sum->err : r.err;
	xe_flow_file_free(last);
	*last = now;
	return err;
}

static int hand_back(struct xe_service *svc, bool ask, struct xe_ct *ct)
{
	struct xe_handback *h = &svc->handback;

	if (!h->step)
		xe_flow_file_init(&h->last);
	for (; h->step < XE_HANDBACK_STEPS; h->step++) {
		int err;

		if (h->step) {
			hold_off(svc, h->step == 1);
			drain(svc, ask);
		}
		err = write_some(svc, ask, ct, &h->last, &h->sum);
		if (err)
			return err;
	}
	xe_flow_file_free(&h->last);
	return 0;
}

void xe_handback(struct xe_service *svc, bool ask)
{
	const struct xe_ct_result *sum = &svc->handback.sum;
	uint64_t start_ns = xe_now_ns();
	struct xe_ct *ct = xe_ct_of(svc);
	int err;

	if (!ct || svc->handback.step == XE_HANDBACK_STEPS)
		return; /* it has been said */
	err = hand_back(svc, ask, ct);
	if (err)
		xe_log_warn("handback: %s: flows end that the kernel has not got", strerror(-err));
	if (sum->refused)
		xe_log_warn("handback: conntrack refused %u flows: %s", sum->refused,
			    sum->err == -ENOMEM
				    ? "its table is full (net.netfilter.nf_conntrack_max)"
				    : strerror(-sum->err));
	xe_log_info("handback: %u flows go on in the kernel (%u ms)", sum->written,
		    (uint32_t)((xe_now_ns() - start_ns) / XE_NS_PER_MS));
}
