// What the library is for: text and image, streamed, stopped, cancelled, pruned, looked into, sent to the background.
// Arguments: a package of texts, one of images, an image, its pixels (red, green, blue), their width and height.
#include "check.h"

#include <pthread.h>

static const char *TEXTS, *IMAGES, *IMAGE;
static uint8_t *PIXELS;
static size_t WIDTH, HEIGHT;

static const char *QUESTION =
    "A machine turns 6 into 81 and 5 into 72. It is fed 1, 4, 7, 12, 2, 3, 11, 8, 9. What comes out?";

typedef struct {
    char text[8192];
    size_t length;
    int events[16];
    int stop_after;
} Heard;

static int32_t hear(void *user, const CurtEvent *event) {
    Heard *heard = user;
    CHECK(event->text[event->text_length] == 0);
    if (event->kind < 16) heard->events[event->kind]++;
    if ((event->kind == CURT_EVENT_KIND_TEXT || event->kind == CURT_EVENT_KIND_SECTION_TEXT) && event->path == 0) {
        CHECK(heard->length + event->text_length < sizeof heard->text);
        memcpy(heard->text + heard->length, event->text, event->text_length);
        heard->length += event->text_length;
        if (heard->stop_after > 0 && --heard->stop_after == 0) return 7;
    }
    return 0;
}

static void texts(CurtEngine engine) {
    CurtQuestion question = question_of(QUESTION);
    Heard heard = {0};
    CurtAnswer answer = 0;
    OK(curt_ask(engine, question, NULL, hear, &heard, &answer));
    char *text = text_of(curt_answer_text, answer);
    CHECK(strcmp(text, heard.text) == 0 && heard.length > 0);
    CHECK(heard.events[CURT_EVENT_KIND_PLANNED] == 1 && heard.events[CURT_EVENT_KIND_PREFILLED] == 1);
    char *json = text_of(curt_answer_json, answer);
    CHECK(strstr(json, "\"generated\":") && strstr(json, "\"total_ms\":") && !strstr(json, "\"error\""));
    OK(curt_answer_close(answer));

    // The same again, with nobody listening.
    OK(curt_ask(engine, question, "", NULL, NULL, &answer));
    char *again = text_of(curt_answer_text, answer);
    CHECK(strcmp(text, again) == 0);
    OK(curt_answer_close(answer));

    // Stopped by its listener, it keeps what there was.
    Heard stopped = {.stop_after = 3};
    GIVES(CURT_STATUS_CANCELLED, curt_ask(engine, question, NULL, hear, &stopped, &answer));
    char *part = text_of(curt_answer_text, answer);
    CHECK(strlen(part) > 0 && strlen(part) < strlen(text) && strncmp(part, text, strlen(part)) == 0);
    char *broken = text_of(curt_answer_json, answer);
    CHECK(strstr(broken, "\"error\":\"cancelled"));
    OK(curt_answer_close(answer));
    // And can be asked again: the question itself was not cancelled.
    OK(curt_ask(engine, question, NULL, NULL, NULL, &answer));
    OK(curt_answer_close(answer));

    OK(curt_question_close(question));
    free(text), free(json), free(again), free(part), free(broken);
}

// Sixteen paths, of which the head lets four go on.
static void pruned(CurtEngine engine) {
    CurtQuestion question = question_of(QUESTION);
    Heard heard = {0};
    CurtAnswer answer = 0;
    OK(curt_ask(engine, question, "{\"paths\": 16, \"keep\": [\"4\"], \"seed\": 3}", hear, &heard, &answer));
    CHECK(heard.events[CURT_EVENT_KIND_CHECKED] == 1);
    char *json = text_of(curt_answer_json, answer);
    CHECK(strstr(json, "\"kept\":4") && strstr(json, "\"votes\":[") && strstr(json, "\"dropped_at_tokens\""));
    char *found = text_of(curt_answer_found, answer);
    CHECK(strlen(found) > 0);
    free(json), free(found);
    OK(curt_answer_close(answer));
    OK(curt_question_close(question));
}

static void *cancel_soon(void *question) {
    wait_ms(20);
    OK(curt_question_cancel(*(CurtQuestion *)question));
    return NULL;
}

static int32_t slowly(void *user, const CurtEvent *event) {
    (void)user, (void)event;
    wait_ms(2);
    return 0;
}

static void cancelled(CurtEngine engine) {
    CurtQuestion question = question_of(QUESTION);
    CurtAnswer answer = 0;
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, cancel_soon, &question) == 0);
    GIVES(CURT_STATUS_CANCELLED, curt_ask(engine, question, "{\"paths\": 8}", slowly, NULL, &answer));
    CHECK(pthread_join(thread, NULL) == 0);
    if (answer != 0) OK(curt_answer_close(answer));
    // A cancelled question stays so.
    GIVES(CURT_STATUS_CANCELLED, curt_ask(engine, question, NULL, NULL, NULL, &answer));
    CHECK(answer == 0);
    OK(curt_question_close(question));
}

static char *answer_about(CurtEngine engine, CurtQuestion question) {
    CurtAnswer answer = 0;
    Heard heard = {0};
    OK(curt_ask(engine, question, "{\"format\": \"perception\"}", hear, &heard, &answer));
    CHECK(heard.events[CURT_EVENT_KIND_SECTION_BEGAN] > 0);
    CHECK(heard.events[CURT_EVENT_KIND_SECTION_BEGAN] == heard.events[CURT_EVENT_KIND_SECTION_ENDED]);
    char *text = text_of(curt_answer_text, answer);
    OK(curt_answer_close(answer));
    OK(curt_question_close(question));
    return text;
}

static void images(CurtEngine engine) {
    const char *asked = "How many shapes are red?";
    CurtQuestion question = question_of(asked);
    OK(curt_question_add_file(question, IMAGE));
    char *by_file = answer_about(engine, question);

    FILE *file = fopen(IMAGE, "rb");
    CHECK(file != NULL);
    static uint8_t bytes[1 << 20];
    size_t length = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    question = question_of(asked);
    OK(curt_question_add_encoded(question, bytes, length));
    memset(bytes, 0, sizeof bytes); // they were copied
    char *by_bytes = answer_about(engine, question);
    CHECK(strcmp(by_file, by_bytes) == 0);

    // Turned a quarter to the left in memory, with rows and pixels apart.
    size_t pixel_stride = 4, row_stride = HEIGHT * pixel_stride + 12;
    uint8_t *turned = calloc(WIDTH, row_stride);
    CHECK(turned != NULL);
    for (size_t y = 0; y < HEIGHT; y++)
        for (size_t x = 0; x < WIDTH; x++) {
            uint8_t *to = turned + (WIDTH - 1 - x) * row_stride + y * pixel_stride;
            memcpy(to, PIXELS + 3 * (y * WIDTH + x), 3);
        }
    CurtFrame frame = {.width = HEIGHT, .height = WIDTH, .layout = CURT_LAYOUT_RGB, .rotation = 90};
    frame.planes[0] = (CurtPlane){turned, WIDTH * row_stride, row_stride, pixel_stride};
    question = question_of(asked);
    OK(curt_question_add_frame(question, &frame));
    memset(turned, 0, WIDTH * row_stride); // the frame was read
    free(turned);
    char *by_pixels = answer_about(engine, question);
    CHECK(strcmp(by_file, by_pixels) == 0);

    // The same picture as brightness and chroma: NV12, whose colours are nearly those.
    size_t half_width = (WIDTH + 1) / 2, half_height = (HEIGHT + 1) / 2;
    uint8_t *y_plane = malloc(WIDTH * HEIGHT), *uv_plane = malloc(2 * half_width * half_height);
    CHECK(y_plane != NULL && uv_plane != NULL);
    for (size_t y = 0; y < HEIGHT; y++)
        for (size_t x = 0; x < WIDTH; x++) {
            const uint8_t *rgb = PIXELS + 3 * (y * WIDTH + x);
            double luma = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2];
            y_plane[y * WIDTH + x] = (uint8_t)(luma + 0.5);
            uint8_t *uv = uv_plane + 2 * ((y / 2) * half_width + x / 2);
            double u = 128.5 + (rgb[2] - luma) / 1.772, v = 128.5 + (rgb[0] - luma) / 1.402;
            uv[0] = (uint8_t)(u < 0 ? 0 : u > 255 ? 255 : u);
            uv[1] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
        }
    frame = (CurtFrame){.width = WIDTH, .height = HEIGHT, .layout = CURT_LAYOUT_YUV420};
    frame.planes[0] = (CurtPlane){y_plane, WIDTH * HEIGHT, WIDTH, 1};
    frame.planes[1] = (CurtPlane){uv_plane, 2 * half_width * half_height, 2 * half_width, 2};
    frame.planes[2] = (CurtPlane){uv_plane + 1, 2 * half_width * half_height - 1, 2 * half_width, 2};
    question = question_of(asked);
    OK(curt_question_add_frame(question, &frame));
    free(y_plane), free(uv_plane);
    char *by_yuv = answer_about(engine, question);
    CHECK(strcmp(by_file, by_yuv) == 0);
    free(by_file), free(by_bytes), free(by_pixels), free(by_yuv);
}

typedef struct {
    CurtEngine engine;
    double sums[2];
    int seen;
} Looking;

// The sum of all elements, read where they lie.
static double sum_of(const CurtKv *kv) {
    CHECK(kv->dtype == CURT_DTYPE_F32 && kv->segments >= 1 && kv->segments <= 2);
    double sum = 0;
    for (uint32_t s = 0; s < kv->segments; s++) {
        const CurtKvSegment *at = &kv->segment[s];
        for (size_t head = 0; head < at->shape[0]; head++)
            for (size_t position = 0; position < at->shape[1]; position++)
                for (size_t dim = 0; dim < at->shape[2]; dim++) {
                    float element;
                    const uint8_t *from =
                        at->data + head * at->strides[0] + position * at->strides[1] + dim * at->strides[2];
                    CHECK(from + sizeof element <= at->data + at->bytes);
                    memcpy(&element, from, sizeof element);
                    sum += element;
                }
    }
    return sum;
}

static int32_t look(void *user, const CurtEvent *event) {
    Looking *looking = user;
    if (event->kind != CURT_EVENT_KIND_CACHED) return 0;
    CHECK(strstr(event->text, "\"at_tokens\":4") && strstr(event->text, "\"rows\":[0,1]"));
    for (uint32_t row = 0; row < 2; row++) {
        CurtKvView view;
        CurtKv kv;
        OK(curt_kv_borrow(looking->engine, 0, CURT_KV_KIND_VALUE, row, &view, &kv));
        looking->sums[row] = sum_of(&kv);
        OK(curt_kv_release(view));
    }
    looking->seen++;
    return 0;
}

static void cache(CurtEngine engine) {
    CurtQuestion question = question_of(QUESTION);
    CurtAnswer answer = 0;
    Looking looking = {.engine = engine};
    OK(curt_ask(engine, question, "{\"paths\": 2, \"show_kv_at\": [4], \"seed\": 1}", look, &looking, &answer));
    CHECK(looking.seen == 1 && looking.sums[0] != 0);
    OK(curt_answer_close(answer));

    // Between questions: what the last one has left.
    CurtKvView key, value;
    CurtKv keys, values;
    OK(curt_kv_borrow(engine, 0, CURT_KV_KIND_KEY, 0, &key, &keys));
    OK(curt_kv_borrow(engine, 0, CURT_KV_KIND_VALUE, 0, &value, &values));
    CHECK(keys.segment[0].shape[1] == values.segment[0].shape[1]);
    double before = sum_of(&values);
    CHECK(before != 0 && sum_of(&keys) != before);
    // While it is borrowed nothing moves it, and nothing is asked.
    OK(curt_engine_trim(engine, CURT_TRIM_WEIGHTS));
    GIVES(CURT_STATUS_BUSY, curt_ask(engine, question, NULL, NULL, NULL, &answer));
    SAYS("2 views");
    CHECK(sum_of(&values) == before);
    OK(curt_kv_release(key));
    CHECK(sum_of(&values) == before);
    OK(curt_kv_release(value));
    // Now it is given back, and made again.
    GIVES(CURT_STATUS_BUSY, curt_kv_borrow(engine, 0, CURT_KV_KIND_KEY, 0, &key, &keys));
    OK(curt_ask(engine, question, NULL, NULL, NULL, &answer));
    OK(curt_answer_close(answer));
    GIVES(CURT_STATUS_ARGUMENT, curt_kv_borrow(engine, 1000, CURT_KV_KIND_KEY, 0, &key, &keys));
    GIVES(CURT_STATUS_ARGUMENT, curt_kv_borrow(engine, 0, CURT_KV_KIND_KEY, 1000, &key, &keys));
    GIVES(CURT_STATUS_ARGUMENT, curt_kv_borrow(engine, 0, 3, 0, &key, &keys));
    CHECK(key == 0);
    OK(curt_question_close(question));
}

static void memory(CurtEngine engine) {
    CurtQuestion question = question_of(QUESTION);
    CurtAnswer answer = 0;
    OK(curt_ask(engine, question, NULL, NULL, NULL, &answer));
    char *first = text_of(curt_answer_text, answer);
    OK(curt_answer_close(answer));
    for (uint32_t level = CURT_TRIM_IMAGES; level <= CURT_TRIM_WEIGHTS; level++) {
        OK(curt_engine_trim(engine, level));
        OK(curt_ask(engine, question, NULL, NULL, NULL, &answer));
        char *again = text_of(curt_answer_text, answer);
        CHECK(strcmp(first, again) == 0);
        free(again);
        OK(curt_answer_close(answer));
    }
    OK(curt_engine_background(engine));
    OK(curt_engine_background(engine));
    GIVES(CURT_STATUS_BACKGROUND, curt_ask(engine, question, NULL, NULL, NULL, &answer));
    OK(curt_engine_foreground(engine));
    OK(curt_ask(engine, question, NULL, NULL, NULL, &answer));
    char *again = text_of(curt_answer_text, answer);
    CHECK(strcmp(first, again) == 0);
    free(first), free(again);
    OK(curt_answer_close(answer));
    OK(curt_question_close(question));
}

static void turns(CurtEngine engine) {
    CurtQuestion question = 0;
    CurtAnswer answer = 0;
    OK(curt_question_of_messages("[{\"role\": \"user\", \"content\": \"1 2 3 : rev =\"}]", &question));
    OK(curt_ask(engine, question, "{\"max_tokens\": 4}", NULL, NULL, &answer));
    OK(curt_answer_close(answer));
    OK(curt_question_close(question));
}

static void logged(void *user, uint32_t level, const char *message) {
    (void)level;
    if (strstr(message, "ONNX Runtime")) __atomic_fetch_add((int *)user, 1, __ATOMIC_SEQ_CST);
}

int main(int argc, char **argv) {
    CHECK(argc == 7);
    TEXTS = argv[1], IMAGES = argv[2], IMAGE = argv[3];
    WIDTH = strtoul(argv[5], NULL, 10), HEIGHT = strtoul(argv[6], NULL, 10);
    PIXELS = malloc(3 * WIDTH * HEIGHT);
    FILE *file = fopen(argv[4], "rb");
    CHECK(file != NULL && PIXELS != NULL && fread(PIXELS, 3, WIDTH * HEIGHT, file) == WIDTH * HEIGHT);
    fclose(file);

    CHECK(curt_abi_version() == CURT_ABI_VERSION);
    int lines = 0;
    OK(curt_log_to(logged, &lines, CURT_LOG_LEVEL_DEBUG));
    CurtEngine engine = opened(TEXTS);
    OK(curt_log_to(NULL, NULL, CURT_LOG_LEVEL_OFF));
    CHECK(lines > 0);
    char *facts = text_of(curt_engine_facts, engine);
    CHECK(strstr(facts, "\"takes_images\":false") && strstr(facts, "\"layers\":"));
    free(facts);
    texts(engine);
    pruned(engine);
    cancelled(engine);
    cache(engine);
    memory(engine);
    turns(engine);
    OK(curt_engine_close(engine));

    engine = opened(IMAGES);
    images(engine);
    OK(curt_engine_close(engine));
    free(PIXELS);
    puts("as it should be");
    return 0;
}
