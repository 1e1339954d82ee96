/* Prints the layout that backsight.h assumes; tests/c_abi.rs compares it with the library's. */
#include "backsight.h"
#include <stdio.h>

#define FIELD(type, field) printf(#type "." #field " %zu\n", offsetof(type, field))

typedef struct bks_block_ block;

int main(void) {
    FIELD(block, busy);
    FIELD(block, clock);
    FIELD(block, epoch);
    FIELD(block, base);
    FIELD(block, region_bytes);
    FIELD(block, cursor);
    FIELD(block, limit);
    FIELD(block, base_ticks);
    FIELD(block, head);
    FIELD(block, head_bias);
    FIELD(block, last_span);
    FIELD(block, detail_priority);
    FIELD(block, trace);
    FIELD(block, span);
    FIELD(bks_context, trace);
    FIELD(bks_context, span);
    FIELD(bks_context, parent_span);
    FIELD(bks_context, from_agent);
    FIELD(bks_context, flags);
    FIELD(bks_context, api);
    FIELD(bks_context, older_agents);
    FIELD(bks_context, triggers);
    FIELD(bks_context, beyond);
    printf("sizeof.call %zu\n", sizeof(bks_call));
    printf("sizeof.connection %zu\n", sizeof(bks_connection));
    printf("sizeof.context %zu\n", sizeof(bks_context));
    printf("word.detail_thresholds %d\n", BKS_DETAIL_THRESHOLDS_);
    printf("level.always %d\n", BKS_LEVEL_ALWAYS);
    printf("level.normal %d\n", BKS_LEVEL_NORMAL);
    printf("level.debug %d\n", BKS_LEVEL_DEBUG);
    printf("level.verbose %d\n", BKS_LEVEL_VERBOSE);
    printf("version %u\n", BKS_ABI_VERSION);
    return 0;
}
