// What a program can do wrong: each is an error with its words, and nothing else happens.
// Arguments: a package of texts, one of images, an image.
#include "check.h"

#include <pthread.h>

static const char *TEXTS, *IMAGES, *IMAGE;

static const char *QUESTION = "A machine turns 6 into 81. What comes out?";
static const char *SHORT = "{\"max_tokens\": 8}";

static void nulls(void) {
    CurtEngine engine = 7;
    CurtQuestion question = 7;
    CurtAnswer answer = 7;
    CurtKvView view = 7;
    GIVES(CURT_STATUS_ARGUMENT, curt_engine_open(NULL, NULL, &engine));
    SAYS("`dir`");
    CHECK(engine == 0);
    GIVES(CURT_STATUS_ARGUMENT, curt_engine_open(TEXTS, NULL, NULL));
    GIVES(CURT_STATUS_ARGUMENT, curt_question_new(NULL, &question));
    CHECK(question == 0);
    GIVES(CURT_STATUS_ARGUMENT, curt_question_new(QUESTION, NULL));
    GIVES(CURT_STATUS_ARGUMENT, curt_question_of_messages(NULL, &question));
    GIVES(CURT_STATUS_ARGUMENT, curt_ask(0, 0, NULL, NULL, NULL, NULL));
    GIVES(CURT_STATUS_ARGUMENT, curt_kv_borrow(0, 0, CURT_KV_KIND_KEY, 0, &view, NULL));
    GIVES(CURT_STATUS_ARGUMENT, curt_kv_borrow(0, 0, CURT_KV_KIND_KEY, 0, NULL, NULL));
    question = question_of(QUESTION);
    GIVES(CURT_STATUS_ARGUMENT, curt_question_add_file(question, NULL));
    GIVES(CURT_STATUS_ARGUMENT, curt_question_add_encoded(question, NULL, 8));
    GIVES(CURT_STATUS_ARGUMENT, curt_question_add_frame(question, NULL));
    // A place that no number can lie in.
    uint64_t room[2];
    CurtQuestion *crooked = (CurtQuestion *)(void *)((char *)room + 1);
    GIVES(CURT_STATUS_ARGUMENT, curt_question_new(QUESTION, crooked));
    OK(curt_question_close(question));
    CHECK(curt_ask(0, 0, NULL, NULL, NULL, &answer) == CURT_STATUS_HANDLE && answer == 0);
}

static void handles(CurtEngine engine) {
    CurtQuestion question = question_of(QUESTION);
    CurtAnswer answer = 0;
    const uint64_t wrong[] = {0, 1, ~0ull, 0xC1ull << 56, engine ^ 1, engine + (1ull << 32), question};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        GIVES(CURT_STATUS_HANDLE, curt_ask(wrong[i], question, NULL, NULL, NULL, &answer));
        GIVES(CURT_STATUS_HANDLE, curt_engine_trim(wrong[i], CURT_TRIM_ROWS));
        GIVES(CURT_STATUS_HANDLE, curt_engine_background(wrong[i]));
        GIVES(CURT_STATUS_HANDLE, curt_engine_close(wrong[i]));
        GIVES(CURT_STATUS_HANDLE, curt_answer_close(wrong[i]));
        GIVES(CURT_STATUS_HANDLE, curt_kv_release(wrong[i]));
    }
    GIVES(CURT_STATUS_HANDLE, curt_engine_trim(question, CURT_TRIM_ROWS));
    SAYS("expected an engine, got a question");
    GIVES(CURT_STATUS_ARGUMENT, curt_engine_trim(engine, 0));
    GIVES(CURT_STATUS_ARGUMENT, curt_engine_trim(engine, 4));

    // Twice, and after.
    OK(curt_ask(engine, question, SHORT, NULL, NULL, &answer));
    OK(curt_answer_close(answer));
    GIVES(CURT_STATUS_HANDLE, curt_answer_close(answer));
    char buffer[64];
    GIVES(CURT_STATUS_HANDLE, curt_answer_text(answer, buffer, sizeof buffer, NULL));
    SAYS("was closed");
    OK(curt_question_close(question));
    GIVES(CURT_STATUS_HANDLE, curt_question_close(question));
    GIVES(CURT_STATUS_HANDLE, curt_question_cancel(question));
    GIVES(CURT_STATUS_HANDLE, curt_question_add_file(question, IMAGE));
    GIVES(CURT_STATUS_HANDLE, curt_ask(engine, question, NULL, NULL, NULL, &answer));
    // What comes into its place is not what it was.
    CurtQuestion next = question_of(QUESTION);
    CHECK(next != question);
    GIVES(CURT_STATUS_HANDLE, curt_question_cancel(question));
    OK(curt_ask(engine, next, SHORT, NULL, NULL, &answer));
    OK(curt_answer_close(answer));
    OK(curt_question_close(next));
}

static void options(CurtEngine engine) {
    CurtQuestion question = question_of(QUESTION);
    CurtAnswer answer = 0;
    const struct {
        const char *json;
        CurtStatus status;
        const char *words;
    } wrong[] = {
        {"{", CURT_STATUS_ARGUMENT, "JSON"},
        {"[]x", CURT_STATUS_ARGUMENT, "JSON"},
        {"{\"pahts\": 2}", CURT_STATUS_ARGUMENT, "pahts"},
        {"{\"paths\": \"two\"}", CURT_STATUS_ARGUMENT, "options"},
        {"{\"paths\": -1}", CURT_STATUS_ARGUMENT, "options"},
        {"{\"paths\": 0}", CURT_STATUS_OPTION, "`paths`"},
        {"{\"temperature\": -1}", CURT_STATUS_OPTION, "temperature"},
        {"{\"vote\": \"loudest\"}", CURT_STATUS_OPTION, "`vote`"},
        {"{\"format\": \"round\"}", CURT_STATUS_OPTION, "format"},
        {"{\"keep\": [\"some\"], \"paths\": 4}", CURT_STATUS_OPTION, "`keep`"},
        {"{\"prompt\": \"/nowhere\"}", CURT_STATUS_FILE, "/nowhere"},
        {"{\"paths\": 4000000000}", CURT_STATUS_MEMORY, "bytes"},
        {"{\"max_kv_bytes\": 1}", CURT_STATUS_MEMORY, "1 are allowed"},
        {"\xff\xfe", CURT_STATUS_ARGUMENT, "UTF-8"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        GIVES(wrong[i].status, curt_ask(engine, question, wrong[i].json, NULL, NULL, &answer));
        SAYS(wrong[i].words);
        CHECK(answer == 0);
    }
    CurtEngine other = 7;
    GIVES(CURT_STATUS_ARGUMENT, curt_engine_open(TEXTS, "{\"thread\": 1}", &other));
    GIVES(CURT_STATUS_OPTION, curt_engine_open(TEXTS, "{\"threads\": 0}", &other));
    GIVES(CURT_STATUS_OPTION, curt_engine_open(TEXTS, "{\"providers\": [\"abacus\"]}", &other));
    GIVES(CURT_STATUS_OPTION, curt_engine_open(TEXTS, "{\"providers\": [\"cpu\", \"cpu\"]}", &other));
    GIVES(CURT_STATUS_LIBRARY, curt_engine_open(TEXTS, "{\"library\": \"/nowhere/libonnxruntime.so\"}", &other));
    GIVES(CURT_STATUS_PACKAGE, curt_engine_open("/nowhere", NULL, &other));
    GIVES(CURT_STATUS_ARGUMENT, curt_engine_open("\xff", NULL, &other));
    CHECK(other == 0);
    OK(curt_question_close(question));
    GIVES(CURT_STATUS_ARGUMENT, curt_question_of_messages("[{\"role\": \"parrot\", \"content\": \"\"}]", &question));
    question = question_of("");
    GIVES(CURT_STATUS_OPTION, curt_ask(engine, question, NULL, NULL, NULL, &answer));
    OK(curt_question_close(question));
    GIVES(CURT_STATUS_ARGUMENT, curt_log_to(NULL, NULL, 6));
}

static void buffers(CurtEngine engine) {
    size_t length = 0;
    char buffer[8] = "unmoved";
    GIVES(CURT_STATUS_ARGUMENT, curt_engine_facts(engine, NULL, 0, NULL));
    GIVES(CURT_STATUS_ARGUMENT, curt_engine_facts(engine, NULL, 8, &length));
    CHECK(length > 8);
    OK(curt_engine_facts(engine, NULL, 0, &length));
    GIVES(CURT_STATUS_TOO_SMALL, curt_engine_facts(engine, buffer, 4, NULL));
    CHECK(strncmp(buffer, "{\"a", 3) != 0 || buffer[3] == 0);
    CHECK(buffer[3] == 0 && strcmp(buffer + 4, "ved") == 0);
    GIVES(CURT_STATUS_TOO_SMALL, curt_engine_facts(engine, buffer, 1, NULL));
    CHECK(buffer[0] == 0);
    // Asking what was wrong does not change what was wrong.
    GIVES(CURT_STATUS_HANDLE, curt_answer_close(0));
    CHECK(curt_error_message(buffer, 2, &length) == CURT_STATUS_TOO_SMALL && length > 2);
    CHECK(curt_error_message(NULL, 2, NULL) == CURT_STATUS_ARGUMENT);
    CHECK(curt_error_status() == CURT_STATUS_HANDLE);
    SAYS("an answer");
}

static void pictures(void) {
    CurtEngine engine = opened(IMAGES);
    CurtAnswer answer = 0;
    FILE *file = fopen(IMAGE, "rb");
    CHECK(file != NULL);
    static uint8_t bytes[1 << 20];
    size_t whole = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    const size_t cut[] = {0, 1, 10, whole / 4, whole / 2, whole - 2};
    for (size_t i = 0; i < sizeof cut / sizeof *cut; i++) {
        CurtQuestion question = question_of("What is it?");
        OK(curt_question_add_encoded(question, bytes, cut[i]));
        GIVES(CURT_STATUS_IMAGE, curt_ask(engine, question, SHORT, NULL, NULL, &answer));
        OK(curt_question_close(question));
    }
    CurtQuestion question = question_of("What is it?");
    OK(curt_question_add_file(question, "/nowhere.jpg"));
    GIVES(CURT_STATUS_FILE, curt_ask(engine, question, SHORT, NULL, NULL, &answer));
    OK(curt_question_close(question));

    question = question_of("What is it?");
    uint8_t pixels[64] = {0};
    const CurtFrame good = {
        .width = 4, .height = 4, .layout = CURT_LAYOUT_YUV420,
        .planes = {{pixels, 64, 16, 1}, {pixels, 64, 16, 1}, {pixels, 64, 16, 1}},
    };
    CurtFrame frame = good;
    OK(curt_question_add_frame(question, &frame));
#define REFUSED(status, change)                                       \
    do {                                                              \
        frame = good;                                                 \
        change;                                                       \
        GIVES(status, curt_question_add_frame(question, &frame));     \
    } while (0)
    REFUSED(CURT_STATUS_IMAGE, frame.planes[0].bytes = 51);
    REFUSED(CURT_STATUS_IMAGE, frame.planes[2].bytes = 17);
    REFUSED(CURT_STATUS_IMAGE, frame.planes[1].row_stride = 1);
    REFUSED(CURT_STATUS_IMAGE, frame.planes[1].pixel_stride = 0);
    REFUSED(CURT_STATUS_IMAGE, frame.planes[1].row_stride = SIZE_MAX);
    REFUSED(CURT_STATUS_IMAGE, frame.width = 0);
    REFUSED(CURT_STATUS_IMAGE, frame.width = SIZE_MAX);
    REFUSED(CURT_STATUS_IMAGE, frame.height = SIZE_MAX / 2);
    REFUSED(CURT_STATUS_IMAGE, frame.layout = CURT_LAYOUT_RGBA);
    REFUSED(CURT_STATUS_ARGUMENT, frame.layout = 0);
    REFUSED(CURT_STATUS_ARGUMENT, frame.colour = 9);
    REFUSED(CURT_STATUS_ARGUMENT, frame.rotation = 45);
    REFUSED(CURT_STATUS_ARGUMENT, frame.planes[1].data = NULL);
    REFUSED(CURT_STATUS_ARGUMENT, frame.planes[1].bytes = SIZE_MAX);
    // The good one was taken, the others were not.
    OK(curt_ask(engine, question, SHORT, NULL, NULL, &answer));
    OK(curt_answer_close(answer));
    OK(curt_question_close(question));
    OK(curt_engine_close(engine));

    // A package of texts takes none.
    engine = opened(TEXTS);
    question = question_of("What is it?");
    OK(curt_question_add_file(question, IMAGE));
    GIVES(CURT_STATUS_OPTION, curt_ask(engine, question, SHORT, NULL, NULL, &answer));
    SAYS("takes texts alone");
    OK(curt_question_close(question));
    OK(curt_engine_close(engine));
}

typedef struct {
    CurtEngine engine;
    CurtQuestion question;
    CurtKvView kept;
    int calls;
    int closes;
} Inside;

// Everything that a callback may not do, or may.
static int32_t inside(void *user, const CurtEvent *event) {
    Inside *in = user;
    (void)event;
    if (in->calls++ > 0) return 0;
    CurtAnswer answer = 0;
    CurtKvView view = 0;
    CurtKv kv;
    GIVES(CURT_STATUS_BUSY, curt_ask(in->engine, in->question, NULL, inside, in, &answer));
    SAYS("this thread");
    GIVES(CURT_STATUS_BUSY, curt_kv_borrow(in->engine, 0, CURT_KV_KIND_KEY, 0, &view, &kv));
    OK(curt_engine_trim(in->engine, CURT_TRIM_WEIGHTS));
    char *facts = text_of(curt_engine_facts, in->engine);
    free(facts);
    // Another engine is another matter.
    CurtEngine other = opened(TEXTS);
    OK(curt_ask(other, in->question, SHORT, NULL, NULL, &answer));
    OK(curt_answer_close(answer));
    OK(curt_engine_close(other));
    return 0;
}

static int32_t close_all(void *user, const CurtEvent *event) {
    Inside *in = user;
    (void)event;
    in->calls++;
    if (in->closes++ > 0) return 0;
    OK(curt_engine_close(in->engine));
    GIVES(CURT_STATUS_HANDLE, curt_engine_close(in->engine));
    OK(curt_question_close(in->question));
    return 0;
}

static int32_t keep_a_view(void *user, const CurtEvent *event) {
    Inside *in = user;
    CurtKv kv;
    if (event->kind == CURT_EVENT_KIND_CACHED) OK(curt_kv_borrow(in->engine, 0, CURT_KV_KIND_KEY, 0, &in->kept, &kv));
    return 0;
}

static int32_t into_background(void *user, const CurtEvent *event) {
    Inside *in = user;
    (void)event;
    OK(curt_engine_background(in->engine));
    return 0;
}

static void callbacks(void) {
    Inside in = {.engine = opened(TEXTS), .question = question_of(QUESTION)};
    CurtAnswer answer = 0;
    OK(curt_ask(in.engine, in.question, "{\"max_tokens\": 30}", inside, &in, &answer));
    CHECK(in.calls > 1);
    OK(curt_answer_close(answer));
    // What was to be trimmed was, when the question had ended.
    CurtKvView view = 0;
    CurtKv kv;
    GIVES(CURT_STATUS_BUSY, curt_kv_borrow(in.engine, 0, CURT_KV_KIND_KEY, 0, &view, &kv));

    // Kept past its callback, a view stops the question and is good until it is released.
    const char *shown = "{\"paths\": 2, \"max_tokens\": 30, \"show_kv_at\": [4]}";
    GIVES(CURT_STATUS_BUSY, curt_ask(in.engine, in.question, shown, keep_a_view, &in, &answer));
    SAYS("kept 1 views");
    if (answer != 0) OK(curt_answer_close(answer));
    GIVES(CURT_STATUS_BUSY, curt_ask(in.engine, in.question, SHORT, NULL, NULL, &answer));
    GIVES(CURT_STATUS_HANDLE, curt_engine_close(in.kept));
    OK(curt_kv_release(in.kept));
    GIVES(CURT_STATUS_HANDLE, curt_kv_release(in.kept));

    GIVES(CURT_STATUS_CANCELLED, curt_ask(in.engine, in.question, NULL, into_background, &in, &answer));
    if (answer != 0) OK(curt_answer_close(answer));
    GIVES(CURT_STATUS_BACKGROUND, curt_ask(in.engine, in.question, NULL, NULL, NULL, &answer));
    OK(curt_engine_foreground(in.engine));

    in.calls = 0;
    GIVES(CURT_STATUS_CANCELLED, curt_ask(in.engine, in.question, NULL, close_all, &in, &answer));
    CHECK(in.calls == 1);
    if (answer != 0) OK(curt_answer_close(answer));
    GIVES(CURT_STATUS_HANDLE, curt_engine_close(in.engine));
}

// An engine that is closed under a view: the view's memory is good until it is released.
static void views(void) {
    CurtEngine engine = opened(TEXTS);
    CurtQuestion question = question_of(QUESTION);
    CurtAnswer answer = 0;
    CurtKvView view = 0;
    CurtKv kv;
    OK(curt_ask(engine, question, SHORT, NULL, NULL, &answer));
    OK(curt_answer_close(answer));
    OK(curt_kv_borrow(engine, 0, CURT_KV_KIND_VALUE, 0, &view, &kv));
    OK(curt_engine_close(engine));
    unsigned sum = 0;
    for (size_t i = 0; i < kv.segment[0].bytes; i++) sum += kv.segment[0].data[i];
    CHECK(sum > 0);
    OK(curt_kv_release(view));
    OK(curt_question_close(question));
}

static int told;

static void tell_again(void *user, uint32_t level, const char *message) {
    (void)user, (void)level, (void)message;
    told++;
    GIVES(CURT_STATUS_BUSY, curt_log_to(NULL, NULL, CURT_LOG_LEVEL_OFF));
}

static void logs(void) {
    OK(curt_log_to(tell_again, NULL, CURT_LOG_LEVEL_TRACE));
    CurtEngine engine = opened(TEXTS);
    OK(curt_log_to(NULL, NULL, CURT_LOG_LEVEL_OFF));
    OK(curt_engine_close(engine));
    CHECK(told > 0);
}

// One asks, and tells the other when it has begun.
typedef struct {
    CurtEngine engine;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int begun;
    CurtStatus status;
} Shared;

static int32_t tell_begun(void *user, const CurtEvent *event) {
    Shared *shared = user;
    (void)event;
    pthread_mutex_lock(&shared->lock);
    shared->begun = 1;
    pthread_cond_broadcast(&shared->changed);
    pthread_mutex_unlock(&shared->lock);
    wait_ms(3);
    return 0;
}

static void *ask_for_long(void *user) {
    Shared *shared = user;
    CurtQuestion question = question_of(QUESTION);
    CurtAnswer answer = 0;
    shared->status = curt_ask(shared->engine, question, "{\"paths\": 8}", tell_begun, shared, &answer);
    if (answer != 0) OK(curt_answer_close(answer));
    OK(curt_question_close(question));
    return NULL;
}

static void wait_begun(Shared *shared) {
    pthread_mutex_lock(&shared->lock);
    while (!shared->begun) pthread_cond_wait(&shared->changed, &shared->lock);
    pthread_mutex_unlock(&shared->lock);
}

static void two_threads(int closes) {
    Shared shared = {.engine = opened(TEXTS), .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    pthread_t asking;
    CHECK(pthread_create(&asking, NULL, ask_for_long, &shared) == 0);
    wait_begun(&shared);
    CurtQuestion question = question_of(QUESTION);
    CurtAnswer answer = 0;
    GIVES(CURT_STATUS_BUSY, curt_ask(shared.engine, question, NULL, NULL, NULL, &answer));
    SAYS("another thread");
    if (closes) {
        OK(curt_engine_close(shared.engine));
    } else {
        // It returns when nothing runs any more.
        OK(curt_engine_background(shared.engine));
        OK(curt_engine_foreground(shared.engine));
        OK(curt_ask(shared.engine, question, SHORT, NULL, NULL, &answer));
        OK(curt_answer_close(answer));
        OK(curt_engine_close(shared.engine));
    }
    CHECK(pthread_join(asking, NULL) == 0);
    CHECK(shared.status == CURT_STATUS_CANCELLED);
    OK(curt_question_close(question));
}

static void *fails_otherwise(void *user) {
    (void)user;
    CHECK(curt_error_status() == CURT_STATUS_OK);
    GIVES(CURT_STATUS_ARGUMENT, curt_log_to(NULL, NULL, 99));
    return NULL;
}

static void errors_of_threads(void) {
    GIVES(CURT_STATUS_HANDLE, curt_answer_close(1));
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, fails_otherwise, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(curt_error_status() == CURT_STATUS_HANDLE);
}

#define THREADS 4
#define ROUNDS 60

// What several threads share without asking each other.
typedef struct {
    uint64_t engines[2];
    uint64_t question;
    unsigned seed;
} Crowd;

static int32_t perhaps_stop(void *user, const CurtEvent *event) {
    (void)event;
    unsigned *seed = user;
    *seed = *seed * 1664525u + 1013904223u;
    return (*seed >> 24) < 8;
}

static void *anything(void *user) {
    Crowd *crowd = user;
    unsigned seed = __atomic_add_fetch(&crowd->seed, 77, __ATOMIC_SEQ_CST);
    for (int round = 0; round < ROUNDS; round++) {
        seed = seed * 1664525u + 1013904223u;
        uint64_t *place = &crowd->engines[seed >> 31];
        uint64_t engine = __atomic_load_n(place, __ATOMIC_SEQ_CST);
        uint64_t question = __atomic_load_n(&crowd->question, __ATOMIC_SEQ_CST);
        CurtAnswer answer = 0;
        CurtKvView view = 0;
        CurtKv kv;
        switch ((seed >> 24) % 12) {
        case 0: {
            CurtEngine fresh = opened(TEXTS);
            uint64_t old = __atomic_exchange_n(place, fresh, __ATOMIC_SEQ_CST);
            OK(curt_engine_close(old));
            break;
        }
        case 1: {
            uint64_t old = __atomic_exchange_n(&crowd->question, question_of(QUESTION), __ATOMIC_SEQ_CST);
            curt_question_cancel(old);
            OK(curt_question_close(old));
            break;
        }
        case 2: curt_engine_trim(engine, 1 + (seed >> 8) % 3); break;
        case 3:
            curt_engine_background(engine);
            curt_engine_foreground(engine);
            break;
        case 4: curt_question_cancel(question); break;
        case 5:
            if (curt_kv_borrow(engine, 0, CURT_KV_KIND_KEY, 0, &view, &kv) == CURT_STATUS_OK) {
                unsigned sum = 0;
                for (size_t i = 0; i < kv.segment[0].bytes && kv.segment[0].shape[1] > 0; i++) sum += kv.segment[0].data[i];
                (void)sum;
                OK(curt_kv_release(view));
            }
            break;
        default: {
            CurtStatus status = curt_ask(engine, question, SHORT, perhaps_stop, &seed, &answer);
            CHECK(status == CURT_STATUS_OK || status == CURT_STATUS_BUSY || status == CURT_STATUS_CANCELLED ||
                  status == CURT_STATUS_HANDLE || status == CURT_STATUS_BACKGROUND);
            if (answer != 0) {
                char *text = text_of(curt_answer_text, answer);
                free(text);
                OK(curt_answer_close(answer));
            }
        }
        }
    }
    return NULL;
}

static void crowds(void) {
    Crowd crowd = {.engines = {opened(TEXTS), opened(TEXTS)}, .question = question_of(QUESTION)};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) CHECK(pthread_create(&threads[i], NULL, anything, &crowd) == 0);
    for (int i = 0; i < THREADS; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    OK(curt_engine_close(crowd.engines[0]));
    OK(curt_engine_close(crowd.engines[1]));
    OK(curt_question_close(crowd.question));
}

int main(int argc, char **argv) {
    CHECK(argc == 4);
    TEXTS = argv[1], IMAGES = argv[2], IMAGE = argv[3];
    CHECK(curt_error_status() == CURT_STATUS_OK);
    // The library writes its line when it is loaded, which is once.
    logs();
    nulls();
    CurtEngine engine = opened(TEXTS);
    handles(engine);
    options(engine);
    buffers(engine);
    OK(curt_engine_close(engine));
    GIVES(CURT_STATUS_HANDLE, curt_engine_close(engine));
    GIVES(CURT_STATUS_HANDLE, curt_engine_facts(engine, NULL, 0, NULL));
    pictures();
    callbacks();
    views();
    two_threads(0);
    two_threads(1);
    errors_of_threads();
    crowds();
    puts("as it should be");
    return 0;
}
