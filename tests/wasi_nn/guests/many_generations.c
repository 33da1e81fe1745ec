#include "guest.h"

// 1,000 generations one after the other in one instance.
static const char *misuse(void) {
  uint32_t graph = model();
  for (uint32_t i = 0; i < 1000; i++) {
    arena_used = 0;
    uint32_t context = context_of(graph);
    NEED(context && same(text(prompt(context)), "usage"));
    const char *kind = rest(context);
    if (!same(text(kind), "summary")) return kind;
    context_drop(context);
  }
  return "summary";
}
