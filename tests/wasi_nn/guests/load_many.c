#include "guest.h"

// A list of 200,000 empty builders.
static bytes builders[200000];

static const char *misuse(void) {
  handle_result loaded;
  graph_load(builders, 200000, GGML, CPU, &loaded);
  return loaded.is_error ? code_of(loaded.handle) : "went on";
}
