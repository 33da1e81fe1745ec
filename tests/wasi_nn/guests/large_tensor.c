#include "guest.h"

// All of a larger memory in one tensor, given as the prompt.
static const char *misuse(void) {
  uint32_t context = context_of(model());
  NEED(context);
  uint32_t pages = 36, first = __builtin_wasm_memory_grow(0, pages); // 2.25 MiB
  NEED(first != UINT32_MAX);
  bytes content = {(const uint8_t *)(first << 16), pages << 16};
  named_tensor inputs[] = {{text("user"), tensor_of(content)}};
  return compute(context, inputs, 1);
}
