/*
 * The tracepoints of the LTTng-UST peer: a u64 and a payload of fixed size, the two ends of a visit, and the three events of a request.
 *
 * Read three times by LTTng's macros, hence no ordinary include guard. Fixed arrays, not sequences: LTTng's cheapest way to record bytes.
 */
#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER bks_peer

#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE "./events.h"

#if !defined(BKS_PEER_EVENTS_H) || defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#define BKS_PEER_EVENTS_H

#include <lttng/tracepoint.h>
#include <stdint.h>

#define BKS_EVENT(name, bytes)                                                                     \
	LTTNG_UST_TRACEPOINT_EVENT(bks_peer, name,                                                 \
		LTTNG_UST_TP_ARGS(uint64_t, id, const uint8_t *, payload),                         \
		LTTNG_UST_TP_FIELDS(lttng_ust_field_integer(uint64_t, id, id)                      \
				    lttng_ust_field_array(uint8_t, payload, payload, bytes)))

BKS_EVENT(event_8, 8)
BKS_EVENT(event_32, 32)
BKS_EVENT(event_128, 128)
BKS_EVENT(event_512, 512)
BKS_EVENT(event_2048, 2048)

LTTNG_UST_TRACEPOINT_EVENT(bks_peer, visit_begin,
	LTTNG_UST_TP_ARGS(uint64_t, trace_hi, uint64_t, trace_lo),
	LTTNG_UST_TP_FIELDS(lttng_ust_field_integer_hex(uint64_t, trace_hi, trace_hi)
			    lttng_ust_field_integer_hex(uint64_t, trace_lo, trace_lo)))

LTTNG_UST_TRACEPOINT_EVENT(bks_peer, visit_end,
	LTTNG_UST_TP_ARGS(uint64_t, trace_lo),
	LTTNG_UST_TP_FIELDS(lttng_ust_field_integer_hex(uint64_t, trace_lo, trace_lo)))

/* Each event of a request carries its id, as LTTng knows no requests; the payload is of words, which its readers print faster than bytes. */
#define BKS_REQUEST_END(name)                                                                      \
	LTTNG_UST_TRACEPOINT_EVENT(bks_peer, name,                                                 \
		LTTNG_UST_TP_ARGS(uint64_t, id),                                                   \
		LTTNG_UST_TP_FIELDS(lttng_ust_field_integer(uint64_t, id, id)))

BKS_REQUEST_END(request_begin)
BKS_REQUEST_END(request_end)

LTTNG_UST_TRACEPOINT_EVENT(bks_peer, request_event,
	LTTNG_UST_TP_ARGS(uint64_t, id, const uint64_t *, payload),
	LTTNG_UST_TP_FIELDS(lttng_ust_field_integer(uint64_t, id, id)
			    lttng_ust_field_array(uint64_t, payload, payload, 4)))

#endif

#include <lttng/tracepoint-event.h>
