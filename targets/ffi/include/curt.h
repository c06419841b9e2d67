// curt behind a C ABI. Made from targets/ffi/src by cbindgen: do not edit.
//
// Every function returns CURT_STATUS_OK or says what was wrong: curt_error_message and curt_error_remedy have the words of
// the last call of this thread that failed. A handle is a number; one that was closed, or never was, is an error and never
// a crash. Texts are UTF-8. Texts out are copied into a buffer of yours: pass a capacity of 0 to learn their length.
//
// Set ORT_DISABLE_TELEMETRY=1 before the first thread starts, and ORT_DYLIB_PATH or the option "library" to the ONNX
// Runtime library (README.md says where it is found).

#ifndef CURT_H
#define CURT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#if defined(__cplusplus) && __cplusplus >= 201703L
// A callback that may throw does not compile: nothing may unwind through the library.
#define CURT_NOEXCEPT noexcept
#else
#define CURT_NOEXCEPT
#endif

struct CurtEvent;

// Told what happens while a question is answered, on the thread that asks. Return 0 to go on; anything else stops the
// question, whose answer so far is kept. Of the engine that answers, only curt_kv_borrow may be called from here.
typedef int32_t (*CurtOnEvent)(void *user, const struct CurtEvent *event) CURT_NOEXCEPT;

// Told a line of the log, on whichever thread writes it. `message` ends with a NUL and is gone when this returns.
typedef void (*CurtOnLog)(void *user, uint32_t level, const char *message) CURT_NOEXCEPT;

// Number of this interface. It goes up whenever a program that was compiled with an older header would no longer run.
#define CURT_ABI_VERSION 1

// What a call came to.
enum CurtStatus
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // It did what it was asked.
  CURT_STATUS_OK = 0,
  // A handle that is none, is of another kind, or was closed.
  CURT_STATUS_HANDLE = 1,
  // An argument that cannot be: a null pointer, a text that is no UTF-8, options that are no JSON.
  CURT_STATUS_ARGUMENT = 2,
  // An option outside its range, unknown, or at odds with another.
  CURT_STATUS_OPTION = 3,
  // The engine is answering another question, or keys and values of it are borrowed.
  CURT_STATUS_BUSY = 4,
  // The question was cancelled. There may be an answer as far as it came.
  CURT_STATUS_CANCELLED = 5,
  // The buffer is too small; what fits is in it.
  CURT_STATUS_TOO_SMALL = 6,
  // The package is broken, or of a kind that curt does not read.
  CURT_STATUS_PACKAGE = 7,
  // A file could not be read.
  CURT_STATUS_FILE = 8,
  // There is no usable ONNX Runtime library.
  CURT_STATUS_LIBRARY = 9,
  // ONNX Runtime refused or failed.
  CURT_STATUS_RUNTIME = 10,
  // An image that cannot be seen.
  CURT_STATUS_IMAGE = 11,
  // The question does not fit the model's context.
  CURT_STATUS_CONTEXT = 12,
  // Not enough memory.
  CURT_STATUS_MEMORY = 13,
  // The model gave numbers that mean nothing.
  CURT_STATUS_MODEL = 14,
  // The engine is in the background.
  CURT_STATUS_BACKGROUND = 15,
  // A fault of curt's own. An engine that it happened in takes no more calls but its closing.
  CURT_STATUS_PANIC = 16,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum CurtStatus CurtStatus;
#else
typedef uint32_t CurtStatus;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// How brightness and chroma stand for colours.
enum CurtColour
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // BT.601 over all 256 levels: JPEG, and Android's cameras where they say nothing else.
  CURT_COLOUR_BT601_FULL = 0,
  // BT.601 on the levels 16 to 235.
  CURT_COLOUR_BT601_VIDEO = 1,
  // BT.709 over all 256 levels.
  CURT_COLOUR_BT709_FULL = 2,
  // BT.709 on the levels 16 to 235.
  CURT_COLOUR_BT709_VIDEO = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum CurtColour CurtColour;
#else
typedef uint32_t CurtColour;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What an element is.
enum CurtDtype
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // IEEE single precision.
  CURT_DTYPE_F32 = 1,
  // IEEE half precision.
  CURT_DTYPE_F16 = 2,
  // bfloat16.
  CURT_DTYPE_BF16 = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum CurtDtype CurtDtype;
#else
typedef uint32_t CurtDtype;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What happened. A number that is not here is news from a newer library: go on.
enum CurtEventKind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // `text` is what is new of a path's text. A response with a format is told by its sections instead.
  CURT_EVENT_KIND_TEXT = 1,
  // A section begins; `text` is its name: perception, reasoning or answer.
  CURT_EVENT_KIND_SECTION_BEGAN = 2,
  // `text` is what is new of a path's section.
  CURT_EVENT_KIND_SECTION_TEXT = 3,
  // A section has ended; `text` is its name.
  CURT_EVENT_KIND_SECTION_ENDED = 4,
  // `text` is JSON: keys, values and logits as they will be, before they are allocated.
  CURT_EVENT_KIND_PLANNED = 5,
  // The prompt is cached. `text` is JSON: `tokens` that were run, `reused` ones that were cached.
  CURT_EVENT_KIND_PREFILLED = 6,
  // Paths were scored, and some perhaps dropped. `text` is JSON: `at_tokens`, `scored`, `kept`, `signal`.
  CURT_EVENT_KIND_CHECKED = 7,
  // An answer of the cascade was not accepted; what comes is path 0's anew. `text` is JSON: `from`, `to`, `reason`.
  CURT_EVENT_KIND_ESCALATED = 8,
  // The cache at one of the option `show_kv_at`: curt_kv_borrow may be called now. `text` is JSON: `prompt_tokens`,
  // `at_tokens`, `rows` (the path of each row).
  CURT_EVENT_KIND_CACHED = 9,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum CurtEventKind CurtEventKind;
#else
typedef uint32_t CurtEventKind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Keys or values.
enum CurtKvKind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // Keys, after the rotary embedding.
  CURT_KV_KIND_KEY = 1,
  // Values.
  CURT_KV_KIND_VALUE = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum CurtKvKind CurtKvKind;
#else
typedef uint32_t CurtKvKind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// How the pixels of a frame lie in memory.
enum CurtLayout
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // One plane: red, green, blue.
  CURT_LAYOUT_RGB = 1,
  // One plane: red, green, blue, and how opaque a pixel is.
  CURT_LAYOUT_RGBA = 2,
  // One plane: blue, green, red, and how opaque a pixel is.
  CURT_LAYOUT_BGRA = 3,
  // Three planes: brightness for each pixel, then blue and red chroma for each two by two pixels. NV12 and NV21 are this
  // too, with two planes that begin one byte apart and have a pixel stride of 2.
  CURT_LAYOUT_YUV420 = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum CurtLayout CurtLayout;
#else
typedef uint32_t CurtLayout;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// How much a line of the log matters.
enum CurtLogLevel
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // Nothing is told.
  CURT_LOG_LEVEL_OFF = 0,
  // Something failed.
  CURT_LOG_LEVEL_ERROR = 1,
  // Something is not as it should be.
  CURT_LOG_LEVEL_WARN = 2,
  // What a user may want to know.
  CURT_LOG_LEVEL_INFO = 3,
  // What a developer may want to know.
  CURT_LOG_LEVEL_DEBUG = 4,
  // Everything.
  CURT_LOG_LEVEL_TRACE = 5,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum CurtLogLevel CurtLogLevel;
#else
typedef uint32_t CurtLogLevel;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What an engine gives back; each level is more than the one before it.
enum CurtTrim
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // The vision graph and what it made of images: an image that comes again is seen again.
  CURT_TRIM_IMAGES = 1,
  // Keys and values too: the next prompt is run from its beginning.
  CURT_TRIM_ROWS = 2,
  // The weights too: they are loaded again with the next question.
  CURT_TRIM_WEIGHTS = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum CurtTrim CurtTrim;
#else
typedef uint32_t CurtTrim;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// An answer. 0 is none.
typedef uint64_t CurtAnswer;

// A loaded package that answers questions, one at a time. 0 is none.
typedef uint64_t CurtEngine;

// A question. 0 is none.
typedef uint64_t CurtQuestion;

// A view of keys or values. 0 is none.
typedef uint64_t CurtKvView;

// Positions that follow each other: `shape` is kv heads, positions, elements of a head.
typedef struct CurtKvSegment {
  // The first element of the first head's first position. To be read only, and only until curt_kv_release.
  const uint8_t *data;
  // Bytes from there to the end of the last element.
  size_t bytes;
  // Numbers along each axis.
  size_t shape[3];
  // Bytes from one to the next along each axis.
  size_t strides[3];
} CurtKvSegment;

// Keys or values of one layer and one row: one segment, or two where rows share their prompt, which is the first then.
typedef struct CurtKv {
  // One of CurtDtype.
  uint32_t dtype;
  // 1 or 2.
  uint32_t segments;
  // Those that are there; the others are empty.
  struct CurtKvSegment segment[2];
} CurtKv;

// Rows of pixels in memory of yours.
typedef struct CurtPlane {
  // The first byte of the first row's first pixel.
  const uint8_t *data;
  // Bytes from there to the end of the memory.
  size_t bytes;
  // Bytes from one row to the next.
  size_t row_stride;
  // Bytes from one pixel, or sample, to the next.
  size_t pixel_stride;
} CurtPlane;

// A camera's frame. It is read during curt_question_add_frame and not needed afterwards.
typedef struct CurtFrame {
  // Pixels in a row, as they lie in memory.
  size_t width;
  // Rows, as they lie in memory.
  size_t height;
  // One of CurtLayout.
  uint32_t layout;
  // Degrees clockwise that the frame has to be turned to stand upright: 0, 90, 180 or 270.
  uint32_t rotation;
  // One of CurtColour, of CURT_LAYOUT_YUV420.
  uint32_t colour;
  // As many as the layout has; the others are not looked at.
  struct CurtPlane planes[3];
} CurtFrame;

// What happened. It and its text are gone when the callback returns.
typedef struct CurtEvent {
  // One of CurtEventKind.
  uint32_t kind;
  // The path that it happened to, or 0.
  uint32_t path;
  // UTF-8 with a NUL at its end.
  const char *text;
  // Bytes of the text, without the NUL.
  size_t text_length;
} CurtEvent;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The whole text of the path that speaks for the answer. Copied as curt_error_message does.
CurtStatus curt_answer_text(CurtAnswer answer, char *buffer, size_t capacity, size_t *length);

// What the vote chose, or what the answer pattern finds in the text; empty where there is neither.
CurtStatus curt_answer_found(CurtAnswer answer, char *buffer, size_t capacity, size_t *length);

// All that is known of the answer, as the JSON object that `curt ask --json` prints: votes, paths, tokens and times by phase,
// images, placement, notes; `error` where it broke off.
CurtStatus curt_answer_json(CurtAnswer answer,
                            char *buffer,
                            size_t capacity,
                            size_t *length);

// Closes an answer.
CurtStatus curt_answer_close(CurtAnswer answer);

// Answers `question` on this thread, and returns when the answer is there. `options` is a JSON object (README.md lists its
// fields), or NULL for the usual ones. `on_event` may be NULL; `user` is handed to it and not looked at.
//
// `answer` gets a handle to be closed, or 0. A question that broke off gives both a status that says why and, where paths had
// begun, an answer as far as it came.
CurtStatus curt_ask(CurtEngine engine,
                    CurtQuestion question,
                    const char *options,
                    CurtOnEvent on_event,
                    void *user,
                    CurtAnswer *answer);

// Opens the package in the folder `dir`. `options` is a JSON object (README.md lists its fields), or NULL for the usual ones.
// Takes as long as reading the weights.
CurtStatus curt_engine_open(const char *dir,
                            const char *options,
                            CurtEngine *engine);

// Closes an engine. The handle is good no longer. A question under way is cancelled, on whatever thread; its memory is
// given back when that has ended and no view of keys and values is borrowed. May be called anywhere.
CurtStatus curt_engine_close(CurtEngine engine);

// What was opened, as a JSON object: `context_tokens`, `takes_images`, `kv` (`layers`, `kv_heads`, `head_dim`, `dtype`),
// `attention`, `onnxruntime`. Copied as curt_error_message does.
CurtStatus curt_engine_facts(CurtEngine engine,
                             char *buffer,
                             size_t capacity,
                             size_t *length);

// To be called when the program goes to the background. Cancels the question under way, waits until it has ended, and takes
// no other until curt_engine_foreground. Gives back keys, values and the vision graph; where a provider runs on a device,
// the weights too. In a callback of this engine it does not wait.
CurtStatus curt_engine_background(CurtEngine engine);

// To be called when the program is in front again. What was given back is made again with the next question.
CurtStatus curt_engine_foreground(CurtEngine engine);

// Gives back memory: at once, or, while a question is answered or a view is borrowed, as soon as that has ended. `level` is
// one of CurtTrim.
CurtStatus curt_engine_trim(CurtEngine engine,
                            uint32_t level);

// CURT_ABI_VERSION of the library, to be held against the header's.
uint32_t curt_abi_version(void);

// The status of the last call of this thread that failed; CURT_STATUS_OK where none has. A call that succeeds leaves it.
CurtStatus curt_error_status(void);

// What was wrong with that call: the thing, what was expected, what was there. The text is copied into `buffer` of
// `capacity` bytes, `length` (may be NULL) gets its length without the NUL. Does not count as a call that failed.
CurtStatus curt_error_message(char *buffer,
                              size_t capacity,
                              size_t *length);

// What to do about it, as curt_error_message.
CurtStatus curt_error_remedy(char *buffer, size_t capacity, size_t *length);

// Borrows keys or values of `layer` (from 0) in `row` (from 0): of what the last question has left, which is row 0, or, in a
// callback told CURT_EVENT_KIND_CACHED, of its rows. `kind` is one of CurtKvKind.
//
// What `kv` points to stays where it is, and as it is, until curt_kv_release(view), whatever else is called: until then the
// engine answers no question (CURT_STATUS_BUSY) and gives nothing back, even when it is closed. What is borrowed in a callback
// has to be released before that returns; else the question ends with CURT_STATUS_BUSY.
CurtStatus curt_kv_borrow(CurtEngine engine,
                          uint32_t layer,
                          uint32_t kind,
                          uint32_t row,
                          CurtKvView *view,
                          struct CurtKv *kv);

// Gives a view back: what it pointed to is not to be read any more.
CurtStatus curt_kv_release(CurtKvView view);

// Tells the log to `on_log` from `level` (one of CurtLogLevel) up, or to nobody where it is NULL. The callback is called on
// any thread, by several at once. When this returns, the callback that was there before is not called any more. May not be
// called in the callback.
CurtStatus curt_log_to(CurtOnLog on_log,
                       void *user,
                       uint32_t level);

// A question of one text. The package's own prompt goes around it.
CurtStatus curt_question_new(const char *words, CurtQuestion *question);

// A whole conversation, the model to speak next: a JSON array of objects with `role` (system, user, assistant), `content`
// and, where images stand before a message, their number `images`.
CurtStatus curt_question_of_messages(const char *json,
                                     CurtQuestion *question);

// Adds an image file: JPEG, PNG, WebP, GIF (its first frame) or BMP. It is read when the question is asked.
CurtStatus curt_question_add_file(CurtQuestion question, const char *file);

// Adds the bytes of such a file, which are copied.
CurtStatus curt_question_add_encoded(CurtQuestion question, const uint8_t *data, size_t length);

// Adds a camera's frame. Its planes are read where they lie, once.
CurtStatus curt_question_add_frame(CurtQuestion question, const struct CurtFrame *frame);

// Cancels a question wherever it is answered, and before it is asked: it stays cancelled. May be called on any thread, and
// in a callback.
CurtStatus curt_question_cancel(CurtQuestion question);

// Closes a question. One that is being answered goes on to its end.
CurtStatus curt_question_close(CurtQuestion question);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* CURT_H */
