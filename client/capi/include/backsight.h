/* backsight.h: records every request of a program, at nanosecond cost, in shared memory on its own host.
 *
 * C99 and C++17; gcc and clang; Linux. The contract, with the layout behind the inlined part, is docs/spec/c-abi.md.
 *
 *     static bks_name charge = BKS_NAME("charge card");
 *     static bks_name amount = BKS_NAME("amount.cents");
 *
 *     bks_context context;
 *     bks_context_new(&context);                   // or what the request brought along
 *     bks_begin(&context);
 *     bks_span span = bks_span_start(&charge, BKS_SPAN_INTERNAL);
 *     bks_attr_i64(&amount, 1999);
 *     if (declined) bks_trigger(BKS_TRIGGER_MANUAL);  // this request was worth keeping
 *     bks_span_end(&span);
 *     bks_end();
 *
 * - Units: sizes are bytes, times are nanoseconds where they are not ticks of the record clock.
 * - Errors: no call fails in a way that a program must handle. Without an agent on the host every call does nothing, and bks_stats says
 *   why; what is given up is counted there by reason. Null pointers are no text and no payload; a null context begins nothing.
 * - Cost: no call allocates, locks, logs or waits, but for bks_init and the first call of a process (at most 20 ms; without an agent once a
 *   second, if one hangs), the first of a thread (which glibc may allocate for), bks_stats, bks_trigger_id and the bks_auto_*_new. Bytes
 *   below are those of the log; `cargo xtask bench rec-micro` measures the same paths in time.
 * - Threads: each call concerns the calling thread; triggers and names may be shared. Signal handlers may call everything but bks_init,
 *   bks_stats, bks_trigger_id and the *_new, on threads that have called something before; one that interrupts a write is refused and
 *   counted. After fork the child records into a session of its own.
 * - Linking: the library's symbols are weak here, so a program that is not linked with it runs and records nothing. Link with
 *   `-Wl,--no-as-needed -lbacksight` (weak references alone do not keep a library), or define BKS_STRONG before including this
 *   header and link with `-lbacksight`.
 *
 * The calls below are macros around inline functions; (bks_raw)(p, n) or dlsym reach the library's own.
 */
#ifndef BACKSIGHT_H
#define BACKSIGHT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* major << 16 | minor of what this header was written for. */
#define BKS_ABI_VERSION 0x00010006u

#if defined(BKS_STRONG)
#define BKS_API_
#define BKS_HAS_(function) 1
#else
#define BKS_API_ __attribute__((weak))
#define BKS_HAS_(function) ((function) != 0)
#endif
#define BKS_INLINE_ static inline __attribute__((always_inline, unused))
#define BKS_UNLIKELY_(condition) __builtin_expect(!!(condition), 0)
#if defined(__cplusplus)
#define BKS_ASSERT_(name, condition) static_assert(condition, #name)
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define BKS_ASSERT_(name, condition) _Static_assert(condition, #name)
#else
#define BKS_ASSERT_(name, condition) typedef char bks_assert_##name[(condition) ? 1 : -1] __attribute__((unused))
#endif

/* ---- types ------------------------------------------------------------------------------------------------------------------------ */

/* A trace's 128-bit id; zero is no trace. In W3C Trace Context `hi` is the left half. */
typedef struct bks_trace_id {
    uint64_t hi;
    uint64_t lo;
} bks_trace_id;

/* What a request carries; plain data, to be copied freely. Zeroed, it records nothing. */
typedef struct bks_context {
    bks_trace_id trace;
    uint64_t span;        /* the span under which new spans hang, 0 for none */
    uint64_t parent_span; /* the span that caused the segment, 0 for none */
    uint32_t from_agent;  /* the agent of the host that the request came from, 0 for none */
    uint32_t flags;       /* set by the library; 0 in a new one */
    uint32_t api;         /* the API that the request calls, for kernel probes; 0 for none */
    uint32_t older_agents[3]; /* the agents before `from_agent`, newest first, 0 for none */
    uint32_t triggers[2];     /* the first triggers that fired for the trace, 0 for none */
    uint32_t beyond[2];       /* the agents that the visit's calls led to, nearest first, 0 for none */
} bks_context;

/* What is remembered of a peer: the agent that its last answer came from. One for each connection or peer address, 0 at first; threads may
 * share it. Only the library writes it. */
typedef uint32_t bks_connection;

/* What a request brought along: bks_extract. */
typedef struct bks_incoming {
    bks_context context;       /* for bks_begin */
    const char *tracestate;    /* inside what was given to bks_extract; or your own copy; NULL for none */
    uint64_t tracestate_bytes;
} bks_incoming;

/* A call that went out; plain data, to be kept until its answer comes. */
typedef struct bks_call {
    bks_trace_id trace;
    uint64_t span;
    uint64_t is_recorded;
} bks_call;

/* The headers of a request that goes out: bks_inject. */
typedef struct bks_outgoing {
    bks_call call;
    uint32_t tracestate_bytes; /* 0: do not set the header */
    uint32_t reserved;
    char traceparent[56]; /* with a NUL; empty without a trace */
    char tracestate[520]; /* with a NUL */
} bks_outgoing;

/* A name of spans, events, attributes: static, made by BKS_NAME, interned at its first use. */
typedef struct bks_name {
    const char *text; /* UTF-8 */
    uint64_t bytes;
    uint64_t cached; /* the library's */
} bks_name;

#define BKS_NAME(literal) { literal, sizeof(literal) - 1, 0 }

/* An open span. */
typedef struct bks_span {
    bks_trace_id trace;
    uint64_t id; /* 0 where nothing is recorded */
    uint64_t outer;
} bks_span;

enum { BKS_SPAN_INTERNAL = 1, BKS_SPAN_SERVER = 2, BKS_SPAN_CLIENT = 3, BKS_SPAN_PRODUCER = 4, BKS_SPAN_CONSUMER = 5 };
enum { BKS_STATUS_UNSET = 0, BKS_STATUS_OK = 1, BKS_STATUS_ERROR = 2 };
/* How much of a detail an event, an attribute or a payload is. Where the host cannot look back far enough, what is verbose is left out first,
 * then what is debug, then what is normal, of the same traces on every host. Other numbers mean normal. */
enum { BKS_LEVEL_ALWAYS = 0, BKS_LEVEL_NORMAL = 1, BKS_LEVEL_DEBUG = 2, BKS_LEVEL_VERBOSE = 3 };
/* Triggers that need no name. */
enum { BKS_TRIGGER_MANUAL = 3 };
/* Why there is no session. */
enum {
    BKS_MISSING_NOT_TRIED = 1, /* no trace call has happened yet */
    BKS_MISSING_DISABLED = 2,  /* BACKSIGHT_DISABLE is set */
    BKS_MISSING_NO_AGENT = 3,  /* the agent's socket does not answer */
    BKS_MISSING_REFUSED = 4,   /* the agent said no */
    BKS_MISSING_ABI = 5,       /* the agent has another major version of the shared memory; bks_stats names both */
    BKS_MISSING_NO_MEMORY = 6, /* the region could not be mapped */
    BKS_MISSING_PROTOCOL = 7,  /* what answered is no agent */
    BKS_MISSING_TIMEOUT = 8,   /* the agent took too long */
    BKS_MISSING_LIBRARY = 9,   /* the program is not linked with libbacksight */
    BKS_MISSING_SETTINGS = 10  /* bks_init came too late, or again: other settings are in force */
};

/* What a program may say instead of the environment (BACKSIGHT_SOCKET, BACKSIGHT_SERVICE). */
struct bks_settings {
    uint64_t size;       /* sizeof(struct bks_settings) */
    const char *socket;  /* the agent's socket; NULL: environment, else /run/backsight/agent.sock */
    const char *service; /* the service's name; NULL: environment, else the executable's name */
};

/* How this process's recording stands. */
struct bks_stats {
    uint64_t size;      /* set to sizeof(struct bks_stats) before the call */
    uint64_t region;
    uint64_t drops[16]; /* by reason: 1 no_chunk, 2 no_trace, 4 reentrant, 5 thread_slots, 6 signal_full, 7 string_table,
                           8 too_long, 10 priority: visits left out, as the host cannot look back far enough; of the
                           threads that there are, so that it gets less when one ends */
    uint32_t agent;
    int32_t missing;    /* 0 with a session, else BKS_MISSING_* */
    uint32_t recording; /* whether the agent wants records */
    uint32_t threads;   /* threads that record */
    char why[256];      /* `missing` in words; empty with a session */
};

/* Room for a payload inside the log: see bks_reserve. */
typedef struct bks_reservation {
    void *data;   /* NULL where nothing is recorded */
    size_t bytes; /* may be fewer than asked for */
    uint64_t at_;
    uintptr_t frame_;
    uint32_t dt_;
} bks_reservation;

typedef struct bks_auto_percentile bks_auto_percentile;
typedef struct bks_auto_category bks_auto_category;
typedef struct bks_auto_queue bks_auto_queue;
typedef struct bks_auto_burn bks_auto_burn;
typedef struct bks_auto_rate bks_auto_rate;
typedef struct bks_auto_set bks_auto_set;

/* Kinds of conditions. */
enum {
    BKS_AUTO_PERCENTILE = 1, /* values in the top 1 - parameter of late */
    BKS_AUTO_CATEGORY = 2,   /* labels whose share of late is at most the parameter */
    BKS_AUTO_BURN = 3,       /* any request while the error budget `parameter` burns too fast */
    BKS_AUTO_RATE = 4,       /* any request while more than `parameter` come in a second */
    BKS_AUTO_BAD = 5,        /* bad requests */
    BKS_AUTO_ALL_OF = 6,     /* what each of the members holds for */
    BKS_AUTO_ANY_OF = 7      /* what at least one of the members holds for */
};

/* What decides about a request: at most 16 conditions, compositions included. Read when a trigger is made, and not kept. */
typedef struct bks_auto_condition {
    uint32_t kind;      /* BKS_AUTO_* */
    uint32_t n_members; /* of a composition */
    double parameter;   /* of any other, as in the bks_auto_*_new of its name */
    const struct bks_auto_condition *members;
} bks_auto_condition;

/* What one request shows. Each condition looks at its part; the others may be 0. */
typedef struct bks_auto_sample {
    uint64_t value;    /* for percentiles */
    const char *label; /* UTF-8, for categories */
    uint64_t label_bytes;
    int32_t bad; /* whether it failed what was promised, for burn rates */
    uint32_t reserved;
} bks_auto_sample;

/* The calling thread's writer: the library's. Only the inlined part below reads it; docs/spec/c-abi.md section 2. */
struct bks_block_ {
    uintptr_t busy;
    uint32_t clock;
    uint32_t epoch;
    unsigned char *base;
    uint64_t region_bytes;
    uint64_t cursor;
    uint64_t limit;
    uint64_t base_ticks;
    uint64_t head;
    uint64_t head_bias;
    uint64_t last_span;
    uint64_t detail_priority;
    uint64_t private_[2];
    bks_trace_id trace;
    uint64_t parent_span;
    uint64_t span;
};

BKS_ASSERT_(trace_id, sizeof(bks_trace_id) == 16);
BKS_ASSERT_(context, sizeof(bks_context) == 72);
BKS_ASSERT_(incoming, sizeof(bks_incoming) == 88);
BKS_ASSERT_(call, sizeof(bks_call) == 32);
BKS_ASSERT_(outgoing, sizeof(bks_outgoing) == 616);
BKS_ASSERT_(span, sizeof(bks_span) == 32);
BKS_ASSERT_(name, sizeof(bks_name) == 24);
BKS_ASSERT_(settings, sizeof(struct bks_settings) == 24);
BKS_ASSERT_(stats, sizeof(struct bks_stats) == 416);
BKS_ASSERT_(auto_condition, sizeof(bks_auto_condition) == 24);
BKS_ASSERT_(auto_sample, sizeof(bks_auto_sample) == 32);
BKS_ASSERT_(block_cursor, offsetof(struct bks_block_, cursor) == 32);
BKS_ASSERT_(block_span, offsetof(struct bks_block_, span) == 128);

/* ---- the process ------------------------------------------------------------------------------------------------------------------ */

/* Fixes the settings (NULL: all from the environment) and opens the session; the first bks_begin does the same.
 * Returns 0, or a BKS_MISSING_*: recording then starts by itself once there is an agent. At most 20 ms. */
BKS_API_ int bks_init(const struct bks_settings *settings);

/* Has the threads of this process leave last words when SIGSEGV, SIGBUS, SIGFPE, SIGILL or SIGABRT ends it: signal, address, instruction, the
 * request, and return addresses where frame pointers are kept. Whoever had these signals before is called afterwards. Once, at the start. */
BKS_API_ void bks_leave_last_words(void);

/* Says that this process ends well. Needed only where it ends by _exit, as programs in Go and workers of Python do; exit says it by itself. */
BKS_API_ void bks_goodbye(void);

/* Writes how recording stands to `out`, whose `size` is set. Returns 0, or -1 where that is null or too small. Allocates; reads all thread
 * slots: for people and health checks. */
BKS_API_ int bks_stats(struct bks_stats *out);

/* Returns the library's version, major << 16 | minor; 0 without the library. */
BKS_API_ uint32_t bks_abi_version(void);

/* ---- segments: what a thread works for -------------------------------------------------------------------------------------------- */

/* Writes the context of a new trace with a random id: for the first service that sees a request. */
BKS_API_ void bks_context_new(bks_context *out);

/* Makes the thread work for the request of `context`; another active trace is ended first. Returns 1 where that began something that
 * bks_end should end, 0 for the trace that is active already, for no trace and without a session. With bks_end 56 bytes. */
BKS_API_ int bks_begin(const bks_context *context);

/* Ends the active segment, if there is one. */
BKS_API_ void bks_end(void);

/* Ends the active segment and writes how it stands to `out`, for bks_attach on another thread or later. Returns 0, and writes nothing,
 * outside a segment. */
BKS_API_ int bks_detach(bks_context *out);

/* Writes how the active segment stands to `out`, and leaves it active: for a log line, or for another thread that works for the same request.
 * Returns 0, and writes nothing, outside a segment. */
BKS_API_ int bks_current(bks_context *out);

/* Makes the thread go on with a detached request, or begin with one as it came. Returns whether it does. Costs no byte of the log until
 * something is recorded, but for such a beginning. */
BKS_API_ int bks_attach(const bks_context *context);

/* bks_detach to `previous` (zeroed outside a segment) and bks_attach of `next`, either may be NULL: for schedulers of coroutines. Returns
 * whether the thread works for `next` now. Where a coroutine has a stack of its own and moves between threads, a function that switches must
 * make no other call of this header after it: compilers keep addresses of the thread's own memory over the switch (c-abi.md, 6). */
BKS_API_ int bks_switch(const bks_context *next, bks_context *previous);

/* ---- records: all belong to the innermost open span of the active segment -----------------------------------------------------------
 *
 * The calls that end in _at take a BKS_LEVEL_*; without it the level is BKS_LEVEL_NORMAL. Spans, links, exceptions and status are always recorded. */

/* Records `bytes` bytes that only the application understands, at most 1 MiB. Inlined; 8 bytes and the payload. */
BKS_API_ void bks_raw(const void *payload, size_t bytes);
BKS_API_ void bks_raw_at(int level, const void *payload, size_t bytes);

/* Records a payload with a name; 8 bytes more. */
BKS_API_ void bks_named(bks_name *name, const void *payload, size_t bytes);
BKS_API_ void bks_named_at(int level, bks_name *name, const void *payload, size_t bytes);

/* Records an event with a message, shown as UTF-8. Inlined; 16 bytes and the message, 8 more after another span. */
BKS_API_ void bks_event(bks_name *name, const void *message, size_t bytes);
BKS_API_ void bks_event_at(int level, bks_name *name, const void *message, size_t bytes);

/* Starts a span under the innermost open one; `kind` is a BKS_SPAN_*. 40 bytes and two clock reads with bks_span_end. */
BKS_API_ bks_span bks_span_start(bks_name *name, int kind);

/* Gives the innermost open span another name: what a request is for is often known late. */
BKS_API_ void bks_rename(bks_name *name);

/* Ends a span, on whichever thread works for its trace. Nothing happens where its trace is not active. */
BKS_API_ void bks_span_end(const bks_span *span);

/* Record an attribute: 24 bytes for a number; text is copied, and one that is not UTF-8 is recorded as bytes; `istr` interns the value. */
BKS_API_ void bks_attr_bool(bks_name *key, int value);
BKS_API_ void bks_attr_i64(bks_name *key, int64_t value);
BKS_API_ void bks_attr_f64(bks_name *key, double value);
BKS_API_ void bks_attr_str(bks_name *key, const char *value, size_t bytes);
BKS_API_ void bks_attr_istr(bks_name *key, bks_name *value);
BKS_API_ void bks_attr_bool_at(int level, bks_name *key, int value);
BKS_API_ void bks_attr_i64_at(int level, bks_name *key, int64_t value);
BKS_API_ void bks_attr_f64_at(int level, bks_name *key, double value);
BKS_API_ void bks_attr_str_at(int level, bks_name *key, const char *value, size_t bytes);
BKS_API_ void bks_attr_istr_at(int level, bks_name *key, bks_name *value);

/* Links the span to the trace and span of `to`. */
BKS_API_ void bks_link(const bks_context *to);

/* Records that an exception of type `type` was thrown, with its message, shown as UTF-8; always recorded. */
BKS_API_ void bks_exception(bks_name *type, const void *message, size_t bytes);

/* Says how the span ended: BKS_STATUS_*, and why. */
BKS_API_ void bks_status(int code, const char *text, size_t bytes);

/* Interns a name before its first use; returns its id, 0 without a session. */
BKS_API_ uint32_t bks_intern(bks_name *name);

/* ---- requests between hosts: docs/spec/wire.md ---------------------------------------------------------------------------------------- */

/* Reads the headers `traceparent` and `tracestate` of a request (NULL for none) to `out`. Returns 1 where it brought a trace, 0 where it begins
 * one: without a traceparent or with a malformed one, whose tracestate is then ignored. */
BKS_API_ int bks_extract(const char *traceparent, size_t traceparent_bytes, const char *tracestate, size_t tracestate_bytes,
                         bks_incoming *out);

/* Writes the headers of a request that the thread sends to `out`, and records that it goes out: an open edge until bks_crumb. It belongs to
 * the active segment and its innermost span; outside a segment and without an agent to `request`, which then passes on as it came. The other
 * vendors' members are those of `request` (NULL: none). `peer` may be NULL. Returns whether there is a trace. 24 bytes. */
BKS_API_ int bks_inject(const bks_incoming *request, bks_connection *peer, bks_outgoing *out);

/* Says that a call was answered; `header` is the response's header `backsight-crumb`, NULL where it has none. A call that failed in transport was
 * not answered: do not call this, but bks_unsent where that holds. 24 bytes. */
BKS_API_ void bks_crumb(const bks_call *call, const char *header, size_t bytes, bks_connection *peer);

/* Says that the request of a call never left: the name was not resolved, the connection refused, or the request given up while it waited for
 * one. Once a byte of it was written to a connection it may have been read, and this must not be called, whatever became of the connection:
 * the trace would be taken for complete. 24 bytes. */
BKS_API_ void bks_unsent(const bks_call *call);

/* Writes the value of header `backsight-crumb` for the response that the active segment ends with to `out`,
 * BKS_RESPONSE_CRUMB_BYTES with the NUL. Returns its length, 0 where the header is not to be set. */
#define BKS_RESPONSE_CRUMB_BYTES 25
BKS_API_ int bks_response_crumb(char *out);

/* ---- triggers: this trace was worth keeping ---------------------------------------------------------------------------------------- */

/* Returns the id of the trigger called `name` (UTF-8, 1 to 256 bytes, copied), which people then read wherever the trigger is shown; 0 where
 * the name hashes below 256 or to another name of this process, is that of a built-in trigger, reads as an id (0x...), holds control
 * characters, or is number 1025. Allocates: call it at start, before or after the session is open. The same name may come again. */
BKS_API_ uint32_t bks_trigger_id(const char *name);

/* Fires for the active trace. Returns whether anything took note: the agent, or the log where the signal ring is full. */
BKS_API_ int bks_trigger(uint32_t trigger);

/* Fires for `trace` (NULL: the active one); the `n_laterals` traces, at most 32, are collected with it. */
BKS_API_ int bks_trigger_for(uint32_t trigger, const bks_trace_id *trace, const bks_trace_id *laterals, size_t n_laterals);

/* Makes a trigger that fires for values in the top 1 - p of late; p from 0.5 to 0.99999. 150 KiB, never freed; keep it in a static. Returns
 * NULL where `name` or `p` is refused, and says why in at most `why_bytes` bytes with a NUL, unless `why` is NULL. */
BKS_API_ bks_auto_percentile *bks_auto_percentile_new(const char *name, double p, char *why, size_t why_bytes);

/* Counts a value, and fires for the active trace where it is in the top 1 - p. Returns whether it was. NULL counts nothing. */
BKS_API_ int bks_auto_percentile_sample(bks_auto_percentile *percentile, uint64_t value);

/* Makes a trigger that fires for labels whose share of late is at most `share`, 0.00001 to 0.5. Otherwise as above; 40 KiB. */
BKS_API_ bks_auto_category *bks_auto_category_new(const char *name, double share, char *why, size_t why_bytes);

/* Counts a label, and fires for the active trace where it is rare. Returns whether it was. NULL counts nothing. */
BKS_API_ int bks_auto_category_sample(bks_auto_category *category, const void *label, size_t bytes);

/* Makes a trigger for requests that waited unusually long in a queue, in the top 1 - p of late; the `n_laterals` traces, at most 32, that
 * left it last are collected along. Otherwise as bks_auto_percentile_new; 150 KiB. */
BKS_API_ bks_auto_queue *bks_auto_queue_new(const char *name, double p, uint32_t n_laterals, char *why, size_t why_bytes);

/* Counts that the active trace left the queue after `waited`, in any unit, and fires for it where that is unusually long. Returns whether it
 * was. NULL counts nothing. */
BKS_API_ int bks_auto_queue_sample(bks_auto_queue *queue, uint64_t waited);

/* Makes a trigger for bad requests while the error budget burns too fast: `budget` is the share that may be bad, 0.00001 to 0.069, and 14.4
 * times as much over 10 s and over 60 s is too much. Otherwise as above; 3 KiB. */
BKS_API_ bks_auto_burn *bks_auto_burn_new(const char *name, double budget, char *why, size_t why_bytes);

/* Counts a request, and fires for the active trace where it is bad and the budget burns. Returns whether it did. NULL counts nothing. */
BKS_API_ int bks_auto_burn_sample(bks_auto_burn *burn, int bad);

/* Makes a trigger for events while more than `per_s` come in a second, 0.01 to 1e9, over 10 s and over 60 s. Otherwise as above; 3 KiB. */
BKS_API_ bks_auto_rate *bks_auto_rate_new(const char *name, double per_s, char *why, size_t why_bytes);

/* Counts an event, and fires for the active trace while they come too often. Returns whether it did. NULL counts nothing. */
BKS_API_ int bks_auto_rate_sample(bks_auto_rate *rate);

/* Makes a trigger for requests that `condition` holds for; the `n_laterals` traces, at most 32, that it was tested for last are collected
 * along. Otherwise as above; what its conditions take, 150 KiB for a percentile, 40 KiB for a category, 3 KiB for a rate. */
BKS_API_ bks_auto_set *bks_auto_set_new(const char *name, const bks_auto_condition *condition, uint32_t n_laterals, char *why,
                                        size_t why_bytes);

/* Tests the active trace by what `sample` shows of it; every condition counts it, and where they hold together, fires. Returns whether they do.
 * NULL counts nothing. */
BKS_API_ int bks_auto_set_sample(bks_auto_set *set, const bks_auto_sample *sample);

/* ---- for the inlined part only ----------------------------------------------------------------------------------------------------- */

BKS_API_ struct bks_block_ *bks_thread(uint32_t header_version);
BKS_API_ int bks_recover(uintptr_t frame);
BKS_API_ int bks_room(size_t bytes);

/* This thread's block, one pointer for each translation unit. */
__extension__ static __thread struct bks_block_ *bks_cached_ __attribute__((unused));

BKS_INLINE_ struct bks_block_ *bks_block_of_thread_(void) {
    struct bks_block_ *block = bks_cached_;
    if (BKS_UNLIKELY_(block == NULL) && BKS_HAS_(bks_thread)) {
        block = bks_thread(BKS_ABI_VERSION);
        bks_cached_ = block;
    }
    return block;
}

/* Whether the calling function may write: not inside a write that a signal interrupted. */
#define BKS_FREE_(block) \
    ((block) == NULL || !BKS_UNLIKELY_((block)->busy != 0) || bks_recover((uintptr_t)__builtin_frame_address(0)))

BKS_INLINE_ int bks_free_(void) {
    struct bks_block_ *block = bks_block_of_thread_();
    return BKS_FREE_(block);
}

#if defined(__x86_64__)
BKS_INLINE_ uint64_t bks_ticks_(void) {
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}
#define BKS_INLINED_(block) ((block) != NULL && (block)->clock == 0)
#else
BKS_INLINE_ uint64_t bks_ticks_(void) { return 0; }
#define BKS_INLINED_(block) ((void)(block), 0)
#endif

#define BKS_FENCE_() __asm__ volatile("" ::: "memory")
/* Larger payloads than any chunk's take the cold path, so that sums below cannot wrap. */
#define BKS_INLINE_MAX_ ((size_t)65536)

BKS_INLINE_ void bks_store_(struct bks_block_ *block, uint64_t at, uint64_t word) {
    memcpy(block->base + at, &word, sizeof word);
}

/* Publishes everything below `cursor`. */
BKS_INLINE_ void bks_publish_(struct bks_block_ *block, uint64_t cursor) {
    block->cursor = cursor;
    __atomic_store_n((uint64_t *)(void *)(block->base + block->head), block->head_bias + cursor, __ATOMIC_RELEASE);
}

/* Before the region's words DETAIL_THRESHOLD_1 to _3: where that of a record's level is above the trace's priority the library decides. */
#define BKS_DETAIL_THRESHOLDS_ 144

BKS_INLINE_ int bks_sheds_(const struct bks_block_ *block, uint32_t level) {
    const void *at = block->base + BKS_DETAIL_THRESHOLDS_ + 8 * level;
    return level != 0 && __atomic_load_n((const uint64_t *)at, __ATOMIC_RELAXED) > block->detail_priority;
}

/* What the number of a level and a kind are in the first word of a record. */
BKS_INLINE_ uint32_t bks_kind_at_(int level, uint32_t kind) {
    return kind | (uint32_t)(level >= 0 && level <= 3 ? level : BKS_LEVEL_NORMAL) << 12;
}

/* Writes a record of `n_words` words and a payload; returns 0 where the library must. */
BKS_INLINE_ int bks_put_(struct bks_block_ *block, uint32_t kind_flags, const uint64_t *words, size_t n_words, const void *payload,
                         size_t bytes) {
    const uint64_t fixed = 8 + 8 * (uint64_t)n_words;
    const uint64_t at = block->cursor;
    const uint64_t next = at + fixed + (((uint64_t)bytes + 7) & ~(uint64_t)7);
    const uint64_t dt = bks_ticks_() - block->base_ticks;
    size_t i;
    if (BKS_UNLIKELY_(next > block->limit || dt >> 32 != 0)) return 0;
    if (BKS_UNLIKELY_(bks_sheds_(block, kind_flags >> 12 & 3))) return 0; /* there is a region: `limit` is not 0 */
    bks_store_(block, at, (fixed + bytes) | (uint64_t)kind_flags << 16 | dt << 32);
    for (i = 0; i < n_words; i++) bks_store_(block, at + 8 + 8 * i, words[i]);
    if (bytes != 0) memcpy(block->base + at + fixed, payload, bytes);
    bks_publish_(block, next);
    return 1;
}

/* Records a payload; returns 0 where the library must, 1 also inside a write that a signal interrupted. */
BKS_INLINE_ int bks_put_raw_(int level, const void *payload, size_t bytes) {
    struct bks_block_ *block = bks_block_of_thread_();
    int done = 0;
    if (!BKS_FREE_(block)) return 1;
    if (BKS_INLINED_(block) && bytes <= BKS_INLINE_MAX_ && payload != NULL) {
        block->busy = (uintptr_t)__builtin_frame_address(0);
        BKS_FENCE_();
        done = bks_put_(block, bks_kind_at_(level, 0x30), NULL, 0, payload, bytes);
        BKS_FENCE_();
        block->busy = 0;
    }
    return done;
}

BKS_INLINE_ void bks_raw_(const void *payload, size_t bytes) {
    if (!bks_put_raw_(BKS_LEVEL_NORMAL, payload, bytes) && BKS_HAS_(bks_raw)) bks_raw(payload, bytes);
}
BKS_INLINE_ void bks_raw_at_(int level, const void *payload, size_t bytes) {
    if (bks_put_raw_(level, payload, bytes)) return;
    if (BKS_HAS_(bks_raw_at)) bks_raw_at(level, payload, bytes);
    else if (BKS_HAS_(bks_raw)) bks_raw(payload, bytes); /* an older library */
}

/* Records an event, as bks_put_raw_ a payload. */
BKS_INLINE_ int bks_put_event_(int level, bks_name *name, const void *message, size_t bytes) {
    struct bks_block_ *block = bks_block_of_thread_();
    int done = 0;
    if (!BKS_FREE_(block)) return 1;
    if (BKS_INLINED_(block) && bytes <= BKS_INLINE_MAX_ && name != NULL && (message != NULL || bytes == 0)) {
        const uint64_t cached = __atomic_load_n(&name->cached, __ATOMIC_RELAXED);
        const uint64_t id = cached & 0xffffffffu;
        block->busy = (uintptr_t)__builtin_frame_address(0);
        BKS_FENCE_();
        if (block->epoch != 0 && cached >> 32 == block->epoch) {
            if (block->last_span == block->span && block->span != 0) {
                /* The span's id is that of the record before. */
                done = bks_put_(block, bks_kind_at_(level, 0x0113), &id, 1, message, bytes);
            } else {
                uint64_t words[2];
                words[0] = block->span;
                words[1] = id;
                done = bks_put_(block, bks_kind_at_(level, 0x0013), words, 2, message, bytes);
                if (done) block->last_span = block->span;
            }
        }
        BKS_FENCE_();
        block->busy = 0;
    }
    return done;
}

BKS_INLINE_ void bks_event_(bks_name *name, const void *message, size_t bytes) {
    if (!bks_put_event_(BKS_LEVEL_NORMAL, name, message, bytes) && BKS_HAS_(bks_event)) bks_event(name, message, bytes);
}
BKS_INLINE_ void bks_event_at_(int level, bks_name *name, const void *message, size_t bytes) {
    if (bks_put_event_(level, name, message, bytes)) return;
    if (BKS_HAS_(bks_event_at)) bks_event_at(level, name, message, bytes);
    else if (BKS_HAS_(bks_event)) bks_event(name, message, bytes);
}

/* Grants room for a payload of `bytes` bytes, or fewer: at most what the chunk has. The caller writes into `data` and calls bks_commit from
 * the same function, with no other bks_ call, fork or longjmp in between. Until then signal handlers of the thread record nothing. Where
 * `data` is NULL no room is granted, and nothing counted: bks_raw writes the payload if it can be written at all. So it is always where the
 * record clock is not the TSC. */
BKS_INLINE_ bks_reservation bks_reserve(size_t bytes) {
    bks_reservation granted = {NULL, 0, 0, 0, 0};
    struct bks_block_ *block = bks_block_of_thread_();
    int tries;
    if (block == NULL || block->clock != 0 || bytes == 0 || !BKS_FREE_(block)) return granted;
    for (tries = 0; tries < 2; tries++) {
        const size_t want = bytes < BKS_INLINE_MAX_ ? bytes : BKS_INLINE_MAX_;
        uint64_t room, dt;
        block->busy = (uintptr_t)__builtin_frame_address(0);
        BKS_FENCE_();
        room = block->limit > block->cursor + 8 ? block->limit - block->cursor - 8 : 0;
        dt = bks_ticks_() - block->base_ticks;
        /* The second time the library has said that the payload is not left out. */
        if (dt >> 32 == 0 && (room >= want || (room >= 512 && want > 512)) && (tries != 0 || !bks_sheds_(block, BKS_LEVEL_NORMAL))) {
            granted.data = block->base + block->cursor + 8;
            granted.bytes = room < want ? (size_t)room : want;
            granted.at_ = block->cursor;
            granted.frame_ = block->busy;
            granted.dt_ = (uint32_t)dt;
            return granted;
        }
        BKS_FENCE_();
        block->busy = 0;
        if (!bks_room(want > 512 && room < 512 ? 512 : want)) return granted;
    }
    return granted;
}

/* Publishes the first `used` bytes of a reservation as what bks_raw records; 0 gives it back. Returns whether it was recorded: not where
 * another call came in between. */
BKS_INLINE_ int bks_commit(const bks_reservation *granted, size_t used) {
    struct bks_block_ *block = bks_cached_;
    int ours;
    if (granted->data == NULL || block == NULL || block->busy != granted->frame_) return 0;
    ours = block->cursor == granted->at_ && used != 0;
    if (ours) {
        const uint64_t bytes = used < granted->bytes ? used : granted->bytes;
        bks_store_(block, granted->at_,
                   (8 + bytes) | (uint64_t)bks_kind_at_(BKS_LEVEL_NORMAL, 0x30) << 16 | (uint64_t)granted->dt_ << 32);
        bks_publish_(block, granted->at_ + 8 + ((bytes + 7) & ~(uint64_t)7));
    }
    BKS_FENCE_();
    block->busy = 0;
    return ours;
}

/* ---- calls of the library: nothing without it, nothing inside an interrupted write -------------------------------------------------- */

#define BKS_CALL_(function, arguments) \
    if (BKS_HAS_(function) && bks_free_()) (function) arguments
#define BKS_CALL_OR_(function, arguments, older, of_older) \
    if (!bks_free_()) return; \
    if (BKS_HAS_(function)) (function) arguments; \
    else if (BKS_HAS_(older)) (older) of_older
#define BKS_RETURN_(function, arguments, otherwise) \
    return BKS_HAS_(function) && bks_free_() ? (function) arguments : (otherwise)

BKS_INLINE_ int bks_init_(const struct bks_settings *settings) {
    return BKS_HAS_(bks_init) ? bks_init(settings) : (int)BKS_MISSING_LIBRARY;
}
BKS_INLINE_ void bks_goodbye_(void) { BKS_CALL_(bks_goodbye, ()); }
BKS_INLINE_ void bks_leave_last_words_(void) {
    if (BKS_HAS_(bks_leave_last_words)) bks_leave_last_words();
}
BKS_INLINE_ int bks_stats_(struct bks_stats *out) {
    static const char why[] = "the program is not linked with libbacksight";
    uint64_t size;
    if (BKS_HAS_(bks_stats)) return bks_stats(out);
    if (out == NULL || out->size < sizeof *out) return -1;
    size = out->size;
    memset(out, 0, sizeof *out);
    out->size = size;
    out->missing = BKS_MISSING_LIBRARY;
    memcpy(out->why, why, sizeof why);
    return 0;
}
BKS_INLINE_ uint32_t bks_abi_version_(void) { return BKS_HAS_(bks_abi_version) ? bks_abi_version() : 0; }
BKS_INLINE_ void bks_context_new_(bks_context *out) {
    if (out != NULL) memset(out, 0, sizeof *out);
    if (BKS_HAS_(bks_context_new)) bks_context_new(out);
}
BKS_INLINE_ int bks_begin_(const bks_context *context) { BKS_RETURN_(bks_begin, (context), 0); }
BKS_INLINE_ void bks_end_(void) { BKS_CALL_(bks_end, ()); }
BKS_INLINE_ int bks_detach_(bks_context *out) { BKS_RETURN_(bks_detach, (out), 0); }
BKS_INLINE_ int bks_current_(bks_context *out) { BKS_RETURN_(bks_current, (out), 0); }
BKS_INLINE_ int bks_attach_(const bks_context *context) { BKS_RETURN_(bks_attach, (context), 0); }
BKS_INLINE_ int bks_switch_(const bks_context *next, bks_context *previous) {
    if (BKS_HAS_(bks_switch) && bks_free_()) return bks_switch(next, previous);
    if (previous != NULL) memset(previous, 0, sizeof *previous);
    return 0;
}
BKS_INLINE_ bks_span bks_span_start_(bks_name *name, int kind) {
    const bks_span none = {{0, 0}, 0, 0};
    BKS_RETURN_(bks_span_start, (name, kind), none);
}
BKS_INLINE_ void bks_rename_(bks_name *name) { BKS_CALL_(bks_rename, (name)); }
BKS_INLINE_ void bks_span_end_(const bks_span *span) { BKS_CALL_(bks_span_end, (span)); }
BKS_INLINE_ void bks_attr_bool_(bks_name *key, int value) { BKS_CALL_(bks_attr_bool, (key, value)); }
BKS_INLINE_ void bks_attr_i64_(bks_name *key, int64_t value) { BKS_CALL_(bks_attr_i64, (key, value)); }
BKS_INLINE_ void bks_attr_f64_(bks_name *key, double value) { BKS_CALL_(bks_attr_f64, (key, value)); }
BKS_INLINE_ void bks_attr_str_(bks_name *key, const char *value, size_t bytes) { BKS_CALL_(bks_attr_str, (key, value, bytes)); }
BKS_INLINE_ void bks_attr_istr_(bks_name *key, bks_name *value) { BKS_CALL_(bks_attr_istr, (key, value)); }
BKS_INLINE_ void bks_attr_bool_at_(int level, bks_name *key, int value) { BKS_CALL_OR_(bks_attr_bool_at, (level, key, value), bks_attr_bool, (key, value)); }
BKS_INLINE_ void bks_attr_i64_at_(int level, bks_name *key, int64_t value) { BKS_CALL_OR_(bks_attr_i64_at, (level, key, value), bks_attr_i64, (key, value)); }
BKS_INLINE_ void bks_attr_f64_at_(int level, bks_name *key, double value) { BKS_CALL_OR_(bks_attr_f64_at, (level, key, value), bks_attr_f64, (key, value)); }
BKS_INLINE_ void bks_attr_str_at_(int level, bks_name *key, const char *value, size_t bytes) {
    BKS_CALL_OR_(bks_attr_str_at, (level, key, value, bytes), bks_attr_str, (key, value, bytes));
}
BKS_INLINE_ void bks_attr_istr_at_(int level, bks_name *key, bks_name *value) { BKS_CALL_OR_(bks_attr_istr_at, (level, key, value), bks_attr_istr, (key, value)); }
BKS_INLINE_ void bks_named_(bks_name *name, const void *payload, size_t bytes) {
    BKS_CALL_OR_(bks_named, (name, payload, bytes), bks_raw, (payload, bytes));
}
BKS_INLINE_ void bks_named_at_(int level, bks_name *name, const void *payload, size_t bytes) {
    BKS_CALL_OR_(bks_named_at, (level, name, payload, bytes), bks_raw_at, (level, payload, bytes));
}
BKS_INLINE_ void bks_exception_(bks_name *type, const void *message, size_t bytes) {
    BKS_CALL_OR_(bks_exception, (type, message, bytes), bks_event, (type, message, bytes));
}
BKS_INLINE_ void bks_link_(const bks_context *to) { BKS_CALL_(bks_link, (to)); }
BKS_INLINE_ void bks_status_(int code, const char *text, size_t bytes) { BKS_CALL_(bks_status, (code, text, bytes)); }
BKS_INLINE_ uint32_t bks_intern_(bks_name *name) { BKS_RETURN_(bks_intern, (name), 0); }
BKS_INLINE_ int bks_extract_(const char *traceparent, size_t traceparent_bytes, const char *tracestate, size_t tracestate_bytes,
                             bks_incoming *out) {
    if (out != NULL) memset(out, 0, sizeof *out);
    BKS_RETURN_(bks_extract, (traceparent, traceparent_bytes, tracestate, tracestate_bytes, out), 0);
}
BKS_INLINE_ int bks_inject_(const bks_incoming *request, bks_connection *peer, bks_outgoing *out) {
    if (out != NULL) {
        memset(&out->call, 0, sizeof out->call);
        out->tracestate_bytes = out->reserved = 0;
        out->traceparent[0] = out->tracestate[0] = 0;
    }
    BKS_RETURN_(bks_inject, (request, peer, out), 0);
}
BKS_INLINE_ void bks_crumb_(const bks_call *call, const char *header, size_t bytes, bks_connection *peer) {
    BKS_CALL_(bks_crumb, (call, header, bytes, peer));
}
BKS_INLINE_ void bks_unsent_(const bks_call *call) { BKS_CALL_(bks_unsent, (call)); }
BKS_INLINE_ int bks_response_crumb_(char *out) {
    if (out != NULL) out[0] = 0;
    BKS_RETURN_(bks_response_crumb, (out), 0);
}
BKS_INLINE_ uint32_t bks_trigger_id_(const char *name) { return BKS_HAS_(bks_trigger_id) ? bks_trigger_id(name) : 0; }
BKS_INLINE_ int bks_trigger_(uint32_t trigger) { BKS_RETURN_(bks_trigger, (trigger), 0); }
BKS_INLINE_ int bks_trigger_for_(uint32_t trigger, const bks_trace_id *trace, const bks_trace_id *laterals, size_t n_laterals) {
    BKS_RETURN_(bks_trigger_for, (trigger, trace, laterals, n_laterals), 0);
}
BKS_INLINE_ bks_auto_percentile *bks_auto_percentile_new_(const char *name, double p, char *why, size_t why_bytes) {
    if (BKS_HAS_(bks_auto_percentile_new)) return bks_auto_percentile_new(name, p, why, why_bytes);
    if (why != NULL && why_bytes != 0) why[0] = 0;
    return NULL;
}
BKS_INLINE_ int bks_auto_percentile_sample_(bks_auto_percentile *percentile, uint64_t value) {
    BKS_RETURN_(bks_auto_percentile_sample, (percentile, value), 0);
}
BKS_INLINE_ bks_auto_category *bks_auto_category_new_(const char *name, double share, char *why, size_t why_bytes) {
    if (BKS_HAS_(bks_auto_category_new)) return bks_auto_category_new(name, share, why, why_bytes);
    if (why != NULL && why_bytes != 0) why[0] = 0;
    return NULL;
}
BKS_INLINE_ int bks_auto_category_sample_(bks_auto_category *category, const void *label, size_t bytes) {
    BKS_RETURN_(bks_auto_category_sample, (category, label, bytes), 0);
}
BKS_INLINE_ bks_auto_queue *bks_auto_queue_new_(const char *name, double p, uint32_t n_laterals, char *why, size_t why_bytes) {
    if (BKS_HAS_(bks_auto_queue_new)) return bks_auto_queue_new(name, p, n_laterals, why, why_bytes);
    if (why != NULL && why_bytes != 0) why[0] = 0;
    return NULL;
}
BKS_INLINE_ int bks_auto_queue_sample_(bks_auto_queue *queue, uint64_t waited) {
    BKS_RETURN_(bks_auto_queue_sample, (queue, waited), 0);
}
BKS_INLINE_ bks_auto_burn *bks_auto_burn_new_(const char *name, double budget, char *why, size_t why_bytes) {
    if (BKS_HAS_(bks_auto_burn_new)) return bks_auto_burn_new(name, budget, why, why_bytes);
    if (why != NULL && why_bytes != 0) why[0] = 0;
    return NULL;
}
BKS_INLINE_ int bks_auto_burn_sample_(bks_auto_burn *burn, int bad) { BKS_RETURN_(bks_auto_burn_sample, (burn, bad), 0); }
BKS_INLINE_ bks_auto_rate *bks_auto_rate_new_(const char *name, double per_s, char *why, size_t why_bytes) {
    if (BKS_HAS_(bks_auto_rate_new)) return bks_auto_rate_new(name, per_s, why, why_bytes);
    if (why != NULL && why_bytes != 0) why[0] = 0;
    return NULL;
}
BKS_INLINE_ int bks_auto_rate_sample_(bks_auto_rate *rate) { BKS_RETURN_(bks_auto_rate_sample, (rate), 0); }
BKS_INLINE_ bks_auto_set *bks_auto_set_new_(const char *name, const bks_auto_condition *condition, uint32_t n_laterals, char *why,
                                            size_t why_bytes) {
    if (BKS_HAS_(bks_auto_set_new)) return bks_auto_set_new(name, condition, n_laterals, why, why_bytes);
    if (why != NULL && why_bytes != 0) why[0] = 0;
    return NULL;
}
BKS_INLINE_ int bks_auto_set_sample_(bks_auto_set *set, const bks_auto_sample *sample) {
    BKS_RETURN_(bks_auto_set_sample, (set, sample), 0);
}

#define bks_init(settings) bks_init_(settings)
#define bks_leave_last_words() bks_leave_last_words_()
#define bks_goodbye() bks_goodbye_()
#define bks_stats(out) bks_stats_(out)
#define bks_abi_version() bks_abi_version_()
#define bks_context_new(out) bks_context_new_(out)
#define bks_begin(context) bks_begin_(context)
#define bks_end() bks_end_()
#define bks_detach(out) bks_detach_(out)
#define bks_current(out) bks_current_(out)
#define bks_attach(context) bks_attach_(context)
#define bks_switch(next, previous) bks_switch_(next, previous)
#define bks_raw(payload, bytes) bks_raw_(payload, bytes)
#define bks_raw_at(level, payload, bytes) bks_raw_at_(level, payload, bytes)
#define bks_named(name, payload, bytes) bks_named_(name, payload, bytes)
#define bks_named_at(level, name, payload, bytes) bks_named_at_(level, name, payload, bytes)
#define bks_event(name, message, bytes) bks_event_(name, message, bytes)
#define bks_event_at(level, name, message, bytes) bks_event_at_(level, name, message, bytes)
#define bks_span_start(name, kind) bks_span_start_(name, kind)
#define bks_rename(name) bks_rename_(name)
#define bks_span_end(span) bks_span_end_(span)
#define bks_attr_bool(key, value) bks_attr_bool_(key, value)
#define bks_attr_i64(key, value) bks_attr_i64_(key, value)
#define bks_attr_f64(key, value) bks_attr_f64_(key, value)
#define bks_attr_str(key, value, bytes) bks_attr_str_(key, value, bytes)
#define bks_attr_istr(key, value) bks_attr_istr_(key, value)
#define bks_attr_bool_at(level, key, value) bks_attr_bool_at_(level, key, value)
#define bks_attr_i64_at(level, key, value) bks_attr_i64_at_(level, key, value)
#define bks_attr_f64_at(level, key, value) bks_attr_f64_at_(level, key, value)
#define bks_attr_str_at(level, key, value, bytes) bks_attr_str_at_(level, key, value, bytes)
#define bks_attr_istr_at(level, key, value) bks_attr_istr_at_(level, key, value)
#define bks_exception(type, message, bytes) bks_exception_(type, message, bytes)
#define bks_link(to) bks_link_(to)
#define bks_status(code, text, bytes) bks_status_(code, text, bytes)
#define bks_intern(name) bks_intern_(name)
#define bks_extract(traceparent, traceparent_bytes, tracestate, tracestate_bytes, out) \
    bks_extract_(traceparent, traceparent_bytes, tracestate, tracestate_bytes, out)
#define bks_inject(request, peer, out) bks_inject_(request, peer, out)
#define bks_crumb(call, header, bytes, peer) bks_crumb_(call, header, bytes, peer)
#define bks_unsent(call) bks_unsent_(call)
#define bks_response_crumb(out) bks_response_crumb_(out)
#define bks_trigger_id(name) bks_trigger_id_(name)
#define bks_trigger(trigger) bks_trigger_(trigger)
#define bks_trigger_for(trigger, trace, laterals, n_laterals) bks_trigger_for_(trigger, trace, laterals, n_laterals)
#define bks_auto_percentile_new(name, p, why, why_bytes) bks_auto_percentile_new_(name, p, why, why_bytes)
#define bks_auto_percentile_sample(percentile, value) bks_auto_percentile_sample_(percentile, value)
#define bks_auto_category_new(name, share, why, why_bytes) bks_auto_category_new_(name, share, why, why_bytes)
#define bks_auto_category_sample(category, label, bytes) bks_auto_category_sample_(category, label, bytes)
#define bks_auto_queue_new(name, p, n_laterals, why, why_bytes) bks_auto_queue_new_(name, p, n_laterals, why, why_bytes)
#define bks_auto_queue_sample(queue, waited) bks_auto_queue_sample_(queue, waited)
#define bks_auto_burn_new(name, budget, why, why_bytes) bks_auto_burn_new_(name, budget, why, why_bytes)
#define bks_auto_burn_sample(burn, bad) bks_auto_burn_sample_(burn, bad)
#define bks_auto_rate_new(name, per_s, why, why_bytes) bks_auto_rate_new_(name, per_s, why, why_bytes)
#define bks_auto_rate_sample(rate) bks_auto_rate_sample_(rate)
#define bks_auto_set_new(name, condition, n_laterals, why, why_bytes) bks_auto_set_new_(name, condition, n_laterals, why, why_bytes)
#define bks_auto_set_sample(set, sample) bks_auto_set_sample_(set, sample)

/* ---- named tracepoints: a record, and a place for uprobes and perf (SystemTap SDT v3 note; the five-byte nop is cheap to probe) -------- */

#if defined(__x86_64__)
/* Arguments for probes are two 8-byte values: address and size. */
#define BKS_SDT_(provider, name, pointer, bytes)                                                                       \
    __asm__ volatile("990: .byte 0x0f, 0x1f, 0x44, 0x00, 0x00\n"                                                       \
                     ".pushsection .note.stapsdt,\"?\",\"note\"\n"                                                     \
                     ".balign 4\n"                                                                                     \
                     ".4byte 992f-991f, 994f-993f, 3\n"                                                                \
                     "991: .asciz \"stapsdt\"\n"                                                                       \
                     "992: .balign 4\n"                                                                                \
                     "993: .8byte 990b\n"                                                                              \
                     ".8byte _.stapsdt.base\n"                                                                         \
                     ".8byte 0\n"                                                                                      \
                     ".asciz \"" provider "\"\n"                                                                       \
                     ".asciz \"" name "\"\n"                                                                           \
                     ".asciz \"8@%0 8@%1\"\n"                                                                          \
                     "994: .balign 4\n"                                                                                \
                     ".popsection\n"                                                                                   \
                     ".ifndef _.stapsdt.base\n"                                                                        \
                     ".pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n"                           \
                     ".weak _.stapsdt.base\n"                                                                          \
                     ".hidden _.stapsdt.base\n"                                                                        \
                     "_.stapsdt.base: .space 1\n"                                                                      \
                     ".size _.stapsdt.base, 1\n"                                                                       \
                     ".popsection\n"                                                                                   \
                     ".endif\n"                                                                                        \
                     :                                                                                                 \
                     : "r"((uint64_t)(uintptr_t)(pointer)), "r"((uint64_t)(bytes)))
#else
#define BKS_SDT_(provider, name, pointer, bytes) ((void)0)
#endif

/* Records the event `provider:name` with a message. Both are written without quotes: BKS_EVENT(shop, declined, reason, strlen(reason)). */
#define BKS_EVENT(provider, name, message, n_bytes)                                                                    \
    do {                                                                                                               \
        static bks_name bks_static_ = BKS_NAME(#provider ":" #name);                                                   \
        const void *bks_message_ = (message);                                                                          \
        const size_t bks_bytes_ = (n_bytes);                                                                           \
        BKS_SDT_(#provider, #name, bks_message_, bks_bytes_);                                                          \
        bks_event(&bks_static_, bks_message_, bks_bytes_);                                                             \
    } while (0)

/* Declares and starts the span `provider:name`; probes see `name__start` with the span's address, and `name__end`. */
#define BKS_SPAN_START(variable, provider, name, kind)                                                                 \
    static bks_name bks_name_of_##variable = BKS_NAME(#provider ":" #name);                                            \
    bks_span variable = bks_span_start(&bks_name_of_##variable, kind);                                                 \
    BKS_SDT_(#provider, #name "__start", &variable, variable.id)
#define BKS_SPAN_END(variable, provider, name)                                                                         \
    do {                                                                                                               \
        BKS_SDT_(#provider, #name "__end", &variable, variable.id);                                                    \
        bks_span_end(&variable);                                                                                       \
    } while (0)

#ifdef __cplusplus
}
#endif

#endif
