// What a C guest needs to speak the canonical ABI of the component model
// (WebAssembly/component-model, design/mvp/CanonicalABI.md), and the types of infwasi:llm@0.1.0
// laid out in memory as that text demands. No C library, no WASI.
//
// Rules that the layouts follow: a record lies like a C struct of its fields; a string or list is
// a pointer and a length; an enum, or the case of an option, result or variant, is one byte, and
// the payload follows at its own alignment (4 in everything below).
#ifndef INFWASI_ABI_H
#define INFWASI_ABI_H

#include <stdbool.h>
#include <stdint.h>

#define IMPORT(module, name) __attribute__((import_module(module), import_name(name))) extern
#define EXPORT(name) __attribute__((export_name(name), used))

// --- the types of infwasi:llm/types ---

typedef struct {
  const uint8_t *data;
  uint32_t size;
} text;

typedef struct {
  uint8_t is_some;
  text value;
} optional_text;

enum role { ROLE_SYSTEM, ROLE_USER, ROLE_ASSISTANT };

typedef struct {
  uint8_t role;
  text content;
} message;

typedef struct {
  float temperature;
  uint32_t top_k;
  float top_p;
  float min_p;
  float repeat_penalty;
  uint8_t has_seed;
  uint32_t seed;
} sampling;

typedef struct {
  uint32_t max_tokens;
  sampling sampling;
  const text *stop;
  uint32_t stop_count;
} options;

enum finish_reason { FINISH_STOP, FINISH_LENGTH, FINISH_CONTEXT_FULL, FINISH_CANCELLED };

typedef struct {
  uint8_t finish_reason;
  uint32_t input_tokens;
  uint32_t output_tokens;
} summary;

enum failure_case {
  FAILURE_INVALID_ARGUMENT,
  FAILURE_NOT_FOUND,
  FAILURE_TOO_LARGE,
  FAILURE_TIMEOUT,
  FAILURE_SECURITY,
  FAILURE_UNSUPPORTED,
  FAILURE_RUNTIME,
};

typedef struct {
  uint8_t failure_case;
  text sentence;
} failure;

// result<model, failure> and result<generation, failure>
typedef struct {
  uint8_t is_error;
  union {
    uint32_t handle;
    failure failure;
  };
} handle_result;

// result<option<string>, failure>
typedef struct {
  uint8_t is_error;
  union {
    optional_text piece;
    failure failure;
  };
} piece_result;

// result<completion, failure>
typedef struct {
  uint8_t is_error;
  union {
    struct {
      text text;
      summary summary;
    } completion;
    failure failure;
  };
} completion_result;

// --- infwasi:llm/settings ---

typedef struct {
  text model;
  optional_text system_prompt;
  optional_text default_prompt;
  uint32_t context_tokens;
  options options;
  struct {
    uint32_t memory_bytes;
    uint32_t prompt_bytes;
    uint32_t output_bytes;
    uint32_t wall_clock_seconds;
  } limits;
} configuration;

_Static_assert(sizeof(message) == 12, "record message");
_Static_assert(sizeof(options) == 40, "record options");
_Static_assert(sizeof(summary) == 12, "record summary");
_Static_assert(sizeof(handle_result) == 16, "result<own, failure>");
_Static_assert(sizeof(piece_result) == 16, "result<option<string>, failure>");
_Static_assert(sizeof(completion_result) == 24, "result<completion, failure>");
_Static_assert(sizeof(configuration) == 92, "record configuration");

// --- memory ---
//
// Everything that belongs to one call lies in an arena above the program's own data: what the host
// passes in (it asks cabi_realloc for room) and what the call makes. When the caller has read the
// result, cabi_post_* empties the arena. State that outlives a call is static, so that a
// long generation needs no more memory than its longest call.

#define PAGE_BYTES 65536u

extern uint8_t __heap_base; // set by the linker: the first byte after static data and stack

static uint32_t arena_used;

static uint8_t *arena_top(void) {
  return &__heap_base + arena_used;
}

static void arena_reset(void) {
  arena_used = 0;
}

// Traps when the memory that the host permits is used up: no call can go on without it.
static void *arena_allocate(uint32_t size, uint32_t alignment) {
  uint64_t start = (uint32_t)arena_top();
  start = (start + alignment - 1) & ~(uint64_t)(alignment - 1);
  uint64_t end = start + size;
  if (end > UINT32_MAX) {
    __builtin_trap();
  }
  uint32_t needed_pages = (uint32_t)((end + PAGE_BYTES - 1) / PAGE_BYTES);
  uint32_t present_pages = __builtin_wasm_memory_size(0);
  if (needed_pages > present_pages) {
    uint32_t previous = __builtin_wasm_memory_grow(0, needed_pages - present_pages);
    if (previous == UINT32_MAX) {
      __builtin_trap();
    }
  }
  arena_used = (uint32_t)end - (uint32_t)&__heap_base;
  return (void *)(uint32_t)start;
}

static void copy_bytes(uint8_t *to, const uint8_t *from, uint32_t size) {
  // memmove, because the two may overlap when pieces of text are joined.
  __builtin_memmove(to, from, size);
}

// Called by the host for every string and list it hands over.
EXPORT("cabi_realloc")
void *cabi_realloc(void *old, uint32_t old_size, uint32_t alignment, uint32_t new_size) {
  uint8_t *fresh = arena_allocate(new_size, alignment);
  copy_bytes(fresh, old, old_size < new_size ? old_size : new_size);
  return fresh;
}

// --- text ---

#define TEXT(literal) ((text){(const uint8_t *)(literal), sizeof(literal) - 1})

static inline bool text_equals(text left, text right) {
  if (left.size != right.size) {
    return false;
  }
  for (uint32_t i = 0; i < left.size; i++) {
    if (left.data[i] != right.data[i]) {
      return false;
    }
  }
  return true;
}

#endif
