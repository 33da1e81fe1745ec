#include "guest.h"

// -DBUILDER is the model that the guest brings along.
static const char *misuse(void) {
  handle_result loaded;
  bytes builder = {(const uint8_t *)BUILDER, sizeof(BUILDER) - 1};
  graph_load(&builder, 1, GGML, CPU, &loaded);
  return loaded.is_error ? code_of(loaded.handle) : "went on";
}
