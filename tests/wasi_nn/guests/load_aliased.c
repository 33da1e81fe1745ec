#include "guest.h"

// 4096 builders that are all the same MiB: 4 GiB for a host that copies what it is given.
static bytes builders[4096];

static const char *misuse(void) {
  handle_result loaded;
  for (uint32_t i = 0; i < 4096; i++) builders[i] = (bytes){arena, sizeof arena};
  graph_load(builders, 4096, GGML, CPU, &loaded);
  return loaded.is_error ? code_of(loaded.handle) : "went on";
}
