/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/flow_wait.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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
	to->ports = calloc(from->port_cnt + 1ul, sizeof(*to->ports));
	to->records = NULL;
	to->record_cnt = to->record_size = 0;
	if (!to->ports || xe_flow_file_expect(to, from->record_cnt))
		return -ENOMEM;
	if (from->port_cnt) /* NULL without one */
		memcpy(to->ports, from->ports, from->port_cnt * sizeof(*to->ports));
	if (from->record_cnt)
		memcpy(to->records, from->records, (size_t)from->record_cnt * sizeof(*to->records));
	to->record_cnt = from->record_cnt;
	return 0;
}

/* Lists in the order of the file, from outside behind all others. tails: the last ones of those
 * that are from inside, by port. */
static void make_lists(struct xe_flow_batch *b, uint32_t *outside, uint32_t *tails)
{
	for (uint32_t p = 0; p < b->file.port_cnt; p++)
		b->head[p] = outside[p] = tails[p] = XE_NIL;
	for (uint32_t i = b->file.record_cnt; i--;) {
		const struct xe_flow_record *r = &b->file.records[i];
		uint32_t *head = r->flags & XE_FR_FROM_OUTSIDE ? outside : b->head;

		if (r->in_port == XE_FR_NO_PORT || b->file.ports[r->in_port].role != XE_ROLE_INSIDE)
			continue;
		if (b->head[r->in_port] == XE_NIL && head == b->head)
			tails[r->in_port] = i;
		b->next[i] = head[r->in_port];
		head[r->in_port] = i;
		b->left++;
	}
	for (uint32_t p = 0; p < b->file.port_cnt; p++) {
		if (tails[p] != XE_NIL)
			b->next[tails[p]] = outside[p];
		else
			b->head[p] = outside[p];
	}
}

struct xe_flow_batch *xe_flow_batch_new(struct xe_flow_file *file, bool copy)
{
	struct xe_flow_batch *b = calloc(1, sizeof(*b));
	uint32_t *of_ports = calloc(2 * (file->port_cnt + 1ul), sizeof(*of_ports));
	struct xe_flow_file now;

	if (!b || !of_ports || (copy && copy_file(&b->file, file)))
		goto out;
	b->head = calloc(file->port_cnt + 1ul, sizeof(*b->head));
	b->next = malloc((file->record_cnt + 1ul) * sizeof(*b->next));
	b->ports = calloc(file->port_cnt + 1ul, sizeof(struct xe_port *));
	if (!b->head || !b->next || !b->ports)
		goto out;
	if (!copy) {
		b->file = *file;
		*file = (struct xe_flow_file){};
	}
	xe_flow_file_init(&now);
	b->same_boot = !memcmp(now.boot_id, b->file.boot_id, sizeof(now.boot_id));
	b->since_ns = xe_now_ns();
	make_lists(b, of_ports, of_ports + b->file.port_cnt);
	free(of_ports);
	return b;
out:
	free(of_ports);
	xe_flow_batch_free(b);
	return NULL;
}

bool xe_flow_batch_is_port(const struct xe_flow_batch *b, uint32_t file_port,
			   const struct xe_port *port)
{
	const struct xe_flow_port *fp = &b->file.ports[file_port];

	return !strcmp(fp->name, port->name) && fp->role == port->role &&
	       (b->sync || !b->same_boot || !fp->ifindex || fp->ifindex == (uint32_t)port->ifindex);
}

static void want(struct xe_flow_batch *b, const struct xe_addr *addr)
{
	if (b->wants_cnt > XE_WAIT_ADDRS)
		return;
	for (uint32_t i = 0; i < b->wants_cnt; i++)
		if (!memcmp(&b->wants[i], addr, sizeof(*addr)))
			return;
	if (b->wants_cnt < XE_WAIT_ADDRS)
		b->wants[b->wants_cnt] = *addr;
	b->wants_cnt++;
}

void xe_flow_batch_sleep(struct xe_flow_batch *b)
{
	b->asleep = b->sync;
	b->wants_cnt = 0;
	if (!b->sync)
		return;
	for (uint32_t p = 0; p < b->file.port_cnt; p++)
		for (uint32_t i = b->head[p]; i != XE_NIL; i = b->next[i])
			want(b, &b->file.records[i].nat_src);
}

bool xe_flow_batch_wants(const struct xe_flow_batch *b, const struct xe_addr *addr)
{
	if (!b->sync || !b->left)
		return false;
	if (!b->asleep || !addr || b->wants_cnt > XE_WAIT_ADDRS)
		return true;
	for (uint32_t i = 0; i < b->wants_cnt; i++)
		if (!memcmp(&b->wants[i], addr, sizeof(*addr)))
			return true;
	return false;
}

/* Between two hosts no more than this counts: their clocks may be further apart than their files.
 */
#define AGO_MAX_S 120

/* Seconds since the records were written. The time of day may step, also within a boot: there it is
 * not asked. */
static uint32_t written_ago_s(const struct xe_flow_batch *b)
{
	uint64_t now_s = (uint64_t)time(NULL);

	if (b->same_boot)
		return xe_boot_s() - b->file.written_boot_s;
	if (now_s <= b->file.written_s)
		return 0;
	return now_s - b->file.written_s > AGO_MAX_S ? AGO_MAX_S
						     : (uint32_t)(now_s - b->file.written_s);
}

void xe_flow_batch_look(struct xe_service *svc, struct xe_flow_batch *b)
{
	b->ago_s = written_ago_s(b);
	for (uint32_t i = 0; i < b->file.port_cnt; i++) {
		struct xe_port *port = xe_port_named(svc, b->file.ports[i].name);

		if (port && (port->id == XE_PORT_NONE || !xe_flow_batch_is_port(b, i, port)))
			port = NULL;
		b->asleep &= b->ports[i] == port;
		b->ports[i] = port;
	}
}

void xe_flow_reserve(struct xe_service *svc, const struct xe_flow_batch *b,
		     const struct xe_flow_record *r, bool on)
{
	if (r->flags & XE_FR_EXT && !b->sync)
		xe_held_reserve(svc, r->proto == IPPROTO_UDP, ntohs(r->nat_sport_be), on);
}

void xe_flow_batch_reserve(struct xe_service *svc, const struct xe_flow_batch *b, bool on)
{
	for (uint32_t p = 0; p < b->file.port_cnt; p++)
		for (uint32_t i = b->head[p]; i != XE_NIL; i = b->next[i])
			xe_flow_reserve(svc, b, &b->file.records[i], on);
}
