/* A plugin with a copy of the library of its own, and with `-DHOST` the program that loads it, has it record on a thread, and unloads it before
 * that thread ends. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#ifdef HOST
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int to_thread[2], from_thread[2];

static void *run(void *symbol) {
    char byte = 'x';
    void (*record)(void);
    memcpy(&record, &symbol, sizeof record);
    record();
    if (write(from_thread[1], &byte, 1) != 1 || read(to_thread[0], &byte, 1) != 1) exit(3);
    return NULL;
}

int main(int argc, char **argv) {
    pthread_t thread;
    char byte;
    void *plugin, *record;
    if (argc != 2 || pipe(to_thread) != 0 || pipe(from_thread) != 0) return 2;
    plugin = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    record = plugin == NULL ? NULL : dlsym(plugin, "plugin_record");
    if (record == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 2;
    }
    if (pthread_create(&thread, NULL, run, record) != 0 || read(from_thread[0], &byte, 1) != 1) return 2;
    if (dlclose(plugin) != 0 || write(to_thread[1], &byte, 1) != 1) return 2;
    return pthread_join(thread, NULL) == 0 ? 0 : 2;
}
#else
#define BKS_STRONG
#include "backsight.h"
#include <unistd.h>

#ifdef __cplusplus
extern "C"
#endif
    __attribute__((visibility("default"))) void plugin_record(void);

void plugin_record(void) {
    bks_context context;
    int tries, missing = bks_init(NULL);
    /* A loaded machine's agent may need longer than the first attempt waits; the next comes a second later. */
    for (tries = 0; missing != 0 && tries < 100; tries++) {
        usleep(100000);
        missing = bks_init(NULL);
    }
    memset(&context, 0, sizeof context);
    context.trace.hi = context.trace.lo = 8;
    bks_begin(&context);
    bks_raw("from the plugin", 15);
    bks_end();
}
#endif
