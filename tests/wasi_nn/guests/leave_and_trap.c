#include "guest.h"

// Leaves the same behind, and half a MiB in a tensor, and traps.
static const char *misuse(void) {
  uint32_t dimensions[] = {1 << 19};
  uint32_t graph = model();
  uint32_t context = context_of(graph);
  NEED(context && same(text(prompt(context)), "usage"));
  tensor_new(dimensions, 1, U8, arena, dimensions[0]);
  if (MISUSE) __builtin_trap();
  return "went on";
}
