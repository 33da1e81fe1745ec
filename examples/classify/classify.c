// An inference component of your own: says whether a text is positive, negative or neutral, and
// never anything else, whatever the model or the text says.
#include "llm.h"

static const text LABELS[] = {TEXT("positive"), TEXT("negative"), TEXT("neutral")};
#define LABEL_COUNT (sizeof LABELS / sizeof LABELS[0])
#define FALLBACK 2 // for an answer that names no label

// The examples are turns of the conversation: small models follow those better than instructions.
static const message EXAMPLES[] = {
    {ROLE_SYSTEM, TEXT("Classify the sentiment of the text. Answer with one word: positive, "
                       "negative or neutral.")},
    {ROLE_USER, TEXT("Text: I love this, it works perfectly.")},
    {ROLE_ASSISTANT, TEXT("positive")},
    {ROLE_USER, TEXT("Text: It broke after one day. Terrible.")},
    {ROLE_ASSISTANT, TEXT("negative")},
    {ROLE_USER, TEXT("Text: The parcel has four screws in it.")},
    {ROLE_ASSISTANT, TEXT("neutral")},
};
#define EXAMPLE_COUNT (sizeof EXAMPLES / sizeof EXAMPLES[0])

// One word is enough, so the engine stops at the end of the line or after a few tokens, and always
// takes the likeliest token: the same text gets the same label.
static const text STOP[] = {TEXT("\n")};
static const options ONE_WORD = {
    .max_tokens = 8,
    .sampling = {.temperature = 0, .top_k = 0, .top_p = 1, .min_p = 0, .repeat_penalty = 1},
    .stop = STOP,
    .stop_count = 1,
};

#define MAX_ANSWER 256 // bytes; 8 tokens are shorter, and what follows would not matter

// --- finding the label ---

static uint8_t to_lower(uint8_t byte) {
  return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte + ('a' - 'A')) : byte;
}

static bool begins_with(const uint8_t *at, uint32_t size, text label) {
  if (size < label.size) {
    return false;
  }
  for (uint32_t i = 0; i < label.size; i++) {
    if (to_lower(at[i]) != label.data[i]) {
      return false;
    }
  }
  return true;
}

// The label that the answer names first.
static text find_label(const uint8_t *answer, uint32_t size) {
  for (uint32_t at = 0; at < size; at++) {
    for (uint32_t i = 0; i < LABEL_COUNT; i++) {
      if (begins_with(answer + at, size - at, LABELS[i])) {
        return LABELS[i];
      }
    }
  }
  return LABELS[FALLBACK];
}

// Reads the answer to its end, so that the summary is complete.
static bool read_label(uint32_t generation, text *label, failure *why) {
  static uint8_t answer[MAX_ANSWER];
  uint32_t size = 0;
  for (;;) {
    piece_result next;
    generation_next(generation, &next);
    if (next.is_error) {
      *why = next.failure;
      return false;
    }
    if (!next.piece.is_some) {
      *label = find_label(answer, size);
      return true;
    }
    text piece = next.piece.value;
    uint32_t room = MAX_ANSWER - size;
    uint32_t taken = piece.size < room ? piece.size : room;
    copy_bytes(answer + size, piece.data, taken);
    size += taken;
  }
}

// --- the generation that the host sees: one piece, the label ---

typedef struct {
  bool is_open;
  bool is_answered;
  uint32_t engine_generation;
} classification;

#define MAX_CLASSIFICATIONS 16 // open at once
static classification classifications[MAX_CLASSIFICATIONS];

IMPORT("[export]" INFERENCE, "[resource-new]generation")
uint32_t classification_new(classification *rep);

static handle_result handle_answer;
static piece_result piece_answer;
static completion_result completion_answer;
static summary summary_answer;

static handle_result refuse(enum failure_case failure_case, text sentence) {
  return (handle_result){
      .is_error = true,
      .failure = {.failure_case = (uint8_t)failure_case, .sentence = sentence},
  };
}

static handle_result begin(uint32_t has_prompt, const uint8_t *prompt, uint32_t size) {
  static configuration settings;
  settings_get(&settings);
  text subject = {prompt, size};
  if (!has_prompt) {
    if (!settings.default_prompt.is_some) {
      return refuse(FAILURE_INVALID_ARGUMENT, TEXT("no text was given to classify"));
    }
    subject = settings.default_prompt.value;
  }
  message messages[EXAMPLE_COUNT + 1];
  for (uint32_t i = 0; i < EXAMPLE_COUNT; i++) {
    messages[i] = EXAMPLES[i];
  }
  text prefix = TEXT("Text: ");
  uint8_t *line = arena_allocate(prefix.size + subject.size, 1);
  copy_bytes(line, prefix.data, prefix.size);
  copy_bytes(line + prefix.size, subject.data, subject.size);
  messages[EXAMPLE_COUNT] = (message){ROLE_USER, {line, prefix.size + subject.size}};
  return start_generation(settings.model, messages, EXAMPLE_COUNT + 1, &ONE_WORD);
}

EXPORT(INFERENCE "#start")
handle_result *start(uint32_t has_prompt, const uint8_t *prompt, uint32_t size) {
  classification *self = 0;
  for (uint32_t i = 0; i < MAX_CLASSIFICATIONS; i++) {
    if (!classifications[i].is_open) {
      self = &classifications[i];
    }
  }
  if (self == 0) {
    handle_answer = refuse(FAILURE_TOO_LARGE, TEXT("too many classifications are open"));
    return &handle_answer;
  }
  handle_answer = begin(has_prompt, prompt, size);
  if (!handle_answer.is_error) {
    *self = (classification){.is_open = true, .engine_generation = handle_answer.handle};
    handle_answer.handle = classification_new(self);
  }
  return &handle_answer;
}

EXPORT("cabi_post_" INFERENCE "#start")
void start_done(handle_result *result) {
  (void)result;
  arena_reset();
}

EXPORT(INFERENCE "#[method]generation.next")
piece_result *classification_next(classification *self) {
  piece_answer = (piece_result){.is_error = false, .piece = {.is_some = !self->is_answered}};
  if (self->is_answered) {
    return &piece_answer;
  }
  failure why;
  if (read_label(self->engine_generation, &piece_answer.piece.value, &why)) {
    self->is_answered = true;
  } else {
    piece_answer = (piece_result){.is_error = true, .failure = why};
  }
  return &piece_answer;
}

EXPORT("cabi_post_" INFERENCE "#[method]generation.next")
void classification_next_done(piece_result *result) {
  (void)result;
  arena_reset();
}

EXPORT(INFERENCE "#[method]generation.summary")
summary *classification_summary(classification *self) {
  generation_summary(self->engine_generation, &summary_answer);
  return &summary_answer;
}

EXPORT(INFERENCE "#[dtor]generation")
void classification_drop(classification *self) {
  generation_drop(self->engine_generation);
  self->is_open = false;
}

// --- the same at once ---

EXPORT(INFERENCE "#compute")
completion_result *compute(uint32_t has_prompt, const uint8_t *prompt, uint32_t size) {
  completion_answer = (completion_result){.is_error = true};
  handle_result begun = begin(has_prompt, prompt, size);
  if (begun.is_error) {
    completion_answer.failure = begun.failure;
    return &completion_answer;
  }
  text label;
  failure why;
  if (read_label(begun.handle, &label, &why)) {
    completion_answer.is_error = false;
    completion_answer.completion.text = label;
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
