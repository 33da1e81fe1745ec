#include "guest.h"

// Leaves a running generation, graphs, contexts, tensors and an error behind.
static const char *misuse(void) {
  handle_result loaded;
  uint32_t graph = model();
  uint32_t context = context_of(graph);
  NEED(context && same(text(prompt(context)), "usage"));
  for (uint32_t i = 0; i < 10; i++) model(), context_of(graph), tensor_of(text("x"));
  graph_load_by_name("no such model", 13, &loaded);
  return compute(context, 0, 0);
}
