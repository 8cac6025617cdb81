/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A file of flows: header, ports, records, each as it is in memory, little endian.
 *
 * Who reads one trusts nothing in it: sizes are believed only as far as bytes come, and each record
 * is judged by itself after the checksum over all of it has matched. So a file that is damaged is
 * refused as a whole and one that somebody made by hand can hold no session that the pipeline could
 * not have made.
 */
#include "state/flow_record.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "state/rule.h"
#include "state/session.h"

/* Header, port and record say how long they are, and grow at their ends only: what is behind those
 * that the reader knows is not looked at, and what a shorter one lacks is 0. Raised where a field
 * means something else than before, or has a value that a reader of today would refuse. */
#define VERSION 1
/* What version 1 began with, and more than one of them will ever have. */
#define HEADER_MIN 64u
#define PORT_MIN   24u
#define RECORD_MIN 176u
#define LONGEST    4096u
/* More than XE_MAX_PORTS, since a file also
 * names ports that have ceased to be. */
#define PORTS_MAX 4096u
/* 64 workers' tables of a million sessions: 11 GiB. Beyond that the number is a lie. */
#define RECORDS_MAX (1u << 26)
/* Read at once, and allocated ahead of what has been read: 176 KiB. */
#define CHUNK 1024u

static const char magic[8] = "xegflow";

struct header {
	char magic[8];
	uint32_t version;
	uint32_t header_size, port_size, record_size; /* bytes of each */
	uint32_t port_cnt, record_cnt;
	uint64_t written_s;
	uint8_t boot_id[16];
	uint32_t crc; /* zlib's CRC-32 of header (this field 0), ports and records */
	uint32_t written_boot_s;
	XE_OF_LATER(of_later, 2)
};
_Static_assert(offsetof(struct header, written_boot_s) + 4 == HEADER_MIN, "it grows at its end");

/* ---- in memory ---- */

static uint8_t hex(char c)
{
	return (uint8_t)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
}

static void read_boot_id(uint8_t id[16])
{
	char text[64] = "";
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
	uint32_t n = 0;

	if (f && !fgets(text, sizeof(text), f))
		text[0] = '\0';
	if (f)
		fclose(f);
	for (const char *c = text; c[0] && c[1] && n < 16; c++) {
		if (*c == '-')
			continue;
		id[n++] = (uint8_t)(hex(c[0]) << 4 | hex(c[1]));
		c++;
	}
}

uint32_t xe_boot_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint32_t)ts.tv_sec;
}

void xe_flow_file_init(struct xe_flow_file *file)
{
	memset(file, 0, sizeof(*file));
	read_boot_id(file->boot_id);
	file->written_s = (uint64_t)time(NULL);
	file->written_boot_s = xe_boot_s();
}

void xe_flow_file_free(struct xe_flow_file *file)
{
	free(file->ports);
	free(file->records);
	memset(file, 0, sizeof(*file));
}

uint16_t xe_flow_file_port(struct xe_flow_file *file, const char *name, uint32_t ifindex,
			   uint8_t role)
{
	struct xe_flow_port *ports = file->ports, *p;

	for (uint32_t i = 0; i < file->port_cnt; i++)
		if (!strcmp(ports[i].name, name) && ports[i].ifindex == ifindex &&
		    ports[i].role == role)
			return (uint16_t)i;
	if (file->port_cnt == PORTS_MAX)
		return XE_FR_NO_PORT;
	ports = realloc(ports, (file->port_cnt + 1ul) * sizeof(*ports));
	if (!ports)
		return XE_FR_NO_PORT;
	file->ports = ports;
	p = &ports[file->port_cnt];
	memset(p, 0, sizeof(*p));
	snprintf(p->name, sizeof(p->name), "%s", name);
	p->ifindex = ifindex;
	p->role = role;
	return (uint16_t)file->port_cnt++;
}

/* Room for at least cnt records. */
static int make_room(struct xe_flow_file *file, uint32_t cnt)
{
	uint32_t size = file->record_size ? file->record_size : CHUNK;
	struct xe_flow_record *records;

	if (cnt <= file->record_size)
		return 0;
	while (size < cnt)
		size *= 2;
	records = realloc(file->records, (size_t)size * sizeof(*records));
	if (!records)
		return -ENOMEM;
	file->records = records;
	file->record_size = size;
	return 0;
}

int xe_flow_file_expect(struct xe_flow_file *file, uint32_t cnt)
{
	const uintptr_t huge = 2ul << 20;
	uintptr_t from, to;

	if (cnt > RECORDS_MAX - file->record_cnt || make_room(file, file->record_cnt + cnt))
		return -ENOMEM;
	if (!file->records)
		return 0;
	from = ((uintptr_t)(file->records + file->record_cnt) + huge - 1) & ~(huge - 1);
	to = (uintptr_t)(file->records + file->record_size) & ~(huge - 1);
	if (from < to) /* a hint: 4 KiB at a time the first touch costs more than what is written */
		madvise((void *)from, to - from, MADV_HUGEPAGE);
	return 0;
}

int xe_flow_file_add(struct xe_flow_file *file, const struct xe_flow_record *record)
{
	if (file->record_cnt == RECORDS_MAX || make_room(file, file->record_cnt + 1))
		return -ENOMEM;
	file->records[file->record_cnt++] = *record;
	return 0;
}

/* ---- one record ---- */

static const char *addr_fault(const struct xe_flow_record *r)
{
	bool v4 = r->family == AF_INET;

	if (r->family != AF_INET && r->family != AF_INET6)
		return "a family that is neither IPv4 nor IPv6";
	if (xe_addr_is_v4(&r->src) != v4 || xe_addr_is_v4(&r->dst) != v4 ||
	    xe_addr_is_v4(&r->nat_src) != v4 || xe_addr_is_v4(&r->nat_dst) != v4)
		return "an address that is not of its family";
	return NULL;
}

static const char *port_fault(const struct xe_flow_record *r, uint32_t port_cnt)
{
	if ((r->in_port != XE_FR_NO_PORT && r->in_port >= port_cnt) ||
	    (r->out_port != XE_FR_NO_PORT && r->out_port >= port_cnt))
		return "a port that the file does not name";
	return NULL;
}

static bool is_moved(const struct xe_flow_record *r)
{
	return memcmp(&r->src, &r->nat_src, sizeof(r->src)) ||
	       memcmp(&r->dst, &r->nat_dst, sizeof(r->dst)) || r->sport_be != r->nat_sport_be ||
	       r->dport_be != r->nat_dport_be;
}

/* What the verb makes of a flow, and what an Ext L4 port of ours asks of it. */
static const char *mapping_fault(const struct xe_flow_record *r)
{
	bool ext = r->flags & XE_FR_EXT, mapped = r->flags & XE_FR_MAPPED;

	if (r->verb >= XE_VERB_CNT || !xe_verb_makes_flows((enum xe_verb)r->verb))
		return "a verb that makes no flows";
	if (r->filter > XE_FILTER_ADDRESS_PORT)
		return "an unknown filter";
	if (r->verb == XE_VERB_ACCEPT && is_moved(r))
		return "an accepted flow that is translated";
	if (mapped && !ext)
		return "a mapping without an Ext L4 port";
	if (!ext)
		return NULL;
	if (r->verb != XE_VERB_SNAT && r->verb != XE_VERB_MASQUERADE)
		return "an Ext L4 port with a verb that gives none";
	if (!r->nat_sport_be)
		return "Ext L4 port 0";
	if (r->flags & XE_FR_FROM_OUTSIDE && !mapped)
		return "an Ext L4 port without a mapping, and opened from outside";
	return NULL;
}

/* As far as a session counts (session.h). */
static const char *count_fault(const struct xe_flow_record *r)
{
	for (int dir = 0; dir < 2; dir++)
		if (r->packets[dir] >> XE_COUNT_PACKETS_BITS ||
		    r->bytes[dir] >> XE_COUNT_BYTES_BITS)
			return "more packets or bytes than a flow can have had";
	return NULL;
}

static const char *state_fault(const struct xe_flow_record *r)
{
	if (r->proto == IPPROTO_UDP)
		return r->tcp_state == XE_TCP_NONE ? NULL : "UDP with a TCP state";
	if (r->proto != IPPROTO_TCP)
		return "a protocol that is neither TCP nor UDP";
	if (r->tcp_state == XE_TCP_NONE || r->tcp_state > XE_TCP_CLOSED)
		return "an unknown TCP state";
	return NULL;
}

const char *xe_flow_record_fault(const struct xe_flow_record *r, uint32_t port_cnt)
{
	const char *fault = addr_fault(r);

	if (!fault)
		fault = state_fault(r);
	if (!fault)
		fault = port_fault(r, port_cnt);
	if (!fault)
		fault = mapping_fault(r);
	if (!fault)
		fault = count_fault(r);
	if (!fault && r->flags & ~(XE_FR_REPLIED | XE_FR_FROM_OUTSIDE | XE_FR_EXT | XE_FR_MAPPED |
				   XE_FR_HAIRPIN | XE_FR_KERNEL | XE_FR_ADOPTED))
		fault = "unknown flags";
	return fault;
}

/* ---- in a file ---- */

static int write_all(int fd, const void *from, size_t len)
{
	const uint8_t *at = from;

	while (len) {
		ssize_t n = write(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Of all of it; zlib's lengths are 32 bits wide. */
static uint32_t crc_of(const struct header *head, const struct xe_flow_file *file)
{
	struct header h = *head;
	uLong crc;

	h.crc = 0;
	crc = crc32(0, (const Bytef *)&h, sizeof(h));
	if (file->port_cnt)
		crc = crc32(crc, (const Bytef *)file->ports,
			    (uInt)(file->port_cnt * sizeof(*file->ports)));
	for (uint32_t i = 0; i < file->record_cnt; i += CHUNK) {
		uint32_t n = file->record_cnt - i < CHUNK ? file->record_cnt - i : CHUNK;

		crc = crc32(crc, (const Bytef *)&file->records[i],
			    (uInt)(n * sizeof(*file->records)));
	}
	return (uint32_t)crc;
}

int xe_flow_file_write(const struct xe_flow_file *file, int fd)
{
	struct header h = {
		.version = VERSION,
		.header_size = sizeof(h),
		.port_size = sizeof(*file->ports),
		.record_size = sizeof(*file->records),
		.port_cnt = file->port_cnt,
		.record_cnt = file->record_cnt,
		.written_s = file->written_s,
		.written_boot_s = file->written_boot_s,
	};
	int err;

	memcpy(h.magic, magic, sizeof(h.magic));
	memcpy(h.boot_id, file->boot_id, sizeof(h.boot_id));
	h.crc = crc_of(&h, file);
	err = write_all(fd, &h, sizeof(h));
	if (!err)
		err = write_all(fd, file->ports, file->port_cnt * sizeof(*file->ports));
	if (!err)
		err = write_all(fd, file->records,
				(size_t)file->record_cnt * sizeof(*file->records));
	return err;
}

/* A file on its way in. */
struct reader {
	int fd;
	uLong crc; /* of what has been read */
	struct header h;
	uint8_t *raw; /* memory for a chunk of what is of other sizes than ours */
};

/* Bytes read, fewer than len only at the end of the file. -errno. */
static ssize_t read_all(int fd, void *to, size_t len)
{
	uint8_t *at = to;
	size_t done = 0;

	while (done < len) {
		ssize_t n = read(fd, at + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static int refuse(char *err, size_t err_size, const char *what)
{
	snprintf(err, err_size, "%s", what);
	return -EINVAL;
}

static int judge_header(const struct header *h, char *err, size_t err_size)
{
	if (h->header_size < HEADER_MIN || h->header_size > LONGEST || h->port_size < PORT_MIN ||
	    h->port_size > LONGEST || h->record_size < RECORD_MIN || h->record_size > LONGEST)
		return refuse(err, err_size, "its header names sizes that no version has");
	if (h->port_cnt > PORTS_MAX || h->record_cnt > RECORDS_MAX)
		return refuse(err, err_size, "its header names more flows than there can be");
	return 0;
}

/* The checksum is over it as it was written, with none in its place. */
static void begin_crc(struct reader *r, uint8_t *raw)
{
	memset(raw + offsetof(struct header, crc), 0, sizeof(r->h.crc));
	r->crc = crc32(0, raw, r->h.header_size);
}

static int read_header(struct reader *r, char *err, size_t err_size)
{
	uint8_t raw[LONGEST] = {};
	ssize_t n = read_all(r->fd, raw, HEADER_MIN), more = 0;
	struct header *h = &r->h;

	if (n < 0)
		return (int)n;
	memcpy(h, raw, HEADER_MIN);
	if (n < (ssize_t)sizeof(h->magic) || memcmp(h->magic, magic, sizeof(h->magic)))
		return refuse(err, err_size,
			      "not a file of flows: it does not begin with `xegflow`");
	if (n < (ssize_t)offsetof(struct header, header_size))
		return refuse(err, err_size, "cut short in its header");
	if (h->version != VERSION) {
		snprintf(err, err_size, "version %u, and this program reads version %u", h->version,
			 VERSION);
		return -EINVAL;
	}
	if (n < (ssize_t)HEADER_MIN)
		return refuse(err, err_size, "cut short in its header");
	if (judge_header(h, err, err_size))
		return -EINVAL;
	more = read_all(r->fd, raw + HEADER_MIN, h->header_size - HEADER_MIN);
	if (more < (ssize_t)(h->header_size - HEADER_MIN))
		return more < 0 ? (int)more : refuse(err, err_size, "cut short in its header");
	memcpy(h, raw, h->header_size < sizeof(*h) ? h->header_size : sizeof(*h));
	begin_crc(r, raw);
	return 0;
}

void xe_fit(void *to, size_t size, const void *from, size_t from_size, uint32_t cnt)
{
	size_t both = size < from_size ? size : from_size;

	if (size == from_size) {
		memcpy(to, from, size * cnt);
		return;
	}
	for (uint32_t i = 0; i < cnt; i++) {
		uint8_t *at = (uint8_t *)to + i * size;

		memcpy(at, (const uint8_t *)from + i * from_size, both);
		memset(at + both, 0, size - both);
	}
}

/* Of cnt (CHUNK at most) of them, so many are there; each is from_size bytes in the file. */
static int read_some(struct reader *r, void *to, size_t size, uint32_t from_size, uint32_t cnt)
{
	void *raw = size == from_size ? to : r->raw;
	ssize_t n = read_all(r->fd, raw, (size_t)cnt * from_size);

	if (n < 0)
		return (int)n;
	r->crc = crc32(r->crc, raw, (uInt)n);
	cnt = (uint32_t)((size_t)n / from_size);
	if (raw != to)
		xe_fit(to, size, raw, from_size, cnt);
	return (int)cnt;
}

static int read_ports(struct reader *r, struct xe_flow_file *file)
{
	if (!r->h.port_cnt)
		return 0;
	file->ports = calloc(r->h.port_cnt, sizeof(*file->ports));
	if (!file->ports)
		return -ENOMEM;
	while (file->port_cnt < r->h.port_cnt) {
		uint32_t left = r->h.port_cnt - file->port_cnt, want = left < CHUNK ? left : CHUNK;
		int n = read_some(r, &file->ports[file->port_cnt], sizeof(*file->ports),
				  r->h.port_size, want);

		if (n < 0)
			return n;
		file->port_cnt += (uint32_t)n;
		if ((uint32_t)n < want)
			break;
	}
	return 0;
}

static int read_records(struct reader *r, struct xe_flow_file *file)
{
	while (file->record_cnt < r->h.record_cnt) {
		uint32_t left = r->h.record_cnt - file->record_cnt;
		uint32_t want = left < CHUNK ? left : CHUNK;
		int n;

		if (make_room(file, file->record_cnt + want))
			return -ENOMEM;
		n = read_some(r, &file->records[file->record_cnt], sizeof(*file->records),
			      r->h.record_size, want);
		if (n < 0)
			return n;
		file->record_cnt += (uint32_t)n;
		if ((uint32_t)n < want)
			break;
	}
	return 0;
}

static int read_parts(struct reader *r, struct xe_flow_file *file)
{
	uint32_t longest = r->h.record_size > r->h.port_size ? r->h.record_size : r->h.port_size;
	int ret = 0;

	if (r->h.port_size != sizeof(*file->ports) || r->h.record_size != sizeof(*file->records)) {
		r->raw = malloc((size_t)CHUNK * longest);
		ret = r->raw ? 0 : -ENOMEM;
	}
	if (!ret)
		ret = read_ports(r, file);
	if (!ret && file->port_cnt == r->h.port_cnt)
		ret = read_records(r, file);
	free(r->raw);
	return ret;
}

static int judge(const struct xe_flow_file *file, char *err, size_t err_size)
{
	for (uint32_t i = 0; i < file->port_cnt; i++) {
		const struct xe_flow_port *p = &file->ports[i];

		if (memchr(p->name, 0, sizeof(p->name)) && p->name[0] && p->role <= XE_ROLE_UPLINK)
			continue;
		snprintf(err, err_size, "port %u: a name and a role were expected", i + 1);
		return -EINVAL;
	}
	for (uint32_t i = 0; i < file->record_cnt; i++) {
		const char *fault = xe_flow_record_fault(&file->records[i], file->port_cnt);

		if (!fault)
			continue;
		snprintf(err, err_size, "flow %u: %s", i + 1, fault);
		return -EINVAL;
	}
	return 0;
}

int xe_flow_file_read(struct xe_flow_file *file, int fd, char *err, size_t err_size)
{
	struct reader r = {.fd = fd};
	const struct header *h = &r.h;
	int ret;

	memset(file, 0, sizeof(*file));
	ret = read_header(&r, err, err_size);
	if (!ret)
		ret = read_parts(&r, file);
	if (!ret && (file->port_cnt < h->port_cnt || file->record_cnt < h->record_cnt)) {
		snprintf(err, err_size, "cut short: %u ports and %u flows of %u and %u are there",
			 file->port_cnt, file->record_cnt, h->port_cnt, h->record_cnt);
		ret = -EINVAL;
	}
	if (!ret && (uint32_t)r.crc != h->crc)
		ret = refuse(err, err_size, "damaged: its checksum does not match");
	if (!ret)
		ret = judge(file, err, err_size);
	if (ret) {
		if (ret != -EINVAL)
			snprintf(err, err_size, "%s", strerror(-ret));
		xe_flow_file_free(file);
		return ret;
	}
	file->written_s = h->written_s;
	file->written_boot_s = h->written_boot_s;
	memcpy(file->boot_id, h->boot_id, sizeof(h->boot_id));
	return 0;
}
