/* What the tests of the C face run: `program agent` under an agent, `program none` without. Valid C99 and C++17. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "backsight.h"
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition)                                                             \
    do {                                                                             \
        if (!(condition)) {                                                          \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);          \
            exit(1);                                                                 \
        }                                                                            \
    } while (0)

static bks_name name_span = BKS_NAME("charge card");
static bks_name name_key = BKS_NAME("amount");
static bks_name name_value = BKS_NAME("eur");
static bks_name name_event = BKS_NAME("declined");
static int recording;

static bks_context context_of(uint64_t hi, uint64_t lo) {
    bks_context context;
    memset(&context, 0, sizeof context);
    context.trace.hi = hi;
    context.trace.lo = lo;
    return context;
}

static void every_call(void) {
    static char large[100000];
    const char unclean[] = {'a', (char)0xff, 'b'};
    bks_context context = context_of(1, 1), other, none;
    bks_trace_id lateral = {9, 9};
    bks_reservation room;
    errno = 77;
    CHECK(bks_begin(&context) == recording);
    CHECK(bks_begin(&context) == 0);
    bks_span span = bks_span_start(&name_span, BKS_SPAN_SERVER);
    CHECK((span.id != 0) == recording);
    bks_attr_bool(&name_key, 1);
    bks_attr_i64(&name_key, -5);
    bks_attr_f64(&name_key, 0.5);
    bks_attr_str(&name_key, "text", 4);
    bks_attr_str(&name_key, unclean, sizeof unclean);
    bks_attr_istr(&name_key, &name_value);
    CHECK((bks_intern(&name_event) != 0) == recording);
    bks_event(&name_event, "no funds", 8);
    bks_event(&name_event, NULL, 0);
    BKS_EVENT(shop, refused, "why", 3);
    bks_named(&name_event, "named", 5);
    bks_named_at(BKS_LEVEL_ALWAYS, &name_event, "always", 6);
    bks_exception(&name_event, unclean, sizeof unclean);
    bks_rename(&name_value);
    CHECK(bks_current(&other) == recording);
    if (recording) CHECK(other.trace.lo == 1 && other.span == span.id);
    other = context_of(7, 7);
    bks_link(&other);
    bks_status(BKS_STATUS_ERROR, "declined", 8);
    bks_raw("0123456789abcdef0123456789abcdef", 32);
    bks_raw("x", 1);
    bks_raw(large, sizeof large);
    room = bks_reserve(100);
    CHECK((room.data != NULL) == recording);
    if (recording) {
        CHECK(room.bytes == 100);
        memset(room.data, 'r', 50);
        CHECK(bks_commit(&room, 50) == 1);
        CHECK(bks_commit(&room, 50) == 0);
        room = bks_reserve(100);
        bks_raw("between", 7);
        CHECK(bks_commit(&room, 100) == 0);
    }
    CHECK(bks_trigger(BKS_TRIGGER_MANUAL) == recording);
    CHECK(bks_trigger_for(BKS_TRIGGER_MANUAL, &other.trace, &lateral, 1) == recording);
    bks_span_end(&span);
    CHECK(bks_detach(&other) == recording);
    CHECK(bks_detach(&none) == 0);
    if (recording) CHECK(other.trace.lo == 1);
    CHECK(bks_attach(&other) == recording);
    CHECK(bks_current(NULL) == recording);
    CHECK(bks_switch(NULL, &other) == 0);
    CHECK(bks_current(&none) == 0);
    CHECK(bks_switch(&other, &none) == recording);
    CHECK(none.trace.lo == 0);
    bks_end();
    bks_end();
    CHECK(errno == 77);
    bks_begin(NULL);
    bks_raw(NULL, 0);
    bks_event(NULL, NULL, 0);
    bks_named(NULL, NULL, 0);
    bks_exception(NULL, NULL, 0);
    bks_rename(NULL);
    bks_span_end(NULL);
    bks_link(NULL);
    bks_context_new(&context);
    bks_context_new(NULL);
}

/* Payloads that leave rests of all lengths at the ends of chunks: each is granted at least 512 bytes. */
static void reservations(void) {
    static const size_t wanted[3] = {700, 512, 3000};
    bks_context context = context_of(9, 1);
    int i;
    bks_begin(&context);
    for (i = 0; i < 300; i++) {
        const size_t want = wanted[i % 3];
        bks_reservation room = bks_reserve(want);
        CHECK((room.data != NULL) == recording);
        if (!recording) continue;
        CHECK(room.bytes >= 512 && room.bytes <= want);
        memset(room.data, 'r', room.bytes);
        CHECK(bks_commit(&room, room.bytes) == 1);
    }
    bks_end();
}

static void named_span(void) {
    bks_context context = context_of(1, 2);
    bks_begin(&context);
    BKS_SPAN_START(inner, shop, pay, BKS_SPAN_INTERNAL);
    BKS_SPAN_END(inner, shop, pay);
    bks_end();
}

#define PARENT "00-00000000000000030000000000000001-00f067aa0ba902b7-01"
#define STATE "a=1,bks=12:0000004.0000003,b=2"

/* A request comes in, three go out: one is answered, one is lost, one is refused by the peer's host. */
static void requests(int linked) {
    static bks_connection peer;
    char crumb[BKS_RESPONSE_CRUMB_BYTES] = "x";
    bks_incoming request;
    bks_outgoing out, lost, refused;
    CHECK(bks_extract(PARENT, sizeof PARENT - 1, STATE, sizeof STATE - 1, &request) == linked);
    CHECK((request.context.trace.hi == 3) == linked && (request.context.from_agent == 4) == linked);
    CHECK((request.context.older_agents[0] == 3) == linked && (request.tracestate != NULL) == linked);
    CHECK(bks_begin(&request.context) == recording);
    bks_span span = bks_span_start(&name_span, BKS_SPAN_CLIENT);
    CHECK(bks_inject(&request, &peer, &out) == linked);
    CHECK(strncmp(out.traceparent, PARENT, 35) == 0 || !linked);
    CHECK(strcmp(out.tracestate, recording ? "bks=12:0000005.0000004.0000003,a=1,b=2" : linked ? "bks=12:0000004.0000003,a=1,b=2" : "") == 0);
    CHECK(out.tracestate_bytes == strlen(out.tracestate));
    CHECK((out.call.span == span.id) == recording || !recording);
    CHECK(bks_response_crumb(crumb) == (recording ? 7 : 0) && strcmp(crumb, recording ? "0000005" : "") == 0);
    bks_crumb(&out.call, "0000009f", 8, &peer);
    CHECK((peer == 9) == linked);
    CHECK(bks_inject(&request, &peer, &lost) == linked);
    CHECK((strncmp(lost.tracestate, "bks=13:", 7) == 0) == recording); /* it has fired at the callee */
    CHECK(bks_response_crumb(crumb) == (recording ? 16 : 0) && strcmp(crumb, recording ? "0000005.0000009f" : "") == 0);
    CHECK(bks_inject(&request, &peer, &refused) == linked);
    bks_unsent(&refused.call);
    CHECK((peer == 9) == linked); /* nothing was learnt of the peer */
    bks_span_end(&span);
    bks_end();
    CHECK(bks_extract("nonsense", 8, STATE, sizeof STATE - 1, &request) == 0);
    CHECK((request.context.trace.lo != 0) == linked && request.tracestate == NULL);
    CHECK(bks_extract(NULL, 0, NULL, 0, NULL) == 0);
    CHECK(bks_inject(NULL, NULL, &out) == 0 && out.traceparent[0] == 0 && out.tracestate[0] == 0);
    CHECK(bks_inject(NULL, NULL, NULL) == 0);
    bks_crumb(NULL, NULL, 0, NULL);
    bks_unsent(NULL);
    bks_crumb(&lost.call, NULL, 0, NULL); /* outside its segment: told by the ring */
    CHECK(bks_response_crumb(NULL) == 0);
}

static void autotriggers(int linked) {
    char why[200] = "";
    static bks_auto_percentile *latency;
    static bks_auto_category *api;
    int i, fired = 0;
    latency = bks_auto_percentile_new("c latency", 0.99, why, sizeof why);
    api = bks_auto_category_new("c api", 0.01, NULL, 0);
    CHECK((latency != NULL) == linked && (api != NULL) == linked);
    for (i = 0; i < 10000; i++) fired += bks_auto_percentile_sample(latency, (uint64_t)(i * 7919 % 10007));
    CHECK(linked ? fired > 30 && fired < 300 : fired == 0);
    for (i = 0; i < 10000; i++) CHECK(bks_auto_category_sample(api, "get", 3) == 0);
    CHECK(bks_auto_category_sample(api, "delete", 6) == linked);
    CHECK(bks_auto_percentile_new("c high", 2.0, why, sizeof why) == NULL);
    if (linked) CHECK(strstr(why, "percentile is 2") != NULL);
    CHECK((bks_trigger_id("c api") != 0) == linked);
    CHECK((bks_trigger_id("c slow") != 0) == linked);
    CHECK(bks_trigger_id(NULL) == 0 && bks_trigger_id("") == 0 && bks_trigger_id("manual") == 0);
}

static void conditions(int linked) {
    static bks_auto_condition slow_or_rare[2] = {{BKS_AUTO_PERCENTILE, 0, 0.99, NULL}, {BKS_AUTO_CATEGORY, 0, 0.01, NULL}};
    static bks_auto_condition parts[2] = {{BKS_AUTO_BAD, 0, 0, NULL}, {BKS_AUTO_ANY_OF, 2, 0, slow_or_rare}};
    const bks_auto_condition whole = {BKS_AUTO_ALL_OF, 2, 0, parts};
    const bks_auto_condition odd = {99, 0, 0, NULL}, empty = {BKS_AUTO_ALL_OF, 2, 0, NULL};
    bks_auto_condition endless = {BKS_AUTO_ANY_OF, 1, 0, NULL};
    bks_auto_sample sample = {0, "get", 3, 0, 0}, other = {0, "delete", 6, 1, 0};
    bks_context context = context_of(8, 1);
    char why[200] = "";
    int i, burnt = 0;
    static bks_auto_queue *queue;
    static bks_auto_burn *burn;
    static bks_auto_rate *rate;
    static bks_auto_set *set;
    queue = bks_auto_queue_new("c queue", 0.99, 32, why, sizeof why);
    burn = bks_auto_burn_new("c burn", 0.001, why, sizeof why);
    rate = bks_auto_rate_new("c rate", 1e6, why, sizeof why);
    set = bks_auto_set_new("c set", &whole, 2, why, sizeof why);
    CHECK((queue != NULL) == linked && (burn != NULL) == linked && (rate != NULL) == linked && (set != NULL) == linked);
    for (i = 0; i < 5000; i++) {
        CHECK(bks_auto_queue_sample(queue, 1) == 0);
        CHECK(bks_auto_rate_sample(rate) == 0);
        CHECK(bks_auto_set_sample(set, &sample) == 0);
        burnt += bks_auto_burn_sample(burn, i % 2);
    }
    CHECK(linked ? burnt > 2000 && burnt <= 2500 : burnt == 0);
    bks_begin(&context);
    CHECK(bks_auto_queue_sample(queue, 1000) == linked);
    CHECK(bks_auto_set_sample(set, &other) == linked); /* bad, and rare */
    bks_end();
    endless.members = &endless;
    CHECK(bks_auto_set_new("c odd", &odd, 0, why, sizeof why) == NULL);
    if (linked) CHECK(strstr(why, "kind of condition is 99") != NULL);
    CHECK(bks_auto_set_new("c empty", &empty, 0, why, sizeof why) == NULL);
    CHECK(bks_auto_set_new("c none", NULL, 0, why, sizeof why) == NULL);
    CHECK(bks_auto_set_new("c endless", &endless, 0, why, sizeof why) == NULL);
    if (linked) CHECK(strstr(why, "number of conditions is 17") != NULL);
    CHECK(bks_auto_queue_new("c long", 0.99, 33, why, sizeof why) == NULL);
    if (linked) CHECK(strstr(why, "number of laterals is 33") != NULL);
    CHECK(bks_auto_burn_new("c spent", 0.07, NULL, 0) == NULL && bks_auto_rate_new("c never", 0, NULL, 0) == NULL);
    CHECK(bks_auto_set_sample(set, NULL) == 0 && bks_auto_set_sample(NULL, &sample) == 0);
    CHECK(bks_auto_queue_sample(NULL, 1) == 0 && bks_auto_burn_sample(NULL, 1) == 0 && bks_auto_rate_sample(NULL) == 0);
}

static void *thread_work(void *number) {
    bks_context context = context_of(2, (uint64_t)(uintptr_t)number);
    int i;
    bks_begin(&context);
    for (i = 0; i < 1000; i++) bks_raw(&i, sizeof i);
    if ((uintptr_t)number == 1) bks_end(); /* the other leaves its segment to the thread's end */
    return NULL;
}

static void threads(void) {
    pthread_t ids[2];
    uintptr_t i;
    for (i = 0; i < 2; i++) CHECK(pthread_create(&ids[i], NULL, thread_work, (void *)(i + 1)) == 0);
    for (i = 0; i < 2; i++) CHECK(pthread_join(ids[i], NULL) == 0);
}

static volatile sig_atomic_t handled;

static void on_tick(int number) {
    (void)number;
    handled = handled + 1;
    bks_raw("from the handler", 16);
}

/* Raises SIGALRM after `first_us`, then every `every_us`; 0 for never. */
static void start_ticks(void (*handler)(int), long first_us, long every_us) {
    struct sigaction action;
    struct itimerval timer;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    timer.it_interval.tv_sec = timer.it_value.tv_sec = 0;
    timer.it_value.tv_usec = first_us;
    timer.it_interval.tv_usec = every_us;
    CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
}

static void handlers(void) {
    bks_context context = context_of(4, 4);
    long i;
    bks_begin(&context);
    start_ticks(on_tick, 100, 100);
    for (i = 0; handled < 200; i++) {
        if (i % 64 == 0) bks_raw(&i, sizeof i);
        if (i % 4096 == 0) bks_event(&name_event, "tick", 4);
    }
    start_ticks(on_tick, 0, 0);
    bks_end();
}

static sigjmp_buf jump;

static void on_jump(int number) {
    (void)number;
    siglongjmp(jump, 1);
}

/* A write that a handler abandons: the same function goes on writing, inlined and through the library. */
static void longjmps(void) {
    bks_context context = context_of(5, 5);
    volatile int jumps = 0;
    bks_begin(&context);
    if (sigsetjmp(jump, 1) != 0) jumps = jumps + 1;
    bks_raw("after the jump", 14);
    bks_attr_i64(&name_key, jumps);
    if (jumps < 20) {
        start_ticks(on_jump, 200, 0);
        for (;;) bks_raw("endless", 7);
    }
    bks_end();
    CHECK(bks_begin(&context) == recording);
    bks_raw("the end", 7);
    bks_end();
}

static void forks(void) {
    bks_context context = context_of(6, 6), child = context_of(6, 7);
    bks_begin(&context);
    bks_raw("parent before", 13);
    const pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        bks_raw("unseen: the child has no segment", 32);
        /* A loaded machine's agent may need more than the 2 ms of the first attempt; the next comes a second later. */
        int tries = 0;
        while (bks_begin(&child) != recording && tries < 100) {
            usleep(100000);
            tries++;
        }
        CHECK(tries < 100);
        bks_raw("child", 5);
        bks_event(&name_event, "in the child", 12);
        bks_end();
        exit(0);
    }
    int status = 1;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    bks_raw("parent after", 12);
    bks_end();
}

int main(int argc, char **argv) {
    const int linked = bks_abi_version() != 0;
    struct bks_stats stats;
    struct bks_settings no_size = {0, "/nowhere", NULL};
    int missing = bks_init(NULL), tries;
    recording = argc > 1 && strcmp(argv[1], "agent") == 0;
    /* A loaded machine's agent may need longer than the first attempt waits; the next comes a second later. */
    for (tries = 0; recording && missing != 0 && tries < 100; tries++) {
        usleep(100000);
        missing = bks_init(NULL);
    }
    bks_leave_last_words();
    CHECK(linked == 0 || bks_abi_version() == BKS_ABI_VERSION);
    CHECK((missing == 0) == recording);
    every_call();
    reservations();
    named_span();
    requests(linked);
    autotriggers(linked);
    conditions(linked);
    threads();
    handlers();
    longjmps();
    forks();
    if (linked) CHECK(bks_init(&no_size) == BKS_MISSING_SETTINGS);
    memset(&stats, 0, sizeof stats);
    CHECK(bks_stats(&stats) == -1 && bks_stats(NULL) == -1);
    stats.size = sizeof stats;
    CHECK(bks_stats(&stats) == 0);
    CHECK((stats.missing == 0) == recording && (stats.why[0] == 0) == recording);
    bks_goodbye();
    printf("missing=%d reentrant=%llu no_chunk=%llu %s\n", (int)stats.missing, (unsigned long long)stats.drops[4],
           (unsigned long long)stats.drops[1], stats.why);
    return 0;
}
