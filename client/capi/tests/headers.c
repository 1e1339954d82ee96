/* Reads and writes trace context, also with headers that mean harm, and counts what is allocated for it. Valid C99 and C++17. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "backsight.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned long n_allocations;

#ifdef __cplusplus
extern "C" {
#endif
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t n, size_t bytes);
void *__libc_realloc(void *old, size_t bytes);
void *__libc_memalign(size_t align, size_t bytes);

/* The library's allocator calls these in place of libc's. */
void *malloc(size_t bytes) {
    n_allocations++;
    return __libc_malloc(bytes);
}
void *calloc(size_t n, size_t bytes) {
    n_allocations++;
    return __libc_calloc(n, bytes);
}
void *realloc(void *old, size_t bytes) {
    n_allocations++;
    return __libc_realloc(old, bytes);
}
int posix_memalign(void **made, size_t align, size_t bytes) {
    n_allocations++;
    *made = __libc_memalign(align, bytes);
    return *made == NULL;
}
#ifdef __cplusplus
}
#endif

enum { MEBIBYTE = 1 << 20 };
static char endless[MEBIBYTE];
static char many[MEBIBYTE];

/* Passes a request on, and returns whether it brought a trace. */
static int pass_on(const char *parent, size_t parent_bytes, const char *state, size_t state_bytes) {
    bks_incoming request;
    bks_outgoing out;
    int is_traced = bks_extract(parent, parent_bytes, state, state_bytes, &request);
    if (!bks_inject(&request, NULL, &out) || out.tracestate_bytes > 512) exit(1);
    return is_traced;
}

int main(void) {
    static const char parent[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    static const char good[] = "bks=13:0000004.0000003:00000b4,a=1", bad[] = "a=1,bks=1x:0000,b=2";
    size_t i;
    int n_traced = 0;
    void *volatile proof; /* or the compiler leaves out what is only freed again */
    memset(endless, 'x', sizeof endless);
    for (i = 0; i < sizeof many; i++) many[i] = "k=v,"[i % 4];
    pass_on(parent, sizeof parent - 1, good, sizeof good - 1); /* what happens once has happened */
    proof = malloc(1);
    if (n_allocations == 0) return 2;
    free(proof);
    n_allocations = 0;
    n_traced += pass_on(parent, sizeof parent - 1, good, sizeof good - 1);
    n_traced += pass_on(parent, sizeof parent - 1, bad, sizeof bad - 1);
    n_traced += pass_on(parent, sizeof parent - 1, many, sizeof many);
    n_traced += pass_on(parent, sizeof parent - 1, endless, sizeof endless);
    n_traced += pass_on(endless, sizeof endless, many, sizeof many);
    printf("traced=%d allocations=%lu\n", n_traced, n_allocations);
    return 0;
}
