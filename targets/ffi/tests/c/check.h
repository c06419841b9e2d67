// What the programs of this folder check with: the first thing that is not as it should be ends them with a line that says so.
#ifndef CHECK_H
#define CHECK_H

#define _POSIX_C_SOURCE 200809L

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "curt.h"

#define CHECK(condition)                                                        \
    do {                                                                        \
        if (!(condition)) {                                                     \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                            \
        }                                                                       \
    } while (0)

// The call gives this status; of a failure there are words, and a remedy.
#define GIVES(expected, call) gives((expected), (call), __FILE__, __LINE__, #call)
#define OK(call) GIVES(CURT_STATUS_OK, call)

static inline void gives(CurtStatus expected, CurtStatus got, const char *file, int line, const char *call) {
    char words[1024] = "";
    char remedy[512] = "";
    if (got != CURT_STATUS_OK) {
        // A long message is cut.
        curt_error_message(words, sizeof words, NULL);
        curt_error_remedy(remedy, sizeof remedy, NULL);
    }
    if (got != expected) {
        fprintf(stderr, "%s:%d: %s gives %u in place of %u: %s\n", file, line, call, got, expected, words);
        exit(1);
    }
    if (got != CURT_STATUS_OK && (curt_error_status() != got || words[0] == 0 || remedy[0] == 0)) {
        fprintf(stderr, "%s:%d: %s gives %u without words of its own: %s\n", file, line, call, got, words);
        exit(1);
    }
}

// The message of the last failure has these words.
#define SAYS(words) CHECK(says(words))

static inline int says(const char *words) {
    char message[4096];
    CHECK(curt_error_message(message, sizeof message, NULL) == CURT_STATUS_OK);
    if (strstr(message, words) == NULL) {
        fprintf(stderr, "the message is: %s\n", message);
        return 0;
    }
    return 1;
}

// A text of an answer or an engine, to be freed.
static inline char *text_of(CurtStatus (*read)(uint64_t, char *, size_t, size_t *), uint64_t handle) {
    size_t length = 0;
    OK(read(handle, NULL, 0, &length));
    char *text = malloc(length + 1);
    CHECK(text != NULL);
    OK(read(handle, text, length + 1, NULL));
    CHECK(strlen(text) == length);
    return text;
}

static inline void wait_ms(long ms) {
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

static inline CurtEngine opened(const char *dir) {
    CurtEngine engine = 0;
    // One thread: what is tested is this side of ONNX Runtime.
    OK(curt_engine_open(dir, "{\"threads\": 1}", &engine));
    CHECK(engine != 0);
    return engine;
}

static inline CurtQuestion question_of(const char *words) {
    CurtQuestion question = 0;
    OK(curt_question_new(words, &question));
    CHECK(question != 0);
    return question;
}

#endif
