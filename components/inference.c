// The stock inference component: the system prompt of the settings, then the user's prompt.
#include "llm.h"

// Our generation is the engine's: its representation is the engine's handle.
IMPORT("[export]" INFERENCE, "[resource-new]generation") uint32_t own_generation_new(uint32_t rep);

static handle_result handle_answer;
static piece_result piece_answer;
static completion_result completion_answer;
static summary summary_answer;

static handle_result begin(optional_text prompt) {
  static configuration settings; // static, because its strings stay in use until the call ends
  settings_get(&settings);
  if (!prompt.is_some) {
    prompt = settings.default_prompt;
  }
  if (!prompt.is_some) {
    return (handle_result){
        .is_error = true,
        .failure = {.failure_case = FAILURE_INVALID_ARGUMENT,
                    .sentence = TEXT("no prompt was given and the package has no default")},
    };
  }
  message messages[2];
  uint32_t count = 0;
  if (settings.system_prompt.is_some) {
    messages[count++] = (message){.role = ROLE_SYSTEM, .content = settings.system_prompt.value};
  }
  messages[count++] = (message){.role = ROLE_USER, .content = prompt.value};
  return start_generation(settings.model, messages, count, &settings.options);
}

EXPORT(INFERENCE "#start")
handle_result *start(uint32_t has_prompt, const uint8_t *prompt, uint32_t size) {
  handle_answer = begin((optional_text){.is_some = (uint8_t)has_prompt, .value = {prompt, size}});
  if (!handle_answer.is_error) {
    handle_answer.handle = own_generation_new(handle_answer.handle);
  }
  return &handle_answer;
}

EXPORT("cabi_post_" INFERENCE "#start")
void start_done(handle_result *result) {
  (void)result;
  arena_reset();
}

EXPORT(INFERENCE "#[method]generation.next")
piece_result *own_generation_next(uint32_t generation) {
  generation_next(generation, &piece_answer);
  return &piece_answer;
}

EXPORT("cabi_post_" INFERENCE "#[method]generation.next")
void own_generation_next_done(piece_result *result) {
  (void)result;
  arena_reset();
}

EXPORT(INFERENCE "#[method]generation.summary")
summary *own_generation_summary(uint32_t generation) {
  generation_summary(generation, &summary_answer);
  return &summary_answer;
}

EXPORT(INFERENCE "#[dtor]generation")
void own_generation_drop(uint32_t generation) {
  generation_drop(generation);
}

// Reads to the end. A piece arrives at the top of the arena and is moved down to the end of the
// text; what lies above is given back, so that the text is all that grows.
static bool read_all(uint32_t generation, text *joined, failure *why) {
  uint8_t *start = arena_top();
  uint32_t size = 0;
  for (;;) {
    piece_result next;
    generation_next(generation, &next);
    if (next.is_error) {
      *why = next.failure;
      return false;
    }
    if (!next.piece.is_some) {
      *joined = (text){start, size};
      return true;
    }
    text piece = next.piece.value;
    copy_bytes(start + size, piece.data, piece.size);
    size += piece.size;
    arena_used = (uint32_t)(start + size - &__heap_base);
  }
}

EXPORT(INFERENCE "#compute")
completion_result *compute(uint32_t has_prompt, const uint8_t *prompt, uint32_t size) {
  completion_answer = (completion_result){.is_error = true};
  handle_result begun =
      begin((optional_text){.is_some = (uint8_t)has_prompt, .value = {prompt, size}});
  if (begun.is_error) {
    completion_answer.failure = begun.failure;
    return &completion_answer;
  }
  text joined;
  failure why;
  if (read_all(begun.handle, &joined, &why)) {
    completion_answer.is_error = false;
    completion_answer.completion.text = joined;
    generation_summary(begun.handle, &completion_answer.completion.summary);
  } else {
    completion_answer.failure = why;
  }
  generation_drop(begun.handle);
  return &completion_answer;
}

EXPORT("cabi_post_" INFERENCE "#compute")
void compute_done(completion_result *result) {
  (void)result;
  arena_reset();
}
