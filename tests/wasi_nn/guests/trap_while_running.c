#include "guest.h"

static const char *misuse(void) {
  uint32_t context = context_of(model());
  NEED(context && same(text(prompt(context)), "usage"));
  if (MISUSE) __builtin_trap();
  return "went on";
}
