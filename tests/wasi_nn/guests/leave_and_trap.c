#include "guest.h"

// Leaves a running generation and a tensor of 4 KiB behind, and traps.
static const char *misuse(void) {
  uint32_t dimensions[] = {4096};
  uint32_t graph = model();
  uint32_t context = context_of(graph);
  NEED(context && same(text(prompt(context)), "usage"));
  tensor_new(dimensions, 1, U8, arena, dimensions[0]);
  if (MISUSE) __builtin_trap();
  return "went on";
}
