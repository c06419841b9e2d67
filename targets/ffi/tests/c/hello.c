// Opens a package, asks, prints the answer as it comes. The README shows this file.
#include <stdio.h>

#include "curt.h"

static int32_t print(void *user, const CurtEvent *event) {
    (void)user;
    if (event->kind == CURT_EVENT_KIND_TEXT) fwrite(event->text, 1, event->text_length, stdout);
    return 0; // anything else stops
}

int main(int argc, char **argv) {
    CurtEngine engine = 0;
    CurtQuestion question = 0;
    CurtAnswer answer = 0;
    if (argc != 3) return 2;
    CurtStatus status = curt_engine_open(argv[1], NULL, &engine);
    if (!status) status = curt_question_new(argv[2], &question);
    if (!status) status = curt_ask(engine, question, "{\"max_tokens\": 200}", print, NULL, &answer);
    char words[512];
    if (status) {
        curt_error_message(words, sizeof words, NULL);
        fprintf(stderr, "%s\n", words);
    } else {
        curt_answer_found(answer, words, sizeof words, NULL);
        printf("\nanswer: %s\n", words);
    }
    curt_answer_close(answer); // closing nothing is an error, and harmless
    curt_question_close(question);
    curt_engine_close(engine);
    return status != CURT_STATUS_OK;
}
