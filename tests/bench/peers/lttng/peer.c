/*
 * The LTTng-UST peer: records events on request and prints what they cost in CPU time per thread.
 *
 * Started by tests/src/peers/lttng.rs under a session daemon of its own, with every event of the provider enabled in a snapshot session.
 * Reads one command per line, `event BYTES THREADS N` or `visit EVENTS THREADS N`, and answers each with one line of JSON. It stays
 * alive between rounds, so a round costs no start-up and no registration.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LTTNG_UST_TRACEPOINT_CREATE_PROBES
#define LTTNG_UST_TRACEPOINT_DEFINE
#include "events.h"

enum { MAX_THREADS = 256, MAX_PAYLOAD = 2048 };

/* `arg` is the number of events of a visit; events ignore it. */
typedef void (*loop_fn)(uint64_t n, uint64_t arg, const uint8_t *payload);

#define DEFINE_EVENT_LOOP(bytes)                                                                   \
	static void event_loop_##bytes(uint64_t n, uint64_t arg, const uint8_t *payload)           \
	{                                                                                          \
		(void) arg;                                                                        \
		for (uint64_t i = 0; i < n; i++)                                                   \
			lttng_ust_tracepoint(bks_peer, event_##bytes, i, payload);                 \
	}

DEFINE_EVENT_LOOP(8)
DEFINE_EVENT_LOOP(32)
DEFINE_EVENT_LOOP(128)
DEFINE_EVENT_LOOP(512)
DEFINE_EVENT_LOOP(2048)

static void visit_loop(uint64_t n, uint64_t n_events, const uint8_t *payload)
{
	for (uint64_t i = 0; i < n; i++) {
		lttng_ust_tracepoint(bks_peer, visit_begin, ~i, i);
		for (uint64_t k = 0; k < n_events; k++)
			lttng_ust_tracepoint(bks_peer, event_32, k, payload);
		lttng_ust_tracepoint(bks_peer, visit_end, i);
	}
}

static loop_fn event_loop(uint64_t bytes)
{
	switch (bytes) {
	case 8: return event_loop_8;
	case 32: return event_loop_32;
	case 128: return event_loop_128;
	case 512: return event_loop_512;
	case 2048: return event_loop_2048;
	default: return NULL;
	}
}

struct job {
	loop_fn loop;
	uint64_t n;
	uint64_t arg;
	pthread_barrier_t *ready;
	double cpu_ns;
};

static double thread_cpu_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double) now.tv_sec * 1e9 + (double) now.tv_nsec;
}

static void *run(void *data)
{
	struct job *job = data;
	uint8_t payload[MAX_PAYLOAD];
	memset(payload, 0x5a, sizeof(payload));
	job->loop(job->n / 8 + 1, job->arg, payload);
	pthread_barrier_wait(job->ready);
	double start = thread_cpu_ns();
	job->loop(job->n, job->arg, payload);
	job->cpu_ns = (thread_cpu_ns() - start) / (double) job->n;
	return NULL;
}

/* Returns the mean CPU nanoseconds per operation over the threads; exits when a thread cannot be started. */
static double measure(struct job template, unsigned n_threads)
{
	pthread_t threads[MAX_THREADS];
	struct job jobs[MAX_THREADS];
	pthread_barrier_t ready;
	pthread_barrier_init(&ready, NULL, n_threads);
	template.ready = &ready;
	for (unsigned i = 0; i < n_threads; i++) {
		jobs[i] = template;
		if (pthread_create(&threads[i], NULL, run, &jobs[i]) != 0) {
			perror("pthread_create");
			exit(1);
		}
	}
	double sum = 0;
	for (unsigned i = 0; i < n_threads; i++) {
		pthread_join(threads[i], NULL);
		sum += jobs[i].cpu_ns;
	}
	pthread_barrier_destroy(&ready);
	return sum / n_threads;
}

int main(void)
{
	int enabled = lttng_ust_tracepoint_enabled(bks_peer, event_32) && lttng_ust_tracepoint_enabled(bks_peer, visit_end);
	printf("{\"enabled\": %s}\n", enabled ? "true" : "false");
	fflush(stdout);

	char line[128], op[16];
	uint64_t arg, n;
	unsigned n_threads;
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "%15s %" SCNu64 " %u %" SCNu64, op, &arg, &n_threads, &n) != 4 || n == 0 || n_threads == 0 ||
		    n_threads > MAX_THREADS) {
			fprintf(stderr, "not a command: %s", line);
			return 2;
		}
		struct job job = {.loop = strcmp(op, "visit") == 0 ? visit_loop : event_loop(arg), .n = n, .arg = arg};
		if (!job.loop) {
			fprintf(stderr, "no event of %" PRIu64 " B\n", arg);
			return 2;
		}
		printf("{\"cpu_ns\": %.3f}\n", measure(job, n_threads));
		fflush(stdout);
	}
	return 0;
}
