/* Records events, payloads and attributes of every level, inlined and through the library. Valid C99 and C++17. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "backsight.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CHECK(condition)                                                             \
    do {                                                                             \
        if (!(condition)) {                                                          \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);          \
            exit(1);                                                                 \
        }                                                                            \
    } while (0)

static bks_name name_event = BKS_NAME("declined");
static bks_name name_key = BKS_NAME("amount");
static bks_name name_value = BKS_NAME("eur");

int main(void) {
    static const int levels[] = {BKS_LEVEL_VERBOSE, BKS_LEVEL_ALWAYS, 77, BKS_LEVEL_DEBUG, BKS_LEVEL_NORMAL};
    bks_context context;
    bks_reservation room;
    int tries, reserved = 0, missing = bks_init(NULL);
    size_t i;
    /* A loaded machine's agent may need longer than the first attempt waits; the next comes a second later. */
    for (tries = 0; missing != 0 && tries < 100; tries++) {
        usleep(100000);
        missing = bks_init(NULL);
    }
    CHECK(missing == 0);
    memset(&context, 0, sizeof context);
    context.trace.hi = context.trace.lo = 1;
    CHECK(bks_begin(&context) == 1);
    CHECK(bks_intern(&name_event) != 0);
    for (i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        const int level = levels[i];
        const char digit = (char)('0' + (level == 77 ? BKS_LEVEL_NORMAL : level));
        bks_event_at(level, &name_event, "no funds", 8);
        (bks_event_at)(level, &name_event, "no funds", 8);
        bks_raw_at(level, &digit, 1);
        (bks_raw_at)(level, &digit, 1);
        if (level == 77) continue;
        bks_attr_bool_at(level, &name_key, 1);
        bks_attr_i64_at(level, &name_key, -5);
        bks_attr_f64_at(level, &name_key, 0.5);
        bks_attr_str_at(level, &name_key, "text", 4);
        bks_attr_istr_at(level, &name_key, &name_value);
    }
    room = bks_reserve(8); /* as bks_raw: normal */
    if (room.data != NULL) {
        memcpy(room.data, "1", 1);
        reserved = bks_commit(&room, 1);
    }
    bks_end();
    printf("reserved=%d\n", reserved);
    return 0;
}
