#include "guest.h"

static const char *misuse(void) {
  uint32_t graph = model();
  uint32_t context = context_of(graph);
  NEED(context && same(text(prompt(context)), "usage"));
  const char *kind = rest(context);
  context_drop(context);
  graph_drop(graph);
  return kind;
}
