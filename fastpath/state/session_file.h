/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * session_file.h - a worker's sessions in a file, so that they outlive the process.
 *
 * The slots of the session table, and those of the IPv6 addresses that they name by number, lie in
 * a file that is mapped: what the worker writes is there for whoever comes next, however the
 * process ends, and a packet costs nothing more. All else (index, timers, mappings, next hops,
 * counters of sources) is made anew from them.
 *
 *   0            head: whose file it is, ports and rules by the numbers that sessions use; since
 *                when UDP L4 ports rest
 *   2 MiB        session slots   | as far as they are backed by memory;
 *   behind them  address slots   | grows ahead of use (xe_session_file_grow)
 *
 * A page of a tmpfs that is full, touched, is SIGBUS. So no slot is used that has not been backed
 * before, by the control thread, ahead of the worker; where that fails the rest of the table is
 * memory of the process's own, whose sessions end with it.
 *
 * A reader (xe_session_file_read) believes nothing: a slot that was being written when its process
 * died, or that makes no sense, is left out.
 */
#ifndef XE_SESSION_FILE_H
#define XE_SESSION_FILE_H

#include "state/flow_record.h"
#include "state/session.h"

/* What ports and rules of a session mean: written by the control thread, rules in a worker call. */
struct xe_session_file_head;
struct xe_ruleset;

struct xe_session_file {
	struct xe_session_file_head *head; /* NULL: not open */
	size_t size;
	int fd;
	bool full; /* nothing more can be backed: new slots are not in the file */
	struct xe_session *slots;
	struct xe_addr6 *addrs;
};

struct xe_session_file_conf {
	uint32_t capacity; /* sessions */
	uint16_t worker, worker_cnt;
	int node; /* NUMA node of the worker, -1: any */
	uint32_t tcp_established_s, tcp_transitory_s, udp_s, dns_s;
};

/* Make `name` in the folder; it must not be there. -errno. */
int xe_session_file_open(struct xe_session_file *f, int dir_fd, const char *name,
			 const struct xe_session_file_conf *conf);
/* Unmap; the file stays. */
void xe_session_file_close(struct xe_session_file *f);

/* Sessions in the file from now on: xe_sessions_open() with its memory. */
int xe_sessions_open_in(struct xe_sessions *t, uint32_t capacity, uint64_t k0, uint64_t k1,
			struct xe_session_file *f);
/* Back what the table will use soon. Control thread, at any time, every 100 ms. -errno of the
 * moment from which on new slots are not in the file; then it is never tried again. */
int xe_session_file_grow(struct xe_session_file *f, struct xe_sessions *t);

/* A worker's clock stands still when the worker does: it shows lane_s when CLOCK_MONOTONIC shows
 * clock_s. Every 100 ms. */
void xe_session_file_clock(struct xe_session_file *f, uint32_t lane_s, uint32_t clock_s);

/* Who has this port id. */
void xe_session_file_port(struct xe_session_file *f, uint16_t id, const struct xe_flow_port *port);
/* What the rules' numbers mean from now on; NULL: nothing, while they change. */
void xe_session_file_rules(struct xe_session_file *f, const struct xe_ruleset *rs);

/* Where the worker writes since when UDP L4 ports rest, by L4 port: its clock + 1 (natpool.h). */
uint32_t *xe_session_file_rested(struct xe_session_file *f);
/* For how long each has still to rest by what another process has left, where that is more than
 * left_s says already. Of a file that is none, nothing. */
void xe_session_file_rests(int fd, uint32_t now_s, uint8_t left_s[65536]);

struct xe_session_file_counts {
	uint32_t taken, left_out;
};

/* Append what a dead process has left to `out`. now_s: CLOCK_MONOTONIC, which is that of the same
 * boot. -EINVAL and err: none of ours, of another version or boot, cut short. -ENOMEM, -errno. */
int xe_session_file_read(int fd, uint32_t now_s, struct xe_flow_file *out,
			 struct xe_session_file_counts *counts, char *err, size_t err_size);

#endif
