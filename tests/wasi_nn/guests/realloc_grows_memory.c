// Memory grows, and may move, while the host writes its answer.
#define IN_REALLOC if (armed) armed = false, __builtin_wasm_memory_grow(0, 1);
#include "guest.h"

static const char *misuse(void) {
  uint32_t context = context_of(model());
  NEED(context);
  armed = true;
  return prompt(context);
}
