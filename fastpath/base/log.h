/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * log.h - one line a message, to stderr, with a syslog priority prefix where stderr is the journal
 * (sd-daemon(3)). Any thread but the workers between rx and tx: a log line is a system call.
 *
 * Each place in the code may say XE_LOG_BURST lines in XE_LOG_WINDOW_S seconds; what it says beyond
 * is counted, and the count said when the time is over: a link that flaps, or a container that is
 * made and destroyed all the time, fills no disk. What must not be missed is said by
 * xe_log_always().
 */
#ifndef XE_LOG_H
#define XE_LOG_H

#include <stdbool.h>
#include <stdint.h>

/* Of a line that is left out, so much is kept: enough to know which kind it is. */
#define XE_LOG_KEPT 160

enum xe_log_level { XE_LOG_ERR = 3, XE_LOG_WARN = 4, XE_LOG_INFO = 6, XE_LOG_DEBUG = 7 };

/* More than one cause at one place has in so short a time on a host that is well; journald's own
 * limit is 10,000 lines in 30 s for the whole service. */
#define XE_LOG_BURST    20
#define XE_LOG_WINDOW_S 10

/* A place that logs: static, and the log's from its first line on. */
struct xe_log_site {
	uint64_t window_s;        /* when its time began; 0: has not said anything */
	uint32_t said, left_out;  /* lines since then */
	enum xe_log_level level;  /* of the last one left out */
	char last[XE_LOG_KEPT];   /* the last one left out */
	struct xe_log_site *next; /* all that have ever left out something */
	bool is_listed;
};

/* Highest level that is printed; XE_LOG_INFO at start. */
void xe_log_set_level(enum xe_log_level level);
/* However often. */
void xe_log_always(enum xe_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void xe_log_at(struct xe_log_site *site, enum xe_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Lines of XE_LOG_ERR so far: whoever fails by another's failure asks whether that was said. */
uint32_t xe_log_errors(void);
/* Say how many lines have been left out, where the time is over; at the end (all) in any case. */
void xe_log_flush(bool all);

#define xe_log(level, ...)                                                                         \
	do {                                                                                       \
		static struct xe_log_site xe_log_here;                                             \
		xe_log_at(&xe_log_here, level, __VA_ARGS__);                                       \
	} while (0)

#define xe_log_err(...)  xe_log(XE_LOG_ERR, __VA_ARGS__)
#define xe_log_warn(...) xe_log(XE_LOG_WARN, __VA_ARGS__)
#define xe_log_info(...) xe_log(XE_LOG_INFO, __VA_ARGS__)
/* Whoever asks for these wants them all. */
#define xe_log_debug(...) xe_log_always(XE_LOG_DEBUG, __VA_ARGS__)
/* What has been changed, by whom. */
#define xe_log_audit(...) xe_log_always(XE_LOG_INFO, "audit: " __VA_ARGS__)

#endif
