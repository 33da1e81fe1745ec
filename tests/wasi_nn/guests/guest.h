// What every guest of the suite is made of: wasi:nn as C imports, the exports of the world `app`,
// and a few steps that several guests take. It needs no other header and no C library.
//
// A guest defines `misuse`, which is called once per request and returns the guest's answer: one
// word or more. A guest that should have been stopped and was not answers "went on". What a guest
// does wrong stands behind `if (MISUSE)`: with -DMISUSE=0 the same guest is honest, and must go on.
#ifndef GUEST_H
#define GUEST_H

#include <stdbool.h>
#include <stdint.h>

#ifndef MISUSE
#define MISUSE 1
#endif

#define IMPORT(interface, name)                                                                   \
  __attribute__((import_module("wasi:nn/" interface "@0.2.0-rc-2024-10-28"), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name), used))
#define INFERENCE "infwasi:llm/inference@0.1.0"

typedef struct {
  const uint8_t *data;
  uint32_t size;
} bytes; // a string or list<u8>

typedef struct {
  bytes name;
  uint32_t tensor;
} named_tensor;

typedef struct {
  uint8_t is_error;
  uint32_t handle; // of what was asked for, or of the error
} handle_result;

typedef struct {
  uint8_t is_error;
  union {
    struct {
      named_tensor *data;
      uint32_t size;
    } outputs;
    uint32_t error;
  };
} outputs_result;

enum tensor_type { FP16, FP32, FP64, BF16, U8, I32, I64 };
enum { GGML = 5, CPU = 0 };

IMPORT("tensor", "[constructor]tensor")
uint32_t tensor_new(const uint32_t *dimensions, uint32_t rank, uint32_t type, const void *data, uint32_t size);
IMPORT("tensor", "[method]tensor.data") void tensor_data(uint32_t tensor, bytes *result);
IMPORT("tensor", "[method]tensor.ty") uint32_t tensor_type(uint32_t tensor);
IMPORT("tensor", "[resource-drop]tensor") void tensor_drop(uint32_t tensor);
IMPORT("errors", "[method]error.code") uint32_t error_code(uint32_t error);
IMPORT("errors", "[method]error.data") void error_data(uint32_t error, bytes *result);
IMPORT("errors", "[resource-drop]error") void error_drop(uint32_t error);
IMPORT("graph", "load")
void graph_load(const bytes *builders, uint32_t count, uint32_t encoding, uint32_t target, handle_result *result);
IMPORT("graph", "load-by-name") void graph_load_by_name(const void *name, uint32_t size, handle_result *result);
IMPORT("graph", "[method]graph.init-execution-context") void graph_init(uint32_t graph, handle_result *result);
IMPORT("graph", "[resource-drop]graph") void graph_drop(uint32_t graph);
IMPORT("inference", "[method]graph-execution-context.compute")
void context_compute(uint32_t context, const named_tensor *inputs, uint32_t count, outputs_result *result);
IMPORT("inference", "[resource-drop]graph-execution-context") void context_drop(uint32_t context);
__attribute__((import_module("[export]" INFERENCE), import_name("[resource-new]generation")))
uint32_t generation_new(uint32_t representation);

// --- what some guests do at other moments ---

#ifndef IN_REALLOC // while the host writes into the guest; `armed` is the guest's to set
#define IN_REALLOC
#endif
#ifndef IN_POST_RETURN
#define IN_POST_RETURN
#endif
#ifndef IN_DESTRUCTOR
#define IN_DESTRUCTOR
#endif
#ifndef IN_NEXT
#define IN_NEXT
#endif
#ifndef RETURNED // what `start` returns
#define RETURNED result
#endif

static bool armed;

// --- memory: what the host writes lies in an arena that is emptied between requests ---

static uint8_t arena[1 << 20] __attribute__((aligned(16)));
static uint32_t arena_used;

EXPORT("cabi_realloc")
void *cabi_realloc(void *old, uint32_t old_size, uint32_t alignment, uint32_t size) {
  (void)old, (void)old_size;
  IN_REALLOC
  uint32_t start = (arena_used + alignment - 1) & ~(alignment - 1);
  if (size > sizeof arena || start > sizeof arena - size) __builtin_trap();
  arena_used = start + size;
  return arena + start;
}

// --- steps ---

static uint32_t length(const char *word) {
  uint32_t size = 0;
  while (word[size]) size++;
  return size;
}

static bytes text(const char *word) { return (bytes){(const uint8_t *)word, length(word)}; }

static bool same(bytes left, const char *right) {
  if (left.size != length(right)) return false;
  for (uint32_t i = 0; i < left.size; i++) {
    if (left.data[i] != (uint8_t)right[i]) return false;
  }
  return true;
}

// The name of the code, after which the error is gone.
static const char *code_of(uint32_t error) {
  static const char *const codes[] = {
      "invalid-argument", "invalid-encoding", "timeout", "runtime-error", "unsupported-operation",
      "too-large", "not-found", "security", "unknown",
  };
  uint32_t code = error_code(error);
  error_drop(error);
  return code < sizeof codes / sizeof *codes ? codes[code] : "no such code";
}

static uint32_t tensor_of(bytes content) { return tensor_new(&content.size, 1, U8, content.data, content.size); }

static named_tensor input(const char *name, const char *content) {
  return (named_tensor){text(name), tensor_of(text(content))};
}

// The declared model. A host that does not give it is not ready for the suite: 0.
static uint32_t model(void) {
  handle_result result;
  graph_load_by_name("model", 5, &result);
  return result.is_error ? 0 : result.handle;
}

static uint32_t context_of(uint32_t graph) {
  handle_result result;
  if (!graph) return 0;
  graph_init(graph, &result);
  return result.is_error ? 0 : result.handle;
}

// One compute: the name of its single output, of what is wrong with it, or of the error.
static const char *compute(uint32_t context, const named_tensor *inputs, uint32_t count) {
  outputs_result result;
  context_compute(context, inputs, count, &result);
  if (result.is_error) return code_of(result.error);
  const char *kind = "not one output";
  if (result.outputs.size == 1) {
    bytes name = result.outputs.data[0].name;
    kind = same(name, "usage") ? "usage" : same(name, "output") ? "output" : same(name, "summary") ? "summary" : "another output";
  }
  for (uint32_t i = 0; i < result.outputs.size; i++) tensor_drop(result.outputs.data[i].tensor);
  return kind;
}

// A prompt of one word for at most four tokens: "usage" if the host follows the convention.
static const char *prompt(uint32_t context) {
  named_tensor inputs[] = {input("user", "one two three"), input("options", "{\"n-predict\":4,\"temp\":0}")};
  return compute(context, inputs, 2);
}

// Up to the end: "summary", or what came instead.
static const char *rest(uint32_t context) {
  for (uint32_t i = 0; i < 64; i++) {
    uint32_t used = arena_used;
    const char *kind = compute(context, 0, 0);
    arena_used = used;
    if (!same(text(kind), "output")) return kind;
  }
  return "no end";
}

#define NEED(condition)                                                                           \
  do {                                                                                            \
    if (!(condition)) return "not ready";                                                         \
  } while (0)

// --- the world `app` ---

static const char *misuse(void);

static uint32_t result[8];
static bool is_told;
static const char *answer;

EXPORT(INFERENCE "#start")
void *start(uint32_t is_some, const uint8_t *given, uint32_t size) {
  (void)is_some, (void)given, (void)size;
  answer = misuse();
  is_told = false;
  result[0] = 0;
  result[1] = generation_new(1);
  return RETURNED;
}
EXPORT("cabi_post_" INFERENCE "#start")
void start_returned(void *returned) {
  (void)returned;
  IN_POST_RETURN
}
EXPORT(INFERENCE "#[method]generation.next")
void *next(uint32_t self) {
  (void)self;
  bytes piece = text(answer);
  result[0] = 0;
  result[1] = !is_told;
  result[2] = (uint32_t)piece.data;
  result[3] = piece.size;
  is_told = true;
  IN_NEXT
  return result;
}
EXPORT(INFERENCE "#[method]generation.summary")
void *summary(uint32_t self) {
  (void)self;
  result[0] = result[1] = result[2] = 0;
  return result;
}
EXPORT(INFERENCE "#[dtor]generation")
void generation_dropped(uint32_t self) {
  (void)self;
  arena_used = 0;
  IN_DESTRUCTOR
}
EXPORT(INFERENCE "#compute")
void *compute_all(uint32_t is_some, const uint8_t *given, uint32_t size) {
  (void)is_some, (void)given, (void)size;
  bytes sentence = text("the suite calls start");
  result[0] = 1;
  result[1] = 5; // unsupported
  result[2] = (uint32_t)sentence.data;
  result[3] = sentence.size;
  return result;
}

#endif
