#include "guest.h"

// A second generation of the same model between two pieces of the first; the first is unharmed.
static const char *misuse(void) {
  uint32_t graph = model();
  uint32_t first = context_of(graph), second = context_of(graph);
  NEED(second && same(text(prompt(first)), "usage"));
  const char *kind = prompt(second);
  NEED(same(text(rest(first)), "summary"));
  return kind;
}
