#include "guest.h"

static const char *misuse(void) {
  uint32_t graph = model();
  uint32_t context = context_of(graph);
  NEED(context);
  graph_drop(graph);
  NEED(same(text(prompt(context)), "usage"));
  return rest(context);
}
