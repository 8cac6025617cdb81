/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"

/* A line is one write(), so that lines of two threads never mix; longer ones are cut. */
#define LINE_SIZE 1024

static _Atomic int max_level = XE_LOG_INFO;
static _Atomic uint32_t error_cnt;
static pthread_once_t looked = PTHREAD_ONCE_INIT;
static bool has_priorities;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of sites and what is in them */
static struct xe_log_site *sites;

void xe_log_set_level(enum xe_log_level level)
{
	atomic_store_explicit(&max_level, level, memory_order_relaxed);
}

static const char *level_word(enum xe_log_level level)
{
	switch (level) {
	case XE_LOG_ERR:
		return "error: ";
	case XE_LOG_WARN:
		return "warning: ";
	case XE_LOG_DEBUG:
		return "debug: ";
	default:
		return "";
	}
}

/* Does whoever reads standard error understand priorities? journald names the file that it has
 * given us (systemd.exec(5)); a service that was started by one of its own has inherited only the
 * name. */
static void look_at_stderr(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	has_priorities = stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 &&
			 !fstat(STDERR_FILENO, &st) && st.st_dev == dev && st.st_ino == ino;
}

static bool is_wanted(enum xe_log_level level)
{
	return level <= (enum xe_log_level)atomic_load_explicit(&max_level, memory_order_relaxed);
}

static void print(enum xe_log_level level, const char *text)
{
	char line[LINE_SIZE];
	int len;

	pthread_once(&looked, look_at_stderr);
	if (has_priorities)
		len = snprintf(line, sizeof(line) - 1, "<%d>%s%s", level, level_word(level), text);
	else
		len = snprintf(line, sizeof(line) - 1, "xegressd: %s%s", level_word(level), text);
	if (len > (int)sizeof(line) - 2)
		len = sizeof(line) - 2;
	line[len++] = '\n';
	if (write(STDERR_FILENO, line, (size_t)len) < 0)
		return; /* nowhere left to say it */
}

/* The lock is held. */
static void say_left_out(struct xe_log_site *site)
{
	char text[XE_LOG_KEPT + 64];

	if (!site->left_out)
		return;
	snprintf(text, sizeof(text), "%u more like this: %s", site->left_out, site->last);
	site->left_out = 0;
	print(site->level, text);
}

/* The lock is held. A new time begins with the first line after the last one's end. */
static void begin_window(struct xe_log_site *site, uint64_t now_s)
{
	if (site->window_s && now_s - site->window_s < XE_LOG_WINDOW_S)
		return;
	say_left_out(site);
	site->window_s = now_s;
	site->said = 0;
}

static void leave_out(struct xe_log_site *site, enum xe_log_level level, const char *text)
{
	site->left_out++;
	site->level = level;
	snprintf(site->last, sizeof(site->last), "%.*s", XE_LOG_KEPT - 1, text);
	if (site->is_listed)
		return;
	site->is_listed = true;
	site->next = sites;
	sites = site;
}

static uint64_t now_s(void)
{
	return xe_now_coarse_ns() / XE_NS_PER_SEC + 1; /* 0 has a meaning */
}

/* Without a site: however often. */
static void __attribute__((format(printf, 3, 0)))
say(struct xe_log_site *site, enum xe_log_level level, const char *fmt, va_list ap)
{
	char text[LINE_SIZE];

	if (!is_wanted(level))
		return;
	if (level == XE_LOG_ERR)
		atomic_fetch_add_explicit(&error_cnt, 1, memory_order_relaxed);
	vsnprintf(text, sizeof(text), fmt, ap);
	if (!site) {
		print(level, text);
		return;
	}
	pthread_mutex_lock(&lock);
	begin_window(site, now_s());
	if (site->said < XE_LOG_BURST) {
		site->said++;
		print(level, text);
	} else {
		leave_out(site, level, text);
	}
	pthread_mutex_unlock(&lock);
}

void xe_log_at(struct xe_log_site *site, enum xe_log_level level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(site, level, fmt, ap);
	va_end(ap);
}

void xe_log_always(enum xe_log_level level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(NULL, level, fmt, ap);
	va_end(ap);
}

uint32_t xe_log_errors(void)
{
	return atomic_load_explicit(&error_cnt, memory_order_relaxed);
}

void xe_log_flush(bool all)
{
	pthread_mutex_lock(&lock);
	for (struct xe_log_site *site = sites; site; site = site->next)
		if (all || now_s() - site->window_s >= XE_LOG_WINDOW_S)
			say_left_out(site);
	pthread_mutex_unlock(&lock);
}
