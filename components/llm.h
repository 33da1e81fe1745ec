// What an inference component imports: infwasi:llm/settings and infwasi:llm/engine.
#ifndef INFWASI_LLM_H
#define INFWASI_LLM_H

#include "abi.h"

#define SETTINGS "infwasi:llm/settings@0.1.0"
#define ENGINE "infwasi:llm/engine@0.1.0"
#define INFERENCE "infwasi:llm/inference@0.1.0"

IMPORT(SETTINGS, "get") void settings_get(configuration *settings);

IMPORT(ENGINE, "[static]model.load")
void model_load(const uint8_t *name, uint32_t size, handle_result *result);
IMPORT(ENGINE, "[resource-drop]model") void model_drop(uint32_t model);

// The record `options` is passed flattened; `model_start_with` takes it whole.
IMPORT(ENGINE, "[method]model.start")
void model_start(uint32_t model, const message *messages, uint32_t message_count,
                 uint32_t max_tokens, float temperature, uint32_t top_k, float top_p, float min_p,
                 float repeat_penalty, uint32_t has_seed, uint32_t seed, const text *stop,
                 uint32_t stop_count, handle_result *result);

IMPORT(ENGINE, "[method]generation.next")
void generation_next(uint32_t generation, piece_result *result);
IMPORT(ENGINE, "[method]generation.summary")
void generation_summary(uint32_t generation, summary *result);
IMPORT(ENGINE, "[resource-drop]generation") void generation_drop(uint32_t generation);

static inline void model_start_with(uint32_t model, const message *messages, uint32_t message_count,
                                    const options *wanted, handle_result *result) {
  const sampling *how = &wanted->sampling;
  model_start(model, messages, message_count, wanted->max_tokens, how->temperature, how->top_k,
              how->top_p, how->min_p, how->repeat_penalty, how->has_seed, how->seed, wanted->stop,
              wanted->stop_count, result);
}

// Loads the model by its name and evaluates the messages. The generation outlives the model.
static inline handle_result start_generation(text model_name, const message *messages,
                                             uint32_t message_count, const options *wanted) {
  handle_result model;
  model_load(model_name.data, model_name.size, &model);
  if (model.is_error) {
    return model;
  }
  handle_result generation;
  model_start_with(model.handle, messages, message_count, wanted, &generation);
  model_drop(model.handle);
  return generation;
}

#endif
