#include "guest.h"

static const char *misuse(void) {
  uint32_t context = context_of(model());
  NEED(context && same(text(prompt(context)), "usage"));
  NEED(same(text(rest(context)), "summary"));
  for (uint32_t i = 0; i < 100; i++) {
    const char *kind = compute(context, 0, 0);
    if (!same(text(kind), "summary")) return kind;
  }
  return "summary";
}
