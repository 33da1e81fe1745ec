// The stock engine: exports infwasi:llm/engine and speaks the LLM convention of docs/wasi-nn.md
// with the host. A model is a wasi:nn graph, a generation is a graph-execution-context.
#include "abi.h"

#define ENGINE "infwasi:llm/engine@0.1.0"
#define WASI_NN(interface) "wasi:nn/" interface "@0.2.0-rc-2024-10-28"

// --- wasi:nn ---

enum tensor_type { TENSOR_FP16, TENSOR_FP32, TENSOR_FP64, TENSOR_BF16, TENSOR_U8 };

enum error_code {
  ERROR_INVALID_ARGUMENT,
  ERROR_INVALID_ENCODING,
  ERROR_TIMEOUT,
  ERROR_RUNTIME_ERROR,
  ERROR_UNSUPPORTED_OPERATION,
  ERROR_TOO_LARGE,
  ERROR_NOT_FOUND,
  ERROR_SECURITY,
  ERROR_UNKNOWN,
};

typedef struct {
  text name;
  uint32_t tensor;
} named_tensor;

// result<graph, error> and result<graph-execution-context, error>
typedef struct {
  uint8_t is_error;
  uint32_t handle; // of the graph or context, or of the error
} nn_handle_result;

typedef struct {
  uint8_t is_error;
  union {
    struct {
      const named_tensor *items;
      uint32_t count;
    } outputs;
    uint32_t error;
  };
} nn_outputs_result;

IMPORT(WASI_NN("tensor"), "[constructor]tensor")
uint32_t tensor_new(const uint32_t *dimensions, uint32_t dimension_count, uint32_t type,
                    const uint8_t *data, uint32_t size);
IMPORT(WASI_NN("tensor"), "[method]tensor.data") void tensor_data(uint32_t tensor, text *data);
IMPORT(WASI_NN("tensor"), "[resource-drop]tensor") void tensor_drop(uint32_t tensor);
IMPORT(WASI_NN("errors"), "[method]error.code") uint32_t error_code(uint32_t error);
IMPORT(WASI_NN("errors"), "[method]error.data") void error_data(uint32_t error, text *sentence);
IMPORT(WASI_NN("errors"), "[resource-drop]error") void error_drop(uint32_t error);
IMPORT(WASI_NN("graph"), "load-by-name")
void graph_load_by_name(const uint8_t *name, uint32_t size, nn_handle_result *result);
IMPORT(WASI_NN("graph"), "[method]graph.init-execution-context")
void graph_init_execution_context(uint32_t graph, nn_handle_result *result);
IMPORT(WASI_NN("graph"), "[resource-drop]graph") void graph_drop(uint32_t graph);
IMPORT(WASI_NN("inference"), "[method]graph-execution-context.compute")
void context_compute(uint32_t context, const named_tensor *inputs, uint32_t count,
                     nn_outputs_result *result);
IMPORT(WASI_NN("inference"), "[resource-drop]graph-execution-context")
void context_drop(uint32_t context);

// --- the resources of infwasi:llm/engine ---

// A model needs no state of our own: its representation is the handle of its graph.
IMPORT("[export]" ENGINE, "[resource-new]model") uint32_t model_new(uint32_t graph);

typedef struct {
  bool is_open;
  uint32_t context; // NO_CONTEXT once the summary has come
  summary summary;
} generation;

IMPORT("[export]" ENGINE, "[resource-new]generation") uint32_t generation_new(generation *rep);

#define NO_CONTEXT 0u // handle 0 is never given out (CanonicalABI.md, "Table State")
#define MAX_GENERATIONS 64 // open at once; the host keeps a context for each

static generation generations[MAX_GENERATIONS];

static generation *find_free_generation(void) {
  for (uint32_t i = 0; i < MAX_GENERATIONS; i++) {
    if (!generations[i].is_open) {
      return &generations[i];
    }
  }
  return 0;
}

// --- failures ---

static failure make_failure(enum failure_case failure_case, text sentence) {
  return (failure){.failure_case = (uint8_t)failure_case, .sentence = sentence};
}

static enum failure_case case_of_error(uint32_t code) {
  switch (code) {
  case ERROR_INVALID_ARGUMENT:
  case ERROR_INVALID_ENCODING:
    return FAILURE_INVALID_ARGUMENT;
  case ERROR_TIMEOUT:
    return FAILURE_TIMEOUT;
  case ERROR_UNSUPPORTED_OPERATION:
    return FAILURE_UNSUPPORTED;
  case ERROR_TOO_LARGE:
    return FAILURE_TOO_LARGE;
  case ERROR_NOT_FOUND:
    return FAILURE_NOT_FOUND;
  case ERROR_SECURITY:
    return FAILURE_SECURITY;
  default: // runtime-error and unknown: wasi:nn says no more
    return FAILURE_RUNTIME;
  }
}

// Reads a wasi:nn error and gives its handle back.
static failure take_error(uint32_t error) {
  text sentence;
  enum failure_case failure_case = case_of_error(error_code(error));
  error_data(error, &sentence);
  error_drop(error);
  return make_failure(failure_case, sentence);
}

static failure broken_convention(void) {
  return make_failure(FAILURE_RUNTIME, TEXT("the host does not follow the wasi:nn convention"));
}

// --- the options tensor: JSON, written byte by byte at the top of the arena ---

static void put_byte(uint8_t byte) {
  uint8_t *place = arena_allocate(1, 1);
  *place = byte;
}

static void put_text(text part) {
  for (uint32_t i = 0; i < part.size; i++) {
    put_byte(part.data[i]);
  }
}

static void put_unsigned(uint32_t value) {
  uint8_t digits[10];
  uint32_t count = 0;
  do {
    digits[count++] = (uint8_t)('0' + value % 10);
    value /= 10;
  } while (value != 0);
  while (count > 0) {
    put_byte(digits[--count]);
  }
}

// Six decimals name every value that infwasi's settings can hold; the caller has checked the range.
static void put_decimal(float value) {
  uint32_t millionths = (uint32_t)((double)value * 1e6 + 0.5);
  put_unsigned(millionths / 1000000);
  put_byte('.');
  for (uint32_t unit = 100000; unit > 0; unit /= 10) {
    put_byte((uint8_t)('0' + millionths / unit % 10));
  }
}

// RFC 8259 section 7: quotation mark, backslash and control characters must be escaped.
static void put_string(text value) {
  static const uint8_t hex[] = "0123456789abcdef";
  put_byte('"');
  for (uint32_t i = 0; i < value.size; i++) {
    uint8_t byte = value.data[i];
    if (byte == '"' || byte == '\\') {
      put_byte('\\');
      put_byte(byte);
    } else if (byte < 0x20) {
      put_text(TEXT("\\u00"));
      put_byte(hex[byte >> 4]);
      put_byte(hex[byte & 15]);
    } else {
      put_byte(byte);
    }
  }
  put_byte('"');
}

static text write_options(const options *wanted) {
  const sampling *how = &wanted->sampling;
  const uint8_t *start = arena_top();
  put_text(TEXT("{\"n-predict\":"));
  put_unsigned(wanted->max_tokens);
  put_text(TEXT(",\"temp\":"));
  put_decimal(how->temperature);
  put_text(TEXT(",\"top-k\":"));
  put_unsigned(how->top_k);
  put_text(TEXT(",\"top-p\":"));
  put_decimal(how->top_p);
  put_text(TEXT(",\"min-p\":"));
  put_decimal(how->min_p);
  put_text(TEXT(",\"repeat-penalty\":"));
  put_decimal(how->repeat_penalty);
  if (how->has_seed) {
    put_text(TEXT(",\"seed\":"));
    put_unsigned(how->seed);
  }
  put_text(TEXT(",\"stop\":["));
  for (uint32_t i = 0; i < wanted->stop_count; i++) {
    if (i > 0) {
      put_byte(',');
    }
    put_string(wanted->stop[i]);
  }
  put_text(TEXT("]}"));
  return (text){start, (uint32_t)(arena_top() - start)};
}

// False for NaN too.
static bool is_printable(float value) {
  return value >= 0.0f && value <= 1000.0f;
}

static bool is_sampling_valid(const sampling *how) {
  return is_printable(how->temperature) && is_printable(how->top_p) && is_printable(how->min_p) &&
         is_printable(how->repeat_penalty);
}

// --- inputs and outputs of compute ---

static named_tensor make_input(text name, text data) {
  uint32_t dimensions[1] = {data.size};
  uint32_t tensor = tensor_new(dimensions, 1, TENSOR_U8, data.data, data.size);
  return (named_tensor){.name = name, .tensor = tensor};
}

static text role_name(uint8_t role) {
  switch (role) {
  case ROLE_SYSTEM:
    return TEXT("system");
  case ROLE_USER:
    return TEXT("user");
  default: // the canonical ABI lets no other value in
    return TEXT("assistant");
  }
}

typedef struct {
  text name;
  text data;
} output;

// Reads the one output that the convention knows and gives all tensors back.
static bool take_output(const nn_outputs_result *result, output *taken) {
  for (uint32_t i = 0; i < result->outputs.count; i++) {
    const named_tensor *item = &result->outputs.items[i];
    taken->name = item->name;
    tensor_data(item->tensor, &taken->data);
    tensor_drop(item->tensor);
  }
  return result->outputs.count == 1;
}

// Tensor data is little-endian, as wasm is.
static uint32_t read_word(text data, uint32_t index) {
  uint32_t word;
  __builtin_memcpy(&word, data.data + index * sizeof word, sizeof word);
  return word;
}

// Evaluates the prompt; `input_tokens` is what it came to.
static bool evaluate(uint32_t context, const message *messages, uint32_t message_count,
                     const options *wanted, uint32_t *input_tokens, failure *why) {
  text json = write_options(wanted);
  // A list of count + 1 cannot overflow: `messages`, of the same item size, lies in memory too.
  named_tensor *inputs = arena_allocate((message_count + 1) * sizeof *inputs, 4);
  for (uint32_t i = 0; i < message_count; i++) {
    inputs[i] = make_input(role_name(messages[i].role), messages[i].content);
  }
  inputs[message_count] = make_input(TEXT("options"), json);

  nn_outputs_result result;
  context_compute(context, inputs, message_count + 1, &result); // takes the tensors
  if (result.is_error) {
    *why = take_error(result.error);
    return false;
  }
  output usage;
  bool is_single = take_output(&result, &usage);
  if (!is_single || !text_equals(usage.name, TEXT("usage")) || usage.data.size != 4) {
    *why = broken_convention();
    return false;
  }
  *input_tokens = read_word(usage.data, 0);
  return true;
}

// --- exports ---

static handle_result handle_answer;
static piece_result piece_answer;
static summary summary_answer;

static handle_result *answer_handle(uint32_t handle) {
  handle_answer = (handle_result){.is_error = false, .handle = handle};
  return &handle_answer;
}

static handle_result *refuse_handle(failure why) {
  handle_answer = (handle_result){.is_error = true, .failure = why};
  return &handle_answer;
}

static piece_result *answer_piece(optional_text piece) {
  piece_answer = (piece_result){.is_error = false, .piece = piece};
  return &piece_answer;
}

static piece_result *refuse_piece(failure why) {
  piece_answer = (piece_result){.is_error = true, .failure = why};
  return &piece_answer;
}

EXPORT(ENGINE "#[static]model.load")
handle_result *model_load(const uint8_t *name, uint32_t size) {
  nn_handle_result result;
  graph_load_by_name(name, size, &result);
  if (result.is_error) {
    return refuse_handle(take_error(result.handle));
  }
  return answer_handle(model_new(result.handle));
}

EXPORT("cabi_post_" ENGINE "#[static]model.load")
void model_load_done(handle_result *result) {
  (void)result;
  arena_reset();
}

EXPORT(ENGINE "#[dtor]model")
void model_drop(uint32_t graph) {
  graph_drop(graph);
}

// The record `options` arrives flattened, one parameter for each field.
EXPORT(ENGINE "#[method]model.start")
handle_result *model_start(uint32_t graph, const message *messages, uint32_t message_count,
                           uint32_t max_tokens, float temperature, uint32_t top_k, float top_p,
                           float min_p, float repeat_penalty, uint32_t has_seed, uint32_t seed,
                           const text *stop, uint32_t stop_count) {
  options wanted = {
      .max_tokens = max_tokens,
      .sampling = {.temperature = temperature,
                   .top_k = top_k,
                   .top_p = top_p,
                   .min_p = min_p,
                   .repeat_penalty = repeat_penalty,
                   .has_seed = (uint8_t)has_seed,
                   .seed = seed},
      .stop = stop,
      .stop_count = stop_count,
  };
  if (!is_sampling_valid(&wanted.sampling)) {
    return refuse_handle(make_failure(FAILURE_INVALID_ARGUMENT,
                                      TEXT("a sampling option is not between 0 and 1000")));
  }
  generation *self = find_free_generation();
  if (self == 0) {
    return refuse_handle(make_failure(FAILURE_TOO_LARGE, TEXT("too many generations are open")));
  }
  nn_handle_result result;
  graph_init_execution_context(graph, &result);
  if (result.is_error) {
    return refuse_handle(take_error(result.handle));
  }
  uint32_t context = result.handle;
  uint32_t input_tokens;
  failure why;
  if (!evaluate(context, messages, message_count, &wanted, &input_tokens, &why)) {
    context_drop(context);
    return refuse_handle(why);
  }
  // Whoever stops before the end has cancelled; the host's summary replaces this.
  *self = (generation){
      .is_open = true,
      .context = context,
      .summary = {.finish_reason = FINISH_CANCELLED, .input_tokens = input_tokens},
  };
  return answer_handle(generation_new(self));
}

EXPORT("cabi_post_" ENGINE "#[method]model.start")
void model_start_done(handle_result *result) {
  (void)result;
  arena_reset();
}

static bool read_summary(text data, summary *read) {
  if (data.size != 12 || read_word(data, 0) > FINISH_CANCELLED) {
    return false;
  }
  read->finish_reason = (uint8_t)read_word(data, 0);
  read->input_tokens = read_word(data, 1);
  read->output_tokens = read_word(data, 2);
  return true;
}

EXPORT(ENGINE "#[method]generation.next")
piece_result *generation_next(generation *self) {
  const optional_text nothing = {.is_some = false};
  if (self->context == NO_CONTEXT) {
    return answer_piece(nothing);
  }
  nn_outputs_result result;
  context_compute(self->context, 0, 0, &result);
  if (result.is_error) {
    return refuse_piece(take_error(result.error));
  }
  output taken;
  if (!take_output(&result, &taken)) {
    return refuse_piece(broken_convention());
  }
  if (text_equals(taken.name, TEXT("output")) && taken.data.size > 0) {
    self->summary.output_tokens += 1; // a piece is at least one token; the summary has the count
    return answer_piece((optional_text){.is_some = true, .value = taken.data});
  }
  if (text_equals(taken.name, TEXT("summary")) && read_summary(taken.data, &self->summary)) {
    context_drop(self->context); // frees the host's memory before the caller drops us
    self->context = NO_CONTEXT;
    return answer_piece(nothing);
  }
  return refuse_piece(broken_convention());
}

EXPORT("cabi_post_" ENGINE "#[method]generation.next")
void generation_next_done(piece_result *result) {
  (void)result;
  arena_reset();
}

EXPORT(ENGINE "#[method]generation.summary")
summary *generation_summary(generation *self) {
  summary_answer = self->summary;
  return &summary_answer;
}

EXPORT(ENGINE "#[dtor]generation")
void generation_drop(generation *self) {
  if (self->context != NO_CONTEXT) {
    context_drop(self->context);
  }
  self->is_open = false;
}
