#include "kinds.h"

// A tensor has no way to be refused, so only a host that stops the guest ends this one.
static const char *misuse(void) {
  for (uint32_t i = 0; i < (MISUSE ? 100000u : 100u); i++) {
    uint32_t used = arena_used;
    handle_result made;
    static uint32_t graph;
    switch (KIND) {
    case 0: tensor_of(text("x")); break;
    case 1: graph_load_by_name("model", 5, &made); break;
    case 2: if (!graph) graph = model(); graph_init(graph, &made); break;
    default: graph_load_by_name("no such model", 13, &made);
    }
    if ((KIND == 1 || KIND == 2) && made.is_error) return code_of(made.handle);
    arena_used = used;
  }
  return "went on";
}
