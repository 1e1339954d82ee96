/*
 * The load of rec-lttng under LTTng-UST: threads that serve requests at a rate, one of which is slow when it is asked for.
 *
 * Started by tests/src/slow/lttng.rs as `program THREADS REQUESTS_PER_S EVENTS SLOW_MS`, under a session daemon of its own. It is what
 * tests/src/slow/load.rs is for Backsight; whoever changes one changes the other. For each line that it reads it makes one request of its
 * first thread slow, and once that has ended prints its id and the time of its end, in nanoseconds of the monotonic clock.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define LTTNG_UST_TRACEPOINT_CREATE_PROBES
#define LTTNG_UST_TRACEPOINT_DEFINE
#include "events.h"

enum { MAX_THREADS = 64, STEP_US = 1000 };

static unsigned n_threads, n_events;
static double requests_per_s;
static uint64_t slow_ns;
static atomic_uint n_asked;

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t) now.tv_sec * 1000000000u + (uint64_t) now.tv_nsec;
}

static void sleep_ns(uint64_t ns)
{
	struct timespec span = {.tv_sec = (time_t) (ns / 1000000000u), .tv_nsec = (long) (ns % 1000000000u)};
	nanosleep(&span, NULL);
}

/* SplitMix64, as in tests/src/bench/stats.rs: words that no compression makes smaller. */
static uint64_t next_word(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* Serves one request; a slow one waits half-way. */
static void serve(uint64_t id, uint64_t wait_ns)
{
	lttng_ust_tracepoint(bks_peer, request_begin, id);
	for (unsigned k = 0; k < n_events; k++) {
		if (wait_ns > 0 && k == n_events / 2)
			sleep_ns(wait_ns);
		uint64_t state = id << 16 | (uint64_t) k << 8, payload[4];
		for (unsigned i = 0; i < 4; i++)
			payload[i] = next_word(&state);
		lttng_ust_tracepoint(bks_peer, request_event, id, payload);
	}
	lttng_ust_tracepoint(bks_peer, request_end, id);
}

static void *work(void *data)
{
	const uint64_t idx = (uint64_t) (uintptr_t) data;
	const uint64_t start = now_ns();
	uint64_t n_served = 0;
	unsigned n_slow = 0;
	for (;;) {
		const double elapsed_s = (double) (now_ns() - start) / 1e9;
		const uint64_t n_due = (uint64_t) (elapsed_s * requests_per_s / n_threads);
		while (n_served < n_due) {
			const uint64_t id = n_served * n_threads + idx + 1;
			const int is_slow = idx == 0 && n_slow != atomic_load(&n_asked);
			serve(id, is_slow ? slow_ns : 0);
			if (is_slow) {
				n_slow++;
				printf("{\"id\": %" PRIu64 ", \"at_ns\": %" PRIu64 "}\n", id, now_ns());
				fflush(stdout);
			}
			n_served++;
		}
		sleep_ns(STEP_US * 1000u);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	if (argc != 5)
		return 2;
	n_threads = (unsigned) atoi(argv[1]);
	requests_per_s = atof(argv[2]);
	n_events = (unsigned) atoi(argv[3]);
	slow_ns = (uint64_t) atoi(argv[4]) * 1000000u;
	if (n_threads == 0 || n_threads > MAX_THREADS || requests_per_s <= 0)
		return 2;
	int enabled = lttng_ust_tracepoint_enabled(bks_peer, request_event);
	printf("{\"enabled\": %s}\n", enabled ? "true" : "false");
	fflush(stdout);

	for (unsigned i = 0; i < n_threads; i++) {
		pthread_t thread;
		if (pthread_create(&thread, NULL, work, (void *) (uintptr_t) i) != 0) {
			perror("pthread_create");
			return 1;
		}
	}
	char line[32];
	while (fgets(line, sizeof(line), stdin))
		atomic_fetch_add(&n_asked, 1);
	return 0;
}
