/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/flow_wait.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "control/flow_held.h"

void xe_flow_batch_free(struct xe_flow_batch *b)
{
	if (!b)
		return;
	xe_flow_file_free(&b->file);
	free(b->ports);
	free(b->head);
	free(b->next);
	free(b);
}

static int copy_file(struct xe_flow_file *to, const struct xe_flow_file *from)
{
	*to = *from;
	to->records = NULL;
	to->ports = calloc(from->port_cnt + 1ul, sizeof(*to->ports));
	to->records = malloc((from->record_cnt + 1ul) * sizeof(*to->records));
	if (!to->ports || !to->records)
		return -ENOMEM;
	if (from->port_cnt) /* NULL without one */
		memcpy(to->ports, from->ports, from->port_cnt * sizeof(*to->ports));
	if (from->record_cnt)
		memcpy(to->records, from->records, (size_t)from->record_cnt * sizeof(*to->records));
	to->record_size = from->record_cnt;
	return 0;
}

/* Lists in the order of the file, from outside behind all others. */
static void make_lists(struct xe_flow_batch *b)
{
	for (uint32_t p = 0; p < b->file.port_cnt; p++)
		b->head[p] = XE_NIL;
	for (int outside = 1; outside >= 0; outside--) {
		for (uint32_t i = b->file.record_cnt; i--;) {
			const struct xe_flow_record *r = &b->file.records[i];

			if (r->in_port == XE_FR_NO_PORT ||
			    b->file.ports[r->in_port].role != XE_ROLE_INSIDE ||
			    !!(r->flags & XE_FR_FROM_OUTSIDE) != outside)
				continue;
			b->next[i] = b->head[r->in_port];
			b->head[r->in_port] = i;
			b->left++;
		}
	}
}

struct xe_flow_batch *xe_flow_batch_new(const struct xe_flow_file *file)
{
	struct xe_flow_batch *b = calloc(1, sizeof(*b));
	struct xe_flow_file now;

	if (!b || copy_file(&b->file, file)) {
		xe_flow_batch_free(b);
		return NULL;
	}
	b->head = calloc(file->port_cnt + 1ul, sizeof(*b->head));
	b->next = calloc(file->record_cnt + 1ul, sizeof(*b->next));
	b->ports = calloc(file->port_cnt + 1ul, sizeof(struct xe_port *));
	if (!b->head || !b->next || !b->ports) {
		xe_flow_batch_free(b);
		return NULL;
	}
	xe_flow_file_init(&now);
	b->same_boot = !memcmp(now.boot_id, file->boot_id, sizeof(now.boot_id));
	b->since_ns = xe_now_ns();
	make_lists(b);
	return b;
}

bool xe_flow_batch_is_port(const struct xe_flow_batch *b, uint32_t file_port,
			   const struct xe_port *port)
{
	const struct xe_flow_port *fp = &b->file.ports[file_port];

	return !strcmp(fp->name, port->name) && fp->role == port->role &&
	       (!b->same_boot || !fp->ifindex || fp->ifindex == (uint32_t)port->ifindex);
}

void xe_flow_batch_find_ports(struct xe_service *svc, struct xe_flow_batch *b)
{
	for (uint32_t i = 0; i < b->file.port_cnt; i++) {
		struct xe_port *port = xe_port_named(svc, b->file.ports[i].name);

		b->ports[i] = port && port->id != XE_PORT_NONE && xe_flow_batch_is_port(b, i, port)
				      ? port
				      : NULL;
	}
}

void xe_flow_reserve(struct xe_service *svc, const struct xe_flow_record *r, bool on)
{
	if (r->flags & XE_FR_EXT)
		xe_held_reserve(svc, r->proto == IPPROTO_UDP, ntohs(r->nat_sport_be), on);
}

void xe_flow_batch_reserve(struct xe_service *svc, const struct xe_flow_batch *b, bool on)
{
	for (uint32_t p = 0; p < b->file.port_cnt; p++)
		for (uint32_t i = b->head[p]; i != XE_NIL; i = b->next[i])
			xe_flow_reserve(svc, &b->file.records[i], on);
}
