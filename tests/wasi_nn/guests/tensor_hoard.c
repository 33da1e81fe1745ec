#include "guest.h"

// Half a MiB in each tensor, and no tensor is dropped.
static const char *misuse(void) {
  uint32_t dimensions[] = {1 << 19};
  for (uint32_t i = 0; i < (MISUSE ? 4096u : 1u); i++) {
    uint32_t tensor = tensor_new(dimensions, 1, U8, arena, dimensions[0]);
    if (!MISUSE) tensor_drop(tensor);
  }
  return "went on";
}
