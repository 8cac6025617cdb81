/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * log.h - one line a message, to stderr, with a syslog priority prefix where journald reads it
 * (sd-daemon(3)). Any thread but the workers between rx and tx: a log line is a system call.
 */
#ifndef XE_LOG_H
#define XE_LOG_H

enum xe_log_level { XE_LOG_ERR = 3, XE_LOG_WARN = 4, XE_LOG_INFO = 6, XE_LOG_DEBUG = 7 };

/* Highest level that is printed; XE_LOG_INFO at start. */
void xe_log_set_level(enum xe_log_level level);
void xe_log(enum xe_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define xe_log_err(...)   xe_log(XE_LOG_ERR, __VA_ARGS__)
#define xe_log_warn(...)  xe_log(XE_LOG_WARN, __VA_ARGS__)
#define xe_log_info(...)  xe_log(XE_LOG_INFO, __VA_ARGS__)
#define xe_log_debug(...) xe_log(XE_LOG_DEBUG, __VA_ARGS__)

#endif
