/* A program whose header has another major version than the library: everything goes through the library. Valid C99 and C++17. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "backsight.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK(condition)                                                             \
    do {                                                                             \
        if (!(condition)) {                                                          \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);          \
            exit(1);                                                                 \
        }                                                                            \
    } while (0)

static bks_name name_span = BKS_NAME("charge card");
static bks_name name_event = BKS_NAME("declined");

int main(void) {
    const uint32_t version = bks_abi_version(), major = version >> 16;
    bks_context context;
    bks_reservation room;
    bks_span span;
    int tries, missing = bks_init(NULL);
    /* A loaded machine's agent may need longer than the first attempt waits; the next comes a second later. */
    for (tries = 0; missing != 0 && tries < 100; tries++) {
        usleep(100000);
        missing = bks_init(NULL);
    }
    CHECK(missing == 0 && BKS_ABI_VERSION >> 16 != major);
    /* The block is for headers of the library's major version, whatever their minor. */
    CHECK(bks_thread(version) != NULL);
    CHECK(bks_thread(major << 16) == bks_thread(version) && bks_thread(major << 16 | 0xffff) == bks_thread(version));
    CHECK(bks_thread(BKS_ABI_VERSION) == NULL && bks_thread((major - 1) << 16 | 0xffff) == NULL);
    CHECK(bks_thread((major + 1) << 16) == NULL && bks_thread(0xffffffffu) == NULL);
    memset(&context, 0, sizeof context);
    context.trace.hi = context.trace.lo = 1;
    CHECK(bks_begin(&context) == 1);
    span = bks_span_start(&name_span, BKS_SPAN_SERVER);
    CHECK(span.id != 0);
    bks_raw("through the library", 19);
    bks_event(&name_event, "no funds", 8);
    room = bks_reserve(100); /* exists in the header only */
    CHECK(room.data == NULL && room.bytes == 0 && bks_commit(&room, 10) == 0);
    bks_span_end(&span);
    bks_end();
    CHECK(bks_cached_ == NULL);
    return 0;
}
