#include "guest.h"

static const char *misuse(void) {
  handle_result loaded;
  uint32_t end = __builtin_wasm_memory_size(0) << 16;
  graph_load_by_name("model", 5, MISUSE ? (handle_result *)(end - 4) : &loaded);
  return "went on";
}
