/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/start_beside.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "control/state_dir.h"
#include "pipeline/pipeline.h"

/* Of kernel 5.14; without it pages are touched by who needs them. */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
/* So many flows touch nearly all huge pages of a table anyway; with fewer the memory may never be
 * needed. */
#define MANY_FLOWS 10000u
/* Pieces, so that an end is not waited for: some ms each. */
#define PIECE (16ul << 20)

struct xe_beside {
	struct xe_service *svc;
	pthread_t thread;
	sem_t read, lanes; /* posted once: all is read; the lanes are open, or the end is near */
	atomic_bool ends;
};

static void wait_for(sem_t *sem)
{
	while (sem_wait(sem) && errno == EINTR)
		;
}

static void touch(const struct xe_beside *b, void *at, size_t size)
{
	uint8_t *from = at;

	for (size_t done = 0, len; done < size && !atomic_load(&b->ends); done += len) {
		len = size - done < PIECE ? size - done : PIECE;
		if (madvise(from + done, len, MADV_POPULATE_WRITE))
			return; /* an old kernel, or no memory: who touches it will see */
	}
}

static void touch_index(const struct xe_beside *b, const struct xe_index *x)
{
	touch(b, x->slots, ((size_t)x->mask + 1) * sizeof(*x->slots));
}

static void go_to_cpu(int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	pthread_setaffinity_np(pthread_self(), sizeof(cpus), &cpus); /* else from another node */
}

/* What sessions are found by, and what they look up when they are made. The slots themselves are
 * taken in order, and backed ahead of use (xe_session_file_grow()). */
static void touch_tables(const struct xe_beside *b, const struct xe_worker *w)
{
	const struct xe_sessions *t = &w->lane->sessions;

	go_to_cpu(w->cpu);
	touch(b, t->buckets, ((size_t)t->bucket_mask + 1) * sizeof(*t->buckets));
	touch_index(b, &w->lane->pool.mapping_index);
	touch_index(b, &w->lane->nexthops.index);
}

static void *beside_main(void *arg)
{
	struct xe_beside *b = arg;
	const struct xe_service *svc = b->svc;
	uint32_t flows = xe_state_dir_read(b->svc);

	sem_post(&b->read);
	wait_for(&b->lanes);
	touch(b, svc->area.base, svc->area.size); /* where it is to be: NUMA is in its policy */
	for (uint32_t w = 0; w < svc->worker_cnt && flows >= MANY_FLOWS; w++)
		touch_tables(b, &svc->workers[w]);
	return NULL;
}

void xe_beside_begin(struct xe_service *svc)
{
	struct xe_beside *b = calloc(1, sizeof(*b));

	if (!b)
		return;
	b->svc = svc;
	sem_init(&b->read, 0, 0);
	sem_init(&b->lanes, 0, 0);
	if (pthread_create(&b->thread, NULL, beside_main, b)) {
		sem_destroy(&b->read);
		sem_destroy(&b->lanes);
		free(b);
		return; /* all is done one after the other */
	}
	pthread_setname_np(b->thread, "xe-beside");
	svc->beside = b;
}

void xe_beside_lanes(struct xe_service *svc)
{
	if (svc->beside)
		sem_post(&svc->beside->lanes);
}

void xe_beside_have_read(struct xe_service *svc)
{
	if (svc->beside)
		wait_for(&svc->beside->read);
	else
		xe_state_dir_read(svc);
}

void xe_beside_end(struct xe_service *svc)
{
	struct xe_beside *b = svc->beside;

	if (!b)
		return;
	atomic_store(&b->ends, true);
	sem_post(&b->lanes);
	pthread_join(b->thread, NULL);
	sem_destroy(&b->read);
	sem_destroy(&b->lanes);
	free(b);
	svc->beside = NULL;
}
